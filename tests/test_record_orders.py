"""What `record_orders` decides, event by event."""

from typing import Any

import pytest

from functions import paths
from functions.errors import Malformed
from functions.reactions.record_orders import react
from local.account import Account, Line, thin
from tests.driving import World

MUG, TEA = Line("Mug", 1400, product="prod_mug", price="price_mug"), Line("Tea", 2000)
Json = dict[str, Any]


@pytest.fixture
def account() -> Account:
    return Account(now=1_790_000_000)


@pytest.fixture
def world(account: Account) -> World:
    return World(account)


def order_of(world: World, session: str) -> Json:
    """The one order of that session."""
    [found] = [fields for path, fields in world.documents.items() if path.endswith(f"/orders/{session}")]
    return found


def paid_session(account: Account, *lines: Line, **fields: Any) -> str:
    session = account.open_session(lines or (MUG,), **fields)
    account.complete(session, email="hana@example.com", name="Hana")
    return session


def konbini_session(account: Account) -> str:
    session = account.open_session([MUG])
    account.complete(session, email="hana@example.com", paid=False)
    account.wait(3600)
    return session


def test_a_paid_session_becomes_a_paid_order_with_its_lines(account: Account, world: World) -> None:
    customer = account.create_customer(email="hana@example.com")
    account.wait(30)
    session = paid_session(account, MUG, TEA, customer=customer, client_reference_id="user-1", payment_link="plink_1")
    world.deliver(react, account.events[-1])
    order = world.documents[f"customers/{customer}/orders/{session}"]
    lines = order.pop("line_items")
    assert order == {
        "id": session,
        "customer": customer,
        "user_id": "user-1",
        "client_reference_id": "user-1",
        "customer_email": "hana@example.com",
        "locale": "ja",
        "mode": "payment",
        "status": "paid",
        "payment_status": "paid",
        "source": "payment_link",
        "payment_link": "plink_1",
        "payment_intent": account.objects[session]["payment_intent"],
        "subscription": None,
        "invoice": None,
        "amount_total": 3400,
        "amount_subtotal": 3400,
        "amount_refunded": 0,
        "currency": "jpy",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "metadata": {},
        "livemode": False,
        "created": 1_790_000_030,
        "paid_at": 1_790_000_030,
        "disputed": False,
        "dispute_status": None,
        "as_of": 1_790_000_030,
        "as_of_events": [account.events[-1]["id"]],
    }
    assert lines[0] == {
        "id": account.lines_of(session)[0]["id"],
        "description": "Mug",
        "price": "price_mug",
        "product": "prod_mug",
        "quantity": 1,
        "amount_subtotal": 1400,
        "amount_discount": 0,
        "amount_tax": 0,
        "amount_total": 1400,
        "currency": "jpy",
    }
    assert [line["amount_total"] for line in lines] == [1400, 2000]


def test_a_session_from_elsewhere_than_a_payment_link_is_a_checkout(account: Account, world: World) -> None:
    session = paid_session(account)
    world.deliver_all(react)
    assert order_of(world, session)["source"] == "checkout"


def test_the_quantity_is_the_one_the_buyer_left(account: Account, world: World) -> None:
    session = account.open_session([MUG])
    account.change_quantity(session, 0, 3)
    account.complete(session, email="hana@example.com")
    world.deliver_all(react)
    order = order_of(world, session)
    assert (order["line_items"][0]["quantity"], order["amount_total"]) == (3, 4200)


def test_an_expanded_product_is_recorded_by_its_id(account: Account, world: World) -> None:
    session = account.open_session([MUG])
    account.lines_of(session)[0]["price"]["product"] = {"id": "prod_mug", "object": "product", "name": "Mug"}
    account.complete(session, email="hana@example.com")
    world.deliver_all(react)
    assert order_of(world, session)["line_items"][0]["product"] == "prod_mug"


def test_a_konbini_order_is_pending_and_then_paid(account: Account, world: World) -> None:
    session = konbini_session(account)
    account.pay_later(session)
    world.deliver(react, account.events[0])
    assert (order_of(world, session)["status"], order_of(world, session)["paid_at"]) == ("pending", None)
    world.deliver(react, account.events[1])
    assert (order_of(world, session)["status"], order_of(world, session)["paid_at"]) == ("paid", account.now)
    assert world.fetches == []


def test_a_konbini_order_paid_before_its_completion_arrives_stays_paid(account: Account, world: World) -> None:
    session = konbini_session(account)
    account.pay_later(session)
    world.deliver(react, account.events[1])
    assert world.deliver(react, account.events[0]).outcome == "stale"
    assert order_of(world, session)["status"] == "paid"


def test_a_konbini_slip_that_runs_out_is_a_failed_order(account: Account, world: World) -> None:
    session = konbini_session(account)
    account.fail_later(session)
    world.deliver_all(react)
    assert order_of(world, session)["status"] == "failed"


def test_a_session_nobody_completes_is_an_expired_order(account: Account, world: World) -> None:
    session = account.open_session([MUG])
    account.expire(session)
    world.deliver_all(react)
    assert order_of(world, session)["status"] == "expired"


def test_a_session_that_requires_no_payment_is_paid(account: Account, world: World) -> None:
    session = account.open_session([Line("Free mug", 0)])
    account.complete(session, email="hana@example.com")
    world.deliver_all(react)
    order = order_of(world, session)
    assert (order["payment_status"], order["status"]) == ("no_payment_required", "paid")


def test_a_setup_session_is_no_order(account: Account, world: World) -> None:
    session = account.open_session([], mode="setup")
    account.complete(session, email="hana@example.com")
    assert world.deliver(react, account.events[0]).outcome == "ignored"
    assert world.documents == {}


def test_a_subscription_session_is_an_order_with_its_subscription(account: Account, world: World) -> None:
    session = paid_session(account, mode="subscription")
    world.deliver_all(react)
    order = order_of(world, session)
    assert (order["mode"], order["subscription"]) == ("subscription", account.objects[session]["subscription"])


def test_a_guests_order_lies_with_the_guest(account: Account, world: World) -> None:
    session = paid_session(account)
    world.deliver_all(react)
    guest = paths.guest_customer("HANA@example.com", None, session)
    assert f"customers/{guest}/orders/{session}" in world.documents


def test_a_redelivered_event_reads_twice_at_most_and_writes_nothing(account: Account, world: World) -> None:
    paid_session(account)
    world.deliver_all(react)
    assert world.deliver(react, account.events[-1]).outcome == "duplicate"
    assert (len(world.reads), world.fetches, world.writes) == (2, [], [])


def test_two_session_events_of_one_second_are_settled_by_stripe(account: Account) -> None:
    session = account.open_session([MUG])
    account.complete(session, email="hana@example.com", paid=False)
    account.pay_later(session)
    completed, succeeded = account.events
    for order in ((completed, succeeded), (succeeded, completed)):
        fresh = World(account)
        for data in order:
            fresh.deliver(react, data)
        assert [fetch.kind for fetch in fresh.fetches] == ["checkout.session"]
        assert order_of(fresh, session)["status"] == "paid"


def test_a_full_refund_makes_the_order_refunded(account: Account, world: World) -> None:
    session = paid_session(account)
    account.wait(60)
    account.refund(session, 1400)
    world.deliver_all(react)
    order = order_of(world, session)
    assert (order["status"], order["amount_refunded"]) == ("refunded", 1400)


def test_a_partial_refund_makes_the_order_partially_refunded(account: Account, world: World) -> None:
    session = paid_session(account)
    account.wait(60)
    account.refund(session, 400)
    world.deliver_all(react)
    order = order_of(world, session)
    assert (order["status"], order["amount_refunded"]) == ("partially_refunded", 400)


def test_a_failed_refund_takes_the_status_back(account: Account, world: World) -> None:
    session = paid_session(account)
    account.wait(60)
    refund = account.refund(session, 1400)
    account.wait(60)
    account.fail_refund(refund)
    world.deliver_all(react)
    order = order_of(world, session)
    assert (order["status"], order["amount_refunded"]) == ("paid", 0)


def test_a_refund_that_arrives_before_its_order_is_found_by_it(account: Account, world: World) -> None:
    session = paid_session(account)
    account.wait(60)
    account.refund(session, 400)
    completed, refunded = account.events
    decision = world.deliver(react, refunded)
    assert (decision.outcome, decision.reason) == ("applied", "the order is not known yet")
    world.deliver(react, completed)
    order = order_of(world, session)
    assert (order["status"], order["amount_refunded"]) == ("partially_refunded", 400)


def test_a_refund_that_overtakes_the_payment_counts_when_it_is_paid(account: Account, world: World) -> None:
    session = konbini_session(account)
    account.pay_later(session)
    account.wait(60)
    account.refund(session, 1400)
    completed, succeeded, refunded = account.events
    world.deliver(react, completed)
    world.deliver(react, refunded)
    assert order_of(world, session)["status"] == "pending"
    world.deliver(react, succeeded)
    assert order_of(world, session)["status"] == "refunded"


def test_two_refunds_of_one_second_are_settled_by_stripe(account: Account, world: World) -> None:
    session = paid_session(account)
    account.wait(60)
    account.refund(session, 400)
    account.refund(session, 300)
    completed, first, second = account.events
    for data in (completed, second, first):
        world.deliver(react, data)
    assert order_of(world, session)["amount_refunded"] == 700


def test_a_refund_of_something_else_than_an_order_is_only_remembered(account: Account, world: World) -> None:
    session = paid_session(account)
    account.wait(60)
    account.refund(session, 400)
    world.deliver(react, account.events[-1])
    [path] = world.documents
    assert path.startswith("payments/pi_")


@pytest.mark.parametrize("old_version", [False, True])
def test_the_refund_of_a_subscriptions_first_payment_meets_its_order_over_the_invoice(
    account: Account, old_version: bool
) -> None:
    session = paid_session(account, mode="subscription")
    account.wait(60)
    account.refund(session, 400)
    account.wait(60)
    account.dispute(session)
    if old_version:
        # Until basil the charge said which invoice it paid.
        account.events[1]["data"]["object"]["invoice"] = account.objects[session]["invoice"]
    completed, refunded, disputed = account.events
    for order in (account.events, [refunded, completed, disputed], [disputed, refunded, completed]):
        world = World(account)
        for data in order:
            world.deliver(react, data)
        found = order_of(world, session)
        assert (found["status"], found["amount_refunded"], found["disputed"]) == ("partially_refunded", 400, True)
        for data in order:
            assert world.deliver(react, data).outcome == "duplicate"
            assert (world.fetches, len(world.reads), world.writes) == ([], 2, [])


def test_the_refund_of_a_renewal_is_remembered_with_its_invoice(account: Account, world: World) -> None:
    session = paid_session(account, mode="subscription")
    account.refund(session, 400)
    world.deliver(react, account.events[-1])
    assert sorted(path.split("_")[0] for path in world.documents) == ["payments/in", "payments/pi"]


def test_a_charge_without_a_payment_intent_is_ignored(account: Account, world: World) -> None:
    session = paid_session(account)
    account.refund(session, 400)
    account.events[-1]["data"]["object"]["payment_intent"] = None
    assert world.deliver(react, account.events[-1]).outcome == "ignored"


def test_a_dispute_marks_its_order(account: Account, world: World) -> None:
    session = paid_session(account)
    account.wait(60)
    dispute = account.dispute(session)
    world.deliver_all(react)
    assert (order_of(world, session)["disputed"], order_of(world, session)["dispute_status"]) == (
        True,
        "needs_response",
    )
    account.wait(60)
    account.close_dispute(dispute, "won")
    world.deliver(react, account.events[-1])
    order = order_of(world, session)
    assert (order["status"], order["disputed"], order["dispute_status"]) == ("paid", True, "won")


@pytest.mark.parametrize("seconds", [0, 60])
def test_a_dispute_that_closed_stays_closed(account: Account, world: World, seconds: int) -> None:
    session = paid_session(account)
    dispute = account.dispute(session)
    account.wait(seconds)
    account.close_dispute(dispute, "lost")
    completed, created, closed = account.events
    for data in (closed, created, completed):
        world.deliver(react, data)
    assert order_of(world, session)["dispute_status"] == "lost"


def test_a_dispute_that_arrives_before_its_order_is_found_by_it(account: Account, world: World) -> None:
    session = paid_session(account)
    account.wait(60)
    account.dispute(session)
    for data in reversed(account.events):
        world.deliver(react, data)
    assert order_of(world, session)["disputed"]


def test_a_late_session_event_does_not_undo_a_refund(account: Account, world: World) -> None:
    session = konbini_session(account)
    account.pay_later(session)
    account.wait(60)
    account.refund(session, 400)
    completed, succeeded, refunded = account.events
    for data in (succeeded, refunded, completed, succeeded):
        world.deliver(react, data)
    assert order_of(world, session)["status"] == "partially_refunded"


def test_thin_notifications_tell_the_whole_story(account: Account, world: World) -> None:
    session = konbini_session(account)
    account.pay_later(session)
    account.wait(60)
    refund = account.refund(session, 1400)
    account.wait(60)
    dispute = account.dispute(session)
    account.wait(60)
    account.close_dispute(dispute, "won")
    account.wait(60)
    account.fail_refund(refund)
    for data in account.events:
        world.deliver(react, thin(data))
    order = order_of(world, session)
    assert (order["status"], order["amount_refunded"], order["dispute_status"]) == ("paid", 0, "won")


def test_the_thin_and_the_snapshot_form_of_an_event_count_once(account: Account, world: World) -> None:
    paid_session(account)
    world.deliver(react, account.events[0])
    assert world.deliver(react, thin(account.events[0])).outcome == "duplicate"


def test_a_session_of_the_first_versions_keeps_its_address(account: Account, world: World) -> None:
    session = paid_session(account)
    found = account.events[0]["data"]["object"]
    found |= {"customer_details": None, "customer_email": "old@example.com", "total_details": None}
    world.deliver_all(react)
    assert order_of(world, session)["customer_email"] == "old@example.com"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"amount_total": "1400"}, "amount_total is not a whole number"),
        ({"amount_total": 2**63}, "amount_total is not a whole number"),
        ({"mode": None}, "checkout.session has no mode"),
        ({"id": ""}, "checkout.session has no id"),
    ],
)
def test_an_impossible_session_is_malformed(account: Account, world: World, change: Json, reason: str) -> None:
    paid_session(account)
    account.events[0]["data"]["object"] |= change
    account.objects.clear()
    with pytest.raises(Malformed, match=reason):
        world.deliver(react, account.events[0])


def test_a_failed_refund_without_a_charge_is_malformed(account: Account, world: World) -> None:
    session = paid_session(account)
    account.fail_refund(account.refund(session, 400))
    account.events[-1]["data"]["object"]["charge"] = None
    with pytest.raises(Malformed, match="refund has no charge"):
        world.deliver(react, account.events[-1])
