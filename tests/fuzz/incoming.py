"""What arrives: requests at the webhook, and Pub/Sub messages at every function."""

import base64
import io
import json
from dataclasses import dataclass, field
from typing import Any, get_args

from hypothesis import strategies as st

from functions.effects import Fetch, Outcome
from functions.errors import Permanent, Retry
from functions.log import JsonLog
from functions.stripe_events import StripeEvent
from functions.subscriber import Subscriber
from functions.topology import EVENT_TYPES, function
from functions.webhook import Request
from local.account import Account
from tests.directory import Directory
from tests.fuzz.deciding import REACTIONS, SETTINGS, listeners, meddled
from tests.fuzz.firestore import Documents
from tests.fuzz.mutations import json_values, mutated, texts
from tests.fuzz.shapes import as_fetched, told
from tests.fuzz.target import Target
from tests.stories import START
from tests.test_webhook import Upload, Webhook, sign
from tests.test_webhook_fuzz import SECRETS, check, header_names, header_values, json_like

Json = dict[str, Any]


def in_bytes(value: Any) -> bytes:
    """As Stripe writes it, but for what it never would."""
    return json.dumps(value).encode()


events = st.sampled_from(told()).map(lambda each: each.event)
bodies = st.one_of(
    events.flatmap(lambda event: mutated(event, most=2)).map(in_bytes),
    events.map(in_bytes),
    json_values.map(in_bytes),
    json_like,
    st.binary(max_size=200),
)

# The webhook


@dataclass(frozen=True)
class Sent:
    """A request; `signed` is by how many seconds its signature is late, None where nobody signed it."""

    method: str
    headers: dict[str, str]
    body: bytes
    piece: int
    signed: int | None


requests = st.builds(
    Sent,
    method=st.sampled_from(["POST"] * 12 + ["GET", "PUT", "post", "", "\ud800"]),
    headers=st.dictionaries(header_names | texts, header_values, max_size=4),
    body=bodies,
    piece=st.sampled_from([1, 100, 1 << 21]),
    signed=st.sampled_from([0, 0, 0, 299, -299, 301, None]),
)


def check_request(sent: Sent) -> None:
    """It gets a status and one line; only what is genuine is published, and unchanged."""
    webhook = Webhook(secrets=SECRETS, forward_all=sent.piece == 100)
    headers = sent.headers
    if sent.signed is not None:
        headers = headers | {"Stripe-Signature": sign(sent.body, at=int(webhook.clock.time) - sent.signed)}
    # A byte at a time is slow, and as good a test for a small body as for a large one.
    piece = sent.piece if len(sent.body) < 10_000 else 1 << 21
    check(webhook, Request(sent.method, headers, Upload(sent.body, piece=piece)), sent.body)


# The functions behind the topic


@dataclass(frozen=True)
class Message:
    """A message as Pub/Sub pushes it, to one function."""

    function: str
    message: Json
    account: Account


@dataclass
class Clock:
    """Stands still, and does not wait."""

    at: float = START + 400

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        pass


@dataclass
class Stripe:
    """Answers what the account has."""

    account: Account

    def fetch(self, request: Fetch, event: StripeEvent | None) -> Json:  # noqa: ARG002 -- there is one account
        found = as_fetched(request, self.account, {})
        if found is None:
            raise Permanent(f"Stripe has no {request.kind} {request.id!r}")
        return found


@dataclass
class Bench:
    """A function with everything it uses."""

    message: Message
    documents: Documents = field(default_factory=Documents)
    output: io.StringIO = field(default_factory=io.StringIO)

    def handle(self) -> str:
        name = self.message.function
        subscriber = Subscriber(
            function=function(name),
            react=REACTIONS[name],
            settings=SETTINGS,
            store=self.documents,
            stripe=Stripe(self.message.account),
            clock=Clock(),
            log=JsonLog(self.output),
            identity=Directory(),
        )
        try:
            return subscriber.handle(self.message.message)
        except Retry:
            return "retry"


#: Text that UTF-8 can carry, as everything does that Pub/Sub delivers.
pubsub_texts = texts.map(lambda text: text.encode(errors="replace").decode()[:300])
attributes = st.one_of(
    st.none(),
    st.dictionaries(
        st.sampled_from(["event_id", "type", "created", "livemode", "account"]) | pubsub_texts,
        pubsub_texts | st.sampled_from(sorted(EVENT_TYPES)),
        max_size=4,
    ),
)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Mostly an event that the function listens to, with or without the attributes of the webhook."""
    base = draw(st.sampled_from(told()))
    event_type = base.event["type"].removeprefix("v1.")
    name = draw(st.sampled_from(listeners(event_type) * 4 + [*REACTIONS]))
    whole = st.just(in_bytes(base.event))
    in_the_data = meddled(base, 1).map(in_bytes)
    body = draw(st.one_of(whole, whole, in_the_data, in_the_data, in_the_data, bodies))
    encoded = st.just(base64.b64encode(body).decode())
    data = draw(st.one_of(*[encoded] * 8, st.none(), pubsub_texts))
    message: Json = {"data": data, "messageId": draw(st.just("1") | st.none() | pubsub_texts)}
    named = {"event_id": str(base.event["id"]), "type": event_type}
    message["attributes"] = draw(st.one_of(*[st.just(named)] * 3, attributes))
    kept = {key: value for key, value in message.items() if value is not None or draw(st.booleans())}
    return Message(name, kept, base.account)


def check_message(message: Message) -> None:
    """It is dealt with, parked or comes again; once more is the same, and nothing personal is said."""
    bench = Bench(message)
    first = bench.handle()
    assert first in get_args(Outcome)
    before = json.dumps(bench.documents.fields, default=str, sort_keys=True)
    again = bench.handle()
    assert (again, first) in {(first, first), ("duplicate", "applied"), ("stale", "applied"), ("ignored", "applied")}
    assert json.dumps(bench.documents.fields, default=str, sort_keys=True) == before
    # The attributes are the webhook's own words.
    said = [str(json.loads(line)) for line in bench.output.getvalue().splitlines()]
    for personal in ("@example.com", "佐藤", "03-1234"):
        assert personal in str(message.message.get("attributes")) or personal not in "".join(said)


TARGETS = (
    Target("webhook", requests, check_request, examples=1_500),
    Target(
        "messages",
        messages(),
        check_message,
        examples=800,
        # A field that Firestore does not take kept an event from being parked.
        found_before=tuple(
            Message("index_customers", {"messageId": "1", "attributes": {name: ""}}, told()[0].account)
            for name in ("", "__x__")
        ),
    ),
)
