"""How far a back-fill is: `operations/backfill`, written after each page that is completely applied.

Whoever begins, or goes on with what was broken off, writes their mark into it. A back-fill that finds another's mark
stops: of two at once the later one goes on, and the page that both had is applied twice, which changes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from functions import paths
from functions.clock import Clock
from functions.effects import Json, Put
from functions.errors import Conflict, Retry
from functions.store import Store

PATH = paths.operation("backfill")
#: How many failures are kept with their reasons. All of them are counted.
KEPT_FAILURES = 200
_ROUNDS = 5


class Refused(Exception):
    """This back-fill must not go on; the message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An object that a function could not take."""

    list: str
    id: str
    function: str
    reason: str


@dataclass(slots=True)
class Tally:
    """What came of some objects. Each is applied (something of it was new), unchanged, or failed."""

    seen: int = 0
    applied: int = 0
    unchanged: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    #: Those that the report counts.
    customers: set[str] = field(default_factory=set)

    def add(self, other: "Tally") -> None:
        """Count them together."""
        for name in ("seen", "applied", "unchanged", "failed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.failures += other.failures
        self.customers |= other.customers


@dataclass(slots=True)
class Place:
    """How far one list is read: `cursor` is the last id of the last page that was completely applied."""

    cursor: str | None = None
    is_done: bool = False
    seen: int = 0
    applied: int = 0
    unchanged: int = 0
    failed: int = 0


@dataclass(slots=True)
class Book:
    """The document, as the back-fill whose mark it bears knows it. Times are in epoch seconds."""

    store: Store
    clock: Clock
    mark: str
    livemode: bool
    started_at: int
    finished_at: int | None
    places: dict[str, Place]
    failures: list[Failure]

    @classmethod
    def open(
        cls, store: Store, clock: Clock, mark: str, *, livemode: bool, names: Iterable[str], restart: Iterable[str] = ()
    ) -> "Book":
        """Take over where the last back-fill was broken off, or begin; the lists in `restart` begin anew.

        Raises Refused where that one was of the other mode, test or live, and Retry.
        """
        stored = store.read([PATH])[PATH].fields or {}
        again, now = set(restart), int(clock.now())
        if set(stored.get("lists", ())) <= again:
            stored = {}
        if stored and stored["livemode"] != livemode:
            was = "live" if stored["livemode"] else "test"
            raise Refused(f"The last back-fill was in {was} mode, and this key is not: begin anew with --restart.")
        known: Mapping[str, Any] = stored.get("lists", {})
        book = cls(
            store=store,
            clock=clock,
            mark=mark,
            livemode=livemode,
            started_at=stored.get("started_at", now),
            finished_at=None if again else stored.get("finished_at"),
            places={name: Place(**({} if name in again else known.get(name, {}))) for name in names},
            failures=[Failure(**each) for each in stored.get("failures", ()) if each["list"] not in again],
        )
        book._write(takes_over=True)
        return book

    def turn(self, name: str, cursor: str | None, tally: Tally, *, is_done: bool) -> None:
        """A page is completely applied. Raises Refused where another back-fill has taken over, and Retry."""
        place = self.places[name]
        self.places[name] = Place(
            cursor=cursor or place.cursor,
            is_done=is_done,
            seen=place.seen + tally.seen,
            applied=place.applied + tally.applied,
            unchanged=place.unchanged + tally.unchanged,
            failed=place.failed + tally.failed,
        )
        self.failures = [*self.failures, *tally.failures][:KEPT_FAILURES]
        self.finished_at = int(self.clock.now()) if all(each.is_done for each in self.places.values()) else None
        self._write()

    def _write(self, *, takes_over: bool = False) -> None:
        fields: Json = {
            "mark": self.mark,
            "livemode": self.livemode,
            "started_at": self.started_at,
            "updated_at": int(self.clock.now()),
            "finished_at": self.finished_at,
            "lists": {name: asdict(place) for name, place in self.places.items()},
            "failures": [asdict(each) for each in self.failures],
        }
        for _ in range(_ROUNDS):
            found = self.store.read([PATH])
            if not takes_over and (found[PATH].fields or {}).get("mark") != self.mark:
                raise Refused("Another back-fill has been started since, and goes on from here: this one stops.")
            try:
                self.store.commit([Put(PATH, fields)], found)
            except Conflict:
                continue
            return
        raise Retry(f"{PATH} changed under {_ROUNDS} attempts to write it")
