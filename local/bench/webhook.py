"""The webhook beside a bare function: the same server, the same threads, the same request, taking turns.

The bare function answers "ok" and does nothing. The webhook is the real one of `main.py`: it reads the body, verifies
the signature, parses the event, publishes it to the Pub/Sub emulator, waits for the acknowledgement, and logs. Both
are started as in the cloud, one function per process, by functions-framework with as many threads as the topology
gives an instance of the webhook. The topic has no subscription here: publishing costs the function the same, and the
emulator's deliveries would only take their share of the machine.

The load generator, the server and the emulator have what is often two cores, and share them with whatever else runs:
one long measurement of each would compare two different moments. Instead the two take short turns, each round gives
one ratio of neighbours, and the median of the ratios counts: a stall spoils a round, not the result.
"""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from google.cloud.pubsub_v1 import PublisherClient

from functions.topology import TOPIC, function
from local.account import Account, Line
from local.bench.findings import BenchError, Finding
from local.bench.load import Load, Plan, Target, run
from local.processes import LOOPBACK, Program, Server
from local.sender import sign
from local.system import ROOT

CONNECTIONS = 16
_BARE = """import functions_framework


@functions_framework.http
def bare(request):
    return "ok"
"""
_LISTENING = "Listening at: http://"
_EVENT_BYTES = 5_000


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure.

    The warm-up is for the emulator's JVM, which compiles what it runs often: in its first half minute publishing gets
    a third quicker, and that is not the function's doing.
    """

    warm_up_seconds: float = 25.0
    seconds: float = 0.5
    busy_rounds: int = 25
    quiet_rounds: int = 15


def measure(logs: Path, effort: Effort, *, min_share: float, max_extra_ms: float) -> Iterator[Finding]:
    """Requests per second on 16 connections, and the median time to an answer on one.

    The environment names the emulator. Raises BenchError.
    """
    with targets(logs) as both:
        _, webhook = both
        take_turns(Plan([webhook], CONNECTIONS, effort.warm_up_seconds, 1))
        busy = take_turns(Plan(both, CONNECTIONS, effort.seconds, effort.busy_rounds))
        quiet = take_turns(Plan(both, 1, effort.seconds, effort.quiet_rounds))
    yield Finding(
        what=f"webhook, {CONNECTIONS} connections",
        floor=[floor.per_second for floor, _ in busy],
        system=[system.per_second for _, system in busy],
        unit="requests/s",
        bounded="ratio",
        at_least=min_share,
    )
    yield Finding(
        what="webhook, 1 connection, median",
        floor=[floor.median_ms for floor, _ in quiet],
        system=[system.median_ms for _, system in quiet],
        unit="ms",
        bounded="extra",
        at_most=max_extra_ms,
    )


def take_turns(plan: Plan) -> list[list[Load]]:
    """Run the load generator. Raises BenchError unless every answer was the expected one."""
    try:
        rounds = run(plan)
    except subprocess.CalledProcessError as error:
        raise BenchError("the load generator failed, for the reason above") from error
    for target, load in ((target, load) for loads in rounds for target, load in zip(plan.targets, loads, strict=True)):
        if load.wrong or not load.per_second:
            seen = ", ".join(f"{count} × {what}" for what, count in load.wrong.items()) or "no answer in time"
            raise BenchError(f"each answer had to be 200 {target.expect!r}, but there was: {seen}")
    return rounds


@contextmanager
def targets(logs: Path) -> Iterator[tuple[Target, Target]]:
    """The bare function and the real webhook, both running, and a signed event for either."""
    project, secret = f"bench-{secrets.token_hex(6)}", f"whsec_{secrets.token_hex(16)}"
    with PublisherClient() as publisher:
        publisher.create_topic(name=publisher.topic_path(project, TOPIC))
    settings = {"GOOGLE_CLOUD_PROJECT": project, "STRIPE_WEBHOOK_SECRETS": secret}
    source = logs / "bare" / "main.py"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(_BARE)
    with ExitStack() as stack:
        servers = []
        for name, path in {"bare": source, "stripe_webhook": ROOT / "main.py"}.items():
            servers.append(Server(_program(name, path, settings), logs))
            stack.callback(servers[-1].stop)
        for server in servers:
            server.wait_until_ready()
        body = event()
        headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": sign(body.encode(), secret)}
        bare, webhook = (server.child.output().partition(_LISTENING)[2].partition(" ")[0].strip() for server in servers)
        yield Target.post(bare, headers, body, "ok"), Target.post(webhook, headers, body, "published")


def _program(target: str, source: Path, settings: Mapping[str, str]) -> Program:
    return Program(
        name=target,
        # It takes any free port and logs which: a webhook has no page at / that `Server` could ask for.
        listens=(),
        command=lambda _: [
            *(sys.executable, "-m", "functions_framework", "--source", source, "--host", LOOPBACK, "--port", "0")
        ],
        ready_line="Booting worker",
        environ={
            **{name: value for name, value in os.environ.items() if not name.startswith("STRIPE_")},
            **settings,
            "FUNCTION_TARGET": target,
            "THREADS": str(function("stripe_webhook").concurrency),
            "GUNICORN_LOG_LEVEL": "info",
        },
        directory=ROOT,
    )


def event() -> str:
    """A completed Checkout Session, with as much of the seller's metadata as brings it to the usual size."""
    account = Account(now=int(time.time()), prefix="Bench")
    lines = [Line("Drip mug", 1400), Line("Coffee beans 200 g", 2000, quantity=3)]
    session = account.open_session(lines, client_reference_id="user_bench", customer_creation="always")
    account.complete(session, email="bench@example.com", name="Hana Sato", creates_customer=True)
    completed = account.events[-1]
    metadata = completed["data"]["object"]["metadata"]
    while len(body := json.dumps(completed)) < _EVENT_BYTES:
        metadata[f"campaign_{len(metadata):02}"] = secrets.token_urlsafe(60)
    return body
