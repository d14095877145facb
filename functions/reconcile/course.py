"""How far a run is: a document in `operations`, written after each page whose events are all published.

What is left of a window is told by time and not by an id: the list is newest first, and an id that Stripe does not keep
any more could not be gone on from. Events of the one second in which a run was broken off are looked at twice.

Whoever begins or goes on writes their mark into it, and a run that finds another's mark stops: of two at once the later
one goes on.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from functions import paths
from functions.clock import Clock
from functions.effects import Effect, Json, Put
from functions.errors import Conflict, Retry
from functions.reconcile import memory
from functions.reconcile.memory import Memory
from functions.reconcile.window import Window
from functions.store import Store
from functions.stripe_events import StripeEvent

#: Where the clock's runs keep theirs, and where those that somebody starts by hand.
CLOCKED = paths.operation("reconcile")
BY_HAND = paths.operation("reconcile_by_hand")
_ROUNDS = 5


class Overtaken(Exception):
    """Another run goes on from here."""


@dataclass(slots=True)
class Counts:
    """What was found: `ours` are published, or were `known` as published before. `by_type` counts the published."""

    pages: int = 0
    looked_at: int = 0
    ours: int = 0
    known: int = 0
    published: int = 0
    unreadable: int = 0
    by_type: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Counts") -> None:
        """Count them together."""
        for name in ("pages", "looked_at", "ours", "known", "published", "unreadable"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.by_type += other.by_type

    def fields(self) -> Json:
        """As JSON, the most frequent type first."""
        numbers = {name: getattr(self, name) for name in ("pages", "looked_at", "ours", "known", "published")}
        return {**numbers, "unreadable": self.unreadable, "by_type": dict(self.by_type.most_common())}

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "Counts":
        """What `fields` said."""
        return cls(**{**fields, "by_type": Counter(fields["by_type"])})


@dataclass(slots=True, kw_only=True)
class Course:
    """The document, as the run whose mark it bears knows it. Times are in epoch seconds."""

    store: Store
    clock: Clock
    path: str
    mark: str
    #: What was asked for: a run that asks for the same goes on with one that was broken off.
    asked: str
    window: Window
    #: The end of what is left of the window; None when nothing is.
    rest_until: int | None
    started_at: int
    finished_at: int | None = None
    #: The end of the last window that was looked at completely.
    completed_until: int | None = None
    counts: Counts = field(default_factory=Counts)
    memory: Memory = field(default_factory=Memory)

    @classmethod
    def open(
        cls,
        store: Store,
        clock: Clock,
        path: str,
        mark: str,
        *,
        asked: str,
        window: Callable[[int | None], Window],
        restart: bool = False,
        fresh_seconds: float = math.inf,
    ) -> "Course":
        """Go on with what was broken off, or begin with the window after the last complete one. Raises Retry.

        What was broken off longer ago than `fresh_seconds` was about another time, and is begun anew.
        """
        found = store.read([path, memory.PATH])
        stored = found[path].fields or {}
        # What another version wrote is no reason to fail every hour.
        is_broken_off = stored.get("rest_until") is not None and stored.get("asked") == asked
        completed_until = stored.get("completed_until")
        is_fresh = clock.now() - (stored.get("updated_at") or 0) <= fresh_seconds
        if is_broken_off and is_fresh and not restart:
            course = cls(
                store=store,
                clock=clock,
                path=path,
                mark=mark,
                asked=asked,
                window=Window(stored["since"], stored["until"]),
                rest_until=stored["rest_until"],
                started_at=stored["started_at"],
                completed_until=completed_until,
                counts=Counts.of(stored["counts"]),
            )
        else:
            chosen = window(completed_until)
            course = cls(
                store=store,
                clock=clock,
                path=path,
                mark=mark,
                asked=asked,
                window=chosen,
                rest_until=chosen.until,
                started_at=int(clock.now()),
                completed_until=completed_until,
            )
        course.memory = Memory.of(found[memory.PATH].fields)
        course._write((), takes_over=True)
        return course

    @property
    def rest(self) -> Window | None:
        """What is left to look at."""
        return None if self.rest_until is None else Window(self.window.since, self.rest_until)

    def turn(self, rest_until: int | None, counts: Counts, remembered: Sequence[StripeEvent]) -> None:
        """A page is dealt with. Raises Overtaken where another run goes on from here, and Retry."""
        self.rest_until = rest_until
        self.counts.add(counts)
        if rest_until is None:
            self.finished_at = int(self.clock.now())
            self.completed_until = self.window.until
        self._write(remembered)

    def _write(self, remembered: Sequence[StripeEvent], *, takes_over: bool = False) -> None:
        for _ in range(_ROUNDS):
            # A list of ids may have 400 kB: it is read and written only where it grows.
            found = self.store.read([self.path, *([memory.PATH] if remembered else [])])
            if not takes_over and (found[self.path].fields or {}).get("mark") != self.mark:
                raise Overtaken("Another run has been started since, and goes on from here: this one stops.")
            effects: list[Effect] = [Put(self.path, self._fields())]
            if remembered:
                self.memory = Memory.of(found[memory.PATH].fields).after(remembered, self.clock.now())
                effects.append(Put(memory.PATH, self.memory.fields()))
            try:
                self.store.commit(effects, found)
            except Conflict:
                continue
            return
        raise Retry(f"{self.path} changed under {_ROUNDS} attempts to write it")

    def _fields(self) -> Json:
        return {
            "mark": self.mark,
            "asked": self.asked,
            "since": self.window.since,
            "until": self.window.until,
            "rest_until": self.rest_until,
            "started_at": self.started_at,
            "updated_at": int(self.clock.now()),
            "finished_at": self.finished_at,
            "completed_until": self.completed_until,
            "counts": self.counts.fields(),
        }
