"""Calls the functions that the time of day calls, as Cloud Scheduler does in the cloud: by cron, in UTC."""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from functions.clock import Clock
from local.background import Background

log = logging.getLogger(__name__)
_FORM = re.compile(r"(?:\*/(?P<every>\d{1,2})|(?P<minute>\d{1,2})) (?P<hour>\*|\d{1,2}) \* \* \*")


@dataclass(frozen=True, slots=True)
class Cadence:
    """The minutes of a day at which something is to be done."""

    minutes: frozenset[int]
    hours: frozenset[int]

    @classmethod
    def of(cls, schedule: str) -> "Cadence":
        """`*/N * * * *`, `M * * * *` or `M H * * *`. Raises ValueError for the rest of cron, which no row uses yet."""
        found = _FORM.fullmatch(schedule)
        if found:
            every, minute, hour = found["every"], int(found["minute"] or 0), found["hour"]
            is_right = 1 <= int(every) < 60 and hour == "*" if every else minute < 60
            if is_right and (hour == "*" or int(hour) < 24):
                minutes = range(0, 60, int(every)) if every else (minute,)
                return cls(frozenset(minutes), frozenset(range(24) if hour == "*" else (int(hour),)))
        raise ValueError(
            f"the local scheduler does not know the schedule {schedule!r}, but */N * * * *, M * * * * and M H * * *"
        )

    def after(self, moment: datetime) -> datetime:
        """The next time, later than this moment."""
        following = moment.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        while following.hour not in self.hours or following.minute not in self.minutes:
            following += timedelta(minutes=1)
        return following


class Scheduler(Background):
    """While the block lasts, a thread calls `tick` with each name at its times.

    After a laptop has slept each name is called once, and not once for every time that was missed.
    """

    def __init__(
        self, tick: Callable[[str], None], schedules: Mapping[str, str], clock: Clock, *, poll_seconds: float = 1
    ) -> None:
        """`schedules` are cron's, by name. Raises ValueError."""
        self._tick = tick
        self._cadences = {name: Cadence.of(schedule) for name, schedule in schedules.items()}
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._due = {name: cadence.after(self._now()) for name, cadence in self._cadences.items()}
        super().__init__("scheduler")

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)

    def _run(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            now = self._now()
            for name in [name for name, due in self._due.items() if due <= now]:
                self._due[name] = self._cadences[name].after(now)
                try:
                    self._tick(name)
                except Exception as problem:  # the next tick does the work of this one
                    log.warning("%s was not called: %s", name, problem)
