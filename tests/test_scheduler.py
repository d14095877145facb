"""The local clock: when cron means, and what is called then."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from local.scheduler import Cadence, Scheduler
from tests.test_webhook import MovableClock

MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)


def at(hour: int, minute: int, second: int = 0, *, days: int = 0) -> datetime:
    return MIDNIGHT + timedelta(days=days, hours=hour, minutes=minute, seconds=second)


@pytest.mark.parametrize(
    ("schedule", "moment", "following"),
    [
        ("*/5 * * * *", at(9, 0), at(9, 5)),
        ("*/5 * * * *", at(9, 4, 59), at(9, 5)),
        ("*/5 * * * *", at(9, 55), at(10, 0)),
        ("*/5 * * * *", at(23, 57), at(0, 0, days=1)),
        ("*/1 * * * *", at(9, 0, 30), at(9, 1)),
        ("*/15 * * * *", at(9, 50), at(10, 0)),
        # As cron has it: each hour begins anew.
        ("*/7 * * * *", at(9, 56), at(10, 0)),
        ("*/59 * * * *", at(9, 30), at(9, 59)),
        ("0 * * * *", at(9, 0), at(10, 0)),
        ("30 * * * *", at(9, 0), at(9, 30)),
        ("05 * * * *", at(9, 0), at(9, 5)),
        ("0 3 * * *", at(2, 59, 59), at(3, 0)),
        ("0 3 * * *", at(3, 0), at(3, 0, days=1)),
        ("59 23 * * *", at(23, 59), at(23, 59, days=1)),
        ("0 0 * * *", at(12, 0), at(0, 0, days=1)),
    ],
)
def test_the_next_time_of_a_schedule(schedule: str, moment: datetime, following: datetime) -> None:
    assert Cadence.of(schedule).after(moment) == following


def test_cron_is_in_utc() -> None:
    tokyo = datetime.fromisoformat("2026-11-24T12:00:00+09:00")
    assert Cadence.of("30 3 * * *").after(tokyo) == at(3, 30)


@pytest.mark.parametrize(
    "schedule",
    [
        *("", "* * * * *", "*/0 * * * *", "*/60 * * * *", "60 * * * *", "0 24 * * *", "*/5 3 * * *", "*/5 * * *"),
        *("0 3 1 * *", "0 3 * 1 *", "0 9 * * 1", "0,30 * * * *", "0-5 * * * *", "@daily", "every 5 minutes"),
        *("-1 * * * *", "*/5  * * * *", " */5 * * * *", "0 */2 * * *"),
    ],
)
def test_what_the_scheduler_does_not_know_is_said(schedule: str) -> None:
    with pytest.raises(ValueError, match=r"^the local scheduler does not know the schedule '.*', but \*/N"):
        Cadence.of(schedule)
    with pytest.raises(ValueError, match="does not know"):
        Scheduler(print, {"sweep_mail": schedule}, MovableClock())


class Called:
    """Who was called, and when; who is told to fails."""

    def __init__(self, clock: MovableClock, failing: str = "") -> None:
        self.calls: list[tuple[str, datetime]] = []
        self._clock = clock
        self._failing = failing

    def __call__(self, name: str) -> None:
        self.calls.append((name, datetime.fromtimestamp(self._clock.now(), UTC)))
        if name == self._failing:
            raise ConnectionError("the emulator is away")

    def wait_for(self, name: str, moment: datetime) -> None:
        wait_for(lambda: (name, moment) in self.calls)


def scheduler(called: Called, clock: MovableClock) -> Scheduler:
    schedules = {"sweep_mail": "*/5 * * * *", "send_due_reminders": "*/15 * * * *"}
    return Scheduler(called, schedules, clock, poll_seconds=0.005)


def test_each_name_is_called_at_its_times() -> None:
    clock = MovableClock(at(8, 58).timestamp())
    called = Called(clock)
    with scheduler(called, clock):
        for minute in range(17):
            now = at(8, 58) + timedelta(minutes=minute)
            clock.time = now.timestamp()
            if now.minute % 5 == 0:
                called.wait_for("sweep_mail", now)
            if now.minute % 15 == 0:
                called.wait_for("send_due_reminders", now)
    assert sorted(called.calls) == [
        ("send_due_reminders", at(9, 0)),
        ("sweep_mail", at(9, 0)),
        ("sweep_mail", at(9, 5)),
        ("sweep_mail", at(9, 10)),
    ]


def test_a_laptop_that_slept_calls_once_for_all_that_was_missed() -> None:
    clock = MovableClock(at(9, 1).timestamp())
    called = Called(clock)
    with scheduler(called, clock):
        clock.time = at(17, 3).timestamp()
        wait_for(lambda: len(called.calls) == 2)
        clock.time = at(17, 5).timestamp()
        wait_for(lambda: len(called.calls) == 3)
    assert [name for name, _ in called.calls] == ["sweep_mail", "send_due_reminders", "sweep_mail"]


def test_a_call_that_fails_is_made_again_the_next_time(caplog: pytest.LogCaptureFixture) -> None:
    clock = MovableClock(at(9, 14).timestamp())
    called = Called(clock, failing="sweep_mail")
    with scheduler(called, clock):
        for moment in (at(9, 15), at(9, 20)):
            clock.time = moment.timestamp()
            called.wait_for("sweep_mail", moment)
        called.wait_for("send_due_reminders", at(9, 15))
    assert caplog.messages == ["sweep_mail was not called: the emulator is away"] * 2


def test_nothing_is_left_running() -> None:
    clock = MovableClock(at(9, 0).timestamp())
    before = threading.active_count()
    with scheduler(Called(clock), clock):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def wait_for(condition: Callable[[], bool], patience_seconds: float = 10) -> None:
    deadline = time.monotonic() + patience_seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)
