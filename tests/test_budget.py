"""The budget of calls to Stripe: many instances and threads on the Firestore emulator, and a clock that passes at once.

Time stands still while anybody works and jumps to the next one who wakes up once all of them sleep, so every slot is
known to the millisecond and a minute takes no longer than its reads and writes.
"""

import heapq
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from google.cloud.firestore import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from functions import paths
from functions.accounts.budget import PER_SECOND, SLACK_SECONDS, Budget
from functions.adapters.clock import SystemClock
from functions.adapters.firestore import FirestoreStore
from functions.clock import Clock
from functions.effects import Effect, Put
from functions.errors import Conflict, Retry
from functions.store import Found, Store

NOW = 1_790_000_000.0
DISTANCE = (1 + SLACK_SECONDS) / PER_SECOND


class Passing:
    """A clock that jumps to whoever wakes up first as soon as everybody who takes part sleeps."""

    def __init__(self) -> None:
        self.at = NOW
        self._awake = 0
        self._sleeping: list[tuple[float, int]] = []
        self._turns = threading.Condition()
        self._number = 0

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        with self._turns:
            self._number += 1
            turn = (self.at + seconds, self._number)
            heapq.heappush(self._sleeping, turn)
            self._awake -= 1
            self._go_on()
            while turn in self._sleeping:
                self._turns.wait()

    def _go_on(self) -> None:
        if self._awake == 0 and self._sleeping:
            self.at = max(self.at, self._sleeping[0][0])
            while self._sleeping and self._sleeping[0][0] <= self.at:
                heapq.heappop(self._sleeping)
                self._awake += 1
            self._turns.notify_all()

    def run(self, *tasks: Callable[[], None]) -> None:
        """Everybody takes part from the start, in a thread of their own, until they are done."""

        def take_part(task: Callable[[], None]) -> None:
            try:
                task()
            finally:
                with self._turns:
                    self._awake -= 1
                    self._go_on()

        self._awake += len(tasks)
        with ThreadPoolExecutor(len(tasks)) as pool:
            for done in [pool.submit(take_part, task) for task in tasks]:
                done.result()


@dataclass
class Skewed:
    """A clock that is wrong by so many seconds."""

    clock: Clock
    by: float

    def now(self) -> float:
        return self.clock.now() + self.by

    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)


@dataclass
class Counting:
    """A store that knows when what was written."""

    store: Store
    clock: Clock
    writes: list[float] = field(default_factory=list)
    #: Until when the virtual queue reached, after each of them.
    ends: list[float] = field(default_factory=list)
    reads: int = 0
    conflicts: int = 0

    def read(self, paths: Sequence[str]) -> Mapping[str, Found]:
        self.reads += 1
        return self.store.read(paths)

    def commit(self, effects: Iterable[Effect], found: Mapping[str, Found]) -> None:
        effects = list(effects)
        try:
            self.store.commit(effects, found)
        except Conflict:
            self.conflicts += 1
            raise
        [put] = effects
        assert isinstance(put, Put)
        self.ends.append(put.fields["next_at"])
        self.writes.append(self.clock.now())


@dataclass
class Instance:
    """One instance: its budget, its writes and the moments at which its callers went on, by the true clock."""

    budget: Budget
    store: Counting
    clock: Clock
    taken: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def take(self, patience_seconds: float = 55) -> None:
        try:
            self.budget.take(patience_seconds)
        except Retry:
            self.refused.append(self.clock.now())
        else:
            self.taken.append(self.clock.now())


Make = Callable[..., Instance]


@pytest.fixture
def clock() -> Passing:
    return Passing()


@pytest.fixture
def make(firestore_client: Client, clock: Passing) -> Make:
    """Another instance of one function, all with one budget."""

    def build(*, behind: float = 0.0, name: str = "stripe_reads") -> Instance:
        store = Counting(FirestoreStore(firestore_client), clock)
        return Instance(Budget(store, Skewed(clock, -behind), name=name), store, clock)

    return build


def most_in_a_second(moments: Iterable[float]) -> int:
    """In whichever second the most of them lie."""
    moments = sorted(moments)
    return max((sum(start <= each < start + 1 - 1e-6 for each in moments) for start in moments), default=0)


def test_the_first_does_not_wait_and_leaves_one_document(make: Make, clock: Passing, firestore_client: Client) -> None:
    instance = make()
    clock.run(instance.take)
    assert instance.taken == [NOW]
    assert (instance.store.reads, len(instance.store.writes)) == (1, 1)
    stored = firestore_client.document(paths.budget("stripe_reads")).get().to_dict()
    assert stored is not None
    assert stored["next_at"] == pytest.approx(NOW + DISTANCE)


def test_one_after_the_other_gets_more_each_second_until_it_is_all(make: Make, clock: Passing) -> None:
    instance = make()

    def one_after_the_other() -> None:
        while clock.now() < NOW + 10:
            instance.take()

    clock.run(one_after_the_other)
    ends = [NOW, *instance.store.ends]
    starts = [max(write, end) for write, end in zip(instance.store.writes, ends, strict=False)]
    reserved = [round((end - start) / DISTANCE) for start, end in zip(starts, ends[1:], strict=True)]
    assert reserved[:6] == [1, 2, 4, 8, 16, 20]
    assert most_in_a_second(instance.taken) <= PER_SECOND
    assert most_in_a_second(instance.store.writes) == 1


def test_whoever_was_alone_for_a_while_begins_with_one(make: Make, clock: Passing, firestore_client: Client) -> None:
    instance = make()
    clock.run(*[instance.take] * 20)
    clock.at += 60
    clock.run(instance.take)
    stored = firestore_client.document(paths.budget("stripe_reads")).get().to_dict()
    assert stored is not None
    assert stored["next_at"] == pytest.approx(clock.now() + DISTANCE)


@pytest.mark.parametrize("instances", [1, 2, 8])
def test_many_at_once_never_exceed_it_and_all_get_through(make: Make, clock: Passing, instances: int) -> None:
    made = [make() for _ in range(instances)]
    clock.run(*(instance.take for number in range(200) for instance in [made[number % instances]]))
    taken = [moment for instance in made for moment in instance.taken]
    assert len(taken) == 200
    assert most_in_a_second(taken) <= PER_SECOND
    for instance in made:
        assert most_in_a_second(instance.store.writes) <= 1
    # Few slots are lost on the way.
    assert max(taken) - NOW < 200 * DISTANCE * 1.3 + 2


@settings(max_examples=15)
@given(
    arrivals=st.lists(
        st.tuples(st.integers(0, 3), st.floats(0, 6), st.floats(0.5, 20), st.integers(1, 6)), min_size=1, max_size=40
    )
)
def test_whoever_comes_whenever_never_exceeds_it(
    firestore_client: Client, arrivals: list[tuple[int, float, float, int]]
) -> None:
    clock, name = Passing(), secrets.token_hex(4)
    made = []
    for _ in range(4):
        store = Counting(FirestoreStore(firestore_client), clock)
        made.append(Instance(Budget(store, clock, name=name), store, clock))
    waited: list[tuple[float, float]] = []

    def come(instance: Instance, after: float, patience: float, times: int) -> None:
        clock.sleep(after)
        for _ in range(times):
            began = clock.now()
            instance.take(patience)
            waited.append((clock.now() - began, patience))

    clock.run(*(lambda each=each: come(made[each[0]], *each[1:]) for each in arrivals))
    assert most_in_a_second(moment for instance in made for moment in instance.taken) <= PER_SECOND
    for instance in made:
        assert most_in_a_second(instance.store.writes) <= 1
    for seconds, patience in waited:
        assert seconds <= patience + 0.1


def test_clocks_that_differ_cost_what_the_docstring_says(make: Make, clock: Passing) -> None:
    for behind in (0.5, 1.0):
        made = [make(name=f"skewed_{behind}"), make(name=f"skewed_{behind}", behind=behind)]
        clock.run(*(instance.take for _ in range(100) for instance in made))
        began = min(moment for instance in made for moment in instance.taken)
        taken = [moment for instance in made for moment in instance.taken]
        assert len(taken) == 200
        assert most_in_a_second(taken) <= PER_SECOND * (1 + behind)
        assert max(taken) - began >= 199 * DISTANCE - behind - 1e-3


def test_a_clock_that_went_wrong_stops_nobody(make: Make, clock: Passing) -> None:
    wrong, right = make(behind=-3600), make()
    clock.run(wrong.take)
    clock.run(right.take)
    assert right.taken == [NOW]


def test_who_cannot_wait_is_told_at_once_and_takes_nothing(
    make: Make, clock: Passing, firestore_client: Client
) -> None:
    instance = make()
    reference = firestore_client.document(paths.budget("stripe_reads"))
    reference.set({"next_at": NOW + 30, "reservation": "somebody else's"})
    written = reference.get().update_time
    clock.run(*(lambda: instance.take(5) for _ in range(10)))
    assert len(instance.refused) == 10
    assert max(instance.refused) <= NOW + 0.1
    assert reference.get().update_time == written
    # They looked together, and the next ones know.
    reads = instance.store.reads
    clock.run(lambda: instance.take(5))
    assert instance.store.reads == reads
    clock.run(lambda: instance.take(40))
    assert instance.taken == [pytest.approx(NOW + 30)]


def test_of_those_who_wait_the_patient_ones_get_through(make: Make, clock: Passing) -> None:
    hasty = make()
    patient = Instance(hasty.budget, hasty.store, clock)
    clock.run(*(lambda: hasty.take(2) for _ in range(100)), *(lambda: patient.take(50) for _ in range(20)))
    assert len(patient.taken) == 20
    assert len(hasty.taken) + len(hasty.refused) == 100
    assert max([*hasty.taken, *hasty.refused]) <= NOW + 2
    assert most_in_a_second(hasty.taken + patient.taken) <= PER_SECOND


def test_a_commit_whose_answer_was_lost_counts_once(make: Make, clock: Passing) -> None:
    """As the client does it: it commits again, and meets its own commit."""
    instance = make()
    committed = instance.store.store.commit

    class Lost:
        """The first answer never arrives."""

        def __init__(self, store: Store) -> None:
            self.store = store
            self.commits = 0

        def read(self, paths: Sequence[str]) -> Mapping[str, Found]:
            return self.store.read(paths)

        def commit(self, effects: Iterable[Effect], found: Mapping[str, Found]) -> None:
            self.commits += 1
            effects = list(effects)
            committed(effects, found)
            if self.commits == 1:
                committed(effects, found)

    instance.store.store = lost = Lost(instance.store.store)
    clock.run(*[instance.take] * 3)
    assert len(instance.taken) == 3
    assert lost.commits <= 2
    assert instance.store.conflicts == 1


def test_without_firestore_nobody_goes_on_and_few_ask(make: Make, clock: Passing) -> None:
    instance = make()

    class Away:
        """A database that is not there."""

        def read(self, _: Sequence[str]) -> Mapping[str, Found]:
            raise Retry("Firestore answered ServiceUnavailable")

        def commit(self, _: Iterable[Effect], __: Mapping[str, Found]) -> None:
            raise AssertionError

    instance.store.store = Away()
    clock.run(*(lambda: instance.take(3.5) for _ in range(50)))
    assert (len(instance.taken), len(instance.refused)) == (0, 50)
    assert instance.store.reads <= 4


def test_whoever_oversleeps_does_not_take_the_slot_of_another_second(firestore_client: Client) -> None:
    """A machine that stalls: the slots that passed meanwhile are lost, and nothing is made up for."""

    class Stalling(Passing):
        """Every sleep of more than a moment takes a second longer, once each."""

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds + random.choice([0, 0, 0, 0.08, 0.5]))

    clock = Stalling()
    store = Counting(FirestoreStore(firestore_client), clock)
    instance = Instance(Budget(store, clock), store, clock)
    clock.run(*[instance.take] * 100)
    assert len(instance.taken) == 100
    assert most_in_a_second(instance.taken) <= PER_SECOND


@contextmanager
def timed() -> Iterator[Callable[[], float]]:
    began = time.monotonic()
    yield lambda: time.monotonic() - began


def test_by_the_real_clock(firestore_client: Client) -> None:
    clock = SystemClock()
    made = []
    for _ in range(3):
        store = Counting(FirestoreStore(firestore_client), clock)
        made.append(Instance(Budget(store, clock), store, clock))
    with timed() as seconds, ThreadPoolExecutor(60) as pool:
        for number in range(60):
            pool.submit(made[number % 3].take)
    taken = [moment for instance in made for moment in instance.taken]
    assert len(taken) == 60
    assert most_in_a_second(taken) <= PER_SECOND
    for instance in made:
        assert most_in_a_second(instance.store.writes) <= 1
    assert max(taken) - min(taken) > 59 * DISTANCE - 0.2
    assert seconds() < 20
