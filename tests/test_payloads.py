"""Payloads that nobody here wrote, through every function on the emulator: captured events and Stripe's own samples.

Their folder is named by STRIPE_PAYLOADS; `make test` finds it by itself where it exists.
"""

import io
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.cloud.firestore import Client

from functions.accounts.settings import AccountSettings
from functions.adapters.firestore import FirestoreStore
from functions.adapters.stripe import StripeApi
from functions.effects import Outcome
from functions.log import JsonLog
from functions.subscriber import Subscriber
from functions.topology import EVENT_TYPES, FUNCTIONS
from local import stripe_api as local
from tests.directory import Directory
from tests.driving import SETTINGS
from tests.test_subscriber import Clock, message

Json = dict[str, Any]
PAYLOADS = Path(os.environ.get("STRIPE_PAYLOADS") or "/nonexistent")
pytestmark = pytest.mark.skipif(not PAYLOADS.is_dir(), reason="STRIPE_PAYLOADS names no folder of payloads")

CAPTURED = sorted(PAYLOADS.glob("captured-*/*.json"))
SAMPLES = sorted(PAYLOADS.glob("openapi-fixtures/*.json"))
#: Which sample object each event type is about.
SUBJECTS = {
    "customer": ("customer.created", "customer.updated", "customer.deleted"),
    "checkout.session": tuple(sorted(t for t in EVENT_TYPES if t.startswith("checkout.session."))),
    "charge": ("charge.refunded",),
    "refund": ("refund.failed",),
    "dispute": ("charge.dispute.created", "charge.dispute.closed"),
    "subscription": tuple(sorted(t for t in EVENT_TYPES if t.startswith("customer.subscription."))),
    "invoice": tuple(sorted(t for t in EVENT_TYPES if t.startswith("invoice."))),
    "payment_method": tuple(sorted(t for t in EVENT_TYPES if t.startswith("payment_method."))),
    "card": ("customer.source.expiring",),
}


@pytest.fixture(scope="module")
def stripe_api() -> Iterator[local.StripeApi]:
    with local.StripeApi() as running:
        yield running


@pytest.fixture
def subscribers(firestore_client: Client, stripe_api: local.StripeApi) -> list[Subscriber]:
    stripe_api.clear()
    from importlib import import_module

    # Where accounts are made there is most to do.
    settings, directory = replace(SETTINGS, accounts=AccountSettings(create=True, provider="firebase")), Directory()
    return [
        Subscriber(
            function=row,
            react=import_module(f"functions.reactions.{row.name}").react,
            settings=settings,
            store=FirestoreStore(firestore_client),
            stripe=StripeApi("sk_test_x", stripe_api.url, Clock()),
            clock=Clock(),
            log=JsonLog(io.StringIO()),
            identity=directory,
        )
        for row in FUNCTIONS
        if row.trigger == "events"
    ]


def through_all(subscribers: list[Subscriber], event: Json) -> set[Outcome]:
    return {subscriber.handle(message(event)) for subscriber in subscribers}


@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_captured_event_passes_every_function(
    subscribers: list[Subscriber], stripe_api: local.StripeApi, firestore_client: Client, path: Path
) -> None:
    captured = [json.loads(each.read_text()) for each in path.parent.glob("*.json")]
    stripe_api.put(
        each["data"]["object"] for each in captured if "id" in each["data"]["object"] and each["type"] in EVENT_TYPES
    )
    event = json.loads(path.read_text())
    outcomes = through_all(subscribers, event)
    if event["type"] == "refund.failed":
        # The one charge that the capture refers to and does not contain.
        [parked] = [each.to_dict() or {} for each in firestore_client.collection("parked_events").stream()]
        assert "/v1/charges/ch_1NirD82eZvKYlo2CIvbtLWuY (resource_missing)" in parked["reason"]
    else:
        assert outcomes <= {"applied", "ignored"}
        assert ("applied" in outcomes) == (event["type"] in EVENT_TYPES), "handled is not the same as applied"
        again = through_all(subscribers, event)
        assert again <= {"duplicate", "ignored"}, "a redelivery changed something"


def test_all_captured_events_of_one_account_in_one_database(
    subscribers: list[Subscriber], stripe_api: local.StripeApi
) -> None:
    """They share one second, one event id and one customer: ties, duplicates and a deletion all at once."""
    captured = [json.loads(path.read_text()) for path in CAPTURED]
    stripe_api.put(each["data"]["object"] for each in captured if each["type"] in EVENT_TYPES)
    for event in captured:
        if event["type"] != "refund.failed":
            assert through_all(subscribers, event) <= {"applied", "duplicate", "stale", "ignored"}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("event_type", sorted(EVENT_TYPES))
def test_stripes_sample_objects_pass_every_function_at_every_date(
    subscribers: list[Subscriber], stripe_api: local.StripeApi, path: Path, event_type: str
) -> None:
    samples = json.loads(path.read_text())["resources"]
    subject = next(name for name, types in SUBJECTS.items() if event_type in types)
    objects = {name: dict(samples[name]) for name in (*SUBJECTS, "item")}
    # The samples do not refer to each other; a story needs them to.
    objects["checkout.session"] |= {"customer": objects["customer"]["id"], "payment_intent": "pi_1"}
    objects["checkout.session"] |= {"line_items": [objects.pop("item")]}
    for name in ("charge", "refund", "dispute"):
        objects[name] |= {"payment_intent": "pi_1"}
    for name in ("payment_method", "card", "subscription"):
        objects[name] |= {"customer": objects["customer"]["id"]}
    stripe_api.put(objects.values())
    session_without_lines = {key: value for key, value in objects[subject].items() if key != "line_items"}
    event = {
        "id": "evt_1",
        "object": "event",
        "api_version": None,
        "created": 1_790_000_000,
        "livemode": False,
        "type": event_type,
        "data": {"object": session_without_lines, "previous_attributes": {"customer": objects["customer"]["id"]}},
    }
    outcomes = through_all(subscribers, event)
    assert outcomes <= {"applied", "ignored"}
    assert ("applied" in outcomes) == (event_type != "invoice.upcoming")
    assert through_all(subscribers, event) <= {"duplicate", "ignored"}
