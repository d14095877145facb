"""Thousands of requests nobody would think of: each gets a status and one line; only what is genuine is published."""

import json
import re
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any

import stripe
from flask import Request as FlaskRequest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client, EnvironBuilder

from functions.adapters.http import serve
from functions.topology import EVENT_TYPES
from functions.webhook import Request
from local.account import thin
from tests.test_webhook import BODY, LIMIT, NOW, OTHER_SECRET, SECRET, Json, Upload, Webhook, encode, event, sign

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

SECRETS = (SECRET, OTHER_SECRET)
METHODS = ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND")


def check(webhook: Webhook, request: Request, body: bytes) -> int:
    """Receive it, check what holds for any request whatever, and return the status."""
    now = webhook.clock.time
    response = webhook.receive(request)
    assert response.status in {200, 400, 405, 413}
    assert 0 < len(response.body) < 100
    assert response.body.isprintable()
    assert webhook.output.getvalue().count("\n") == 1
    assert webhook.lines[0]["status"] == response.status
    if response.status == 200:
        assert request.method == "POST"
        assert is_genuine(body, request.headers.get("Stripe-Signature", ""), now)
        assert webhook.published == ([body] if response.body == "published" else [])
    else:
        assert not webhook.topic.deadlines
    return response.status


def is_genuine(body: bytes, header: str, now: float) -> bool:
    """What a 200 takes at the least, said with Stripe's own library: signed, recent, and a JSON object with a name."""

    def is_signed_by(secret: str) -> bool:
        try:
            return bool(stripe.WebhookSignature.verify_header(body, header, secret))
        except (stripe.SignatureVerificationError, TypeError, UnicodeDecodeError):
            return False

    times = re.findall(r"(?:^|,)t=(\d+)(?=,|$)", header)
    if not any(map(is_signed_by, SECRETS)) or len(times) != 1 or abs(now - int(times[0])) > 300 or len(body) > LIMIT:
        return False
    data = json.loads(body)
    return isinstance(data, dict) and all(isinstance(data[key], str) and data[key] for key in ("id", "type"))


# Anything at all

texts = st.text(st.characters(), max_size=60)
header_names = st.sampled_from(
    ["Stripe-Signature", "Content-Length", "X-Cloud-Trace-Context", "traceparent", "Transfer-Encoding", "Content-Type"]
)
signature_like = st.lists(
    st.builds(
        "{}={}".format,
        st.sampled_from(["t", "v1", "v0", " t", "", "é"]) | texts,
        st.sampled_from([str(NOW), "", "1e9", "9" * 400, "²", "0", "-1"]) | texts,
    ),
    max_size=5,
).map(",".join)
numbers = st.integers().map(str) | st.sampled_from(["9" * 5000, str(LIMIT), str(LIMIT + 1), "1e9", "٣", "", "0x10"])
header_values = texts | signature_like | numbers


@settings(max_examples=1_000)
@given(
    method=st.sampled_from(["POST"] * 30 + [*METHODS, "post", "POST ", "POST\n", "ＰＯＳＴ", "\ud800", ""]),
    headers=st.dictionaries(header_names | texts, header_values, max_size=6),
    body=st.binary(max_size=300) | texts.map(lambda text: text.encode(errors="replace")),
    piece=st.sampled_from([1, 7, LIMIT]),
)
def test_whatever_arrives_is_refused(method: str, headers: dict[str, str], body: bytes, piece: int) -> None:
    webhook = Webhook(secrets=SECRETS, forward_all=True)
    assert check(webhook, Request(method, headers, Upload(body, piece=piece)), body) in {400, 405, 413}


# Nearly right

Delivery = tuple[bytes, str, str, int]
"""A body, its signature header, a method, and how far the clock has moved."""
Mutation = Callable[[Delivery], Delivery]


def of_body(change: Callable[[bytes], bytes]) -> Mutation:
    return lambda delivery: (change(delivery[0]), *delivery[1:])


def of_header(change: Callable[[str], str]) -> Mutation:
    return lambda delivery: (delivery[0], change(delivery[1]), *delivery[2:])


def of_body_and_signature(change: Callable[[bytes], bytes]) -> Mutation:
    return lambda delivery: (change(delivery[0]), sign(change(delivery[0])), *delivery[2:])


def put(at: int, piece: bytes, drop: int) -> Callable[[bytes], bytes]:
    return lambda body: body[: at % (len(body) + 1)] + piece + body[at % (len(body) + 1) + drop :]


def put_text(at: int, piece: str, drop: int) -> Callable[[str], str]:
    return lambda text: text[: at % (len(text) + 1)] + piece + text[at % (len(text) + 1) + drop :]


positions = st.integers(0, 2_000)
changes_of_bytes = st.builds(put, positions, st.binary(max_size=4), st.integers(0, 4))
changes_of_text = st.builds(put_text, positions, st.text("tv10=, abcdefé9+-\n", max_size=4), st.integers(0, 4))
elements = st.sampled_from([f"t={NOW}", f"t={NOW + 1}", "v1=", "v1=00", "v0=00", "t", "v1", "=", "", "é=é"])
CHANGES_OF_TEXT: list[Callable[[str], str]] = [str.upper, str.swapcase, str.title, lambda header: header[::-1]]
mutations: st.SearchStrategy[Mutation] = st.one_of(
    changes_of_bytes.map(of_body),
    changes_of_bytes.map(of_body_and_signature),
    changes_of_text.map(of_header),
    st.builds(lambda element: of_header(lambda header: f"{header},{element}"), elements),
    st.builds(lambda element: of_header(lambda header: f"{element},{header}"), elements),
    st.sampled_from([of_header(change) for change in CHANGES_OF_TEXT]),
    st.builds(lambda by: lambda delivery: (*delivery[:3], by), st.sampled_from([-301, -300, 300, 301])),
    st.builds(lambda method: lambda delivery: (*delivery[:2], method, delivery[3]), st.sampled_from(METHODS)),
)


@settings(max_examples=1_500)
@given(
    body=st.sampled_from([BODY, encode(thin(event())), BODY + b"\n" * 100]),
    secret=st.sampled_from([*SECRETS, *SECRETS, "whsec_another"]),
    changes=st.lists(mutations, max_size=3),
)
def test_a_genuine_delivery_that_somebody_meddled_with(body: bytes, secret: str, changes: list[Mutation]) -> None:
    delivery: Delivery = (body, sign(body, secret), "POST", 0)
    for change in changes:
        delivery = change(delivery)
    sent, header, method, moved = delivery
    webhook = Webhook(secrets=SECRETS)
    webhook.clock.time += moved
    status = check(webhook, Request(method, {"Stripe-Signature": header}, Upload(sent)), sent)
    if not changes:
        assert status == (200 if secret in SECRETS else 400)


# Signed nonsense

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.integers(-(2**65), 2**65) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=4,
)
genuine = st.sampled_from([event(), thin(event())])
ids = st.sampled_from(["evt_1", "evt_thin_1", "a" * 255, "", "evt 1", "é"]) | texts
types = st.sampled_from([*sorted(EVENT_TYPES), "v1.customer.created", "v1.", "v1.v1.", "a"]) | texts
times = st.sampled_from([NOW, 1, 0, -1, NOW + 0.5, 253_402_300_799, 253_402_300_800, str(NOW)]) | st.sampled_from(
    ["2026-09-21T12:00:00.000Z", "2026-09-21T12:00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "now"]
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "id": ids | json_values,
    "object": st.sampled_from(["event", "v2.core.event", "customer"]) | json_values,
    "type": types | json_values,
    "created": times | json_values,
    "livemode": st.booleans() | json_values,
    "api_version": st.sampled_from(["2020-08-27", "2026-10-28.endive"]) | json_values,
    "account": st.sampled_from(["acct_1", ""]) | json_values,
    "context": st.sampled_from(["acct_1", ""]) | json_values,
    "data": st.fixed_dictionaries({"object": json_values}, optional={"previous_attributes": json_values}) | json_values,
    "related_object": st.fixed_dictionaries({"id": json_values, "type": json_values}) | json_values,
    "snapshot_event": ids | json_values,
}
nearly_events = st.fixed_dictionaries({}, optional=FIELDS)
one_field = st.sampled_from(sorted(FIELDS)).flatmap(lambda key: st.fixed_dictionaries({key: FIELDS[key]}))
overwritten = st.builds(lambda base, first, second: base | first | second, genuine, one_field, one_field | st.just({}))
encoders = st.sampled_from(
    [
        *[lambda data: json.dumps(data).encode()] * 5,
        lambda data: json.dumps(data, ensure_ascii=False).encode(errors="surrogatepass"),
        lambda data: json.dumps(data, indent=1).encode("utf-8-sig"),
        lambda data: json.dumps(data).encode("utf-16"),
    ]
)


@settings(max_examples=1_200)
@given(
    data=st.sampled_from([overwritten, overwritten, overwritten, nearly_events, json_values]).flatmap(
        lambda kind: kind
    ),
    encoder=encoders,
)
@example(data=thin(event()) | {"type": "v1."}, encoder=encode)
def test_signed_json_of_any_shape_is_an_event_or_is_refused(data: Any, encoder: Callable[[Any], bytes]) -> None:
    body = encoder(data)
    webhook = Webhook(secrets=SECRETS, forward_all=True)
    check(webhook, Request("POST", {"Stripe-Signature": sign(body)}, Upload(body)), body)
    for _, attributes in webhook.topic.messages:
        # https://cloud.google.com/pubsub/quotas#resource_limits, and never empty.
        assert all(value.isascii() and 0 < len(value) <= 1024 for value in attributes.values())


json_like = st.one_of(
    st.text('[]{}:,"\\u0189dDeE+-.ntrufalsNIiy \t\n', max_size=80).map(str.encode),
    st.builds(
        lambda piece, times, before, after: before + piece * times + after,
        st.sampled_from(
            [b"[", b"{", b'{"":', b"[[],", b'"', b"\\", b"9", b"1e", b"-", b"\xff", b"\0", b"\xe5\xb1\xb1"]
        ),
        st.sampled_from([2, 100, 5_000, 200_000]),
        st.sampled_from([b"", BODY[:-1] + b', "x": ', b'{"id": ', b'{"type":"']),
        st.sampled_from([b"", b"}", b'"}', b"]"]),
    ),
)


@settings(max_examples=800)
@given(body=json_like)
def test_signed_text_that_looks_like_json(body: bytes) -> None:
    webhook = Webhook(secrets=SECRETS, forward_all=True)
    check(webhook, Request("POST", {"Stripe-Signature": sign(body)}, Upload(body)), body)


@settings(max_examples=500)
@given(
    base=genuine,
    extra=st.dictionaries(texts.map("x{}".format), json_values, max_size=4),
    around=st.tuples(*[st.text(" \t\r\n", max_size=4).map(str.encode)] * 2),
    signed=st.tuples(st.sampled_from(SECRETS), st.integers(NOW - 300, NOW + 300)),
    event_type=st.sampled_from(sorted(EVENT_TYPES)),
)
def test_an_event_is_published_unchanged_whatever_else_stripe_puts_into_it(
    base: Json, extra: Json, around: tuple[bytes, bytes], signed: tuple[str, int], event_type: str
) -> None:
    body = json.dumps(base | extra | {"type": event_type}).encode().join(around)
    webhook = Webhook(secrets=SECRETS)
    assert check(webhook, Request("POST", {"Stripe-Signature": sign(body, *signed)}, Upload(body)), body) == 200
    assert webhook.published == [body]


# Through Flask: headers as a server hands them over, lengths that lie

latin_1 = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=60)


@st.composite
def environs(draw: st.DrawFn) -> dict[str, Any]:
    """What a WSGI server makes of a request, good or bad."""
    builder = EnvironBuilder(method=draw(st.sampled_from(["POST"] * 8 + ["GET", "HEAD", "PUT", "OPTIONS", "BREW"])))
    builder.headers["Stripe-Signature"] = draw(st.sampled_from([sign(BODY)] * 3) | latin_1)
    for name in ("X-Cloud-Trace-Context", "traceparent", "Content-Type", "Content-Encoding", "Expect"):
        builder.headers[name] = draw(st.just("") | latin_1)
    environ = builder.get_environ()
    environ["wsgi.input"] = BytesIO(draw(st.sampled_from([BODY, BODY, BODY[:50], BODY + b" ", b""])))
    environ["CONTENT_LENGTH"] = draw(
        st.sampled_from([str(len(BODY))] * 3 + ["", "0", "50", "5000", str(LIMIT + 1), "-1", "x", "9" * 5000])
    )
    return environ | draw(st.sampled_from([{}, {"wsgi.input_terminated": True}, {"HTTP_TRANSFER_ENCODING": "chunked"}]))


@settings(max_examples=500)
@given(environs())
def test_flask_hands_over_whatever_its_server_made_of_a_request(environ: dict[str, Any]) -> None:
    webhook, method = Webhook(), environ["REQUEST_METHOD"]

    def application(environ: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
        return serve(webhook.receive, FlaskRequest(environ))(environ, start_response)

    response = Client(application).open(environ)
    assert response.status_code in {200, 400, 405, 413}
    assert [line["status"] for line in webhook.lines] == [response.status_code]
    assert response.text.count("\n") == (method != "HEAD")
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers.get("Allow") == ("POST" if response.status_code == 405 else None)
    assert webhook.published == ([BODY] if response.status_code == 200 else [])
