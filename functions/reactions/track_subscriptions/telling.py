"""Telling the customer behind a subscription or an invoice, once: the document itself remembers what it has told."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from functions import paths
from functions.effects import Request, fetch, read
from functions.errors import Permanent
from functions.letters import Facts, Letter, Reader
from functions.mail import compose
from functions.stripe_events import Customer, StripeEvent


@dataclass(frozen=True, slots=True)
class Telling:
    """What is to be said now, and `mails`: the ids of everything the document has ever told."""

    letters: tuple[Letter, ...]
    mails: list[str]


def tell(
    event: StripeEvent, customer_id: str, stored: Mapping[str, Any] | None, facts: Facts | None, since: int
) -> Generator[Request, Any, Telling]:
    """Say these facts unless the stored document has told them already; `since` is in epoch seconds."""
    told: list[str] = (stored or {}).get("mails", [])
    if facts is None or facts.id in told:
        return Telling((), told)
    reader, user_id = yield from _reader(customer_id)
    letter = Letter(facts=facts, reader=reader, origin=compose.origin(event, customer_id, user_id), since=since)
    return Telling((letter,), sorted([*told, facts.id]))


def _reader(customer_id: str) -> Generator[Request, Any, tuple[Reader, str | None]]:
    """The reader, and the user they are linked to.

    A customer whose own events have not come yet, or never will because they are older than this system, is asked for
    once. One that Stripe does not have cannot be written to; support still hears of it.
    """
    path = paths.customer(customer_id)
    stored = (yield from read(path))[path] or {}
    if stored.get("as_of") is not None:
        return compose.customer_reader(stored), stored.get("user_id")
    try:
        customer = Customer.of((yield from fetch("customer", customer_id)))
    except Permanent:
        return Reader(), stored.get("user_id")
    return compose.fetched_reader(customer), stored.get("user_id")
