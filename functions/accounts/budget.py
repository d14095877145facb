"""So many calls a second and no more, whichever instances make them: a virtual queue in one Firestore document.

`budgets/{name}` holds `next_at`, the epoch second (a float) up to which slots are given out. An instance takes several
slots at once, in one read and one commit, and not more often than once a second; a commit that meets somebody else's
reads again. Slots follow one another at one distance, so that a burst never reaches whoever is called.

What holds: the slots of all instances are disjoint, and a slot that nobody can use in time is lost. In any second at
most `per_second` calls begin, as long as a call begins within SLACK_SECONDS of its slot; half of that is left to the
thread that wakes up, the other half to the way to the other side. For that slack the slots are a little further apart
than 1/per_second. The slots are on one time line, but every instance reads it by its own clock: where the clocks of two
instances differ by `d` seconds, a second may see up to `per_second * (1 + d)` calls, and the average stays what it is.
"""

import random
import secrets
import threading
from collections import deque
from dataclasses import dataclass

from functions import paths
from functions.clock import Clock
from functions.effects import Put
from functions.errors import Conflict, Retry
from functions.store import Store

#: Stripe's search takes 20 reads a second, its lists more: https://docs.stripe.com/rate-limits.
PER_SECOND = 20
#: What may pass between a slot and the call's arrival at whoever limits the rate.
SLACK_SECONDS = 0.2
_LATE_SECONDS = SLACK_SECONDS / 2
#: An instance reserves once in that time at most.
_PERIOD_SECONDS = 1.0
#: How long to wait while another thread is reserving.
_LOOK_SECONDS = 0.05
#: After a conflict.
_PAUSE_SECONDS = (0.02, 0.15)
#: Nobody waits longer than that, so no queue is longer either: a later end is the word of a clock that went wrong, and
#: must not stop everybody else.
_LONGEST_SECONDS = 60.0


@dataclass(slots=True, eq=False)
class _Caller:
    """Somebody who waits until `deadline` at most, both in epoch seconds."""

    deadline: float
    slot: float | None = None
    is_refused: bool = False


@dataclass(frozen=True, slots=True)
class _Reservation:
    """Slots from `start` on. `mark` tells in the document whose they are."""

    mark: str
    start: float
    count: int


class Budget:
    """One instance's share of a budget that all instances have together. For any number of threads."""

    def __init__(self, store: Store, clock: Clock, per_second: int = PER_SECOND, name: str = "stripe_reads") -> None:
        self._store = store
        self._clock = clock
        self._most = per_second
        self._distance = (1 + SLACK_SECONDS) / per_second
        self._path = paths.budget(name)
        self._lock = threading.Lock()
        #: Who has no slot yet, the first first; and the slots nobody has yet.
        self._callers: deque[_Caller] = deque()
        self._slots: deque[float] = deque()
        #: Of the slots that were reserved last: how many somebody took, and when they end.
        self._used = 0
        self._until = 0.0
        self._is_reserving = False
        self._not_before = 0.0
        #: The end of the virtual queue, as far as is known.
        self._end = 0.0
        #: How long the last reservation took: slots that pass meanwhile are of no use.
        self._lead = 0.0
        #: What was asked for, where no answer said that it was granted.
        self._uncertain: _Reservation | None = None

    def take(self, patience_seconds: float) -> None:
        """Wait for a slot, for a minute at most.

        Raises Retry as soon as it is known that the slot would come later than the patience lasts, and where Firestore
        cannot be asked.
        """
        caller = _Caller(self._clock.now() + min(patience_seconds, _LONGEST_SECONDS))
        with self._lock:
            self._callers.append(caller)
        try:
            while (pause := self._step(caller)) is not None:
                if pause:
                    self._clock.sleep(pause)
        finally:
            with self._lock:
                if caller in self._callers:
                    self._callers.remove(caller)

    def _step(self, caller: _Caller) -> float | None:
        """How long a caller waits before it asks again; None when its slot has come. Raises Retry."""
        with self._lock:
            now = self._clock.now()
            if caller.slot is not None and caller.slot + _LATE_SECONDS < now:
                # It slept too long, and the slot is gone. It does not have to queue again.
                caller.slot = None
                self._callers.appendleft(caller)
            self._hand_out(now)
            if caller.slot is not None:
                return caller.slot - now if now < caller.slot else None
            if caller.is_refused or now > caller.deadline:
                raise _used_up()
            if self._is_reserving:
                return _LOOK_SECONDS
            if self._end > now + 2 * _LONGEST_SECONDS or self._not_before > now + _LONGEST_SECONDS:
                self._end = self._not_before = 0.0
            if max(self._not_before, self._end) > caller.deadline:
                raise _used_up()
            if now < self._not_before:
                return self._not_before - now
            self._is_reserving = True
        try:
            self._reserve()
        except Exception:
            # What was not answered may have been written all the same.
            self._not_before = self._clock.now() + _PERIOD_SECONDS
            raise
        finally:
            self._is_reserving = False
        return 0.0

    def _hand_out(self, now: float) -> None:
        """Give the slots there are to those who wait."""
        if self._slots and self._slots[-1] > now + 2 * _LONGEST_SECONDS:
            # The clock was set back, and these are of a time that is not ours.
            self._slots.clear()
        while self._slots and self._slots[0] + _LATE_SECONDS < now:
            self._slots.popleft()
        while self._slots and self._callers:
            caller = self._callers.popleft()
            caller.is_refused = caller.deadline < self._slots[0]
            if not caller.is_refused:
                caller.slot = self._slots.popleft()
                self._used += 1

    def _reserve(self) -> None:
        """One attempt to get slots for those who wait, and for as many more as were of use last time. Raises Retry."""
        began = self._clock.now()
        found = self._store.read([self._path])[self._path]
        fields = found.fields or {}
        asked, self._uncertain = self._uncertain, None
        if asked is not None and fields.get("reservation") == asked.mark:
            # The answer to the last commit was lost, and not the commit.
            self._granted(asked)
            return
        now = self._clock.now()
        end = float(fields.get("next_at", 0.0))
        start = max(now + self._lead, end if end < now + 2 * _LONGEST_SECONDS else 0.0)
        count = self._how_many(start, now)
        if not count:
            return
        reservation = self._uncertain = _Reservation(secrets.token_hex(8), start, count)
        put = Put(self._path, {"next_at": start + count * self._distance, "reservation": reservation.mark})
        try:
            self._store.commit([put], {self._path: found})
        except Conflict:
            # Spread, so that instances that collided once do not collide again.
            self._not_before = self._clock.now() + random.uniform(*_PAUSE_SECONDS)  # noqa: S311 keeps no secret
            return
        self._lead = min(self._clock.now() - began, _PERIOD_SECONDS)
        self._granted(reservation)

    def _how_many(self, start: float, now: float) -> int:
        """How many slots to reserve from `start` on. Whoever cannot wait for theirs is refused, and gets none."""
        with self._lock:
            self._end = start
            served: deque[_Caller] = deque()
            for caller in self._callers:
                caller.is_refused = caller.deadline < start + len(served) * self._distance
                if not caller.is_refused:
                    served.append(caller)
            self._callers = served
            # What was of use a while ago says nothing about now, and where many wait nobody takes slots on suspicion.
            used = self._used if now < self._until + 2 * _PERIOD_SECONDS else 0
            soon = self._most - round((start - now - self._lead) / self._distance)
            more = min(2 * used, soon)
            return min(max(len(served), more), self._most) if served else 0

    def _granted(self, reservation: _Reservation) -> None:
        with self._lock:
            now = self._clock.now()
            self._uncertain = None
            self._slots.extend(reservation.start + number * self._distance for number in range(reservation.count))
            self._used = 0
            self._until = self._end = reservation.start + reservation.count * self._distance
            self._not_before = now + _PERIOD_SECONDS
            self._hand_out(now)


def _used_up() -> Retry:
    return Retry("the budget of calls to Stripe is used up for now")
