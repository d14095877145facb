"""Puts an event aside and tells support, in one commit: at most one mail in 15 minutes, and the clock tells the rest.

The document `notices/parked` says when the last mail was written (`mailed_at`), up to when everything has been told
(`told_until`), and whether the clock has something to tell (`waiting`), which then goes first. Of many that park at
once the one whose commit finds the notice as it was writes the mail; the others keep documents with `told: false`.
See docs/decisions/0015-one-mail-for-a-storm.md.
"""

import random
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from functions import paths
from functions.clock import Clock
from functions.effects import Create, Effect, Fields, Merge, Outcome, Put
from functions.errors import Conflict, Retry
from functions.mail.outbox import post
from functions.mail.settings import MailSettings
from functions.parking.document import Unprocessed, said
from functions.parking.replay import Replay
from functions.store import Store

NOTICE = paths.notice("parked")
#: At most one mail in so many seconds.
MAIL_EVERY_SECONDS = 900
#: What has been mended is removed after so many days, by the TTL policy on `expires_at`.
KEPT_DAYS = 90
#: How far the clocks of two instances may be apart, and how long a commit may take.
MARGIN_SECONDS = 120
_ROUNDS = 6
_FIRST_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Parker:
    """Where events are put aside."""

    store: Store
    settings: MailSettings
    clock: Clock

    def park(self, failed: Unprocessed) -> None:
        """Keep the event, and tell support if it is time. What is parked already stays as it is. Raises Retry."""
        was_told = False
        for round_number in range(_ROUNDS):
            found = self.store.read([failed.path, NOTICE])
            stored = found[failed.path].fields
            if stored is not None and (stored.get("outcome") or "parked") == "parked":
                return
            now, notice = self.clock.now(), found[NOTICE].fields
            letters = (failed.letter(now),) if may_tell(notice, now) and not was_told else ()
            mails = post(letters, self.settings, now).documents
            # One that was mended, and fails again since, is a new failure.
            keep = Create if stored is None else Put
            effects: tuple[Effect, ...] = (
                keep(failed.path, failed.document(now, told=was_told or bool(mails))),
                *mails,
                *([_noticed(notice, now)] if mails else []),
            )
            try:
                own = {} if stored is None else {failed.path: found[failed.path]}
                self.store.commit(effects, own | ({NOTICE: found[NOTICE]} if mails else {}))
            except Conflict:
                # Somebody else was quicker; or its mail alone is there, of an event whose document somebody removed.
                was_told = was_told or any(self._exists(mail.path) for mail in mails)
                self._pause(round_number)
            else:
                return
        raise Retry(f"the event could not be parked: its documents changed under {_ROUNDS} attempts")

    def settle(
        self,
        replay: Replay,
        function: str,
        outcome: Outcome,
        *,
        others: Collection[str],
        problem: tuple[str, str | None] | None = None,
    ) -> bool:
        """Write what came of a replayed event into its document; False where that is not there or another's.

        `problem` is why it cannot be processed even now, with its detail. A document is another's if the function that
        parked it is among `others`. Raises Retry.
        """
        for round_number in range(_ROUNDS):
            found = self.store.read([replay.path])
            fields = found[replay.path].fields
            if fields is None or (fields.get("function") != function and fields.get("function") in others):
                return False
            is_ended = replay.run and fields.get("replay") == replay.run
            if is_ended and (problem is None or fields.get("outcome") == "parked"):
                # Delivered once more: only the first time says what it changed.
                return True
            try:
                self.store.commit((Merge(replay.path, _settled(replay, outcome, problem, self.clock.now())),), found)
            except Conflict:
                self._pause(round_number)
            else:
                return True
        raise Retry(f"what came of the replay could not be written: it changed under {_ROUNDS} attempts")

    def _exists(self, path: str) -> bool:
        return self.store.read([path])[path].fields is not None

    def _pause(self, round_number: int) -> None:
        # Spread, so that instances that collided once do not collide again.
        self.clock.sleep(_FIRST_PAUSE_SECONDS * 2**round_number * random.uniform(0.5, 1.5))  # noqa: S311 no secret


def may_tell(notice: Fields | None, now: float) -> bool:
    """Whether a mail about one event may be written now, in epoch seconds."""
    if notice is None:
        return True
    since = now - notice["mailed_at"]
    # The clock goes first where it has something to tell. If it has stopped, somebody has to.
    return bool(since >= (2 * MAIL_EVERY_SECONDS if notice.get("waiting") else MAIL_EVERY_SECONDS))


def _noticed(notice: Fields | None, now: float) -> Create | Put:
    """The notice after a mail about one event. What is untold stays so: up to when, only the clock says."""
    if notice is None:
        return Create(NOTICE, {"mailed_at": now, "told_until": now - MARGIN_SECONDS, "waiting": False})
    return Put(NOTICE, {**notice, "mailed_at": now})


def _settled(replay: Replay, outcome: Outcome, problem: tuple[str, str | None] | None, now: float) -> Fields:
    ended = {"replayed_at": now, "outcome": outcome, "replay": replay.run}
    if problem is not None:
        return {**ended, **said(*problem), "expires_at": None}
    return {**ended, "expires_at": datetime.fromtimestamp(now, UTC) + timedelta(days=KEPT_DAYS)}
