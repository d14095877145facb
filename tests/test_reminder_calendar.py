"""Months and days of the shop: month ends, leap years, and clocks that jump."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.reminders.calendar import days_after, days_before, end_of_month, is_a_time, local, months_after

ZONES = ("Asia/Tokyo", "America/New_York", "Europe/London", "UTC", "Pacific/Kiritimati", "America/Santiago")
zones = st.sampled_from(ZONES).map(ZoneInfo)
#: 2000 to 2090.
times = st.integers(946_684_800, 3_786_912_000)


def epoch(iso: str) -> int:
    """The second of an ISO time with its offset."""
    return int(datetime.fromisoformat(iso).timestamp())


def shown(at: int, zone: str) -> str:
    return local(at, ZoneInfo(zone)).isoformat()


@pytest.mark.parametrize(
    ("start", "months", "zone", "end"),
    [
        ("2026-01-15T09:30:00+09:00", 1, "Asia/Tokyo", "2026-02-15T09:30:00+09:00"),
        ("2026-01-31T09:30:00+09:00", 1, "Asia/Tokyo", "2026-02-28T09:30:00+09:00"),
        ("2026-01-31T09:30:00+09:00", 2, "Asia/Tokyo", "2026-03-31T09:30:00+09:00"),
        ("2026-01-31T09:30:00+09:00", 3, "Asia/Tokyo", "2026-04-30T09:30:00+09:00"),
        ("2028-01-31T09:30:00+09:00", 1, "Asia/Tokyo", "2028-02-29T09:30:00+09:00"),
        ("2026-12-31T23:59:59+09:00", 2, "Asia/Tokyo", "2027-02-28T23:59:59+09:00"),
        ("2024-02-29T00:00:00+00:00", 12, "UTC", "2025-02-28T00:00:00+00:00"),
        ("2024-02-29T00:00:00+00:00", 48, "UTC", "2028-02-29T00:00:00+00:00"),
        ("2025-11-30T12:00:00+00:00", 12, "UTC", "2026-11-30T12:00:00+00:00"),
        # The last day of a month in the zone is the first of the next one somewhere else.
        ("2026-01-30T10:00:00+00:00", 1, "Pacific/Kiritimati", "2026-02-28T00:00:00+14:00"),
        ("2026-02-01T04:59:00+00:00", 1, "America/New_York", "2026-02-28T23:59:00-05:00"),
        # The same time of day on both sides of a change of clocks.
        ("2026-02-08T09:00:00-05:00", 1, "America/New_York", "2026-03-08T09:00:00-04:00"),
        ("2026-10-24T09:00:00+01:00", 1, "Europe/London", "2026-11-24T09:00:00+00:00"),
        # An hour that does not exist, and one that does twice.
        ("2026-02-08T02:30:00-05:00", 1, "America/New_York", "2026-03-08T03:30:00-04:00"),
        ("2026-10-01T01:30:00-04:00", 1, "America/New_York", "2026-11-01T01:30:00-04:00"),
        ("2026-03-29T00:30:00+00:00", 12, "Europe/London", "2027-03-29T00:30:00+01:00"),
        ("2021-10-31T01:30:00+00:00", 29, "Europe/London", "2024-03-31T02:30:00+01:00"),
    ],
)
def test_months_end_where_a_calendar_ends_them(start: str, months: int, zone: str, end: str) -> None:
    assert shown(months_after(epoch(start), months, ZoneInfo(zone)), zone) == end


@pytest.mark.parametrize(
    ("start", "days", "zone", "end"),
    [
        ("2026-01-31T09:30:00+09:00", -30, "Asia/Tokyo", "2026-01-01T09:30:00+09:00"),
        ("2026-03-30T09:00:00-04:00", -30, "America/New_York", "2026-02-28T09:00:00-05:00"),
        ("2026-10-31T12:00:00-04:00", 3, "America/New_York", "2026-11-03T12:00:00-05:00"),
        ("2026-03-07T02:30:00-05:00", 1, "America/New_York", "2026-03-08T03:30:00-04:00"),
        ("2026-10-24T01:30:00+01:00", 1, "Europe/London", "2026-10-25T01:30:00+01:00"),
        # The day that Samoa went without.
        ("2011-12-29T12:00:00-10:00", 1, "Pacific/Apia", "2011-12-31T12:00:00+14:00"),
    ],
)
def test_days_are_days_of_the_calendar(start: str, days: int, zone: str, end: str) -> None:
    assert shown(days_after(epoch(start), days, ZoneInfo(zone)), zone) == end
    assert days_before(epoch(start), -days, ZoneInfo(zone)) == epoch(end)


@pytest.mark.parametrize(
    ("year", "month", "zone", "end"),
    [
        (2026, 2, "Asia/Tokyo", "2026-03-01T00:00:00+09:00"),
        (2028, 2, "Asia/Tokyo", "2028-03-01T00:00:00+09:00"),
        (2026, 12, "America/New_York", "2027-01-01T00:00:00-05:00"),
        (2026, 3, "Europe/London", "2026-04-01T00:00:00+01:00"),
        (2026, 6, "Pacific/Kiritimati", "2026-07-01T00:00:00+14:00"),
        # A month whose successor has no midnight.
        (2015, 2, "America/Asuncion", "2015-03-01T00:00:00-03:00"),
        (2017, 9, "America/Asuncion", "2017-10-01T01:00:00-03:00"),
    ],
)
def test_a_month_ends_at_midnight_of_the_zone(year: int, month: int, zone: str, end: str) -> None:
    assert shown(end_of_month(year, month, ZoneInfo(zone)), zone) == end


@given(times, st.integers(0, 400), zones)
def test_every_month_is_the_one_that_was_counted_to_and_has_the_first_day(
    start: int, months: int, zone: ZoneInfo
) -> None:
    begins, ends = local(start, zone), local(months_after(start, months, zone), zone)
    assert (ends.year * 12 + ends.month) - (begins.year * 12 + begins.month) == months
    following = date(ends.year + ends.month // 12, ends.month % 12 + 1, 1)
    assert ends.day == min(begins.day, (following - timedelta(days=1)).day)
    assert months_after(start, 0, zone) == start


@given(times, st.integers(0, 200), zones)
def test_a_later_month_is_later(start: int, months: int, zone: ZoneInfo) -> None:
    assert months_after(start, months, zone) < months_after(start, months + 1, zone)


@given(times, st.integers(-400, 400), zones)
def test_so_many_days_later_it_is_that_day_at_that_hour(start: int, days: int, zone: ZoneInfo) -> None:
    begins, ends = local(start, zone), local(days_after(start, days, zone), zone)
    # An hour that the clocks skip at midnight or in the night is the one after it.
    expected = begins.replace(tzinfo=None, fold=0) + timedelta(days=days)
    assert ends.replace(tzinfo=None, fold=0) - expected in {timedelta(), timedelta(hours=1)}
    assert ends.date() == expected.date()


@given(times, st.integers(1, 40), zones)
def test_before_and_after_undo_each_other_but_for_hours_that_the_clocks_touch(
    start: int, days: int, zone: ZoneInfo
) -> None:
    there_and_back = days_before(days_after(start, days, zone), days, zone)
    assert abs(there_and_back - start) <= 3_600


@given(st.integers(1970, 2999), st.integers(1, 12), zones)
def test_a_month_ends_with_its_last_second(year: int, month: int, zone: ZoneInfo) -> None:
    end = end_of_month(year, month, zone)
    last, first = local(end - 1, zone), local(end, zone)
    assert (last.year, last.month) == (year, month)
    assert (first.month, first.day) == (month % 12 + 1, 1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, False), (-1, False), (0, True), (1_800_000_000, True), (32_503_680_000, False), (2**62, False)],
)
def test_what_no_calendar_knows_is_no_time(value: int | None, expected: bool) -> None:
    assert is_a_time(value) is expected
