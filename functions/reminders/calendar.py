"""Months and days as a shop counts them: in its time zone, at the same time of day, whatever the clocks do.

Times are epoch seconds. An hour that the clocks skip becomes the one after it, one that they repeat the first of both.
"""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The year 3000.
_END = 32_503_680_000


def is_a_time(value: int | None) -> bool:
    """Whether a number can be one of Stripe's times: what lies beyond is no date that anybody would be reminded of."""
    return value is not None and 0 <= value < _END


def local(at: float, zone: ZoneInfo) -> datetime:
    """The date and time of day in the zone."""
    # fromtimestamp fails in another way on each platform where a number is too large.
    return (_EPOCH + timedelta(seconds=at)).astimezone(zone)


def months_after(start: int, months: int, zone: ZoneInfo) -> int:
    """The same day of another month, or the last one of a month that is too short.

    Count each time from the first start: 31 January, 28 February, 31 March. From month to month the day would be lost.
    """
    if months == 0:
        return start
    begins = local(start, zone)
    year, month = divmod(begins.year * 12 + begins.month - 1 + months, 12)
    day = min(begins.day, monthrange(year, month + 1)[1])
    return _seconds(begins.replace(year=year, month=month + 1, day=day, fold=0))


def days_after(start: int, days: int, zone: ZoneInfo) -> int:
    """The same time of day so many days later."""
    if days == 0:
        return start
    return _seconds((local(start, zone) + timedelta(days=days)).replace(fold=0))


def days_before(end: int, days: int, zone: ZoneInfo) -> int:
    """The same time of day so many days earlier."""
    return days_after(end, -days, zone)


def end_of_month(year: int, month: int, zone: ZoneInfo) -> int:
    """The first second after that month."""
    return _seconds(datetime(year + month // 12, month % 12 + 1, 1, tzinfo=zone))


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
