"""When each document has to be looked at again, and when there is no cause to."""

import dataclasses
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.reminders.rules import fields, schedule_invoice, schedule_payment_method, schedule_subscription
from functions.reminders.settings import ReminderSettings
from functions.stripe_events import Invoice, PaymentMethod, Subscription, SubscriptionItem
from tests.reminding import DAY, TOKYO, ZONES, Json, card, epoch, invoice, item, subscription, yearly

START = epoch("2026-01-31T09:30:00+09:00")
#: What a plan by the month has from its start to its first renewal.
MONTHLY = {"start_date": START, "current_period_start": START, "current_period_end": START + 28 * DAY}


def of(document: Json, kind: str, settings: ReminderSettings = TOKYO) -> int | None:
    """When a subscription is looked at for this."""
    due: dict[Any, int] = dict(schedule_subscription(document, settings))
    return due.get(kind)


@pytest.mark.parametrize(
    ("document", "stripe"),
    [(subscription(), Subscription), (item(), SubscriptionItem), (invoice(), Invoice), (card(), PaymentMethod)],
)
def test_the_documents_of_these_tests_have_every_field_that_is_stored(document: Json, stripe: Any) -> None:
    assert {field.name for field in dataclasses.fields(stripe)} - document.keys() <= {"has_more_items"}


# A larger plan


@pytest.mark.parametrize(
    "items",
    [
        [item(0)],
        [item(0, quantity=None)],
        [item(0), item(0, "year", quantity=5)],
        [item(1000, quantity=0)],
    ],
)
def test_a_free_plan_is_offered_a_larger_one_days_after_its_start(items: list[Json]) -> None:
    due = of(subscription(*items, start_date=START), "upgrade_offer")
    assert due == epoch("2026-02-14T09:30:00+09:00")
    after_a_month = replace(TOKYO, upgrade_offer_after_days=30)
    due = of(subscription(*items, start_date=START), "upgrade_offer", after_a_month)
    assert due == epoch("2026-03-02T09:30:00+09:00")


@pytest.mark.parametrize(
    "document",
    [
        subscription(item(1), start_date=START),
        subscription(item(0), item(1), start_date=START),
        subscription(item(0), item(None), start_date=START),
        subscription(item(5, quantity=None), start_date=START),
        # The price is 0 in its own currency, and nobody knows what in the one that is paid.
        subscription(item(0), start_date=START, currency="usd"),
        subscription(item(0), start_date=START, status="past_due"),
        subscription(item(0), start_date=START, status="canceled"),
        subscription(item(0), start_date=START, status="paused"),
        subscription(item(0), start_date=START, cancel_at_period_end=True),
        subscription(item(0), start_date=START, cancel_at=START + 90 * DAY),
        subscription(item(0), start_date=START, mails=["upgrade_offer_sub_1"]),
        subscription(item(0), start_date=None),
        subscription(item(0), start_date=2**62),
        subscription(item(0), start_date=-1),
    ],
)
def test_who_pays_or_leaves_or_has_been_told_is_offered_nothing_larger(document: Json) -> None:
    assert of(document, "upgrade_offer") is None


def test_a_trial_is_offered_a_larger_plan_in_its_middle_whatever_it_will_cost() -> None:
    trial = {"status": "trialing", "trial_start": START, "trial_end": START + 14 * DAY}
    assert of(subscription(**trial), "upgrade_offer") == START + 7 * DAY
    assert of(subscription(item(0), start_date=START - DAY, **trial), "upgrade_offer") == START + 7 * DAY
    assert of(subscription(start_date=START, **trial | {"trial_start": None}), "upgrade_offer") == START + 7 * DAY
    assert of(subscription(**trial, cancel_at_period_end=True), "upgrade_offer") is None
    assert of(subscription(**trial, mails=["upgrade_offer_sub_1"]), "upgrade_offer") is None
    assert of(subscription(**trial | {"trial_end": None}), "upgrade_offer") is None
    assert of(subscription(**trial | {"trial_end": START}), "upgrade_offer") is None


# Twelve months


@pytest.mark.parametrize(
    ("start", "zone", "due"),
    [
        ("2026-01-31T09:30:00+09:00", "Asia/Tokyo", "2027-01-31T09:30:00+09:00"),
        ("2024-02-29T09:30:00+09:00", "Asia/Tokyo", "2025-02-28T09:30:00+09:00"),
        ("2026-03-08T12:00:00-04:00", "America/New_York", "2027-03-08T12:00:00-05:00"),
        ("2026-10-25T12:00:00+00:00", "Europe/London", "2027-10-25T12:00:00+01:00"),
        ("2025-12-31T23:59:59+14:00", "Pacific/Kiritimati", "2026-12-31T23:59:59+14:00"),
    ],
)
def test_a_year_of_months_is_one_of_the_calendar(start: str, zone: str, due: str) -> None:
    document = subscription(start_date=epoch(start), current_period_start=epoch(start))
    assert of(document, "yearly_offer", replace(TOKYO, zone=ZoneInfo(zone))) == epoch(due)


def test_a_trial_does_not_count_as_a_month_that_was_paid() -> None:
    trial_end = START + 14 * DAY
    document = subscription(**MONTHLY | {"current_period_start": trial_end}, trial_start=START, trial_end=trial_end)
    assert of(document, "yearly_offer") == epoch("2027-02-14T09:30:00+09:00")


def test_an_anniversary_that_was_told_is_followed_by_the_next_from_the_first_day() -> None:
    leap = epoch("2024-02-29T09:30:00+09:00")
    told = [f"yearly_offer_sub_1_{year}" for year in (2025, 2026, 2027)]
    for n, due in enumerate(("2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29")):
        document = subscription(start_date=leap, current_period_start=leap, mails=told[:n])
        assert of(document, "yearly_offer") == epoch(f"{due}T09:30:00+09:00")


@pytest.mark.parametrize(
    ("period_start", "due"),
    [
        ("2026-12-31T09:30:00+09:00", "2027-01-31T09:30:00+09:00"),
        # The renewal that comes with the anniversary, early or late by the clocks, does not hide it.
        ("2027-01-31T09:30:00+09:00", "2027-01-31T09:30:00+09:00"),
        ("2027-02-01T10:30:00+09:00", "2027-01-31T09:30:00+09:00"),
        ("2027-02-28T09:30:00+09:00", "2028-01-31T09:30:00+09:00"),
        ("2031-07-31T09:30:00+09:00", "2032-01-31T09:30:00+09:00"),
        ("2031-12-31T09:30:00+09:00", "2032-01-31T09:30:00+09:00"),
    ],
)
def test_an_anniversary_of_an_earlier_period_is_past(period_start: str, due: str) -> None:
    document = subscription(start_date=START, current_period_start=epoch(period_start))
    assert of(document, "yearly_offer") == epoch(due)


@pytest.mark.parametrize(
    "document",
    [
        yearly(**MONTHLY),
        subscription(item(), item(10_000, "year"), **MONTHLY),
        subscription(item(interval_count=3), **MONTHLY),
        subscription(item(interval="week"), **MONTHLY),
        subscription(item(0), **MONTHLY),
        subscription(item(quantity=None), **MONTHLY),
        subscription(**MONTHLY, status="trialing"),
        subscription(**MONTHLY, status="past_due"),
        subscription(**MONTHLY, status="canceled"),
        subscription(**MONTHLY, cancel_at_period_end=True),
        subscription(**MONTHLY, cancel_at=START + 900 * DAY),
        subscription(**MONTHLY, pause_collection="void"),
        subscription(**MONTHLY | {"start_date": None}),
        subscription(**MONTHLY | {"start_date": 2**62}),
        subscription(**MONTHLY, items=[]),
    ],
)
def test_who_does_not_go_on_paying_by_the_month_is_offered_no_year(document: Json) -> None:
    assert of(document, "yearly_offer") is None


def test_a_price_in_tiers_may_save_something_and_its_prices_will_say() -> None:
    assert of(subscription(item(None), **MONTHLY), "yearly_offer") is not None
    assert of(subscription(item(interval_count=None), **MONTHLY), "yearly_offer") is not None


# Renewal

PERIOD_END = epoch("2027-03-20T12:00:00-04:00")
NEW_YORK = replace(TOKYO, zone=ZoneInfo("America/New_York"))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"status": "past_due"},
        {"cancel_at_period_end": True},
        {"cancel_at": PERIOD_END},
        {"items": [item(10, "month", interval_count=12)]},
        {"items": [item(10, "month", interval_count=24)]},
        {"items": [item(10, "week", interval_count=52)]},
        {"items": [item(10, "day", interval_count=365)]},
        {"items": [item(10, "year", interval_count=None)]},
        {"items": [item(10, "year", interval_count=3)]},
        {"items": [item(None, "year")]},
        {"mails": ["renewal_sub_1_1", "canceled_sub_1"]},
    ],
)
def test_a_year_is_announced_thirty_days_of_the_calendar_before_it_renews_or_ends(more: Json) -> None:
    document = yearly(current_period_end=PERIOD_END, **more)
    assert of(document, "renewal", NEW_YORK) == epoch("2027-02-18T12:00:00-05:00")


@pytest.mark.parametrize(
    "more",
    [
        {"status": "trialing"},
        {"status": "canceled"},
        {"status": "unpaid"},
        {"status": "paused"},
        {"status": "incomplete"},
        {"pause_collection": "keep_as_draft"},
        {"items": [item(0, "year")]},
        {"items": [item(10, "month", interval_count=11)]},
        {"items": [item(10, "month")]},
        {"items": [item(10, "week", interval_count=51)]},
        {"items": [item(10, "fortnight", interval_count=99)]},
        {"items": [item(10, interval="month", interval_count=None)]},
        {"mails": [f"renewal_sub_1_{PERIOD_END}"]},
    ],
)
def test_what_renews_soon_again_or_not_at_all_is_not_announced(more: Json) -> None:
    assert of(yearly(current_period_end=PERIOD_END, **more), "renewal") is None


def test_a_renewal_at_no_time_is_not_announced() -> None:
    assert of(yearly(), "renewal") is None
    assert of(yearly(current_period_end=2**60), "renewal") is None


def test_of_items_that_renew_at_different_times_the_next_year_counts() -> None:
    items = (
        item(10, "month", current_period_end=PERIOD_END - 40 * DAY),
        item(10, "year", current_period_end=PERIOD_END + DAY),
        item(10, "year", current_period_end=PERIOD_END),
    )
    document = subscription(*items, current_period_end=PERIOD_END - 40 * DAY)
    assert of(document, "renewal", NEW_YORK) == epoch("2027-02-18T12:00:00-05:00")
    assert of(document | {"mails": [f"renewal_sub_1_{PERIOD_END}"]}, "renewal") is None


def test_the_next_period_is_announced_anew() -> None:
    later = epoch("2028-03-20T12:00:00-04:00")
    document = yearly(current_period_end=later, mails=[f"renewal_sub_1_{PERIOD_END}"])
    assert of(document, "renewal", NEW_YORK) == epoch("2028-02-19T12:00:00-05:00")


# The end of a trial


@pytest.mark.parametrize(
    ("length", "due"),
    [
        (14 * DAY, 11 * DAY + 3600),
        (3 * DAY, 3600),
        (3 * DAY + 1, 3601),
        # Stripe announces a shorter one as it starts.
        (2 * DAY, 3600),
        (3601, 3600),
        (3600, None),
        (60, None),
    ],
)
def test_the_end_of_a_trial_is_looked_at_an_hour_after_stripe_says_so(length: int, due: int | None) -> None:
    document = subscription(status="trialing", trial_start=START, trial_end=START + length)
    assert of(document, "trial_ending") == (None if due is None else START + due)


def test_stripe_counts_three_days_in_seconds_and_so_does_the_reminder() -> None:
    trial_end = epoch("2026-11-02T12:00:00-05:00")
    document = subscription(status="trialing", trial_start=trial_end - 30 * DAY, trial_end=trial_end)
    assert of(document, "trial_ending", NEW_YORK) == trial_end - 3 * DAY + 3600


def test_a_trial_is_announced_once_for_each_end_it_was_given() -> None:
    trial = {"status": "trialing", "trial_start": START, "trial_end": START + 14 * DAY}
    told = [f"trial_ending_sub_1_{START + 14 * DAY}"]
    assert of(subscription(**trial, mails=told), "trial_ending") is None
    longer = subscription(**trial | {"trial_end": START + 20 * DAY}, mails=told)
    assert of(longer, "trial_ending") == START + 17 * DAY + 3600
    assert of(subscription(**trial | {"status": "active"}), "trial_ending") is None
    assert of(subscription(**trial | {"trial_end": None}), "trial_ending") is None


# Unpaid

FAILED = epoch("2026-10-31T12:00:00-04:00")


def test_an_unpaid_invoice_is_followed_up_twice_after_each_attempt() -> None:
    three, seven = epoch("2026-11-03T12:00:00-05:00"), epoch("2026-11-07T12:00:00-05:00")
    document = invoice(failed_at=FAILED)
    assert schedule_invoice(document, NEW_YORK) == {"unpaid_followup": three}
    document["mails"] = ["invoice_unpaid_in_1_1", "unpaid_followup_in_1_1_3"]
    assert schedule_invoice(document, NEW_YORK) == {"unpaid_followup": seven}
    document["mails"] += ["unpaid_followup_in_1_1_7"]
    assert schedule_invoice(document, NEW_YORK) == {}
    document |= {"attempt_count": 2, "failed_at": seven}
    assert schedule_invoice(document, NEW_YORK) == {"unpaid_followup": epoch("2026-11-10T12:00:00-05:00")}


@pytest.mark.parametrize(
    "more",
    [
        {"failed_at": None},
        {"failed_at": 2**62},
        {"status": "draft"},
        {"status": "paid"},
        {"status": "uncollectible"},
        {"status": "void"},
        {"amount_remaining": 0},
        {"mails": ["unpaid_followup_in_1_1_3", "unpaid_followup_in_1_1_7"]},
    ],
)
def test_what_is_not_owed_or_did_not_fail_is_not_followed_up(more: Json) -> None:
    assert schedule_invoice(invoice(**{"failed_at": FAILED} | more), TOKYO) == {}


def test_an_invoice_from_before_there_were_reminders_has_none() -> None:
    older = {name: value for name, value in invoice().items() if name not in {"failed_at", "mails"}}
    assert schedule_invoice(older, TOKYO) == {}
    assert schedule_invoice(older | {"failed_at": FAILED}, TOKYO).keys() == {"unpaid_followup"}
    assert schedule_invoice(invoice(failed_at=FAILED, amount_remaining=None, attempt_count=None), TOKYO)


# Cards


@pytest.mark.parametrize(
    ("year", "month", "zone", "thirty", "seven"),
    [
        (2027, 6, "Asia/Tokyo", "2027-06-01T00:00:00+09:00", "2027-06-24T00:00:00+09:00"),
        (2027, 12, "Asia/Tokyo", "2027-12-02T00:00:00+09:00", "2027-12-25T00:00:00+09:00"),
        (2027, 2, "UTC", "2027-01-30T00:00:00+00:00", "2027-02-22T00:00:00+00:00"),
        (2028, 2, "UTC", "2028-01-31T00:00:00+00:00", "2028-02-23T00:00:00+00:00"),
        (2027, 3, "America/New_York", "2027-03-02T00:00:00-05:00", "2027-03-25T00:00:00-04:00"),
        (2027, 10, "Europe/London", "2027-10-02T00:00:00+01:00", "2027-10-25T00:00:00+01:00"),
        (2027, 1, "Pacific/Kiritimati", "2027-01-02T00:00:00+14:00", "2027-01-25T00:00:00+14:00"),
    ],
)
def test_a_card_is_announced_twice_before_its_month_ends(
    year: int, month: int, zone: str, thirty: str, seven: str
) -> None:
    settings = replace(TOKYO, zone=ZoneInfo(zone))
    document = card(exp_year=year, exp_month=month)
    assert schedule_payment_method(document, settings) == {"card_expiring": epoch(thirty)}
    document["mails"] = [f"card_expiring_pm_1_{year}{month:02}"]
    assert schedule_payment_method(document, settings) == {"card_expiring": epoch(seven)}
    document["mails"] += [f"card_expiring_pm_1_{year}{month:02}_7"]
    assert schedule_payment_method(document, settings) == {}
    # The bank has sent a new one, and Stripe knows.
    assert schedule_payment_method(document | {"exp_year": year + 3}, settings).keys() == {"card_expiring"}


@pytest.mark.parametrize(
    "more",
    [
        {"detached": True},
        {"exp_month": None},
        {"exp_year": None},
        {"exp_month": 0},
        {"exp_month": 13},
        {"exp_year": 27},
        {"exp_year": 2**40},
    ],
)
def test_what_is_gone_or_never_expires_is_not_announced(more: Json) -> None:
    assert schedule_payment_method(card(**more), TOKYO) == {}


# The fields


def test_the_first_of_all_reminders_is_when_to_look() -> None:
    assert fields({}) == {"reminders": {}, "next_reminder_at": None}
    assert fields({"yearly_offer": 9, "renewal": 5}) == {
        "reminders": {"yearly_offer": 9, "renewal": 5},
        "next_reminder_at": 5,
    }


def test_a_trial_has_its_offer_and_its_end() -> None:
    document = yearly(status="trialing", trial_start=START, trial_end=START + 14 * DAY)
    due = schedule_subscription(document, TOKYO)
    assert due == {"upgrade_offer": START + 7 * DAY, "trial_ending": START + 11 * DAY + 3600}


moments = st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(0, 4_000_000_000)
counts = st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(0, 60)
items = st.builds(
    item,
    counts,
    st.sampled_from(("day", "week", "month", "year")) | st.text(max_size=4),
    interval_count=counts,
    quantity=counts,
    currency=st.sampled_from(("jpy", "usd", None)),
    current_period_end=moments,
)
anything = st.fixed_dictionaries(
    {
        "status": st.sampled_from(("active", "trialing", "past_due", "canceled", "paused", "new")),
        "items": st.lists(items, max_size=3),
        "start_date": moments,
        "trial_start": moments,
        "trial_end": moments,
        "cancel_at": st.none() | moments,
        "current_period_start": moments,
        "current_period_end": moments,
        "currency": st.sampled_from(("jpy", "usd", None)),
    }
)


@given(anything, st.sampled_from(ZONES))
def test_whatever_stripe_sends_there_is_a_schedule_and_it_says_when(more: Json, zone: str) -> None:
    settings = replace(TOKYO, zone=ZoneInfo(zone))
    due = schedule_subscription(subscription(**more), settings)
    assert due == schedule_subscription(subscription(**more), settings)
    assert all(-40 * DAY <= at < 32_503_680_000 + 40 * DAY for at in due.values())


@given(moments, counts, counts, counts)
def test_whatever_stripe_sends_of_invoices_and_cards(
    failed_at: int | None, attempt: int | None, year: int | None, month: int | None
) -> None:
    schedule_invoice(invoice(failed_at=failed_at, attempt_count=attempt), TOKYO)
    schedule_payment_method(card(exp_year=year, exp_month=month), TOKYO)
