"""Stripe's objects and events, meddled with: read, and decided on by every reaction that listens to them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from functions import stripe_events
from functions.accounts.settings import AccountSettings
from functions.effects import Fetch, Put
from functions.errors import Malformed, Permanent, Retry
from functions.marketing.links import UnsubscribeLinks
from functions.reactions import index_customers, provision_accounts, record_orders, track_subscriptions
from functions.topology import SUBSCRIBERS, function
from local.account import Account
from tests.driving import SETTINGS as ALL_DEFAULTS
from tests.driving import World
from tests.fuzz.firestore import check_effects
from tests.fuzz.mutations import json_values, mutated
from tests.fuzz.shapes import Told, as_fetched, known, objects, told
from tests.fuzz.target import Target

Json = dict[str, Any]
#: Everything is on: accounts are made, tokens are told, offers are written.
SETTINGS = replace(
    ALL_DEFAULTS,
    accounts=AccountSettings(create=True, claims=True, provider="firebase"),
    mail=replace(
        ALL_DEFAULTS.mail,
        brand=replace(ALL_DEFAULTS.mail.brand, footer=("Test Shop", "1-1 Example, Tokyo")),
        unsubscribe=UnsubscribeLinks("https://shop.example/unsubscribe", ("k" * 32,)),
    ),
)
REACTIONS = {
    "index_customers": index_customers.react,
    "record_orders": record_orders.react,
    "track_subscriptions": track_subscriptions.react,
    "provision_accounts": provision_accounts.react,
}
READERS = {
    "customer": stripe_events.Customer.of,
    "checkout.session": stripe_events.CheckoutSession.of,
    "item": stripe_events.LineItem.of,
    "charge": stripe_events.Charge.of,
    "payer": stripe_events.Payer.of,
    "refund": stripe_events.Refund.of,
    "dispute": stripe_events.Dispute.of,
    "subscription": stripe_events.Subscription.of,
    "subscription_item": lambda item: stripe_events.SubscriptionItem.of(item, item),
    "invoice": stripe_events.Invoice.of,
    "payment_method": stripe_events.PaymentMethod.of,
    "payment_intent": stripe_events.NextAction.of,
}


# One object, read by the class it is meant for and by every other one


@dataclass(frozen=True)
class Reading:
    """An object, and what it is taken for."""

    kind: str
    taken: Json


def _parts() -> tuple[Json, ...]:
    """The objects, and those that only stand inside others."""
    inside = [line for each in objects() for line in each.get("line_items", [])]
    items = [item for each in objects() for item in (each.get("items") or {}).get("data", [])]
    return (*objects(), *inside[:3], *items[:3])


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    """An object of any kind, meddled with; mostly taken for what it is."""
    base = draw(st.sampled_from(_parts()))
    kind = (
        base["object"] if base["object"] in READERS and draw(st.integers(0, 4)) else draw(st.sampled_from([*READERS]))
    )
    taken = draw(mutated(base) | st.dictionaries(st.sampled_from(sorted(base)), json_values, max_size=6))
    return Reading(kind, taken if isinstance(taken, dict) else base)


def check_reading(reading: Reading) -> None:
    """It is read, or is Malformed in one line that can be logged."""
    try:
        READERS[reading.kind](reading.taken)
    except Malformed as problem:
        check_reason(problem)


def check_reason(problem: Exception) -> None:
    """It can stand in a log, and in a mail to support. What the world says for Stripe's client is its own concern."""
    assert str(problem).isprintable() or str(problem).startswith("Stripe has no ")


# An event, delivered to every function that listens


@dataclass(frozen=True)
class Delivery:
    """Events and who listens, in the order they are delivered, and those of Stripe's objects that are not right."""

    functions: tuple[str, ...]
    account: Account
    events: tuple[Json, ...]
    changed: Mapping[str, Json]


class Meddled(World):
    """A world in which some of Stripe's objects are not as they should be. Of another kind they are not found."""

    def __init__(self, account: Account, changed: Mapping[str, Json]) -> None:
        super().__init__(account, SETTINGS)
        self._changed = changed

    def _fetch(self, request: Fetch) -> Json | None:
        return as_fetched(request, self.account, self._changed)

    def check(self) -> None:
        """Everything that was written can be stored, and so can the mails, all of which can be written."""
        check_effects(Put(path, fields) for path, fields in self.documents.items())
        check_effects(Put(f"mail/{name}", fields) for name, fields in self.mail().items())


def listeners(event_type: str) -> list[str]:
    """The functions that an event goes to."""
    return [row.name for row in SUBSCRIBERS if event_type in row.event_types]


@st.composite
def deliveries(draw: st.DrawFn) -> Delivery:
    """One event as it should be and up to three that are not, of about the same second, in any order."""
    base = draw(st.sampled_from(told()))
    events = [draw(meddled(base, number)) for number in range(draw(st.integers(1, 3)))]
    if draw(st.booleans()):
        events.append(base.event)
    changed = {}
    if draw(st.booleans()):
        subject = (base.event.get("data") or {}).get("object") or base.event["related_object"]
        whole = draw(
            st.sampled_from([each for each in known(base.account) if each["id"] == subject.get("id")] or objects())
        )
        changed[whole["id"]] = draw(mutated(whole, most=3))
    return Delivery(
        tuple(draw(st.permutations(listeners(base.event["type"].removeprefix("v1."))))),
        base.account,
        tuple(draw(st.permutations(events))),
        {key: value for key, value in changed.items() if isinstance(value, dict)},
    )


@st.composite
def meddled(draw: st.DrawFn, base: Told, number: int) -> Json:
    """The event again: with an id and a second of its own, or as a repetition, and something wrong in it."""
    event = base.event
    if draw(st.integers(0, 3)):
        event = event | {"id": f"evt_fuzz{number}"}
        if not event["object"].startswith("v2"):
            event["created"] += draw(st.sampled_from((-60, -1, 0, 0, 1, 60)))
    if draw(st.integers(0, 4)) and "data" in event:
        data = draw(mutated(event["data"]))
        return event | {"data": data}
    changed = draw(mutated(event))
    return changed if isinstance(changed, dict) else event


def check_delivery(delivery: Delivery) -> None:
    """Every event ends in a decision, is parked, or comes again; and what was decided can be committed."""
    world = Meddled(delivery.account, delivery.changed)
    for data in delivery.events:
        for name in delivery.functions:
            try:
                parsed = stripe_events.parse(json.dumps(data).encode())
                if parsed.type in function(name).event_types:
                    world.deliver(REACTIONS[name], data)
            except (Permanent, Retry) as problem:
                check_reason(problem)
    world.check()


def _detached_from(customer: str) -> Delivery:
    """What was before is as much of a text as what is."""
    base = next(each for each in told() if each.event["type"] == "payment_method.detached")
    data = base.event["data"] | {"previous_attributes": {"customer": customer}}
    return Delivery(("track_subscriptions",), base.account, (base.event | {"data": data},), {})


def _of_another() -> Delivery:
    """Two events of one second, and a subscription that Stripe then has as somebody else's."""
    base = next(each for each in told() if each.event["type"] == "customer.subscription.created")
    found = next(each for each in known(base.account) if each["id"] == base.event["data"]["object"]["id"])
    events = (base.event, base.event | {"id": "evt_fuzz"})
    return Delivery(("track_subscriptions",), base.account, events, {found["id"]: found | {"customer": "cus_another"}})


TARGETS = (
    Target("objects", readings(), check_reading, examples=1_500),
    Target(
        "reactions",
        deliveries(),
        check_delivery,
        examples=1_000,
        found_before=(_detached_from("cus_1\ud800"), _of_another()),
    ),
)
