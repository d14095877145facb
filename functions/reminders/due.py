"""What is to be said of a document whose time has come, as its state is now. Pure: what has to be known is asked for.

A verdict always takes its occasions off the list: with its `mails` added to the document's, the next occasion of the
kind is later than now, or there is none. What was missed is never made up for: of several the latest is told.
"""

from collections.abc import Generator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from functions.letters import Facts
from functions.reminders.facts import AskPrices, AskSubscriptions, facts_of
from functions.reminders.offers import may_offer
from functions.reminders.rules import RULES, Kind, Occasion, untold
from functions.reminders.settings import ReminderSettings
from functions.reminders.subscriptions import Fields

#: Advertising: it needs consent, and is of no use late.
OFFERS: frozenset[Kind] = frozenset({"upgrade_offer", "yearly_offer"})


#: What is of no use late, and is as old as the day on which it was due. Notices are true until their cause is gone.
_OF_THEIR_DAY: frozenset[Kind] = OFFERS | {"unpaid_followup"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Say this. `since` is the letter's; `mails` are the ids that the document has told or given up."""

    facts: Facts
    is_offer: bool
    since: int
    mails: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Say nothing, and why; `mails` as above, empty where the document gives no cause for anything now."""

    reason: str
    mails: tuple[str, ...]


Verdict = Tell | Drop


Look = Generator[AskSubscriptions | AskPrices, Any, Verdict]


def kinds_due(document: Fields, now: float) -> tuple[Kind, ...]:
    """The kinds of a stored document whose time has come, the longest due first."""
    stored: dict[str, int] = document.get("reminders") or {}
    due = sorted((kind for kind in RULES if kind in stored and stored[kind] <= now), key=lambda kind: stored[kind])
    return tuple(due)


def look(kind: Kind, document: Fields, customer: Fields | None, settings: ReminderSettings, now: float) -> Look:
    """Decide what comes of one kind of reminder. `customer` is `customers/{c}`, `now` is in epoch seconds."""
    missed = list(takewhile(lambda occasion: occasion.due_at <= now, untold(kind, document, settings)))
    if not missed:
        return Drop(reason="the document gives no cause for it now", mails=())
    mails = tuple(occasion.mail for occasion in missed)
    occasion, is_offer = missed[-1], kind in OFFERS
    reason = _refusal(occasion, customer, settings, now) if is_offer else _gone(customer)
    if reason is not None:
        return Drop(reason=reason, mails=mails)
    found = yield from facts_of(kind, occasion, document, customer or {}, settings=settings, now=now)
    if isinstance(found, str):
        return Drop(reason=found, mails=mails)
    return Tell(
        facts=found, is_offer=is_offer, since=occasion.due_at if kind in _OF_THEIR_DAY else int(now), mails=mails
    )


def _gone(customer: Fields | None) -> str | None:
    return "the customer is deleted" if customer is not None and customer.get("deleted") else None


def _refusal(occasion: Occasion, customer: Fields | None, settings: ReminderSettings, now: float) -> str | None:
    if now - occasion.due_at > settings.max_age_seconds:
        return f"it should have been offered more than MAIL_MAX_AGE ago ({settings.max_age_seconds} s)"
    return may_offer(customer, settings, now)
