"""One document whose time has come, and what is to become of it: its new reminders, and the letters that say why.

Pure. Whether an offer may be made is asked once more, by the address: it is a person who refuses, and not a Customer.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from functions import paths
from functions.effects import Create, Effect, Json, Merge
from functions.letters import Letter, Origin, Reader
from functions.mail.table import BY_NAME
from functions.marketing.addresses import may_be_offered_at
from functions.reminders.due import Drop, Tell, Verdict
from functions.reminders.rules import SCHEDULES, fields
from functions.reminders.settings import ReminderSettings
from functions.store import Found

#: How many other customers of one address are looked at. A shop that makes a Customer per order has more.
_MOST_OTHERS = 10
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Due:
    """A document whose time has come, as the query read it."""

    path: str
    found: Found

    @property
    def collection(self) -> str:
        """`subscriptions`, `invoices` or `payment_methods`."""
        return self.path.split("/")[2]

    @property
    def customer(self) -> str:
        """`customers/{c}`, to which it belongs."""
        return "/".join(self.path.split("/")[:2])


@dataclass(slots=True)
class Work:
    """One document, and what is to become of it."""

    due: Due
    document: dict[str, Any]
    customer: dict[str, Any]
    letters: tuple[Letter, ...] = ()
    dropped: tuple[str, ...] = ()
    #: `addresses/{hash}` of whom an offer goes to.
    addresses: tuple[str, ...] = ()

    def take(self, verdict: Verdict, reader: Reader, now: float) -> None:
        """What was decided about one kind of reminder: the next kind is decided with it."""
        self.document["mails"] = sorted({*self.document.get("mails", ()), *verdict.mails})
        if not isinstance(verdict, Tell):
            self.dropped += (verdict.reason,)
            return
        origin = Origin(
            customer=self.due.customer.partition("/")[2],
            user_id=self.customer.get("user_id"),
            livemode=self.document.get("livemode") is True,
            # No event of Stripe's: the time had come.
            event="",
        )
        self.letters += (Letter(facts=verdict.facts, reader=reader, origin=origin, since=verdict.since),)
        if verdict.is_offer:
            self.customer["offered_at"] = int(now)

    def effects(self, settings: ReminderSettings, documents: Iterable[Create]) -> tuple[Effect, ...]:
        """The document with its new reminders, and when its customer was last made an offer, if one was written."""
        schedule = SCHEDULES[self.due.collection](self.document, settings)
        told = Merge(self.due.path, {"mails": self.document.get("mails", []), **fields(schedule)})
        if not any(BY_NAME[document.fields["mail"]].offer for document in documents):
            return (told,)
        offered = {"offered_at": self.customer["offered_at"]}
        return told, Merge(self.due.customer, offered), *(Merge(path, offered) for path in self.addresses)

    def unless_refused(
        self,
        tell: Tell,
        address: Mapping[str, Found],
        others: Sequence[Json],
        settings: ReminderSettings,
        now: float,
    ) -> Verdict:
        """An offer, unless its address or another customer of it has refused them or was made one. `now` in seconds.

        That another customer has said nothing is no refusal: the one it is made to is asked for more elsewhere.
        """
        self.addresses = tuple(address)
        for found in address.values():
            marketing = self.customer.get("marketing")
            if reason := may_be_offered_at(found.fields, marketing, settings.offer_pause_days, now):
                return Drop(reason=reason, mails=tell.mails)
        if any((other.get("marketing") or {}).get("status") == "opt_out" for other in others):
            return Drop(reason="another customer of the same address wants no offers", mails=tell.mails)
        if any(now - other.get("offered_at", -math.inf) < settings.offer_pause_days * _DAY for other in others):
            reason = "another customer of the same address was made an offer less than OFFER_PAUSE_DAYS ago"
            return Drop(reason=reason, mails=tell.mails)
        return tell


def others_of(index: Mapping[str, Any] | None, own: str) -> tuple[str, ...]:
    """`customers/{c}` of everybody else with the same address; `index` is its `customer_index/email:…`."""
    found = (paths.customer(customer) for customer in (index or {}).get("customers", ()))
    return tuple(customer for customer in found if customer != own)[:_MOST_OTHERS]
