"""However a history of subscriptions is delivered, the documents end in the state the account has."""

from typing import Any

from hypothesis import given, note, settings
from hypothesis import strategies as st

from functions.reactions import index_customers, track_subscriptions
from functions.topology import function
from local.account import thin
from local.billing import BillingAccount
from tests.billing_stories import billing_accounts, told, truth
from tests.driving import World
from tests.stories import deliveries

Json = dict[str, Any]
REACTIONS = {"index_customers": index_customers.react, "track_subscriptions": track_subscriptions.react}


def deliver(world: World, data: Json, event_type: str) -> None:
    """To every function that handles the type, as Pub/Sub would."""
    for name, react in REACTIONS.items():
        if event_type in function(name).event_types:
            decision = world.deliver(react, data)
            note(f"{data['type']} of {data['created']}: {decision.outcome}")


@settings(max_examples=1200)
@given(data=st.data(), account=billing_accounts())
def test_any_delivery_of_a_history_ends_in_the_state_of_the_account(
    data: st.DataObject, account: BillingAccount
) -> None:
    world = World(account)
    for event in data.draw(deliveries(account.events)):
        deliver(world, event, event["type"])
    assert told(world.documents) == truth(account)


@settings(max_examples=800)
@given(data=st.data(), account=billing_accounts())
def test_thin_and_whole_mixed_end_in_the_state_of_the_account(data: st.DataObject, account: BillingAccount) -> None:
    world = World(account)
    for event in data.draw(deliveries(account.events)):
        # An upcoming invoice has no id that a notification could name.
        is_thin = event["type"] != "invoice.upcoming" and data.draw(st.booleans())
        deliver(world, thin(event) if is_thin else event, event["type"])
    assert told(world.documents) == truth(account)


@settings(max_examples=150)
@given(data=st.data(), account=billing_accounts())
def test_what_was_delivered_before_costs_nothing_when_it_comes_again(
    data: st.DataObject, account: BillingAccount
) -> None:
    world = World(account)
    for event in data.draw(deliveries(account.events)):
        deliver(world, event, event["type"])
    for event in account.events:
        for name, react in REACTIONS.items():
            if event["type"] in function(name).event_types:
                decision = world.deliver(react, event)
                assert decision.outcome in {"duplicate", "stale", "ignored"}
                assert len(world.reads) <= 2
                assert (world.fetches, world.writes) == ([], [])
