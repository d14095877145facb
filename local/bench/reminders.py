"""What one run of `send_due_reminders` costs with few subscriptions and with many, of which the same ones are due.

Each size has a database of its own on one emulator, filled with subscriptions whose reminders come later, and so many
that are due: half of them renewals, which have two mails, and half offers, which have one and are looked at by the
address too. The real sender runs, wired as in `main.py`, once warm and then in rounds, and everything is put back
after each. The two sizes take turns, and so the larger one stands beside its floor, the smaller one.

What is bounded are the documents that are read, and the CPU time of this process: neither may grow with what is not
due. The time on the clock is shown and not bounded. Google's emulator has no indexes: each query looks at every
document of the database, so that it takes a hundred times as long among a hundred times as many, while Firestore's own
index makes it the same (https://cloud.google.com/firestore/docs/query-data/queries: a query's time depends on its
result). Its floor is therefore the time in which the run did nothing but wait for its queries, in the same database.
"""

import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from google.cloud.firestore import Client

from functions.adapters.clock import SystemClock
from functions.adapters.diary import FirestoreDiary
from functions.effects import Effect, Json
from functions.errors import Retry
from functions.letters import Reader
from functions.log import JsonLog
from functions.reminders.calendar import days_after
from functions.reminders.rules import RENEWAL_DAYS, SCHEDULES, fields
from functions.reminders.sender import Sender
from functions.reminders.work import Due
from functions.settings.reminders import SenderSettings, sender_settings
from functions.store import Found
from local.bench.findings import BenchError, Finding

_ENVIRON = {
    # Offers need the one, and every round makes them to the same addresses.
    "MAIL_FOOTER": "Tokyo",
    "OFFER_PAUSE_DAYS": "0",
    "STRIPE_API_KEY": "sk_test_bench",
    "BRAND_NAME": "Bench",
    "SUPPORT_EMAIL": "support@example.com",
    "UNSUBSCRIBE_URL": "https://bench.example/unsubscribe",
    "UNSUBSCRIBE_KEYS": "bench_" + "k" * 32,
}
#: What Firestore takes in one batch.
_BATCH = 500
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Effort:
    """How many subscriptions there are, how many of them are due, and how often it is measured."""

    few: int = 1_000
    many: int = 100_000
    due: int = 100
    rounds: int = 5


class _Cost(NamedTuple):
    """What one run took, and how much of it its queries."""

    documents: float
    cpu_ms: float
    ms: float
    queries_ms: float


def measure(logs: Path, effort: Effort, *, max_read_ratio: float, max_cpu_ratio: float) -> Iterator[Finding]:
    """Documents and CPU time of the many beside the few. The environment names the emulator. Raises BenchError."""
    with (logs / "reminders.log").open("w") as log:
        shops = [_Shop(size, effort.due, JsonLog(log)) for size in (effort.few, effort.many)]
        for shop in shops:
            shop.fill()
        # Channels are opened and templates are compiled but once.
        shops[0].cost()
        rounds = [[shop.cost() for shop in shops] for _ in range(effort.rounds)]
    both = f"{effort.due:,} reminders of {effort.few:,} and of {effort.many:,} subscriptions"
    yield Finding(
        what=f"{both}, documents read",
        floor=[few.documents for few, _ in rounds],
        system=[many.documents for _, many in rounds],
        unit="documents",
        bounded="ratio",
        at_most=max_read_ratio,
    )
    yield Finding(
        what=f"{both}, CPU",
        floor=[few.cpu_ms for few, _ in rounds],
        system=[many.cpu_ms for _, many in rounds],
        unit="ms CPU",
        bounded="ratio",
        at_most=max_cpu_ratio,
    )
    for shop, costs in zip(shops, zip(*rounds, strict=True), strict=True):
        yield Finding(
            what=f"{effort.due:,} reminders of {shop.size:,} subscriptions, beside the emulator's scans",
            floor=[cost.queries_ms for cost in costs],
            system=[cost.ms for cost in costs],
            unit="ms",
            bounded="ratio",
        )


class _Shop:
    """A database with so many subscriptions, and the sender that serves it."""

    def __init__(self, size: int, due: int, log: JsonLog) -> None:
        self.size = size
        self._due = range(due)
        self._client = Client(project=f"bench-{secrets.token_hex(6)}")
        self._settings = sender_settings(_ENVIRON | {"GOOGLE_CLOUD_PROJECT": self._client.project})
        self._now = int(time.time())
        self._diary = _Recorder(FirestoreDiary(self._client))
        self._sender = Sender(
            settings=self._settings.reminders,
            mail=self._settings.mail,
            diary=self._diary,
            stripe=_Unasked(),
            clock=SystemClock(),
            log=log,
            # However long the emulator takes.
            budget_seconds=sys.maxsize,
        )

    def fill(self) -> None:
        """Store all of them."""
        idle = range(len(self._due), self.size)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._store_idle, (idle[at : at + _BATCH] for at in range(0, len(idle), _BATCH))))
        self._put_back()

    def cost(self) -> _Cost:
        """Measure one run, and put everything back. Raises BenchError unless all was told."""
        self._diary.documents, self._diary.commits, self._diary.queries_seconds = 0, 0, 0.0
        started, cpu_started = time.perf_counter(), time.process_time()
        try:
            self._sender.run()
        except Retry as problem:
            raise BenchError(f"the reminders of {self.size:,} subscriptions: {problem}") from problem
        cpu_ms, ms = (time.process_time() - cpu_started) * 1000, (time.perf_counter() - started) * 1000
        mails = [each.reference for each in self._client.collection("mail").select([]).stream()]
        # Two of a renewal, and one of an offer.
        expected = sum(2 if _is_renewal(number) else 1 for number in self._due)
        if len(mails) != expected or self._diary.commits != len(self._due):
            raise BenchError(f"{len(mails)} mails in {self._diary.commits} commits, where there had to be {expected}")
        batch = self._client.batch()
        for mail in mails:
            batch.delete(mail)
        batch.commit()
        self._put_back()
        return _Cost(self._diary.documents, cpu_ms, ms, self._diary.queries_seconds * 1000)

    def _put_back(self) -> None:
        """What is due, as it was before anybody was told."""
        for start in range(0, len(self._due), _BATCH // 2):
            batch = self._client.batch()
            for number in self._due[start : start + _BATCH // 2]:
                document = (
                    _yearly(number, self._settings, self._now) if _is_renewal(number) else _free(number, self._now)
                )
                batch.set(self._client.document(f"customers/{document['customer']}"), _customer(number))
                batch.set(self._client.document(_path(number)), _scheduled(document, self._settings))
            batch.commit()

    def _store_idle(self, numbers: Sequence[int]) -> None:
        """As much as a query looks at: these never leave the database, and there are many of them to write."""
        later = self._now + 10 * _DAY
        idle = {"status": "active", "mails": [], "reminders": {"upgrade_offer": later}, "next_reminder_at": later}
        batch = self._client.batch()
        for number in numbers:
            batch.set(self._client.document(_path(number)), {"id": f"sub_bench{number}"} | idle)
        batch.commit()


@dataclass(slots=True)
class _Recorder:
    """The real diary, counting the documents that come from the database, missing ones too, the commits, and time."""

    _diary: FirestoreDiary
    documents: int = 0
    commits: int = 0
    queries_seconds: float = 0.0

    def due(self, collection: str, now: float, after: Due | None) -> Sequence[Due]:
        started = time.perf_counter()
        page = self._diary.due(collection, now, after)
        self.queries_seconds += time.perf_counter() - started
        self.documents += len(page)
        return page

    def read(self, paths: Sequence[str]) -> Mapping[str, Found]:
        self.documents += len(paths)
        return self._diary.read(paths)

    def subscriptions(self, customer: str) -> list[Json]:
        found = self._diary.subscriptions(customer)
        self.documents += len(found)
        return found

    def commit(self, effects: Sequence[Effect], found: Mapping[str, Found]) -> None:
        self.commits += 1
        self._diary.commit(effects, found)


@dataclass(frozen=True, slots=True)
class _Unasked:
    """Every customer is known here, and no price is needed."""

    def customer(self, customer: str) -> Reader:
        raise BenchError(f"nobody had to ask for {customer}")

    def prices(self, products: Sequence[str]) -> list[Json]:
        raise BenchError(f"nobody had to ask for {products}")


def _is_renewal(number: int) -> bool:
    return number % 2 == 0


def _path(number: int) -> str:
    return f"customers/cus_bench{number}/subscriptions/sub_bench{number}"


def _customer(number: int) -> Json:
    said = {"status": "opt_in", "at": 1, "by": "checkout"}
    email = f"hana{number}@example.com"
    return {"email": email, "name": "Hana Sato", "locale": "ja", "user_id": None, "as_of": 1, "marketing": said}


def _scheduled(document: Json, settings: SenderSettings) -> Json:
    return document | fields(SCHEDULES["subscriptions"](document, settings.reminders))


def _free(number: int, due_at: int) -> Json:
    """A free plan, for which an offer is due then."""
    return _subscription(number, 0, "month", start_date=due_at - 14 * _DAY, period_end=due_at + _DAY)


def _yearly(number: int, settings: SenderSettings, due_at: int) -> Json:
    """A plan by the year, of whose renewal somebody has to be told then."""
    renews_at = days_after(due_at, RENEWAL_DAYS, settings.reminders.zone)
    return _subscription(number, 10_000, "year", start_date=due_at - 700 * _DAY, period_end=renews_at)


def _subscription(number: int, unit_amount: int, interval: str, *, start_date: int, period_end: int) -> Json:
    item = {
        "id": f"si_bench{number}",
        "price": "price_bench",
        "product": "prod_bench",
        "lookup_key": None,
        "unit_amount": unit_amount,
        "currency": "jpy",
        "interval": interval,
        "interval_count": 1,
        "quantity": 1,
        "current_period_start": start_date,
        "current_period_end": period_end,
    }
    return {
        "id": f"sub_bench{number}",
        "customer": f"cus_bench{number}",
        "status": "active",
        "items": [item],
        "trial_start": None,
        "trial_end": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "default_payment_method": None,
        "collection_method": "charge_automatically",
        "pause_collection": None,
        "currency": "jpy",
        "start_date": start_date,
        "current_period_start": start_date,
        "current_period_end": period_end,
        "livemode": False,
        "mails": [],
    }
