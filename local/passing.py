"""Time that passes at once: the real `send_due_reminders`, with a clock that is moved from one due date to the next."""

import sys
from collections.abc import Mapping

from google.cloud.firestore import Client

from functions.adapters.diary import FirestoreDiary
from functions.adapters.prices import StripePrices
from functions.adapters.stripe import StripeApi
from functions.log import Log
from functions.reminders.rules import SCHEDULES
from functions.reminders.sender import Sender
from functions.settings.reminders import sender_settings


class MovableClock:
    """`functions.clock.Clock` that stands still until it is moved."""

    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._now += seconds

    def move(self, to: float) -> None:
        """It is that late now."""
        self._now = to


class Passing:
    """What becomes due while time passes, wired as `main.py` wires it, but for the clock."""

    def __init__(self, environ: Mapping[str, str], client: Client, log: Log) -> None:
        settings = sender_settings(environ)
        self._clock = MovableClock(0)
        self._diary = FirestoreDiary(client)
        stripe = StripeApi(settings.stripe_api_key, settings.stripe_api_base, self._clock)
        self._sender = Sender(
            settings=settings.reminders,
            mail=settings.mail,
            diary=self._diary,
            stripe=StripePrices(stripe, client, self._clock),
            clock=self._clock,
            log=log,
            # The clock stands still while it works.
            budget_seconds=sys.maxsize,
        )

    def until(self, then: float) -> None:
        """Let time pass until then, and have everything sent on its own day."""
        before: tuple[int, str] | None = None
        while (due := self._next(then)) is not None:
            if due == before:
                raise RuntimeError(f"{due[1]} stays due, whatever was done about it")
            self._clock.move(due[0])
            self._sender.run()
            before = due

    def _next(self, then: float) -> tuple[int, str] | None:
        """The next due date up to then, and the document whose it is."""
        firsts = (page[0] for name in SCHEDULES if (page := self._diary.due(name, then, None)))
        return min((((due.found.fields or {})["next_reminder_at"], due.path) for due in firsts), default=None)
