"""The index: who stands under which address and user, which of them is primary, and what a move writes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.customer_index import Membership, keys_to_change, membership, move
from functions.effects import Delete, Effect, Merge, Put

Json = dict[str, Any]

NOWHERE = Membership()
HANA = Membership(email="hana@example.com", user_id="hana", created=100)
EMAIL, USER, OWN = "customer_index/email:hana@example.com", "customer_index/user:hana", "users/hana"


def at(created: int, *plans: str) -> Membership:
    return Membership(email="hana@example.com", user_id="hana", created=created, plans=plans)


class Index:
    """The documents of the index, and where each customer stands."""

    def __init__(self, **members: Membership) -> None:
        self.documents: dict[str, Json] = {}
        self.members: dict[str, Membership] = {}
        for customer, member in members.items():
            self.move(customer, member)

    def move(self, customer: str, after: Membership) -> tuple[Effect, ...]:
        """Move a customer as a reaction does, with nothing read but what has to be."""
        before = self.members.get(customer, NOWHERE)
        self.members[customer] = after
        read = {key: self.documents.get(key) for key in keys_to_change(before, after)}
        effects = move(customer, before, after, read)
        for effect in effects:
            match effect:
                case Put():
                    self.documents[effect.path] = dict(effect.fields)
                case Merge():
                    self.documents[effect.path] = {**self.documents.get(effect.path, {}), **effect.fields}
                case Delete():
                    del self.documents[effect.path]
        return effects

    def primary(self, key: str) -> object:
        return self.documents[key]["primary"]


# Where a customer stands


@pytest.mark.parametrize(
    ("customer", "stands"),
    [
        (None, NOWHERE),
        ({}, NOWHERE),
        (
            {"email": "hana@example.com", "user_id": "hana", "created": 100, "plans": ["pro", "tea"]},
            Membership(email="hana@example.com", user_id="hana", created=100, plans=("pro", "tea")),
        ),
        ({"email": None, "user_id": None, "created": None, "plans": []}, NOWHERE),
        ({"email": "hana@example.com", "user_id": "hana", "created": 100, "deleted": True}, NOWHERE),
        ({"email": "hana@example.com", "deleted": False}, Membership(email="hana@example.com")),
        ({"plans": ["pro"]}, Membership(plans=("pro",))),
    ],
)
def test_a_stored_customer_stands_where_its_fields_say(customer: Json | None, stands: Membership) -> None:
    assert membership(customer) == stands


@pytest.mark.parametrize(
    ("member", "keys"),
    [
        (HANA, {EMAIL, USER}),
        (Membership(email=" HANA@example.com"), {EMAIL}),
        (Membership(user_id="hana"), {USER}),
        (Membership(created=100, plans=("pro",)), set()),
    ],
)
def test_a_customer_stands_under_its_address_and_its_user(member: Membership, keys: set[str]) -> None:
    assert member.entries().keys() == keys


@pytest.mark.parametrize(
    ("before", "after", "keys"),
    [
        pytest.param(HANA, HANA, set(), id="nothing changed"),
        pytest.param(NOWHERE, HANA, {EMAIL, USER}, id="joins"),
        pytest.param(HANA, NOWHERE, {EMAIL, USER, OWN}, id="leaves"),
        pytest.param(
            HANA,
            Membership(email="new@example.com", user_id="hana", created=100),
            {EMAIL, "customer_index/email:new@example.com"},
            id="another address",
        ),
        pytest.param(
            HANA,
            Membership(email="hana@example.com", user_id="ben", created=100),
            {USER, "customer_index/user:ben", OWN},
            id="another user",
        ),
        pytest.param(
            HANA, Membership(email="Hana@Example.com", user_id="hana", created=100), set(), id="another spelling"
        ),
        pytest.param(
            HANA, Membership(email="hana@example.com", user_id="hana", created=100, plans=("pro",)), {USER}, id="a plan"
        ),
        pytest.param(
            HANA, Membership(email="hana@example.com", user_id="hana", created=99), {EMAIL, USER}, id="another age"
        ),
        pytest.param(NOWHERE, Membership(created=100), set(), id="nobody's"),
    ],
)
def test_only_the_entries_that_change_are_read(before: Membership, after: Membership, keys: set[str]) -> None:
    assert keys_to_change(before, after) == keys


# What a move writes


def test_the_first_customer_makes_the_entries_and_the_users_own_document() -> None:
    found = {"customers": ["cus_1"], "primary": "cus_1"}
    assert Index().move("cus_1", HANA) == (
        Put(EMAIL, {**found, "entries": {"cus_1": {"created": 100}}}),
        Put(USER, {**found, "entries": {"cus_1": {"created": 100, "plans": []}}}),
        Merge(OWN, {**found, "user_id": "hana", "plans": []}),
    )


def test_a_second_customer_joins_the_first() -> None:
    index = Index(cus_1=HANA, cus_2=Membership(email="hana@example.com", created=200))
    assert index.documents[EMAIL]["customers"] == ["cus_2", "cus_1"]
    assert index.documents[USER]["customers"] == ["cus_1"]


def test_a_customer_that_leaves_leaves_the_others() -> None:
    index = Index(cus_1=HANA, cus_2=HANA)
    index.move("cus_1", NOWHERE)
    assert {tuple(document["customers"]) for document in index.documents.values()} == {("cus_2",)}


def test_the_last_customer_that_leaves_deletes_the_entries() -> None:
    index = Index(cus_1=HANA)
    assert index.move("cus_1", NOWHERE) == (Delete(EMAIL), Delete(USER), Delete(OWN))


def test_a_changed_address_moves_the_customer() -> None:
    index = Index(cus_1=HANA)
    index.move("cus_1", Membership(email="new@example.com", user_id="hana", created=100))
    assert set(index.documents) == {"customer_index/email:new@example.com", USER, OWN}


def test_a_changed_user_moves_the_customer() -> None:
    index = Index(cus_1=HANA)
    index.move("cus_1", Membership(email="hana@example.com", user_id="ben", created=100))
    assert set(index.documents) == {EMAIL, "customer_index/user:ben", "users/ben"}


def test_a_user_has_the_plans_of_all_their_customers_once() -> None:
    index = Index(cus_1=at(1, "tea", "pro"), cus_2=at(2, "pro"), cus_3=at(3))
    assert index.documents[OWN]["plans"] == ["pro", "tea"]


def test_a_plan_that_ends_with_one_customer_stays_while_another_gives_it() -> None:
    index = Index(cus_1=at(1, "tea", "pro"), cus_2=at(2, "pro"))
    index.move("cus_1", at(1))
    assert index.documents[OWN]["plans"] == ["pro"]


def test_nobody_learns_of_a_plan_by_an_address_alone() -> None:
    assert "pro" not in str(Index(cus_1=at(1, "pro")).documents[EMAIL])


def test_a_user_who_becomes_known_leaves_the_address_untouched() -> None:
    index = Index(cus_1=Membership(email="hana@example.com", created=100))
    effects = index.move("cus_1", HANA)
    assert [effect.path for effect in effects] == [USER, OWN]


def test_what_other_functions_keep_in_the_users_own_document_stays() -> None:
    index = Index(cus_1=HANA)
    index.documents[OWN]["marketing"] = True
    index.move("cus_2", HANA)
    assert index.documents[OWN]["marketing"]


def test_an_entry_that_says_it_already_is_not_written() -> None:
    index = Index(cus_1=HANA)
    assert move("cus_1", NOWHERE, HANA, index.documents) == ()


def test_a_customer_that_was_never_in_an_entry_leaves_it_alone() -> None:
    index = Index(cus_1=HANA)
    assert move("cus_2", HANA, NOWHERE, index.documents) == ()


# Who is primary


@pytest.mark.parametrize(
    ("members", "primary"),
    [
        pytest.param({"cus_old": at(1), "cus_new": at(2)}, "cus_new", id="the newest"),
        pytest.param({"cus_old": at(1, "pro"), "cus_new": at(2)}, "cus_old", id="one with a plan before a newer"),
        pytest.param({"cus_old": at(1, "a", "b"), "cus_new": at(2, "c")}, "cus_new", id="the newest with a plan"),
        pytest.param({"cus_old": at(1), "guest_new": at(2)}, "cus_old", id="a real one before a newer guest"),
        pytest.param({"cus_new": at(2), "guest_old": at(1, "pro")}, "guest_old", id="a plan before all"),
        pytest.param({"guest_old": at(1), "guest_new": at(2)}, "guest_new", id="the newest guest"),
        pytest.param({"cus_a": at(1), "cus_b": at(1)}, "cus_a", id="the smaller id of one second"),
    ],
)
def test_the_primary_customer_is_the_one_to_use(members: dict[str, Membership], primary: str) -> None:
    assert Index(**members).primary(USER) == primary
    assert Index(**dict(reversed(members.items()))).primary(USER) == primary


def test_the_primary_customer_of_an_address_is_the_newest_real_one_whatever_its_plans() -> None:
    assert Index(cus_old=at(1, "pro"), cus_new=at(2), guest_3=at(3, "pro")).primary(EMAIL) == "cus_new"


def test_customers_are_listed_newest_first_whatever_is_primary() -> None:
    index = Index(cus_1=at(1, "pro"), guest_2=at(2), cus_3=at(3), cus_2=at(2))
    assert index.documents[USER]["customers"] == ["cus_3", "cus_2", "guest_2", "cus_1"]


# Any history


MEMBERS = st.just(NOWHERE) | st.builds(
    Membership,
    email=st.sampled_from([None, "a@example.com", "A@example.com ", "b@example.com"]),
    user_id=st.sampled_from([None, "ada", "ben"]),
    created=st.integers(0, 3),
    plans=st.sampled_from([(), ("pro",), ("pro", "tea")]),
)
MOVES = st.lists(st.tuples(st.sampled_from(["cus_1", "cus_2", "cus_3", "guest_4"]), MEMBERS), max_size=12)


@given(MOVES)
def test_any_history_ends_in_the_index_that_its_outcome_alone_would_make(moves: list[tuple[str, Membership]]) -> None:
    index = Index()
    for customer, member in moves:
        index.move(customer, member)
    assert index.documents == Index(**dict(sorted(index.members.items()))).documents


@given(MOVES)
def test_the_index_holds_exactly_the_customers_that_stand_there(moves: list[tuple[str, Membership]]) -> None:
    index = Index()
    for customer, member in moves:
        index.move(customer, member)
    held = {
        (path, customer)
        for path, document in index.documents.items()
        if path.startswith("customer_index/")
        for customer in document["customers"]
    }
    assert held == {(path, customer) for customer, member in index.members.items() for path in member.entries()}


@given(MOVES)
def test_a_users_own_document_says_what_the_index_says(moves: list[tuple[str, Membership]]) -> None:
    index = Index()
    for customer, member in moves:
        index.move(customer, member)
    for user_id in ("ada", "ben"):
        own, entry = (index.documents.get(f"{place}{user_id}") for place in ("users/", "customer_index/user:"))
        plans = {plan for member in index.members.values() if member.user_id == user_id for plan in member.plans}
        assert own == (
            entry
            and {
                "user_id": user_id,
                "customers": entry["customers"],
                "primary": entry["primary"],
                "plans": sorted(plans),
            }
        )
