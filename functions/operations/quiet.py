"""The very same reactions, in silence: they remember what they would have said, and nobody is written to."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import takewhile
from typing import Any

from functions.clock import Clock
from functions.effects import Effect, Json, Put, Reaction, read
from functions.mail.table import MAILS
from functions.reminders.rules import SCHEDULES, fields, untold
from functions.reminders.settings import ReminderSettings
from functions.settings.subscriber import SubscriberSettings
from functions.stripe_events import StripeEvent
from functions.subscriber import React


def quiet(settings: SubscriberSettings, name: str) -> SubscriberSettings:
    """The settings with which the function of that name writes no mail and makes nobody an account.

    Only `provision_accounts` is told to make none: where accounts are made, the welcome waits for the account.
    """
    mail = replace(settings.mail, disabled=frozenset(each.name for each in MAILS))
    accounts = replace(settings.accounts, create=False) if name == "provision_accounts" else settings.accounts
    return replace(settings, mail=mail, accounts=accounts)


def without_the_past(react: React, clock: Clock) -> React:
    """The reaction, except that a document met for the first time is reminded of nothing that was due before.

    Otherwise everybody whose plan renews within 30 days, or whose card expires, would be told at once, by the next run
    of `send_due_reminders`. A document that was there keeps its reminders.
    """

    def reaction(event: StripeEvent, settings: SubscriberSettings) -> Reaction:
        decision = yield from react(event, settings)
        reminding = [each.path for each in decision.effects if isinstance(each, Put) and _collection(each.path)]
        # The reaction has read them: this asks nobody.
        stored = (yield from read(*reminding)) if reminding else {}
        new = {path for path in reminding if stored[path] is None}
        return replace(
            decision,
            effects=tuple(
                _reminded_from_now(each, settings.reminders, clock.now()) if each.path in new else each
                for each in decision.effects
            ),
        )

    return reaction


def _collection(path: str) -> str | None:
    parts = path.split("/")
    return parts[2] if len(parts) == 4 and parts[2] in SCHEDULES else None


def _reminded_from_now(effect: Effect, settings: ReminderSettings, now: float) -> Effect:
    collection = _collection(effect.path)
    if not isinstance(effect, Put) or collection is None:
        return effect
    told = {*effect.fields.get("mails", ()), *_missed(effect.fields, settings, now)}
    document: Json = {**effect.fields, "mails": sorted(told)}
    return Put(effect.path, document | fields(SCHEDULES[collection](document, settings)))


def _missed(document: Mapping[str, Any], settings: ReminderSettings, now: float) -> list[str]:
    """The mails of every reminder that was due before."""
    return [
        occasion.mail
        for kind in document["reminders"]
        for occasion in takewhile(lambda each: each.due_at <= now, untold(kind, document, settings))
    ]
