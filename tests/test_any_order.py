"""Whatever is delivered how often and in which order, the documents are those of once and in order."""

from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from functions.effects import Decision
from functions.reactions import index_customers, record_orders
from local.account import Account, thin
from tests.driving import React, World
from tests.stories import accounts, deliveries, without_traces

Json = dict[str, Any]
REACTIONS = [
    pytest.param(index_customers.react, id="index_customers"),
    pytest.param(record_orders.react, id="record_orders"),
]


def concerns(react: React, data: Json) -> bool:
    name = "index_customers" if react is index_customers.react else "record_orders"
    from functions.topology import function

    return data["type"] in function(name).event_types


def documents_after(account: Account, react: React, events: list[Json]) -> Json:
    world = World(account)
    for data in events:
        decision = world.deliver(react, data)
        note(f"{data['type']} at {data['created']}: {decision.outcome}")
    documents: Json = without_traces(world.documents)
    return documents


@pytest.mark.parametrize("react", REACTIONS)
@settings(max_examples=300)
@given(data=st.data(), account=accounts())
def test_any_order_and_repetition_ends_like_once_in_order(react: React, data: st.DataObject, account: Account) -> None:
    events = [event for event in account.events if concerns(react, event)]
    expected = documents_after(account, react, events)
    note("— shuffled —")
    assert documents_after(account, react, data.draw(deliveries(events))) == expected


@pytest.mark.parametrize("react", REACTIONS)
@settings(max_examples=150)
@given(data=st.data(), account=accounts())
def test_thin_forms_between_the_snapshots_change_nothing(react: React, data: st.DataObject, account: Account) -> None:
    events = [event for event in account.events if concerns(react, event)]
    expected = documents_after(account, react, events)
    mixed = data.draw(deliveries(events + [thin(event) for event in events if data.draw(st.booleans())]))
    note("— shuffled —")
    assert documents_after(account, react, mixed) == expected


@pytest.mark.parametrize("react", REACTIONS)
@settings(max_examples=150)
@given(data=st.data(), account=accounts(metadata=False))
def test_thin_notifications_alone_end_like_snapshots(react: React, data: st.DataObject, account: Account) -> None:
    events = [event for event in account.events if concerns(react, event)]
    expected = documents_after(account, react, events)
    note("— thin —")
    assert documents_after(account, react, data.draw(deliveries([thin(event) for event in events]))) == expected


@pytest.mark.parametrize("react", REACTIONS)
@settings(max_examples=150)
@given(data=st.data(), account=accounts())
def test_what_was_delivered_before_costs_nothing_when_it_comes_again(
    react: React, data: st.DataObject, account: Account
) -> None:
    events = [event for event in account.events if concerns(react, event)]
    world = World(account)
    for event in data.draw(deliveries(events)):
        world.deliver(react, event)
    for event in events:
        decision: Decision = world.deliver(react, event)
        assert decision.outcome in {"duplicate", "stale", "ignored"}
        assert len(world.reads) <= 2, world.reads
        assert (world.fetches, world.writes) == ([], [])
