"""A back-fill: what an account had before comes to be what its events would have made of it, and nobody is written to.

On the Firestore emulator, with the local Stripe API behind the official client.
"""

import secrets
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import requests
from google.cloud.firestore import Client

from functions.accounts.settings import AccountSettings
from functions.adapters.diary import FirestoreDiary
from functions.adapters.firestore import FirestoreStore
from functions.adapters.prices import StripePrices
from functions.adapters.stripe import StripeApi
from functions.effects import Effect
from functions.log import JsonLog
from functions.operations.ahead import ReadAhead
from functions.operations.backfill import subscribers
from functions.operations.backfilling import Backfill, Progress, Result
from functions.operations.book import Place, Tally
from functions.operations.budgeted import Budgeted
from functions.operations.lists import Stripe
from functions.operations.rehearsal import Rehearsal
from functions.reminders.sender import Sender
from functions.settings.subscriber import SubscriberSettings
from functions.store import Found, Store
from functions.stripe_events import event_of
from local import stripe_api as local
from local.account import Line
from local.billing import BillingAccount, Price
from tests.directory import Directory
from tests.driving import SETTINGS
from tests.stories import without_traces
from tests.test_webhook import MovableClock

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent
DAY = 86_400
START = 1_790_000_000
MONTHLY = Price("price_monthly", "prod_monthly", 1000, lookup_key="monthly")
YEARLY = Price("price_yearly", "prod_yearly", 10_000, lookup_key="yearly", interval="year")
INSIDE = ("orders", "subscriptions", "invoices", "payment_methods", "private")
ROOTS = ("customers", "customer_index", "users", "payments", "addresses", "mail", "parked_events")


class Slots:
    """A budget that counts, and keeps nobody waiting."""

    def __init__(self) -> None:
        self.taken = 0

    def take(self, patience_seconds: float) -> None:
        assert patience_seconds > 0
        self.taken += 1


class Seen:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, str | None, int | None]] = []
        self.pages: list[tuple[str, int]] = []

    def begin(self, name: str, place: Place, total: int | None) -> None:
        self.begun.append((name, place.cursor, total))

    def advance(self, name: str, looked_at: int, tally: Tally) -> None:  # noqa: ARG002 -- Progress has it
        self.pages.append((name, looked_at))


@dataclass
class Bench:
    """A database, a Stripe account and a clock."""

    client: Client
    served: local.StripeApi
    account: BillingAccount = field(default_factory=lambda: BillingAccount(now=START, prefix="B"))
    settings: SubscriberSettings = SETTINGS
    directory: Directory = field(default_factory=Directory)
    clock: MovableClock = field(default_factory=lambda: MovableClock(START))
    slots: Slots = field(default_factory=Slots)
    progress: Seen = field(default_factory=Seen)

    @property
    def database(self) -> FirestoreStore:
        return FirestoreStore(self.client)

    def stripe(self) -> Budgeted:
        return Budgeted(StripeApi("sk_test_x", self.served.url, self.clock, retries=0), self.slots)

    def backfill(
        self, *, store: Store | None = None, stripe: Stripe | None = None, progress: Progress | None = None
    ) -> Backfill:
        ahead, asked = ReadAhead(store or self.database), stripe or self.stripe()
        return Backfill(
            stripe=asked,
            functions=subscribers(self.settings, ahead, asked, self.clock, self.directory),
            store=ahead,
            clock=self.clock,
            progress=progress or self.progress,
            mark=secrets.token_hex(4),
            user_id_key=self.settings.user_id_key,
            livemode=False,
        )

    def serve(self) -> None:
        """The API shows the account as it is now; by our clock that is two minutes later."""
        self.served.put(self.account.api_objects())
        self.clock.time = self.account.now + 120.0

    def run(self, *only: str, restart: bool = False) -> Result:
        self.serve()
        return self.backfill().run(only, restart=restart)

    def deliver(self, events: Sequence[Mapping[str, Any]]) -> None:
        """What the functions make of events, mail and all."""
        self.served.put(self.account.api_objects())
        for each in self.backfill().functions:
            loud = replace(each, settings=self.settings)  # type: ignore[type-var]
            for data in events:
                if data["type"] in loud.function.event_types:
                    loud.apply(event_of(data))

    def documents(self) -> dict[str, Json]:
        found = [each for name in ROOTS for each in self.client.collection(name).stream()]
        found += [each for name in INSIDE for each in self.client.collection_group(name).stream()]
        return {each.reference.path: each.to_dict() or {} for each in found}

    def get(self, path: str) -> Json:
        found: Json | None = self.client.document(path).get().to_dict()
        assert found is not None, path
        return found

    def mails(self) -> list[str]:
        return sorted(each.id for each in self.client.collection("mail").stream())

    def book(self) -> Json:
        return self.get("operations/backfill")


@pytest.fixture(scope="module")
def server() -> Iterator[local.StripeApi]:
    with local.StripeApi() as running:
        yield running


@pytest.fixture
def bench(firestore_client: Client, server: local.StripeApi) -> Iterator[Bench]:
    yield Bench(firestore_client, server)
    server.clear()


def busy(account: BillingAccount) -> None:
    """Something of everything: in every state that lists show."""
    for number in range(6):
        user = {"user_id": f"user_{number}"} if number % 2 else {}
        customer = account.create_customer(email=f"{number}@example.com", name=f"Customer {number}", metadata=user)
        account.wait(60)
        account.attach_card(customer)
        subscription = account.subscribe(customer, [MONTHLY if number % 2 else YEARLY])
        account.wait(60)
        session = account.open_session(
            [Line("Tea", 500, 2)], customer=customer, client_reference_id=f"user_{number}" if number < 4 else None
        )
        account.wait(60)
        account.complete(session, email=f"{number}@example.com")
        account.wait(60)
        if number == 0:
            account.refund(session, 1000)
        if number == 1:
            account.refund(session, 400)
        if number == 2:
            account.close_dispute(account.dispute(session), "lost")
        if number == 3:
            account.dispute(session)
            account.cancel(subscription)
        if number == 4:
            account.renew(subscription, paid=False)
        if number == 5:
            account.renew(subscription, paid=False)
            account.write_off(subscription)
        account.wait(60)
    guest = account.open_session([Line("Cup", 900)], client_reference_id="guest_user")
    account.complete(guest, email="guest@example.com")
    unpaid = account.open_session([Line("Pot", 4000)], customer=customer)
    account.complete(unpaid, email="5@example.com", paid=False)
    account.expire(account.open_session([Line("Never", 1)]))
    account.wait(3600)


#: What no list says exactly: when an order was paid, when a payment failed, since when somebody is named or agreed.
UNKNOWN = {"paid_at", "failed_at", "linked_at", "linked_by", "is_link_exact", "marketing", "offered_at"}


def state(documents: Mapping[str, Json]) -> dict[str, Json]:
    """What has to be the same, whichever way it came."""
    return {
        path: {
            name: value
            for name, value in without_traces(fields).items()
            # No plans any more, or none ever.
            if name not in UNKNOWN and (not name.startswith("plans") or value)
        }
        for path, fields in documents.items()
        if not path.startswith("mail/") and "/private/" not in path
    }


def test_an_account_ends_as_its_events_would_have_left_it_and_nobody_is_written_to(
    bench: Bench, server: local.StripeApi
) -> None:
    busy(bench.account)
    result = bench.run()
    assert bench.mails() == []
    assert not result.failures
    counts = {name: (place.seen, place.applied) for name, place in result.places.items()}
    assert counts["customers"] == counts["payment_methods"] == counts["subscriptions"] == (6, 6)
    assert (counts["sessions"], counts["refunds"], counts["disputes"]) == ((8, 8), (2, 2), (2, 2))
    assert all(place.is_done for place in result.places.values())
    assert dict(result.links.linked) == {"client_reference_id": 5, "metadata": 1}
    assert dict(result.links.unlinked) == {"nobody named": 1}
    assert result.links.conflicts == 0
    # Every call has taken a slot, those of the reactions too.
    assert bench.slots.taken == len(server.requests())

    live = Bench(Client(project=f"test-{secrets.token_hex(6)}"), server, bench.account)
    live.clock = bench.clock
    live.deliver(bench.account.events)
    assert live.mails()
    found, wanted = state(bench.documents()), state(live.documents())
    # The session that expired is no paid one, and an order is the only trace of it.
    expired = {path for path, fields in wanted.items() if "/orders/" in path and fields["status"] == "expired"}
    assert found == {path: fields for path, fields in wanted.items() if path not in expired}


def test_a_second_one_changes_nothing_and_a_finished_one_has_nothing_to_do(bench: Bench) -> None:
    busy(bench.account)
    bench.run()
    before = bench.documents()
    asked = bench.slots.taken
    assert bench.run().places["customers"].seen == 6
    assert bench.slots.taken == asked
    assert bench.documents() == before
    bench.account.wait(DAY)
    again = bench.run(restart=True)
    assert again.places["sessions"].unchanged == again.places["sessions"].seen == 8
    assert {path: _kept(each) for path, each in bench.documents().items()} == {
        path: _kept(each) for path, each in before.items()
    }
    assert bench.mails() == []


def _kept(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _kept(each) for key, each in value.items() if key not in {"as_of", "as_of_events"}}
    return value


def test_events_that_come_before_or_after_say_the_same_in_the_end(bench: Bench, server: local.StripeApi) -> None:
    busy(bench.account)
    bench.deliver(bench.account.events)
    bench.run()
    other = Bench(Client(project=f"test-{secrets.token_hex(6)}"), server, bench.account)
    other.run()
    other.deliver(bench.account.events[::-1])
    first, then = state(bench.documents()), state(other.documents())
    assert first == then
    refunded = {fields["status"] for path, fields in first.items() if "/orders/" in path}
    assert refunded == {"paid", "refunded", "partially_refunded", "pending", "expired"}


def test_what_the_past_would_have_said_is_remembered_and_what_happens_next_is_said(bench: Bench) -> None:
    customer = bench.account.create_customer(email="hana@example.com")
    subscription = bench.account.subscribe(customer, [MONTHLY])
    bench.account.wait(600)
    bench.account.cancel(subscription)
    before = len(bench.account.events)
    bench.run()
    # Stripe tries again to deliver what happened before.
    bench.deliver(bench.account.events[:before])
    assert bench.mails() == []
    bench.account.wait(600)
    session = bench.account.open_session([Line("Tea", 500)], customer=customer)
    bench.account.complete(session, email="hana@example.com")
    bench.deliver(bench.account.events[before:])
    assert bench.mails() == [f"order_paid_{session}", f"order_paid_{session}_support"]


def test_of_two_users_who_bought_for_one_customer_the_first_holds(bench: Bench) -> None:
    customer = bench.account.create_customer(email="shared@example.com", metadata={"user_id": "third"})
    sessions = {}
    for user in ("first", "second"):
        bench.account.wait(3600)
        sessions[user] = bench.account.open_session([Line("Tea", 500)], customer=customer, client_reference_id=user)
        bench.account.wait(60)
        bench.account.complete(sessions[user], email="shared@example.com")
    bench.account.wait(3600)
    result = bench.run()
    found = bench.get(f"customers/{customer}")
    assert (found["user_id"], found["linked_by"], found["conflicts"]) == ("first", "client_reference_id", 2)
    assert result.links.conflicts == 1
    assert bench.mails() == []
    # The events of the same sessions change nothing about that.
    completed = [each for each in bench.account.events if each["type"] == "checkout.session.completed"]
    bench.deliver(completed[::-1])
    found = bench.get(f"customers/{customer}")
    assert (found["user_id"], found["conflicts"]) == ("first", 2)
    assert bench.get(f"customers/{customer}/orders/{sessions['second']}")["user_id"] == "second"


def test_an_order_whose_delayed_payment_failed_is_not_pending(bench: Bench) -> None:
    customer = bench.account.create_customer(email="hana@example.com")
    session = bench.account.open_session([Line("Tea", 500)], customer=customer, client_reference_id="hana")
    bench.account.complete(session, email="hana@example.com", paid=False)
    intent = bench.account.objects[session]["payment_intent"]
    bench.account.objects[intent]["status"] = "requires_payment_method"
    bench.run()
    assert bench.get(f"customers/{customer}/orders/{session}")["status"] == "failed"
    assert bench.get(f"customers/{customer}")["user_id"] == "hana"


def test_nobody_is_reminded_at_once_of_what_was_due_before(bench: Bench) -> None:
    account = bench.account
    customer = account.create_customer(email="hana@example.com")
    card = account.attach_card(customer, expires=(2027, 9))
    renews = account.subscribe(customer, [YEARLY], default_payment_method=card)
    account.wait(355 * DAY)
    trial = account.subscribe(customer, [MONTHLY], trial_days=2)
    met_before = account.subscribe(customer, [YEARLY])
    account.wait(DAY)
    bench.deliver([each for each in account.events if each["data"]["object"].get("id") == met_before])
    due_then = bench.get(f"customers/{customer}/subscriptions/{met_before}")["reminders"]
    bench.run()
    for path in (f"subscriptions/{renews}", f"subscriptions/{trial}", f"payment_methods/{card}"):
        found = bench.get(f"customers/{customer}/{path}")
        assert found["next_reminder_at"] is None or found["next_reminder_at"] > bench.clock.time, path
    # Their year is not over with that: the card is looked at again, and what had reminders keeps them.
    assert bench.get(f"customers/{customer}/payment_methods/{card}")["reminders"]
    assert bench.get(f"customers/{customer}/subscriptions/{met_before}")["reminders"] == due_then
    sender = Sender(
        settings=SETTINGS.reminders,
        mail=SETTINGS.mail,
        diary=FirestoreDiary(bench.client),
        stripe=StripePrices(StripeApi("sk_test_x", bench.served.url, bench.clock), bench.client, bench.clock),
        clock=bench.clock,
        log=JsonLog(sys.stderr),
    )
    sender.run()
    assert bench.mails() == []


def test_accounts_are_found_and_none_is_made(bench: Bench) -> None:
    bench.settings = replace(SETTINGS, accounts=AccountSettings(create=True, claims=True, provider="http"))
    bench.directory.sign_up("hana", "hana@example.com", verified=True)
    hana = bench.account.create_customer(email="hana@example.com")
    bench.account.subscribe(hana, [MONTHLY])
    nobody = bench.account.create_customer(email="nobody@example.com")
    bench.account.wait(600)
    result = bench.run()
    assert not result.failures
    assert dict(result.links.linked) == {"verified_email": 1}
    assert bench.get(f"customers/{nobody}")["user_id"] is None
    assert (bench.directory.created, bench.directory.plans) == ({}, {"hana": ("monthly",)})
    # Who is made an account later is welcomed then, with the link to their password.
    assert bench.get(f"customers/{nobody}").get("mails", []) == []


def test_a_rehearsal_says_the_same_and_writes_nothing(bench: Bench) -> None:
    busy(bench.account)
    bench.serve()
    rehearsed = bench.backfill(store=Rehearsal(bench.database)).run(restart=True)
    assert bench.documents() == {}
    assert not bench.client.document("operations/backfill").get().exists
    real = bench.run()
    assert (rehearsed.places, rehearsed.links) == (real.places, real.links)


def test_what_cannot_be_taken_is_in_the_report_and_keeps_nobody_waiting(bench: Bench) -> None:
    customer = bench.account.create_customer(email="hana@example.com")
    invoice = bench.account.one_off_invoice(customer, 500)
    broken = {"id": "in_broken", "object": "invoice", "created": START, "customer": customer, "status": "paid"}
    bench.serve()
    bench.served.put([broken, {"id": "sub_broken", "object": "subscription", "created": START, "status": "active"}])
    result = bench.backfill().run()
    assert {(each.list, each.id, each.function) for each in result.failures} == {
        ("invoices", "in_broken", "track_subscriptions"),
        ("subscriptions", "sub_broken", "track_subscriptions"),
    }
    assert (result.places["invoices"].applied, result.places["invoices"].failed) == (1, 1)
    assert {each["id"] for each in bench.book()["failures"]} == {"in_broken", "sub_broken"}
    assert bench.get(f"customers/{customer}/invoices/{invoice}")["status"] == "paid"


class Counting:
    """A store that counts what is asked of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reads = 0

    def read(self, paths: Sequence[str]) -> Mapping[str, Found]:
        self.reads += 1
        return self._store.read(paths)

    def commit(self, effects: Iterable[Effect], found: Mapping[str, Found]) -> None:
        self._store.commit(effects, found)


@pytest.fixture
def server_apart() -> Iterator[str]:
    """The local Stripe API in a process of its own, which has a core of its own."""
    command = [sys.executable, "-m", "local.stripe_api"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def test_ten_thousand_customers(bench: Bench, server_apart: str) -> None:
    account = bench.account
    for number in range(10_000):
        account.wait(1)
        user = {"user_id": f"user_{number}"} if number % 4 == 0 else {}
        customer = account.create_customer(email=f"{number}@example.com", metadata=user)
        if number % 20 == 0:
            account.attach_card(customer)
            account.subscribe(customer, [MONTHLY])
        if number % 20 == 10:
            session = account.open_session([Line("Tea", 500)], customer=customer, client_reference_id=f"buyer_{number}")
            account.complete(session, email=f"{number}@example.com")
    requests.put(f"{server_apart}/_objects", json=account.api_objects(), timeout=60).raise_for_status()
    bench.clock.time = account.now + 120.0
    store = Counting(bench.database)
    stripe = Budgeted(StripeApi("sk_test_x", server_apart, bench.clock, retries=0), bench.slots)
    began = time.monotonic()
    result = bench.backfill(store=store, stripe=stripe).run()
    print(f"10,000 customers in {time.monotonic() - began:.1f} s, {store.reads} reads, {bench.slots.taken} calls")
    counts = {name: (place.seen, place.applied, place.failed) for name, place in result.places.items()}
    assert counts == {
        "customers": (10_000, 10_000, 0),
        **dict.fromkeys(("payment_methods", "subscriptions", "invoices", "sessions"), (500, 500, 0)),
        **dict.fromkeys(("refunds", "disputes"), (0, 0, 0)),
    }
    assert dict(result.links.linked) == {"metadata": 2500, "client_reference_id": 500}
    assert dict(result.links.unlinked) == {"nobody named": 7000}
    assert bench.mails() == []
    # A page of 100 is one call; what is inside a customer and the lines of an order are one each.
    assert bench.slots.taken == 2 * 100 + 10_000 + 5 + 5 + 5 + 500 + 5 + 1
    # The customers of a page are read at once.
    assert store.reads < 10_000
    assert bench.progress.begun[1] == ("payment_methods", None, 10_000)
    assert bench.get("users/user_20")["plans"] == ["monthly"]
