"""One message in one function: what is acknowledged, what comes back, what is parked, and what is said of it.

On the Firestore emulator, with the local Stripe API behind the official client.
"""

import base64
import io
import json
import random
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from google.cloud.firestore import Client

from functions.adapters.firestore import FirestoreStore
from functions.adapters.stripe import StripeApi
from functions.effects import Decision, Effect, Put, Reaction, read
from functions.errors import Permanent, Retry, Unexpected
from functions.execution import ROUNDS
from functions.log import JsonLog
from functions.parking import bytes_of
from functions.reactions import index_customers, provision_accounts, record_orders, track_subscriptions
from functions.settings.subscriber import SubscriberSettings
from functions.store import Found, Store
from functions.stripe_events import StripeEvent
from functions.subscriber import Subscriber
from functions.topology import function
from local import stripe_api as local
from local.account import Account, Line
from tests.driving import SETTINGS, React

Json = dict[str, Any]


def message(data: Any, **attributes: str) -> Json:
    """A Pub/Sub message as the push delivers it."""
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    if isinstance(data, dict):
        attributes = {"event_id": data["id"], "type": data["type"]} | attributes
    return {"data": base64.b64encode(body).decode(), "attributes": attributes, "messageId": "1"}


@dataclass
class Clock:
    """Stands still, and does not wait."""

    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return 1_790_000_000.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@dataclass
class Bench:
    """A subscriber on the emulators, and what it wrote to its log."""

    subscriber: Subscriber
    output: io.StringIO
    client: Client
    served: local.StripeApi

    def handle(self, data: Any, **attributes: str) -> str:
        return self.subscriber.handle(message(data, **attributes))

    def log(self) -> list[Json]:
        return [json.loads(line) for line in self.output.getvalue().splitlines()]

    def document(self, path: str) -> Json | None:
        found: Json | None = self.client.document(path).get().to_dict()
        return found


Make = Callable[..., Bench]


@pytest.fixture(scope="module")
def server() -> Iterator[local.StripeApi]:
    with local.StripeApi() as running:
        yield running


@pytest.fixture
def make(firestore_client: Client, server: local.StripeApi) -> Make:
    """Builds a subscriber; its store and its reaction can be exchanged."""
    server.clear()

    def build(name: str = "index_customers", *, react: React | None = None, store: Store | None = None) -> Bench:
        output = io.StringIO()
        reactions = {
            "index_customers": index_customers.react,
            "record_orders": record_orders.react,
            "track_subscriptions": track_subscriptions.react,
            "provision_accounts": provision_accounts.react,
        }
        subscriber = Subscriber(
            function=function(name),
            react=react or reactions[name],
            settings=SETTINGS,
            store=store or FirestoreStore(firestore_client),
            stripe=StripeApi("sk_test_x", server.url, Clock()),
            clock=Clock(),
            log=JsonLog(output),
        )
        return Bench(subscriber, output, firestore_client, server)

    return build


@pytest.fixture
def account() -> Account:
    return Account(now=1_790_000_000)


def test_an_event_is_applied_and_said_in_one_line_without_anything_personal(make: Make, account: Account) -> None:
    bench = make()
    customer = account.create_customer(email="hana@example.com", name="Hana Sato")
    assert bench.handle(account.events[0]) == "applied"
    found = bench.document(f"customers/{customer}")
    assert found is not None
    assert found["email"] == "hana@example.com"
    [line] = bench.log()
    assert line == {
        "severity": "INFO",
        "message": "customer.created applied",
        "event_id": account.events[0]["id"],
        "type": "customer.created",
        "function": "index_customers",
        "outcome": "applied",
        "milliseconds": 0.0,
        "reads": 2,
        "writes": 3,
        "stripe_calls": 0,
        "rounds": 1,
        "mails": 1,
    }


def test_a_redelivery_is_a_duplicate(make: Make, account: Account) -> None:
    bench = make()
    account.create_customer(email="hana@example.com")
    bench.handle(account.events[0])
    assert bench.handle(account.events[0]) == "duplicate"


def test_a_type_of_another_function_is_ignored_without_being_parsed(make: Make) -> None:
    assert make().handle(b"not even JSON", type="invoice.paid") == "ignored"


def test_a_type_of_another_function_without_attributes_is_ignored(make: Make, account: Account) -> None:
    account.create_customer(email="hana@example.com")
    bench = make("record_orders")
    assert bench.handle(account.events[0], type="") == "ignored"


@pytest.mark.parametrize("body", [b"", b"\xff", b"not JSON", b"[1]", b"null", b"{}"])
def test_a_body_that_is_no_event_is_parked_under_its_attributes(make: Make, body: bytes) -> None:
    bench = make()
    assert bench.handle(body, event_id="evt_1", type="customer.created") == "parked"
    parked = bench.document("parked_events/evt_1_index_customers")
    assert parked is not None
    assert (parked["body"], parked["function"], parked["type"]) == (body, "index_customers", "customer.created")
    assert parked["reason"]


def test_data_that_is_not_base64_is_parked_under_its_message(make: Make) -> None:
    bench = make()
    assert bench.subscriber.handle({"data": "§", "messageId": "77"}) == "parked"
    parked = bench.document("parked_events/77_index_customers")
    assert parked is not None
    assert parked["reason"] == "the message's data is not base64"


def test_an_impossible_event_is_parked_with_its_bytes_and_reason(make: Make, account: Account) -> None:
    bench = make()
    account.create_customer(email="hana@example.com")
    account.events[0]["data"]["object"]["email"] = 5
    assert bench.handle(account.events[0]) == "parked"
    parked = bench.document(f"parked_events/{account.events[0]['id']}_index_customers")
    assert parked is not None
    assert parked["reason"] == "email is not a text (API version 2026-10-28.endive)"
    assert json.loads(parked["body"]) == account.events[0]
    [line] = bench.log()
    assert (line["severity"], line["outcome"], line["reason"]) == (
        "ERROR",
        "parked",
        "email is not a text (API version 2026-10-28.endive)",
    )


def test_an_event_parked_twice_keeps_its_first_reason_and_time(make: Make) -> None:
    bench = make()
    for body in (b"not JSON", b"[1]"):
        bench.handle(body, event_id="evt_1", type="customer.created")
    parked = bench.document("parked_events/evt_1_index_customers")
    assert parked is not None
    assert parked["reason"] == "the body is not JSON"


INCOMPRESSIBLE = random.Random(1).randbytes(1_048_576)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"x" * 1_000_000, None),
        (b"x" * 1_000_001, "zlib"),
        (b"x" * 1_048_576, "zlib"),
        (INCOMPRESSIBLE[:1_000_000], None),
        (INCOMPRESSIBLE[:1_000_001], "at Stripe"),
        (INCOMPRESSIBLE, "at Stripe"),
    ],
    ids=["whole", "zlib", "zlib_1_MiB", "random", "random_1", "random_1_MiB"],
)
def test_a_parked_event_fits_its_document_whatever_its_size(make: Make, body: bytes, encoding: str | None) -> None:
    bench = make()
    assert bench.handle(body, event_id="evt_1", type="customer.created") == "parked"
    parked = bench.document("parked_events/evt_1_index_customers")
    assert parked is not None
    assert parked["body_encoding"] == encoding
    assert bytes_of(parked) == (None if encoding == "at Stripe" else body)


def test_a_parked_event_fits_its_document_with_all_that_pubsub_may_bring_and_all_that_may_be_said(make: Make) -> None:
    """100 attributes of 256 and 1,024 bytes (https://cloud.google.com/pubsub/quotas#resource_limits)."""
    attributes = {f"{number:03}".ljust(85, "あ"): "い" * 341 for number in range(97)}
    attributes |= {"__reserved__": "x", "event_id": "e" * 1_024, "type": "customer.created"}

    def refused(_event: StripeEvent, _settings: SubscriberSettings) -> Reaction:
        raise Permanent("理" * 100_000, "\ud83d" + "長" * 500_000)

    bench = make(react=refused)
    text = {"id": "evt_1", "type": "customer.created", "livemode": False, "created": 1, "padding": INCOMPRESSIBLE.hex()}
    body = json.dumps(text).encode()[:1_048_574] + b'"}'
    assert bench.handle(body, **attributes) == "parked"
    [parked] = [each.to_dict() or {} for each in bench.client.collection("parked_events").stream()]
    assert bytes_of(parked) == body
    assert (len(parked["reason"]), len(parked["detail"])) == (1_500, 10_000)
    assert len(parked["attributes"]) == 100


def test_a_customer_unknown_to_stripe_is_parked_with_what_to_check(make: Make, account: Account) -> None:
    bench = make()
    session = account.open_session([Line("Mug", 1400)], customer="cus_of_another_account")
    account.complete(session, email="hana@example.com")
    assert bench.handle(account.events[0]) == "parked"
    [line] = bench.log()
    assert "STRIPE_API_KEY" in line["reason"]


def test_what_stripe_cannot_answer_now_comes_back(make: Make, account: Account) -> None:
    bench = make("record_orders")
    session = account.open_session([Line("Mug", 1400)])
    account.complete(session, email="hana@example.com")
    bench.served.put(account.api_objects())
    bench.served.set_faults([{"path": "/v1", "status": 500, "should_retry": "false"}])
    with pytest.raises(Retry):
        bench.handle(account.events[0])
    [line] = bench.log()
    assert (line["severity"], line["outcome"]) == ("WARNING", "retry")
    bench.served.set_faults([])
    assert bench.handle(account.events[0]) == "applied"


def test_what_nobody_expected_reaches_the_top_and_its_text_stays_out_of_the_log(make: Make, account: Account) -> None:
    def broken(_event: StripeEvent, _settings: SubscriberSettings) -> Reaction:
        raise ZeroDivisionError("hana@example.com")

    bench = make(react=broken)
    account.create_customer(email="hana@example.com")
    with pytest.raises(Unexpected, match=r"^unexpected ZeroDivisionError$"):
        bench.handle(account.events[0])
    [line] = bench.log()
    assert (line["severity"], line["outcome"]) == ("ERROR", "retry")
    assert "hana@example.com" not in bench.output.getvalue()


class Meddling:
    """A store in which somebody else is quicker a few times: between our read and our commit."""

    def __init__(self, store: Store, client: Client, path: str, times: int) -> None:
        self._store, self._client, self._path, self._times = store, client, path, times

    def read(self, paths: Any) -> Mapping[str, Found]:
        return self._store.read(paths)

    def commit(self, effects: Any, found: Mapping[str, Found]) -> None:
        if self._times:
            self._times -= 1
            self._client.document(self._path).set({"n": 100 + self._times})
        self._store.commit(effects, found)


def count_up(_event: StripeEvent, _settings: SubscriberSettings) -> Reaction:
    """Adds one to a counter."""
    documents = yield from read("counters/1")
    return Decision("applied", (Put("counters/1", {"n": (documents["counters/1"] or {"n": 0})["n"] + 1}),))


def test_who_was_overtaken_reads_again_and_decides_again(
    make: Make, account: Account, firestore_client: Client
) -> None:
    store = Meddling(FirestoreStore(firestore_client), firestore_client, "counters/1", times=2)
    bench = make(react=count_up, store=store)
    account.create_customer(email="hana@example.com")
    assert bench.handle(account.events[0]) == "applied"
    assert bench.document("counters/1") == {"n": 101}
    assert bench.log()[0]["rounds"] == 3


def test_who_is_always_overtaken_comes_back_later(make: Make, account: Account, firestore_client: Client) -> None:
    store = Meddling(FirestoreStore(firestore_client), firestore_client, "counters/1", times=100)
    bench = make(react=count_up, store=store)
    account.create_customer(email="hana@example.com")
    with pytest.raises(Retry, match=f"{ROUNDS} attempts"):
        bench.handle(account.events[0])


class Deaf:
    """A store whose commits take effect, but whose answer gets lost the first time, so that the client repeats them."""

    def __init__(self, store: Store) -> None:
        self._store, self._lost = store, False

    def read(self, paths: Any) -> Mapping[str, Found]:
        return self._store.read(paths)

    def commit(self, effects: Any, found: Mapping[str, Found]) -> None:
        kept: list[Effect] = list(effects)
        self._store.commit(kept, found)
        if not self._lost:
            self._lost = True
            self._store.commit(kept, found)


def test_a_commit_whose_answer_got_lost_is_found_to_be_done(
    make: Make, account: Account, firestore_client: Client
) -> None:
    bench = make(store=Deaf(FirestoreStore(firestore_client)))
    account.create_customer(email="hana@example.com")
    assert bench.handle(account.events[0]) == "duplicate"
    assert bench.document("customer_index/email:hana@example.com") is not None


def test_concurrent_events_of_customers_who_share_an_address_lose_nobody(make: Make, account: Account) -> None:
    customers = [account.create_customer(email="family@example.com") for _ in range(12)]
    bench = make()

    def deliver(data: Json) -> None:
        # As Pub/Sub does: what raises comes again.
        while True:
            try:
                bench.handle(data)
            except Retry:
                continue
            return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(deliver, account.events * 2))
    index = bench.document("customer_index/email:family@example.com")
    assert index is not None
    assert sorted(index["customers"]) == sorted(customers)


def test_concurrent_deliveries_of_one_event_make_one_order(make: Make, account: Account) -> None:
    session = account.open_session([Line("Mug", 1400)])
    account.complete(session, email="hana@example.com")
    bench = make("record_orders")
    bench.served.put(account.api_objects())
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(bench.handle, account.events * 8))
    assert sorted(set(outcomes)) == ["applied", "duplicate"]
    assert outcomes.count("applied") == 1
    assert len(list(bench.client.collection_group("orders").stream())) == 1


class Changing:
    """Stripe, whose customer changes while an older answer is on its way to us."""

    def __init__(self, account: Account, customer: str, meanwhile: Callable[[], None]) -> None:
        self._account, self._customer, self._meanwhile = account, customer, meanwhile

    def fetch(self, _request: Any, _event: StripeEvent | None) -> Json:
        answer = dict(self._account.objects[self._customer])
        meanwhile, self._meanwhile = self._meanwhile, lambda: None
        meanwhile()
        return answer


def test_an_older_answer_of_stripe_never_overwrites_a_newer_one(make: Make, account: Account) -> None:
    """Two events of one second: the one that fetched first and commits last must not win."""
    customer = account.create_customer(email="hana@example.com", name="Before")
    account.update_customer(customer, name="Between")
    bench = make()
    bench.handle(account.events[0])

    def somebody_else_is_quicker() -> None:
        account.update_customer(customer, name="After")
        bench.served.put(account.api_objects())
        assert bench.handle(account.events[2]) == "applied"

    from dataclasses import replace

    slow = replace(bench.subscriber, stripe=Changing(account, customer, somebody_else_is_quicker))
    slow.handle(message(account.events[1]))
    found = bench.document(f"customers/{customer}")
    assert found is not None
    assert found["name"] == "After"


# Mail


def test_mail_is_in_the_commit_of_what_it_tells(make: Make, account: Account) -> None:
    bench = make("record_orders")
    session = account.open_session([Line("Mug", 1400)])
    account.complete(session, email="hana@example.com", name="Hana")
    bench.served.put(account.api_objects())
    bench.handle(account.events[0])
    mail = bench.document(f"mail/order_paid_{session}")
    assert mail is not None
    assert mail["to"] == ["hana@example.com"]
    [order] = bench.client.collection_group("orders").stream()
    mails = (f"mail/order_paid_{session}", f"mail/order_paid_{session}_support")
    times = {bench.client.document(path).get().update_time for path in (order.reference.path, *mails)}
    assert len(times) == 1


def test_mail_that_exists_already_stays_and_the_rest_is_committed(make: Make, account: Account) -> None:
    """Somebody removed the order and had the event delivered again."""
    bench = make("record_orders")
    session = account.open_session([Line("Mug", 1400)])
    account.complete(session, email="hana@example.com", name="Hana")
    bench.served.put(account.api_objects())
    bench.handle(account.events[0])
    [order] = bench.client.collection_group("orders").stream()
    order.reference.delete()
    path = f"mail/order_paid_{session}"
    bench.client.document(path).update({"delivery": {"state": "SUCCESS"}})
    assert bench.handle(account.events[0]) == "applied"
    assert order.reference.get().exists
    mail = bench.document(path)
    assert mail is not None
    assert mail["delivery"] == {"state": "SUCCESS"}, "the extension would send it again"


def test_an_address_that_cannot_be_written_to_is_logged_and_support_hears_of_the_order(
    make: Make, account: Account
) -> None:
    bench = make("record_orders")
    session = account.open_session([Line("Mug", 1400)])
    account.complete(session, email="hana@example.com, kenji@example.com", name="Hana")
    bench.served.put(account.api_objects())
    assert bench.handle(account.events[0]) == "applied"
    assert [each.id for each in bench.client.collection("mail").stream()] == [f"order_paid_{session}_support"]
    _, line = bench.log()
    assert line["severity"] == "WARNING"
    assert line["message"] == "order_paid not written to customer: no email address that can be written to"
    assert "example.com" not in bench.output.getvalue()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"disabled": frozenset({"welcome"})}, "MAIL_DISABLED names it"),
        ({"max_age_seconds": -1}, "what it says is more than MAIL_MAX_AGE old (-1 s)"),
    ],
)
def test_mail_that_is_off_or_too_late_is_not_written(
    make: Make, account: Account, change: dict[str, Any], reason: str
) -> None:
    from dataclasses import replace

    bench = make()
    settings = replace(SETTINGS, mail=replace(SETTINGS.mail, **change))
    bench.subscriber = replace(bench.subscriber, settings=settings)
    customer = account.create_customer(email="hana@example.com")
    assert bench.handle(account.events[0]) == "applied"
    assert bench.document(f"customers/{customer}") is not None
    assert list(bench.client.collection("mail").stream()) == []
    assert bench.log()[-1]["message"] == f"welcome not written to customer: {reason}"


def test_mail_goes_to_the_collection_that_the_settings_name(make: Make, account: Account) -> None:
    from dataclasses import replace

    bench = make()
    settings = replace(SETTINGS, mail=replace(SETTINGS.mail, collection="outbox"))
    bench.subscriber = replace(bench.subscriber, settings=settings)
    customer = account.create_customer(email="hana@example.com")
    bench.handle(account.events[0])
    assert bench.document(f"outbox/welcome_{customer}") is not None


def test_support_is_told_once_of_an_event_that_is_parked(make: Make) -> None:
    bench = make()
    for _ in range(2):
        assert bench.handle(b"not JSON", event_id="evt_1", type="customer.created", livemode="true") == "parked"
    [mail] = bench.client.collection("mail").stream()
    assert mail.id == "parked_evt_1_index_customers"
    assert mail.get("to") == ["support@example.com"]
    text = mail.get("message.text")
    assert "the body is not JSON" in text
    assert "https://dashboard.stripe.com/events/evt_1" in text


def test_an_event_that_is_parked_again_after_it_was_mended_is_kept(make: Make) -> None:
    bench = make()
    path = "parked_events/evt_1_index_customers"
    bench.handle(b"not JSON", event_id="evt_1", type="customer.created")
    bench.client.document(path).delete()
    bench.handle(b"still not JSON", event_id="evt_1", type="customer.created")
    assert bench.document(path) is not None


def test_two_functions_that_park_one_event_both_say_so_the_second_with_the_rest(make: Make) -> None:
    for name in ("index_customers", "record_orders"):
        make(name).handle(b"not JSON", event_id="evt_1", type="checkout.session.completed")
    told = {each.id: each.get("told") for each in make().client.collection("parked_events").stream()}
    assert told == {"evt_1_index_customers": True, "evt_1_record_orders": False}
    assert [each.id for each in make().client.collection("mail").stream()] == ["parked_evt_1_index_customers"]


def test_an_event_whose_mail_alone_is_there_is_kept_as_told(make: Make) -> None:
    """Somebody removed its document and the notice, after it was mended."""
    bench = make()
    bench.client.document("mail/parked_evt_1_index_customers").set({"kept": True})
    bench.handle(b"not JSON", event_id="evt_1", type="customer.created")
    assert (bench.document("parked_events/evt_1_index_customers") or {})["told"] is True
    assert bench.document("mail/parked_evt_1_index_customers") == {"kept": True}
    assert bench.document("notices/parked") is None


# Replayed


PARKED = "parked_events/evt_1_index_customers"


def test_an_event_that_is_replayed_for_another_function_is_ignored_without_being_parsed(make: Make) -> None:
    bench = make()
    said = bench.handle(b"not JSON", type="customer.created", only="record_orders", parked="evt_1_record_orders")
    assert said == "ignored"
    assert list(bench.client.collections()) == []
    assert [line["severity"] for line in bench.log()] == ["DEBUG"]


def test_what_comes_of_a_replayed_event_is_written_into_its_document(make: Make, account: Account) -> None:
    bench = make()
    bench.handle(b"not JSON", event_id="evt_1", type="customer.created")
    before = bench.document(PARKED)
    account.create_customer(email="hana@example.com")
    replayed = {"only": "index_customers", "parked": "evt_1_index_customers"}
    assert bench.handle(account.events[0], **replayed, replay="first") == "applied"
    after = bench.document(PARKED) or {}
    assert after.pop("expires_at").timestamp() == 1_790_000_000 + 90 * 86_400
    assert after == {**(before or {}), "replayed_at": 1_790_000_000.0, "outcome": "applied", "replay": "first"}
    # Delivered once more by Pub/Sub it is a duplicate, which is not what the replay changed.
    assert bench.handle(account.events[0], **replayed, replay="first") == "duplicate"
    assert (bench.document(PARKED) or {})["outcome"] == "applied"
    assert bench.handle(account.events[0], **replayed, replay="second") == "duplicate"
    assert (bench.document(PARKED) or {})["outcome"] == "duplicate"


def test_a_replayed_event_that_fails_again_stays_parked_with_its_new_reason_and_without_a_mail(make: Make) -> None:
    bench = make()
    bench.handle(b"not JSON", event_id="evt_1", type="customer.created")
    before = bench.document(PARKED) or {}
    replayed = {"only": "index_customers", "parked": "evt_1_index_customers", "replay": "r"}
    assert bench.handle(b"[1]", event_id="evt_2", type="customer.created", **replayed) == "parked"
    assert bench.document(PARKED) == {
        **before,
        "reason": "the body is not a JSON object",
        "replayed_at": 1_790_000_000.0,
        "outcome": "parked",
        "replay": "r",
        "expires_at": None,
    }
    assert [each.id for each in bench.client.collection("parked_events").stream()] == ["evt_1_index_customers"]
    assert [each.id for each in bench.client.collection("mail").stream()] == ["parked_evt_1_index_customers"]


def test_a_replayed_event_whose_document_is_gone_is_parked_anew(make: Make) -> None:
    bench = make()
    replayed = {"only": "index_customers", "parked": "evt_1_index_customers"}
    assert bench.handle(b"[1]", event_id="evt_1", type="customer.created", **replayed) == "parked"
    assert (bench.document(PARKED) or {})["reason"] == "the body is not a JSON object"


@pytest.mark.parametrize(
    "named",
    ["", "..", ".", "__x__", "a/b", "../customers/cus_1", "evt_1_record_orders", "nobody", "x" * 2_000],
)
def test_a_message_that_names_another_document_changes_none(make: Make, account: Account, named: str) -> None:
    bench = make()
    bench.client.document("parked_events/evt_1_record_orders").set({"function": "record_orders"})
    bench.client.document("customers/cus_1").set({"name": "Hana"})
    account.create_customer(email="hana@example.com")
    assert bench.handle(account.events[0], only="index_customers", parked=named) == "applied"
    assert bench.document("parked_events/evt_1_record_orders") == {"function": "record_orders"}
    assert bench.document("customers/cus_1") == {"name": "Hana"}
    assert len(list(bench.client.collection("parked_events").stream())) == 1


def test_an_outcome_that_cannot_be_written_now_is_written_by_the_next_delivery(
    make: Make, account: Account, firestore_client: Client
) -> None:
    class Away(FirestoreStore):
        def commit(self, effects: Any, found: Mapping[str, Found]) -> None:
            kept = list(effects)
            if kept[0].path == PARKED:
                raise Retry("Firestore answered ServiceUnavailable")
            super().commit(kept, found)

    firestore_client.document(PARKED).set({"function": "index_customers"})
    account.create_customer(email="hana@example.com")
    bench = make(store=Away(firestore_client))
    replayed = {"only": "index_customers", "parked": "evt_1_index_customers", "replay": "r"}
    with pytest.raises(Retry):
        bench.handle(account.events[0], **replayed)
    assert [line["outcome"] for line in bench.log()] == ["applied", "retry"]
    assert make().handle(account.events[0], **replayed) == "duplicate"
    assert (bench.document(PARKED) or {})["outcome"] == "duplicate"


def test_an_event_of_an_unknown_function_is_settled_by_the_one_it_is_replayed_to(make: Make, account: Account) -> None:
    bench = make()
    bench.client.document("parked_events/evt_1_unknown").set({"function": "unknown"})
    account.create_customer(email="hana@example.com")
    assert bench.handle(account.events[0], only="index_customers", parked="evt_1_unknown") == "applied"
    assert (bench.document("parked_events/evt_1_unknown") or {})["outcome"] == "applied"


def test_an_ordinary_event_reads_and_writes_nothing_about_parked_ones(make: Make, account: Account) -> None:
    bench = make()
    bench.handle(b"not JSON", event_id="evt_1", type="customer.created")
    account.create_customer(email="hana@example.com")
    bench.handle(account.events[0])
    assert (bench.log()[-1]["reads"], bench.log()[-1]["writes"]) == (2, 3)
