"""Whose customer it is: the same claims settle in the same way, whatever arrives first, late or twice."""

from functools import reduce
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.linking import Claim, Source, claims_of, link_fields, settle


def claim(user_id: str, at: int, by: Source = "client_reference_id", *, exact: bool = True) -> Claim:
    return Claim(user_id=user_id, by=by, at=at, exact=exact)


#: Few users and few seconds, so that ties and second claims of one user are the rule.
CLAIMS = st.lists(
    st.builds(
        Claim,
        user_id=st.sampled_from(["ada", "ben", "cy"]),
        by=st.sampled_from(["client_reference_id", "metadata"]),
        at=st.integers(0, 3),
        exact=st.booleans(),
    )
)


@pytest.mark.parametrize(
    ("claims", "holder"),
    [
        pytest.param([claim("late", 2), claim("early", 1)], "early", id="the first in Stripe's time"),
        pytest.param([claim("early", 1, "metadata"), claim("late", 2)], "early", id="time before source"),
        pytest.param([claim("a", 1, "metadata"), claim("b", 1)], "b", id="client_reference_id in a tie"),
        pytest.param([claim("b", 1), claim("a", 1)], "a", id="the smaller id in a tie of one source"),
        pytest.param([claim("late", 2), claim("guess", 1, exact=False)], "guess", id="a guessed date counts as it is"),
    ],
)
def test_the_senior_claim_holds(claims: list[Claim], holder: str) -> None:
    for order in permutations(claims):
        assert settle(order)[0].user_id == holder


@pytest.mark.parametrize(
    ("claims", "kept"),
    [
        pytest.param([claim("u", 2), claim("u", 1)], claim("u", 1), id="the earlier"),
        pytest.param([claim("u", 1, "metadata"), claim("u", 1)], claim("u", 1), id="the better source of one second"),
        pytest.param([claim("u", 1, exact=False), claim("u", 2)], claim("u", 2), id="the exact though later"),
        pytest.param([claim("u", 2, exact=False), claim("u", 1)], claim("u", 1), id="the exact and earlier"),
        pytest.param([claim("u", 1, exact=False), claim("u", 1)], claim("u", 1), id="the exact of one second"),
        pytest.param([claim("u", 2, exact=False), claim("u", 1, exact=False)], claim("u", 1, exact=False), id="guess"),
    ],
)
def test_one_claim_of_a_user_is_kept(claims: list[Claim], kept: Claim) -> None:
    for order in permutations(claims):
        assert settle(order) == (kept,)


def test_an_exact_date_may_cost_a_guess_its_place() -> None:
    guessed, other, exact = claim("ada", 1, exact=False), claim("ben", 2), claim("ada", 3)
    assert settle([guessed, other])[0].user_id == "ada"
    assert settle([guessed, other], exact) == (other, exact)


def test_no_claim_is_no_claim() -> None:
    assert settle([], None) == ()
    assert settle([claim("ada", 1)], None) == (claim("ada", 1),)


@given(CLAIMS.flatmap(lambda claims: st.tuples(st.just(claims), st.permutations(claims))))
def test_the_order_of_arrival_makes_no_difference(orders: tuple[list[Claim], list[Claim]]) -> None:
    one, other = orders
    assert settle(one) == settle(other)


@given(CLAIMS, st.data())
def test_a_claim_that_arrives_again_makes_no_difference(claims: list[Claim], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(claims))) if claims else []
    assert settle(claims, *again) == settle(claims)


@given(CLAIMS)
def test_claims_settle_one_at_a_time_as_they_do_all_at_once(claims: list[Claim]) -> None:
    one_at_a_time: tuple[Claim, ...] = reduce(lambda held, each: settle([each], *held), claims, ())
    assert one_at_a_time == settle(claims)


@given(CLAIMS, CLAIMS)
def test_claims_settled_apart_settle_together_as_all_at_once(some: list[Claim], others: list[Claim]) -> None:
    assert settle(settle(some), *settle(others)) == settle(some + others)


@given(CLAIMS)
def test_settling_again_changes_nothing(claims: list[Claim]) -> None:
    assert settle(settle(claims)) == settle(claims)


@given(CLAIMS)
def test_every_user_who_claims_keeps_one_claim(claims: list[Claim]) -> None:
    assert sorted(kept.user_id for kept in settle(claims)) == sorted({each.user_id for each in claims})


def test_the_fields_say_who_holds_and_who_does_not() -> None:
    claims = settle([claim("ben", 2, "metadata"), claim("ada", 1), claim("cy", 3, exact=False)])
    assert link_fields(claims) == {
        "user_id": "ada",
        "linked_by": "client_reference_id",
        "conflicts": ["ben", "cy"],
        "claims": [
            {"user_id": "ada", "by": "client_reference_id", "at": 1, "exact": True},
            {"user_id": "ben", "by": "metadata", "at": 2, "exact": True},
            {"user_id": "cy", "by": "client_reference_id", "at": 3, "exact": False},
        ],
    }


def test_a_customer_nobody_claims_has_every_field_and_no_user() -> None:
    assert link_fields(()) == {"user_id": None, "linked_by": None, "conflicts": [], "claims": []}


@given(CLAIMS)
def test_what_is_stored_reads_back_the_same(claims: list[Claim]) -> None:
    settled = settle(claims)
    assert claims_of(link_fields(settled)) == settled


@pytest.mark.parametrize("customer", [None, {}, {"plans": ["pro"]}, {"claims": []}])
def test_a_customer_without_claims_has_none(customer: dict[str, Any] | None) -> None:
    assert claims_of(customer) == ()
