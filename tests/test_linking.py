"""Whose customer it is: the same claims settle in the same way, whatever arrives first, late or twice."""

from functools import reduce
from itertools import permutations
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.linking import (
    Claim,
    Source,
    claims_document,
    claims_of,
    conflicts,
    holder,
    link_fields,
    needs_document,
    settle,
)

DAY = 86_400


def claim(user_id: str, at: int, by: Source = "client_reference_id", *, exact: bool = True) -> Claim:
    return Claim(user_id=user_id, by=by, at=at, exact=exact)


#: Few users and few seconds, so that ties and second claims of one user are the rule.
CLAIMS = st.lists(
    st.builds(
        Claim,
        user_id=st.sampled_from(["ada", "ben", "cy"]),
        by=st.sampled_from(get_args(Source)),
        # Within the day in which an address waits for a name, and after it.
        at=st.one_of(st.integers(0, 3), st.integers(DAY, DAY + 3)),
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


def test_the_fields_say_who_holds_and_how_many_do_not() -> None:
    claims = settle([claim("ben", 2, "metadata"), claim("ada", 1), claim("cy", 3, exact=False)])
    assert link_fields(claims) == {
        "user_id": "ada",
        "linked_by": "client_reference_id",
        "linked_at": 1,
        "is_link_exact": True,
        "conflicts": 2,
        "has_claims": True,
    }


def test_who_else_claims_a_customer_is_in_a_document_of_its_own() -> None:
    claims = settle([claim("ben", 2, "metadata"), claim("ada", 1)])
    assert "ben" not in str(link_fields(claims))
    assert claims_document(claims) == {
        "claims": [
            {"user_id": "ada", "by": "client_reference_id", "at": 1, "exact": True},
            {"user_id": "ben", "by": "metadata", "at": 2, "exact": True},
        ]
    }


def test_a_customer_nobody_claims_has_every_field_and_no_user() -> None:
    assert link_fields(()) == {
        "user_id": None,
        "linked_by": None,
        "linked_at": None,
        "is_link_exact": None,
        "conflicts": 0,
        "has_claims": False,
    }


def test_a_customer_with_one_user_needs_no_second_document() -> None:
    assert not needs_document(settle([claim("ada", 1), claim("ada", 2)]))


@given(CLAIMS)
def test_what_is_stored_reads_back_the_same(claims: list[Claim]) -> None:
    settled = settle(claims)
    document = claims_document(settled) if needs_document(settled) else None
    assert claims_of(link_fields(settled), document) == settled


# An address, and an account made for it.


@pytest.mark.parametrize("by", ["verified_email", "account"])
def test_a_user_named_within_a_day_goes_before_an_account_with_the_address(by: Source) -> None:
    found, named = claim("account", 0, by), claim("named", DAY - 1)
    assert holder(settle([found], named)) == named
    assert holder(settle([named], found)) == named


@pytest.mark.parametrize("by", ["verified_email", "account"])
def test_an_account_with_the_address_is_not_robbed_later(by: Source) -> None:
    assert holder(settle([claim("account", 0, by), claim("named", DAY + 1)])) == claim("account", 0, by)


def test_an_account_that_was_made_for_nothing_is_no_conflict() -> None:
    assert conflicts(settle([claim("stripe_cus_1", 0, "account"), claim("named", 1)])) == ()
    assert conflicts(settle([claim("hana", 0, "verified_email"), claim("named", 1)])) != ()


# An operator's word.


def test_an_operator_goes_before_everybody_and_the_latest_word_counts() -> None:
    claims = [claim("first", 1), claim("ben", 5, "operator"), claim("cy", 9, "operator")]
    for order in permutations(claims):
        assert holder(settle(order)) == claim("cy", 9, "operator")


def test_a_user_who_is_barred_holds_nothing_however_often_they_are_named() -> None:
    barred = settle([claim("ada", 1), claim("ada", 5, "barred")], claim("ada", 9), claim("ada", 2, "metadata"))
    assert holder(barred) is None
    assert conflicts(barred) == ()
    assert link_fields(barred)["user_id"] is None


def test_a_user_who_was_never_barred_may_claim_what_another_one_lost() -> None:
    assert holder(settle([claim("ada", 5, "barred")], claim("ben", 6))) == claim("ben", 6)


def test_an_operator_can_take_a_bar_back() -> None:
    assert holder(settle([claim("ada", 5, "barred")], claim("ada", 6, "operator"))) == claim("ada", 6, "operator")


@pytest.mark.parametrize("customer", [None, {}, {"plans": ["pro"]}, {"user_id": None}])
def test_a_customer_without_claims_has_none(customer: dict[str, Any] | None) -> None:
    assert claims_of(customer) == ()
