"""Who may be sent offers: the same statements settle in the same way, and no stale agreement outlives a refusal."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from itertools import permutations
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.marketing.consent import (
    Policy,
    Source,
    Statement,
    Status,
    may_be_offered,
    refuse,
    said_at_checkout,
    said_by_customer,
    said_by_session,
    said_in_metadata,
    settle,
)
from functions.stripe_events import CheckoutSession, Customer, StripeEvent

Json = dict[str, Any]
KEY = "marketing"


def said(status: Status, at: int, by: Source = "checkout", *, dated: bool = True) -> Statement:
    return Statement(status=status, at=at, by=by, dated=dated)


def yes(at: int, by: Source = "checkout") -> Statement:
    return said("opt_in", at, by)


def no(at: int, by: Source = "unsubscribe") -> Statement:
    return said("opt_out", at, by)


def seen(status: Status, at: int) -> Statement:
    return said(status, at, "metadata", dated=False)


def settled(statements: Iterable[Statement | None]) -> Json | None:
    start: Json | None = None
    return reduce(settle, statements, start)


def counting(marketing: Json | None) -> tuple[str, int, str] | None:
    return (marketing["status"], marketing["at"], marketing["by"]) if marketing else None


def customer(value: str | None) -> Customer:
    metadata = {} if value is None else {KEY: value}
    return Customer.of({"id": "cus_1", "object": "customer", "metadata": metadata, "created": 0})


def session(promotions: str | None) -> CheckoutSession:
    consent = None if promotions is None else {"promotions": promotions}
    return CheckoutSession.of({"id": "cs_1", "mode": "payment", "consent": consent})


def event(kind: str, at: int, previous: Json | None = None, *, is_thin: bool = False) -> StripeEvent:
    return StripeEvent(
        id=f"evt_{kind}_{at}",
        type=kind,
        created=at,
        livemode=False,
        is_thin=is_thin,
        previous_attributes=previous or {},
    )


# What counts


@pytest.mark.parametrize(
    ("statements", "counts"),
    [
        pytest.param([yes(1), no(2)], ("opt_out", 2, "unsubscribe"), id="the later refusal"),
        pytest.param([no(1), yes(2)], ("opt_in", 2, "checkout"), id="the later agreement"),
        pytest.param([yes(1, "metadata"), no(1, "checkout")], ("opt_out", 1, "checkout"), id="a refusal in a tie"),
        pytest.param([no(1), yes(1)], ("opt_out", 1, "unsubscribe"), id="a refusal in a tie with a checkout"),
        pytest.param([yes(1, "metadata"), yes(1)], ("opt_in", 1, "metadata"), id="one source in a tie"),
        pytest.param([no(5), no(9)], ("opt_out", 5, "unsubscribe"), id="the first of two refusals"),
        pytest.param([no(5), yes(7), no(9)], ("opt_out", 9, "unsubscribe"), id="refused anew after an agreement"),
        pytest.param([no(5), yes(3), no(9)], ("opt_out", 5, "unsubscribe"), id="agreed before the first refusal"),
        pytest.param([seen("opt_in", 4)], ("opt_in", 4, "metadata"), id="an agreement seen, and nothing else"),
        pytest.param([seen("opt_in", 4), no(1)], ("opt_out", 1, "unsubscribe"), id="an agreement seen is no news"),
        pytest.param([seen("opt_in", 4), no(1, "checkout")], ("opt_out", 1, "checkout"), id="nor after a checkout"),
        pytest.param([seen("opt_out", 4), yes(1)], ("opt_out", 4, "metadata"), id="a refusal seen is heeded"),
        pytest.param([seen("opt_out", 4), yes(5)], ("opt_in", 5, "checkout"), id="an agreement after a refusal seen"),
        pytest.param([seen("opt_out", 4), yes(4)], ("opt_in", 4, "checkout"), id="what is dated in a tie with it"),
        pytest.param([seen("opt_out", 4), seen("opt_in", 5), yes(1)], ("opt_in", 1, "checkout"), id="seen to be gone"),
        pytest.param(
            [no(1, "metadata"), yes(3), seen("opt_out", 4)], ("opt_in", 3, "checkout"), id="a refusal known to be older"
        ),
        pytest.param(
            [yes(5, "metadata"), seen("opt_out", 4)], ("opt_in", 5, "metadata"), id="a change newer than what was seen"
        ),
        pytest.param(
            [yes(1, "metadata"), no(2), seen("opt_out", 3), yes(4)], ("opt_in", 4, "checkout"), id="the very latest"
        ),
    ],
)
def test_the_statement_that_counts(statements: list[Statement], counts: tuple[str, int, str]) -> None:
    for order in permutations(statements):
        assert counting(settled(order)) == counts


def test_the_newest_statement_of_each_source_is_kept_on_record() -> None:
    assert settled([yes(3), yes(1), no(2, "metadata"), no(5), no(7)]) == {
        "status": "opt_out",
        "at": 5,
        "by": "unsubscribe",
        "said": {
            "checkout": {"status": "opt_in", "at": 3},
            "metadata": {"status": "opt_out", "at": 2},
            "unsubscribe": {"status": "opt_out", "at": 5, "again": 7},
        },
    }


def test_nothing_said_is_nothing() -> None:
    assert settle(None, None) is None
    stored = settled([yes(1)])
    assert settle(stored, None) == stored
    assert stored == {
        "status": "opt_in",
        "at": 1,
        "by": "checkout",
        "said": {"checkout": {"status": "opt_in", "at": 1}},
    }


def test_an_agreement_that_arrives_between_two_refusals_of_which_it_overtook_neither() -> None:
    assert counting(settled([no(10), no(30), yes(20)])) == ("opt_out", 30, "unsubscribe")


def test_what_is_stored_was_said_before_whatever_the_clocks_say() -> None:
    assert counting(refuse(settled([yes(1_000)]), 998.7)) == ("opt_out", 1_000, "unsubscribe")
    assert counting(refuse(None, 998.7)) == ("opt_out", 998, "unsubscribe")
    first = refuse(None, 5)
    assert counting(refuse(first, 9)) == ("opt_out", 5, "unsubscribe")
    assert refuse(first, 5) == first


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"status": "opt_in"},
        {"status": "maybe", "at": 1, "by": "checkout"},
        {"status": "opt_in", "at": "1", "by": "checkout"},
        {"status": "opt_in", "at": 9_999, "by": "somebody"},
        {"status": "opt_in", "at": 1, "by": "checkout", "said": {"checkout": 1, "other": {}, "seen": None}},
        {"said": {"unsubscribe": {"status": "opt_out", "at": 1, "again": "2"}}},
    ],
)
def test_what_nobody_can_read_does_not_keep_a_refusal_from_counting(stored: Json) -> None:
    assert counting(refuse(stored, 100)) == ("opt_out", 100, "unsubscribe")
    assert not may_be_offered(refuse(stored, 100), "opt_out")


def test_a_statement_stored_without_its_record_counts() -> None:
    assert counting(settle({"status": "opt_out", "at": 5, "by": "metadata"}, yes(3))) == ("opt_out", 5, "metadata")


@pytest.mark.parametrize(
    ("marketing", "policy", "offered"),
    [
        (None, "opt_in", False),
        (None, "opt_out", True),
        ({"status": "opt_in"}, "opt_in", True),
        ({"status": "opt_in"}, "opt_out", True),
        ({"status": "opt_out"}, "opt_in", False),
        ({"status": "opt_out"}, "opt_out", False),
        ({"status": "unreadable"}, "opt_out", False),
    ],
)
def test_who_may_be_offered(marketing: Json | None, policy: Policy, *, offered: bool) -> None:
    assert may_be_offered(marketing, policy) is offered


# What says something


@pytest.mark.parametrize(("promotions", "status"), [("opt_in", "opt_in"), ("opt_out", "opt_out"), (None, None)])
def test_the_box_on_the_checkout_page(promotions: str | None, status: str | None) -> None:
    found = said_at_checkout(session(promotions), 7)
    assert (found and (found.status, found.at, found.by, found.dated)) == (status and (status, 7, "checkout", True))


@pytest.mark.parametrize(
    ("text", "status"),
    [
        *[(text, "opt_in") for text in ("opt_in", "OPT_IN", "true", "True", "yes", "YES", " yes\n")],
        *[(text, "opt_out") for text in ("opt_out", "Opt_Out", "false", "FALSE", "no", "No")],
        *[(text, None) for text in ("", "1", "0", "on", "optin", "opt-in", "nope", "yes please", "はい", "ｙｅｓ")],
    ],
)
def test_what_metadata_can_say(text: str, status: str | None) -> None:
    found = said_in_metadata({KEY: text, "other": "opt_in"}, KEY, 7)
    assert (found and found.status) == status
    assert said_in_metadata({"other": text}, KEY, 7) is None


def test_only_the_completion_of_a_session_says_what_was_ticked() -> None:
    agreed = session("opt_in")
    assert said_by_session(event("checkout.session.completed", 5), agreed) == yes(5)
    for later in ("async_payment_succeeded", "async_payment_failed", "expired"):
        assert said_by_session(event(f"checkout.session.{later}", 900), agreed) is None


@pytest.mark.parametrize(
    ("kind", "previous", "value", "dated"),
    [
        pytest.param("customer.created", None, "opt_in", True, id="created with it"),
        pytest.param("customer.updated", {"metadata": {KEY: None}}, "opt_in", True, id="a new key"),
        pytest.param("customer.updated", {"metadata": {KEY: "no"}}, "opt_in", True, id="another value"),
        pytest.param("customer.updated", {"metadata": {KEY: "hm"}}, "opt_in", True, id="a value that said nothing"),
        pytest.param("customer.updated", {"metadata": {}}, "opt_in", True, id="the first metadata"),
        pytest.param("customer.updated", {"metadata": {"tier": "a"}}, "opt_in", False, id="another key"),
        pytest.param("customer.updated", {"metadata": {KEY: "yes"}}, "opt_in", False, id="another word for it"),
        pytest.param("customer.updated", {"email": "old@example.com"}, "opt_in", False, id="another field"),
        pytest.param("customer.updated", {"metadata": None}, "opt_in", False, id="an impossible diff"),
        pytest.param("customer.updated", {"metadata": {KEY: 1}}, "opt_in", True, id="an impossible value"),
        pytest.param("customer.updated", None, "opt_in", False, id="no diff"),
        pytest.param("customer.deleted", None, "opt_in", False, id="the end"),
        pytest.param("checkout.session.completed", None, "opt_in", False, id="fetched for a session"),
    ],
)
def test_an_event_that_shows_the_change_dates_it(kind: str, previous: Json | None, value: str, *, dated: bool) -> None:
    assert said_by_customer(event(kind, 5, previous), customer(value), KEY) == said(
        "opt_in", 5, "metadata", dated=dated
    )


def test_a_customer_fetched_for_a_notification_cannot_be_dated() -> None:
    for kind in ("customer.created", "customer.updated"):
        assert said_by_customer(event(kind, 5, is_thin=True), customer("no"), KEY) == seen("opt_out", 5)


def test_a_value_that_was_removed_says_nothing() -> None:
    assert said_by_customer(event("customer.updated", 5, {"metadata": {KEY: "opt_in"}}), customer(None), KEY) is None


# In any order

STATEMENTS = st.lists(
    st.one_of(
        st.builds(
            Statement,
            status=st.sampled_from(get_args(Status)),
            at=st.integers(0, 4),
            by=st.sampled_from(["checkout", "metadata"]),
        ),
        st.builds(no, st.integers(0, 4)),
    ),
    max_size=8,
)


@given(STATEMENTS, st.data())
def test_the_order_and_the_number_of_deliveries_make_no_difference(
    statements: list[Statement], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(statements))) if statements else []
    assert settled(data.draw(st.permutations(statements + again))) == settled(statements)


@given(STATEMENTS)
def test_the_latest_statement_counts_and_a_refusal_in_a_tie(statements: list[Statement]) -> None:
    latest = max(statements, key=lambda each: (each.at, each.status == "opt_out"), default=None)
    found = settled(statements)
    assert (found and found["status"]) == (latest and latest.status)


@given(STATEMENTS, st.lists(st.builds(seen, st.sampled_from(get_args(Status)), st.integers(0, 4)), max_size=4))
def test_what_cannot_be_dated_never_takes_back_a_refusal(statements: list[Statement], sights: list[Statement]) -> None:
    dated = settled(statements)
    for order in ([*statements, *sights], [*sights, *statements]):
        found = settled(order)
        if dated and dated["status"] == "opt_out":
            assert found is not None
            assert (found["status"], found["at"], found["by"]) == (dated["status"], dated["at"], dated["by"])


# A customer's whole life, as Stripe tells it


@dataclass(frozen=True)
class Life:
    """What the metadata says from each second on, the first of them being the customer's creation; and what else was
    said when."""

    values: tuple[str | None, ...]
    checkouts: tuple[Statement, ...]
    refusals: tuple[Statement, ...]

    def value(self, at: int) -> str | None:
        return self.values[min(at, len(self.values) - 1)]

    def snapshot(self, at: int) -> Statement | None:
        """The event of that second: either the value changed, or something that is none of our business."""
        if at == 0:
            return said_by_customer(event("customer.created", 0), customer(self.value(0)), KEY)
        before, now = self.value(at - 1), self.value(at)
        previous: Json = {"metadata": {KEY: before}} if before != now else {"email": "old@example.com"}
        return said_by_customer(event("customer.updated", at, previous), customer(now), KEY)

    def fetched(self, at: int, fetched_at: int) -> Statement | None:
        """The notification of that second, of which the customer is fetched then or at any time later."""
        thin = event("customer.updated", at, is_thin=True)
        return said_by_customer(thin, customer(self.value(fetched_at)), KEY)

    @property
    def dated(self) -> list[Statement]:
        snapshots = [self.snapshot(at) for at in range(len(self.values))]
        metadata = [each for each in snapshots if each and each.dated]
        return [*metadata, *self.checkouts, *self.refusals]


VALUES = ["opt_in", "opt_out", "YES", "no"]


def lives(values: st.SearchStrategy[str | None]) -> st.SearchStrategy[Life]:
    return st.builds(
        Life,
        values=st.lists(values, min_size=1, max_size=6).map(tuple),
        checkouts=st.lists(st.builds(said, st.sampled_from(get_args(Status)), st.integers(0, 6)), max_size=3).map(
            tuple
        ),
        refusals=st.lists(st.builds(no, st.integers(0, 6)), max_size=3).map(tuple),
    )


@settings(max_examples=500)
@given(lives(st.sampled_from([*VALUES, None])), st.data())
def test_a_life_told_in_any_order_and_any_form_ends_the_same(life: Life, data: st.DataObject) -> None:
    snapshots = [life.snapshot(at) for at in range(len(life.values))]
    expected = settled([*snapshots, *life.checkouts, *life.refusals])

    second = st.integers(0, len(life.values) - 1)
    sights = data.draw(st.lists(st.tuples(second, st.integers(0, 6)), max_size=4))
    fetched = [life.fetched(at, at + later) for at, later in sights]
    told = [*snapshots, *life.checkouts, *life.refusals]
    more = data.draw(st.lists(st.sampled_from(told), max_size=4))
    found = settled(data.draw(st.permutations(told + more + fetched)))

    latest = max(life.dated, key=lambda each: (each.at, each.status == "opt_out"), default=None)
    assert (found and found["status"]) == (latest and latest.status)
    assert found == expected


@settings(max_examples=500)
@given(lives(st.sampled_from(VALUES)), st.data())
def test_a_life_told_by_notifications_alone_ends_the_same(life: Life, data: st.DataObject) -> None:
    """Whenever each is processed, the customer is then as it is; what is older than the newest is passed over."""
    newest = len(life.values) - 1
    delays = data.draw(st.lists(st.integers(0, 9), min_size=newest + 1, max_size=newest + 1))
    more = data.draw(st.lists(st.tuples(st.integers(0, newest), st.integers(0, 9)), max_size=4))
    deliveries = [*enumerate(delays), *more]
    sights, as_of = list[Statement | None](), -1
    for at, delay in sorted(deliveries, key=lambda each: each[0] + each[1]):
        if at >= as_of:
            sights.append(life.fetched(at, at + delay))
            as_of = at
    found = settled(data.draw(st.permutations([*sights, *life.checkouts, *life.refusals])))

    best = max([*life.checkouts, *life.refusals], key=lambda each: (each.at, each.status == "opt_out"), default=None)
    last = life.fetched(newest, newest)
    assert last is not None
    heeded = best is None or (last.status == "opt_out" and best.status == "opt_in" and last.at > best.at)
    assert found is not None
    assert found["status"] == (last.status if heeded or best is None else best.status)


@settings(max_examples=500)
@given(lives(st.sampled_from([*VALUES, None])), st.data())
def test_after_a_refusal_only_a_newer_agreement_counts_at_any_moment(life: Life, data: st.DataObject) -> None:
    refused = data.draw(st.integers(0, 6))
    newest = len(life.values) - 1
    sights = data.draw(st.lists(st.tuples(st.integers(0, newest), st.integers(0, 6)), max_size=6))
    told = [*map(life.snapshot, range(newest + 1)), *life.checkouts]
    told += [life.fetched(at, at + later) for at, later in sights]
    marketing: Json | None = refuse(None, refused)
    for each in data.draw(st.permutations(told)):
        marketing = settle(marketing, each)
        if not any(agreed.status == "opt_in" and agreed.at > refused for agreed in life.dated):
            assert not may_be_offered(marketing, "opt_out")
    assert marketing is not None
