"""One run over what has become due, which the function `send_due_reminders` makes every 15 minutes.

It asks for the documents whose `next_reminder_at` has passed, in that order and page by page, looks at each as it is
now, and commits what is said together with the document's new reminders: what was said cannot be said again, and what
was not said is still due. Its cost is in what is due, and not in how many subscriptions there are.

Two runs at once share the work: whoever commits second finds the document changed, and passes on. A run whose time is
up asks for one that goes on at once; what nobody can decide is passed over by the cursor and keeps nobody waiting.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from functions import paths
from functions.clock import Clock
from functions.effects import Effect, Json
from functions.errors import Conflict, Permanent, Retry
from functions.letters import Reader
from functions.log import Log, Severity
from functions.mail import compose
from functions.mail.outbox import post
from functions.mail.settings import MailSettings
from functions.reminders.due import Tell, Verdict, kinds_due, look
from functions.reminders.facts import AskPrices, AskSubscriptions
from functions.reminders.rules import SCHEDULES, Kind
from functions.reminders.settings import ReminderSettings
from functions.reminders.work import Due, Work, others_of
from functions.store import Found, without_what_exists

#: After that a run asks for another one. With what it is at by then it still ends within its timeout.
BUDGET_SECONDS = 60.0
_PUBLISH_SECONDS = 8.0
#: How often one document is read and decided again when others change it.
_ROUNDS = 3
#: Of a run's time, how much may be lost to Stripe's not answering: the rest is for those who need nothing of it.
_LOST_SHARE = 1 / 3

_Answer = TypeVar("_Answer")


class Topic(Protocol):
    """The clock's topic."""

    def publish(self, data: bytes, attributes: Mapping[str, str], deadline_seconds: float) -> None:
        """Publish one message and return when it is acknowledged. Raises Retry."""


class Diary(Protocol):
    """The documents, by when they have to be looked at."""

    def due(self, collection: str, now: float, after: Due | None) -> Sequence[Due]:
        """A page of what is due in one kind of collection, the longest due first; empty at the end. Raises Retry."""

    def read(self, paths: Sequence[str]) -> Mapping[str, Found]:
        """Read documents in one batch. Raises Retry."""

    def subscriptions(self, customer: str) -> list[Json]:
        """Every subscription of `customers/{c}`. Raises Retry."""

    def commit(self, effects: Sequence[Effect], found: Mapping[str, Found]) -> None:
        """Commit all or nothing, provided what was found is still so. Raises Conflict, Retry or Permanent."""


class Stripe(Protocol):
    """What of Stripe a reminder may have to know."""

    def customer(self, customer: str) -> Reader:
        """Who is to be written to, where we have not met them. Raises Retry or Permanent."""

    def prices(self, products: Sequence[str]) -> list[Json]:
        """Every price of these products. Raises Retry or Permanent."""


@dataclass(slots=True)
class _Run:
    """What one run is at, and what came of it so far."""

    now: float
    ends: float
    counts: Counter[str] = field(default_factory=Counter)
    #: How long it has waited for what Stripe did not answer.
    lost_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The function `send_due_reminders` with everything it uses."""

    settings: ReminderSettings
    mail: MailSettings
    diary: Diary
    stripe: Stripe
    clock: Clock
    log: Log
    budget_seconds: float = BUDGET_SECONDS

    def run(self) -> bool:
        """Deal with everything that is due; whether there is more, for a run that goes on from there at once.

        Raises Retry where the database does not answer.
        """
        started = self.clock.now()
        run = _Run(started, started + self.budget_seconds)
        severity: Severity = "INFO"
        said = "reminders sent"
        try:
            # In another order than a run beside this one, here and on each page; and none is always the last.
            is_done = all(self._collection(name, run) for name in random.sample(list(SCHEDULES), len(SCHEDULES)))
        except Retry as problem:
            severity, said = "WARNING", f"the reminders break off: {problem}"
            raise
        finally:
            self.log(
                severity,
                said,
                function="send_due_reminders",
                **{name: run.counts[name] for name in ("looked_at", "told", "dropped", "reads")},
                **{name: run.counts[name] or None for name in ("overtaken", "failed", "stripe_calls")},
                milliseconds=round((self.clock.now() - started) * 1000, 1),
            )
        # What nobody thought of is in the log as an ERROR, and due again at the next tick.
        # A chain that moves nothing would go on for ever.
        return not is_done and bool(run.counts["told"] + run.counts["dropped"])

    def _collection(self, name: str, run: _Run) -> bool:
        """Everything due in one kind of collection; False where time is up."""
        last: Due | None = None
        while page := self.diary.due(name, run.now, last):
            last = page[-1]
            run.counts["reads"] += len(page)
            for due in random.sample(page, len(page)):
                if self.clock.now() > run.ends:
                    return False
                self._attend(due, run)
        return True

    def _attend(self, due: Due, run: _Run) -> None:
        """One document. What goes wrong with it keeps no other waiting: it stays due."""
        run.counts["looked_at"] += 1
        try:
            self._decide_and_commit(due, run)
        except (Retry, Permanent) as problem:
            run.counts["failed"] += 1
            self._say("WARNING", f"a reminder waits: {problem}", due)
        except Exception as error:
            run.counts["failed"] += 1
            # Only its class: its text may quote what a customer typed.
            self._say("ERROR", f"unexpected {type(error).__name__}", due)

    def _decide_and_commit(self, due: Due, run: _Run) -> None:
        # Beside another run, what the query has read is soon old; alone, it is as good as read again.
        paths_to_read = (due.path, due.customer) if run.counts["overtaken"] else (due.customer,)
        found = {due.path: due.found, **self._read(paths_to_read, run)}
        is_again = False
        for _ in range(_ROUNDS):
            document = found[due.path].fields or {}
            kinds = kinds_due(document, run.now)
            next_at = document.get("next_reminder_at")
            if not kinds and (next_at is None or next_at > run.now):
                run.counts["overtaken"] += 1
                return
            work = Work(due, dict(document), dict(found[due.customer].fields or {}))
            for kind in kinds:
                self._look(kind, work, found, run)
            mail = post(work.letters, self.mail, run.now)
            documents = mail.documents
            if is_again:
                documents = without_what_exists(documents, {}, partial(self._read, run=run))
            try:
                self.diary.commit((*work.effects(self.settings, documents), *documents), found)
            except Conflict:
                is_again = True
                found = self._read((due.path, due.customer), run)
                continue
            run.counts["told"] += len(work.letters)
            run.counts["dropped"] += len(kinds) - len(work.letters)
            for reason in work.dropped:
                self._say("INFO", f"nothing to say: {reason}", due)
            for each in mail.unwritten:
                self._say(each.severity, f"{each.mail} not written to {each.audience}: {each.reason}", due)
            return
        raise Retry("it changed under every attempt to commit")

    def _look(self, kind: Kind, work: Work, found: dict[str, Found], run: _Run) -> None:
        """Answer what a rule asks for until it decides."""
        looking = look(kind, work.document, work.customer or None, self.settings, run.now)
        go_on = partial(looking.send, None)
        while True:
            try:
                request = go_on()
            except StopIteration as decided:
                verdict: Verdict = decided.value
                break
            answer: list[Json]
            if isinstance(request, AskSubscriptions):
                answer = self.diary.subscriptions(work.due.customer)
                run.counts["reads"] += len(answer)
            else:
                assert isinstance(request, AskPrices)  # noqa: S101 there is no third
                answer = self._prices(request, work, run)
            go_on = partial(looking.send, answer)
        reader = self._reader(work, run) if isinstance(verdict, Tell) else Reader()
        if isinstance(verdict, Tell) and verdict.is_offer:
            address = self._read(paths.address(reader.email), run)
            # In the commit too: two customers of one address cannot be made an offer at the same moment.
            found.update(address)
            others = self._others(reader.email, work.due.customer, run)
            verdict = work.unless_refused(verdict, address, others, self.settings, run.now)
        work.take(verdict, reader, run.now)

    def _prices(self, request: AskPrices, work: Work, run: _Run) -> list[Json]:
        """The prices; none where Stripe will never say them, which is no reason to ask again every 15 minutes."""
        try:
            return self._ask(partial(self.stripe.prices, request.products), run)
        except Permanent as problem:
            self._say("WARNING", f"no prices: {problem}", work.due)
            return []

    def _reader(self, work: Work, run: _Run) -> Reader:
        known = work.customer
        if known.get("as_of") is not None:
            return compose.customer_reader(known)
        run.counts["stripe_calls"] += 1
        try:
            return self._ask(partial(self.stripe.customer, work.due.customer.partition("/")[2]), run)
        except Permanent:
            return Reader()

    def _others(self, email: str | None, own: str, run: _Run) -> list[Json]:
        """The other customers of an address, as far as they are stored."""
        index = self._read(paths.index_of_email(email), run)
        others = [customer for found in index.values() for customer in others_of(found.fields, own)]
        return [each.fields for each in self._read(others, run).values() if each.fields]

    def _ask(self, question: Callable[[], _Answer], run: _Run) -> _Answer:
        """Ask Stripe, unless that has cost this run too much already."""
        if run.lost_seconds > self.budget_seconds * _LOST_SHARE:
            raise Retry("Stripe is asked no more in this run")
        asked = self.clock.now()
        try:
            return question()
        except Retry:
            run.lost_seconds += self.clock.now() - asked
            raise

    def _read(self, wanted: Sequence[str], run: _Run) -> dict[str, Found]:
        run.counts["reads"] += len(wanted)
        return dict(self.diary.read(wanted)) if wanted else {}

    def _say(self, severity: Severity, message: str, due: Due) -> None:
        self.log(severity, message, function="send_due_reminders", document=due.path)


def go_on(sender: Sender, topic: Topic) -> None:
    """One run, and where there is more to do, the word that starts the next at once: one of them, whatever happens.

    A run that raises says no word of its own: Pub/Sub delivers the one that started it again.
    Where that word does not get through, the clock says it within 15 minutes.
    """
    if sender.run():
        topic.publish(b"more", {"function": "send_due_reminders"}, _PUBLISH_SECONDS)
