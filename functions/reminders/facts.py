"""The facts of a reminder whose time has come, as the state is now, or why there is nothing to say. Pure.

What else has to be known is asked for, and only where it decides something.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from functions.letters import Facts
from functions.mail import compose
from functions.mail.facts import CardExpiring, Renewal, TrialEnding, UnpaidFollowup, UpgradeOffer, YearlyOffer
from functions.reminders import subscriptions
from functions.reminders.rules import Kind, Occasion, card_ends
from functions.reminders.savings import Price, yearly_saving
from functions.reminders.settings import ReminderSettings
from functions.reminders.subscriptions import Fields, ends_by, gives_access, is_charged_to, is_free


@dataclass(frozen=True, slots=True)
class AskSubscriptions:
    """Every subscription of this customer, as stored. Answered with a list of documents."""

    customer: str


@dataclass(frozen=True, slots=True)
class AskPrices:
    """Every price of these products, archived ones too, as Stripe sends them. Answered with one list.

    `GET /v1/prices?product=…&expand[]=data.tiers&expand[]=data.currency_options` without `active`; and
    `data.currency_options.tiers` where there are tiers in several currencies.
    """

    products: tuple[str, ...]


#: The facts, or why there are none.
Found = Facts | str
Finding = Generator[AskSubscriptions | AskPrices, Any, Found]


def facts_of(
    kind: Kind, occasion: Occasion, document: Fields, customer: Fields, *, settings: ReminderSettings, now: float
) -> Finding:
    """What a document says for this occasion of this kind."""
    if kind == "yearly_offer":
        return (yield from _yearly_offer(document, occasion))
    if kind == "card_expiring":
        return (yield from _card_expiring(document, occasion, customer, settings, now))
    if kind == "upgrade_offer":
        return _upgrade_offer(document, now)
    if kind == "renewal":
        return _renewal(document, now)
    return _trial_ending(document, now) if kind == "trial_ending" else _unpaid_followup(document, occasion, now)


def _upgrade_offer(subscription: Fields, now: float) -> Found:
    trial_end = subscription["trial_end"] if subscription["status"] == "trialing" else None
    if trial_end is not None and trial_end <= now:
        return "the trial is over"
    plan = compose.plan(subscription["items"], subscription["currency"])
    return UpgradeOffer(subscription=subscription["id"], plan=plan, trial_end=trial_end)


def _yearly_offer(subscription: Fields, occasion: Occasion) -> Generator[AskPrices, list[Price], Found]:
    items = subscription["items"]
    currency, products = subscription["currency"] or items[0]["currency"], {item["product"] for item in items}
    if currency is None or None in products:
        return "what it costs is not known"
    saving = yearly_saving(items, (yield AskPrices(tuple(sorted(products)))), currency)
    if saving is None:
        return "no yearly price of all its items that would save anything"
    return YearlyOffer(
        subscription=subscription["id"],
        year=occasion.mark,
        monthly_amount=saving.monthly,
        yearly_amount=saving.yearly,
        saving=saving.amount,
        percent=saving.percent,
        currency=currency,
    )


def _renewal(subscription: Fields, now: float) -> Found:
    renewal = subscriptions.next_renewal(subscription)
    if renewal is None or renewal.period_end <= now:
        return "the period is over"
    ends_at = ends_by(subscription, renewal.period_end)
    return Renewal(
        subscription=subscription["id"],
        period_end=renewal.period_end,
        ends=ends_at is not None,
        ends_at=ends_at,
        plan=compose.plan(renewal.items, subscription["currency"]),
    )


def _trial_ending(subscription: Fields, now: float) -> Found:
    trial_end: int = subscription["trial_end"]
    if trial_end <= now:
        return "the trial is over"
    return TrialEnding(
        subscription=subscription["id"],
        trial_end=trial_end,
        is_canceled=subscription["cancel_at_period_end"] or ends_by(subscription, trial_end) is not None,
        plan=compose.plan(subscription["items"], subscription["currency"]),
    )


def _unpaid_followup(invoice: Fields, occasion: Occasion, now: float) -> Found:
    following = invoice["next_payment_attempt"]
    days: Literal[3, 7] = 3 if occasion.mark == 3 else 7
    return UnpaidFollowup(
        invoice=compose.invoice(invoice),
        attempt=invoice["attempt_count"] or 0,
        days=days,
        next_payment_attempt=following if following is not None and following > now else None,
    )


def _card_expiring(
    card: Fields, occasion: Occasion, customer: Fields, settings: ReminderSettings, now: float
) -> Generator[AskSubscriptions, Sequence[Fields], Found]:
    ends = card_ends(card, settings)
    if ends is None or ends <= now:
        return "the card has expired"
    found = yield AskSubscriptions(card["customer"])
    if not any(_needs(card, each, ends, customer, settings) for each in found):
        return "no subscription is paid with it for longer than it is valid"
    days_left: Literal[30, 7] = 30 if occasion.mark == 30 else 7
    return CardExpiring(
        payment_method=card["id"],
        card_brand=card["brand"],
        last4=card["last4"],
        exp_month=card["exp_month"],
        exp_year=card["exp_year"],
        days_left=days_left,
    )


def _needs(card: Fields, subscription: Fields, ends: int, customer: Fields, settings: ReminderSettings) -> bool:
    """Whether a subscription will want to be paid with a card that is not valid any more."""
    return (
        gives_access(subscription, settings)
        and is_charged_to(card["id"], subscription, customer)
        and ends_by(subscription, ends) is None
        and not is_free(subscription["items"], subscription["currency"])
    )
