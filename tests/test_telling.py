"""Who is told what: the letters that each event leads to, whatever was delivered before it."""

from collections.abc import Callable
from typing import Any

import pytest

from functions import paths
from functions.letters import Letter
from functions.mail.facts import (
    Canceled,
    CartRecovery,
    InvoiceAction,
    InvoiceUnpaid,
    OrderFailed,
    OrderPaid,
    OrderPending,
    Refund,
    TrialEnding,
    Welcome,
)
from functions.reactions import index_customers, record_orders, track_subscriptions
from functions.topology import function
from local.account import Line, thin
from local.billing import DAY, BillingAccount, Price
from tests.driving import World

Json = dict[str, Any]
MUG = Line("Mug", 1400)
CLUB = Price("price_club", "prod_club", 980, lookup_key="club")
RECOVERY = {"recovery": {"enabled": True}}
REACTIONS = {
    "index_customers": index_customers.react,
    "record_orders": record_orders.react,
    "track_subscriptions": track_subscriptions.react,
}


@pytest.fixture
def account() -> BillingAccount:
    return BillingAccount(now=1_790_000_000)


@pytest.fixture
def world(account: BillingAccount) -> World:
    return World(account)


def deliver(world: World, data: Json) -> list[Letter]:
    """The event to every function that handles it; what it made them say."""
    before = len(world.letters)
    for name, react in REACTIONS.items():
        if data["type"] in function(name).event_types:
            world.deliver(react, data)
    return [letter for letter, _ in world.letters[before:]]


def deliver_all(world: World) -> list[Letter]:
    return [letter for data in world.account.events for letter in deliver(world, data)]


def ids(letters: list[Letter]) -> list[str]:
    return [letter.facts.id for letter in letters]


def last(account: BillingAccount, event_type: str) -> Json:
    return [data for data in account.events if data["type"] == event_type][-1]


# Customers


def test_a_new_customer_is_welcomed_at_their_address_in_their_language(account: BillingAccount, world: World) -> None:
    customer = account.create_customer(email="hana@example.com", name="佐藤 花", preferred_locales=["ja", "en"])
    [letter] = deliver_all(world)
    assert letter.facts == Welcome(customer=customer, password_url=None)
    assert (letter.reader.email, letter.reader.name, letter.reader.locales) == ("hana@example.com", "佐藤 花", ("ja",))


def test_a_customer_is_welcomed_once_whatever_changes_later(account: BillingAccount, world: World) -> None:
    customer = account.create_customer(email="hana@example.com")
    account.wait(5)
    account.update_customer(customer, email="hana.sato@example.com")
    assert ids(deliver_all(world)) == [f"welcome_{customer}"]


def test_a_change_that_overtakes_the_creation_brings_the_welcome_to_the_new_address(
    account: BillingAccount, world: World
) -> None:
    customer = account.create_customer(email="hana@example.com")
    account.wait(5)
    account.update_customer(customer, email="hana.sato@example.com")
    [letter] = deliver(world, account.events[1])
    assert letter.reader.email == "hana.sato@example.com"
    assert deliver(world, account.events[0]) == []


def test_a_customer_whose_address_comes_later_is_welcomed_then(account: BillingAccount, world: World) -> None:
    customer = account.create_customer(email=None)
    account.wait(5)
    account.update_customer(customer, email="hana@example.com")
    assert deliver(world, account.events[0]) == []
    assert ids(deliver(world, account.events[1])) == [f"welcome_{customer}"]


def test_a_customer_who_is_gone_already_is_not_welcomed(account: BillingAccount, world: World) -> None:
    customer = account.create_customer(email="hana@example.com")
    account.wait(5)
    account.delete_customer(customer)
    assert [deliver(world, data) for data in reversed(account.events)] == [[], []]


def test_an_old_customer_met_for_the_first_time_is_not_new(account: BillingAccount, world: World) -> None:
    customer = account.create_customer(email="hana@example.com")
    account.wait(400 * DAY)
    account.complete(account.open_session([MUG], customer=customer), email="hana@example.com")
    deliver(world, account.events[-1])
    assert not any(name.startswith("welcome") for name in world.mail())


def test_a_guest_is_told_of_the_order_and_not_welcomed(account: BillingAccount, world: World) -> None:
    session = account.open_session([MUG])
    account.complete(session, email="guest@example.com")
    assert ids(deliver_all(world)) == [f"order_paid_{session}"]


# Orders


def test_a_paid_order_is_confirmed_to_whoever_bought_with_every_line(account: BillingAccount, world: World) -> None:
    customer = account.create_customer(email="old@example.com", name="Hana", preferred_locales=["en"])
    session = account.open_session([MUG, Line("Tea", 600, 3)], customer=customer)
    account.complete(session, email="hana@example.com", name="Sato")
    *_, letter = deliver_all(world)
    assert isinstance(letter.facts, OrderPaid)
    assert [(line.description, line.quantity) for line in letter.facts.order.lines] == [("Mug", 1), ("Tea", 3)]
    assert (letter.reader.email, letter.reader.name) == ("hana@example.com", "Sato")
    assert letter.reader.locales == ("en", "ja"), "the customer's language before the page's"


def test_a_konbini_order_says_where_and_until_when_to_pay_and_then_that_it_is_paid(
    account: BillingAccount, world: World
) -> None:
    session = account.open_session([MUG])
    account.complete(session, email="kenji@example.com", paid=False)
    [pending] = deliver(world, account.events[-1])
    assert isinstance(pending.facts, OrderPending)
    assert pending.facts.instructions is not None
    assert pending.facts.instructions.kind == "konbini"
    assert pending.facts.instructions.expires_at == account.now + 3 * DAY
    assert [store.chain for store in pending.facts.instructions.stores][:2] == ["familymart", "lawson"]
    account.wait(3600)
    account.pay_later(session)
    assert ids(deliver(world, account.events[-1])) == [f"order_paid_{session}"]


def test_a_pending_order_of_many_lines_still_has_every_one(account: BillingAccount, world: World) -> None:
    session = account.open_session([Line(f"Item {number}", 100) for number in range(30)])
    account.complete(session, email="kenji@example.com", paid=False)
    [letter] = deliver(world, account.events[-1])
    assert isinstance(letter.facts, OrderPending)
    assert len(letter.facts.order.lines) == 30


def test_an_order_is_recorded_and_told_without_what_its_payment_intent_says(
    account: BillingAccount, world: World
) -> None:
    session = account.open_session([MUG])
    account.complete(session, email="kenji@example.com", paid=False)
    account.objects[account.objects[session]["payment_intent"]]["next_action"] = {"type": "x", "x": ["odd"]}
    [letter] = deliver(world, account.events[-1])
    assert isinstance(letter.facts, OrderPending)
    assert letter.facts.instructions is None


def test_nobody_is_told_to_pay_what_is_paid_by_the_time_the_event_arrives(
    account: BillingAccount, world: World
) -> None:
    session = account.open_session([MUG])
    account.complete(session, email="kenji@example.com", paid=False)
    account.wait(60)
    account.pay_later(session)
    assert deliver(world, account.events[0]) == []
    assert ids(deliver(world, account.events[1])) == [f"order_paid_{session}"]


def test_a_payment_that_did_not_come_is_told_once(account: BillingAccount, world: World) -> None:
    session = account.open_session([MUG])
    account.complete(session, email="kenji@example.com", paid=False)
    account.wait(4 * DAY)
    account.fail_later(session)
    pending, failed = deliver_all(world)
    assert isinstance(failed.facts, OrderFailed)
    assert (pending.facts.id, failed.facts.id) == (f"order_pending_{session}", f"order_failed_{session}")


def test_what_overtakes_a_pending_order_leaves_nothing_to_say_of_it(account: BillingAccount, world: World) -> None:
    session = account.open_session([MUG])
    account.complete(session, email="kenji@example.com", paid=False)
    account.wait(60)
    account.pay_later(session)
    assert ids(deliver(world, account.events[1])) == [f"order_paid_{session}"]
    assert deliver(world, account.events[0]) == []


@pytest.mark.parametrize(
    ("consent", "expected"), [("opt_in", True), ("opt_out", False), (None, False)], ids=["opt_in", "opt_out", "unasked"]
)
def test_a_left_cart_is_offered_again_to_those_who_agreed(
    account: BillingAccount, world: World, consent: str | None, expected: bool
) -> None:
    session = account.open_session([MUG], consent={"promotions": consent}, after_expiration=RECOVERY)
    account.objects[session]["customer_details"] = {"email": "hana@example.com", "name": None, "phone": None}
    account.wait(DAY)
    account.expire(session)
    letters = deliver_all(world)
    assert bool(letters) is expected
    if expected:
        assert isinstance(letters[0].facts, CartRecovery)
        assert letters[0].facts.recovery_url == f"https://buy.stripe.com/r/{session}"


def test_a_left_cart_that_cannot_be_recovered_is_not_mentioned(account: BillingAccount, world: World) -> None:
    session = account.open_session([MUG], consent={"promotions": "opt_in"})
    account.expire(session)
    assert deliver_all(world) == []


def left_cart(account: BillingAccount) -> str:
    session = account.open_session([MUG], consent={"promotions": "opt_in"}, after_expiration=RECOVERY)
    account.objects[session]["customer_details"] = {"email": "hana@example.com", "name": None, "phone": None}
    account.wait(DAY)
    account.expire(session)
    return session


def test_a_left_cart_is_not_offered_again_to_an_address_that_has_refused_since(
    account: BillingAccount, world: World
) -> None:
    left_cart(account)
    [address] = paths.address("Hana@Example.com")
    world.documents[address] = {"refused_at": account.now - 60}
    assert deliver_all(world) == []


def test_one_offer_of_a_cart_is_enough_for_a_while(account: BillingAccount, world: World) -> None:
    for _ in range(2):
        left_cart(account)
    assert len(deliver_all(world)) == 1
    account.wait(31 * DAY)
    left_cart(account)
    assert len(deliver(world, account.events[-1])) == 1


def test_a_price_for_several_is_not_told_as_the_price_of_one(
    account: BillingAccount, world: World, customer: str
) -> None:
    subscription = on_trial(account, customer)
    announced = last(account, "customer.subscription.trial_will_end")
    announced["data"]["object"]["items"]["data"][0]["price"]["transform_quantity"] = {"divide_by": 10, "round": "up"}
    [facts] = [letter.facts for letter in deliver(world, announced) if isinstance(letter.facts, TrialEnding)]
    assert (facts.subscription, facts.plan.amount) == (subscription, None)


# Refunds


def test_each_sum_that_goes_back_is_told_with_what_went_back_before(account: BillingAccount, world: World) -> None:
    session = account.open_session([MUG])
    account.complete(session, email="hana@example.com", name="Hana")
    intent = account.objects[session]["payment_intent"]
    for amount in (400, 1000):
        account.wait(60)
        account.refund(session, amount)
    told = [letter.facts for letter in deliver_all(world) if isinstance(letter.facts, Refund)]
    assert [(each.amount, each.amount_refunded, each.amount_paid) for each in told] == [
        (400, 400, 1400),
        (1000, 1400, 1400),
    ]
    assert [each.id for each in told] == [f"refund_{intent}_400", f"refund_{intent}_1400"]
    assert {each.session for each in told} == {session}


def test_a_refund_before_its_order_goes_to_whoever_paid(account: BillingAccount, world: World) -> None:
    session = account.open_session([MUG])
    account.complete(session, email="hana@example.com", name="Hana")
    account.wait(60)
    account.refund(session, 400)
    [letter] = deliver(world, account.events[-1])
    assert (letter.reader.email, letter.reader.name) == ("hana@example.com", "Hana")


def test_a_refund_of_a_known_customer_goes_to_their_present_address(account: BillingAccount, world: World) -> None:
    customer = account.create_customer(email="hana@example.com", preferred_locales=["en"])
    session = account.open_session([MUG], customer=customer)
    account.complete(session, email="hana@example.com")
    account.wait(60)
    account.update_customer(customer, email="hana.sato@example.com")
    account.wait(60)
    account.refund(session, 400)
    *_, letter = deliver_all(world)
    assert letter.reader.email == "hana.sato@example.com"
    assert letter.reader.locales == ("en", "ja")


def test_a_refund_that_fails_is_no_refund(account: BillingAccount, world: World) -> None:
    session = account.open_session([MUG])
    account.complete(session, email="hana@example.com")
    account.wait(60)
    refund = account.refund(session, 400)
    deliver_all(world)
    account.wait(60)
    account.fail_refund(refund)
    assert deliver(world, account.events[-1]) == []


# Invoices


@pytest.fixture
def customer(account: BillingAccount) -> str:
    made = account.create_customer(email="ren@example.com", name="Ren", preferred_locales=["ja"])
    account.wait(60)
    return made


def unpaid(account: BillingAccount, customer: str) -> tuple[str, str]:
    """A subscription whose renewal fails, and the invoice of it."""
    subscription = account.subscribe(customer, [CLUB])
    account.wait(30 * DAY)
    account.renew(subscription, paid=False)
    account.wait(60)
    return subscription, account.objects[subscription]["latest_invoice"]


def test_a_failed_payment_is_told_with_the_next_attempt_and_where_to_pay(
    account: BillingAccount, world: World, customer: str
) -> None:
    _, invoice = unpaid(account, customer)
    told = [letter for letter in deliver_all(world) if isinstance(letter.facts, InvoiceUnpaid)]
    [facts] = [letter.facts for letter in told]
    assert isinstance(facts, InvoiceUnpaid)
    assert facts.id == f"invoice_unpaid_{invoice}_1"
    assert facts.invoice.amount == 980
    assert facts.invoice.hosted_invoice_url == f"https://invoice.stripe.com/i/{invoice}"
    assert facts.next_payment_attempt == account.objects[invoice]["next_payment_attempt"]
    assert told[0].reader.email == "ren@example.com"


def test_every_attempt_that_fails_is_a_fact_of_its_own(account: BillingAccount, world: World, customer: str) -> None:
    subscription, invoice = unpaid(account, customer)
    assert ids(deliver(world, last(account, "invoice.payment_failed"))) == [f"invoice_unpaid_{invoice}_1"]
    account.wait(3 * DAY)
    account.fail_again(subscription)
    assert ids(deliver(world, last(account, "invoice.payment_failed"))) == [f"invoice_unpaid_{invoice}_2"]


def test_a_failure_that_a_payment_has_overtaken_is_not_told(
    account: BillingAccount, world: World, customer: str
) -> None:
    subscription, _ = unpaid(account, customer)
    account.recover(subscription)
    deliver(world, last(account, "invoice.paid"))
    assert deliver(world, last(account, "invoice.payment_failed")) == []


def test_a_failure_overtaken_by_something_that_leaves_it_true_is_told(
    account: BillingAccount, world: World, customer: str
) -> None:
    _, invoice = unpaid(account, customer)
    account.overdue(invoice)
    deliver(world, last(account, "invoice.overdue"))
    failed = last(account, "invoice.payment_failed")
    assert ids(deliver(world, failed)) == [f"invoice_unpaid_{invoice}_1"]
    assert deliver(world, failed) == []


def test_a_payment_to_be_authenticated_is_told_in_any_order_within_its_second(
    account: BillingAccount, world: World, customer: str
) -> None:
    subscription = account.subscribe(customer, [CLUB], needs_action=True)
    invoice = account.objects[subscription]["latest_invoice"]
    told = [facts for data in reversed(account.events) for facts in (each.facts for each in deliver(world, data))]
    assert [facts.id for facts in told if isinstance(facts, InvoiceAction)] == [f"invoice_action_{invoice}"]


def test_a_customer_we_never_met_is_asked_for_once_to_be_written_to(
    account: BillingAccount, world: World, customer: str
) -> None:
    unpaid(account, customer)
    [letter] = deliver(world, last(account, "invoice.payment_failed"))
    assert letter.reader.email == "ren@example.com"
    assert [fetch.kind for fetch in world.fetches] == ["customer"]


def test_support_hears_of_a_customer_that_stripe_does_not_have(
    account: BillingAccount, world: World, customer: str
) -> None:
    _, invoice = unpaid(account, customer)
    del account.objects[customer]
    deliver(world, last(account, "invoice.payment_failed"))
    assert list(world.mail()) == [f"invoice_unpaid_{invoice}_1_support"]


# Subscriptions


def on_trial(account: BillingAccount, customer: str) -> str:
    subscription = account.subscribe(customer, [CLUB], trial_days=14)
    account.wait(11 * DAY)
    account.trial_will_end(subscription)
    account.wait(60)
    return subscription


def test_the_end_of_a_trial_is_announced_with_what_it_will_cost(
    account: BillingAccount, world: World, customer: str
) -> None:
    subscription = on_trial(account, customer)
    trial_end = account.objects[subscription]["trial_end"]
    [facts] = [letter.facts for letter in deliver_all(world) if isinstance(letter.facts, TrialEnding)]
    assert facts.id == f"trial_ending_{subscription}_{trial_end}"
    assert (facts.plan.amount, facts.plan.currency, facts.plan.interval) == (980, "jpy", "month")
    assert not facts.is_canceled


def test_a_trial_that_ends_for_good_is_announced_as_such(account: BillingAccount, world: World, customer: str) -> None:
    subscription = account.subscribe(customer, [CLUB], trial_days=14)
    account.wait(DAY)
    account.cancel_later(subscription)
    account.wait(10 * DAY)
    account.trial_will_end(subscription)
    [facts] = [letter.facts for letter in deliver_all(world) if isinstance(letter.facts, TrialEnding)]
    assert facts.is_canceled


def test_an_announcement_overtaken_by_a_change_that_leaves_it_true_is_made(
    account: BillingAccount, world: World, customer: str
) -> None:
    subscription = on_trial(account, customer)
    account.change(subscription, metadata={"seat": "2"})
    announcement = last(account, "customer.subscription.trial_will_end")
    deliver(world, account.events[-1])
    assert len(deliver(world, announcement)) == 1
    assert deliver(world, announcement) == []


def test_a_trial_that_is_over_is_not_announced(account: BillingAccount, world: World, customer: str) -> None:
    subscription = on_trial(account, customer)
    account.renew(subscription)
    deliver(world, last(account, "customer.subscription.updated"))
    assert deliver(world, last(account, "customer.subscription.trial_will_end")) == []


def test_the_end_of_a_subscription_is_told_once_with_its_reason(
    account: BillingAccount, world: World, customer: str
) -> None:
    subscription = account.subscribe(customer, [CLUB])
    account.wait(DAY)
    account.cancel(subscription)
    account.wait(60)
    account.change(subscription, metadata={"note": "left"})
    [facts] = [letter.facts for letter in deliver_all(world) if isinstance(letter.facts, Canceled)]
    assert (facts.id, facts.reason) == (f"canceled_{subscription}", "cancellation_requested")


def test_the_end_of_a_subscription_is_told_although_it_comes_late(
    account: BillingAccount, world: World, customer: str
) -> None:
    subscription = account.subscribe(customer, [CLUB])
    account.wait(60)
    account.change(subscription, metadata={"a": "b"})
    updated = account.events[-1]
    updated["created"] += 60
    account.cancel(subscription)
    deliver(world, updated)
    assert ids(deliver(world, account.events[-1])) == [f"canceled_{subscription}"]


def test_a_subscription_met_long_after_its_end_is_nobodys_news(
    account: BillingAccount, world: World, customer: str
) -> None:
    subscription = account.subscribe(customer, [CLUB])
    account.cancel(subscription)
    account.wait(400 * DAY)
    account.change(subscription, metadata={"a": "b"})
    deliver(world, account.events[-1])
    assert world.mail() == {}


def test_a_first_payment_that_was_never_made_ends_without_a_word(
    account: BillingAccount, world: World, customer: str
) -> None:
    subscription = account.subscribe(customer, [CLUB], needs_action=True)
    account.wait(DAY)
    account.give_up_first_payment(subscription)
    assert not any(isinstance(letter.facts, Canceled) for letter in deliver_all(world))


# What holds for all


def everything(account: BillingAccount) -> None:
    customer = account.create_customer(email="ren@example.com")
    account.complete(account.open_session([MUG], customer=customer), email="ren@example.com")
    account.wait(60)
    account.cancel(unpaid(account, customer)[0])
    on_trial(account, customer)


def test_late_events_change_the_state_and_write_to_nobody(account: BillingAccount, world: World) -> None:
    everything(account)
    world.delay_seconds = 100 * DAY
    deliver_all(world)
    assert world.mail() == {}
    assert any("/orders/" in path for path in world.documents)


@pytest.mark.parametrize("form", [dict, thin], ids=["snapshots", "thin"])
def test_what_was_told_is_not_told_again(account: BillingAccount, world: World, form: Callable[[Json], Json]) -> None:
    everything(account)
    for data in account.events:
        deliver(world, form(data))
    assert [letter for data in account.events for letter in deliver(world, form(data))] == []
