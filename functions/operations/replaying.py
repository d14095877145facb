"""Parked events, published again: chosen, each sent to the one function it failed in, and waited for.

Whatever is published goes to the topic that every event goes through, with its original bytes and attributes. What has
meanwhile succeeded ends as a duplicate or stale and changes nothing; what fails again stays parked with its new reason.
"""

import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from functions.clock import Clock
from functions.effects import Fetch, Fields
from functions.errors import Permanent
from functions.execution import Stripe
from functions.parking import ONLY, PARKED, RUN, ParkedEvent, bytes_of
from functions.stripe_events import StripeEvent
from functions.topology import SUBSCRIBERS, Function
from functions.webhook import Publisher

#: What Pub/Sub added to a dead letter, and what it would not take from anybody.
_NOT_OURS = ("CloudPubSubDeadLetterSource", "goog")
_PUBLISH_SECONDS = 30.0
_THREADS = 8
#: How many documents are looked at again at once, and how long to wait before the next look.
_LOOK_AT = 300
_FIRST_LOOK_SECONDS, _LAST_LOOK_SECONDS = 0.1, 2.0

FUNCTIONS: Mapping[str, Function] = {row.name: row for row in SUBSCRIBERS}
#: Told how far a step is: its name, how many are done, of how many.
Progress = Callable[[str, int, int], None]


class Kept(Protocol):
    """The collection of parked events."""

    def between(self, after: float, until: float) -> Iterator[ParkedEvent]:
        """Those parked later than `after`, up to `until`, in epoch seconds and in that order. Raises Retry."""

    def of_event(self, event_id: str) -> list[ParkedEvent]:
        """One event, once for each function that parked it. Raises Retry."""

    def read(self, document_id: str) -> Fields | None:
        """Everything that is kept of one; None where it is gone. Raises Retry."""

    def again(self, document_ids: Sequence[str]) -> Mapping[str, ParkedEvent]:
        """How these are now, those that are there. Raises Retry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which parked events. Times are in epoch seconds, and about when an event was parked."""

    event: str | None = None
    function: str | None = None
    type: str | None = None
    #: A part of the reason, in any case.
    reason: str | None = None
    since: float | None = None
    until: float | None = None
    include_replayed: bool = False

    def of(self, kept: Kept) -> Iterator[ParkedEvent]:
        """The events, oldest first. Raises Retry."""
        if self.event is not None:
            found: Iterable[ParkedEvent] = sorted(kept.of_event(self.event), key=lambda each: each.parked_at)
        else:
            # `between` begins after its first time.
            after = -1.0 if self.since is None else math.nextafter(self.since, -math.inf)
            found = kept.between(after, 1e12 if self.until is None else self.until)
        return filter(self._takes, found)

    def _takes(self, parked: ParkedEvent) -> bool:
        return (
            (self.include_replayed or not parked.is_mended)
            and self.function in {None, parked.function}
            and self.type in {None, parked.type}
            and (self.reason is None or self.reason.lower() in parked.reason.lower())
            and (self.since is None or parked.parked_at >= self.since)
            and (self.until is None or parked.parked_at <= self.until)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What came of one parked event; `reason` is why, where it did not end well."""

    parked: ParkedEvent
    function: str
    #: One of `functions.effects.Outcome`, or `not yet`, or `not published`.
    outcome: str
    reason: str = ""

    @property
    def is_well(self) -> bool:
        """Whether nothing is left to be done about it."""
        return self.outcome in {"applied", "duplicate", "stale", "ignored"}


def target_of(parked: ParkedEvent, to: str | None) -> tuple[str, str]:
    """The function that an event is replayed to, and why it cannot be: one of the two is empty."""
    name = parked.function if parked.function in FUNCTIONS else to or ""
    if not name:
        return "", f"it failed in {parked.function!r}, which is no function here: say which one with --to"
    if parked.type is not None and parked.type not in FUNCTIONS[name].event_types:
        return "", f"{name} does not listen to {parked.type}"
    return name, ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaying:
    """One run, with everything it uses."""

    kept: Kept
    publisher: Publisher
    stripe: Stripe
    clock: Clock
    progress: Progress
    #: Tells this run from others.
    run: str
    #: The function for events that do not say which one they failed in.
    to: str | None = None

    def replay(self, chosen: Sequence[ParkedEvent], patience_seconds: float) -> list[Ended]:
        """Publish them all, and wait so long for what comes of them. Raises Retry: what is published stays so."""
        published = _Published()
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="replay") as pool:
            try:
                for number, (parked, problem) in enumerate(pool.map(self._publish, chosen), start=1):
                    published.add(parked, target_of(parked, self.to)[0], problem)
                    self.progress("published", number, len(chosen))
            finally:
                pool.shutdown(cancel_futures=True)
        return [*published.refused, *(self._await(published.sent, patience_seconds) if published.sent else ())]

    def _publish(self, parked: ParkedEvent) -> tuple[ParkedEvent, str]:
        """Publish one; why it cannot be, where it cannot. Raises Retry."""
        function, problem = target_of(parked, self.to)
        fields = None if problem else self.kept.read(parked.id)
        if fields is None:
            return parked, problem or "its document is gone"
        try:
            body = bytes_of(fields)
            body = self._from_stripe(parked, fields) if body is None else body
        except Permanent as error:
            return parked, f"its bytes are not kept here, and Stripe does not have it any more: {error}"
        ours = {name: text for name, text in (fields.get("attributes") or {}).items() if not name.startswith(_NOT_OURS)}
        # The filter of the subscription looks at the type.
        named = {"type": parked.type} if parked.type and not ours.get("type") else {}
        attributes = {**ours, **named, ONLY: function, PARKED: parked.id, RUN: self.run}
        self.publisher.publish(body, attributes, _PUBLISH_SECONDS)
        return parked, ""

    def _from_stripe(self, parked: ParkedEvent, fields: Fields) -> bytes:
        attributes = fields.get("attributes") or {}
        named = StripeEvent(
            id=parked.event_id,
            type=parked.type or "",
            created=0,
            livemode=parked.livemode,
            account=attributes.get("account"),
            is_thin=attributes.get("payload") == "thin",
            previous_attributes={},
        )
        event = self.stripe.fetch(Fetch("event", parked.event_id), named)
        return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")

    def _await(self, sent: Sequence[tuple[ParkedEvent, str]], patience_seconds: float) -> Iterator[Ended]:
        """What came of each. Only some are looked at at once, so that waiting does not cost more than replaying."""
        open_ones, deadline, pause = deque(sent), self.clock.now() + patience_seconds, _FIRST_LOOK_SECONDS
        while open_ones and patience_seconds:
            is_last_look = self.clock.now() >= deadline
            some = [
                open_ones.popleft() for _ in range(min(len(open_ones) if is_last_look else _LOOK_AT, len(open_ones)))
            ]
            ended, waiting = self._look(some)
            yield from ended
            open_ones += waiting
            self.progress("processed", len(sent) - len(open_ones), len(sent))
            if is_last_look or not open_ones:
                break
            pause = _FIRST_LOOK_SECONDS if ended else min(2 * pause, _LAST_LOOK_SECONDS)
            self.clock.sleep(pause)
        yield from (Ended(parked=parked, function=function, outcome="not yet") for parked, function in open_ones)

    def _look(self, some: Sequence[tuple[ParkedEvent, str]]) -> tuple[list[Ended], list[tuple[ParkedEvent, str]]]:
        ended, waiting = [], []
        for start in range(0, len(some), _LOOK_AT):
            batch = some[start : start + _LOOK_AT]
            now = self.kept.again([parked.id for parked, _ in batch])
            for parked, function in batch:
                found = now.get(parked.id)
                if found is None or found.replayed_at == parked.replayed_at or found.outcome is None:
                    waiting.append((parked, function))
                    continue
                reason = found.reason if found.outcome == "parked" else ""
                ended.append(Ended(parked=parked, function=function, outcome=found.outcome, reason=reason))
        return ended, waiting


@dataclass(slots=True)
class _Published:
    """What has been sent so far, and what could not be."""

    sent: list[tuple[ParkedEvent, str]] = field(default_factory=list)
    refused: list[Ended] = field(default_factory=list)

    def add(self, parked: ParkedEvent, function: str, problem: str) -> None:
        if problem:
            refused = Ended(parked=parked, function=function, outcome="not published", reason=problem)
            self.refused.append(refused)
        else:
            self.sent.append((parked, function))
