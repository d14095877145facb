"""What one event costs, counted on the emulator and at the local Stripe API, against the budget of the README."""

from collections.abc import Callable
from typing import Any

import pytest

from functions.topology import FUNCTIONS
from local.account import Line
from local.billing import BillingAccount, Price
from tests.test_subscriber import Bench, Make, make, server

__all__ = ["make", "server"]  # fixtures
Json = dict[str, Any]
CLUB = Price("price_club", "prod_club", 980, lookup_key="club")


@pytest.fixture
def account() -> BillingAccount:
    return BillingAccount(now=1_790_000_000)


def cost(bench: Bench, data: Json) -> tuple[int, int, int]:
    """Stripe calls, documents read, documents written; the calls as the API counted them."""
    bench.served.put([])
    bench.served.forget_requests()
    bench.handle(data)
    line = bench.log()[-1]
    assert line["stripe_calls"] <= len(bench.served.requests())
    return len(bench.served.requests()), line["reads"], line["writes"]


def within(found: tuple[int, int, int], budget: tuple[int, int, int]) -> bool:
    return all(cost <= limit for cost, limit in zip(found, budget, strict=True))


def test_a_new_customer_costs_no_call_three_reads_and_four_writes_beside_the_welcome(
    make: Make, account: BillingAccount
) -> None:
    account.create_customer(email="hana@example.com", metadata={"user_id": "user-1"})
    assert cost(make(), account.events[0]) == (0, 3, 4 + 1)


def test_a_new_customer_without_a_user_costs_two_reads_and_two_writes_beside_the_welcome(
    make: Make, account: BillingAccount
) -> None:
    account.create_customer(email="hana@example.com")
    assert cost(make(), account.events[0]) == (0, 2, 2 + 1)


@pytest.mark.parametrize(("lines", "calls"), [(1, 1), (100, 1), (101, 2)])
def test_an_order_costs_one_call_per_hundred_lines(make: Make, account: BillingAccount, lines: int, calls: int) -> None:
    session = account.open_session([Line("Mug", 1400)] * lines)
    account.complete(session, email="hana@example.com")
    bench = make("record_orders")
    bench.served.put(account.api_objects())
    assert within(cost(bench, account.events[0]), (calls, 3, 4))


def test_linking_a_known_customer_costs_no_call(make: Make, account: BillingAccount) -> None:
    customer = account.create_customer(email="hana@example.com")
    session = account.open_session([Line("Mug", 1400)], customer=customer, client_reference_id="user-1")
    account.wait(5)
    account.complete(session, email="hana@example.com")
    bench = make()
    bench.handle(account.events[0])
    assert within(cost(bench, account.events[1]), (0, 3, 4))


def test_meeting_an_unknown_customer_costs_one_call(make: Make, account: BillingAccount) -> None:
    customer = account.create_customer(email="hana@example.com")
    session = account.open_session([Line("Mug", 1400)], customer=customer, client_reference_id="user-1")
    account.complete(session, email="hana@example.com")
    bench = make()
    bench.served.put(account.api_objects())
    assert within(cost(bench, account.events[1]), (1, 3, 4 + 1))


def test_a_failed_payment_costs_no_call_two_reads_and_three_writes(make: Make, account: BillingAccount) -> None:
    customer = account.create_customer(email="hana@example.com")
    subscription = account.subscribe(customer, [CLUB])
    account.wait(5)
    account.renew(subscription, paid=False)
    make().handle(account.events[0])
    failed = next(data for data in account.events if data["type"] == "invoice.payment_failed")
    assert cost(make("track_subscriptions"), failed) == (0, 2, 3)


def test_writing_to_an_unknown_customer_costs_one_call(make: Make, account: BillingAccount) -> None:
    customer = account.create_customer(email="hana@example.com")
    subscription = account.subscribe(customer, [CLUB])
    account.wait(5)
    account.renew(subscription, paid=False)
    failed = next(data for data in account.events if data["type"] == "invoice.payment_failed")
    bench = make("track_subscriptions")
    bench.served.put(account.api_objects())
    assert cost(bench, failed) == (1, 2, 3)


def test_an_order_that_waits_for_its_payment_costs_one_call_for_lines_and_instructions(
    make: Make, account: BillingAccount
) -> None:
    session = account.open_session([Line("Mug", 1400)] * 10)
    account.complete(session, email="hana@example.com", paid=False)
    bench = make("record_orders")
    bench.served.put(account.api_objects())
    assert cost(bench, account.events[-1]) == (1, 3, 3)


def test_a_new_subscription_of_a_linked_customer_costs_three_reads_and_four_writes(
    make: Make, account: BillingAccount
) -> None:
    customer = account.create_customer(email="hana@example.com", metadata={"user_id": "user-1"})
    account.subscribe(customer, [CLUB])
    make().handle(account.events[0])
    created = next(data for data in account.events if data["type"] == "customer.subscription.created")
    assert cost(make("track_subscriptions"), created) == (0, 3, 4)


def test_an_update_that_changes_no_plan_costs_two_reads_and_one_write(make: Make, account: BillingAccount) -> None:
    customer = account.create_customer(email="hana@example.com", metadata={"user_id": "user-1"})
    subscription = account.subscribe(customer, [CLUB])
    account.wait(5)
    account.cancel_later(subscription)
    bench = make("track_subscriptions")
    for data in account.events[:-1]:
        bench.handle(data)
    assert cost(bench, account.events[-1]) == (0, 2, 1)


def test_an_invoice_costs_two_reads_and_one_write(make: Make, account: BillingAccount) -> None:
    customer = account.create_customer(email="hana@example.com")
    account.one_off_invoice(customer, 500)
    assert cost(make("track_subscriptions"), account.events[-1]) == (0, 2, 1)


# Every snapshot type that is handled, in whole seconds apart so that nothing ties.


def purchase(account: BillingAccount) -> None:
    customer = account.create_customer(email="hana@example.com", metadata={"user_id": "user-1"})
    account.wait(5)
    account.update_customer(customer, email="hana.sato@example.com")
    account.wait(5)
    session = account.open_session([Line("Mug", 1400)], customer=customer, client_reference_id="user-1")
    account.complete(session, email="hana@example.com", paid=False)
    account.wait(5)
    account.pay_later(session)
    account.wait(5)
    refund = account.refund(session, 400)
    account.wait(5)
    account.fail_refund(refund)
    account.wait(5)
    dispute = account.dispute(session)
    account.wait(5)
    account.close_dispute(dispute, "won")
    account.wait(5)
    account.delete_customer(customer)


def no_purchase(account: BillingAccount) -> None:
    session = account.open_session([Line("Mug", 1400)])
    account.complete(session, email="hana@example.com", paid=False)
    account.wait(5)
    account.fail_later(session)
    account.expire(account.open_session([Line("Mug", 1400)]))


def club(account: BillingAccount) -> None:
    customer = account.create_customer(email="hana@example.com", metadata={"user_id": "user-1"})
    card = account.attach_card(customer)
    account.wait(5)
    subscription = account.subscribe(customer, [CLUB], trial_days=14)
    account.wait(5)
    account.trial_will_end(subscription)
    account.upcoming_invoice(subscription)
    account.wait(5)
    account.pause(subscription)
    account.wait(5)
    account.resume(subscription)
    account.wait(5)
    account.change(subscription, event="pending_update_applied")
    account.wait(5)
    account.change(subscription, event="pending_update_expired")
    account.wait(5)
    account.renew(subscription, paid=False)
    account.wait(5)
    account.write_off(subscription)
    account.wait(5)
    account.cancel(subscription)
    account.wait(5)
    account.renew_card(card, expires=(2031, 1))
    account.wait(5)
    account.update_card(card)
    account.wait(5)
    account.detach_card(card)


def unconfirmed(account: BillingAccount) -> None:
    customer = account.create_customer(email="hana@example.com")
    subscription = account.subscribe(customer, [CLUB], needs_action=True)
    account.wait(5)
    account.overdue(account.objects[subscription]["latest_invoice"])
    account.wait(5)
    account.give_up_first_payment(subscription)


#: Calls, reads, writes; and where an event may cost more, why.
BUDGET = (1, 3, 4)
BUDGETS = {
    # The welcome.
    "customer.created": (1, 3, 4 + 1),
    # A user whose last customer goes is read too: what the application keeps there has to stay.
    "customer.deleted": (1, 4, 4),
    # The plan goes, and customer and support are told.
    "customer.subscription.deleted": (1, 3, 4 + 2),
    # The same, where a tie shows that it has ended meanwhile.
    "customer.subscription.updated": (1, 3, 4 + 2),
}

STORIES = (purchase, no_purchase, club, unconfirmed)


def told_by(story: Callable[[BillingAccount], None]) -> BillingAccount:
    account = BillingAccount(now=1_790_000_000)
    story(account)
    return account


@pytest.mark.parametrize("name", [row.name for row in FUNCTIONS if row.trigger == "events"])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_every_event_of_a_story_keeps_its_budget_and_its_repetition_costs_nothing(
    make: Make, story: Callable[[BillingAccount], None], name: str
) -> None:
    bench, account = make(name), told_by(story)
    events = [data for data in account.events if data["type"] in bench.subscriber.function.event_types]
    bench.served.put(account.api_objects())
    if name != "index_customers":
        # Whom to write to is known.
        make().handle(account.events[0])
    for data in events:
        found = cost(bench, data)
        assert within(found, BUDGETS.get(data["type"], BUDGET)), (data["type"], found)
    for data in events:
        found = cost(bench, data)
        assert within(found, (0, 2, 0)), (data["type"], found)
