"""Sends events to a webhook as Stripe does: JSON, signed anew for every delivery."""

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import stripe

from local.processes import local_http


@dataclass(frozen=True, slots=True)
class Answer:
    """What the webhook said to one delivery."""

    status: int
    body: str
    seconds: float


def sign(body: bytes, secret: str, *, at: float | None = None) -> str:
    """The `Stripe-Signature` header for these bytes; `at` is in epoch seconds, by default now."""
    return str(stripe.WebhookSignature.generate_signature_header(body.decode(), secret, int(at or time.time())))


def send(url: str, secret: str, events: Sequence[Mapping[str, Any]], *, connections: int = 4) -> list[Answer]:
    """Deliver these events in about this order over a few connections; one answer each, in the order given."""
    with local_http() as session, ThreadPoolExecutor(connections) as pool:

        def deliver(event: Mapping[str, Any]) -> Answer:
            body = json.dumps(event, ensure_ascii=False).encode()
            headers = {"Stripe-Signature": sign(body, secret), "Content-Type": "application/json; charset=utf-8"}
            started = time.perf_counter()
            response = session.post(url, data=body, headers=headers, timeout=30, allow_redirects=False)
            return Answer(response.status_code, response.text.strip(), time.perf_counter() - started)

        return list(pool.map(deliver, events))
