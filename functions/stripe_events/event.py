"""The envelope: snapshot events and thin notifications, parsed from the raw bytes of a webhook."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from functions.errors import Malformed

#: Ids and types become Pub/Sub attributes, log fields and parts of document ids: printable ASCII, one word.
_WORD = re.compile(r"[\x21-\x7e]{1,255}")
#: How the ids of events begin that are none of Stripe's.
_SEEN = "seen_"
#: The first second of the year 10000. No clock that works sends it.
_END_OF_TIME = 253_402_300_800


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeEvent:
    """One thing that happened at Stripe, whichever way the endpoint is told of it.

    `type` is without the `v1.` of thin notifications; `created` is in epoch seconds; `object` is the snapshot's
    `data.object`, None in a thin notification; `object_id` and `object_type` are known in both.
    """

    id: str
    type: str
    created: int
    livemode: bool
    api_version: str | None = None
    #: The connected account (`acct_…`) of a snapshot event, or the `context` of a thin one.
    account: str | None = None
    is_thin: bool = False
    #: The snapshot event that a thin notification is the other form of.
    snapshot_event: str | None = None
    object: Mapping[str, Any] | None = None
    object_id: str | None = None
    object_type: str | None = None
    previous_attributes: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """The same for the thin and the snapshot form of one event, so that both count once."""
        return self.snapshot_event or self.id

    @property
    def is_seen(self) -> bool:
        """Whether it is no event of Stripe's, but an object met elsewhere: nothing says since when it is so."""
        return self.id.startswith(_SEEN)

    def snapshot(self) -> Mapping[str, Any]:
        """`data.object`. Raises Malformed where a snapshot event has none."""
        if self.object is None:
            raise Malformed(f"{self.type} has no data.object")
        return self.object

    def subject(self) -> str:
        """The id of the object this event is about. Raises Malformed where there is none."""
        if self.object_id is None:
            raise Malformed(f"{self.type} does not say which object it is about")
        return self.object_id


def parse(body: bytes) -> StripeEvent:
    """Parse the raw body of a webhook, already verified or from a trusted source.

    Raises Malformed with one line that names what is wrong. Nothing else escapes, whatever the bytes.
    Source: https://docs.stripe.com/api/events/object and https://docs.stripe.com/event-destinations#thin-payload.
    """
    try:
        data = json.loads(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Malformed("the body is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise Malformed("the body is not JSON") from error
    return event_of(data)


def event_of(data: object) -> StripeEvent:
    """The event that this JSON is, from a webhook or from the API. Raises Malformed."""
    if not isinstance(data, dict):
        raise Malformed("the body is not a JSON object")
    is_thin = data.get("object") == "v2.core.event"
    event_type = _word(data, "type")
    if is_thin and not (event_type := event_type.removeprefix("v1.")):
        raise Malformed("type is only a prefix")
    livemode = data.get("livemode")
    if not isinstance(livemode, bool):
        raise Malformed("livemode is not true or false")
    subject = _mapping(data.get("related_object")) if is_thin else _mapping(_mapping(data.get("data")).get("object"))
    return StripeEvent(
        id=_word(data, "id"),
        type=event_type,
        created=_instant(data.get("created")) if is_thin else _epoch_seconds(data.get("created")),
        livemode=livemode,
        api_version=None if data.get("api_version") is None else _word(data, "api_version"),
        account=next((_word(data, key) for key in ("account", "context") if data.get(key)), None),
        is_thin=is_thin,
        snapshot_event=_word(data, "snapshot_event") if is_thin and data.get("snapshot_event") else None,
        object=subject if subject and not is_thin else None,
        object_id=_optional_word(subject.get("id")),
        object_type=_optional_word(subject.get("type" if is_thin else "object")),
        previous_attributes=_mapping(_mapping(data.get("data")).get("previous_attributes")),
    )


def seen(event_type: str, stripe_object: Mapping[str, Any], at: int, livemode: bool) -> StripeEvent:
    """What an event would have said of an object that was met in a list and not in an event.

    `at` is in epoch seconds and must not be later than when Stripe said so, by Stripe's clock: what happened since then
    has events of its own, and they must count as newer.
    """
    object_id = _word(stripe_object, "id")
    return event_of(
        {
            "id": f"{_SEEN}{object_id}_{at}",
            "object": "event",
            "type": event_type,
            "created": at,
            "livemode": livemode,
            "data": {"object": dict(stripe_object)},
        }
    )


def _word(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if value is None:
        raise Malformed(f"the event has no {key}")
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise Malformed(f"{key} is not a word of printable characters")
    return value


def _optional_word(value: object) -> str | None:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _epoch_seconds(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < _END_OF_TIME:
        raise Malformed("created is not a time in epoch seconds")
    return value


def _instant(value: object) -> int:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        # A time without a zone would be read in the machine's own; Stripe always sends one.
        seconds = int(moment.timestamp()) if moment and moment.tzinfo else 0
    except (ValueError, OverflowError):
        seconds = 0
    if not 0 < seconds < _END_OF_TIME:
        raise Malformed("created is not an RFC 3339 time")
    return seconds
