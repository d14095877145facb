"""The document of a parked event: what is kept of it, within Firestore's limit, and how it is read back."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from functions import paths
from functions.effects import Fields, Json
from functions.letters import Letter, Origin, Reader
from functions.mail.facts import Parked
from functions.message import attributes_of
from functions.stripe_events import StripeEvent

#: A Firestore document ends at 1 MiB with its name and all its fields; so much is left for what is not counted here.
_DOCUMENT_BYTES = 1_048_576 - 8_000
_BODY_BYTES = 1_000_000
#: What is said of a problem may quote what somebody typed, at any length.
_REASON_CHARACTERS = 1_500
_DETAIL_CHARACTERS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Unprocessed:
    """An event that a function cannot process. `event` is None where not even that could be read."""

    function: str
    message: Mapping[str, Any]
    event: StripeEvent | None
    body: bytes
    reason: str
    detail: str | None = None
    #: Whether the function is one that the event can be replayed to.
    is_ours: bool = True

    @property
    def event_id(self) -> str:
        """What it is called: at worst by the id of the message."""
        named: str | None = attributes_of(self.message).get("event_id") or self.message.get("messageId")
        return self.event.id if self.event else named or "unknown"

    @property
    def path(self) -> str:
        """The document: one for each event and function."""
        return paths.parked_event(self.event_id, self.function)

    def document(self, now: float, *, told: bool) -> Json:
        """What is kept. `now` is in epoch seconds; `told` says whether support has a mail about this very event."""
        attributes = paths.as_map({_text(name): _text(value) for name, value in self._attributes.items()})
        rest: Json = {
            "event_id": self.event_id,
            "type": self._type,
            "function": self.function,
            **said(self.reason, self.detail),
            "attributes": attributes,
            "livemode": self._livemode,
            "parked_at": now,
            "told": told,
        }
        texts = (*attributes, *attributes.values(), *(each for each in rest.values() if isinstance(each, str)))
        return rest | _storable(self.body, _DOCUMENT_BYTES - sum(len(text.encode()) + 1 for text in texts))

    def letter(self, now: float) -> Letter:
        """What support is told. However old the event is: that it is parked is news."""
        facts = Parked(
            event=self.event_id,
            function=self.function,
            type=self._type,
            reason=self.reason,
            path=self.path,
            is_ours=self.is_ours,
        )
        account = self.event.account if self.event else self._attributes.get("account")
        origin = Origin(customer=None, livemode=self._livemode, account=account, event=self.event_id)
        return Letter(facts=facts, reader=Reader(), origin=origin, since=int(now))

    @property
    def _attributes(self) -> Mapping[str, str]:
        return attributes_of(self.message)

    @property
    def _type(self) -> str | None:
        return self.event.type if self.event else self._attributes.get("type")

    @property
    def _livemode(self) -> bool:
        return self.event.livemode if self.event else self._attributes.get("livemode") == "true"


def said(reason: str, detail: str | None) -> Json:
    """A problem in fields, no longer than anybody reads."""
    short = None if detail is None else _text(detail)[:_DETAIL_CHARACTERS]
    return {"reason": _text(reason)[:_REASON_CHARACTERS], "detail": short}


def _text(text: str) -> str:
    """As UTF-8 can say it: JSON may bring halves of characters, which Firestore does not take."""
    return text.encode("utf-8", "replace").decode()


def _storable(body: bytes, room: int) -> Json:
    """The bytes of an event in a form that fits into what is left of the document."""
    room = min(room, _BODY_BYTES)
    if len(body) <= room:
        return {"body": body, "body_encoding": None}
    compressed = zlib.compress(body, 9)
    if len(compressed) <= room:
        return {"body": compressed, "body_encoding": "zlib"}
    # Stripe keeps the event for 30 days; event_id says which one it is.
    return {"body": None, "body_encoding": "at Stripe"}


def bytes_of(document: Fields) -> bytes | None:
    """The bytes of a parked event as they were; None where only Stripe has them."""
    body: bytes | None = document.get("body")
    return zlib.decompress(body) if body is not None and document.get("body_encoding") == "zlib" else body


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedEvent:
    """A parked event without its bytes. Times are in epoch seconds."""

    #: Of the document.
    id: str
    event_id: str
    function: str
    type: str | None
    reason: str
    parked_at: float
    livemode: bool
    #: Whether support has a mail about this very event. True for those of before there was a limit.
    told: bool
    replayed_at: float | None
    #: What came of it when it was replayed, and in which run.
    outcome: str | None
    run: str | None

    @property
    def is_mended(self) -> bool:
        """Whether it has been replayed and ended well."""
        return self.replayed_at is not None and self.outcome != "parked"


#: What has to be read for a `ParkedEvent`.
FIELDS = (
    *("event_id", "function", "type", "reason", "parked_at", "livemode", "told"),
    *("replayed_at", "outcome", "replay"),
)


def parked_event(document_id: str, fields: Fields) -> ParkedEvent:
    """A document as it was read; nothing but the id is sure to be there."""
    return ParkedEvent(
        id=document_id,
        event_id=str(fields.get("event_id") or ""),
        function=str(fields.get("function") or "unknown"),
        type=fields.get("type"),
        reason=str(fields.get("reason") or ""),
        parked_at=float(fields.get("parked_at") or 0),
        livemode=fields.get("livemode") is True,
        told=fields.get("told") is not False,
        replayed_at=fields.get("replayed_at"),
        outcome=fields.get("outcome"),
        run=fields.get("replay"),
    )
