"""One run over Stripe's list of events: what the webhook should have had is published as the webhook would have done.

It goes page by page, newest first as Stripe lists them, and notes after each how far it is. A run whose time is up asks
for one that goes on at once; one that dies is gone on with at the next tick. Nothing here decides what an event means:
to apply one again that had arrived changes nothing.
"""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from functions.clock import Clock
from functions.effects import Json
from functions.errors import Malformed, Permanent, Retry
from functions.log import Log, Severity
from functions.reconcile.course import CLOCKED, Counts, Course, Overtaken
from functions.reconcile.window import is_ours, next_window
from functions.store import Store
from functions.stripe_events import StripeEvent, event_of
from functions.webhook import PUBLISH_DEADLINE_SECONDS, Publisher, attributes

#: After that a run asks for another one. With the page it is at by then it still ends within its timeout.
BUDGET_SECONDS = 60.0
#: How long one page waits for its slot among everybody's calls to Stripe, and how long before it is asked for again.
_PATIENCE_SECONDS = 5.0
_PAUSES_SECONDS = (1, 2)
#: How many events of a page are published at once.
_CONCURRENCY = 8
_PATH = "/v1/events"


class Stripe(Protocol):
    """Stripe's lists."""

    def page(self, path: str, filters: dict[str, Any], after: str | None) -> tuple[list[Json], bool]:
        """Up to 100 objects of a list after that id, newest first, and whether there are more.

        Raises Retry or Permanent.
        """


class Budget(Protocol):
    """What all instances may ask of Stripe together."""

    def take(self, patience_seconds: float) -> None:
        """Wait for a slot. Raises Retry where none becomes free in that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciler:
    """The function `reconcile` with everything it uses. `stripe` makes one request a call: it has one slot."""

    #: As the webhook's: None publishes events of both modes.
    livemode: bool | None
    forward_all: bool
    stripe: Stripe
    budget: Budget
    publisher: Publisher
    store: Store
    clock: Clock
    log: Log
    budget_seconds: float = BUDGET_SECONDS

    def run(self) -> bool:
        """The clock's run; whether there is more, for one that goes on from there at once.

        Raises Retry where Stripe, Pub/Sub or the database does not answer, and Permanent where Stripe never will.
        """
        started = self.clock.now()
        course: Course | None = None
        counts = Counts()
        severity: Severity = "INFO"
        said = "nothing that Stripe could not deliver"
        is_done, reason = False, None
        try:
            course = Course.open(
                self.store,
                self.clock,
                CLOCKED,
                secrets.token_hex(8),
                asked="undelivered",
                window=partial(next_window, started),
            )
            self.go_through(course, undelivered=True, seconds=self.budget_seconds, told=counts.add)
            is_done = course.rest is None
        except Overtaken as problem:
            # Whoever goes on asks for the next run, too.
            is_done, said = True, str(problem)
        except (Retry, Permanent) as problem:
            severity, said, reason = "WARNING", "the look at Stripe's events breaks off", str(problem)
            raise
        finally:
            if counts.published:
                # Worth an alert: something of ours did not get through.
                severity, said = "WARNING", f"published {counts.published} events that Stripe could not deliver"
            self.log(
                severity,
                said,
                function="reconcile",
                **{name: value or None for name, value in counts.fields().items() if name != "looked_at"},
                looked_at=counts.looked_at,
                since=course and course.window.since,
                until=course and course.window.until,
                reason=reason,
                is_complete=course is not None and course.rest is None,
                milliseconds=round((self.clock.now() - started) * 1000, 1),
            )
        # Each run deals with a page at least, so that a chain comes to its end.
        return not is_done

    def go_through(
        self, course: Course, *, undelivered: bool, seconds: float, told: Callable[[Counts], None] = lambda _: None
    ) -> None:
        """Everything that is left of a course's window, or as much as can be begun in that time.

        `undelivered`: only what Stripe lists as such, and of that only what was not published before; else every event
        of the window. Raises Overtaken, Retry or Permanent.
        """
        rest = course.rest
        ends = self.clock.now() + seconds
        after: str | None = None
        pool = ThreadPoolExecutor(_CONCURRENCY, thread_name_prefix="reconcile")
        try:
            while rest is not None and course.rest is not None:
                found, has_more = self._page(rest.filters(undelivered=undelivered), after)
                counts, published = self._publish(found, course, pool, undelivered=undelivered)
                is_last = not (found and has_more)
                course.turn(
                    # The second of the last one is looked at again, where a run has to go on from it.
                    None if is_last else int(found[-1]["created"]) + 1,
                    counts,
                    published if undelivered else (),
                )
                told(counts)
                if is_last or self.clock.now() > ends:
                    return
                after = str(found[-1]["id"])
        finally:
            # Whatever was broken off is not waited for longer than for what is at it.
            pool.shutdown(cancel_futures=True)

    def _page(self, filters: dict[str, Any], after: str | None) -> tuple[list[Json], bool]:
        for pause in _PAUSES_SECONDS:
            try:
                self.budget.take(_PATIENCE_SECONDS)
                return self.stripe.page(_PATH, filters, after)
            except Retry:
                self.clock.sleep(pause)
        self.budget.take(_PATIENCE_SECONDS)
        return self.stripe.page(_PATH, filters, after)

    def _publish(
        self, found: Sequence[Json], course: Course, pool: ThreadPoolExecutor, *, undelivered: bool
    ) -> tuple[Counts, list[StripeEvent]]:
        """Publish what is ours of a page. Raises Retry where one could not be."""
        counts = Counts(pages=1, looked_at=len(found))
        chosen: list[tuple[StripeEvent, Json]] = []
        for data in found:
            try:
                event = event_of(data)
            except Malformed as problem:
                counts.unreadable += 1
                self.log("ERROR", f"an event cannot be read: {problem}", function="reconcile")
                continue
            if not is_ours(event, livemode=self.livemode, forward_all=self.forward_all):
                continue
            counts.ours += 1
            if undelivered and course.memory.knows(event):
                counts.known += 1
            else:
                chosen.append((event, data))
        # One after the other would be an hour for what a day of a large account holds.
        for event in pool.map(self._publish_one, chosen):
            counts.published += 1
            counts.by_type[event.type] += 1
        return counts, [event for event, _ in chosen]

    def _publish_one(self, chosen: tuple[StripeEvent, Json]) -> StripeEvent:
        event, data = chosen
        self.publisher.publish(json.dumps(data).encode(), attributes(event), PUBLISH_DEADLINE_SECONDS)
        return event


class Topic(Protocol):
    """The clock's topic."""

    def publish(self, data: bytes, attributes: Mapping[str, str], deadline_seconds: float) -> None:
        """Publish one message and return when it is acknowledged. Raises Retry."""


def go_on(reconciler: Reconciler, topic: Topic) -> None:
    """One run, and where there is more to do, the word that starts the next at once.

    Where that word does not get through, the clock says it within the hour.
    """
    if reconciler.run():
        topic.publish(b"more", {"function": "reconcile"}, PUBLISH_DEADLINE_SECONDS)
