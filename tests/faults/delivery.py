"""Stripe's side of a delivery that fails: the same event again, signed anew, until somebody says 200."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from local.processes import local_http
from local.sender import sign
from local.system import System

PAUSE_SECONDS = 0.2


def attempt(system: System, session: requests.Session, event: Mapping[str, Any], *, clock_off_seconds: int = 0) -> str:
    """One delivery: the status and the reason, or what became of the connection."""
    body = json.dumps(event, ensure_ascii=False).encode()
    signature = sign(body, system.webhook_secret, at=time.time() + clock_off_seconds)
    try:
        answer = session.post(system.webhook_url, data=body, headers={"Stripe-Signature": signature}, timeout=30)
    except requests.RequestException as error:
        return type(error).__name__
    return f"{answer.status_code} {answer.text.strip()}"


def deliver(
    system: System, events: Sequence[Mapping[str, Any]], *, connections: int = 8, patience_seconds: float = 90
) -> Counter[str]:
    """Deliver events in about this order, each until it is accepted; what was answered, and how often.

    Raises TimeoutError.
    """
    seen: Counter[str] = Counter()
    with local_http() as session, ThreadPoolExecutor(connections) as pool:
        session.mount("http://", HTTPAdapter(pool_maxsize=connections))

        def one(event: Mapping[str, Any]) -> None:
            ends = time.monotonic() + patience_seconds
            while (said := attempt(system, session, event)) != "200 published":
                seen[said] += 1
                if time.monotonic() > ends:
                    raise TimeoutError(f"{event['type']} was not accepted: {said}")
                time.sleep(PAUSE_SECONDS)
            seen[said] += 1

        list(pool.map(one, events))
    return seen
