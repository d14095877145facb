"""What exhausted its deliveries is parked where it failed; and support hears of many in few mails.

The Pub/Sub emulator accepts dead-letter policies and forwards nothing: tests publish what Pub/Sub would.
"""

import base64
import io
import json
import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from google.cloud.firestore import Client
from google.cloud.pubsub_v1 import PublisherClient

from functions.adapters.firestore import FirestoreStore
from functions.adapters.parked import FirestoreParkedEvents
from functions.dead_letters import DeadLetters
from functions.effects import Effect
from functions.errors import Conflict, Retry, Unexpected
from functions.log import JsonLog
from functions.mail.settings import MailSettings
from functions.mail.sweeper import each_in_turn
from functions.parking import Parker, Rest, Unprocessed, bytes_of
from functions.store import Found, Store
from functions.topology import DEAD_LETTER_TOPIC
from local.account import Account
from local.emulators import Emulators
from local.system import System, running
from tests.driving import SETTINGS
from tests.test_sweep_mail import wait_for
from tests.test_webhook import MovableClock

Json = dict[str, Any]
NOW = 1_790_000_000.0
MINUTE, QUARTER = 60.0, 900.0
SOURCE = "CloudPubSubDeadLetterSource"


def source(subscription: str, attempts: int = 30) -> dict[str, str]:
    """What Pub/Sub adds to a dead letter."""
    return {
        f"{SOURCE}DeliveryCount": str(attempts),
        f"{SOURCE}Subscription": subscription,
        f"{SOURCE}SubscriptionProject": "demo",
        f"{SOURCE}TopicPublishTime": "2026-11-24T09:00:00.000+00:00",
    }


def dead_letter(body: bytes, **attributes: str) -> Json:
    return {"data": base64.b64encode(body).decode(), "attributes": attributes, "messageId": "77"}


@dataclass
class Bench:
    """The function, and the step of the clock, on the emulator at a time that the test sets."""

    client: Client
    clock: MovableClock = field(default_factory=lambda: MovableClock(NOW))
    store: Store | None = None
    settings: MailSettings = SETTINGS.mail
    output: io.StringIO = field(default_factory=io.StringIO)

    @property
    def function(self) -> DeadLetters:
        store = self.store or FirestoreStore(self.client)
        return DeadLetters(store=store, settings=self.settings, clock=self.clock, log=JsonLog(self.output))

    def rest(self, store: Store | None = None) -> Rest:
        return Rest(
            store=store or self.store or FirestoreStore(self.client),
            parked=FirestoreParkedEvents(self.client, page=50),
            settings=self.settings,
            clock=self.clock,
            log=JsonLog(self.output),
        )

    def park(self, event: str, function: str = "record_orders", reason: str = "broken") -> None:
        message = {"attributes": {"event_id": event, "type": "charge.refunded"}}
        failed = Unprocessed(function=function, message=message, event=None, body=b"{}", reason=reason)
        Parker(self.store or FirestoreStore(self.client), self.settings, self.clock).park(failed)

    def tell(self, after: float = 0.0) -> None:
        """The step of the clock, so much later."""
        self.clock.time += after
        self.rest().run()

    def mails(self) -> list[str]:
        return sorted(each.id for each in self.client.collection("mail").stream())

    def text(self, mail: str) -> str:
        text: str = self.client.document(f"mail/{mail}").get().get("message.text")
        return text

    def parked(self) -> dict[str, Json]:
        return {each.id: each.to_dict() or {} for each in self.client.collection("parked_events").stream()}

    def notice(self) -> Json:
        return self.client.document("notices/parked").get().to_dict() or {}

    def said(self) -> list[Json]:
        return [json.loads(line) for line in self.output.getvalue().splitlines()]


@pytest.fixture
def bench(firestore_client: Client) -> Bench:
    return Bench(firestore_client)


@pytest.fixture
def account() -> Account:
    return Account(now=int(NOW))


# One dead letter


@pytest.mark.parametrize("name", ["index_customers", "projects/demo/subscriptions/index_customers"])
def test_a_dead_letter_is_parked_under_the_function_it_failed_in(bench: Bench, account: Account, name: str) -> None:
    account.create_customer(email="hana@example.com")
    [event] = account.events
    body = json.dumps(event).encode()
    attributes = {"event_id": event["id"], "type": event["type"], **source(name)}
    for _ in range(2):
        bench.function.handle(dead_letter(body, **attributes))
    [(document_id, parked)] = bench.parked().items()
    assert document_id == f"{event['id']}_index_customers"
    assert bytes_of(parked) == body
    parked.pop("body")
    assert parked == {
        "event_id": event["id"],
        "type": "customer.created",
        "function": "index_customers",
        "reason": "still failing after 30 deliveries",
        "detail": None,
        "attributes": attributes,
        "livemode": False,
        "body_encoding": None,
        "parked_at": NOW,
        "told": True,
    }
    assert bench.mails() == [f"parked_{event['id']}_index_customers"]
    assert [(line["severity"], line["source"]) for line in bench.said()] == [("ERROR", "index_customers")] * 2
    assert "hana" not in bench.output.getvalue()


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({}, "unknown"),
        (source(""), "unknown"),
        (source("bigquery_of_somebody"), "bigquery_of_somebody"),
        (source("stripe_webhook"), "stripe_webhook"),
    ],
)
def test_a_dead_letter_from_nowhere_is_parked_all_the_same(bench: Bench, attributes: dict[str, str], name: str) -> None:
    bench.function.handle(dead_letter(b"not JSON", event_id="evt_1", **attributes))
    [(document_id, parked)] = bench.parked().items()
    assert (document_id, parked["function"], bytes_of(parked)) == (f"evt_1_{name}", name, b"not JSON")
    assert "--to" in bench.text(f"parked_evt_1_{name}")


def test_two_that_nobody_knows_are_two_failures(bench: Bench) -> None:
    for name in ("renamed", "removed"):
        bench.function.handle(dead_letter(b"not JSON", event_id="evt_1", **source(name)))
    assert sorted(bench.parked()) == ["evt_1_removed", "evt_1_renamed"]


def test_what_was_mended_and_fails_again_is_parked_again(bench: Bench) -> None:
    message = dead_letter(b"not JSON", event_id="evt_1", **source("record_orders"))
    bench.function.handle(message)
    [reference] = list(bench.client.collection("parked_events").list_documents())
    reference.update({"replayed_at": NOW, "outcome": "applied", "replay": "r"})
    bench.function.handle(message)
    assert "outcome" not in bench.parked()["evt_1_record_orders"]


def test_a_dead_letter_without_anything_is_parked_under_its_message(bench: Bench) -> None:
    bench.function.handle({"data": "§", "messageId": "77"})
    assert list(bench.parked()) == ["77_unknown"]
    assert bench.parked()["77_unknown"]["reason"] == "still failing at its end"


@pytest.mark.parametrize("name", ["sweep_mail", "send_due_reminders"])
def test_a_tick_is_no_event_and_only_said(bench: Bench, name: str) -> None:
    bench.function.handle(dead_letter(b"tick", function=name, **source(name, 5)))
    bench.function.handle(dead_letter(b"tick", function=name))
    assert (bench.parked(), bench.mails()) == ({}, [])
    assert [line["severity"] for line in bench.said()] == ["ERROR", "ERROR"]
    assert bench.said()[0]["message"] == f"a tick of {name} is given up: still failing after 5 deliveries"


def test_an_event_that_is_parked_already_stays_as_it_is(bench: Bench) -> None:
    bench.park("evt_1", reason="email is not a text")
    before = bench.parked()
    bench.function.handle(dead_letter(b"{}", event_id="evt_1", **source("record_orders")))
    assert bench.parked() == before
    assert bench.mails() == ["parked_evt_1_record_orders"]


def test_a_replay_that_exhausted_its_deliveries_is_parked_again_in_its_own_document(bench: Bench) -> None:
    bench.park("evt_1", function="unknown")
    replayed = {"only": "record_orders", "parked": "evt_1_unknown", "replay": "r"}
    bench.function.handle(dead_letter(b"{}", event_id="evt_1", **replayed, **source("record_orders")))
    [(document_id, parked)] = bench.parked().items()
    assert (document_id, parked["outcome"], parked["replay"]) == ("evt_1_unknown", "parked", "r")
    assert parked["reason"] == "still failing after 30 deliveries"


@dataclass
class Failing:
    """A database that answers each commit with a problem."""

    store: Store
    problem: Exception
    times: int = 1_000

    def read(self, paths: Sequence[str]) -> Mapping[str, Found]:
        return self.store.read(paths)

    def commit(self, effects: Iterable[Effect], found: Mapping[str, Found]) -> None:
        if self.times:
            self.times -= 1
            raise self.problem
        self.store.commit(effects, found)


@pytest.mark.parametrize(
    ("problem", "raised", "severity"),
    [
        (Retry("Firestore answered ServiceUnavailable"), Retry, "WARNING"),
        (Conflict("Aborted"), Retry, "WARNING"),
        (KeyError("hana@example.com"), Unexpected, "ERROR"),
    ],
)
def test_a_dead_letter_that_cannot_be_kept_now_comes_again(
    bench: Bench, problem: Exception, raised: type[Exception], severity: str
) -> None:
    bench.store = Failing(FirestoreStore(bench.client), problem)
    with pytest.raises(raised):
        bench.function.handle(dead_letter(b"{}", event_id="evt_1", **source("record_orders")))
    assert [line["severity"] for line in bench.said()] == [severity]
    assert "hana" not in bench.output.getvalue()
    bench.store = None
    bench.function.handle(dead_letter(b"{}", event_id="evt_1", **source("record_orders")))
    assert list(bench.parked()) == ["evt_1_record_orders"]


# Many


def test_a_storm_is_told_at_once_and_once_more_after_a_quarter_of_an_hour(bench: Bench) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: bench.park(f"evt_{number}"), range(200)))
    assert len(bench.parked()) == 200
    assert [parked["told"] for parked in bench.parked().values()].count(True) == 1
    [first] = bench.mails()
    # Who collided waited a moment.
    bench.clock.time = NOW
    for _ in range(2):
        bench.tell(5 * MINUTE)
        assert bench.mails() == [first]
    bench.tell(5 * MINUTE + 10)
    [_, more] = bench.mails()
    mail = bench.client.document(f"mail/{more}").get().to_dict() or {}
    assert (mail["mail"], mail["to"]) == ("parked_more", [SETTINGS.mail.support_email])
    assert "199件" in mail["message"]["subject"]
    assert "record_orders：broken：199 件" in mail["message"]["text"]
    for _ in range(12):
        bench.tell(5 * MINUTE)
    assert bench.mails() == [first, more]


def test_the_most_frequent_reasons_are_named_and_the_others_counted(bench: Bench) -> None:
    bench.park("evt_first")
    for number in range(12):
        for again in range(12 - number):
            bench.park(f"evt_{number}_{again}", reason=f"reason {number}")
    bench.tell(QUARTER)
    text = bench.text(bench.mails()[-1])
    assert "record_orders：reason 0：12 件" in text
    assert "reason 9" in text
    assert "reason 10" not in text
    assert "その他の理由：3 件" in text


def test_what_comes_now_and_then_is_told_at_once_each_time(bench: Bench) -> None:
    for number in range(4):
        bench.park(f"evt_{number}")
        bench.tell(QUARTER)
    assert bench.mails() == [f"parked_evt_{number}_record_orders" for number in range(4)]
    # And what was told is not read again and again.
    bench.tell(QUARTER)
    assert bench.notice()["told_until"] == NOW + 3 * QUARTER


def test_what_waits_to_be_told_goes_before_what_comes_later(bench: Bench) -> None:
    """Else events that come one by one, always a little earlier than the clock, would keep it waiting for ever."""
    bench.park("evt_1")
    bench.clock.time += 1
    bench.park("evt_untold")
    bench.tell(5 * MINUTE)
    assert bench.notice()["waiting"] is True
    bench.clock.time = NOW + QUARTER
    bench.park("evt_3")
    assert bench.mails() == ["parked_evt_1_record_orders"]
    bench.tell(3 * MINUTE)
    assert "2件" in bench.client.document(f"mail/{bench.mails()[-1]}").get().get("message.subject")
    assert bench.notice()["waiting"] is False


def test_a_clock_that_has_stopped_keeps_nobody_from_telling(bench: Bench) -> None:
    bench.park("evt_1")
    bench.park("evt_2")
    bench.tell(5 * MINUTE)
    bench.clock.time += 2 * QUARTER
    bench.park("evt_3")
    assert "parked_evt_3_record_orders" in bench.mails()


@pytest.mark.parametrize("behind", [1.0, 30.0, 110.0])
def test_an_instance_whose_clock_is_behind_is_not_passed_over(bench: Bench, behind: float) -> None:
    bench.park("evt_1")
    bench.park("evt_2")
    slow = replace(bench, clock=MovableClock(NOW + QUARTER - behind))
    bench.tell(QUARTER)
    slow.park("evt_late")
    assert bench.mails()[-1].startswith("parked_more_")
    bench.tell(QUARTER + MINUTE)
    counted = [bench.client.document(f"mail/{each}").get().get("message.subject") for each in bench.mails()[1:]]
    assert ["1件" in subject for subject in counted] == [True, True]


@pytest.mark.parametrize("turn", range(4))
def test_two_sweepers_at_once_tell_once(bench: Bench, turn: int) -> None:
    for number in range(40 + turn):
        bench.park(f"evt_{number}")
    bench.clock.time += QUARTER
    barrier = threading.Barrier(4)

    def run(_: int) -> None:
        barrier.wait()
        bench.rest().run()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    assert len(bench.mails()) == 2
    assert len(bench.said()) == 1


def test_a_parking_between_the_read_and_the_mail_of_the_clock_is_told_once(bench: Bench) -> None:
    """The notice is not as it was: the run tells nothing, and the next one everything."""
    bench.park("evt_1")
    bench.park("evt_2")
    bench.clock.time += QUARTER

    class Slow(FirestoreStore):
        def commit(self, effects: Iterable[Effect], found: Mapping[str, Found]) -> None:
            bench.park("evt_3")
            super().commit(effects, found)

    bench.rest(Slow(bench.client)).run()
    assert bench.mails() == ["parked_evt_1_record_orders", "parked_evt_3_record_orders"]
    bench.tell(5 * MINUTE)
    bench.tell(10 * MINUTE)
    assert len(bench.mails()) == 3
    assert "1件" in bench.client.document(f"mail/{bench.mails()[-1]}").get().get("message.subject")


def test_a_run_that_dies_before_its_commit_is_made_up_for(bench: Bench) -> None:
    bench.park("evt_1")
    bench.park("evt_2")
    bench.clock.time += QUARTER
    with pytest.raises(Retry):
        bench.rest(Failing(FirestoreStore(bench.client), Retry("away"))).run()
    assert len(bench.mails()) == 1
    bench.tell()
    bench.tell()
    assert len(bench.mails()) == 2


def test_a_parking_that_dies_between_is_made_up_for(bench: Bench) -> None:
    bench.store = Failing(FirestoreStore(bench.client), Retry("away"), times=1)
    with pytest.raises(Retry):
        bench.park("evt_1")
    assert (bench.parked(), bench.mails(), bench.notice()) == ({}, [], {})
    bench.park("evt_1")
    assert (bench.parked()["evt_1_record_orders"]["told"], len(bench.mails())) == (True, 1)


def test_what_was_mended_meanwhile_is_not_told(bench: Bench) -> None:
    for number in range(4):
        bench.park(f"evt_{number}")
    bench.client.document("parked_events/evt_1_record_orders").update({"replayed_at": NOW, "outcome": "applied"})
    bench.client.document("parked_events/evt_2_record_orders").update({"replayed_at": NOW, "outcome": "parked"})
    bench.tell(QUARTER)
    assert "2件" in bench.client.document(f"mail/{bench.mails()[-1]}").get().get("message.subject")


def test_a_storm_that_is_mended_before_it_is_told_is_never_told(bench: Bench) -> None:
    bench.park("evt_1")
    bench.park("evt_2")
    bench.tell(5 * MINUTE)
    bench.client.document("parked_events/evt_2_record_orders").update({"replayed_at": NOW, "outcome": "applied"})
    bench.tell(QUARTER)
    assert (len(bench.mails()), bench.notice()["waiting"]) == (1, False)


def test_whoever_does_not_want_to_hear_of_it_hears_nothing(bench: Bench) -> None:
    bench.settings = replace(SETTINGS.mail, disabled=frozenset({"parked"}))
    for number in range(3):
        bench.park(f"evt_{number}")
        bench.tell(QUARTER)
    assert (bench.mails(), bench.notice(), len(bench.parked())) == ([], {}, 3)


def test_the_mail_about_many_can_be_off_alone(bench: Bench) -> None:
    bench.settings = replace(SETTINGS.mail, disabled=frozenset({"parked_more"}))
    bench.park("evt_1")
    bench.park("evt_2")
    bench.tell(QUARTER)
    assert bench.mails() == ["parked_evt_1_record_orders"]
    assert bench.notice() == {"mailed_at": NOW, "told_until": NOW, "waiting": False}


def test_nothing_parked_costs_one_read(bench: Bench) -> None:
    class Refusing(FirestoreParkedEvents):
        def between(self, after: float, until: float) -> Iterator[Any]:
            raise AssertionError((after, until))

    replace(bench.rest(), parked=Refusing(bench.client)).run()
    assert bench.notice() == {}


def test_what_was_parked_before_there_was_a_notice_is_taken_as_told(bench: Bench) -> None:
    """Each had a mail of its own then."""
    bench.client.document("parked_events/old").set({"parked_at": NOW - 60, "function": "f", "reason": "r"})
    bench.park("evt_1")
    bench.tell(QUARTER)
    assert len(bench.mails()) == 1


def test_every_step_of_the_clock_is_made_whatever_becomes_of_the_others() -> None:
    made: list[str] = []

    def fails() -> None:
        made.append("fails")
        raise Retry("away")

    with pytest.raises(Retry):
        each_in_turn((fails, lambda: made.append("goes on")))
    assert made == ["fails", "goes on"]


# As a function of the system


@pytest.fixture(scope="module")
def system(emulators: Emulators, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    environ = dict(emulators.environment()) | {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    project = f"test-{secrets.token_hex(6)}"
    with running(environ, log_directory=tmp_path_factory.mktemp("logs"), project=project) as started:
        yield started


def test_what_pubsub_gives_up_is_pushed_and_parked_and_told_by_the_clock(system: System) -> None:
    client = system.firestore()
    with PublisherClient() as publisher:
        topic = publisher.topic_path(system.environment["GOOGLE_CLOUD_PROJECT"], DEAD_LETTER_TOPIC)
        for number in range(3):
            attributes = {"event_id": f"evt_{number}", "type": "charge.refunded", **source("record_orders")}
            publisher.publish(topic, b"{}", **attributes).result(timeout=10)
    wait_for(lambda: len(list(client.collection("parked_events").stream())) == 3)
    assert len(list(client.collection("mail").stream())) == 1
    # A quarter of an hour ago.
    client.document("notices/parked").update({"mailed_at": 0, "told_until": 0})
    for each in client.collection("parked_events").stream():
        each.reference.update({"parked_at": 1_700_000_000.0})
    system.tick("sweep_mail")
    wait_for(lambda: len(list(client.collection("mail").stream())) == 2)
    assert [line["parked"] for line in system.function_log() if "parked" in line] == [2]
