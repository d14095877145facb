"""Stored documents for the tests of reminders, each with what a test changes, and the answers to what a look asks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from functions.reminders.due import Verdict, look
from functions.reminders.facts import AskPrices, AskSubscriptions
from functions.reminders.rules import Kind
from functions.reminders.settings import ReminderSettings

Json = dict[str, Any]
TOKYO = ReminderSettings(zone=ZoneInfo("Asia/Tokyo"))
DAY = 86_400
ZONES = ("Asia/Tokyo", "America/New_York", "Europe/London", "UTC", "Pacific/Kiritimati")


def epoch(iso: str) -> int:
    """The second of an ISO time with its offset."""
    return int(datetime.fromisoformat(iso).timestamp())


def item(unit_amount: int | None = 1000, interval: str = "month", **more: Any) -> Json:
    return {
        "id": "si_1",
        "price": "price_1",
        "product": "prod_1",
        "lookup_key": None,
        "unit_amount": unit_amount,
        "currency": "jpy",
        "interval": interval,
        "interval_count": 1,
        "quantity": 1,
        "current_period_start": None,
        "current_period_end": None,
    } | more


def subscription(*items: Json, **more: Any) -> Json:
    """`customers/{c}/subscriptions/{sub}`: one active plan by the month unless said otherwise."""
    stored = {
        "id": "sub_1",
        "customer": "cus_1",
        "status": "active",
        "items": list(items or (item(),)),
        "trial_start": None,
        "trial_end": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "ended_at": None,
        "cancellation_reason": None,
        "default_payment_method": None,
        "latest_invoice": "in_1",
        "collection_method": "charge_automatically",
        "pause_collection": None,
        "currency": "jpy",
        "metadata": {},
        "start_date": None,
        "created": None,
        "current_period_start": None,
        "current_period_end": None,
        "livemode": False,
        "mails": [],
    } | more
    period = {name: stored[name] for name in ("current_period_start", "current_period_end")}
    stored["items"] = [
        each | {name: at for name, at in period.items() if each[name] is None} for each in stored["items"]
    ]
    return stored


def yearly(**more: Any) -> Json:
    """A subscription that is paid each year."""
    return subscription(item(10_000, "year"), **more)


def invoice(**more: Any) -> Json:
    """`customers/{c}/invoices/{in}`: open, after its first payment failed."""
    return {
        "id": "in_1",
        "customer": "cus_1",
        "subscription": "sub_1",
        "status": "open",
        "number": "F-0001",
        "billing_reason": "subscription_cycle",
        "collection_method": "charge_automatically",
        "currency": "jpy",
        "amount_due": 1000,
        "amount_paid": 0,
        "amount_remaining": 1000,
        "subtotal": 1000,
        "total": 1000,
        "attempt_count": 1,
        "next_payment_attempt": None,
        "due_date": None,
        "hosted_invoice_url": "https://invoice.stripe.com/i/1",
        "invoice_pdf": None,
        "period_start": None,
        "period_end": None,
        "paid_at": None,
        "created": None,
        "failed_at": None,
        "livemode": False,
        "mails": [],
    } | more


def card(**more: Any) -> Json:
    """`customers/{c}/payment_methods/{pm}`: a card until the end of June 2027."""
    return {
        "id": "pm_1",
        "customer": "cus_1",
        "type": "card",
        "brand": "visa",
        "last4": "4242",
        "exp_month": 6,
        "exp_year": 2027,
        "created": None,
        "detached": False,
        "livemode": False,
    } | more


def customer(**more: Any) -> Json:
    """`customers/{c}`: somebody who wants to hear of offers and pays with pm_1."""
    said = {"status": "opt_in", "at": 0, "by": "checkout"}
    return {"email": "hana@example.com", "marketing": said, "default_payment_method": "pm_1", "as_of": 1} | more


def verdict(
    kind: Kind,
    document: Json,
    now: float,
    *,
    of: Json | None = None,
    subscriptions: Sequence[Json] = (),
    prices: Sequence[Json] = (),
    settings: ReminderSettings = TOKYO,
) -> Verdict:
    """What comes of a look at a document of this customer, whatever it asks for."""
    looking = look(kind, document, of, settings, now)
    answer: Sequence[Json] | None = None
    try:
        while True:
            question = looking.send(answer)
            if isinstance(question, AskSubscriptions):
                assert question.customer == document["customer"]
                answer = list(subscriptions)
            else:
                assert isinstance(question, AskPrices)
                answer = [price for price in prices if price["product"] in question.products]
    except StopIteration as end:
        found: Verdict = end.value
        return found


def price(price_id: str, amount: int, interval: str, **more: Any) -> Json:
    """A plain price as Stripe's API sends it."""
    return {
        "id": price_id,
        "active": True,
        "billing_scheme": "per_unit",
        "currency": "jpy",
        "product": "prod_1",
        "recurring": {"interval": interval, "interval_count": 1, "usage_type": "licensed"},
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
    } | more


PRICES = (price("price_1", 1000, "month"), price("price_2", 10_000, "year"))
