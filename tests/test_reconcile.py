"""What Stripe could not deliver is found and published as the webhook would have: once, whatever breaks off.

On the Firestore and Pub/Sub emulators, with the local Stripe API behind the official client.
"""

import io
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from google.cloud.firestore import Client
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from hypothesis import given, settings
from hypothesis import strategies as st

from functions import paths
from functions.accounts.budget import Budget
from functions.adapters.clock import SystemClock
from functions.adapters.firestore import FirestoreStore
from functions.adapters.pubsub import PubSubTopic
from functions.adapters.stripe import StripeApi
from functions.errors import Permanent, Retry
from functions.log import JsonLog
from functions.operations.reconcile import as_json, as_lines, main, reconcile
from functions.operations.rehearsal import Rehearsal
from functions.reactions import index_customers, record_orders, track_subscriptions
from functions.reconcile import memory
from functions.reconcile.course import Course, Overtaken
from functions.reconcile.memory import Memory
from functions.reconcile.reconciler import Reconciler, Stripe, go_on
from functions.reconcile.window import Window, is_ours, next_window, window_since
from functions.store import Found, Store
from functions.stripe_events import StripeEvent, event_of
from functions.topology import CLOCK_TOPIC, EVENT_TYPES, TOPIC, function
from functions.webhook import Publisher, attributes
from local import stripe_api as local
from local.account import Account
from local.emulators import Emulators
from local.system import running
from tests.billing_stories import billing_accounts
from tests.driving import World
from tests.stories import accounts, without_traces
from tests.test_backfill import Slots
from tests.test_webhook import MovableClock

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent
DAY, HOUR = 86_400, 3600
NOW = 1_790_000_000


def an_event(number: int, *, created: int = NOW - HOUR, pending: int = 1, **fields: Any) -> Json:
    customer = {"id": f"cus_{number}", "object": "customer", "created": created, "email": "é@example.com"}
    return {
        "id": f"evt_{number:05d}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": created,
        "data": {"object": customer},
        "livemode": False,
        "pending_webhooks": pending,
        "type": "customer.created",
    } | fields


class Taken:
    """A topic in memory, which may fail."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, dict[str, str]]] = []
        #: How many are taken before it fails for good; None for all.
        self.left: int | None = None

    def publish(self, data: bytes, attributes: Mapping[str, str], deadline_seconds: float) -> None:
        assert deadline_seconds > 0
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Retry("Pub/Sub answered UNAVAILABLE")
        self.messages.append((data, dict(attributes)))

    @property
    def ids(self) -> list[str]:
        return sorted(each["event_id"] for _, each in self.messages)


class Empty:
    """A database in which nothing is."""

    def read(self, paths: Any) -> Mapping[str, Found]:
        return {path: Found(None) for path in paths}

    def commit(self, effects: Any, found: Any) -> None:
        raise AssertionError(f"nothing is written here: {effects} {found}")


def in_memory() -> Rehearsal:
    return Rehearsal(Empty())


class Listing:
    """Stripe's list of events, in memory."""

    def __init__(self, events: list[Json], size: int = 100) -> None:
        self.events = events
        self.size = size
        self.filters: list[dict[str, Any]] = []

    def page(self, path: str, filters: dict[str, Any], after: str | None) -> tuple[list[Json], bool]:
        assert path == "/v1/events"
        self.filters.append(filters)
        since, until = int(filters["created"]["gte"]), int(filters["created"]["lt"])
        listed = [
            each
            for each in sorted(self.events, key=lambda each: (each["created"], each["id"]), reverse=True)
            if since <= each["created"] < until and (each["pending_webhooks"] or "delivery_success" not in filters)
        ]
        ids = [each["id"] for each in listed]
        rest = listed[ids.index(after) + 1 if after else 0 :]
        return rest[: self.size], len(rest) > self.size


@dataclass
class Bench:
    """A reconciler and everything around it."""

    stripe: Stripe
    store: Store = field(default_factory=in_memory)
    topic: Any = field(default_factory=Taken)
    clock: MovableClock = field(default_factory=lambda: MovableClock(NOW))
    slots: Slots = field(default_factory=Slots)
    output: io.StringIO = field(default_factory=io.StringIO)

    def reconciler(self, **changes: Any) -> Reconciler:
        wired: dict[str, Any] = {
            "livemode": None,
            "forward_all": False,
            "stripe": self.stripe,
            "budget": self.slots,
            "publisher": self.topic,
            "store": self.store,
            "clock": self.clock,
            "log": JsonLog(self.output),
        }
        return Reconciler(**{**wired, **changes})

    def run(self, **changes: Any) -> bool:
        return self.reconciler(**changes).run()

    def log(self) -> list[Json]:
        return [json.loads(line) for line in self.output.getvalue().splitlines()]

    def state(self) -> Json:
        found = self.store.read([paths.operation("reconcile")])[paths.operation("reconcile")].fields
        assert found is not None
        return found


@pytest.fixture(scope="module")
def server() -> Iterator[local.StripeApi]:
    with local.StripeApi() as running:
        yield running


# Which events


def test_a_run_looks_at_three_days_and_at_what_happened_since_the_last_complete_one() -> None:
    assert next_window(NOW, None) == Window(NOW - 300 - 3 * DAY, NOW - 300)
    assert next_window(NOW, NOW - 300 - HOUR) == Window(NOW - 300 - HOUR - 3 * DAY, NOW - 300)
    assert next_window(NOW, NOW - 10 * DAY) == Window(NOW - 13 * DAY, NOW - 300)
    # Stripe keeps none that are older, and no clock is right that was ahead.
    assert next_window(NOW, NOW - 300 * DAY) == Window(NOW - 30 * DAY, NOW - 300)
    assert next_window(NOW, NOW + 5 * DAY) == next_window(NOW, None)


def test_an_operator_says_since_when() -> None:
    assert window_since("3d", NOW) == Window(NOW - 3 * DAY, NOW - 300)
    assert window_since("12h", NOW) == Window(NOW - 12 * HOUR, NOW - 300)
    assert window_since("2026-09-20", 1_790_000_000.5).since == 1_789_862_400
    for wrong, said in (
        ("31d", "30 days"),
        ("2025-01-01", "30 days"),
        ("2027-01-01", "nothing to look at"),
        ("0d", "nothing to look at"),
        ("yesterday", "neither a day"),
        ("2026-13-01", "neither a day"),
        ("", "neither a day"),
    ):
        with pytest.raises(ValueError, match=said):
            window_since(wrong, NOW)


@pytest.mark.parametrize("livemode", [None, True, False])
@pytest.mark.parametrize("forward_all", [True, False])
@pytest.mark.parametrize("event_type", ["customer.created", "charge.succeeded"])
@pytest.mark.parametrize("is_live", [True, False])
def test_what_is_ours_is_what_the_webhook_publishes(
    livemode: bool | None, forward_all: bool, event_type: str, is_live: bool
) -> None:
    event = event_of(an_event(1, type=event_type, livemode=is_live))
    wanted = (livemode is None or livemode is is_live) and (forward_all or event_type in EVENT_TYPES)
    assert is_ours(event, livemode=livemode, forward_all=forward_all) is wanted


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10**9)), unique_by=lambda each: each[1], max_size=60))
def test_what_was_published_is_known_for_as_long_as_stripe_lists_it(ages: list[tuple[int, int]]) -> None:
    events = [event_of(an_event(number, created=NOW - days * DAY)) for days, number in ages]
    known = Memory().after(events, NOW)
    again = Memory.of(known.fields())
    assert again == known
    for event in events:
        assert again.knows(event) or event.created <= NOW - 30 * DAY
    assert not again.knows(event_of(an_event(10**9 + 1)))
    assert all(day * DAY > NOW - 32 * DAY for day in again.days)


def test_what_is_remembered_is_bounded_and_the_oldest_is_forgotten_first() -> None:
    old, new = (
        [event_of(an_event(number + start, created=NOW - start)) for number in range(30)] for start in (5 * DAY, 60)
    )
    known = Memory().after(old, NOW, most=40).after(new, NOW, most=40)
    assert all(known.knows(each) for each in new)
    assert sum(known.knows(each) for each in old) == 10
    # Half of what one document may have.
    assert memory.MOST * 8 < 2**20 / 2


# A run


def test_what_could_not_be_delivered_is_published_as_the_webhook_would_have() -> None:
    events = [
        an_event(1),
        an_event(2, pending=0),
        an_event(3, type="charge.succeeded"),
        an_event(4, account="acct_1", livemode=True),
        an_event(5, created=NOW - 200),
        an_event(6, created=NOW - 4 * DAY),
    ]
    bench = Bench(Listing(events))
    assert bench.run() is False
    assert bench.topic.ids == ["evt_00001", "evt_00004"]
    for data, said in bench.topic.messages:
        assert said == attributes(event_of(json.loads(data)))
        assert json.loads(data) in events
    line = bench.log()[-1]
    assert (line["severity"], line["function"]) == ("WARNING", "reconcile")
    assert (line["looked_at"], line["ours"], line["published"], line["is_complete"]) == (3, 2, 2, True)
    assert line["by_type"] == {"customer.created": 2}
    assert "example.com" not in bench.output.getvalue()
    # What was on its way then is looked at by the next one, and nothing is published twice.
    bench.clock.sleep(HOUR)
    bench.run()
    assert bench.topic.ids == ["evt_00001", "evt_00004", "evt_00005"]
    assert (bench.log()[-1]["known"], bench.log()[-1]["published"]) == (2, 1)
    bench.clock.sleep(HOUR)
    bench.run()
    assert bench.log()[-1]["severity"] == "INFO"
    assert len(bench.topic.messages) == 3


def test_only_the_mode_and_the_types_of_the_webhook_are_published() -> None:
    events = [an_event(1), an_event(2, livemode=True), an_event(3, livemode=True, type="charge.succeeded")]
    for changes, wanted in (
        ({"livemode": True}, ["evt_00002"]),
        ({"livemode": False}, ["evt_00001"]),
        ({"forward_all": True}, ["evt_00001", "evt_00002", "evt_00003"]),
    ):
        bench = Bench(Listing(events))
        bench.run(**changes)
        assert bench.topic.ids == wanted


def test_a_page_costs_one_slot_and_a_quiet_hour_one_page() -> None:
    bench = Bench(Listing([]))
    bench.run()
    assert (bench.slots.taken, len(bench.stripe.filters)) == (1, 1)  # type: ignore[attr-defined]
    assert bench.log()[-1]["severity"] == "INFO"
    bench = Bench(Listing([an_event(number) for number in range(250)]))
    bench.run()
    assert bench.slots.taken == 3
    assert len(bench.topic.messages) == 250


def test_what_is_no_event_is_said_and_keeps_nobody_waiting() -> None:
    bench = Bench(Listing([an_event(1), an_event(2, type=None), an_event(3)]))
    bench.run()
    assert bench.topic.ids == ["evt_00001", "evt_00003"]
    assert [line["severity"] for line in bench.log()] == ["ERROR", "WARNING"]
    assert bench.log()[-1]["unreadable"] == 1


def test_a_run_whose_time_is_up_asks_for_one_that_goes_on() -> None:
    bench = Bench(Listing([an_event(number, created=NOW - HOUR - number) for number in range(40)], size=10))
    asked: list[Mapping[str, str]] = []

    class Clocked:
        def publish(self, data: bytes, attributes: Mapping[str, str], deadline_seconds: float) -> None:
            assert data
            assert deadline_seconds
            asked.append(attributes)

    class Slow(Taken):
        def publish(self, data: bytes, attributes: Mapping[str, str], deadline_seconds: float) -> None:
            super().publish(data, attributes, deadline_seconds)
            bench.clock.sleep(1)

    bench.topic = Slow()
    runs = 0
    while len(asked) == runs:
        runs += 1
        go_on(bench.reconciler(budget_seconds=15), Clocked())
    assert runs == 3
    assert asked == [{"function": "reconcile"}] * 2
    assert [line["is_complete"] for line in bench.log()] == [False, False, True]
    # The event of the second in which it was broken off is looked at twice and published once.
    assert sum(line["looked_at"] for line in bench.log()) == 42
    assert bench.topic.ids == [f"evt_{number:05d}" for number in range(40)]
    assert bench.state()["counts"]["published"] == 40
    # The window is that of the first run: the next one begins where it ended.
    assert bench.state()["completed_until"] == NOW - 300


@pytest.mark.parametrize("seed", range(8))
def test_broken_off_anywhere_it_goes_on_and_nothing_is_left_out(seed: int) -> None:
    random = Random(seed)
    events = [an_event(number, created=NOW - HOUR - random.randint(0, 30)) for number in range(60)]
    bench, broken = Bench(Listing(events, size=7)), 0
    while True:
        bench.topic.left = random.randint(8, 25)
        bench.clock.sleep(60)
        try:
            assert bench.run() is False
            break
        except Retry:
            broken += 1
            assert bench.log()[-1]["reason"] == "Pub/Sub answered UNAVAILABLE"
    assert broken > 1
    assert set(bench.topic.ids) == {each["id"] for each in events}
    # No more than the page that it was at, each time.
    assert len(bench.topic.ids) <= 60 + 7 * broken


def test_one_that_was_broken_off_for_weeks_goes_on_and_the_next_one_looks_at_the_rest() -> None:
    events = [an_event(number, created=NOW - HOUR - number) for number in range(20)]
    bench = Bench(Listing(events, size=10))
    bench.topic.left = 15
    with pytest.raises(Retry):
        bench.run()
    bench.clock.sleep(28 * DAY)
    events.append(an_event(50, created=NOW + 20 * DAY))
    bench.topic.left = None
    bench.run()
    bench.run()
    assert set(bench.topic.ids) == {each["id"] for each in events}


def test_a_database_or_a_stripe_that_does_not_answer_is_a_retry() -> None:
    class Away(Listing):
        def page(self, path: str, filters: dict[str, Any], after: str | None) -> tuple[list[Json], bool]:
            super().page(path, filters, after)
            raise Retry("Stripe answered 503")

    bench = Bench(Away([]))
    with pytest.raises(Retry):
        bench.run()
    # Asked three times, each with a slot of its own.
    assert bench.slots.taken == 3
    assert bench.log()[-1]["severity"] == "WARNING"

    class Gone(Empty):
        def read(self, paths: Any) -> Mapping[str, Found]:
            raise Retry(f"{paths} cannot be read")

    with pytest.raises(Retry):
        Bench(Listing([]), store=Gone()).run()


def test_of_two_at_once_the_later_one_goes_on() -> None:
    events = [an_event(number, created=NOW - HOUR - number) for number in range(30)]

    class Beside(Listing):
        is_first = True

        def page(self, path: str, filters: dict[str, Any], after: str | None) -> tuple[list[Json], bool]:
            if after and self.is_first:
                self.is_first = False
                assert Bench(Listing(events, size=10), bench.store, topic=bench.topic).run() is False
            return super().page(path, filters, after)

    bench = Bench(Beside(events, size=10))
    assert bench.run() is False
    # The first one has noted a page until it met the other one's mark.
    assert [(line["published"], line["is_complete"]) for line in bench.log()] == [(10, False)]
    assert set(bench.topic.ids) == {each["id"] for each in events}
    assert bench.state()["finished_at"]


# By hand


def test_everything_of_a_period_is_published_however_often_it_was_before() -> None:
    events = [an_event(1), an_event(2, pending=0), an_event(3, pending=0, type="charge.succeeded")]
    bench = Bench(Listing(events))
    bench.run()
    for _ in range(2):
        bench.topic.messages.clear()
        course = reconcile(bench.reconciler(), since="12h", everything=True)
        assert bench.topic.ids == ["evt_00001", "evt_00002"]
        assert (course.counts.looked_at, course.counts.ours, course.counts.published) == (3, 2, 2)
    undelivered = reconcile(bench.reconciler(), since="12h", everything=False)
    assert (undelivered.counts.known, undelivered.counts.published) == (1, 0)
    assert as_json(undelivered)["asked"] == "undelivered since 12h"
    lines = "\n".join(as_lines(course, dry_run=False))
    assert "looked at 3, ours 2, known 0, published 2" in lines
    assert "customer.created" in lines
    assert "would be published 0" in "\n".join(as_lines(undelivered, dry_run=True))


def test_the_same_asked_again_goes_on_where_it_was_broken_off() -> None:
    events = [an_event(number, created=NOW - HOUR - number, pending=0) for number in range(20)]
    bench = Bench(Listing(events, size=5))
    bench.topic.left = 12
    with pytest.raises(Retry):
        reconcile(bench.reconciler(), since="3d", everything=True)
    before = len(bench.topic.messages)
    bench.topic.left = None
    # Something else begins anew, and the clock's run has nothing to do with it.
    bench.run()
    course = reconcile(bench.reconciler(), since="3d", everything=True)
    assert course.counts.published == 21
    assert len(bench.topic.messages) - before == 11
    bench.topic.messages.clear()
    assert reconcile(bench.reconciler(), since="3d", everything=True).counts.published == 20
    bench.topic.left = 12
    with pytest.raises(Retry):
        reconcile(bench.reconciler(), since="3d", everything=True)
    bench.topic.left = None
    assert reconcile(bench.reconciler(), since="3d", everything=True, restart=True).counts.published == 20


def test_what_was_taken_over_by_hand_stops() -> None:
    bench = Bench(Listing([an_event(1)]))
    reconciler = bench.reconciler()

    def begin() -> Course:
        window = window_since("3d", NOW)
        return Course.open(
            bench.store, bench.clock, "operations/x", str(id(object())), asked="x", window=lambda _: window
        )

    first = begin()
    first.mark = "first"
    begin().mark = "second"
    with pytest.raises(Overtaken):
        reconciler.go_through(first, undelivered=True, seconds=60)


def test_a_wrong_argument_or_setting_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"GOOGLE_CLOUD_PROJECT": "demo", "STRIPE_API_KEY": "sk_test_x", "STRIPE_API_BASE": "http://127.0.0.1:1"}
    assert main([], {"GOOGLE_CLOUD_PROJECT": "demo"}) == 2
    assert "STRIPE_API_KEY" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--until", "now"], environ)


# On the emulators


@pytest.fixture
def publishing(publisher: PublisherClient, project: str) -> Callable[[str], Publisher]:
    def topic(name: str) -> Publisher:
        publisher.create_topic(name=publisher.topic_path(project, name))
        return PubSubTopic(lambda: publisher, project, name, SystemClock())

    return topic


def pulling(client: SubscriberClient, project: str, topic: str) -> Callable[[], list[Any]]:
    """Takes every message out of a subscription to a topic."""
    subscription = client.subscription_path(project, f"{topic}-everything")
    client.create_subscription(name=subscription, topic=client.topic_path(project, topic))

    def pull() -> list[Any]:
        found: list[Any] = []
        while answer := client.pull(
            request={"subscription": subscription, "max_messages": 100, "return_immediately": True}
        ).received_messages:
            client.acknowledge(subscription=subscription, ack_ids=[each.ack_id for each in answer])
            found += [each.message for each in answer]
        return found

    return pull


def test_through_firestore_pubsub_and_the_official_client(
    project: str, firestore_client: Client, server: local.StripeApi, publishing: Callable[[str], Publisher]
) -> None:
    clock = SystemClock()
    now = int(clock.now())
    events = [an_event(number, created=now - HOUR - number, pending=number % 2) for number in range(240)]
    server.put([*events, an_event(999, created=now - 10)])
    store = FirestoreStore(firestore_client)
    topic, ticks = publishing(TOPIC), publishing(CLOCK_TOPIC)
    bench = Bench(StripeApi("sk_test_x", server.url, clock, retries=0), store, topic)
    with SubscriberClient() as client:
        pull, pull_ticks = pulling(client, project, TOPIC), pulling(client, project, CLOCK_TOPIC)
        wired = {"clock": clock, "budget": Budget(store, clock)}
        # No time at all is a page.
        go_on(bench.reconciler(**wired, budget_seconds=0), ticks)
        assert [dict(each.attributes) for each in pull_ticks()] == [{"function": "reconcile"}]
        assert len(pull()) == 100
        go_on(bench.reconciler(**wired), ticks)
        assert pull_ticks() == []
        messages = pull()
        assert len(messages) == 20
        by_id = {each["id"]: each for each in events}
        for message in messages:
            assert json.loads(message.data) == by_id[message.attributes["event_id"]]
            assert dict(message.attributes) == attributes(event_of(json.loads(message.data)))
        go_on(bench.reconciler(**wired), ticks)
        assert pull() == []
    lines = bench.log()
    assert [line["published"] for line in lines[:2]] == [100, 20]
    assert lines[2]["known"] == 120
    server.clear()


def test_the_command_reports_and_a_rehearsal_leaves_nothing_behind(
    project: str, firestore_client: Client, server: local.StripeApi, publishing: Callable[[str], Publisher]
) -> None:
    now = int(SystemClock().now())
    server.put([an_event(1, created=now - HOUR), an_event(2, created=now - HOUR, pending=0)])
    publishing(TOPIC)
    environ = os.environ | {
        "GOOGLE_CLOUD_PROJECT": project,
        "STRIPE_API_KEY": "sk_test_x",
        "STRIPE_API_BASE": server.url,
        "FIRESTORE_DATABASE": "(default)",
        "STRIPE_LIVEMODE": "",
    }

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "functions.operations.reconcile", *arguments]
        return subprocess.run(words, env=environ, cwd=ROOT, capture_output=True, text=True, check=False)

    with SubscriberClient() as client:
        pull = pulling(client, project, TOPIC)
        rehearsed = command("--all", "--since", "2d", "--dry-run")
        assert rehearsed.returncode == 0, rehearsed.stderr
        assert "would be published 2" in rehearsed.stdout
        assert "2 looked at, 2 ours, 2 published" in rehearsed.stderr
        assert pull() == []
        assert [each.id for each in firestore_client.collection("operations").stream()] == []
        done = command("--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["published"] == 1
        assert [each.attributes["event_id"] for each in pull()] == ["evt_00001"]
    assert command("--since", "40d").returncode == 2
    server.clear()


def test_the_list_of_events_is_validated_as_stripe_does(server: local.StripeApi) -> None:
    server.put([an_event(1), an_event(2, pending=0)])
    api = StripeApi("sk_test_x", server.url, MovableClock(), retries=0)

    def listed(**filters: Any) -> list[str]:
        return sorted(each["id"] for each in api.page("/v1/events", filters, None)[0])

    assert listed(delivery_success="false") == ["evt_00001"]
    assert listed(delivery_success="true") == ["evt_00002"]
    assert listed(created={"gte": NOW - HOUR}) == ["evt_00001", "evt_00002"]
    assert listed(created={"lt": NOW - HOUR}) == []
    for wrong in ({"delivery_success": "maybe"}, {"created": {"gte": "yesterday"}}, {"delivered": "false"}):
        with pytest.raises(Permanent):
            listed(**wrong)
    server.clear()


def test_the_deployed_function_brings_what_the_webhook_never_had(emulators: Emulators, tmp_path: Path) -> None:
    account = Account(now=int(SystemClock().now()) - HOUR, prefix="R")
    customer = account.create_customer(email="late@example.com", metadata={"user_id": "user_late"})
    environ = {**emulators.environment(), **{key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}}
    name = f"test-{secrets.token_hex(6)}"
    with running(environ, log_directory=tmp_path, project=name) as system:
        assert system.stripe_api is not None
        system.stripe_api.put([*account.api_objects(), *account.events])
        system.tick("reconcile")
        deadline = time.monotonic() + 60
        stored = system.firestore().document(f"customers/{customer}")
        while not stored.get().exists and time.monotonic() < deadline:
            time.sleep(0.2)
        assert (stored.get().to_dict() or {})["user_id"] == "user_late"
        said = [line for line in system.function_log() if line.get("function") == "reconcile"]
        assert [(line["severity"], line["published"], line["is_complete"]) for line in said] == [("WARNING", 1, True)]


# The whole

REACTIONS = {
    "index_customers": index_customers.react,
    "record_orders": record_orders.react,
    "track_subscriptions": track_subscriptions.react,
}


class Delivering:
    """A topic that brings each message to every function at once."""

    def __init__(self, world: World) -> None:
        self._world = world

    def publish(self, data: bytes, attributes: Mapping[str, str], deadline_seconds: float) -> None:
        assert deadline_seconds
        for name, react in REACTIONS.items():
            if attributes["type"] in function(name).event_types:
                self._world.deliver(react, json.loads(data))


def delivered(world: World, events: list[Json]) -> None:
    for each in events:
        event: StripeEvent = event_of(each)
        Delivering(world).publish(json.dumps(each).encode(), attributes(event), 1)


class Locked:
    """One message at a time, because the world is a dict; and three times none."""

    def __init__(self, topic: Delivering) -> None:
        self._topic = topic
        self._lock = threading.Lock()
        self._count = 0

    def publish(self, data: bytes, attributes: Mapping[str, str], deadline_seconds: float) -> None:
        with self._lock:
            self._count += 1
            if self._count in {2, 5, 11}:
                raise Retry("Pub/Sub answered UNAVAILABLE")
            self._topic.publish(data, attributes, deadline_seconds)


def said(world: World) -> Json:
    """Every document. Having had a plan and having none any more is having none."""
    found: Json = without_traces(world.documents)
    return {
        path: {name: each for name, each in fields.items() if each or not name.startswith("plans")}
        for path, fields in found.items()
    }


@settings(max_examples=100)
@given(data=st.data(), account=accounts() | billing_accounts())
def test_whatever_never_arrived_reconciling_ends_where_the_undisturbed_story_does(
    data: st.DataObject, account: Account
) -> None:
    undisturbed = World(account)
    delivered(undisturbed, account.events)
    # Stripe keeps no older ones.
    recent = [each for each in account.events if each["created"] > account.now - 29 * DAY]
    ids = {each["id"] for each in recent if data.draw(st.booleans())}
    world = World(account)
    delivered(world, [each for each in account.events if each["id"] not in ids])
    listed = [each | {"pending_webhooks": int(each["id"] in ids)} for each in account.events]
    bench = Bench(Listing(listed, size=data.draw(st.sampled_from((1, 3, 100)))), topic=Locked(Delivering(world)))
    bench.clock.time = account.now + 600
    while True:
        try:
            # Each time it gets as far as Pub/Sub lets it.
            reconcile(bench.reconciler(), since="30d", everything=False)
            break
        except Retry:
            continue
    assert said(world) == said(undisturbed)
