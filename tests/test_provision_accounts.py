"""Accounts for the people who buy: made once, found where there is one, never taken over, and told what is paid for."""

from collections import deque
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions import paths
from functions.accounts.settings import AccountSettings
from functions.errors import NotYet
from functions.identity import OURS, SetPlans
from functions.reactions import index_customers, provision_accounts, track_subscriptions
from functions.reactions.provision_accounts import react
from functions.topology import function
from local.account import Line, thin
from local.billing import BillingAccount, Price
from tests.billing_stories import billing_accounts
from tests.driving import SETTINGS, World
from tests.stories import deliveries

Json = dict[str, Any]
MUG = Line("Mug", 1400)
CLUB = Price("price_club", "prod_club", 980, lookup_key="club")
REACTIONS = {
    "index_customers": index_customers.react,
    "track_subscriptions": track_subscriptions.react,
    "provision_accounts": provision_accounts.react,
}


def world_with(account: BillingAccount, **accounts: Any) -> World:
    return World(account, replace(SETTINGS, accounts=AccountSettings(provider="firebase", **accounts)))


@pytest.fixture
def account() -> BillingAccount:
    return BillingAccount(now=1_790_000_000)


@pytest.fixture
def creating(account: BillingAccount) -> World:
    return world_with(account, create=True)


@pytest.fixture
def linking(account: BillingAccount) -> World:
    return world_with(account)


def deliver_all(world: World, events: list[Json]) -> None:
    """To every function, as often as one of them has to wait for another."""
    waiting = deque((name, data) for data in events for name in REACTIONS if data["type"] in function(name).event_types)
    patience = 20 * len(waiting)
    while waiting:
        name, data = waiting.popleft()
        try:
            world.deliver(REACTIONS[name], data)
        except NotYet:
            waiting.append((name, data))
            patience -= 1
            assert patience, f"{name} waits for ever for {data['type']}"


def linked(world: World, customer: str) -> tuple[str | None, str | None]:
    found = world.documents.get(f"customers/{customer}", {})
    return found.get("user_id"), found.get("linked_by")


# Made.


def test_a_new_customer_gets_an_account_that_is_theirs(account: BillingAccount, creating: World) -> None:
    customer = account.create_customer(email="hana@example.com", name="佐藤 花", phone="03-1234-5678")
    deliver_all(creating, account.events)
    made = creating.directory.created[OURS + customer]
    assert (made.email, made.name, made.phone) == ("hana@example.com", "佐藤 花", None)
    assert linked(creating, customer) == (OURS + customer, "account")
    assert creating.documents[f"users/{OURS}{customer}"]["customers"] == [customer]


def test_an_account_has_the_phone_only_where_the_settings_say_so(account: BillingAccount) -> None:
    """Nobody has verified it, and where people sign in by phone whoever has the number has the account."""
    world = world_with(account, create=True, phone=True)
    customer = account.create_customer(email="hana@example.com", phone="03-1234-5678")
    deliver_all(world, account.events)
    assert world.directory.created[OURS + customer].phone == "+81312345678"


@pytest.mark.parametrize("phone", [None, "", "call me", "03-1234", "+999 1", "0" * 200])
def test_a_phone_that_is_none_is_left_out(account: BillingAccount, phone: str | None) -> None:
    creating = world_with(account, create=True, phone=True)
    customer = account.create_customer(email="hana@example.com", phone=phone)
    deliver_all(creating, account.events)
    assert creating.directory.created[OURS + customer].phone is None


def test_a_number_of_another_country_is_read_as_such(account: BillingAccount) -> None:
    creating = world_with(account, create=True, phone=True)
    customer = account.create_customer(email="a@example.com", phone="020 7946 0958", preferred_locales=["en-GB"])
    deliver_all(creating, account.events)
    assert creating.directory.created[OURS + customer].phone == "+442079460958"


def test_the_welcome_carries_the_link_to_set_a_password(account: BillingAccount, creating: World) -> None:
    customer = account.create_customer(email="hana@example.com", preferred_locales=["en"])
    deliver_all(creating, account.events)
    mail = creating.mail()
    assert list(mail) == [f"welcome_{customer}"]
    assert "https://accounts.example/set?for=hana@example.com&lang=en" in mail[f"welcome_{customer}"]["message"]["text"]


def test_a_guest_gets_an_account_and_is_welcomed(account: BillingAccount, creating: World) -> None:
    session = account.open_session([MUG])
    account.complete(session, email="guest@example.com", name="Guest")
    deliver_all(creating, account.events)
    guest = paths.guest_customer("guest@example.com", None, session)
    assert linked(creating, guest) == (OURS + guest, "account")
    assert "accounts.example" in creating.mail()[f"welcome_{guest}"]["message"]["text"]


def test_a_customer_without_an_address_gets_none(account: BillingAccount, creating: World) -> None:
    customer = account.create_customer(email=None)
    deliver_all(creating, account.events)
    assert creating.directory.accounts == {}
    assert linked(creating, customer) == (None, None)


def test_an_address_that_comes_later_brings_the_account(account: BillingAccount, creating: World) -> None:
    customer = account.create_customer(email=None)
    account.wait(5)
    account.update_customer(customer, email="hana@example.com")
    deliver_all(creating, account.events)
    assert linked(creating, customer) == (OURS + customer, "account")


def test_the_event_that_comes_first_makes_the_account_and_the_others_find_it(
    account: BillingAccount, creating: World
) -> None:
    customer = account.create_customer(email="hana@example.com")
    account.subscribe(customer, [CLUB])
    for data in [*reversed(account.events), *account.events]:
        if data["type"] in function("provision_accounts").event_types:
            creating.deliver(react, data)
    assert list(creating.directory.created) == [OURS + customer]
    assert linked(creating, customer) == (OURS + customer, "account")
    assert len(creating.letters) == 1


def test_a_second_customer_with_the_address_of_an_unused_account_shares_it(
    account: BillingAccount, creating: World
) -> None:
    first = account.create_customer(email="hana@example.com")
    account.wait(60)
    second = account.create_customer(email="Hana@Example.com")
    deliver_all(creating, account.events)
    assert list(creating.directory.created) == [OURS + first]
    assert linked(creating, second) == (OURS + first, "account")
    assert creating.documents[f"users/{OURS}{first}"]["customers"] == [second, first]


def test_a_provider_that_refuses_leaves_the_customer_unlinked_and_welcome(
    account: BillingAccount, creating: World
) -> None:
    creating.directory.refuses = True
    customer = account.create_customer(email="hana@example.com")
    deliver_all(creating, account.events)
    assert linked(creating, customer) == (None, None)
    assert f"welcome_{customer}" in creating.mail()


def test_a_customer_who_is_gone_gets_none(account: BillingAccount, creating: World) -> None:
    customer = account.create_customer(email="hana@example.com")
    account.wait(5)
    account.delete_customer(customer)
    creating.deliver(index_customers.react, account.events[1])
    creating.deliver(react, account.events[0])
    assert creating.directory.accounts == {}


@pytest.mark.parametrize("form", [thin, dict])
def test_either_form_of_the_event_makes_the_account(account: BillingAccount, creating: World, form: Any) -> None:
    customer = account.create_customer(email="hana@example.com")
    creating.deliver(react, form(account.events[0]))
    assert linked(creating, customer)[0] == OURS + customer


# Found.


@pytest.mark.parametrize("create", [True, False])
def test_an_account_with_the_address_and_proof_of_it_is_linked(account: BillingAccount, create: bool) -> None:
    world = world_with(account, create=create)
    world.directory.sign_up("hana", "hana@example.com", verified=True)
    customer = account.create_customer(email="hana@example.com")
    deliver_all(world, account.events)
    assert linked(world, customer) == ("hana", "verified_email")
    assert world.directory.created == {}
    assert "accounts.example" not in world.mail()[f"welcome_{customer}"]["message"]["text"]


@pytest.mark.parametrize("create", [True, False])
def test_an_account_that_has_not_proven_the_address_is_not_taken_over(account: BillingAccount, create: bool) -> None:
    world = world_with(account, create=create)
    world.directory.sign_up("stranger", "hana@example.com")
    customer = account.create_customer(email="hana@example.com")
    deliver_all(world, account.events)
    assert linked(world, customer) == (None, None)
    assert "users/stranger" not in world.documents
    assert f"welcome_{customer}" in world.mail()


def test_an_account_of_ours_whose_user_took_another_address_is_not_that_addresss(
    account: BillingAccount, creating: World
) -> None:
    attacker = account.create_customer(email="attacker@example.com")
    deliver_all(creating, account.events)
    creating.directory.set_password(OURS + attacker)
    creating.directory.accounts[OURS + attacker] = replace(
        creating.directory.accounts[OURS + attacker], email="hana@example.com", is_verified=False
    )
    victim = account.create_customer(email="hana@example.com")
    deliver_all(creating, account.events[1:])
    assert linked(creating, victim) == (None, None)


def test_nobody_is_made_an_account_where_accounts_exist_first(account: BillingAccount, linking: World) -> None:
    customer = account.create_customer(email="hana@example.com")
    deliver_all(linking, account.events)
    assert (linking.directory.accounts, linked(linking, customer)) == ({}, (None, None))


def test_an_address_that_is_proven_later_counts_with_the_next_event(account: BillingAccount, linking: World) -> None:
    linking.directory.sign_up("hana", "hana@example.com")
    customer = account.create_customer(email="hana@example.com")
    deliver_all(linking, account.events)
    linking.directory.sign_up("hana", "hana@example.com", verified=True)
    account.wait(60)
    account.update_customer(customer, name="Hana")
    deliver_all(linking, account.events[1:])
    assert linked(linking, customer) == ("hana", "verified_email")


def test_a_user_whom_the_session_names_needs_no_account(account: BillingAccount, creating: World) -> None:
    session = account.open_session([MUG], client_reference_id="U4af4980629")
    account.complete(session, email="hana@example.com")
    deliver_all(creating, account.events)
    assert creating.directory.accounts == {}
    guest = paths.guest_customer("hana@example.com", "U4af4980629", session)
    assert linked(creating, guest) == ("U4af4980629", "client_reference_id")


def test_a_user_whom_the_metadata_name_needs_no_account(account: BillingAccount, creating: World) -> None:
    customer = account.create_customer(email="hana@example.com", metadata={"user_id": "hana"})
    deliver_all(creating, account.events)
    assert creating.directory.accounts == {}
    assert (linked(creating, customer)[0], f"welcome_{customer}" in creating.mail()) == ("hana", True)


@pytest.mark.parametrize("backwards", [False, True])
def test_the_user_whom_the_purchase_names_goes_before_an_account_with_its_address(
    account: BillingAccount, linking: World, backwards: bool
) -> None:
    linking.directory.sign_up("by-address", "hana@example.com", verified=True)
    customer = account.create_customer(email="hana@example.com")
    session = account.open_session([MUG], customer=customer, client_reference_id="signed-in")
    account.wait(2)
    account.complete(session, email="hana@example.com")
    deliver_all(linking, account.events[::-1] if backwards else account.events)
    assert linked(linking, customer) == ("signed-in", "client_reference_id")


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("backwards", [False, True])
def test_the_metadata_of_a_customer_nobody_knew_go_before_an_account(
    account: BillingAccount, create: bool, backwards: bool
) -> None:
    """Somebody who was a customer before any of this was there."""
    world = world_with(account, create=create)
    world.directory.sign_up("by-address", "hana@example.com", verified=True)
    customer = account.create_customer(email="hana@example.com", metadata={"user_id": "U4af4980629"})
    before = len(account.events)
    account.wait(90 * 86_400)
    account.complete(account.open_session([MUG], customer=customer), email="hana@example.com")
    account.subscribe(customer, [CLUB])
    events = account.events[before:]
    names = sorted(REACTIONS, reverse=backwards)
    for data in events:
        for name in names:
            if data["type"] in function(name).event_types:
                world.deliver(REACTIONS[name], data)
    assert linked(world, customer)[0] == "U4af4980629"
    assert world.directory.created == {}


@pytest.mark.parametrize("backwards", [False, True])
def test_a_purchase_names_the_user_of_a_customer_of_long_ago(account: BillingAccount, backwards: bool) -> None:
    world = world_with(account, create=True)
    customer = account.create_customer(email="hana@example.com")
    before = len(account.events)
    account.wait(90 * 86_400)
    session = account.open_session([MUG], customer=customer, client_reference_id="signed-in")
    account.subscribe(customer, [CLUB])
    account.wait(5)
    account.complete(session, email="hana@example.com")
    deliver_all(world, account.events[before:][::-1] if backwards else account.events[before:])
    assert linked(world, customer) == ("signed-in", "client_reference_id")


def test_an_id_of_ours_that_somebody_else_has_registered_is_not_trusted(
    account: BillingAccount, creating: World
) -> None:
    """Where people may choose their ids: those of guests can be computed from an address."""
    session = account.open_session([MUG])
    account.complete(session, email="guest@example.com")
    guest = paths.guest_customer("guest@example.com", None, session)
    creating.directory.sign_up(OURS + guest, "attacker@example.com", verified=True)
    deliver_all(creating, account.events)
    assert linked(creating, guest) == (None, None)


def test_without_anybody_to_ask_nothing_is_asked(account: BillingAccount) -> None:
    world = World(account, SETTINGS)
    account.create_customer(email="hana@example.com")
    assert world.deliver(react, account.events[0]).outcome == "ignored"
    assert (world.reads, world.questions) == ([], [])


# Told what is paid for.


def test_tokens_say_what_every_customer_of_the_user_has(account: BillingAccount) -> None:
    world = world_with(account, claims=True)
    world.directory.sign_up("hana", None)
    for key in ("club", "pro"):
        customer = account.create_customer(email=None, metadata={"user_id": "hana"})
        account.subscribe(customer, [Price(f"price_{key}", f"prod_{key}", 980, lookup_key=key)])
    deliver_all(world, account.events)
    assert world.directory.plans == {"hana": ("club", "pro")}


def test_tokens_lose_what_has_ended(account: BillingAccount) -> None:
    world = world_with(account, claims=True)
    world.directory.sign_up("hana", None)
    customer = account.create_customer(email=None, metadata={"user_id": "hana"})
    subscription = account.subscribe(customer, [CLUB])
    account.wait(60)
    account.cancel(subscription)
    deliver_all(world, account.events)
    assert world.directory.plans == {"hana": ()}


def test_tokens_wait_until_the_event_is_reflected(account: BillingAccount) -> None:
    world = world_with(account, claims=True)
    customer = account.create_customer(email=None, metadata={"user_id": "hana"})
    account.subscribe(customer, [CLUB])
    with pytest.raises(NotYet):
        world.deliver(react, account.events[-1])
    assert world.questions == []


def test_plans_that_change_while_they_are_told_are_told_again(account: BillingAccount) -> None:
    world = world_with(account, claims=True)
    world.directory.sign_up("hana", None)
    account.create_customer(email=None, metadata={"user_id": "hana"})
    deliver_all(world, account.events)
    world.documents["users/hana"]["plans"] = ["old"]

    def meanwhile(plans: tuple[str, ...]) -> None:
        if plans == ("old",):
            world.documents["users/hana"] = world.documents["users/hana"] | {"plans": ["new"]}

    world.directory.meanwhile = meanwhile
    world.deliver(react, account.events[0])
    told = [question for question in world.questions if isinstance(question, SetPlans)]
    assert [question.plans for question in told] == [("old",), ("new",)]


def test_nothing_waits_for_news_of_a_customer_who_is_gone(account: BillingAccount) -> None:
    world = world_with(account, claims=True)
    customer = account.create_customer(email="hana@example.com")
    session = account.open_session([MUG], customer=customer)
    account.complete(session, email="hana@example.com")
    account.wait(5)
    account.update_customer(customer, name="Hana")
    account.delete_customer(customer)
    created, completed, updated, deleted = account.events
    deliver_all(world, [completed, updated, created, deleted])


def test_a_user_who_is_in_no_directory_is_no_error(account: BillingAccount) -> None:
    world = world_with(account, claims=True)
    account.create_customer(email=None, metadata={"user_id": "U4af4980629"})
    deliver_all(world, account.events)
    assert world.directory.plans == {}


@settings(max_examples=100)
@given(data=st.data(), account=billing_accounts())
def test_in_any_order_everybody_has_one_account_and_its_tokens_are_right(
    data: st.DataObject, account: BillingAccount
) -> None:
    world = world_with(account, create=True, claims=True)
    deliver_all(world, data.draw(deliveries(account.events)))
    addresses = [paths.normalise_email(each.email) for each in world.directory.accounts.values()]
    assert len(set(addresses)) == len(addresses)
    for user_id in world.directory.accounts:
        assert list(world.directory.plans.get(user_id, ())) == world.documents.get(f"users/{user_id}", {}).get(
            "plans", []
        )


# What it costs: the README's table.


def test_making_an_account_keeps_its_budget(account: BillingAccount, creating: World) -> None:
    account.create_customer(email="hana@example.com")
    creating.deliver(react, account.events[0])
    assert (len(creating.reads), len(creating.writes), len(creating.letters)) == (2, 3, 1)
    assert len(creating.questions) == 3
    creating.deliver(react, account.events[0])
    assert (len(creating.reads), creating.writes, creating.questions) == (1, [], [])


def test_telling_tokens_keeps_its_budget(account: BillingAccount) -> None:
    world = world_with(account, claims=True)
    world.directory.sign_up("hana", None)
    customer = account.create_customer(email=None, metadata={"user_id": "hana"})
    subscription = account.subscribe(customer, [CLUB])
    account.wait(5)
    account.cancel(subscription)
    deliver_all(world, account.events)
    for data in account.events:
        if data["type"] in function("provision_accounts").event_types:
            world.deliver(react, data)
            # The user is read twice.
            assert len(world.reads) + 1 <= 5
            assert len(world.questions) == 1
            assert world.writes == []
