"""Billing as Stripe itself recorded it: its samples at four dates and captured events, read and tracked."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from functions.reactions.track_subscriptions import react
from functions.stripe_events import (
    Invoice,
    PaymentMethod,
    Subscription,
    SubscriptionItem,
)
from functions.topology import function
from local.billing import BillingAccount
from tests.driving import World
from tests.test_api_versions import PERIOD, story, told
from tests.test_billing_objects import START
from tests.versions import OLDEST, as_of_version

Json = dict[str, Any]


PAYLOADS = Path(os.environ.get("STRIPE_PAYLOADS") or "/nonexistent")
needs_payloads = pytest.mark.skipif(not PAYLOADS.is_dir(), reason="STRIPE_PAYLOADS names no folder of payloads")
#: A moment that Stripe's samples are full of.
ONCE = 1_234_567_890
SAMPLES = {"2024-04-12": 2024, "2025-03-25": 2025, "2025-06-23": 2025, "2026-08-21": 2030}
EACH_DATE = pytest.mark.parametrize("date", SAMPLES)


def sample(date: str, kind: str) -> Json:
    path = PAYLOADS / "openapi-fixtures" / f"fixtures3.{date}.json"
    found: Json = json.loads(path.read_text("utf-8"))["resources"][kind]
    return found


def captured(*kinds: str) -> dict[str, Json]:
    """Recorded events about objects of these kinds."""
    found = {f"{path.parent.name}/{path.stem}": json.loads(path.read_text("utf-8")) for path in RECORDED}
    return {name: data for name, data in found.items() if data["data"]["object"]["object"] in kinds}


RECORDED = sorted(PAYLOADS.glob("captured-*/*.json"))
CAPTURED = captured("subscription", "invoice", "payment_method")


def said_of_item(date: str) -> Json:
    """The facts of every sample item but its id. Before basil its subscription says the period, or nobody."""
    is_old = date == "2024-04-12"
    return {
        "price": "price_1OPouiJN5vQBdWExAQaqTooZ" if is_old else "price_1PgafmB7WZ01zgkW6dKueIc5",
        "product": "prod_PEHTfnvdJH6K0k" if is_old else "prod_QXg1hqf4jFNsqG",
        "lookup_key": None,
        # The newer samples are full: theirs is the price of several.
        "unit_amount": 2000 if date < "2025-06-23" else None,
        "currency": "usd",
        "interval": "month",
        "interval_count": 1,
        "quantity": 1,
        "current_period_start": None if is_old else 1_896_570_518,
        "current_period_end": None if is_old else 976_287_773,
    }


@needs_payloads
@EACH_DATE
def test_stripes_sample_of_a_subscription_says_the_same_at_every_date(date: str) -> None:
    is_old = date == "2024-04-12"
    found = asdict(Subscription.of(sample(date, "subscription")))
    [item] = found.pop("items")
    assert item == said_of_item(date) | (
        {"id": "si_PEHTru8PmLRCo3", "current_period_start": ONCE, "current_period_end": ONCE}
        if is_old
        else {"id": "si_QXhVnC2h0Jczwc"}
    )
    assert found == {
        "id": "sub_1OPouiJN5vQBdWExOgfg6t5C" if is_old else "sub_1Pgc6rB7WZ01zgkWNy0Cn5nw",
        "customer": "cus_PEHTIoPSgT0tXQ" if is_old else "cus_QXg1o8vcGmoR32",
        "status": "active",
        "has_more_items": False,
        **dict.fromkeys(("trial_start", "trial_end", "cancel_at", "canceled_at", "ended_at"), ONCE),
        "cancel_at_period_end": date >= "2025-06-23",
        "default_payment_method": None,
        "latest_invoice": None,
        "collection_method": "charge_automatically",
        "cancellation_reason": None,
        "pause_collection": "mark_uncollectible" if date >= "2025-06-23" else None,
        "currency": "usd",
        "metadata": {},
        "start_date": ONCE,
        "created": ONCE,
    }


@needs_payloads
@EACH_DATE
def test_stripes_sample_of_an_item_says_the_same_at_every_date(date: str) -> None:
    found = asdict(SubscriptionItem.of(sample(date, "subscription_item"), {}))
    assert found.pop("id") == ("si_PEHTIbRiA7RW9V" if date == "2024-04-12" else "si_QXhVBoJ7NQdNXh")
    assert found == said_of_item(date)


@needs_payloads
@EACH_DATE
def test_stripes_sample_of_an_invoice_says_the_same_at_every_date(date: str) -> None:
    is_old = date == "2024-04-12"
    assert Invoice.of(sample(date, "invoice")) == Invoice(
        id="in_1OPouhJN5vQBdWExQl3czOuP" if is_old else "in_1Pgc6tB7WZ01zgkWu9fdqL6I",
        customer="cus_PEHTtYpY7elppN" if is_old else "cus_QXg1o8vcGmoR32",
        # The samples of the later dates fill in whatever `parent` may hold.
        subscription="subscription" if date >= "2025-06-23" else None,
        status="draft",
        number=None,
        billing_reason="manual",
        collection_method="charge_automatically",
        currency="usd",
        amount_due=1000,
        amount_paid=0,
        amount_remaining=1000,
        subtotal=1000,
        total=1000,
        attempt_count=0,
        next_payment_attempt=ONCE,
        due_date=ONCE,
        hosted_invoice_url=None,
        invoice_pdf=None,
        period_start=ONCE,
        period_end=ONCE,
        paid_at=None,
        created=ONCE,
    )


@needs_payloads
@EACH_DATE
@pytest.mark.parametrize("kind", ["payment_method", "card"])
def test_stripes_samples_of_a_card_say_the_same_at_every_date(kind: str, date: str) -> None:
    found = PaymentMethod.of(sample(date, kind))
    assert (found.customer, found.type, found.last4, found.exp_month) == (None, "card", "4242", 8)
    assert found.exp_year == SAMPLES[date]
    assert (found.brand or "").lower() == "visa"
    assert found.created == (ONCE if kind == "payment_method" else None)


@needs_payloads
def test_the_older_shapes_made_here_are_those_that_were_recorded() -> None:
    """What has been moved stands where it stood in events of accounts on the oldest version."""
    made = {data["type"]: as_of_version(data, OLDEST)["data"]["object"] for data in story().events}
    moved = {
        "subscription": {"plan", "discount", "discounts", *PERIOD},
        "invoice": {"subscription", "parent", "charge", "payment_intent", "paid", "tax", "payments"},
        "charge": {"invoice"},
        "customer": {"sources"},
    }
    compared = 0
    for recorded in captured(*moved).values():
        then, subject = made.get(recorded["type"]), recorded["data"]["object"]
        if then is None or recorded["api_version"] != OLDEST or recorded["type"] == "customer.deleted":
            continue
        keys = moved[subject["object"]]
        assert keys & then.keys() == keys & subject.keys(), recorded["type"]
        for items in [whole["items"]["data"] for whole in (then, subject) if "items" in whole]:
            assert {"plan", "price"} <= items[0].keys()
            assert not PERIOD.keys() & items[0].keys()
        compared += 1
    assert compared >= 8


@needs_payloads
@pytest.mark.parametrize("name", CAPTURED)
def test_a_captured_event_says_something_sane(name: str) -> None:
    found = told(CAPTURED[name])[1]
    assert not isinstance(found, str)
    assert found.id == CAPTURED[name]["data"]["object"]["id"]
    assert 1_600_000_000 < found.created < 1_800_000_000
    assert found.customer is not None or CAPTURED[name]["type"] == "payment_method.detached"
    match found:
        case Subscription():
            assert found.status in {"active", "canceled"}
            assert found.currency == "usd"
            assert found.latest_invoice
            for item in found.items:
                assert (item.unit_amount, item.interval, item.plan) == (0, "month", "prod_Ip4vqwv3EJ7Mi0")
                assert item.current_period_start is not None
                assert item.current_period_end is not None
                assert 28 * 86_400 <= item.current_period_end - item.current_period_start <= 31 * 86_400
        case Invoice():
            assert (found.currency, found.amount_due, found.amount_paid) == ("usd", 0, 0)
            assert (found.subscription is None) == (found.billing_reason == "manual")
        case PaymentMethod():
            assert found.type == "card"
            assert found.brand in {"visa", "mastercard"}
            assert len(found.last4 or "") == 4
            assert found.exp_year in range(2024, 2040)


@needs_payloads
@pytest.mark.parametrize(
    "name", [name for name in CAPTURED if CAPTURED[name]["type"] in function("track_subscriptions").event_types]
)
def test_a_captured_event_is_recorded_under_its_customer(name: str) -> None:
    data = CAPTURED[name]
    world = World(BillingAccount(now=START))
    assert world.deliver(react, data).outcome == "applied"
    # Nothing is asked about what happened, but who is to be told of it.
    assert {fetch.kind for fetch in world.fetches} <= ({"customer"} if world.letters else set())
    subject = data["data"]["object"]
    customer = subject["customer"] or data["data"]["previous_attributes"]["customer"]
    [path] = [path for path in world.documents if path.endswith(f"/{subject['id']}")]
    assert path == f"customers/{customer}/{subject['object']}s/{subject['id']}"
    assert world.deliver(react, data).outcome == "duplicate"


@needs_payloads
def test_a_captured_subscription_of_the_oldest_version_becomes_a_document_and_a_plan() -> None:
    world = World(BillingAccount(now=START))
    world.deliver(react, CAPTURED["captured-2020-03-02/subscription_created"])
    found = world.documents["customers/cus_IhGfebO16cMIGN/subscriptions/sub_JdIzvfy6o5GZRd"]
    assert (found["status"], found["currency"], found["livemode"]) == ("active", "usd", False)
    assert (found["current_period_start"], found["current_period_end"]) == (1_623_148_918, 1_625_740_918)
    assert [(item["id"], item["price"], item["quantity"]) for item in found["items"]] == [
        ("si_JdIzi4Tn5jV9PD", "price_1IDQm5JDPojXS6LNM31hxKzp", 1),
        ("si_JdIzi4Tn5jVaaa", "price_1IDQm5JDPojXS6LNM31hxKzp", None),
    ]
    assert found["metadata"]["project_name"] == "temp webhooks"
    assert world.documents["customers/cus_IhGfebO16cMIGN"]["plans"] == ["prod_Ip4vqwv3EJ7Mi0"]

    world.deliver(react, CAPTURED["captured-2020-03-02/subscription_deleted"])
    found = world.documents["customers/cus_IhGfebO16cMIGN/subscriptions/sub_JdIzvfy6o5GZRd"]
    assert (found["status"], found["ended_at"], found["canceled_at"]) == ("canceled", 1_623_149_102, 1_623_149_102)
    assert world.documents["customers/cus_IhGfebO16cMIGN"]["plans"] == []


@needs_payloads
def test_a_captured_invoice_of_the_oldest_version_becomes_a_document() -> None:
    world = World(BillingAccount(now=START))
    world.deliver(react, CAPTURED["captured-2020-03-02/invoice_paid"])
    found = world.documents["customers/cus_JsuO3bmrj0QlAw/invoices/in_1KJqKBJDPojXS6LNJbvLUgEy"]
    assert (found["status"], found["number"], found["subscription"]) == ("paid", "60229DE7-0007", "sub_JsuPyCPhXWfZar")
    assert (found["period_start"], found["period_end"], found["paid_at"]) == (
        1_639_966_880,
        1_642_645_280,
        1_642_649_110,
    )
    assert (found["billing_reason"], found["total"], found["attempt_count"]) == ("subscription_cycle", 0, 0)


@needs_payloads
def test_a_captured_card_of_the_newest_version_comes_and_goes_within_one_second() -> None:
    events = [CAPTURED[f"captured-2026-08-26.dahlia/payment_method.{what}"] for what in ("attached", "updated")]
    account = BillingAccount(now=START)
    account.objects = {events[1]["data"]["object"]["id"]: events[1]["data"]["object"]}
    world = World(account)
    for data in events:
        assert world.deliver(react, data).outcome == "applied"
    path = "customers/cus_VI7cdOfhPqmpjO/payment_methods/pm_1UHXNfHIBYZYyePrskeKCzEg"
    found = world.documents[path]
    assert (found["brand"], found["last4"], found["exp_month"], found["exp_year"]) == ("visa", "4242", 9, 2027)
    assert world.deliver(react, CAPTURED["captured-2026-08-26.dahlia/payment_method.detached"]).outcome == "applied"
    assert (world.documents[path]["detached"], world.documents[path]["last4"]) == (True, None)
