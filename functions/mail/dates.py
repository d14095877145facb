"""Dates and times as people read them, in the time zone of the shop."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time

_AT_HOME = {"ja": "Asia/Tokyo"}


def day(epoch_seconds: int, zone: ZoneInfo, locale: Locale) -> str:
    """The day on which that second falls in the zone: `2026年11月23日`, `November 23, 2026`, `23 November 2026`.

    Raises OverflowError where the year is not one from 1 to 9999.
    """
    return format_date(_at(epoch_seconds, zone), "long", locale)


def moment(epoch_seconds: int, zone: ZoneInfo, locale: Locale) -> str:
    """The minute in which that second falls, with the zone's offset: `November 26, 2026 at 11:59 PM GMT+9`.

    An offset, because abbreviations mean too much: IST is the time of India, Ireland and Israel, and PST that of
    Manila, too. Japanese readers are told the offset only where it is not their own: `2026年11月26日 23:59`.
    Raises OverflowError where the year is not one from 1 to 9999.
    """
    at = _at(epoch_seconds, zone)
    # CLDR joins with "at" in English; Babel's data only have the comma.
    joined: str = "{1} at {0}" if locale.language == "en" else locale.datetime_formats["long"]
    # CLDR's narrow no-break space before AM and PM is a box in the fonts of some mail clients.
    time = format_time(at, "short", locale=locale).replace("\N{NARROW NO-BREAK SPACE}", " ")
    text = joined.format(time, format_date(at, "long", locale))
    if _AT_HOME.get(locale.language) == zone.key:
        return text
    return f"{text} {_offset(at.utcoffset() or timedelta())}"


def _at(epoch_seconds: int, zone: ZoneInfo) -> datetime:
    # fromtimestamp fails in another way on each platform where a number is too large.
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=epoch_seconds)).astimezone(zone)


def _offset(offset: timedelta) -> str:
    """`GMT`, `GMT+9`, `GMT-3:30`: CLDR's short form. Babel's own writes -3:30 as -0430."""
    hours, minutes = divmod(abs(offset) // timedelta(minutes=1), 60)
    sign = "-" if offset < timedelta() else "+"
    return f"GMT{sign}{hours}" + (f":{minutes:02}" if minutes else "") if hours or minutes else "GMT"
