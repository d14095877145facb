"""One soak: the town's events one to three times and shuffled through the whole system, watched while it works."""

import random
import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal, Protocol, get_args

from functions.settings.subscriber import subscriber_settings
from functions.topology import SUBSCRIBERS
from local.account import Json
from local.billing import BillingAccount
from local.soak.documents import by_path, differences, sent_again, snapshots
from local.soak.load import Answer, Load
from local.soak.model import foresee
from local.soak.tally import Tally
from local.soak.town import town
from local.system import System

#: The share of the work after which memory counts: by then every thread has begun and everything is imported.
WARM_UP = 0.2
_LOOK_SECONDS = 0.5
_WORKER = re.compile(r"Booting worker with pid: (\d+)")
_MIB = 1024


Stage = Literal["foreseen", "sent", "dealt with"]
STAGES: tuple[Stage, ...] = get_args(Stage)


class Progress(Protocol):
    """Who is told how far it is."""

    def __call__(self, what: Stage, done: int, total: int) -> None:
        """So much of it is done."""


@dataclass(frozen=True, slots=True)
class Sample:
    """How it looked at one moment, in seconds since the start."""

    at: float
    #: Deliveries that every subscriber together has dealt with, times the subscribers.
    handled: int
    memory_mib: float


@dataclass(slots=True, kw_only=True)
class Result:
    """What was measured, and `wrong`: whatever is not as it has to be."""

    events: int
    deliveries: int
    answers: Sequence[Answer]
    samples: Sequence[Sample]
    #: From the first request to the last thing that a subscriber did.
    seconds: float
    outcomes: Mapping[str, int]
    published: int
    memory_start_mib: float
    memory_end_mib: float
    documents: int
    wrong: list[str] = field(default_factory=list)

    @property
    def memory_growth(self) -> float:
        """As a share of what it was."""
        return self.memory_end_mib / self.memory_start_mib - 1 if self.memory_start_mib else 0.0


class Watch:
    """Looks at the system twice a second, in a thread, while the block goes on."""

    def __init__(self, system: System, expected: int, tell: Progress) -> None:
        self.tally = Tally(system.functions.child.log)
        self.samples: list[Sample] = []
        self._worker = _WORKER.findall(system.functions.child.output())[-1]
        self._expected = expected
        self._tell = tell
        self._started = time.perf_counter()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    def look(self) -> Sample:
        """Once, now."""
        self.tally.read()
        sample = Sample(time.perf_counter() - self._started, self.tally.done.total(), self._memory())
        self.samples.append(sample)
        self._tell("dealt with", min(sample.handled, self._expected), self._expected)
        return sample

    def warm(self) -> Sample:
        """The first sample after the warm-up; the first of all where it never came so far."""
        return next((each for each in self.samples if each.handled >= WARM_UP * self._expected), self.samples[0])

    def _memory(self) -> float:
        """The resident set of the process that serves the functions. It is one process: gunicorn's only worker."""
        found = subprocess.run(["ps", "-o", "rss=", "-p", self._worker], capture_output=True, text=True, check=False)
        return int(found.stdout.strip() or 0) / _MIB

    def _go_on(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            self.look()

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def soak(
    system: System,
    *,
    events: int,
    connections: int,
    seed: int,
    tell: Progress,
    patience_seconds: float = 120,
    before_comparing: Callable[[System], None] = lambda _: None,
) -> Result:
    """Send everything, wait until it is dealt with, compare. Whatever is lost is in `wrong` of the result."""
    assert system.stripe_api is not None  # noqa: S101 it runs without a key
    households = town(events, seed=seed)
    system.stripe_api.put(chain.from_iterable(each.api_objects() for each in households))
    wanted = _model(system, households, tell)
    told = list(chain.from_iterable(each.events for each in households))
    deliveries = _shuffled(told, seed)
    load = Load(system.webhook_url, system.webhook_secret)
    started = time.perf_counter()
    with Watch(system, len(deliveries) * len(SUBSCRIBERS), tell) as watch:
        load.send(
            deliveries,
            connections=connections,
            tell=lambda: tell("sent", load.accepted.total(), len(deliveries)),
        )
        missing = _wait(watch, load.accepted, patience_seconds)
    seconds = time.perf_counter() - started
    last = watch.look()
    before_comparing(system)
    found = list(snapshots(system.firestore()))
    tally = watch.tally
    published = tally.of("published", ["stripe_webhook"])
    outcomes = {name: tally.of(name) for name in ("applied", "duplicate", "stale", "ignored", "parked", "retry")}
    wrong = [f"{name} never dealt with {event}" for name, event in missing]
    if refused := len(deliveries) - load.accepted.total():
        wrong.append(f"{refused} deliveries were never accepted")
    if published < load.accepted.total():
        wrong.append(f"{load.accepted.total()} deliveries were accepted and only {published} published")
    if outcomes["parked"]:
        wrong.append(f"{outcomes['parked']} events were parked")
    if not last.memory_mib:
        wrong.append("the process that served the functions is gone")
    wrong += [*differences(by_path(found), wanted), *sent_again(found)]
    return Result(
        events=len(told),
        deliveries=len(deliveries),
        answers=load.answers,
        samples=watch.samples,
        seconds=seconds,
        outcomes=outcomes,
        published=published,
        memory_start_mib=watch.warm().memory_mib,
        memory_end_mib=last.memory_mib,
        documents=len(found),
        wrong=wrong,
    )


def _model(system: System, households: Sequence[BillingAccount], tell: Progress) -> dict[str, Json]:
    settings = subscriber_settings(system.environment)
    documents: dict[str, Json] = {}
    for number, account in enumerate(households, 1):
        documents |= foresee(account, settings)
        tell("foreseen", number, len(households))
    return documents


def _shuffled(events: Sequence[Json], seed: int) -> list[Json]:
    """Each one to three times, in any order."""
    chance = random.Random(seed)
    deliveries = [event for event in events for _ in range(chance.randint(1, 3))]
    chance.shuffle(deliveries)
    return deliveries


def _wait(watch: Watch, accepted: Mapping[str, int], patience_seconds: float) -> Counter[tuple[str, str]]:
    """What is still missing once nothing has moved for that long; nothing, as soon as everything is done."""
    handled, ends = 0, time.monotonic() + patience_seconds
    while (missing := watch.tally.missing(accepted)) and time.monotonic() < ends:
        if (now := watch.tally.done.total()) > handled:
            handled, ends = now, time.monotonic() + patience_seconds
        time.sleep(_LOOK_SECONDS)
    return missing
