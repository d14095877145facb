"""The whole system, as `make up` runs it: signed HTTP in, Pub/Sub in between, documents out."""

import io
import json
import os
import random
import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from functions.log import JsonLog
from functions.reactions import index_customers, record_orders, track_subscriptions
from functions.topology import FUNCTIONS, function
from local.account import Account, Line, thin
from local.emulators import Emulators
from local.passing import Passing
from local.sender import send
from local.story import expected_mails, tell
from local.system import System, running
from tests.driving import World
from tests.stories import without_traces
from tests.test_mail_contract import check

Json = dict[str, Any]
REACTIONS = {
    "index_customers": index_customers.react,
    "record_orders": record_orders.react,
    "track_subscriptions": track_subscriptions.react,
}


@pytest.fixture(scope="module")
def system(emulators: Emulators, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    project = f"test-{secrets.token_hex(6)}"
    environ = dict(emulators.environment())
    environ |= {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    # The story has its own time, in which its mails are not late.
    environ |= {"MAIL_MAX_AGE": "3650d"}
    with running(environ, log_directory=tmp_path_factory.mktemp("logs"), project=project) as started:
        yield started


@pytest.fixture(autouse=True)
def empty(system: System) -> None:
    """Every test begins with an empty database and an empty Stripe."""
    system.emulators.clear(system.environment["GOOGLE_CLOUD_PROJECT"])
    assert system.stripe_api is not None
    system.stripe_api.clear()


def deliver(system: System, account: Account, events: list[Json]) -> list[Json]:
    """Send events as Stripe does; returns what each function said once it has dealt with all of them."""
    assert system.stripe_api is not None
    system.stripe_api.put(account.api_objects())
    return send_all(system, events)


def send_all(system: System, events: list[Json]) -> list[Json]:
    """Send events to whatever Stripe is now; returns what each function said once it has dealt with all of them."""
    before = len([line for line in system.function_log() if line.get("function") == "index_customers"])
    answers = send(system.webhook_url, system.webhook_secret, events)
    assert {answer.status for answer in answers} == {200}
    return system.settled(before + len(events))


def documents(system: System) -> Json:
    """Everything in Firestore but the mail, by path."""
    client = system.firestore()
    found = {}
    for collection in client.collections():
        if collection.id == "mail":
            continue
        for document in collection.list_documents():
            found[document.path] = document.get().to_dict()
            for nested in document.collections():
                found |= {each.reference.path: each.to_dict() for each in nested.stream()}
    return {path: fields for path, fields in found.items() if fields is not None}


def mails(system: System) -> dict[str, Json]:
    """The mail collection: id -> document."""
    return {each.id: each.to_dict() or {} for each in system.firestore().collection("mail").stream()}


def expected(account: Account) -> Json:
    """What once and in order makes of the same events."""
    world = World(account)
    for data in account.events:
        for name, react in REACTIONS.items():
            if data["type"] in function(name).event_types:
                world.deliver(react, data)
    return world.documents


def test_the_story_twice_and_shuffled_ends_like_once_in_order(system: System) -> None:
    account = tell(now=1_790_000_000).account
    deliveries = account.events * 2
    random.Random(7).shuffle(deliveries)
    deliver(system, account, deliveries)
    assert without_traces(documents(system)) == without_traces(expected(account))


def test_every_mail_of_the_story_exists_exactly_once_though_each_event_comes_twice_and_in_any_order(
    system: System,
) -> None:
    story = tell(now=1_790_000_000)
    assert system.stripe_api is not None
    output = io.StringIO()
    passing = Passing(system.environment | {"MAIL_MAX_AGE": "3650d"}, system.firestore(), JsonLog(output))
    for chapter in story.chapters:
        passing.until(min(event["created"] for event in chapter.events))
        system.stripe_api.put(chapter.objects)
        deliveries = chapter.events * 2
        random.Random(7).shuffle(deliveries)
        send_all(system, deliveries)
    found = mails(system)
    assert Counter((mail["mail"], mail["audience"]) for mail in found.values()) == expected_mails(story)
    for mail in found.values():
        check(mail)
    assert {json.loads(line)["severity"] for line in output.getvalue().splitlines()} == {"INFO"}


def test_mail_that_stays_true_exists_even_if_the_whole_story_is_shuffled(system: System) -> None:
    account = tell(now=1_790_000_000).account
    deliveries = account.events * 2
    random.Random(11).shuffle(deliveries)
    deliver(system, account, deliveries)
    for session in account.objects.values():
        if session["object"] == "checkout.session" and session["payment_status"] == "paid":
            assert {f"order_paid_{session['id']}", f"order_paid_{session['id']}_support"} <= mails(system).keys()


def test_thin_notifications_make_the_same_documents(system: System) -> None:
    account = tell(now=1_790_000_000).account
    deliver(system, account, [thin(data) for data in account.events])
    # The metadata of a fetched customer cannot be dated; everything else is the same.
    found, wanted = without_traces(documents(system)), without_traces(expected(account))
    for customer in (*found.values(), *wanted.values()):
        for dated in ("claims", "linked_at", "is_link_exact", "marketing"):
            customer.pop(dated, None)
    assert found == wanted


def test_an_order_of_many_lines_has_every_one(system: System) -> None:
    account = Account(now=1_790_000_000)
    session = account.open_session([Line(f"Item {number}", number) for number in range(123)])
    account.complete(session, email="hana@example.com")
    deliver(system, account, account.events)
    [order] = [fields for path, fields in documents(system).items() if "/orders/" in path]
    assert [line["description"] for line in order["line_items"]] == [f"Item {number}" for number in range(123)]


def test_an_event_that_fails_for_now_is_delivered_again_by_pubsub(system: System) -> None:
    account = Account(now=1_790_000_000)
    session = account.open_session([Line("Mug", 1400)])
    account.complete(session, email="hana@example.com")
    assert system.stripe_api is not None
    system.stripe_api.set_faults([{"path": "/v1", "status": 500, "should_retry": "false", "times": 2}])
    lines = deliver(system, account, account.events)
    outcomes = [line["outcome"] for line in lines if line["event_id"] == account.events[0]["id"]]
    assert outcomes.count("retry") == 2
    assert any("/orders/" in path for path in documents(system))


def test_an_impossible_event_is_parked_and_the_others_go_on(system: System) -> None:
    account = Account(now=1_790_000_000)
    account.create_customer(email="hana@example.com")
    good = account.create_customer(email="kenji@example.com")
    subject = account.events[0]["data"]["object"]
    subject["email"] = {"not": "a text"}
    del account.objects[subject["id"]]
    deliver(system, account, account.events)
    found = documents(system)
    reason = found[f"parked_events/{account.events[0]['id']}_index_customers"]["reason"]
    assert reason == "email is not a text (API version 2026-10-28.endive)"
    assert f"customers/{good}" in found


def test_the_webhook_answers_at_the_printed_address_without_a_redirect(system: System) -> None:
    """`stripe listen` follows none."""
    answer = requests.post(system.webhook_url, data=b"{}", timeout=5, allow_redirects=False)
    assert answer.status_code == 400


def test_emulators_that_ran_before_serve_a_second_system_in_the_same_project(
    emulators: Emulators, tmp_path: Path
) -> None:
    environ = dict(emulators.environment()) | {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    project = f"test-{secrets.token_hex(6)}"
    for run in ("first", "second"):
        with running(environ, log_directory=tmp_path / run, project=project) as started:
            account = Account(now=1_790_000_000, prefix=run)
            customer = account.create_customer(email=f"{run}@example.com")
            [answer] = send(started.webhook_url, started.webhook_secret, account.events)
            assert answer.status == 200
            started.settled(1)
            assert started.firestore().document(f"customers/{customer}").get().exists


def test_every_function_answers_behind_its_own_path(system: System) -> None:
    root = system.webhook_url.removesuffix("/stripe_webhook")
    assert requests.get(root, timeout=5).status_code == 200
    for row in FUNCTIONS:
        answer = requests.post(f"{root}/{row.name}/", json={"no": "event"}, timeout=5)
        # There is nothing to be told to the pricing page.
        assert answer.status_code == (405 if row.name == "pricing_page" else 400), row.name


def test_no_log_line_of_the_story_says_anything_personal(system: System) -> None:
    account = tell(now=1_790_000_000).account
    deliver(system, account, account.events)
    said = system.functions.child.output()
    for personal in ("example.com", "佐藤", "鈴木", "田中", "Alex", system.webhook_secret, "sk_test", "user_hana"):
        assert personal not in said


def test_the_logs_of_the_system_are_where_it_was_told_to_put_them(system: System) -> None:
    assert {path.name for path in Path(system.functions.child.log).parent.iterdir()} == {"functions.log"}
