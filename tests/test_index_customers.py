"""What `index_customers` decides, event by event."""

from typing import Any

import pytest

from functions import paths
from functions.errors import Malformed
from functions.reactions.index_customers import react
from local.account import Account, Line, thin
from tests.driving import World

MUG = Line("Mug", 1400)


@pytest.fixture
def account() -> Account:
    return Account(now=1_790_000_000)


@pytest.fixture
def world(account: Account) -> World:
    return World(account)


def buy(account: Account, customer: str | None = None, email: str = "hana@example.com", **fields: Any) -> str:
    session = account.open_session([MUG], customer=customer, **fields)
    account.complete(session, email=email, name="Hana")
    return session


def claimants(world: World, customer: str) -> list[str]:
    return [claim["user_id"] for claim in world.documents[f"customers/{customer}/private/claims"]["claims"]]


def test_a_new_customer_is_recorded_and_indexed_by_email(account: Account, world: World) -> None:
    customer = account.create_customer(
        email=" Hana@Example.com", name="Hana", phone="+81312345678", preferred_locales=["ja"], metadata={"tier": "a"}
    )
    assert world.deliver(react, account.events[0]).outcome == "applied"
    assert world.documents[f"customers/{customer}"] == {
        "email": " Hana@Example.com",
        "name": "Hana",
        "phone": "+81312345678",
        "locale": "ja",
        "default_payment_method": None,
        "metadata": {"tier": "a"},
        "livemode": False,
        "created": 1_790_000_000,
        "deleted": False,
        "user_id": None,
        "linked_by": None,
        "linked_at": None,
        "is_link_exact": None,
        "conflicts": 0,
        "has_claims": False,
        "as_of": 1_790_000_000,
        "as_of_events": [account.events[0]["id"]],
        "mails": [f"welcome_{customer}"],
    }
    index = world.documents["customer_index/email:hana@example.com"]
    assert (index["customers"], index["primary"]) == ([customer], customer)


def test_a_customer_without_an_email_is_recorded_without_an_index_entry(account: Account, world: World) -> None:
    customer = account.create_customer(email=None)
    world.deliver_all(react)
    assert list(world.documents) == [f"customers/{customer}"]


def test_the_user_of_a_session_is_linked_to_its_customer(account: Account, world: World) -> None:
    customer = account.create_customer(email="hana@example.com")
    buy(account, customer, client_reference_id="user-1")
    world.deliver_all(react)
    found = world.documents[f"customers/{customer}"]
    assert (found["user_id"], found["linked_by"]) == ("user-1", "client_reference_id")
    assert world.documents["customer_index/user:user-1"]["primary"] == customer
    assert world.documents["users/user-1"] == {
        "user_id": "user-1",
        "customers": [customer],
        "primary": customer,
        "plans": [],
    }


def test_the_metadata_of_a_customer_links_it(account: Account, world: World) -> None:
    customer = account.create_customer(email="hana@example.com", metadata={"user_id": "U4af4980629"})
    world.deliver_all(react)
    found = world.documents[f"customers/{customer}"]
    assert (found["user_id"], found["linked_by"]) == ("U4af4980629", "metadata")
    assert world.documents["users/U4af4980629"]["customers"] == [customer]


def test_the_metadata_of_a_session_links_its_customer(account: Account, world: World) -> None:
    customer = account.create_customer(email="hana@example.com")
    buy(account, customer, metadata={"user_id": "U4af4980629"})
    world.deliver_all(react)
    assert world.documents[f"customers/{customer}"]["user_id"] == "U4af4980629"


def test_a_second_user_never_steals_a_customer(account: Account, world: World) -> None:
    customer = account.create_customer(email="hana@example.com")
    buy(account, customer, client_reference_id="first")
    account.wait(60)
    buy(account, customer, client_reference_id="second")
    world.deliver_all(react)
    found = world.documents[f"customers/{customer}"]
    assert (found["user_id"], found["conflicts"], claimants(world, customer)) == ("first", 1, ["first", "second"])
    assert "users/second" not in world.documents
    assert "customer_index/user:second" not in world.documents


def test_the_first_claim_in_stripes_time_holds_even_if_it_arrives_last(account: Account, world: World) -> None:
    customer = account.create_customer(email="hana@example.com")
    buy(account, customer, client_reference_id="first")
    account.wait(60)
    buy(account, customer, client_reference_id="second")
    for data in reversed(account.events):
        world.deliver(react, data)
    found = world.documents[f"customers/{customer}"]
    assert (found["user_id"], found["conflicts"], claimants(world, customer)) == ("first", 1, ["first", "second"])
    assert world.documents["users/first"]["customers"] == [customer]
    assert "users/second" not in world.documents


def test_a_metadata_change_does_not_take_a_customer_from_its_user(account: Account) -> None:
    customer = account.create_customer(email="hana@example.com")
    account.wait(5)
    buy(account, customer, client_reference_id="owner")
    account.wait(5)
    account.update_customer(customer, metadata={"user_id": "other"})
    for order in (account.events, list(reversed(account.events))):
        fresh = World(account)
        for data in order:
            fresh.deliver(react, data)
        assert fresh.documents[f"customers/{customer}"]["user_id"] == "owner"


def test_the_user_a_session_names_goes_before_the_metadata_of_a_customer_nobody_knew(account: Account) -> None:
    customer = account.create_customer(email="hana@example.com", metadata={"user_id": "of-metadata"})
    account.wait(60)
    buy(account, customer, client_reference_id="of-session")
    account.wait(60)
    buy(account, customer, client_reference_id="too-late")
    for order in (account.events[1:], list(reversed(account.events[1:]))):
        fresh = World(account)
        for data in order:
            fresh.deliver(react, data)
        found = fresh.documents[f"customers/{customer}"]
        assert (found["user_id"], found["conflicts"]) == ("of-session", 2)
        assert sorted(claimants(fresh, customer)) == ["of-metadata", "of-session", "too-late"]


def test_a_customer_that_was_linked_before_anything_arrived_stays_so(account: Account) -> None:
    customer = account.create_customer(email="hana@example.com", metadata={"user_id": "owner"})
    account.wait(60)
    buy(account, customer)
    account.wait(60)
    buy(account, customer, client_reference_id="somebody")
    for order in (account.events[1:], list(reversed(account.events[1:]))):
        fresh = World(account)
        for data in order:
            fresh.deliver(react, data)
        assert fresh.documents[f"customers/{customer}"]["user_id"] == "owner"


def test_an_unknown_customer_in_a_session_is_fetched_once(account: Account, world: World) -> None:
    customer = account.create_customer(email="hana@example.com", name="Hana")
    buy(account, customer, client_reference_id="user-1")
    session_event = account.events[-1]
    world.deliver(react, session_event)
    assert [(fetch.kind, fetch.id) for fetch in world.fetches] == [("customer", customer)]
    assert world.documents[f"customers/{customer}"]["name"] == "Hana"
    assert world.documents["customer_index/email:hana@example.com"]["primary"] == customer
    assert world.deliver(react, session_event).outcome == "duplicate"
    assert world.fetches == []


def test_a_changed_email_moves_the_index_entry(account: Account, world: World) -> None:
    customer = account.create_customer(email="old@example.com")
    account.wait(1)
    account.update_customer(customer, email="new@example.com")
    world.deliver_all(react)
    assert "customer_index/email:old@example.com" not in world.documents
    assert world.documents["customer_index/email:new@example.com"]["customers"] == [customer]


def test_a_deleted_customer_leaves_the_index_and_keeps_its_user_and_nothing_personal(
    account: Account, world: World
) -> None:
    customer = account.create_customer(email="hana@example.com", name="Hana", metadata={"user_id": "user-1"})
    account.wait(1)
    account.delete_customer(customer)
    world.deliver_all(react)
    assert list(world.documents) == [f"customers/{customer}"]
    found = world.documents[f"customers/{customer}"]
    assert (found["deleted"], found["user_id"], found["email"], found["name"]) == (True, "user-1", None, None)


def test_what_the_application_keeps_with_a_user_is_never_touched(account: Account, world: World) -> None:
    customer = account.create_customer(email="hana@example.com", metadata={"user_id": "user-1"})
    account.wait(1)
    account.delete_customer(customer)
    world.documents["users/user-1"] = {"theme": "dark"}
    world.deliver(react, account.events[0])
    assert world.documents["users/user-1"]["theme"] == "dark"
    world.deliver(react, account.events[1])
    assert world.documents["users/user-1"] == {"theme": "dark"}


@pytest.mark.parametrize("seconds", [0, 1])
def test_a_deleted_customer_stays_deleted_whatever_arrives_later(account: Account, world: World, seconds: int) -> None:
    customer = account.create_customer(email="hana@example.com")
    account.wait(seconds)
    account.delete_customer(customer)
    account.wait(seconds)
    account.events.append(account.events[0] | {"id": "evt_later", "created": account.now})
    for data in [account.events[1], account.events[0], account.events[2]]:
        world.deliver(react, data)
    assert world.documents[f"customers/{customer}"]["deleted"]
    assert "customer_index/email:hana@example.com" not in world.documents


def test_a_deletion_counts_even_if_something_newer_was_stored_first(account: Account, world: World) -> None:
    customer = account.create_customer(email="hana@example.com")
    account.wait(10)
    account.update_customer(customer, name="Hana")
    account.delete_customer(customer)
    world.deliver(react, account.events[1] | {"created": account.now + 5})
    assert world.deliver(react, account.events[2]).outcome == "applied"
    assert world.documents[f"customers/{customer}"]["deleted"]


def test_an_older_event_changes_nothing(account: Account, world: World) -> None:
    customer = account.create_customer(email="hana@example.com", name="Before")
    account.wait(1)
    account.update_customer(customer, name="After")
    world.deliver(react, account.events[1])
    assert world.deliver(react, account.events[0]).outcome == "stale"
    assert world.documents[f"customers/{customer}"]["name"] == "After"


def test_two_events_of_one_second_are_settled_by_stripe(account: Account, world: World) -> None:
    customer = account.create_customer(email="hana@example.com", name="Before")
    account.update_customer(customer, name="Between")
    account.update_customer(customer, name="After")
    created, between, after = account.events
    for data in (after, created, between):
        world.deliver(react, data)
    assert world.documents[f"customers/{customer}"]["name"] == "After"
    for data in (after, created, between):
        assert world.deliver(react, data).outcome == "duplicate"
        assert world.fetches == []


def test_the_thin_and_the_snapshot_form_of_an_event_count_once(account: Account, world: World) -> None:
    account.create_customer(email="hana@example.com")
    snapshot = account.events[0]
    assert world.deliver(react, thin(snapshot)).outcome == "applied"
    assert world.deliver(react, snapshot).outcome == "duplicate"


def test_a_thin_notification_fetches_the_customer(account: Account, world: World) -> None:
    customer = account.create_customer(email="hana@example.com", metadata={"user_id": "user-1"})
    world.deliver(react, thin(account.events[0]))
    assert [fetch.kind for fetch in world.fetches] == ["customer"]
    assert world.documents[f"customers/{customer}"]["user_id"] == "user-1"


def test_a_thin_deletion_needs_no_fetch(account: Account, world: World) -> None:
    customer = account.create_customer(email="hana@example.com")
    account.wait(1)
    account.delete_customer(customer)
    world.deliver(react, account.events[0])
    world.deliver(react, thin(account.events[1]))
    assert world.fetches == []
    assert world.documents[f"customers/{customer}"]["deleted"]


def test_a_thin_session_links_like_a_whole_one(account: Account, world: World) -> None:
    customer = account.create_customer(email="hana@example.com")
    buy(account, customer, client_reference_id="user-1")
    world.deliver(react, account.events[0])
    world.deliver(react, thin(account.events[1]))
    assert world.documents[f"customers/{customer}"]["user_id"] == "user-1"


def test_a_user_may_have_several_customers_and_the_newest_is_primary(account: Account, world: World) -> None:
    customers = []
    for _ in range(2):
        customers.append(account.create_customer(email="hana@example.com", metadata={"user_id": "user-1"}))
        account.wait(60)
    world.deliver_all(react)
    older, newer = customers
    assert world.documents["users/user-1"]["customers"] == [newer, older]
    assert world.documents["users/user-1"]["primary"] == newer
    assert world.documents["customer_index/email:hana@example.com"]["customers"] == [newer, older]


def test_a_customer_with_a_live_subscription_is_primary(account: Account, world: World) -> None:
    older = account.create_customer(email="hana@example.com", metadata={"user_id": "user-1"})
    world.documents[f"customers/{older}"] = {"plans": ["pro"]}
    account.wait(60)
    account.create_customer(email="hana@example.com", metadata={"user_id": "user-1"})
    world.deliver_all(react)
    assert world.documents["users/user-1"]["primary"] == older
    assert world.documents[f"customers/{older}"]["plans"] == ["pro"]


def test_a_guest_becomes_a_pseudo_customer(account: Account, world: World) -> None:
    session = buy(account, email="Guest@Example.com")
    world.deliver_all(react)
    guest = paths.guest_customer("guest@example.com", None, session)
    found = world.documents[f"customers/{guest}"]
    assert (found["email"], found["name"], found["user_id"]) == ("Guest@Example.com", "Hana", None)
    assert world.documents["customer_index/email:guest@example.com"]["primary"] == guest
    assert world.fetches == []


def test_a_real_customer_goes_before_a_guest_of_the_same_address(account: Account, world: World) -> None:
    customer = account.create_customer(email="hana@example.com")
    account.wait(60)
    buy(account, email="hana@example.com")
    world.deliver_all(react)
    index = world.documents["customer_index/email:hana@example.com"]
    assert len(index["customers"]) == 2
    assert index["primary"] == customer


def test_a_stranger_who_types_my_address_as_a_guest_does_not_get_my_orders(account: Account, world: World) -> None:
    buy(account, email="victim@example.com")
    account.wait(60)
    buy(account, email="victim@example.com", client_reference_id="stranger")
    world.deliver_all(react)
    mine = paths.guest_customer("victim@example.com", None, "cs")
    assert world.documents[f"customers/{mine}"]["user_id"] is None
    assert mine not in world.documents["users/stranger"]["customers"]


def test_guests_of_one_second_settle_the_same_in_any_order(account: Account) -> None:
    for name in ("One", "Two"):
        session = account.open_session([MUG])
        account.complete(session, email="hana@example.com", name=name)
    results = []
    for order in (account.events, list(reversed(account.events))):
        world = World(account)
        for data in order:
            world.deliver(react, data)
        results.append(world.documents)
    assert results[0] == results[1]


def test_a_session_of_a_known_customer_without_a_user_changes_nothing(account: Account, world: World) -> None:
    customer = account.create_customer(email="hana@example.com")
    buy(account, customer)
    world.deliver(react, account.events[0])
    decision = world.deliver(react, account.events[1])
    assert (decision.outcome, decision.effects) == ("ignored", ())


@pytest.mark.parametrize("user_id", ["../../users/admin", "a/b", "..", "__x__", "名前", "x" * 200, "%2F", "\x00"])
def test_a_hostile_user_id_stays_inside_its_own_documents(account: Account, world: World, user_id: str) -> None:
    customer = account.create_customer(email="hana@example.com")
    buy(account, customer, client_reference_id=user_id)
    world.deliver_all(react)
    assert world.documents[f"customers/{customer}"]["user_id"] == user_id
    assert {path.count("/") for path in world.documents} == {1}


def test_metadata_under_a_name_that_firestore_reserves_is_kept(account: Account, world: World) -> None:
    customer = account.create_customer(email="hana@example.com", metadata={"__plan__": "a", "": "b", "c/d.e%": "c"})
    world.deliver_all(react)
    assert world.documents[f"customers/{customer}"]["metadata"] == {"%5F_plan__": "a", "%": "b", "c/d.e%": "c"}


def test_a_customer_event_that_names_no_customer_is_malformed(account: Account, world: World) -> None:
    account.create_customer(email="hana@example.com")
    with pytest.raises(Malformed, match="does not say which object"):
        world.deliver(react, account.events[0] | {"data": {"object": {"object": "customer"}}})


def test_a_customer_whose_email_is_no_text_is_malformed(account: Account, world: World) -> None:
    account.create_customer(email="hana@example.com")
    account.events[0]["data"]["object"]["email"] = ["hana@example.com"]
    account.objects.clear()
    with pytest.raises(Malformed, match="email is not a text"):
        world.deliver(react, account.events[0])
