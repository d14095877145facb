"""Stripe's lists through the very same reactions that events go through: page by page, and resumable after each.

Every object becomes the event that would have said how it is now, and nothing of it needs an order: the objects of one
page are applied by several threads, and a page that is applied again changes nothing.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from functions.clock import Clock
from functions.effects import Decision, Json
from functions.errors import NotYet, Permanent, Retry, Unexpected
from functions.mail.outbox import Unwritten
from functions.operations.ahead import ReadAhead
from functions.operations.book import Book, Failure, Place, Tally
from functions.operations.links import Links, count_links
from functions.operations.lists import BEHIND_SECONDS, LISTS, Listed, Stripe, customer_of, turn_of
from functions.stripe_events import StripeEvent
from functions.topology import Function

#: How long to wait before what failed for now is tried again. Then the back-fill stops, to be resumed.
PAUSES_SECONDS = (1, 2, 4, 8, 16)

_T = TypeVar("_T")


class Reacting(Protocol):
    """One function of the topology: a `Subscriber`."""

    @property
    def function(self) -> Function:
        """Its row."""

    def apply(self, event: StripeEvent) -> tuple[Decision, tuple[Unwritten, ...]]:
        """Decide on one event and commit what comes of it. Raises Retry or Permanent."""


class Progress(Protocol):
    """Who is told how far it is."""

    def begin(self, name: str, place: Place, total: int | None) -> None:
        """A list is begun or gone on with; `total` is how many objects will be looked at, where that is known."""

    def advance(self, name: str, looked_at: int, tally: Tally) -> None:
        """A page is applied."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a back-fill: the lists from their beginning, the customers that this run has seen."""

    places: dict[str, Place]
    failures: tuple[Failure, ...]
    links: Links
    started_at: int
    finished_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """One run, with everything it uses. `functions` are in the order in which an object goes through them."""

    stripe: Stripe
    functions: Sequence[Reacting]
    #: The one the functions have too.
    store: ReadAhead
    clock: Clock
    progress: Progress
    #: Tells two runs apart.
    mark: str
    user_id_key: str
    livemode: bool
    concurrency: int = 8

    def run(self, only: Collection[str] = (), *, restart: bool = False) -> Result:
        """Read the lists from where the last run was broken off; those named in `only`, if any are.

        Raises Refused, and where something does not answer for long Retry: the next run goes on from here.
        """
        names = [each.name for each in LISTS]
        wanted = [each for each in LISTS if not only or each.name in only]
        book = Book.open(
            self.store,
            self.clock,
            self.mark,
            livemode=self.livemode,
            names=names,
            restart=[each.name for each in wanted] if restart else (),
        )
        customers: set[str] = set()
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="backfill")
        try:
            for listed in wanted:
                customers |= self._read(listed, book, pool)
        finally:
            # Whatever was broken off is not waited for longer than for what is at it.
            pool.shutdown(cancel_futures=True)
        links = count_links(customers, self.store)
        return Result(book.places, tuple(book.failures), links, book.started_at, book.finished_at)

    def _read(self, listed: Listed, book: Book, pool: ThreadPoolExecutor) -> set[str]:
        """One list to its end; the customers it names."""
        customers: set[str] = set()
        self.progress.begin(listed.name, book.places[listed.name], self._total(listed, book))
        while not (place := book.places[listed.name]).is_done:
            at = self._now()
            found, has_more = self._patiently(partial(self.stripe.page, listed.path, {**listed.filters}, place.cursor))
            tally = self._apply_all(listed, found, at, pool)
            customers |= tally.customers
            book.turn(listed.name, found[-1]["id"] if found else None, tally, is_done=not (has_more and found))
            self.progress.advance(listed.name, len(found), tally)
        return customers

    @staticmethod
    def _total(listed: Listed, book: Book) -> int | None:
        """Stripe does not say how long a list is. Of a list inside customers the customers have been counted."""
        customers = book.places["customers"]
        is_from_the_start = book.places[listed.name].cursor is None
        return customers.seen if listed.inside and customers.is_done and is_from_the_start else None

    def _now(self) -> int:
        return int(self.clock.now()) - BEHIND_SECONDS

    def _apply_all(self, listed: Listed, found: Sequence[Json], at: int, pool: ThreadPoolExecutor) -> Tally:
        """Every object of a page. Where one raises, the others are let finish what they are at."""
        turns: dict[str, list[Json]] = {}
        for each in found:
            if listed.concerns(each):
                turns.setdefault(turn_of(each), []).append(each)
        ahead = dict.fromkeys(path for each in found for path in listed.ahead(each, self.user_id_key))
        self._patiently(partial(self.store.prepare, list(ahead)))
        stopping = threading.Event()
        futures: list[Future[Tally]] = [
            pool.submit(self._apply_in_turn, listed, turn, at, stopping) for turn in turns.values()
        ]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            stopping.set()
            wait(futures)
        tally = Tally()
        for future in futures:
            tally.add(future.result())
        return tally

    def _apply_in_turn(self, listed: Listed, turn: Sequence[Json], at: int, stopping: threading.Event) -> Tally:
        tally = Tally()
        for outer in turn:
            if stopping.is_set():
                return tally
            for found, seen_at in self._inside(listed, outer, at):
                if stopping.is_set():
                    return tally
                self._apply(listed, found, seen_at, tally)
        return tally

    def _inside(self, listed: Listed, outer: Json, at: int) -> Iterator[tuple[Json, int]]:
        """The object itself, or those of the list inside it, each with the time at which it was seen."""
        if listed.inside is None:
            yield outer, at
            return
        path, after, has_more = listed.inside.format(id=outer["id"]), None, True
        while has_more:
            at = self._now()
            try:
                found, has_more = self._patiently(partial(self.stripe.page, path, {}, after))
            except Permanent:
                # The customer was deleted since its page was read, and has nothing inside any more.
                return
            yield from ((each, at) for each in found)
            after, has_more = (found[-1]["id"], has_more) if found else (None, False)

    def _apply(self, listed: Listed, found: Json, at: int, tally: Tally) -> None:
        """One object through every function that its events concern, in their order."""
        tally.seen += 1
        name, is_new = "stripe", False
        try:
            if customer := customer_of(listed, found, self.user_id_key):
                tally.customers.add(customer)
            for event in self._patiently(lambda: list(listed.says(found, at, self.stripe))):
                for each in self.functions:
                    if event.type in each.function.event_types:
                        name = each.function.name
                        decision, _ = self._patiently(partial(each.apply, event))
                        is_new |= decision.outcome == "applied"
        except (Permanent, NotYet) as problem:
            tally.failed += 1
            tally.failures.append(Failure(list=listed.name, id=_id(found), function=name, reason=str(problem)))
            return
        except Retry as problem:
            raise Retry(f"{listed.name} {_id(found)}, {name}: {problem}") from problem
        except Exception as error:
            raise Unexpected(f"{listed.name} {_id(found)}, {name}: unexpected {type(error).__name__}") from error
        tally.applied += is_new
        tally.unchanged += not is_new

    def _patiently(self, act: Callable[[], _T]) -> _T:
        """Try again what fails for now. Raises Retry where it goes on failing."""
        for pause in PAUSES_SECONDS:
            try:
                return act()
            except Retry:
                self.clock.sleep(pause)
        return act()


def _id(found: Json) -> str:
    return str(found.get("id"))
