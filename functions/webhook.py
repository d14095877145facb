"""The way in: verify the raw bytes, publish them unchanged, choose the status. Keeps nothing, decides nothing.

200 is only said after Pub/Sub has the event. Everything that is not an event of Stripe is a 4xx with one line of
reason, everything that may yet succeed is a 503, upon which Stripe delivers again for three days.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Protocol

import stripe

from functions.clock import Clock
from functions.errors import Malformed, Retry
from functions.incoming import Headers, Unreadable, read_body, trace
from functions.log import Log, Severity
from functions.settings.webhook import WebhookSettings
from functions.stripe_events import StripeEvent, parse
from functions.topology import EVENT_TYPES

#: Stripe's events are a few kB; the largest captured one has 30. Pub/Sub would take 10 MB.
MAX_BODY_BYTES = 1 << 20
#: How far the signature's clock may be from ours, in either direction: Stripe's own libraries use the same 300 s.
TOLERANCE_SECONDS = 300
#: Stripe gives up on an answer after 10 s or more; ours comes before that.
PUBLISH_DEADLINE_SECONDS = 8.0
RETRY_AFTER_SECONDS = 30


class Publisher(Protocol):
    """The Pub/Sub topic."""

    def publish(self, data: bytes, attributes: Mapping[str, str], deadline_seconds: float) -> None:
        """Publish one message and return when it is acknowledged. Raises Retry if that fails within the deadline."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the webhook needs of an HTTP request."""

    method: str
    headers: Headers
    stream: IO[bytes]


@dataclass(frozen=True, slots=True)
class Response:
    """A status, one line of text, and headers."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Whether the request's body was read to its end.
    body_was_read: bool = True


class Refusal(Exception):
    """The request is answered with this and goes no further."""

    def __init__(
        self, status: int, reason: str, headers: Mapping[str, str] | None = None, *, read: bool = True
    ) -> None:
        super().__init__(reason)
        self.response = Response(status, reason, headers or {}, body_was_read=read)


def receive(request: Request, *, settings: WebhookSettings, publisher: Publisher, clock: Clock, log: Log) -> Response:
    """Answer one request of Stripe's. Never raises for anything the request contains."""
    started = clock.now()

    def answer(response: Response, severity: Severity, outcome: str, event: StripeEvent | None = None) -> Response:
        log(
            severity,
            f"{event.type if event else 'webhook'} {outcome}",
            **{"logging.googleapis.com/trace": trace(request.headers, settings.project)},
            event_id=event.id if event else None,
            type=event.type if event else None,
            function="stripe_webhook",
            outcome=outcome,
            status=response.status,
            reason=response.body if response.status != 200 else None,
            milliseconds=round((clock.now() - started) * 1000, 1),
        )
        return response

    try:
        body = _read_body(request)
        _verify(body, request.headers.get("Stripe-Signature", ""), settings.secrets, clock.now())
        event = parse(body)
    except Refusal as refusal:
        return answer(refusal.response, "WARNING", "refused")
    except Malformed as problem:
        return answer(Response(400, str(problem)), "ERROR", "refused")
    if settings.livemode is not None and event.livemode is not settings.livemode:
        return answer(Response(200, "ignored: the other mode"), "INFO", "ignored", event)
    if event.type not in EVENT_TYPES and not settings.forward_all:
        return answer(Response(200, "ignored: nobody listens to this type"), "INFO", "ignored", event)
    try:
        publisher.publish(body, attributes(event), PUBLISH_DEADLINE_SECONDS)
    except Retry as problem:
        unavailable = Response(503, f"not published: {problem}", {"Retry-After": str(RETRY_AFTER_SECONDS)})
        return answer(unavailable, "ERROR", "retry", event)
    return answer(Response(200, "published"), "INFO", "published", event)


def attributes(event: StripeEvent) -> dict[str, str]:
    """The attributes of the published message: what filters and subscribers may know without parsing the body.

    `created` is in epoch seconds; `type` is the same for the thin and the snapshot form of an event.
    """
    found = {
        "event_id": event.id,
        "type": event.type,
        "created": str(event.created),
        "livemode": "true" if event.livemode else "false",
        "api_version": event.api_version,
        "account": event.account,
        "payload": "thin" if event.is_thin else "snapshot",
    }
    return {key: value for key, value in found.items() if value is not None}


def _read_body(request: Request) -> bytes:
    if request.method != "POST":
        raise Refusal(405, "only POST", {"Allow": "POST", "Connection": "close"}, read=False)
    try:
        return read_body(request.headers, request.stream, MAX_BODY_BYTES)
    except Unreadable as problem:
        headers = {"Connection": "close"} if problem.status == 413 else {}
        raise Refusal(problem.status, str(problem), headers, read=False) from None


def _verify(body: bytes, header: str, secrets: tuple[str, ...], now: float) -> None:
    """Raise Refusal unless one of the secrets signed these bytes within the tolerance.

    The scheme is Stripe's library's; what it lets through or trips over is refused before it is asked
    (https://docs.stripe.com/webhooks#verify-manually).
    """
    if not header:
        raise Refusal(400, "no Stripe-Signature header")
    if not header.isascii():
        raise Refusal(400, "the Stripe-Signature header is not ASCII")
    timestamps = [value for name, _, value in (part.partition("=") for part in header.split(",")) if name == "t"]
    if len(timestamps) != 1 or not timestamps[0].isdecimal():
        raise Refusal(400, "the Stripe-Signature header does not have one timestamp")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal(400, "the body is not UTF-8") from None
    if not any(_signed(text, header, secret) for secret in secrets):
        raise Refusal(400, "no signature matches")
    if abs(now - int(timestamps[0])) > TOLERANCE_SECONDS:
        raise Refusal(400, f"the signature's timestamp is more than {TOLERANCE_SECONDS} s away from now")


def _signed(text: str, header: str, secret: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(text, header, secret)
    except stripe.SignatureVerificationError:
        return False
    return True
