"""Tells support of what was parked without a mail of its own, all of it in one: a step of what `sweep_mail` does.

Exactly once, whatever runs beside it: the mail and the notice that says up to when everything is told are one commit.
A document counts once it is two minutes old, so that one whose writer's clock is behind ours, or whose commit took its
time, is never passed over.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from functions.clock import Clock
from functions.effects import Effect, Merge, Put
from functions.errors import Conflict
from functions.letters import Letter, Origin, Reader
from functions.log import Log
from functions.mail.facts import ParkedGroup, ParkedMore
from functions.mail.outbox import post
from functions.mail.settings import MailSettings
from functions.parking.document import ParkedEvent
from functions.parking.parker import MAIL_EVERY_SECONDS, MARGIN_SECONDS, NOTICE
from functions.store import Found, Store

#: How long one run reads. What it does not get to is told by the next mail.
BUDGET_SECONDS = 15.0
#: How many groups of events a mail names; the others are counted.
_NAMED = 10


class ParkedEvents(Protocol):
    """The collection of parked events."""

    def between(self, after: float, until: float) -> Iterator[ParkedEvent]:
        """Those parked later than `after`, up to `until`, in epoch seconds and in that order. Raises Retry."""


@dataclass(slots=True)
class _Told:
    """What one mail tells."""

    groups: Counter[tuple[str, str]] = field(default_factory=Counter)
    since: float | None = None
    until: float = 0.0
    livemode: bool = False

    def add(self, parked: ParkedEvent) -> None:
        self.until = parked.parked_at
        # What is no longer true is told to nobody.
        if parked.told or parked.is_mended:
            return
        self.groups[parked.function, parked.reason] += 1
        self.since = parked.parked_at if self.since is None else self.since
        self.livemode |= parked.livemode

    def letter(self, now: float) -> Letter:
        common = self.groups.most_common(_NAMED)
        facts = ParkedMore(
            count=self.groups.total(),
            since=int(self.since or now),
            until=int(self.until),
            told_at=int(now),
            groups=tuple(ParkedGroup(function=f, reason=reason, count=n) for (f, reason), n in common),
            others=self.groups.total() - sum(count for _, count in common),
        )
        origin = Origin(customer=None, livemode=self.livemode, event="")
        return Letter(facts=facts, reader=Reader(), origin=origin, since=int(now))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """The step of `sweep_mail` with everything it uses."""

    store: Store
    parked: ParkedEvents
    settings: MailSettings
    clock: Clock
    log: Log

    def run(self) -> None:
        """Tell what is untold, if it is time. Raises Retry; of two runs at once one tells."""
        found = self.store.read([NOTICE])
        notice, now = found[NOTICE].fields, self.clock.now()
        # Nothing was ever told; or nobody wants to hear of parked events.
        if notice is None or "parked" in self.settings.disabled:
            return
        is_time = now - notice["mailed_at"] >= MAIL_EVERY_SECONDS
        if not is_time and notice.get("waiting"):
            return
        told = self._read(notice["told_until"], now, only_one=not is_time)
        if told.groups and not is_time:
            self._commit((Merge(NOTICE, {"waiting": True}),), found)
        elif told.groups:
            mails = post([told.letter(now)], self.settings, now).documents
            mailed = {"mailed_at": now} if mails else {}
            after = Put(NOTICE, {**notice, **mailed, "told_until": told.until, "waiting": False})
            if self._commit((*mails, after), found):
                count = told.groups.total()
                self.log("WARNING", f"{count} parked events told in one mail", function="sweep_mail", parked=count)
        elif told.until > notice["told_until"] or (is_time and notice.get("waiting")):
            # Each has a mail of its own, or was mended meanwhile: they need not be read again.
            until = max(told.until, notice["told_until"])
            self._commit((Put(NOTICE, {**notice, "told_until": until, "waiting": False}),), found)

    def _read(self, after: float, now: float, *, only_one: bool) -> _Told:
        """What was parked since; with `only_one` up to the first that is untold."""
        told, ends = _Told(), self.clock.now() + BUDGET_SECONDS
        last: ParkedEvent | None = None
        for parked in self.parked.between(after, now - MARGIN_SECONDS):
            # Not within one moment: the next run begins after it.
            if self.clock.now() > ends and last is not None and parked.parked_at > last.parked_at:
                break
            told.add(parked)
            last = parked
            if only_one and told.groups:
                break
        return told

    def _commit(self, effects: tuple[Effect, ...], found: Mapping[str, Found]) -> bool:
        """False where somebody else has told something meanwhile: the next run looks again."""
        try:
            self.store.commit(effects, found)
        except Conflict:
            return False
        return True
