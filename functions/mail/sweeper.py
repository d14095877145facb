"""One run over the mails that did not go out, which the function `sweep_mail` makes every five minutes.

What a run costs is what is open. Mails that failed for good stay in the collection, and Firestore cannot ask for those
*without* a field (`given_up_at`, in documents that applications write too), so the sweeper keeps a mark: no mail whose
attempt ended before it is still open. A run reads the failures since the mark, oldest first, and moves it up to the
first that waits, which is 12 hours old at the most. After a week in which nothing ran it is where it was, and nothing
is forgotten. A run that dies, or whose time is up, leaves behind all it did: each mail is a commit of its own.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import merge
from operator import attrgetter
from typing import Protocol

from functions.clock import Clock
from functions.effects import Create, Fields
from functions.errors import Conflict, Permanent, Retry, Unexpected
from functions.log import Log, Severity
from functions.mail.outbox import post
from functions.mail.settings import MailSettings
from functions.mail.sweep import Undelivered, Verdict, decide, letters

#: How far the mark stays behind: the clock of whoever wrote `delivery`, ours, and the moment of the commit may differ.
MARGIN = timedelta(hours=1)
#: After that a run leaves the rest to the next one. With what it is at by then it still ends within its timeout.
BUDGET_SECONDS = 60.0


class Mailbox(Protocol):
    """The collection of mails, and the mark."""

    def failed(self, since: datetime) -> Iterator[Undelivered]:
        """Mails in ERROR whose attempt ended then or later, in that order. Raises Retry."""

    def overdue(self, since: datetime, until: datetime) -> Iterator[Undelivered]:
        """Mails in ERROR or PROCESSING whose lease expired in between, in that order. Raises Retry."""

    def commit(self, mail: Undelivered, changes: Fields, documents: Sequence[Create]) -> None:
        """All or nothing, provided the mail is as it was read; a dot in a name leads inside.

        Raises Conflict, also where a document is there already, Retry or Permanent.
        """

    def exists(self, path: str) -> bool:
        """Whether there is such a document. Raises Retry."""

    def mark(self) -> datetime | None:
        """Where the last run left it; None before the first. Raises Retry."""

    def move_mark(self, to: datetime) -> None:
        """Raises Retry."""


def each_in_turn(steps: Sequence[Callable[[], None]]) -> None:
    """Every step, whatever becomes of the others. Then raises what the first one raised that did not end well."""
    problems: list[Exception] = []
    for step in steps:
        try:
            step()
        except Exception as problem:  # raised below: the next step has no part in it
            problems.append(problem)
    if problems:
        raise problems[0]


@dataclass(slots=True)
class Run:
    """What one run is at, and what came of it so far."""

    now: datetime
    ends: float
    counts: Counter[str] = field(default_factory=Counter)
    surprises: list[Unexpected] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweeper:
    """The function `sweep_mail` with everything it uses."""

    settings: MailSettings
    mailbox: Mailbox
    clock: Clock
    log: Log
    budget_seconds: float = BUDGET_SECONDS

    def run(self) -> None:
        """Deal with every mail that is due. Raises Retry or Unexpected; running again goes on from there.

        Two runs at once do nothing twice: whoever commits second finds the mail changed.
        """
        started = self.clock.now()
        run = Run(datetime.fromtimestamp(started, UTC), started + self.budget_seconds)
        severity: Severity = "INFO"
        said = "mails swept"
        try:
            self._sweep(run)
        except Retry as problem:
            severity, said = "WARNING", f"the sweep breaks off: {problem}"
            raise
        finally:
            self.log(
                severity,
                said,
                function="sweep_mail",
                **{name: run.counts[name] for name in ("looked_at", "retried", "given_up", "waiting")},
                **{name: run.counts[name] or None for name in ("overtaken", "left_over")},
                milliseconds=round((self.clock.now() - started) * 1000, 1),
            )
        if run.surprises:
            raise run.surprises[0]

    def _sweep(self, run: Run) -> None:
        mark = self.mailbox.mark()
        # What failed longer ago than that when the very first run comes is news to nobody any more.
        since = mark or run.now - timedelta(seconds=self.settings.max_age_seconds)
        first, next_mark, seen = run.now, run.now - MARGIN, set[str]()
        for mail in merge(self.mailbox.overdue(since, run.now), self.mailbox.failed(since), key=attrgetter("at")):
            first = min(first, mail.at)
            if self.clock.now() > run.ends:
                run.counts["left_over"] = 1
                next_mark = min(next_mark, mail.at)
                break
            run.counts["looked_at"] += 1
            # Found by its end and by its lease: dealt with by then, or the mark waits for it already.
            if mail.id not in seen and not self._is_off_our_hands(mail, run):
                next_mark = min(next_mark, mail.at)
            seen.add(mail.id)
        # Where it would pass nothing, it may as well stay.
        if mark is None or first < next_mark:
            self.mailbox.move_mark(next_mark)

    def _is_off_our_hands(self, mail: Undelivered, run: Run) -> bool:
        """Do what the mail needs now; whether the mark may pass it."""
        verdict = decide(mail, run.now)
        try:
            match verdict.action:
                case "retry":
                    self.mailbox.commit(mail, {"delivery.state": "RETRY", "retries": verdict.retries + 1}, ())
                    run.counts["retried"] += 1
                case "give up":
                    self._give_up(mail, verdict, run.now)
                    run.counts["given_up"] += 1
                case "wait":
                    run.counts["waiting"] += 1
                    return False
        except Conflict:
            run.counts["overtaken"] += 1
            return False
        except Permanent:
            # It takes no write, as a document does that is as large as one may be. It must not hold up the mark.
            self._tell("ERROR", "a mail takes no change", mail, verdict)
        except Retry:
            raise
        except Exception as error:
            # The others do not wait for it. Only its class is said: its text may quote what a customer typed.
            surprise = Unexpected(f"unexpected {type(error).__name__}")
            self._tell("ERROR", str(surprise), mail, verdict)
            run.surprises.append(surprise.with_traceback(error.__traceback__))
            return False
        return True

    def _give_up(self, mail: Undelivered, verdict: Verdict, now: datetime) -> None:
        """Mark the mail and tell support, in one commit. Raises Conflict where the mail has changed."""
        documents = post(letters(mail, verdict, now), self.settings, now.timestamp()).documents
        # Not before the attempt it is about, which may have ended while this run was under way.
        marked = {"given_up_at": max(now, mail.at)}
        try:
            self.mailbox.commit(mail, marked, documents)
        except Conflict:
            # Support was told already, and somebody had it tried once more.
            if not any(self.mailbox.exists(document.path) for document in documents):
                raise
            self.mailbox.commit(mail, marked, ())
        self._tell("WARNING" if documents else "ERROR", "a mail is given up", mail, verdict)

    def _tell(self, severity: Severity, what: str, mail: Undelivered, verdict: Verdict) -> None:
        # An id that an application chose may be an address.
        mail_id = None if "@" in mail.id else mail.id
        self.log(severity, what, function="sweep_mail", mail=mail_id, cause=verdict.cause, retries=verdict.retries)
