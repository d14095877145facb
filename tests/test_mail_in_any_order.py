"""Whatever is delivered how often and in which order: no fact is told twice, and none that stays true is missed."""

from collections.abc import Callable
from typing import Any

from hypothesis import given, note, settings
from hypothesis import strategies as st

from functions.reactions import index_customers, record_orders, track_subscriptions
from functions.topology import function
from local.account import Account, thin
from tests.billing_stories import billing_accounts
from tests.driving import React, World
from tests.stories import accounts, deliveries

Json = dict[str, Any]
REACTIONS: dict[str, React] = {
    "index_customers": index_customers.react,
    "record_orders": record_orders.react,
    "track_subscriptions": track_subscriptions.react,
}
#: What may come true and be over before its event arrives: then it is not told. Everything else stays true.
PASSING = (
    *("order_pending", "order_failed", "invoice_unpaid", "invoice_action", "trial_ending", "refund", "welcome"),
    # While the event that dates a claim exactly is still on its way, another one may hold.
    "link_conflict",
)


def told(account: Account, events: list[Json], world: World | None = None) -> list[str]:
    """The ids of everything that was said, in the order in which it was."""
    world = world or World(account)
    for data in events:
        for name, react in REACTIONS.items():
            if data["type"] in function(name).event_types:
                decision = world.deliver(react, data)
                note(f"{data['type']} at {data['created']}: {decision.outcome}")
    return [letter.facts.id for letter, _ in world.letters]


def lasting(ids: list[str]) -> set[str]:
    return {each for each in ids if not each.startswith(PASSING)}


def conflicting(world: World) -> set[str]:
    """What support has to have been told, of the conflicts that there are in the end."""
    return {
        f"link_conflict_{path.split('/')[1]}_{claim['user_id']}"
        for path, document in world.documents.items()
        if path.endswith("/private/claims")
        for claim in document["claims"][1:]
    }


def check(account: Account, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
    in_order = told(account, account.events)
    note("— shuffled —")
    with_id = [data for data in account.events if data["type"] != "invoice.upcoming"]
    forms = [*account.events, *(thin(data) for data in with_id if draw(st.booleans()))]
    world = World(account)
    shuffled = told(account, draw(deliveries(forms)), world)
    assert conflicting(world) <= set(shuffled), "a conflict that stays was told to nobody"
    repeatable = [each for each in shuffled if not each.startswith("refund")]
    assert len(set(repeatable)) == len(repeatable), "told twice"
    assert lasting(shuffled) == lasting(in_order)


@settings(max_examples=150)
@given(data=st.data(), account=accounts())
def test_purchases_are_told_once_in_any_order(data: st.DataObject, account: Account) -> None:
    check(account, data.draw)


@settings(max_examples=150)
@given(data=st.data(), account=billing_accounts())
def test_subscriptions_are_told_once_in_any_order(data: st.DataObject, account: Account) -> None:
    check(account, data.draw)
