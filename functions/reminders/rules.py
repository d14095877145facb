"""When a document has to be looked at again: one rule for each kind of reminder, and the two fields that come of them.

Functions of the document alone, with the ids in its `mails`: whoever stores a document stores its reminders with it,
and whatever changes moves them or takes them away. What is said when the time has come is decided in `due`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

from functions.reminders.calendar import days_after, days_before, end_of_month, is_a_time, local, months_after
from functions.reminders.settings import ReminderSettings
from functions.reminders.subscriptions import Fields, is_ending, is_free, is_monthly, next_renewal, when

Kind = Literal["upgrade_offer", "yearly_offer", "renewal", "trial_ending", "unpaid_followup", "card_expiring"]

RENEWAL_DAYS = 30
CARD_DAYS: tuple[Literal[30, 7], ...] = (30, 7)
FOLLOWUP_DAYS: tuple[Literal[3, 7], ...] = (3, 7)
#: To the second what Stripe's own `trial_will_end` keeps to, whatever the clocks do.
_TRIAL_WILL_END_SECONDS = 3 * 86_400
#: Ours is for the case that Stripe's does not come.
_AFTER_STRIPE_SECONDS = 3_600


@dataclass(frozen=True, slots=True)
class Occasion:
    """A time to look at a document, and the id of the mail that may come of it.

    `mark` tells the occasions of one kind apart: days, or the year of an anniversary; 0 where there is only one.
    """

    due_at: int
    mail: str
    mark: int = 0


#: The occasions of one kind that a document has, told or not, in the order of time; perhaps without an end.
Rule = Callable[[Fields, ReminderSettings], Iterator[Occasion]]


def _upgrade_offer(subscription: Fields, settings: ReminderSettings) -> Iterator[Occasion]:
    """Once: in the middle of a trial, or some days after the start of a free plan."""
    if is_ending(subscription):
        return
    status, start = subscription["status"], when(subscription, "start_date")
    mail = f"upgrade_offer_{subscription['id']}"
    if status == "trialing":
        begins, ends = when(subscription, "trial_start") or start, when(subscription, "trial_end")
        if begins is not None and ends is not None and begins < ends:
            yield Occasion((begins + ends) // 2, mail)
    elif status == "active" and start is not None and is_free(subscription["items"], subscription["currency"]):
        yield Occasion(days_after(start, settings.upgrade_offer_after_days, settings.zone), mail)


def _yearly_offer(subscription: Fields, settings: ReminderSettings) -> Iterator[Occasion]:
    """On each anniversary of the first month that was paid for, from the current period on."""
    items, start = subscription["items"], when(subscription, "start_date")
    is_offered = subscription["status"] == "active" and not is_ending(subscription) and not _is_paused(subscription)
    if not is_offered or start is None or not is_monthly(items) or is_free(items, subscription["currency"]):
        return
    begins = max(start, when(subscription, "trial_end") or start)
    # A period begins with the anniversary, within a day or so. Its beginning must not hide one that may still be told.
    earliest = (when(subscription, "current_period_start") or begins) - settings.max_age_seconds
    first_year = local(begins, settings.zone).year
    for year in count(first_year + 1):
        due_at = months_after(begins, 12 * (year - first_year), settings.zone)
        if not is_a_time(due_at):
            return
        if due_at >= earliest:
            yield Occasion(due_at, f"yearly_offer_{subscription['id']}_{year}", year)


def _renewal(subscription: Fields, settings: ReminderSettings) -> Iterator[Occasion]:
    """30 days before something of a year or longer is paid for again, or ends instead.

    Not of a trial, whose end has a mail of its own, and not where nothing will be charged. What is past due renews all
    the same.
    """
    renewal = next_renewal(subscription)
    is_told = subscription["status"] in {"active", "past_due"} and not _is_paused(subscription)
    if is_told and renewal and not is_free(renewal.items, subscription["currency"]):
        due_at = days_before(renewal.period_end, RENEWAL_DAYS, settings.zone)
        yield Occasion(due_at, f"renewal_{subscription['id']}_{renewal.period_end}")


def _trial_ending(subscription: Fields, settings: ReminderSettings) -> Iterator[Occasion]:  # noqa: ARG001 -- a Rule
    """An hour after Stripe says so: three days before the end, or at the start of a trial that is shorter."""
    ends = when(subscription, "trial_end")
    if subscription["status"] == "trialing" and ends is not None:
        begins = when(subscription, "trial_start") or 0
        due_at = max(ends - _TRIAL_WILL_END_SECONDS, begins) + _AFTER_STRIPE_SECONDS
        if due_at < ends:
            yield Occasion(due_at, f"trial_ending_{subscription['id']}_{ends}")


def _unpaid_followup(invoice: Fields, settings: ReminderSettings) -> Iterator[Occasion]:
    """3 and 7 days after the latest failed payment of an invoice that is still owed."""
    failed_at = when(invoice, "failed_at")
    if invoice["status"] == "open" and failed_at is not None and invoice["amount_remaining"] != 0:
        for days in FOLLOWUP_DAYS:
            mail = f"unpaid_followup_{invoice['id']}_{invoice['attempt_count'] or 0}_{days}"
            yield Occasion(days_after(failed_at, days, settings.zone), mail, days)


def _card_expiring(payment_method: Fields, settings: ReminderSettings) -> Iterator[Occasion]:
    """30 and 7 days before the end of its last month."""
    ends = card_ends(payment_method, settings)
    if ends is not None and not payment_method["detached"]:
        month = f"{payment_method['exp_year']:04}{payment_method['exp_month']:02}"
        for days in CARD_DAYS:
            mail = f"card_expiring_{payment_method['id']}_{month}{'' if days == 30 else f'_{days}'}"
            yield Occasion(days_before(ends, days, settings.zone), mail, days)


def card_ends(payment_method: Fields, settings: ReminderSettings) -> int | None:
    """The first second in which a card is not valid any more."""
    year, month = payment_method["exp_year"], payment_method["exp_month"]
    if year is None or month is None or not (1970 <= year < 2999 and 1 <= month <= 12):
        return None
    return end_of_month(year, month, settings.zone)


def _is_paused(subscription: Fields) -> bool:
    """While collection is paused periods go by and nothing is charged."""
    return subscription["pause_collection"] is not None


RULES: Mapping[Kind, Rule] = {
    "upgrade_offer": _upgrade_offer,
    "yearly_offer": _yearly_offer,
    "renewal": _renewal,
    "trial_ending": _trial_ending,
    "unpaid_followup": _unpaid_followup,
    "card_expiring": _card_expiring,
}


def schedule_subscription(subscription: Fields, settings: ReminderSettings) -> dict[Kind, int]:
    """When `customers/{c}/subscriptions/{sub}` has to be looked at, and why."""
    return _schedule(("upgrade_offer", "yearly_offer", "renewal", "trial_ending"), subscription, settings)


def schedule_invoice(invoice: Fields, settings: ReminderSettings) -> dict[Kind, int]:
    """When `customers/{c}/invoices/{in}` has to be looked at, and why."""
    return _schedule(("unpaid_followup",), invoice, settings)


def schedule_payment_method(payment_method: Fields, settings: ReminderSettings) -> dict[Kind, int]:
    """When `customers/{c}/payment_methods/{pm}` has to be looked at, and why."""
    return _schedule(("card_expiring",), payment_method, settings)


#: By the collection that a document is found in.
SCHEDULES: Mapping[str, Callable[[Fields, ReminderSettings], dict[Kind, int]]] = {
    "subscriptions": schedule_subscription,
    "invoices": schedule_invoice,
    "payment_methods": schedule_payment_method,
}


def _schedule(kinds: tuple[Kind, ...], document: Fields, settings: ReminderSettings) -> dict[Kind, int]:
    firsts = {kind: next(untold(kind, document, settings), None) for kind in kinds}
    return {kind: first.due_at for kind, first in firsts.items() if first is not None}


def untold(kind: Kind, document: Fields, settings: ReminderSettings) -> Iterator[Occasion]:
    """The occasions of that kind that nobody has been told of, nor ever will be, in the order of time."""
    told = frozenset(document.get("mails", ()))
    return (occasion for occasion in RULES[kind](document, settings) if occasion.mail not in told)


def fields(schedule: Mapping[Kind, int]) -> dict[str, Any]:
    """The two fields to be stored with the document."""
    return {"reminders": dict(schedule), "next_reminder_at": min(schedule.values(), default=None)}
