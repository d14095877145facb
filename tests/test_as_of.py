"""Time and order: what an event may do to a document that mirrors a Stripe object."""

from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.as_of import Verdict, judge, stamp
from functions.stripe_events import StripeEvent

Json = dict[str, Any]

STORED: Json = {"name": "Hana", "as_of": 100, "as_of_events": ["evt_a", "evt_b"]}


def snapshot(event_id: str = "evt_x", *, created: int = 100) -> StripeEvent:
    return StripeEvent(id=event_id, type="customer.updated", created=created, livemode=False, previous_attributes={})


def thin(of: str | None = "evt_x", *, created: int = 100) -> StripeEvent:
    return StripeEvent(
        id="evt_thin",
        type="customer.updated",
        created=created,
        livemode=False,
        is_thin=True,
        snapshot_event=of,
        previous_attributes={},
    )


@pytest.mark.parametrize(
    ("event", "verdict"),
    [
        pytest.param(snapshot(created=101), Verdict.APPLY, id="newer"),
        pytest.param(snapshot(created=100), Verdict.FETCH, id="same second, other event"),
        pytest.param(snapshot(created=99), Verdict.STALE, id="older"),
        pytest.param(snapshot("evt_a", created=100), Verdict.DUPLICATE, id="same event"),
        pytest.param(snapshot("evt_b", created=100), Verdict.DUPLICATE, id="other event of the tie, again"),
        pytest.param(thin(created=101), Verdict.FETCH, id="thin, newer"),
        pytest.param(thin(created=100), Verdict.FETCH, id="thin, same second"),
        pytest.param(thin(created=99), Verdict.STALE, id="thin, older"),
        pytest.param(thin("evt_a", created=100), Verdict.DUPLICATE, id="thin form of the same event"),
    ],
)
def test_an_event_is_judged_by_what_is_stored(event: StripeEvent, verdict: Verdict) -> None:
    assert judge(event, STORED) is verdict


# Some other function may have made the document: what this one mirrors is then as unknown as in no document at all.
@pytest.mark.parametrize("stored", [None, {}, {"plans": ["pro"]}, {"as_of": None, "as_of_events": []}])
@pytest.mark.parametrize(("event", "verdict"), [(snapshot(), Verdict.APPLY), (thin(), Verdict.FETCH)])
def test_the_first_event_counts(stored: Json | None, event: StripeEvent, verdict: Verdict) -> None:
    assert judge(event, stored) is verdict


def test_a_redelivery_is_a_duplicate_even_if_its_time_were_another() -> None:
    assert judge(snapshot("evt_a", created=101), STORED) is Verdict.DUPLICATE


def test_a_document_that_knows_its_time_but_not_its_events_is_compared_by_time() -> None:
    assert judge(snapshot("evt_a", created=100), {"as_of": 100}) is Verdict.FETCH


@pytest.mark.parametrize(
    ("event", "stored", "stamped"),
    [
        pytest.param(snapshot(), None, (100, ["evt_x"]), id="first"),
        pytest.param(thin(), None, (100, ["evt_x"]), id="first, thin"),
        pytest.param(snapshot(), {"plans": []}, (100, ["evt_x"]), id="first in a document of others"),
        pytest.param(snapshot(created=101), STORED, (101, ["evt_x"]), id="newer"),
        pytest.param(snapshot("evt_0"), STORED, (100, ["evt_0", "evt_a", "evt_b"]), id="same second"),
        pytest.param(snapshot("evt_a"), STORED, (100, ["evt_a", "evt_b"]), id="same event"),
        pytest.param(thin("evt_a"), STORED, (100, ["evt_a", "evt_b"]), id="its thin form"),
        pytest.param(snapshot(created=99), STORED, (100, ["evt_a", "evt_b"]), id="older"),
    ],
)
def test_a_document_is_stamped_with_the_newest_second_and_its_events(
    event: StripeEvent, stored: Json | None, stamped: tuple[int, list[str]]
) -> None:
    as_of, as_of_events = stamped
    assert stamp(event, stored) == {"as_of": as_of, "as_of_events": as_of_events}


def test_stamping_leaves_the_stored_document_as_it_was() -> None:
    stored: Json = {"as_of": 100, "as_of_events": ["evt_a"]}
    stamp(snapshot("evt_b"), stored)
    stamp(snapshot("evt_c", created=99), stored)["as_of_events"].append("evt_d")
    assert stored == {"as_of": 100, "as_of_events": ["evt_a"]}


#: Few ids and few seconds, so that ties and redeliveries are the rule. One event has one time, however often it comes.
EVENTS = st.dictionaries(st.sampled_from([f"evt_{n}" for n in range(8)]), st.integers(1, 4), min_size=1).map(
    lambda created: [snapshot(event_id, created=second) for event_id, second in created.items()]
)
DELIVERIES = EVENTS.flatmap(lambda events: st.lists(st.sampled_from(events)).map(lambda again: events + again))


def stamp_all(events: list[StripeEvent]) -> Json:
    return reduce(lambda stored, event: stamp(event, stored), events, Json())


@given(DELIVERIES)
def test_a_stamp_never_moves_back(events: list[StripeEvent]) -> None:
    stored: Json = {}
    for event in events:
        before, stored = stored, stamp(event, stored)
        assert stored["as_of"] >= before.get("as_of", 0)


@given(DELIVERIES.flatmap(lambda events: st.tuples(st.just(events), st.permutations(events))))
def test_the_order_of_delivery_makes_no_difference_to_the_stamp(
    orders: tuple[list[StripeEvent], list[StripeEvent]],
) -> None:
    one, other = orders
    assert stamp_all(one) == stamp_all(other)


@given(DELIVERIES)
def test_the_stamp_is_the_newest_second_with_all_its_events(events: list[StripeEvent]) -> None:
    newest = max(event.created for event in events)
    assert stamp_all(events) == {
        "as_of": newest,
        "as_of_events": sorted({event.id for event in events if event.created == newest}),
    }


@given(DELIVERIES)
def test_what_was_stamped_is_never_applied_again(events: list[StripeEvent]) -> None:
    stored = stamp_all(events)
    assert {judge(event, stored) for event in events} <= {Verdict.DUPLICATE, Verdict.STALE}
