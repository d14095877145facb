"""Subscriptions on the Firestore emulator and the local Stripe API, delivered by several threads at once."""

import io
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from google.cloud.firestore import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.adapters.firestore import FirestoreStore
from functions.adapters.stripe import StripeApi
from functions.effects import Fetch
from functions.errors import Retry
from functions.log import JsonLog
from functions.reactions import index_customers, track_subscriptions
from functions.stripe_events import StripeEvent
from functions.subscriber import Subscriber
from functions.topology import function
from local import stripe_api as local
from local.account import thin
from local.billing import BillingAccount, Price
from local.emulators import Emulators
from tests.billing_stories import billing_accounts, told, truth
from tests.driving import SETTINGS
from tests.stories import deliveries
from tests.test_subscriber import Clock, message

Json = dict[str, Any]
Deliver = Callable[[list[Json]], None]
CLUB = Price("price_club", "prod_club", 980, lookup_key="club")


@pytest.fixture(scope="module")
def server() -> Iterator[local.StripeApi]:
    with local.StripeApi() as running:
        yield running


@pytest.fixture
def subscribers(firestore_client: Client, server: local.StripeApi) -> list[Subscriber]:
    server.clear()
    return [
        Subscriber(
            function=function(name),
            react=react,
            settings=SETTINGS,
            store=FirestoreStore(firestore_client),
            stripe=StripeApi("sk_test_x", server.url, Clock()),
            clock=Clock(),
            log=JsonLog(io.StringIO()),
        )
        for name, react in (
            ("index_customers", index_customers.react),
            ("track_subscriptions", track_subscriptions.react),
        )
    ]


def deliver(subscribers: list[Subscriber], events: list[Json]) -> None:
    """Every event to every function, eight at a time; what raises comes again, as Pub/Sub does."""

    def one(job: tuple[Subscriber, Json]) -> None:
        subscriber, data = job
        while True:
            try:
                subscriber.handle(message(data, type=data["type"].removeprefix("v1.")))
            except Retry:
                continue
            return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, [(subscriber, data) for data in events for subscriber in subscribers]))


def documents(client: Client) -> Json:
    """Everything in Firestore, by path."""
    found: Json = {}
    for collection in client.collections():
        found |= {each.reference.path: each.to_dict() for each in collection.stream()}
    for name in ("subscriptions", "invoices", "payment_methods"):
        found |= {each.reference.path: each.to_dict() for each in client.collection_group(name).stream()}
    return found


def test_concurrent_subscriptions_of_one_customer_all_count(
    subscribers: list[Subscriber], server: local.StripeApi, firestore_client: Client
) -> None:
    account = BillingAccount(now=1_790_000_000)
    customer = account.create_customer(email="hana@example.com", metadata={"user_id": "user-1"})
    for number in range(10):
        account.subscribe(customer, [Price(f"price_{number}", f"prod_{number}", 100)])
    server.put(account.api_objects())
    events = account.events * 2
    random.Random(3).shuffle(events)
    deliver(subscribers, events)
    plans = sorted(f"prod_{number}" for number in range(10))
    found = documents(firestore_client)
    assert found[f"customers/{customer}"]["plans"] == plans
    assert found["users/user-1"]["plans"] == plans


class Meeting:
    """Stripe's API for the first of two deliveries: its answer is on the way while the other one does its work."""

    def __init__(self, api: StripeApi, meanwhile: Callable[[], None]) -> None:
        self._api, self._meanwhile, self.calls = api, meanwhile, 0

    def fetch(self, request: Fetch, event: StripeEvent | None) -> Json:
        answer = self._api.fetch(request, event)
        self.calls += 1
        if self.calls == 1:
            self._meanwhile()
        return answer


def test_of_two_concurrent_deliveries_the_newer_state_of_stripe_wins(
    subscribers: list[Subscriber], server: local.StripeApi, firestore_client: Client
) -> None:
    """Both fetch for a tie; the subscription changes in between; who fetched first commits last."""
    account = BillingAccount(now=1_790_000_000)
    customer = account.create_customer(email="hana@example.com")
    subscription = account.subscribe(customer, [CLUB])
    account.change(subscription, metadata={"n": "1"})
    server.put(account.api_objects())
    [_, tracker] = subscribers
    created, first = [data for data in account.events if data["type"].startswith("customer.subscription.")]
    tracker.handle(message(created))

    def the_other_delivery() -> None:
        account.change(subscription, metadata={"n": "2"}, status="past_due")
        server.put(account.api_objects())
        other = threading.Thread(target=tracker.handle, args=(message(account.events[-1]),))
        other.start()
        other.join()

    slow = Meeting(StripeApi("sk_test_x", server.url, Clock()), the_other_delivery)
    replace(tracker, stripe=slow).handle(message(first))
    assert slow.calls == 2, "the first answer was committed although somebody had stored a newer one"
    found = documents(firestore_client)[f"customers/{customer}/subscriptions/{subscription}"]
    assert (found["status"], found["metadata"]) == ("past_due", {"n": "2"})


@settings(max_examples=40)
@given(data=st.data(), account=billing_accounts())
def test_any_concurrent_delivery_ends_in_the_state_of_the_account(
    *,
    emulators: Emulators,
    subscribers: list[Subscriber],
    server: local.StripeApi,
    firestore_client: Client,
    data: st.DataObject,
    account: BillingAccount,
) -> None:
    emulators.clear(firestore_client.project)
    server.clear()
    server.put(account.api_objects())
    server.put([{key: value for key, value in event.items() if key != "request"} for event in account.events])
    mixed = [
        thin(event) if event["type"] != "invoice.upcoming" and data.draw(st.booleans()) else event
        for event in data.draw(deliveries(account.events))
    ]
    deliver(subscribers, mixed)
    assert told(documents(firestore_client)) == truth(account)
