"""`receive` on its own: what it lets in, what it publishes, what it answers and what it logs."""

import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Mapping
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.errors import Retry
from functions.log import JsonLog
from functions.settings.webhook import WebhookSettings
from functions.topology import EVENT_TYPES
from functions.webhook import Request, Response, receive
from local.account import Account, thin

Json = dict[str, Any]

NOW = 1_790_000_000
SECRET = "whsec_Vq1Zy8Wn3Kd6"
OTHER_SECRET = "whsec_Rt5Lm2Pc9Xb4"
LIMIT = 1024 * 1024


# What `receive` is given here. The fuzzing and the HTTP tests use these too.


class MovableClock:
    """Stands still until it is moved, or told to sleep."""

    def __init__(self, now: float = NOW) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class RecordingTopic:
    """Keeps what is published, or refuses with the error it was made with. Each publish takes a quarter of a second."""

    def __init__(self, clock: MovableClock, error: Exception | None = None) -> None:
        self.messages: list[tuple[bytes, Mapping[str, str]]] = []
        self.deadlines: list[float] = []
        self._clock = clock
        self._error = error

    def publish(self, data: bytes, attributes: Mapping[str, str], deadline_seconds: float) -> None:
        self.deadlines.append(deadline_seconds)
        self._clock.sleep(0.25)
        if self._error:
            raise self._error
        self.messages.append((data, attributes))


class Upload(BytesIO):
    """A body that counts what is taken of it, arrives in pieces of at most `piece` bytes and may break off."""

    def __init__(self, body: bytes, *, piece: int = LIMIT * 2, error: Exception | None = None) -> None:
        super().__init__(body)
        self.taken = 0
        self._piece = piece
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size > 0, "a read without a limit"
        data = super().read(min(size, self._piece))
        self.taken += len(data)
        if self._error and not data:
            raise self._error
        return data


class Webhook:
    """`receive` with everything it uses within reach."""

    def __init__(
        self,
        *,
        secrets: tuple[str, ...] = (SECRET,),
        livemode: bool | None = None,
        forward_all: bool = False,
        publish_error: Exception | None = None,
    ) -> None:
        self.clock = MovableClock()
        self.topic = RecordingTopic(self.clock, publish_error)
        self.settings = WebhookSettings(project="shop", secrets=secrets, livemode=livemode, forward_all=forward_all)
        self.output = StringIO()

    def receive(self, request: Request) -> Response:
        """What `main.stripe_webhook` does with a request, once it is no longer Flask's."""
        return receive(
            request, settings=self.settings, publisher=self.topic, clock=self.clock, log=JsonLog(self.output)
        )

    def post(self, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
        """Deliver these bytes, signed as Stripe signs them unless the headers are given."""
        return self.receive(
            Request("POST", {"Stripe-Signature": sign(body)} if headers is None else headers, Upload(body))
        )

    @property
    def published(self) -> list[bytes]:
        return [data for data, _ in self.topic.messages]

    @property
    def lines(self) -> list[Json]:
        """The log, parsed."""
        return [json.loads(line) for line in self.output.getvalue().splitlines()]


def mac(body: bytes, secret: str = SECRET, at: object = NOW) -> str:
    """The `v1` of a signature, over any bytes: https://docs.stripe.com/webhooks#verify-manually."""
    return hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


def sign(body: bytes, secret: str = SECRET, at: object = NOW) -> str:
    """The `Stripe-Signature` header."""
    return f"t={at},v1={mac(body, secret, at)}"


def event(**fields: Any) -> Json:
    """A snapshot event that somebody listens to."""
    account = Account(now=NOW - 2)
    account.create_customer(email="taro@example.com", name="山田 太郎")
    return account.events[0] | fields


def encode(data: object) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode()


def without(data: Mapping[str, Any], *keys: str) -> Json:
    return {key: value for key, value in data.items() if key not in keys}


def assert_refused(webhook: Webhook, response: Response, status: int = 400) -> None:
    """The status, one line of reason, one line of log, and nothing published."""
    assert response.status == status
    assert response.body
    assert response.body.isprintable()
    assert not webhook.topic.deadlines
    assert [(line["outcome"], line["status"]) for line in webhook.lines] == [("refused", status)]


BODY = encode(event())


# Let in


def test_a_signed_event_is_published_and_acknowledged() -> None:
    webhook = Webhook()
    response = webhook.post(BODY)
    assert (response.status, response.body) == (200, "published")
    assert webhook.published == [BODY]


def test_the_signature_of_stripes_own_library_is_accepted() -> None:
    header = stripe.WebhookSignature.generate_signature_header(BODY.decode(), SECRET, NOW)
    assert Webhook().post(BODY, {"Stripe-Signature": header}).status == 200


@pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET])
def test_any_of_the_secrets_will_do(secret: str) -> None:
    webhook = Webhook(secrets=(SECRET, OTHER_SECRET))
    assert webhook.post(BODY, {"Stripe-Signature": sign(BODY, secret)}).status == 200


@pytest.mark.parametrize("ours", [SECRET, OTHER_SECRET])
def test_while_stripe_rotates_a_secret_either_of_its_two_signatures_will_do(ours: str) -> None:
    header = f"t={NOW},v1={mac(BODY, OTHER_SECRET)},v1={mac(BODY)},v0={mac(BODY, 'whsec_v0')}"
    assert Webhook(secrets=(ours,)).post(BODY, {"Stripe-Signature": header}).status == 200


@pytest.mark.parametrize(
    "header",
    [f"v1={mac(BODY)},t={NOW}", f"x,y=1=2,=,{sign(BODY)},", f"{sign(BODY)},v1=", f"v1=0,{sign(BODY)}"],
    ids=["reversed", "unknown", "empty last", "wrong first"],
)
def test_order_and_unknown_schemes_do_not_matter(header: str) -> None:
    assert Webhook().post(BODY, {"Stripe-Signature": header}).status == 200


@pytest.mark.parametrize("away", [-300, -299, 0, 299, 300])
def test_a_timestamp_up_to_300_seconds_away_is_accepted(away: int) -> None:
    assert Webhook().post(BODY, {"Stripe-Signature": sign(BODY, at=NOW + away)}).status == 200


@pytest.mark.parametrize("away", [-(10**9), -86_400, -301, 301, 86_400, 10**9])
def test_a_timestamp_more_than_300_seconds_away_is_refused(away: int) -> None:
    webhook = Webhook()
    response = webhook.post(BODY, {"Stripe-Signature": sign(BODY, at=NOW + away)})
    assert_refused(webhook, response)
    assert response.body == "the signature's timestamp is more than 300 s away from now"


def test_a_captured_delivery_cannot_be_replayed_once_it_is_old() -> None:
    webhook, headers = Webhook(), {"Stripe-Signature": sign(BODY)}
    webhook.clock.time = NOW + 300
    assert webhook.post(BODY, headers).status == 200
    webhook.clock.time = NOW + 300.5
    assert webhook.post(BODY, headers).status == 400


# Refused: the method


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post", "POST ", ""])
def test_only_post_is_allowed(method: str) -> None:
    webhook, upload = Webhook(), Upload(BODY)
    response = webhook.receive(Request(method, {"Stripe-Signature": sign(BODY)}, upload))
    assert_refused(webhook, response, 405)
    assert response.headers["Allow"] == "POST"
    assert upload.taken == 0


# Refused: the size


def padded(size: int) -> bytes:
    return BODY + b" " * (size - len(BODY))


@pytest.mark.parametrize("piece", [1000, 65_536, LIMIT, LIMIT + 1])
def test_a_body_of_exactly_1_mib_is_accepted(piece: int) -> None:
    webhook, body = Webhook(), padded(LIMIT)
    headers = {"Stripe-Signature": sign(body), "Content-Length": str(LIMIT)}
    assert webhook.receive(Request("POST", headers, Upload(body, piece=piece))).status == 200
    assert webhook.published == [body]


@pytest.mark.parametrize("length", [str(LIMIT + 1), "9" * 19, "9" * 20, "9" * 5000])
def test_a_body_announced_as_over_1_mib_is_refused_unread(length: str) -> None:
    webhook, body = Webhook(), padded(LIMIT + 1)
    upload = Upload(body)
    response = webhook.receive(Request("POST", {"Stripe-Signature": sign(body), "Content-Length": length}, upload))
    assert_refused(webhook, response, 413)
    assert upload.taken == 0
    assert not response.body_was_read


LENGTHS_THAT_SAY_NOTHING = ["", "5", "-1", "0", "abc", "1e9", "0x7fffffff", " 5", "5, 6", "٣", "²", "0" * 5000 + "5"]


@pytest.mark.parametrize("length", [None, *LENGTHS_THAT_SAY_NOTHING])
def test_a_body_over_1_mib_is_refused_as_soon_as_it_is_whatever_was_announced(length: str | None) -> None:
    webhook, body = Webhook(), padded(LIMIT * 4)
    upload = Upload(body, piece=65_536)
    headers = {"Stripe-Signature": sign(body)} | ({} if length is None else {"Content-Length": length})
    response = webhook.receive(Request("POST", headers, upload))
    assert_refused(webhook, response, 413)
    assert upload.taken == LIMIT + 1
    assert not response.body_was_read


@pytest.mark.parametrize("length", LENGTHS_THAT_SAY_NOTHING)
def test_an_odd_content_length_is_no_obstacle(length: str) -> None:
    assert Webhook().post(BODY, {"Stripe-Signature": sign(BODY), "Content-Length": length}).status == 200


def test_a_body_that_trickles_in_byte_by_byte_is_put_together() -> None:
    webhook = Webhook()
    webhook.receive(Request("POST", {"Stripe-Signature": sign(BODY)}, Upload(BODY, piece=1)))
    assert webhook.published == [BODY]


@pytest.mark.parametrize(
    "error", [ConnectionResetError("reset"), TimeoutError(), ValueError("chunk size 'taro@example.com'")], ids=repr
)
@pytest.mark.parametrize("arrived", [b"", BODY[:100], BODY], ids=len)
def test_a_body_that_breaks_off_is_refused(error: Exception, arrived: bytes) -> None:
    webhook = Webhook()
    response = webhook.receive(Request("POST", {"Stripe-Signature": sign(BODY)}, Upload(arrived, error=error)))
    assert_refused(webhook, response)
    assert not response.body_was_read
    assert "taro" not in response.body + webhook.output.getvalue()


# Refused: the signature

V1 = mac(BODY)
GOOD = f"t={NOW},v1={V1}"


@pytest.mark.parametrize(
    "header",
    {
        "empty": "",
        "blank": " ",
        "garbage": "garbage",
        "separators": ",=,==,,=",
        "JSON": '{"t": 1}',
        "a million commas": "," * 1_000_000,
        "no timestamp": f"v1={V1}",
        "no signature": f"t={NOW}",
        "empty timestamp": f"t=,v1={V1}",
        "timestamp without value": f"t,v1={V1}",
        "two timestamps": f"t={NOW},t={NOW - 1},v1={V1}",
        "two timestamps, the right one last": f"t={NOW - 1},t={NOW},v1={V1}",
        "the same timestamp twice": f"t={NOW},t={NOW},v1={V1}",
        "negative timestamp": f"t=-{NOW},v1={mac(BODY, at=-NOW)}",
        "signed timestamp": f"t=+{NOW},v1={V1}",
        "fractional timestamp": f"t={NOW}.0,v1={mac(BODY, at=f'{NOW}.0')}",
        "timestamp with an exponent": f"t=179e7,v1={V1}",
        "timestamp with underscores": f"t=1_790_000_000,v1={V1}",
        "timestamp with spaces": f"t= {NOW} ,v1={V1}",
        "timestamp with a second equals sign": f"t={NOW}=1,v1={V1}",
        "timestamp in milliseconds": sign(BODY, at=NOW * 1000),
        "timestamp of 13 digits": sign(BODY, at=10**12),
        "timestamp of 5000 digits": f"t={'9' * 5000},v1={V1}",
        "timestamp in other digits": f"t={str(NOW).translate({48 + n: 0x0660 + n for n in range(10)})},v1={V1}",
        "timestamp in superscript": f"t=²,v1={V1}",
        "not a number": f"t=NaN,v1={V1}",
        "empty v1": f"t={NOW},v1=",
        "v1 without value": f"t={NOW},v1",
        "only v0": f"t={NOW},v0={V1}",
        "only v2": f"t={NOW},v2={V1}",
        "V1 in capitals": f"t={NOW},V1={V1}",
        "hexadecimal in capitals": f"t={NOW},v1={V1.upper()}",
        "signature with a space before it": f"t={NOW},v1= {V1}",
        "signature cut short": f"t={NOW},v1={V1[:-1]}",
        "signature with one digit changed": f"t={NOW},v1={V1[:-1]}{'1' if V1[-1] == '0' else '0'}",
        "signature with a tail": f"t={NOW},v1={V1}0",
        "signature of another second": f"t={NOW + 1},v1={V1}",
        "signature of the body alone": f"t={NOW},v1={hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()}",
        "signature by another secret": sign(BODY, OTHER_SECRET),
        "signature by the secret without its prefix": sign(BODY, SECRET.removeprefix("whsec_")),
        "signature by an empty secret": sign(BODY, ""),
        "signature of other bytes": sign(BODY + b"\n"),
        "signature of no bytes": sign(b""),
        "non-ASCII signature": f"t={NOW},v1=é",
        "non-ASCII beside a good signature": f"{GOOD},v1=é",
        "non-ASCII scheme beside a good signature": f"{GOOD},é=1",
        "lone surrogate": f"{GOOD},v1=\udc80",
        "semicolons": GOOD.replace(",", ";"),
        "quotes": f'"{GOOD}"',
    }.items(),
    ids=lambda pair: pair[0],
)
def test_anything_but_one_timestamp_and_a_matching_signature_is_refused(header: tuple[str, str]) -> None:
    webhook = Webhook(secrets=(SECRET, "whsec_another"))
    assert_refused(webhook, webhook.post(BODY, {"Stripe-Signature": header[1]}))


def test_a_missing_signature_is_refused() -> None:
    webhook = Webhook()
    response = webhook.post(BODY, {})
    assert_refused(webhook, response)
    assert response.body == "no Stripe-Signature header"


@pytest.mark.parametrize(
    "sent",
    [
        BODY + b"\n",
        BODY[:-1],
        b"",
        json.dumps(json.loads(BODY)).encode(),
        json.dumps(json.loads(BODY), separators=(",", ":"), ensure_ascii=False).encode(),
        BODY.replace("山田".encode(), "山口".encode()),
        b"\xef\xbb\xbf" + BODY,
        BODY.decode().encode("utf-16"),
    ],
    ids=["newline", "cut", "empty", "escaped", "compact", "edited", "marked", "UTF-16"],
)
def test_the_signature_counts_for_exactly_the_bytes_it_was_made_of(sent: bytes) -> None:
    webhook = Webhook()
    assert_refused(webhook, webhook.post(sent, {"Stripe-Signature": GOOD}))


@pytest.mark.parametrize("body", [b"not JSON", b"null", b"[" * LIMIT, b"{}"], ids=lambda body: repr(body[:8]))
def test_nothing_is_parsed_before_its_signature_is_verified(body: bytes) -> None:
    webhook = Webhook()
    response = webhook.post(body, {"Stripe-Signature": GOOD})
    assert_refused(webhook, response)
    assert response.body == "no signature matches"


# Refused: signed, and still no event


@pytest.mark.parametrize(
    "body",
    {
        "nothing": b"",
        "blank": b" \n",
        "not JSON": b"id=evt_1&type=customer.created",
        "half of an event": BODY[: len(BODY) // 2],
        "two events": BODY + BODY,
        "single quotes": str(event()).encode(),
        "byte order mark": b"\xef\xbb\xbf" + BODY,
        "UTF-16": BODY.decode().encode("utf-16"),
        "Latin-1": encode(event(note="é")).replace("é".encode(), b"\xe9"),
        "surrogate in UTF-8": BODY.replace("山".encode(), b"\xed\xa0\x80"),
        "bytes at random": bytes(range(256)),
        "null bytes": b"\0" * 100,
        "null": b"null",
        "true": b"true",
        "number": b"1",
        "word": b'"evt_1"',
        "list": b"[1]",
        "list of events": b"[" + BODY + b"]",
        "empty object": b"{}",
        "nested without end": b"[" * (LIMIT - 1),
        "nested without end inside an event": BODY[:-1] + b', "x": ' + b'{"a":' * 100_000,
        "number of 5000 digits": BODY[:-1] + b', "x": ' + b"9" * 5000 + b"}",
        "no id": encode(without(event(), "id")),
        "id null": encode(event(id=None)),
        "id empty": encode(event(id="")),
        "id a number": encode(event(id=1)),
        "id a list": encode(event(id=["evt_1"])),
        "id of two lines": encode(event(id="evt_1\nX-Injected: yes")),
        "id with a space": encode(event(id="evt_1 ")),
        "id not ASCII": encode(event(id="evt_é")),
        "id a lone surrogate": BODY.replace(b'"evt_', rb'"\ud800evt_'),
        "id too long": encode(event(id="e" * 256)),
        "no type": encode(without(event(), "type")),
        "type null": encode(event(type=None)),
        "type empty": encode(event(type="")),
        "type a list": encode(event(type=["customer.created"])),
        "type an object": encode(event(type={"customer": "created"})),
        "type of two lines": encode(event(type="customer.created\n")),
        "no created": encode(without(event(), "created")),
        "created null": encode(event(created=None)),
        "created 0": encode(event(created=0)),
        "created negative": encode(event(created=-1)),
        "created a text": encode(event(created=str(NOW))),
        "created an RFC 3339 time": encode(event(created="2026-09-21T12:00:00Z")),
        "created a fraction": encode(event(created=NOW + 0.5)),
        "created true": encode(event(created=True)),
        "created not a number": encode(event(created=float("nan"))),
        "created infinite": encode(event(created=float("inf"))),
        "created in milliseconds": encode(event(created=NOW * 1000)),
        "created absurd": encode(event(created=10**4000)),
        "no livemode": encode(without(event(), "livemode")),
        "livemode null": encode(event(livemode=None)),
        "livemode a text": encode(event(livemode="false")),
        "livemode 0": encode(event(livemode=0)),
        "api_version a number": encode(event(api_version=2026)),
        "account a list": encode(event(account=["acct_1"])),
        "account of two lines": encode(event(account="acct_1\nacct_2")),
        "thin with epoch seconds": encode(thin(event()) | {"created": NOW}),
        "thin with a time without zone": encode(thin(event()) | {"created": "2026-09-21T12:00:00"}),
        "thin with a day": encode(thin(event()) | {"created": "2026-09-21"}),
        "thin in the year 1": encode(thin(event()) | {"created": "0001-01-01T00:00:00+23:59"}),
        "thin in the year 9999": encode(thin(event()) | {"created": "9999-12-31T23:59:59-23:59"}),
        "thin without type": encode(without(thin(event()), "type")),
        "thin with nothing after v1.": encode(thin(event()) | {"type": "v1."}),
        "thin without id": encode(without(thin(event()), "id")),
        "thin with a list for its snapshot": encode(thin(event()) | {"snapshot_event": ["evt_1"]}),
    }.items(),
    ids=lambda pair: pair[0],
)
def test_what_is_signed_but_is_no_event_is_refused(body: tuple[str, bytes]) -> None:
    webhook = Webhook(forward_all=True)
    assert_refused(webhook, webhook.post(body[1]))


# Published


@pytest.mark.parametrize("event_type", sorted(EVENT_TYPES))
def test_every_type_that_somebody_listens_to_is_published(event_type: str) -> None:
    webhook, bodies = Webhook(), [encode(event(type=event_type)), encode(thin(event(type=event_type)))]
    assert [webhook.post(body).body for body in bodies] == ["published", "published"]
    assert webhook.published == bodies
    assert [attributes["type"] for _, attributes in webhook.topic.messages] == [event_type, event_type]


@pytest.mark.parametrize(
    "body",
    {
        "line by line": json.dumps(event(), indent=4, ensure_ascii=False).encode(),
        "Windows lines": json.dumps(event(), indent="\t").replace("\n", "\r\n").encode(),
        "space around it": b"\n\t " + BODY + b" \r\n",
        "keys the other way round": encode(dict(reversed(event().items()))),
        "the same key twice": BODY[:-1] + b', "id": "evt_last"}',
        "non-ASCII": encode(event(note="東京都千代田区 🗼 Ünïcödé\u2028")),
        "escapes": BODY.replace(b"/", rb"\/").replace(b"taro", rb"t\u0061ro"),
        "lone surrogates": BODY[:-1] + rb', "note": "\ud800"}',
        "null characters": BODY[:-1] + rb', "note": "\u0000"}',
        "numbers no other program would keep": BODY[:-1] + b', "n": [1.0, 1e400, -0, 12345678901234567890123.10]}',
    }.items(),
    ids=lambda pair: pair[0],
)
def test_the_bytes_are_published_unchanged(body: tuple[str, bytes]) -> None:
    webhook = Webhook()
    assert webhook.post(body[1]).body == "published"
    assert webhook.published == [body[1]]


def test_a_snapshot_event_carries_its_attributes() -> None:
    webhook = Webhook()
    webhook.post(encode(event(id="evt_1", created=NOW - 5, livemode=True, account="acct_1")))
    assert webhook.topic.messages[0][1] == {
        "event_id": "evt_1",
        "type": "customer.created",
        "created": str(NOW - 5),
        "livemode": "true",
        "api_version": "2026-10-28.endive",
        "account": "acct_1",
        "payload": "snapshot",
    }


@pytest.mark.parametrize("account", [{}, {"account": None}, {"account": ""}], ids=repr)
def test_an_event_of_the_account_itself_names_no_account(account: Json) -> None:
    webhook = Webhook()
    webhook.post(encode(event(id="evt_1", api_version=None, **account)))
    assert webhook.topic.messages[0][1] == {
        "event_id": "evt_1",
        "type": "customer.created",
        "created": str(NOW - 2),
        "livemode": "false",
        "payload": "snapshot",
    }


def test_a_thin_notification_carries_the_attributes_of_its_snapshot_event() -> None:
    webhook, body = Webhook(), encode(thin(event(id="evt_1")) | {"context": "acct_1"})
    assert webhook.post(body).body == "published"
    assert webhook.topic.messages == [
        (
            body,
            {
                "event_id": "evt_thin_1",
                "type": "customer.created",
                "created": str(NOW - 2),
                "livemode": "false",
                "account": "acct_1",
                "payload": "thin",
            },
        )
    ]


def test_only_thin_notifications_lose_the_v1_of_their_type() -> None:
    webhook = Webhook(forward_all=True)
    webhook.post(encode(event(type="v1.customer.created")))
    webhook.post(encode(thin(event()) | {"type": "v2.core.account.updated"}))
    assert [attributes["type"] for _, attributes in webhook.topic.messages] == [
        "v1.customer.created",
        "v2.core.account.updated",
    ]


def test_the_same_delivery_is_published_each_time_it_arrives() -> None:
    webhook = Webhook()
    assert [webhook.post(BODY).status for _ in range(3)] == [200, 200, 200]
    assert webhook.published == [BODY] * 3


def test_one_request_is_one_publish_within_8_seconds() -> None:
    webhook = Webhook()
    webhook.post(BODY)
    assert webhook.topic.deadlines == [8.0]


def test_what_pubsub_does_not_take_is_a_503_and_stripe_is_told_when_to_come_again() -> None:
    webhook = Webhook(publish_error=Retry("Pub/Sub answered UNAVAILABLE"))
    response = webhook.post(BODY)
    assert response.status == 503
    assert response.body == "not published: Pub/Sub answered UNAVAILABLE"
    assert int(response.headers["Retry-After"]) > 0
    assert webhook.topic.deadlines == [8.0]
    assert [(line["severity"], line["outcome"], line["status"]) for line in webhook.lines] == [("ERROR", "retry", 503)]


def test_an_error_that_nobody_expected_is_not_an_acknowledgement() -> None:
    webhook = Webhook(publish_error=ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        webhook.post(BODY)


# Acknowledged and not published


@pytest.mark.parametrize("event_type", ["terminal.reader.action_failed", "v1.customer.created", "a.type.of.2030"])
def test_a_type_that_nobody_listens_to_is_only_acknowledged(event_type: str) -> None:
    webhook = Webhook()
    response = webhook.post(encode(event(type=event_type)))
    assert (response.status, response.body) == (200, "ignored: nobody listens to this type")
    assert not webhook.topic.deadlines
    assert [(line["severity"], line["outcome"], line["type"]) for line in webhook.lines] == [
        ("INFO", "ignored", event_type)
    ]


def test_forward_all_publishes_every_type() -> None:
    webhook = Webhook(forward_all=True)
    bodies = [encode(event(type="a.type.of.2030")), encode(thin(event()) | {"type": "v2.core.account.updated"})]
    assert [webhook.post(body).body for body in bodies] == ["published", "published"]
    assert webhook.published == bodies


@pytest.mark.parametrize("forward_all", [False, True])
@pytest.mark.parametrize("form", [event(), thin(event())], ids=["snapshot", "thin"])
@pytest.mark.parametrize("livemode", [False, True])
def test_an_event_of_the_other_mode_is_only_acknowledged(*, livemode: bool, form: Json, forward_all: bool) -> None:
    webhook = Webhook(livemode=livemode, forward_all=forward_all)
    theirs, ours = encode(form | {"livemode": not livemode}), encode(form | {"livemode": livemode})
    assert [webhook.post(body).body for body in (theirs, ours)] == ["ignored: the other mode", "published"]
    assert webhook.published == [ours]


def test_without_a_mode_in_the_settings_both_are_published() -> None:
    webhook = Webhook(livemode=None)
    bodies = [encode(event(livemode=livemode)) for livemode in (False, True)]
    assert [webhook.post(body).body for body in bodies] == ["published", "published"]


# Stripe's own


def test_events_that_stripe_sent_are_published_unchanged() -> None:
    if not os.environ.get("STRIPE_PAYLOADS"):
        pytest.skip("STRIPE_PAYLOADS, the folder of Stripe's own payloads, is not set")
    bodies = [file.read_bytes() for file in sorted(Path(os.environ["STRIPE_PAYLOADS"]).glob("captured-*/*.json"))]
    assert bodies
    webhook = Webhook(forward_all=True)
    assert {webhook.post(body).body for body in bodies} == {"published"}
    assert webhook.published == bodies


# The log

TRACE = "0af7651916cd43dd8448eb211c80319c"
LINE_OF_TRACE = f"projects/shop/traces/{TRACE}"
FIELD_OF_TRACE = "logging.googleapis.com/trace"


def test_a_published_event_is_one_line_of_the_log() -> None:
    webhook = Webhook()
    webhook.post(
        encode(event(id="evt_1")),
        {"Stripe-Signature": sign(encode(event(id="evt_1"))), "X-Cloud-Trace-Context": f"{TRACE}/1;o=1"},
    )
    assert webhook.lines == [
        {
            "severity": "INFO",
            "message": "customer.created published",
            FIELD_OF_TRACE: LINE_OF_TRACE,
            "event_id": "evt_1",
            "type": "customer.created",
            "function": "stripe_webhook",
            "outcome": "published",
            "status": 200,
            "milliseconds": 250.0,
        }
    ]


def test_a_refusal_is_one_line_of_the_log_with_its_reason() -> None:
    webhook = Webhook()
    webhook.post(BODY, {})
    assert webhook.lines == [
        {
            "severity": "WARNING",
            "message": "webhook refused",
            "function": "stripe_webhook",
            "outcome": "refused",
            "status": 400,
            "reason": "no Stripe-Signature header",
            "milliseconds": 0.0,
        }
    ]


def test_a_signed_body_that_is_no_event_is_logged_as_an_error() -> None:
    webhook = Webhook()
    webhook.post(b"[1]")
    assert [(line["severity"], line["reason"]) for line in webhook.lines] == [
        ("ERROR", "the body is not a JSON object")
    ]


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ({"X-Cloud-Trace-Context": TRACE}, LINE_OF_TRACE),
        ({"X-Cloud-Trace-Context": f"{TRACE}/123"}, LINE_OF_TRACE),
        ({"X-Cloud-Trace-Context": f"{TRACE}/123;o=0"}, LINE_OF_TRACE),
        ({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}, LINE_OF_TRACE),
        ({"traceparent": f"cc-{TRACE}-b7ad6b7169203331-01-what-the-future-will-be"}, LINE_OF_TRACE),
        ({"X-Cloud-Trace-Context": f"{TRACE}/1", "traceparent": f"00-{'1' * 32}-b7ad6b7169203331-01"}, LINE_OF_TRACE),
        ({}, None),
        ({"X-Cloud-Trace-Context": ""}, None),
        ({"X-Cloud-Trace-Context": "/1;o=1"}, None),
        ({"X-Cloud-Trace-Context": TRACE[:-1]}, None),
        ({"X-Cloud-Trace-Context": TRACE + "0"}, None),
        ({"X-Cloud-Trace-Context": TRACE[:-1] + "é"}, None),
        ({"X-Cloud-Trace-Context": TRACE[:-1] + "\n"}, None),
        ({"X-Cloud-Trace-Context": "YamadaTaroTokyotoChiyodaku12345X"}, None),
        ({"traceparent": TRACE}, None),
        ({"traceparent": "00--b7ad6b7169203331-01"}, None),
        ({"traceparent": "-" * 100_000}, None),
    ],
)  # fmt: skip
def test_the_lines_of_one_request_can_be_joined_by_its_trace(headers: dict[str, str], trace: str | None) -> None:
    webhook = Webhook()
    webhook.post(BODY, {"Stripe-Signature": sign(BODY)} | headers)
    webhook.post(BODY, headers)
    assert [line.get(FIELD_OF_TRACE) for line in webhook.lines] == [trace, trace]


# Distinctive enough never to stand in a reason or a log line by accident.
words = st.text("qxzjkvw0123456789", min_size=10, max_size=20)
names = st.builds("{} {}".format, st.sampled_from(["山田", "Ünïcödé", "O'Brien", "<b>"]), words)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[Webhook, Request, list[str]]:
    """A request of any outcome, and everything in it that is nobody else's business."""
    name, street, key, secret = draw(names), draw(words), draw(words), f"whsec_{draw(words)}"
    email = f"{draw(words)}@{draw(words)}.example"
    account = Account(now=NOW)
    account.create_customer(email=email, name=name, address={"line1": street}, metadata={key: street})
    data = account.events[0]
    data = (
        thin(data) | {"reason": {"request": {"client": {"name": name, "email": email}}}}
        if draw(st.booleans())
        else data
    )
    data["type"] = draw(st.sampled_from([data["type"], "a.type.of.2030"]))
    data["livemode"] = draw(st.booleans())
    spoilt = draw(st.sampled_from(["id", "type", "created", "livemode", "api_version", "account", *[None] * 6]))
    if spoilt:
        data[spoilt] = draw(st.sampled_from([name, [email], {key: street}, f"{email}\n{name}", None]))
    body = draw(st.sampled_from([encode(data), json.dumps(data).encode()]))
    signature = sign(body, secret, NOW + draw(st.sampled_from([0, 0, 0, 301, -301])))
    cut = draw(st.sampled_from([0] * 6 + [1]))
    header = draw(st.sampled_from([signature] * 6 + [signature + email, signature + name, email, name, ""]))
    method = draw(st.sampled_from(["POST"] * 8 + ["GET", email]))
    headers = {
        "Stripe-Signature": header,
        "User-Agent": name,
        "X-Cloud-Trace-Context": draw(st.sampled_from(["", email, name, f"{TRACE}/{street}"])),
        "traceparent": draw(st.sampled_from(["", f"00-{street}-{key}-01"])),
        "Content-Length": draw(st.sampled_from(["", street, "9" * 20])) if cut else "",
    }
    publish_error = draw(st.sampled_from([None, None, Retry("Pub/Sub answered UNAVAILABLE")]))
    webhook = Webhook(secrets=(secret,), livemode=draw(st.sampled_from([None, False])), publish_error=publish_error)
    private = [name, email, street, key, secret, mac(body, secret), signature]
    return webhook, Request(method, headers, Upload(body[cut:])), private


@settings(max_examples=1_000)
@given(deliveries())
def test_neither_the_log_nor_the_answer_says_anything_personal(delivery: tuple[Webhook, Request, list[str]]) -> None:
    webhook, request, private = delivery
    response = webhook.receive(request)
    assert len(webhook.lines) == 1
    said = [webhook.output.getvalue(), *written(webhook.lines), response.body, *response.headers.values()]
    assert [word for word in pieces(private) for text in said if word in text] == []


def written(values: Iterable[object]) -> list[str]:
    """As people read them: without the escapes of JSON."""
    return [str(value) for value in values]


def pieces(private: Iterable[str]) -> list[str]:
    """Whole, and word by word."""
    return [piece for text in private for piece in {text, *text.replace("@", " ").split()} if len(piece) > 8]
