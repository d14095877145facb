"""Days and minutes in mails: the shop's time zone on both sides of every change, in the words of the reader."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from babel import Locale
from hypothesis import given
from hypothesis import strategies as st

from functions.mail.dates import day, moment

#: 2026-11-26 14:59:40 UTC.
EPOCH = 1_795_705_180


def epoch(iso: str) -> int:
    """The second of an ISO time with its offset."""
    return int(datetime.fromisoformat(iso).timestamp())


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("ja", "2026年11月23日"),
        ("ja_JP", "2026年11月23日"),
        ("en", "November 23, 2026"),
        ("en_US", "November 23, 2026"),
        ("en_GB", "23 November 2026"),
        ("en_AU", "23 November 2026"),
    ],
)
def test_a_day_is_written_as_the_reader_writes_it(locale: str, text: str) -> None:
    assert day(epoch("2026-11-23T12:00:00+09:00"), ZoneInfo("Asia/Tokyo"), Locale.parse(locale)) == text


@pytest.mark.parametrize(
    ("iso", "zone", "text"),
    [
        ("2026-11-30T14:59:59+00:00", "Asia/Tokyo", "November 30, 2026"),
        ("2026-11-30T15:00:00+00:00", "Asia/Tokyo", "December 1, 2026"),
        ("2026-12-31T14:59:59+00:00", "Asia/Tokyo", "December 31, 2026"),
        ("2026-12-31T15:00:00+00:00", "Asia/Tokyo", "January 1, 2027"),
        ("2028-02-28T15:00:00+00:00", "Asia/Tokyo", "February 29, 2028"),
        ("2027-01-01T04:59:59+00:00", "America/New_York", "December 31, 2026"),
        ("2026-12-31T10:00:00+00:00", "Pacific/Kiritimati", "January 1, 2027"),
        ("1970-01-01T00:00:00+00:00", "UTC", "January 1, 1970"),
        # Samoa went without this Friday.
        ("2011-12-30T09:59:59+00:00", "Pacific/Apia", "December 29, 2011"),
        ("2011-12-30T10:00:00+00:00", "Pacific/Apia", "December 31, 2011"),
    ],
)
def test_a_day_ends_at_midnight_of_the_zone(iso: str, zone: str, text: str) -> None:
    assert day(epoch(iso), ZoneInfo(zone), Locale("en")) == text


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("ja", "2026年11月26日 23:59"),
        ("en", "November 26, 2026 at 11:59 PM GMT+9"),
        ("en_GB", "26 November 2026 at 23:59 GMT+9"),
        ("de", "26. November 2026, 23:59 GMT+9"),
    ],
)
def test_a_minute_is_written_as_the_reader_writes_it(locale: str, text: str) -> None:
    assert moment(EPOCH, ZoneInfo("Asia/Tokyo"), Locale.parse(locale)) == text


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("Asia/Tokyo", "2026年11月26日 23:59"),
        ("Asia/Seoul", "2026年11月26日 23:59 GMT+9"),
        ("America/New_York", "2026年11月26日 9:59 GMT-5"),
        ("UTC", "2026年11月26日 14:59 GMT"),
    ],
)
def test_a_japanese_reader_is_told_the_offset_of_other_zones_only(zone: str, text: str) -> None:
    assert moment(EPOCH, ZoneInfo(zone), Locale("ja")) == text


@pytest.mark.parametrize(
    ("zone", "end"),
    [
        ("UTC", "2:59 PM GMT"),
        ("Europe/London", "2:59 PM GMT"),
        # Summer is standard time there, in the database of time zones.
        ("Europe/Dublin", "2:59 PM GMT"),
        ("Asia/Kolkata", "8:29 PM GMT+5:30"),
        ("Asia/Kathmandu", "8:44 PM GMT+5:45"),
        ("America/St_Johns", "11:29 AM GMT-3:30"),
        ("America/Los_Angeles", "6:59 AM GMT-8"),
        ("Pacific/Chatham", "4:44 AM GMT+13:45"),
    ],
)
def test_an_offset_is_that_of_the_zone(zone: str, end: str) -> None:
    assert moment(EPOCH, ZoneInfo(zone), Locale("en")).endswith(f" at {end}")


@pytest.mark.parametrize(
    ("iso", "zone", "text"),
    [
        ("2026-03-29T00:59:59+00:00", "Europe/Berlin", "March 29, 2026 at 1:59 AM GMT+1"),
        ("2026-03-29T01:00:00+00:00", "Europe/Berlin", "March 29, 2026 at 3:00 AM GMT+2"),
        ("2026-11-01T05:30:00+00:00", "America/New_York", "November 1, 2026 at 1:30 AM GMT-4"),
        ("2026-11-01T06:30:00+00:00", "America/New_York", "November 1, 2026 at 1:30 AM GMT-5"),
        ("2026-07-01T12:00:00+00:00", "Europe/Dublin", "July 1, 2026 at 1:00 PM GMT+1"),
        # Half an hour of summer.
        ("2026-07-01T12:00:00+00:00", "Australia/Lord_Howe", "July 1, 2026 at 10:30 PM GMT+10:30"),
        ("2026-12-31T23:59:59+00:00", "Australia/Lord_Howe", "January 1, 2027 at 10:59 AM GMT+11"),
    ],
)
def test_a_minute_is_unambiguous_where_clocks_change(iso: str, zone: str, text: str) -> None:
    assert moment(epoch(iso), ZoneInfo(zone), Locale("en")) == text


@pytest.mark.parametrize(
    ("iso", "text"),
    [
        ("2026-11-26T00:00:00+09:00", "November 26, 2026 at 12:00 AM GMT+9"),
        ("2026-11-26T12:00:00+09:00", "November 26, 2026 at 12:00 PM GMT+9"),
        ("2026-12-31T23:59:59+09:00", "December 31, 2026 at 11:59 PM GMT+9"),
    ],
)
def test_midnight_and_noon_are_told_apart(iso: str, text: str) -> None:
    assert moment(epoch(iso), ZoneInfo("Asia/Tokyo"), Locale("en")) == text


@given(
    st.integers(0, 2**32),
    st.sampled_from(
        ["Asia/Tokyo", "UTC", "America/St_Johns", "Europe/Dublin", "Asia/Kathmandu", "Australia/Lord_Howe"]
    ),
)
def test_a_minute_can_be_read_back(epoch_seconds: int, zone: str) -> None:
    text, _, offset = moment(epoch_seconds, ZoneInfo(zone), Locale("en")).rpartition(" GMT")
    sign, hours, minutes = offset[:1] or "+", *(int(n) for n in (f"{offset[1:] or 0}:0").split(":")[:2])
    at = datetime.strptime(f"{text} {sign}{hours:02}{minutes:02}", "%B %d, %Y at %I:%M %p %z")
    assert at.timestamp() == epoch_seconds - epoch_seconds % 60


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("epoch_seconds", [2**63, 10**18, 10**12, -(10**12)])
def test_a_year_that_no_calendar_has_is_an_error(epoch_seconds: int, zone: str) -> None:
    with pytest.raises(OverflowError):
        day(epoch_seconds, ZoneInfo(zone), Locale("en"))
