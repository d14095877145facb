"""The webhook as it is deployed: the real main.py, served by functions-framework and gunicorn, over real sockets."""

import http.client
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

from functions.topology import TOPIC, function
from local.emulators import Emulators
from local.processes import LOOPBACK, Program, Server, free_ports
from local.sender import send, sign
from tests.test_webhook import LIMIT, event

Json = dict[str, Any]
Message = tuple[bytes, dict[str, str]]

ROOT = Path(__file__).resolve().parent.parent
SECRET, OLD_SECRET = f"whsec_{secrets.token_hex(16)}", f"whsec_{secrets.token_hex(16)}"
BODY = json.dumps(event(), ensure_ascii=False, indent=1).encode()
HOSTILE = "<script>alert('taro@example.com')</script>"
# Nothing of the machine the tests run on but what it takes to start a Python.
PLAIN_ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
COMMAND = (sys.executable, "-m", "functions_framework", "--target=stripe_webhook", f"--host={LOOPBACK}")


# What every test here uses


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over a socket."""

    status: int
    headers: http.client.HTTPMessage
    body: str


class Function:
    """The function in a process of its own."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.address = server.addresses["http"]
        self.host, self.port = LOOPBACK, int(self.address.rpartition(":")[2])

    @property
    def url(self) -> str:
        return f"http://{self.address}/"

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=30)

    def exchange(self, *pieces: bytes, end: bool = False) -> Answer:
        """Write these bytes on a new connection, hang up where `end` says so, and read one answer."""
        with self.connect() as connection:
            with suppress(ConnectionError):  # whoever is refused need not be heard out
                for piece in pieces:
                    connection.sendall(piece)
                if end:
                    connection.shutdown(socket.SHUT_WR)
            return read_answer(connection)

    def post(self, body: bytes, *headers: bytes) -> Answer:
        """A POST with these header lines and its true length."""
        return self.exchange(head(*headers, b"Content-Length: %d" % len(body)) + body)

    def lines(self, trace: str | None = None) -> list[Json]:
        """What the function logged, of one trace or of all."""
        lines = [json.loads(line) for line in self.server.child.output().splitlines() if line.startswith("{")]
        return [line for line in lines if trace is None or line.get("logging.googleapis.com/trace", "").endswith(trace)]

    def resident_kilobytes(self) -> int:
        """The memory of all its processes."""
        rows = subprocess.run(["ps", "-A", "-o", "pgid=,rss="], capture_output=True, text=True, check=True).stdout
        return sum(int(rss) for group, rss in map(str.split, rows.splitlines()) if int(group) == self.server.child.pid)


def read_answer(connection: socket.socket, method: str = "POST") -> Answer:
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    return Answer(response.status, response.headers, response.read().decode())


def head(*lines: bytes, request: bytes = b"POST / HTTP/1.1") -> bytes:
    return b"\r\n".join([request, b"Host: shop.example", *lines, b"", b""])


def signature(body: bytes, secret: str = SECRET) -> bytes:
    return b"Stripe-Signature: " + sign(body, secret).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


CHUNKED = b"Transfer-Encoding: chunked"


def eventually(condition: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@contextmanager
def served(log_directory: Path, environ: Mapping[str, str]) -> Iterator[Function]:
    """Served as Cloud Run does it: functions-framework's own command, which loads main.py before gunicorn forks."""
    program = Program(
        name="stripe-webhook",
        listens=("http",),
        command=lambda ports: [*COMMAND, f"--port={ports['http']}"],
        ready_line="Booting worker",
        environ={
            **PLAIN_ENVIRONMENT,
            "STRIPE_WEBHOOK_SECRETS": f"{OLD_SECRET},\n{SECRET}\n",
            "THREADS": str(function("stripe_webhook").concurrency),
            "GUNICORN_LOG_LEVEL": "info",
            **environ,
        },
        directory=ROOT,
    )
    server = Server(program, log_directory)
    try:
        # `wait_until_ready` asks for a page, and this function has none.
        ready = eventually(lambda: program.ready_line in server.child.output() or server.child.exit_status is not None)
        assert ready, server.child.output()
        assert server.child.exit_status is None, server.child.output()
        yield Function(server)
    finally:
        server.stop()


@pytest.fixture(scope="module")
def shop(emulators: Emulators) -> str:  # noqa: ARG001 -- the client finds them by the environment
    """A project with the topic."""
    project = f"test-{secrets.token_hex(6)}"
    with PublisherClient() as client:
        client.create_topic(name=client.topic_path(project, TOPIC))
    return project


@pytest.fixture(scope="module")
def webhook(emulators: Emulators, shop: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    environ = {"GOOGLE_CLOUD_PROJECT": shop, **emulators.environment()}
    with served(tmp_path_factory.mktemp("webhook"), environ) as started:
        yield started


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    """The same function where nothing listens at Pub/Sub's address."""
    environ = {"GOOGLE_CLOUD_PROJECT": "shop", "PUBSUB_EMULATOR_HOST": f"{LOOPBACK}:{free_ports(1)[0]}"}
    with served(tmp_path_factory.mktemp("cut_off"), environ) as started:
        yield started


@pytest.fixture
def published(webhook: Function, shop: str) -> Iterator[Callable[[], list[Message]]]:
    """Everything that was published since the test began, taken out of a subscription of its own."""
    with SubscriberClient() as client:
        subscription = client.subscription_path(shop, f"test-{secrets.token_hex(6)}")
        client.create_subscription(name=subscription, topic=client.topic_path(shop, TOPIC))

        def take() -> list[Message]:
            # The last event is one of ours: when it is there, everything before it is too.
            last, found = json.dumps(event(id=f"evt_{secrets.token_hex(6)}")).encode(), list[Message]()
            assert webhook.post(last, signature(last)).status == 200
            while last not in [data for data, _ in found]:
                answer = client.pull(subscription=subscription, max_messages=1_000, timeout=10)
                found += [(each.message.data, dict(each.message.attributes)) for each in answer.received_messages]
                client.acknowledge(
                    subscription=subscription, ack_ids=[each.ack_id for each in answer.received_messages]
                )
            return [(data, attributes) for data, attributes in found if data != last]

        yield take


# Deliveries


def test_an_event_arrives_in_the_topic_byte_for_byte(webhook: Function, published: Callable[[], list[Message]]) -> None:
    answer = webhook.post(BODY, signature(BODY), b"Content-Type: application/json; charset=utf-8")
    assert (answer.status, answer.body) == (200, "published\n")
    assert published() == [
        (
            BODY,
            {
                "event_id": event()["id"],
                "type": "customer.created",
                "created": str(event()["created"]),
                "livemode": "false",
                "api_version": "2026-10-28.endive",
                "payload": "snapshot",
            },
        )
    ]


def test_the_old_secret_still_counts_while_a_new_one_is_rolled_out(
    webhook: Function, published: Callable[[], list[Message]]
) -> None:
    assert webhook.post(BODY, signature(BODY, OLD_SECRET)).status == 200
    assert webhook.post(BODY, signature(BODY, "whsec_neither")).status == 400
    assert [data for data, _ in published()] == [BODY]


@pytest.mark.parametrize("piece", [1, 100, LIMIT])
def test_a_chunked_event_is_put_together(webhook: Function, published: Callable[[], list[Message]], piece: int) -> None:
    chunks = [chunk(BODY[start : start + piece]) for start in range(0, len(BODY), piece)]
    assert webhook.exchange(head(signature(BODY), CHUNKED), *chunks, chunk(b"")).status == 200
    assert [data for data, _ in published()] == [BODY]


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
def test_exactly_1_mib_is_accepted(webhook: Function, published: Callable[[], list[Message]], *, chunked: bool) -> None:
    body = BODY + b" " * (LIMIT - len(BODY))
    if chunked:
        answer = webhook.exchange(head(signature(body), CHUNKED), chunk(body), chunk(b""))
    else:
        answer = webhook.post(body, signature(body))
    assert answer.status == 200
    assert [data for data, _ in published()] == [body]


def test_what_a_proxy_or_a_browser_might_add_changes_nothing(
    webhook: Function, published: Callable[[], list[Message]]
) -> None:
    for line in (
        b"Content-Type: application/x-www-form-urlencoded",
        b"Content-Type: multipart/form-data; boundary=x",
        b"Content-Encoding: gzip",
        b"X-HTTP-Method-Override: DELETE",
        b"Expect: 100-continue",
        b"Cookie: a=b",
    ):
        with webhook.connect() as connection:
            connection.sendall(head(signature(BODY), line, b"Content-Length: %d" % len(BODY)) + BODY)
            answer = read_answer(connection)
        assert (line, answer.status) == (line, 200)
    assert [data for data, _ in published()] == [BODY] * 6


def test_many_deliveries_at_once_each_arrive_once(webhook: Function, published: Callable[[], list[Message]]) -> None:
    events = [event(id=f"evt_{number}") for number in range(200)]
    assert {answer.status for answer in send(webhook.url, SECRET, events, connections=16)} == {200}
    assert sorted(attributes["event_id"] for _, attributes in published()) == sorted(each["id"] for each in events)


# Refusals


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_are_not_allowed(webhook: Function, method: str) -> None:
    with webhook.connect() as connection:
        connection.sendall(head(signature(BODY), request=f"{method} /any/path?q=1 HTTP/1.1".encode()))
        answer = read_answer(connection, method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"
    assert answer.body == ("" if method == "HEAD" else "only POST\n")


@pytest.mark.parametrize(
    ("lines", "body", "reason"),
    [
        (list, BODY, "no Stripe-Signature header"),
        (lambda: [b"Stripe-Signature:"], BODY, "no Stripe-Signature header"),
        (lambda: [b"Stripe-Signature: \xe9"], BODY, "the Stripe-Signature header is not ASCII"),
        (lambda: [b"Stripe-Signature: \xff\xfe"], BODY, "the Stripe-Signature header is not ASCII"),
        (lambda: [signature(BODY), signature(BODY)], BODY, "the Stripe-Signature header does not have one timestamp"),
        (
            lambda: [b"Stripe-Signature: " + HOSTILE.encode()],
            BODY,
            "the Stripe-Signature header does not have one timestamp",
        ),
        (lambda: [signature(BODY, "whsec_another")], BODY, "no signature matches"),
        (lambda: [signature(BODY)], BODY[:-1], "no signature matches"),
        (lambda: [signature(BODY)], BODY + b"\xff", "the body is not UTF-8"),
        (lambda: [signature(b"[1]")], b"[1]", "the body is not a JSON object"),
        (lambda: [signature(b"[" * LIMIT)], b"[" * LIMIT, "the body is not JSON"),
        (lambda: [signature(HOSTILE.encode())], HOSTILE.encode(), "the body is not JSON"),
        (lambda: [signature(b"{}")], b"{}", "the event has no type"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_event_of_stripes_is_refused(
    webhook: Function,
    published: Callable[[], list[Message]],
    lines: Callable[[], list[bytes]],
    body: bytes,
    reason: str,
) -> None:
    # Signed now and not when the tests were collected, which may be longer ago than a signature lives.
    answer = webhook.post(body, *lines())
    assert (answer.status, answer.body) == (400, f"{reason}\n")
    assert published() == []


def test_a_body_announced_as_too_large_is_refused_before_it_is_sent(webhook: Function) -> None:
    for length in (LIMIT + 1, 10**15):
        answer = webhook.exchange(head(signature(BODY), b"Content-Length: %d" % length))
        assert (answer.status, answer.body) == (413, f"more than {LIMIT} bytes\n")


def test_a_chunked_body_is_refused_once_it_is_too_large(webhook: Function) -> None:
    full = [chunk(b" " * 65_536)] * 16
    for rest in ([chunk(b" "), chunk(b"")], [chunk(b" " * 2_000)], full):
        answer = webhook.exchange(head(signature(BODY), CHUNKED), *full, *rest)
        assert (answer.status, answer.body) == (413, f"more than {LIMIT} bytes\n")


def test_endless_uploads_are_neither_read_nor_held(webhook: Function) -> None:
    before = webhook.resident_kilobytes()

    def upload(number: int) -> int:
        line = CHUNKED if number % 2 else b"Content-Length: %d" % 10**12
        return webhook.exchange(head(signature(BODY), line), *[chunk(b"x" * 1_000_000)] * 50).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(upload, range(16))) == {413}
    # 16 × 50 MB were on their way. What a thread may hold is 1 MiB and what gunicorn copies of it.
    assert webhook.resident_kilobytes() - before < 100_000


BROKEN_BODIES = {
    "a size that is none": chunk(BODY[:5]) + HOSTILE.encode() + b"\r\n",
    "a negative size": b"-5\r\nhello\r\n",
    "no end of the chunk": b"5\r\nhelloXX" + HOSTILE.encode(),
    "hung up in a chunk": b"ffff\r\n" + BODY[:100],
    "hung up between chunks": chunk(BODY[:100]),
    "hung up before the first": b"",
}


@pytest.mark.parametrize("sent", BROKEN_BODIES.values(), ids=BROKEN_BODIES)
def test_a_body_that_is_not_framed_as_http_wants_it_is_refused(webhook: Function, sent: bytes) -> None:
    trace = secrets.token_hex(16)
    answer = webhook.exchange(
        head(signature(BODY), CHUNKED, b"X-Cloud-Trace-Context: " + trace.encode()), sent, end=True
    )
    assert answer.status == 400
    assert [(line["outcome"], line["status"]) for line in webhook.lines(trace)] == [("refused", 400)]
    assert "script" not in webhook.server.child.output()


@pytest.mark.parametrize("sent", [b"", BODY[:-1]], ids=len)
def test_a_body_shorter_than_announced_is_refused(webhook: Function, sent: bytes) -> None:
    answer = webhook.exchange(head(signature(BODY), b"Content-Length: %d" % len(BODY)), sent, end=True)
    assert answer.status == 400


def test_no_answer_repeats_what_was_sent(webhook: Function) -> None:
    hostile = HOSTILE.encode()
    for data in (
        head(b"Stripe-Signature: " + hostile, b"Content-Length: 0"),
        head(b"User-Agent: " + hostile, b"X-Cloud-Trace-Context: " + hostile, b"Content-Length: 0"),
        head(b"Content-Length: 0", request=b"POST //evil.example/" + hostile.replace(b" ", b"") + b" HTTP/1.1"),
        head(b"Content-Length: 0", request=b"POST /%0d%0aX-Injected:%20yes?q=" + hostile + b" HTTP/1.1"),
        head(request=b"GET /" + hostile + b" HTTP/1.1"),
        head(signature(hostile), b"Content-Length: %d" % len(hostile)) + hostile,
    ):
        answer = webhook.exchange(data)
        # A path with a line end in it is one that functions-framework does not find.
        assert answer.status in {400, 404, 405}
        said = f"{answer.headers}{answer.body}"
        assert not [word for word in ("script", "alert", "taro", "evil", "X-Injected") if word in said]


# Connections


def test_a_connection_serves_one_request_after_the_other(webhook: Function) -> None:
    with closing(http.client.HTTPConnection(webhook.host, webhook.port, timeout=30)) as connection:
        connection.connect()
        first = connection.sock
        for headers, status in [(signature(BODY), 200), (signature(b"other"), 400), (signature(BODY), 200)] * 3:
            name, _, value = headers.decode().partition(": ")
            connection.request("POST", "/", BODY, {name: value})
            response = connection.getresponse()
            response.read()
            assert response.status == status
            assert connection.sock is first


def test_a_refused_body_is_not_taken_for_the_next_request(
    webhook: Function, published: Callable[[], list[Message]]
) -> None:
    smuggled = head(signature(BODY), b"Content-Length: %d" % len(BODY)) + BODY
    with webhook.connect() as connection:
        connection.sendall(
            head(b"Content-Length: %d" % len(smuggled), request=b"PUT / HTTP/1.1")
            + smuggled
            + head(b"Connection: close", request=b"DELETE / HTTP/1.1")
        )
        said = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", said) == [b"405", b"405"]
    assert published() == []


def test_slow_senders_do_not_keep_the_others_waiting(webhook: Function) -> None:
    with ExitStack() as stack:
        for _ in range(function("stripe_webhook").concurrency // 2):
            connection = stack.enter_context(webhook.connect())
            connection.sendall(head(signature(BODY), b"Content-Length: %d" % len(BODY)) + BODY[:10])
        started = time.monotonic()
        assert webhook.post(BODY, signature(BODY)).status == 200
        assert time.monotonic() - started < 5


# Pub/Sub is gone


def test_without_pubsub_stripe_is_asked_to_come_again(cut_off: Function) -> None:
    trace = secrets.token_hex(16)
    with ThreadPoolExecutor(1) as pool:
        started = time.monotonic()
        pending = pool.submit(cut_off.post, BODY, signature(BODY), b"X-Cloud-Trace-Context: " + trace.encode())
        # Whoever waits for Pub/Sub keeps nobody else waiting.
        assert cut_off.post(BODY).status == 400
        assert not pending.done()
        answer = pending.result()
    assert time.monotonic() - started < 10
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.body == "not published: Pub/Sub answered UNAVAILABLE\n"
    assert [(line["severity"], line["outcome"]) for line in cut_off.lines(trace)] == [("ERROR", "retry")]


# The log


def test_every_request_is_one_line_of_json(webhook: Function) -> None:
    trace = secrets.token_hex(16)
    by_google = b"X-Cloud-Trace-Context: %b/123;o=1" % trace.encode()
    by_w3c = b"traceparent: 00-%b-b7ad6b7169203331-01" % trace.encode()
    webhook.post(BODY, signature(BODY), by_google)
    webhook.post(BODY, by_w3c)
    webhook.exchange(head(by_google, request=b"GET / HTTP/1.1"))
    webhook.exchange(head(by_google, b"Content-Length: %d" % (LIMIT + 1)))
    assert eventually(lambda: len(webhook.lines(trace)) >= 4, 5)
    assert [(line["severity"], line["status"], line["outcome"]) for line in webhook.lines(trace)] == [
        ("INFO", 200, "published"),
        ("WARNING", 400, "refused"),
        ("WARNING", 405, "refused"),
        ("WARNING", 413, "refused"),
    ]
    published = webhook.lines(trace)[0]
    assert (published["event_id"], published["type"]) == (event()["id"], "customer.created")
    assert 0 < published["milliseconds"] < 8_000


def test_nothing_personal_was_logged_by_any_of_this(webhook: Function, cut_off: Function) -> None:
    for started in (webhook, cut_off):
        started.post(BODY)
        output = started.server.child.output()
        assert '{"severity"' in output
        for private in ("taro", "太郎", "script", SECRET[6:], OLD_SECRET[6:], "v1=", "Traceback"):
            assert private not in output


# Settings


def start(environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Try to start the function; it is expected to end by itself."""
    return subprocess.run(
        [*COMMAND, f"--port={free_ports(1)[0]}"],
        env={**PLAIN_ENVIRONMENT, "PUBSUB_EMULATOR_HOST": f"{LOOPBACK}:1", **environ},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("secret", [None, " , \n", "sk_live_pasted_by_mistake"], ids=repr)
def test_without_a_signing_secret_the_function_does_not_start_and_says_why(secret: str | None) -> None:
    variables = {} if secret is None else {"STRIPE_WEBHOOK_SECRETS": secret}
    ended = start({"GOOGLE_CLOUD_PROJECT": "shop", **variables})
    assert ended.returncode != 0
    assert "STRIPE_WEBHOOK_SECRETS" in ended.stderr.splitlines()[-1]
    assert "pasted_by_mistake" not in ended.stderr + ended.stdout


def test_everything_that_is_wrong_with_the_settings_is_said_at_once() -> None:
    ended = start({"STRIPE_LIVEMODE": "maybe", "FORWARD_ALL": "often"})
    assert ended.returncode != 0
    last = ended.stderr.splitlines()[-1]
    variables = ("GOOGLE_CLOUD_PROJECT", "STRIPE_WEBHOOK_SECRETS", "STRIPE_LIVEMODE", "FORWARD_ALL")
    assert [variable for variable in variables if variable not in last] == []
