"""An event that can never succeed: kept with its bytes and the reason, and support told, in one commit."""

import zlib
from collections.abc import Mapping
from typing import Any

from functions import paths
from functions.effects import Create, Decision, Json
from functions.letters import Letter, Origin, Reader
from functions.mail.facts import Parked
from functions.stripe_events import StripeEvent

_STORABLE_BYTES = 1_000_000


def park(
    function: str,
    message: Mapping[str, Any],
    *,
    event: StripeEvent | None,
    body: bytes,
    reason: str,
    detail: str | None,
    now: float,
) -> Decision:
    """What is committed for an event that `function` cannot process: its document, then who is told.

    `event` is None where not even that could be read; `now` is in epoch seconds.
    """
    attributes = message.get("attributes") or {}
    event_id = event.id if event else attributes.get("event_id") or message.get("messageId") or "unknown"
    event_type = event.type if event else attributes.get("type")
    path = paths.parked_event(event_id, function)
    document = {
        "event_id": event_id,
        "type": event_type,
        "function": function,
        "reason": reason,
        "detail": detail,
        "attributes": dict(attributes),
        **_storable(body),
        "parked_at": now,
    }
    letter = Letter(
        facts=Parked(event=event_id, function=function, type=event_type, reason=reason, path=path),
        reader=Reader(),
        origin=Origin(
            customer=None,
            livemode=event.livemode if event else attributes.get("livemode") == "true",
            account=event.account if event else attributes.get("account"),
            event=event_id,
        ),
        # However old the event is: that it is parked is news.
        since=int(now),
    )
    return Decision("parked", (Create(path, document),), reason, (letter,))


def _storable(body: bytes) -> Json:
    """The bytes of an event in a form that fits a Firestore document, which ends at 1 MiB with all its fields."""
    if len(body) <= _STORABLE_BYTES:
        return {"body": body, "body_encoding": None}
    compressed = zlib.compress(body, 9)
    if len(compressed) <= _STORABLE_BYTES:
        return {"body": compressed, "body_encoding": "zlib"}
    # Stripe keeps the event for 30 days; event_id says which one it is.
    return {"body": None, "body_encoding": "at Stripe"}
