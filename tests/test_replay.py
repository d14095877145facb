"""Parked events, published again: which ones, to whom, what comes of them, and what an operator reads of it."""

import io
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from google.cloud.firestore import Client

from functions.adapters.firestore import FirestoreStore
from functions.adapters.parked import FirestoreParkedEvents
from functions.adapters.stripe import StripeApi
from functions.errors import Retry
from functions.log import JsonLog
from functions.operations.replay import Refused, main, when
from functions.operations.replay_report import Report
from functions.operations.replaying import Ended, Replaying, Selection, target_of
from functions.parking import ParkedEvent, Parker, Unprocessed, parked_event
from functions.reactions import index_customers
from functions.subscriber import Subscriber
from functions.topology import function
from local import stripe_api as local
from local.account import Account, Line
from local.emulators import Emulators
from local.sender import send
from local.system import System, running
from tests.driving import SETTINGS
from tests.test_subscriber import message
from tests.test_webhook import MovableClock

Json = dict[str, Any]
NOW = 1_790_000_000.0
HOUR, DAY = 3_600.0, 86_400.0


# Which ones


def put(client: Client, event: str, function: str = "record_orders", **fields: Any) -> str:
    """A parked event as it is kept; the id of its document."""
    document = {
        "event_id": event,
        "type": "charge.refunded",
        "function": function,
        "reason": "email is not a text",
        "detail": None,
        "attributes": {"event_id": event, "type": "charge.refunded"},
        "livemode": False,
        "parked_at": NOW,
        "told": True,
        "body": b"{}",
        "body_encoding": None,
        **fields,
    }
    client.document(f"parked_events/{event}_{function}").set(document)
    return f"{event}_{function}"


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        (Selection(), "a b c e f"),
        (Selection(include_replayed=True), "a b c d e f"),
        (Selection(event="evt_a"), "a e"),
        (Selection(event="evt_a", function="record_orders"), "a"),
        (Selection(event="evt_d"), ""),
        (Selection(event="evt_d", include_replayed=True), "d"),
        (Selection(event="evt_nobody"), ""),
        (Selection(function="unknown"), "f"),
        (Selection(type="invoice.paid"), "b"),
        (Selection(reason="NOT A"), "a b e f"),
        (Selection(reason="deliveries"), "c"),
        (Selection(since=NOW + HOUR), "c e f"),
        (Selection(until=NOW + HOUR), "a b c"),
        (Selection(since=NOW + HOUR, until=NOW + HOUR), "c"),
        (Selection(since=NOW + 9 * DAY), ""),
        (Selection(function="index_customers", type="charge.refunded", since=NOW), "e"),
    ],
)
def test_events_are_chosen_by_everything_that_is_said(
    firestore_client: Client, selection: Selection, chosen: str
) -> None:
    documents = {
        put(firestore_client, "evt_a"): "a",
        put(firestore_client, "evt_b", type="invoice.paid", parked_at=NOW + 1): "b",
        put(firestore_client, "evt_c", reason="still failing after 30 deliveries", parked_at=NOW + HOUR): "c",
        put(firestore_client, "evt_d", replayed_at=NOW, outcome="applied"): "d",
        put(firestore_client, "evt_a", "index_customers", parked_at=NOW + DAY, replayed_at=NOW, outcome="parked"): "e",
        put(firestore_client, "evt_f", "unknown", parked_at=NOW + 2 * DAY): "f",
    }
    kept = FirestoreParkedEvents(firestore_client, page=2)
    found = [documents[each.id] for each in selection.of(kept)]
    assert sorted(found) == chosen.split()
    times = [each.parked_at for each in selection.of(kept)]
    assert times == sorted(times), "oldest first"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3d", NOW - 3 * DAY),
        ("2h", NOW - 2 * HOUR),
        ("90m", NOW - 5_400),
        ("30s", NOW - 30),
        ("2026-11-24", 1_795_446_000.0),
        ("2026-11-24T09:30", 1_795_480_200.0),
        ("2026-11-24 09:30:00+00:00", 1_795_512_600.0),
        ("2026-11-24T09:30:00Z", 1_795_512_600.0),
    ],
)
def test_a_time_is_a_date_or_how_long_ago(text: str, seconds: float) -> None:
    assert when(text, NOW, ZoneInfo("Asia/Tokyo")) == seconds


@pytest.mark.parametrize("text", ["", "yesterday", "3", "-3d", "3w", "2026-13-01", "99999-01-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="is no time"):
        when(text, NOW, ZoneInfo("Asia/Tokyo"))


def of(function: str, event_type: str | None = "charge.refunded") -> ParkedEvent:
    return parked_event("x", {"function": function, "type": event_type, "event_id": "evt_1"})


@pytest.mark.parametrize(
    ("parked", "to", "target", "problem"),
    [
        (of("record_orders"), None, "record_orders", ""),
        (of("record_orders"), "index_customers", "record_orders", ""),
        (of("unknown"), "record_orders", "record_orders", ""),
        (of("unknown", None), "record_orders", "record_orders", ""),
        (of("unknown"), None, "", "it failed in 'unknown', which is no function here: say which one with --to"),
        (of("stripe_webhook"), None, "", "it failed in 'stripe_webhook', which is no function here"),
        (of("unknown"), "index_customers", "", "index_customers does not listen to charge.refunded"),
        (of("record_orders", "payout.paid"), None, "", "record_orders does not listen to payout.paid"),
    ],
)
def test_an_event_goes_where_it_failed_and_else_where_somebody_says(
    parked: ParkedEvent, to: str | None, target: str, problem: str
) -> None:
    assert target_of(parked, to)[0] == target
    assert target_of(parked, to)[1].startswith(problem)


# What is published, and waited for


class Topic:
    """Delivers to a subscriber at once what is published; or does nothing."""

    def __init__(self, subscriber: Subscriber | None = None) -> None:
        self.published: list[tuple[bytes, Mapping[str, str]]] = []
        self._subscriber = subscriber

    def publish(self, data: bytes, attributes: Mapping[str, str], deadline_seconds: float) -> None:
        assert deadline_seconds
        self.published.append((data, attributes))
        if self._subscriber:
            self._subscriber.handle(message(data, **attributes))


@pytest.fixture(scope="module")
def server() -> Iterator[local.StripeApi]:
    with local.StripeApi() as started:
        yield started


Make = Callable[..., Replaying]


@pytest.fixture
def make(firestore_client: Client, server: local.StripeApi) -> Make:
    server.clear()
    clock = MovableClock(NOW)

    def build(topic: Topic, to: str | None = None, run: str = "r") -> Replaying:
        return Replaying(
            kept=FirestoreParkedEvents(firestore_client),
            publisher=topic,
            stripe=StripeApi("sk_test_x", server.url, clock, retries=0),
            clock=clock,
            progress=lambda *_: None,
            run=run,
            to=to,
        )

    return build


def chosen(client: Client, **selection: Any) -> list[ParkedEvent]:
    return list(Selection(**selection).of(FirestoreParkedEvents(client)))


def test_the_bytes_and_attributes_are_the_original_ones(firestore_client: Client, make: Make) -> None:
    body = '{"id": "evt_1",  "name": "花"}'.encode()
    attributes = {
        "event_id": "evt_1",
        "type": "charge.refunded",
        "livemode": "true",
        "CloudPubSubDeadLetterSourceSubscription": "record_orders",
        "googclient_schemaencoding": "JSON",
    }
    put(firestore_client, "evt_1", body=body, attributes=attributes)
    topic = Topic()
    ended = make(topic).replay(chosen(firestore_client), 0)
    assert topic.published == [
        (
            body,
            {
                "event_id": "evt_1",
                "type": "charge.refunded",
                "livemode": "true",
                "only": "record_orders",
                "parked": "evt_1_record_orders",
                "replay": "r",
            },
        )
    ]
    assert [each.outcome for each in ended] == ["not yet"]


def test_large_bytes_are_whole_again(firestore_client: Client, make: Make) -> None:
    body = b'{"id": "evt_1", "padding": "' + b"x" * 1_040_000 + b'"}'
    attributes = {"event_id": "evt_1", "type": "charge.refunded"}
    failed = Unprocessed(
        function="record_orders", message={"attributes": attributes}, event=None, body=body, reason="broken"
    )
    Parker(FirestoreStore(firestore_client), SETTINGS.mail, MovableClock(NOW)).park(failed)
    topic = Topic()
    make(topic).replay(chosen(firestore_client), 0)
    assert topic.published[0][0] == body


def test_bytes_that_only_stripe_has_are_fetched_there(
    firestore_client: Client, make: Make, server: local.StripeApi
) -> None:
    account = Account(now=int(NOW))
    account.create_customer(email="花@example.com")
    [event] = account.events
    server.put([event])
    nowhere: Json = {"body": None, "body_encoding": "at Stripe"}
    attributes = {"account": "acct_1"}
    put(firestore_client, event["id"], "index_customers", type="customer.created", attributes=attributes, **nowhere)
    put(firestore_client, "evt_gone", parked_at=NOW + 1, **nowhere)
    topic = Topic()
    gone, there = make(topic).replay(chosen(firestore_client), 0)
    assert json.loads(topic.published[0][0]) == event
    assert topic.published[0][1]["type"] == "customer.created", "else the filter of the subscription stops it"
    [request] = [each for each in server.requests() if event["id"] in each["path"]]
    assert request["account"] == "acct_1"
    assert (gone.outcome, there.outcome) == ("not published", "not yet")
    assert gone.reason.startswith("its bytes are not kept here, and Stripe does not have it any more: ")


def test_what_cannot_be_published_is_reported_and_the_others_go(firestore_client: Client, make: Make) -> None:
    put(firestore_client, "evt_1")
    put(firestore_client, "evt_2", "unknown")
    gone = put(firestore_client, "evt_3")
    events = chosen(firestore_client)
    firestore_client.document(f"parked_events/{gone}").delete()
    topic = Topic()
    ended = make(topic).replay(events, 0)
    assert {each.parked.event_id: each.outcome for each in ended} == {
        "evt_1": "not yet",
        "evt_2": "not published",
        "evt_3": "not published",
    }
    assert len(topic.published) == 1


def test_a_topic_that_is_away_breaks_it_off(firestore_client: Client, make: Make) -> None:
    class Away(Topic):
        def publish(self, data: bytes, attributes: Mapping[str, str], deadline_seconds: float) -> None:
            super().publish(data, attributes, deadline_seconds)
            raise Retry("Pub/Sub answered UNAVAILABLE")

    put(firestore_client, "evt_1")
    with pytest.raises(Retry):
        make(Away()).replay(chosen(firestore_client), 0)


def subscriber(client: Client, at: float = NOW + 60) -> Subscriber:
    return Subscriber(
        function=function("index_customers"),
        react=index_customers.react,
        settings=SETTINGS,
        store=FirestoreStore(client),
        stripe=StripeApi("sk_test_x", "http://127.0.0.1:9", MovableClock(NOW), retries=0),
        clock=MovableClock(at),
        log=JsonLog(io.StringIO()),
    )


def everything(client: Client) -> Json:
    """Every document with the time of its last write."""
    found = {}
    for collection in client.collections():
        for document in collection.stream():
            found[document.reference.path] = (document.to_dict(), document.update_time)
            for nested in document.reference.collections():
                found |= {each.reference.path: (each.to_dict(), each.update_time) for each in nested.stream()}
    return found


def test_replaying_what_meanwhile_succeeded_changes_nothing_but_the_parked_document(
    firestore_client: Client, make: Make
) -> None:
    account = Account(now=int(NOW))
    customer = account.create_customer(email="hana@example.com")
    old, function_ = account.events[0], subscriber(firestore_client)
    document = put(
        firestore_client, old["id"], "index_customers", type=old["type"], attributes={}, body=json.dumps(old).encode()
    )
    account.wait(60)
    account.update_customer(customer, email="new@example.com")
    for event in account.events:
        function_.handle(message(event))
    before = everything(firestore_client)
    for number, name in enumerate(("first", "second"), start=1):
        topic = Topic(subscriber(firestore_client, NOW + number * DAY))
        [ended] = make(topic, run=name).replay(chosen(firestore_client, include_replayed=True), 10)
        assert ended.outcome == "stale"
        after = everything(firestore_client)
        path = f"parked_events/{document}"
        assert {k: v for k, v in after.items() if k != path} == {k: v for k, v in before.items() if k != path}
        assert after[path][0]["replay"] == name
        ours = {"replayed_at", "outcome", "replay", "expires_at"}
        assert {k: v for k, v in after[path][0].items() if k not in ours} == before[path][0]


def test_what_fails_again_is_parked_again_and_said_with_its_new_reason(firestore_client: Client, make: Make) -> None:
    put(firestore_client, "evt_1", "index_customers", type="customer.created", attributes={}, body=b"[1]")
    [ended] = make(Topic(subscriber(firestore_client))).replay(chosen(firestore_client), 10)
    assert (ended.outcome, ended.reason, ended.is_well) == ("parked", "the body is not a JSON object", False)
    assert len(chosen(firestore_client)) == 1, "it can be replayed again"
    assert list(firestore_client.collection("mail").stream()) == []


def test_waiting_ends_and_costs_little_however_many_there_are(firestore_client: Client, make: Make) -> None:
    for number in range(5):
        put(firestore_client, f"evt_{number}", parked_at=NOW + number)
    replaying = make(Topic())
    looks: list[int] = []

    class Counting(FirestoreParkedEvents):
        def again(self, document_ids: Any) -> Mapping[str, ParkedEvent]:
            looks.append(len(document_ids))
            return super().again(document_ids)

    replaying = replace(replaying, kept=Counting(firestore_client))
    ended = replaying.replay(chosen(firestore_client), 60)
    assert [each.outcome for each in ended] == ["not yet"] * 5
    assert len(looks) < 45


# The report


def ended(outcome: str, number: int = 1, reason: str = "") -> Ended:
    parked = parked_event(f"evt_{number}_f", {"event_id": f"evt_{number}", "function": "f", "type": "t"})
    return Ended(parked=parked, function="f", outcome=outcome, reason=reason)


@pytest.mark.parametrize(
    ("outcomes", "waited", "is_well"),
    [
        ("", True, True),
        ("applied duplicate stale ignored", True, True),
        ("applied parked", True, False),
        ("applied not_yet", True, False),
        ("applied not_yet", False, True),
        ("not_published not_yet", False, False),
        ("would_be_replayed", True, True),
    ],
)
def test_all_is_well_if_nothing_is_left_to_be_done(outcomes: str, waited: bool, is_well: bool) -> None:
    report = Report(ended=[ended(each.replace("_", " ")) for each in outcomes.split()], waited=waited)
    assert report.is_well is is_well


def test_the_report_counts_and_names_what_is_open() -> None:
    many = [ended("parked", number, "email is not a text") for number in range(30)]
    report = Report(ended=[ended("applied"), ended("stale"), *many])
    output = io.StringIO()
    report.write(output, as_json=False)
    lines = output.getvalue().splitlines()
    assert lines[:3] == ["     1  applied", "     1  stale (something newer had come)", "    30  parked again"]
    assert lines[3] == "parked: evt_0 (t) in f: email is not a text"
    assert lines[-1] == "… and 10 more"
    output = io.StringIO()
    report.write(output, as_json=True)
    said = json.loads(output.getvalue())
    assert (said["events"], said["outcomes"]) == (32, {"applied": 1, "stale": 1, "parked": 30})
    assert len(said["open"]) == 30


# As an operator runs it, on the whole system


@pytest.fixture(scope="module")
def system(emulators: Emulators, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    environ = dict(emulators.environment()) | {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    project = f"test-{secrets.token_hex(6)}"
    with running(environ, log_directory=tmp_path_factory.mktemp("logs"), project=project) as started:
        yield started


@pytest.fixture(autouse=True)
def empty(request: pytest.FixtureRequest) -> None:
    if "system" in request.fixturenames:
        system: System = request.getfixturevalue("system")
        system.emulators.clear(system.environment["GOOGLE_CLOUD_PROJECT"])
        assert system.stripe_api
        system.stripe_api.clear()


def run(system: System, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The status, and everything that was said."""
    capsys.readouterr()
    status = main(arguments, system.environment)
    said = capsys.readouterr()
    return status, said.out + said.err


def parked_refund(system: System) -> Account:
    """An order whose events were parked, since Stripe did not know its session: as with the key of another account."""
    account = Account(now=int(NOW))
    session = account.open_session([Line("Mug", 1400)])
    account.complete(session, email="hana@example.com")
    before = len([line for line in system.function_log() if line.get("function") == "index_customers"])
    send(system.webhook_url, system.webhook_secret, account.events)
    system.settled(before + len(account.events))
    return account


def test_an_event_whose_cause_is_mended_is_replayed_and_applied(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    account = parked_refund(system)
    client = system.firestore()
    parked = {each.id for each in client.collection("parked_events").stream()}
    completed = next(each["id"] for each in account.events if each["type"] == "checkout.session.completed")
    assert f"{completed}_record_orders" in parked
    assert list(client.collection_group("orders").stream()) == []

    status, said = run(system, capsys)
    assert status == 2
    assert "record_orders: Stripe has nothing at GET" in said
    before = everything(client)
    status, said = run(system, capsys, "--all", "--dry-run")
    assert (status, "would be replayed" in said) == (0, True)
    assert everything(client) == before

    status, said = run(system, capsys, "--event", completed, "--function", "record_orders", "--json")
    assert status == 1, "nothing is mended yet"
    assert '"parked": 1' in said
    assert len(list(client.collection("parked_events").stream())) == len(parked)

    assert system.stripe_api
    system.stripe_api.put(account.api_objects())
    status, said = run(system, capsys, "--all")
    assert status == 0, said
    [order] = client.collection_group("orders").stream()
    assert order.get("status") == "paid"
    outcomes = {each.id: each.get("outcome") for each in client.collection("parked_events").stream()}
    assert outcomes[f"{completed}_record_orders"] == "applied"

    ours = {path: found for path, found in everything(client).items() if not path.startswith("parked_events/")}
    assert run(system, capsys, "--all") == (0, "Nothing parked is like that.\n")
    status, said = run(system, capsys, "--all", "--include-replayed")
    assert (status, "duplicate" in said) == (0, True)
    again = {path: found for path, found in everything(client).items() if not path.startswith("parked_events/")}
    assert again == ours


def test_a_dead_letter_from_nowhere_is_replayed_to_whom_an_operator_names(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    client, account = system.firestore(), Account(now=int(NOW))
    customer = account.create_customer(email="hana@example.com")
    [event] = account.events
    body = json.dumps(event).encode()
    put(client, event["id"], "unknown", type=event["type"], attributes={}, body=body)
    status, said = run(system, capsys, "--all")
    assert (status, "say which one with --to" in said) == (1, True)
    assert run(system, capsys, "--all", "--to", "index_customers")[0] == 0
    assert client.document(f"customers/{customer}").get().exists


def test_nobody_has_to_wait(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    put(system.firestore(), "evt_1")
    status, said = run(system, capsys, "--function", "record_orders", "--no-wait")
    assert (status, "1  published" in said) == (0, True)


def test_what_cannot_run_says_why(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(system, capsys) == (2, "Not replayed: nothing is parked.\n")
    status, said = run(system, capsys, "--since", "yesterday")
    assert (status, said.startswith("Not replayed: 'yesterday' is no time")) == (2, True)
    assert main([], {"GOOGLE_CLOUD_PROJECT": "x"}) == 2
    assert "STRIPE_API_KEY" in capsys.readouterr().err


def test_what_it_says_of_itself_is_in_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"], {})
    said = capsys.readouterr().out
    for option in ("--event", "--function", "--type", "--reason", "--since", "--until", "--all", "--include-replayed"):
        assert option in said
