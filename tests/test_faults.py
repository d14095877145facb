"""The whole system while something is broken: it ends as if nothing had been, and every mail exists once.

The processes are the real ones, the emulators too; what breaks is what stands between them. Every test prints its
seed: SEED=… repeats the choices, though not the moments at which threads meet.
"""

import os
import random
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from local.account import Line
from local.billing import BillingAccount
from local.emulators import Emulators
from local.processes import local_http
from local.soak.tally import Tally
from local.stripe_api import StripeApi
from local.system import System, running
from tests.faults.delivery import attempt, deliver
from tests.faults.firestore_proxy import FirestoreProxy, Trouble
from tests.faults.impatience import hurry
from tests.faults.mortal import Mortal
from tests.faults.story import Records, Story
from tests.faults.tcp_proxy import TcpProxy
from tests.faults.waiting import finish, has_handled, wait_for

Json = dict[str, Any]
SEED = int(os.environ.get("SEED") or secrets.randbelow(10_000))
#: Of the run in which the process is killed. KILLED_EVENTS=2000 takes a minute or two.
EVENTS = int(os.environ.get("KILLED_EVENTS") or 600)
DEATHS = 3
OUTAGE_SECONDS = 20


def environ(emulators: Emulators) -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    # The town has its own time, in which its mails are not late.
    return {**emulators.environment(), **kept, "MAIL_MAX_AGE": "3650d"}


@pytest.fixture(autouse=True)
def seed() -> int:
    print(f"SEED={SEED}")
    return SEED


@dataclass(frozen=True, slots=True)
class Fragile:
    """A system of which everything that the functions talk to can fail."""

    system: System
    firestore: FirestoreProxy
    pubsub: TcpProxy
    stripe: TcpProxy
    stripe_api: StripeApi
    tally: Tally

    def begin(self, story: Story) -> tuple[list[Json], Records]:
        """Everything has happened at Stripe, and nothing is delivered yet."""
        self.stripe_api.put(story.objects())
        return story.events, Records(self.system)

    def tell(self, story: Story, *, connections: int = 16) -> Counter[str]:
        """Deliver a story; returns what the webhook answered, once everything is dealt with and as it has to be."""
        events, records = self.begin(story)
        seen = deliver(self.system, events, connections=connections)
        finish(self.tally, events)
        records.check(story.expected())
        return seen


@pytest.fixture(scope="module")
def fragile(emulators: Emulators, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fragile]:
    with (
        FirestoreProxy(emulators.firestore_host, seed=SEED) as firestore,
        TcpProxy(emulators.pubsub_host) as pubsub,
        TcpProxy() as stripe,
        running(
            environ(emulators),
            log_directory=tmp_path_factory.mktemp("logs"),
            project=f"test-{secrets.token_hex(6)}",
            hosts_of_functions={
                "FIRESTORE_EMULATOR_HOST": firestore.host,
                "PUBSUB_EMULATOR_HOST": pubsub.host,
                "STRIPE_API_BASE": f"http://{stripe.host}",
            },
        ) as system,
    ):
        assert system.stripe_api is not None
        hurry(system)
        stripe.target = system.stripe_api.url.removeprefix("http://")
        yield Fragile(system, firestore, pubsub, stripe, system.stripe_api, Tally(system.functions.child.log))


@pytest.fixture(autouse=True)
def healed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test broke, the next one finds it whole."""
    yield
    if "fragile" in request.fixturenames:
        fragile: Fragile = request.getfixturevalue("fragile")
        fragile.firestore.make(Trouble())
        fragile.stripe_api.set_faults([])


def test_the_process_is_killed_at_random_moments(emulators: Emulators, tmp_path: Path) -> None:
    story = Story(EVENTS, seed=SEED)
    with ExitStack() as stack:
        project = f"test-{secrets.token_hex(6)}"
        system = stack.enter_context(running(environ(emulators), log_directory=tmp_path / "logs", project=project))
        assert system.stripe_api is not None
        hurry(system)
        system.stripe_api.put(story.objects())
        tally, records, events = Tally(system.functions.child.log), Records(system), story.events
        mortal = Mortal(system)
        chance, delivering = random.Random(SEED), stack.enter_context(ThreadPoolExecutor(1))
        seen = delivering.submit(deliver, system, events, connections=16)
        # Moments of the work and not of the clock: a quick machine and a slow one die equally often.
        for share in sorted(chance.uniform(0.02, 0.8) for _ in range(DEATHS)):
            wait_for(partial(has_handled, tally, share * len(events)))
            mortal.die()
        print(f"the webhook answered {dict(seen.result())}")
        finish(tally, events)
        records.check(story.expected())


def test_firestore_refuses_connections_for_a_while(fragile: Fragile) -> None:
    story = Story(200, seed=SEED, number=1)
    events, records = fragile.begin(story)
    half = len(events) // 2
    deliver(fragile.system, events[:half], connections=8)
    fragile.firestore.refuse()
    down = time.monotonic()
    deliver(fragile.system, events[half:], connections=8)
    expected = story.expected()
    time.sleep(max(0, down + OUTAGE_SECONDS - time.monotonic()))
    fragile.tally.read()
    assert fragile.tally.missing({event["id"]: 1 for event in events}), "everything was done without a database"
    fragile.firestore.listen()
    finish(fragile.tally, events)
    records.check(expected)


def test_firestore_is_slow(fragile: Fragile) -> None:
    """Slower than the functions wait, too: such a commit takes effect, and nobody hears of it."""
    fragile.firestore.make(Trouble(delay_seconds=0.5, stuck_method="Commit", stuck_calls=3, stuck_seconds=11))
    fragile.tell(Story(40, seed=SEED, number=2))
    assert fragile.firestore.failed == {("Commit", "stuck", "after"): 3}


def test_firestore_answers_with_errors_also_after_the_commit_took_effect(fragile: Fragile) -> None:
    codes = (grpc.StatusCode.ABORTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    fragile.firestore.make(Trouble(rate=0.05, codes=codes))
    fragile.tell(Story(400, seed=SEED, number=3))
    failed = fragile.firestore.failed
    print(dict(failed))
    assert {code for _, code, _ in failed} == {code.name for code in codes}
    assert {(method, when) for method, _, when in failed} == {
        (method, when) for method in ("BatchGetDocuments", "Commit") for when in ("before", "after")
    }


def test_pubsub_is_away_while_the_webhook_receives(fragile: Fragile) -> None:
    story = Story(150, seed=SEED, number=4)
    events, records = fragile.begin(story)
    half = len(events) // 2
    deliver(fragile.system, events[:half])
    fragile.pubsub.refuse()
    with local_http() as session:
        said = attempt(fragile.system, session, events[half])
    assert said.startswith("503 not published")
    fragile.pubsub.listen()
    deliver(fragile.system, events[half:])
    finish(fragile.tally, events)
    records.check(story.expected())


def orders(number: int) -> Story:
    """Orders of so many lines that Stripe's API lists them on several pages."""
    story = Story(0, seed=SEED, number=number)
    for each in range(8):
        account = BillingAccount(now=1_790_000_000, prefix=f"Long{number}n{each}x")
        session = account.open_session([Line(f"Item {line}", line) for line in range(1, 124)])
        account.complete(session, email=f"long{number}.{each}@example.com")
        story.households.append(account)
    return story


@pytest.mark.parametrize(
    ("number", "faults"),
    [
        (5, [{"status": 429, "times": 12}]),
        (6, [{"status": 500, "times": 12}]),
        (7, [{"delay_seconds": 11, "times": 3}, {"cut": True, "times": 6}]),
    ],
    ids=["429", "500", "timeout"],
)
def test_stripe_answers_late_or_with_errors(fragile: Fragile, number: int, faults: list[Json]) -> None:
    fragile.stripe_api.set_faults([{"path": "/v1", **fault} for fault in faults])
    fragile.stripe_api.forget_requests()
    fragile.tell(orders(number))


def test_stripe_cuts_the_connection_in_the_middle_of_a_page(fragile: Fragile) -> None:
    fragile.stripe.cut_answers(after_bytes=20_000, times=10)
    fragile.tell(orders(8))
    assert fragile.stripe.cut == 10


def test_the_clock_of_the_sender_is_off(fragile: Fragile) -> None:
    """Too far off, its events are refused and nothing comes of them; Stripe's next attempt is in time."""
    story = Story(40, seed=SEED, number=9)
    events, records = fragile.begin(story)
    with local_http() as session:
        for seconds in (-400, 400):
            said = {attempt(fragile.system, session, event, clock_off_seconds=seconds) for event in events}
            assert said == {"400 the signature's timestamp is more than 300 s away from now"}
        for event, seconds in zip(events, (-200, 200) * len(events), strict=False):
            assert attempt(fragile.system, session, event, clock_off_seconds=seconds) == "200 published"
    finish(fragile.tally, events)
    records.check(story.expected())
