"""What `track_subscriptions` decides, event by event."""

from dataclasses import replace
from typing import Any

import pytest

from functions.errors import Malformed
from functions.reactions import index_customers
from functions.reactions.track_subscriptions import react
from local.account import thin
from local.billing import MONTH, BillingAccount, Price
from tests.driving import SETTINGS, World, event

Json = dict[str, Any]
BASIC = Price("price_basic", "prod_basic", 1000, lookup_key="basic")
PRO = Price("price_pro", "prod_pro", 3000, lookup_key="pro")
UNNAMED = Price("price_unnamed", "prod_unnamed", 500)
METERED = Price("price_metered", "prod_metered", None)
START = 1_790_000_000


@pytest.fixture
def account() -> BillingAccount:
    return BillingAccount(now=START)


@pytest.fixture
def world(account: BillingAccount) -> World:
    return World(account)


@pytest.fixture
def customer(account: BillingAccount) -> str:
    """A customer of user-1, and nothing in the account's events but what comes after."""
    made = account.create_customer(email="hana@example.com", metadata={"user_id": "user-1"})
    account.wait(60)
    return made


def deliver_all(world: World) -> None:
    """Every event to the functions that handle it, in order."""
    for data in world.account.events:
        if data["type"] in {"customer.created", "customer.updated", "customer.deleted"}:
            world.deliver(index_customers.react, data)
        else:
            world.deliver(react, data)


def of_type(account: BillingAccount, event_type: str) -> Json:
    """The last event of a type."""
    return [data for data in account.events if data["type"] == event_type][-1]


# Subscriptions


def test_a_new_subscription_is_recorded_with_its_items_and_period(
    account: BillingAccount, world: World, customer: str
) -> None:
    subscription = account.subscribe(customer, [BASIC], metadata={"seat": "1"})
    deliver_all(world)
    found = world.documents[f"customers/{customer}/subscriptions/{subscription}"]
    items = found.pop("items")
    created = of_type(account, "customer.subscription.created")
    assert found == {
        "id": subscription,
        "customer": customer,
        "status": "active",
        "trial_start": None,
        "trial_end": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "ended_at": None,
        "cancellation_reason": None,
        "default_payment_method": None,
        "latest_invoice": created["data"]["object"]["latest_invoice"],
        "collection_method": "charge_automatically",
        "pause_collection": None,
        "currency": "jpy",
        "metadata": {"seat": "1"},
        "start_date": account.now,
        "created": account.now,
        "current_period_start": account.now,
        "current_period_end": account.now + MONTH,
        "livemode": False,
        "as_of": account.now,
        "as_of_events": [created["id"]],
        "mails": [],
        # A year from now, if it goes on like this.
        "reminders": {"yearly_offer": 1_821_536_060},
        "next_reminder_at": 1_821_536_060,
    }
    assert items == [
        {
            "id": created["data"]["object"]["items"]["data"][0]["id"],
            "price": "price_basic",
            "product": "prod_basic",
            "lookup_key": "basic",
            "unit_amount": 1000,
            "currency": "jpy",
            "interval": "month",
            "interval_count": 1,
            "quantity": 1,
            "current_period_start": account.now,
            "current_period_end": account.now + MONTH,
        }
    ]


def test_an_active_subscription_gives_its_plan_to_the_customer_and_the_user(
    account: BillingAccount, world: World, customer: str
) -> None:
    account.subscribe(customer, [BASIC])
    deliver_all(world)
    assert world.documents[f"customers/{customer}"]["plans"] == ["basic"]
    assert world.documents["users/user-1"]["plans"] == ["basic"]


def test_a_price_without_a_lookup_key_gives_its_product(account: BillingAccount, world: World, customer: str) -> None:
    account.subscribe(customer, [UNNAMED, BASIC, METERED])
    deliver_all(world)
    assert world.documents[f"customers/{customer}"]["plans"] == ["basic", "prod_metered", "prod_unnamed"]


def test_one_subscription_ending_never_takes_what_another_one_gives(
    account: BillingAccount, world: World, customer: str
) -> None:
    first = account.subscribe(customer, [BASIC])
    account.wait(60)
    account.subscribe(customer, [BASIC, PRO])
    account.wait(60)
    account.cancel(first)
    deliver_all(world)
    assert world.documents[f"customers/{customer}"]["plans"] == ["basic", "pro"]
    assert world.documents["users/user-1"]["plans"] == ["basic", "pro"]


def test_a_user_has_the_plans_of_all_their_customers(account: BillingAccount, world: World, customer: str) -> None:
    other = account.create_customer(email="hana@example.com", metadata={"user_id": "user-1"})
    account.subscribe(customer, [BASIC])
    account.subscribe(other, [PRO])
    deliver_all(world)
    assert world.documents["users/user-1"]["plans"] == ["basic", "pro"]


def test_the_customer_with_a_plan_is_the_users_primary_one(
    account: BillingAccount, world: World, customer: str
) -> None:
    newer = account.create_customer(email="hana@example.com", metadata={"user_id": "user-1"})
    subscription = account.subscribe(customer, [BASIC])
    deliver_all(world)
    assert world.documents["users/user-1"]["primary"] == customer
    account.wait(60)
    account.cancel(subscription)
    world.deliver(react, account.events[-1])
    assert world.documents["users/user-1"]["primary"] == newer


def test_a_subscription_known_before_its_customer_gives_its_plan_when_the_customer_arrives(
    account: BillingAccount, world: World, customer: str
) -> None:
    account.subscribe(customer, [BASIC])
    for data in account.events[1:]:
        world.deliver(react, data)
    world.deliver(index_customers.react, account.events[0])
    assert world.documents["users/user-1"]["plans"] == ["basic"]
    assert world.documents[f"customers/{customer}"]["email"] == "hana@example.com"


@pytest.mark.parametrize(
    ("status", "plans"),
    [
        ("active", ["basic"]),
        ("trialing", ["basic"]),
        ("past_due", ["basic"]),
        ("incomplete", []),
        ("unpaid", []),
        ("paused", []),
        ("incomplete_expired", []),
        ("canceled", []),
        ("a_status_of_the_future", []),
    ],
)
def test_what_each_status_gives(
    account: BillingAccount, world: World, customer: str, status: str, plans: list[str]
) -> None:
    subscription = account.subscribe(customer, [BASIC])
    account.wait(60)
    account.change(subscription, status=status)
    deliver_all(world)
    assert world.documents[f"customers/{customer}"]["plans"] == plans
    assert world.documents[f"customers/{customer}/subscriptions/{subscription}"]["status"] == status


def test_past_due_gives_nothing_where_the_setting_says_so(account: BillingAccount, customer: str) -> None:
    subscription = account.subscribe(customer, [BASIC])
    account.wait(MONTH)
    account.renew(subscription, paid=False)
    strict = World(account, replace(SETTINGS, past_due_gives_access=False))
    for data in account.events[1:]:
        strict.deliver(react, data)
    assert strict.documents[f"customers/{customer}"]["plans"] == []


def test_a_trial_is_recorded(account: BillingAccount, world: World, customer: str) -> None:
    subscription = account.subscribe(customer, [BASIC], trial_days=14)
    deliver_all(world)
    found = world.documents[f"customers/{customer}/subscriptions/{subscription}"]
    assert (found["status"], found["trial_end"]) == ("trialing", account.now + 14 * 86_400)


def test_an_upgrade_changes_the_plan(account: BillingAccount, world: World, customer: str) -> None:
    subscription = account.subscribe(customer, [BASIC])
    account.wait(60)
    account.change_price(subscription, PRO)
    deliver_all(world)
    assert world.documents["users/user-1"]["plans"] == ["pro"]


def test_the_period_is_that_of_the_item_that_renews_next(account: BillingAccount, world: World, customer: str) -> None:
    subscription = account.subscribe(customer, [BASIC, PRO])
    items = account.objects[subscription]["items"]["data"]
    items[1] |= {"current_period_start": START, "current_period_end": account.now + 5}
    account.wait(1)
    account.change(subscription, metadata={})
    deliver_all(world)
    found = world.documents[f"customers/{customer}/subscriptions/{subscription}"]
    assert (found["current_period_start"], found["current_period_end"]) == (START, account.now + 4)


def test_incomplete_and_active_within_one_second_end_active(account: BillingAccount, customer: str) -> None:
    subscription = account.subscribe(customer, [BASIC], needs_action=True)
    account.authenticate(subscription)
    mine = [data for data in account.events if data["type"].startswith("customer.subscription.")]
    for order in (mine, list(reversed(mine))):
        world = World(account)
        for data in order:
            world.deliver(react, data)
        assert [fetch.kind for fetch in world.fetches] == ["subscription"]
        assert world.documents[f"customers/{customer}/subscriptions/{subscription}"]["status"] == "active"


@pytest.mark.parametrize("seconds", [0, 60])
def test_what_has_ended_never_comes_back(account: BillingAccount, world: World, customer: str, seconds: int) -> None:
    subscription = account.subscribe(customer, [BASIC])
    account.wait(seconds)
    account.change(subscription, metadata={"a": "b"})
    account.wait(seconds)
    account.cancel(subscription)
    created, updated, deleted = [d for d in account.events if d["type"].startswith("customer.subscription.")]
    world.deliver(index_customers.react, account.events[0])
    for data in (deleted, updated, created):
        world.deliver(react, data)
        assert world.fetches == []
    assert world.documents[f"customers/{customer}/subscriptions/{subscription}"]["status"] == "canceled"
    assert world.documents.get(f"customers/{customer}", {}).get("plans", []) == []


def test_the_end_comes_through_even_if_something_later_was_stored(
    account: BillingAccount, world: World, customer: str
) -> None:
    subscription = account.subscribe(customer, [BASIC])
    account.wait(60)
    account.cancel(subscription)
    created, deleted = [d for d in account.events if d["type"].startswith("customer.subscription.")]
    world.deliver(react, created | {"created": account.now + 60})
    assert world.deliver(react, deleted).outcome == "applied"
    assert world.documents[f"customers/{customer}"]["plans"] == []


def test_more_items_than_an_event_carries_are_listed(account: BillingAccount, world: World, customer: str) -> None:
    prices = [Price(f"price_{number}", f"prod_{number}", 100) for number in range(12)]
    subscription = account.subscribe(customer, prices)
    created = of_type(account, "customer.subscription.created")
    shown = created["data"]["object"]["items"]
    shown |= {"data": shown["data"][:10], "has_more": True}
    world.deliver(react, created)
    assert [(fetch.kind, fetch.id) for fetch in world.fetches] == [("subscription_items", subscription)]
    assert len(world.documents[f"customers/{customer}"]["plans"]) == 12


@pytest.mark.parametrize("finer", ["active", "past_due", "unpaid", "incomplete_expired", "item_quantity_changed"])
def test_a_finer_thin_notification_means_the_subscription_changed(
    account: BillingAccount, world: World, customer: str, finer: str
) -> None:
    subscription = account.subscribe(customer, [BASIC])
    notification = thin(of_type(account, "customer.subscription.created"))
    notification |= {"type": f"v1.customer.subscription.{finer}", "snapshot_event": None}
    assert event(notification).type == f"customer.subscription.{finer}"
    assert world.deliver(react, notification).outcome == "applied"
    assert [fetch.kind for fetch in world.fetches] == ["subscription"]
    assert f"customers/{customer}/subscriptions/{subscription}" in world.documents


def test_the_thin_and_the_snapshot_form_of_an_event_count_once(
    account: BillingAccount, world: World, customer: str
) -> None:
    account.subscribe(customer, [BASIC])
    created = of_type(account, "customer.subscription.created")
    world.deliver(react, created)
    assert world.deliver(react, thin(created)).outcome == "duplicate"


def test_a_subscription_without_a_customer_is_malformed(account: BillingAccount, world: World, customer: str) -> None:
    subscription = account.subscribe(customer, [BASIC])
    created = of_type(account, "customer.subscription.created")
    created["data"]["object"]["customer"] = None
    account.objects[subscription]["customer"] = None
    with pytest.raises(Malformed, match="subscription has no customer"):
        world.deliver(react, created)


# Invoices


def test_a_paid_invoice_is_recorded(account: BillingAccount, world: World, customer: str) -> None:
    subscription = account.subscribe(customer, [BASIC])
    deliver_all(world)
    [found] = [fields for path, fields in world.documents.items() if "/invoices/" in path]
    assert (
        found
        | {
            "customer": customer,
            "subscription": subscription,
            "status": "paid",
            "amount_due": 1000,
            "amount_paid": 1000,
            "amount_remaining": 0,
            "currency": "jpy",
            "billing_reason": "subscription_create",
            "paid_at": account.now,
        }
        == found
    )


def test_an_invoice_made_and_paid_within_one_second_asks_stripe_nothing(account: BillingAccount, customer: str) -> None:
    account.subscribe(customer, [BASIC])
    mine = [data for data in account.events if data["type"].startswith("invoice.")]
    assert len(mine) == 3
    for order in (mine, list(reversed(mine))):
        world = World(account)
        for data in order:
            world.deliver(react, data)
            assert world.fetches == []
        [found] = world.documents.values()
        assert found["status"] == "paid"


def test_a_failed_payment_says_when_it_is_tried_again(account: BillingAccount, world: World, customer: str) -> None:
    subscription = account.subscribe(customer, [BASIC])
    account.wait(MONTH)
    account.renew(subscription, paid=False)
    deliver_all(world)
    invoice = world.documents[f"customers/{customer}/subscriptions/{subscription}"]["latest_invoice"]
    found = world.documents[f"customers/{customer}/invoices/{invoice}"]
    assert (found["status"], found["attempt_count"], found["next_payment_attempt"]) == (
        "open",
        1,
        account.now + 3 * 86_400,
    )
    assert found["hosted_invoice_url"] == f"https://invoice.stripe.com/i/{invoice}"


def test_a_paid_invoice_is_never_open_again(account: BillingAccount, world: World, customer: str) -> None:
    account.one_off_invoice(customer, 500)
    paid = of_type(account, "invoice.paid")
    world.deliver(react, paid)
    late = of_type(account, "invoice.finalized") | {"id": "evt_late", "created": account.now + 60}
    assert world.deliver(react, late).outcome == "stale"


def test_two_failed_attempts_of_one_second_are_settled_by_stripe(
    account: BillingAccount, world: World, customer: str
) -> None:
    subscription = account.subscribe(customer, [BASIC])
    account.wait(MONTH)
    account.renew(subscription, paid=False)
    account.fail_again(subscription)
    first, second = [data for data in account.events if data["type"] == "invoice.payment_failed"]
    world.deliver(react, second)
    world.deliver(react, first)
    [found] = world.documents.values()
    assert found["attempt_count"] == 2


@pytest.mark.parametrize("amount", [0, 500])
def test_an_invoice_of_no_subscription_is_recorded(
    account: BillingAccount, world: World, customer: str, amount: int
) -> None:
    invoice = account.one_off_invoice(customer, amount)
    deliver_all(world)
    found = world.documents[f"customers/{customer}/invoices/{invoice}"]
    assert (found["subscription"], found["amount_due"], found["status"]) == (None, amount, "paid")


def test_an_invoice_of_an_unknown_customer_is_recorded(account: BillingAccount, world: World) -> None:
    invoice = account.one_off_invoice("cus_unknown", 500)
    deliver_all(world)
    assert f"customers/cus_unknown/invoices/{invoice}" in world.documents


def test_an_upcoming_invoice_is_ignored_knowingly(account: BillingAccount, world: World, customer: str) -> None:
    subscription = account.subscribe(customer, [BASIC])
    account.upcoming_invoice(subscription)
    decision = world.deliver(react, account.events[-1])
    assert (decision.outcome, decision.reason) == ("ignored", "an upcoming invoice is a preview and has no id")


def test_an_invoice_without_a_customer_is_ignored_knowingly(account: BillingAccount, world: World) -> None:
    account.one_off_invoice(None, 500)
    assert world.deliver(react, account.events[-1]).outcome == "ignored"


# Payment methods


def test_a_card_is_recorded(account: BillingAccount, world: World, customer: str) -> None:
    card = account.attach_card(customer, last4="4242", expires=(2030, 8))
    world.deliver(react, account.events[-1])
    found = world.documents[f"customers/{customer}/payment_methods/{card}"]
    kept = {key: found[key] for key in ("type", "brand", "last4", "exp_month", "exp_year", "detached")}
    assert kept == {
        "type": "card",
        "brand": "visa",
        "last4": "4242",
        "exp_month": 8,
        "exp_year": 2030,
        "detached": False,
    }


def test_a_card_renewed_by_the_bank_has_its_new_date(account: BillingAccount, world: World, customer: str) -> None:
    card = account.attach_card(customer, expires=(2026, 12))
    account.wait(60)
    account.renew_card(card, expires=(2031, 12))
    deliver_all(world)
    assert world.documents[f"customers/{customer}/payment_methods/{card}"]["exp_year"] == 2031


@pytest.mark.parametrize("seconds", [0, 60])
@pytest.mark.parametrize("form", [lambda data: data, thin], ids=["snapshot", "thin"])
def test_a_detached_card_is_gone_in_any_order(account: BillingAccount, customer: str, seconds: int, form: Any) -> None:
    card = account.attach_card(customer)
    account.wait(seconds)
    account.detach_card(card)
    attached, detached = account.events[-2:]
    for order in ((attached, detached), (detached, attached)):
        world = World(account)
        for data in order:
            world.deliver(react, form(data))
        if form is not thin and order[0] is detached:
            assert world.fetches == []
        found = world.documents[f"customers/{customer}/payment_methods/{card}"]
        assert (found["detached"], found["last4"], found["exp_year"]) == (True, None, None)


def test_a_detached_card_that_does_not_say_from_whom_is_malformed(
    account: BillingAccount, world: World, customer: str
) -> None:
    account.detach_card(account.attach_card(customer))
    account.events[-1]["data"].pop("previous_attributes")
    with pytest.raises(Malformed, match="previous_attributes"):
        world.deliver(react, account.events[-1])


def test_a_payment_method_of_nobody_is_ignored(account: BillingAccount, world: World, customer: str) -> None:
    account.attach_card(customer)
    account.events[-1]["data"]["object"]["customer"] = None
    assert world.deliver(react, account.events[-1]).outcome == "ignored"


def test_an_expiring_card_of_the_sources_api_is_recorded(account: BillingAccount, world: World, customer: str) -> None:
    account.attach_card(customer)
    card: Json = {"id": "card_1", "object": "card", "customer": customer, "brand": "Visa", "last4": "4242"}
    card["exp_month"], card["exp_year"] = 12, 2026
    data = account.events[-1] | {"type": "customer.source.expiring", "data": {"object": card}}
    world.deliver(react, data)
    found = world.documents[f"customers/{customer}/payment_methods/card_1"]
    assert (found["type"], found["last4"], found["exp_month"]) == ("card", "4242", 12)
