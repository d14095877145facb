"""What a stored subscription says of its price, its next renewal, its end, and whether it is in use."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from functions.reminders.calendar import is_a_time
from functions.reminders.settings import ReminderSettings

Fields = Mapping[str, Any]

#: How many of each make a year.
_A_YEAR = {"day": 365, "week": 52, "month": 12, "year": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """The next time that something of a year or longer is paid for, and what that is."""

    period_end: int
    items: tuple[Fields, ...]


def when(document: Fields, key: str) -> int | None:
    """A time, where the document has one that a calendar knows."""
    value: int | None = document.get(key)
    return value if is_a_time(value) else None


def is_free(items: Iterable[Fields], currency: str | None) -> bool:
    """Whether these items are known to cost nothing: each has its price, and each of them is 0."""
    costs = [_cost(item, currency) for item in items]
    return bool(costs) and all(cost == 0 for cost in costs)


def _cost(item: Fields, currency: str | None) -> int | None:
    """What an item costs, where the document knows it.

    An item shows the amount in its price's own currency, though the subscription may be paid in another one.
    """
    amount: int | None = item["unit_amount"]
    if amount is None or (currency is not None and item["currency"] != currency):
        return None
    quantity: int | None = item["quantity"]
    return 0 if amount == 0 else None if quantity is None else amount * quantity


def is_monthly(items: Iterable[Fields]) -> bool:
    """Whether everything is paid each month, in advance and for a number of units that is known."""
    rhythms = {(item["interval"], item["interval_count"] or 1, item["quantity"] is None) for item in items}
    return rhythms == {("month", 1, False)}


def next_renewal(subscription: Fields) -> Renewal | None:
    """When something that is paid for a year or longer renews next. Items may renew at different times."""
    long = [(item, when(item, "current_period_end")) for item in subscription["items"] if _lasts_a_year(item)]
    ends = [end for _, end in long if end is not None]
    if not ends:
        return None
    return Renewal(period_end=min(ends), items=tuple(item for item, end in long if end == min(ends)))


def _lasts_a_year(item: Fields) -> bool:
    least = _A_YEAR.get(item["interval"])
    return least is not None and (item["interval_count"] or 1) >= least


def is_ending(subscription: Fields) -> bool:
    """Whether its end is settled: nobody who is leaving is offered more."""
    return bool(subscription["cancel_at_period_end"]) or subscription["cancel_at"] is not None


def ends_by(subscription: Fields, moment: int) -> int | None:
    """When a subscription ends, if it does so by itself and not after that moment."""
    period_end = subscription["current_period_end"] if subscription["cancel_at_period_end"] else None
    ends = (subscription["cancel_at"], period_end)
    return min((end for end in ends if end is not None and end <= moment), default=None)


def gives_access(subscription: Fields, settings: ReminderSettings) -> bool:
    """Whether it is in use."""
    status = subscription["status"]
    return status in {"active", "trialing"} or (status == "past_due" and settings.past_due_gives_access)


def is_charged_to(payment_method: str, subscription: Fields, customer: Fields) -> bool:
    """Whether its next payment is taken from there: its own payment method goes before the customer's."""
    if subscription["collection_method"] == "send_invoice":
        return False
    own = subscription["default_payment_method"] or customer.get("default_payment_method")
    return bool(own == payment_method)
