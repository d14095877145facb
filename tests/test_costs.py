"""What one event costs, counted on the emulator and at the local Stripe API, against the budget of the README."""

from typing import Any

import pytest

from local.account import Account, Line
from tests.test_subscriber import Bench, Make, make, server

__all__ = ["make", "server"]  # fixtures
Json = dict[str, Any]


@pytest.fixture
def account() -> Account:
    return Account(now=1_790_000_000)


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


def test_a_new_customer_costs_no_call_three_reads_and_four_writes(make: Make, account: Account) -> None:
    account.create_customer(email="hana@example.com", metadata={"user_id": "user-1"})
    assert within(cost(make(), account.events[0]), (0, 3, 4))


def test_a_new_customer_without_a_user_costs_two_reads_and_two_writes(make: Make, account: Account) -> None:
    account.create_customer(email="hana@example.com")
    assert cost(make(), account.events[0]) == (0, 2, 2)


@pytest.mark.parametrize(("lines", "calls"), [(1, 1), (100, 1), (101, 2)])
def test_an_order_costs_one_call_per_hundred_lines(make: Make, account: Account, lines: int, calls: int) -> None:
    session = account.open_session([Line("Mug", 1400)] * lines)
    account.complete(session, email="hana@example.com")
    bench = make("record_orders")
    bench.served.put(account.api_objects())
    assert within(cost(bench, account.events[0]), (calls, 3, 4))


def test_linking_a_known_customer_costs_no_call(make: Make, account: Account) -> None:
    customer = account.create_customer(email="hana@example.com")
    session = account.open_session([Line("Mug", 1400)], customer=customer, client_reference_id="user-1")
    account.wait(5)
    account.complete(session, email="hana@example.com")
    bench = make()
    bench.handle(account.events[0])
    assert within(cost(bench, account.events[1]), (0, 3, 4))


def test_meeting_an_unknown_customer_costs_one_call(make: Make, account: Account) -> None:
    customer = account.create_customer(email="hana@example.com")
    session = account.open_session([Line("Mug", 1400)], customer=customer, client_reference_id="user-1")
    account.complete(session, email="hana@example.com")
    bench = make()
    bench.served.put(account.api_objects())
    assert within(cost(bench, account.events[1]), (1, 3, 4))


def story(account: Account) -> list[Json]:
    """Every type both functions handle, in whole seconds apart."""
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
    return account.events


@pytest.mark.parametrize("name", ["index_customers", "record_orders"])
def test_every_event_of_a_story_keeps_its_budget_and_its_repetition_costs_nothing(
    make: Make, account: Account, name: str
) -> None:
    bench = make(name)
    events = [data for data in story(account) if data["type"] in bench.subscriber.function.event_types]
    bench.served.put(account.api_objects())
    for data in events:
        found = cost(bench, data)
        assert within(found, (1, 3, 4)), (data["type"], found)
    for data in events:
        found = cost(bench, data)
        assert within(found, (0, 2, 0)), (data["type"], found)
