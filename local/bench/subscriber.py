"""A subscriber's share of one event beside bare Firestore calls, in CPU time.

One event through `Subscriber.handle`: decode the message, parse, read, decide, commit to the Firestore emulator, log.
It is wired as in `main.py`, and every event has ids of its own, so that each one really commits. Three things are left
out: functions-framework's HTTP, which the webhook's comparison has on both sides; and the one request to Stripe that a
new order makes for its line items, which come from memory here: it is the time of Stripe's library, not of a decision.
Mail is off: to write one takes about a millisecond more, and only the few events that tell somebody something do.

The floor does with the same client what nobody could leave out: one batched read of as many documents, and one batch
that creates documents with the same fields, elsewhere in the database. What counts are CPU milliseconds of this
process, all of gRPC's threads included, because the time on the clock is mostly the emulator's. The system and the
floor take turns in small batches, and the median of the batches counts.
"""

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from google.cloud.firestore import Client

from functions.adapters.clock import SystemClock
from functions.adapters.firestore import FirestoreStore
from functions.effects import Create, Delete, Effect, Fetch, Json, Outcome
from functions.log import JsonLog
from functions.reactions import index_customers, record_orders
from functions.settings.subscriber import subscriber_settings
from functions.store import Found
from functions.stripe_events import StripeEvent
from functions.subscriber import React, Subscriber
from functions.topology import function
from local.account import Account, Line
from local.bench.findings import BenchError, Finding

_ENVIRON = {
    "STRIPE_API_KEY": "sk_test_bench",
    "BRAND_NAME": "Bench",
    "SUPPORT_EMAIL": "support@example.com",
    "MAIL_DISABLED": "welcome,order_paid",
}
_REACTIONS: dict[str, React] = {"index_customers": index_customers.react, "record_orders": record_orders.react}


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure. One batch more comes first and does not count: it opens the channel."""

    batches: int = 9
    events: int = 50


class _Cpu(NamedTuple):
    """Milliseconds per event."""

    floor: float
    system: float


def measure(logs: Path, effort: Effort, *, max_cpu_ms: float) -> Iterator[Finding]:
    """Each event applied, and delivered once more. The environment names the emulator. Raises BenchError."""
    account = Account(now=int(time.time()), prefix="Bench")
    client = Client(project=f"bench-{secrets.token_hex(6)}")
    with (logs / "subscribers.log").open("w") as log:
        for name, happens in (("index_customers", _customer_created), ("record_orders", _session_completed)):
            store = _Recorder(FirestoreStore(client))
            subscriber = _subscriber(name, client.project, store, account, JsonLog(log))
            applied, duplicate = [], []
            for _ in range(effort.batches + 1):
                events = [happens(account) for _ in range(effort.events)]
                applied.append(_turns(subscriber, store, client, events, "applied"))
                duplicate.append(_turns(subscriber, store, client, events, "duplicate"))
            for outcome, rounds in {"applied": applied[1:], "duplicate": duplicate[1:]}.items():
                yield Finding(
                    what=f"{name}, {events[0]['type']}, {outcome}",
                    floor=[each.floor for each in rounds],
                    system=[each.system for each in rounds],
                    unit="ms CPU",
                    bounded="system",
                    at_most=max_cpu_ms,
                )


def _turns(
    subscriber: Subscriber, store: "_Recorder", client: Client, events: Sequence[Json], expected: Outcome
) -> _Cpu:
    """These events through the subscriber, then the same documents without it."""
    store.calls = []
    system = _cpu_ms(lambda message: _handle(subscriber, store, message, expected), [_message(e) for e in events])
    return _Cpu(_cpu_ms(lambda calls: _replay(client, calls), store.calls), system)


def _cpu_ms(work: Callable[[Any], None], items: Sequence[Any]) -> float:
    started = time.process_time()
    for item in items:
        work(item)
    return (time.process_time() - started) * 1000 / len(items)


def _handle(subscriber: Subscriber, store: "_Recorder", message: Mapping[str, Any], expected: Outcome) -> None:
    store.calls.append(_Calls())
    if (outcome := subscriber.handle(message)) != expected:
        raise BenchError(f"{message['attributes']} had to be {expected} and was {outcome}")


@dataclass(slots=True)
class _Calls:
    """What one event asked of the database."""

    reads: list[str] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)


def _replay(client: Client, calls: _Calls) -> None:
    for snapshot in client.get_all([_elsewhere(client, path) for path in calls.reads]):
        snapshot.to_dict()
    if calls.effects:
        batch = client.batch()
        for effect in calls.effects:
            if not isinstance(effect, Delete):
                batch.create(_elsewhere(client, effect.path), dict(effect.fields))
        batch.commit()


def _elsewhere(client: Client, path: str) -> Any:
    return client.document(f"floor/copy/{path}")


@dataclass(slots=True)
class _Recorder:
    """The real store, remembering for the floor what was asked of it."""

    _store: FirestoreStore
    calls: list[_Calls] = field(default_factory=list)

    def read(self, paths: Sequence[str]) -> Mapping[str, Found]:
        self.calls[-1].reads += paths
        return self._store.read(paths)

    def commit(self, effects: Iterable[Effect], found: Mapping[str, Found]) -> None:
        for effect in effects:
            if isinstance(effect, Create) and effect.path.startswith("parked_events/"):
                raise BenchError(f"{effect.path} would be parked: {effect.fields['reason']}")
            self.calls[-1].effects.append(effect)
        self._store.commit(self.calls[-1].effects, found)


@dataclass(frozen=True, slots=True)
class _LineItems:
    """As much of Stripe as a new order asks for."""

    account: Account

    def fetch(self, request: Fetch, event: StripeEvent | None) -> Json:  # noqa: ARG002 as the protocol has it
        return {"object": "list", "data": self.account.lines_of(request.id)}


def _subscriber(name: str, project: str, store: _Recorder, account: Account, log: JsonLog) -> Subscriber:
    return Subscriber(
        function=function(name),
        react=_REACTIONS[name],
        settings=subscriber_settings(_ENVIRON | {"GOOGLE_CLOUD_PROJECT": project}),
        store=store,
        stripe=_LineItems(account),
        clock=SystemClock(),
        log=log,
    )


def _message(event: Json) -> Json:
    return {
        "data": base64.b64encode(json.dumps(event).encode()).decode(),
        "attributes": {"event_id": event["id"], "type": event["type"]},
        "messageId": event["id"],
    }


def _customer_created(account: Account) -> Json:
    account.create_customer(email=f"hana{len(account.events)}@example.com", name="Hana Sato", phone="+81312345678")
    return account.events[-1]


def _session_completed(account: Account) -> Json:
    session = account.open_session([Line("Drip mug", 1400), Line("Coffee beans 200 g", 2000, quantity=3)])
    account.complete(session, email=f"kenji{len(account.events)}@example.com", creates_customer=True)
    return account.events[-1]
