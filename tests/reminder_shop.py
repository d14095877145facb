"""A shop that lives for years in memory: what happens by itself, what customers do, and what is stored of it.

Everything is drawn from one `Random`: hypothesis can shrink what happened, and a seed brings it back.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import count
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from functions.reminders.rules import SCHEDULES, fields
from tests.reminding import DAY, TOKYO, Json, card, customer, invoice, item, price, subscription

YEARS = 3
HOUR = 3_600

#: What the shop sells. The first product has a yearly price that saves something, the second has none.
PLANS: dict[str, Json] = {
    "free": item(0, product="prod_0", price="free"),
    "basic": item(1000, product="prod_1", price="basic"),
    "seats": item(1000, product="prod_1", price="basic", quantity=3),
    "solo": item(700, product="prod_2", price="solo"),
    "quarter": item(2800, product="prod_1", price="quarter", interval_count=3),
    "year": item(10_000, "year", product="prod_1", price="year"),
}
PRICES = (
    price("free", 0, "month", product="prod_0"),
    price("basic", 1000, "month"),
    price("solo", 700, "month", product="prod_2"),
    price("year", 10_000, "year"),
)
SAVES = {"basic", "seats"}


def months_later(start: datetime, months: int) -> datetime:
    """The same day of another month, or its last one."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    for day in (start.day, 30, 29, 28):
        try:
            return start.replace(year=year, month=month + 1, day=min(day, start.day))
        except ValueError:
            continue
    raise AssertionError(start)


def stripes_months_later(anchor: int, months: int) -> int:
    """Stripe counts in UTC."""
    return int(months_later(datetime.fromtimestamp(anchor, UTC), months).timestamp())


@dataclass(order=True)
class Appointment:
    """Something that happens by itself, or that somebody will do."""

    at: int
    number: int
    act: Callable[[int], None] = field(compare=False)


class Shop:
    """Stripe's objects and the documents that mirror them, with reminders kept as the reactions keep them."""

    def __init__(self, random: Random, zone: ZoneInfo, opens: int) -> None:
        self.random = random
        self.settings = replace(TOKYO, zone=zone, offers=random.choice(("opt_in", "opt_out")))
        self.customers: dict[str, Json] = {}
        self.documents: dict[str, Json] = {}
        self.announced: set[str] = set()
        self._paths: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self._anchors: dict[str, tuple[int, int]] = {}
        self._appointments: list[Appointment] = []
        self._numbers = count()
        self.opens = opens

    def at(self, moment: int, act: Callable[[int], None]) -> None:
        heapq.heappush(self._appointments, Appointment(moment, next(self._numbers), act))

    def live_until(self, now: int) -> None:
        while self._appointments and self._appointments[0].at <= now:
            appointment = heapq.heappop(self._appointments)
            appointment.act(appointment.at)

    def store(self, path: str, document: Json) -> None:
        """As a reaction does it: the document and its reminders in one."""
        if path not in self.documents:
            _, owner, collection, _ = path.split("/")
            self._paths[owner, collection].append(path)
        self.documents[path] = document | fields(SCHEDULES[path.split("/")[2]](document, self.settings))

    def change(self, path: str, **changes: Any) -> None:
        self.store(path, self.documents[path] | changes)

    def of(self, owner: str, collection: str) -> list[str]:
        return self._paths[owner, collection]

    # What customers do

    def join(self, name: str, steps: int) -> None:
        """Somebody who subscribes in the first months, and of whom anything may then be expected."""
        said = self.random.choice((None, {"status": "opt_in", "at": self.opens, "by": "checkout"}))
        self.customers[name] = customer(marketing=said, default_payment_method=None)
        self._card(name, self.opens)
        acts: tuple[Callable[[str, int], None], ...] = (
            *(self._subscribe, self._change_plan, self._extend_trial, self._leave, self._stay, self._pause),
            *(self._card, self._prefer_card, self._detach, self._consent, self._consent, self._delete),
        )
        self.at(self._some_time(90), partial(self._subscribe, name))
        for _ in range(steps):
            self.at(self._some_time(self.random.choice((120, YEARS * 365))), partial(self.random.choice(acts), name))

    def _some_time(self, days: int) -> int:
        return self.opens + self.random.randrange(days) * DAY + self.random.randrange(DAY)

    def _subscribe(self, name: str, now: int) -> None:
        sub = f"sub_{next(self._numbers)}"
        path = f"customers/{name}/subscriptions/{sub}"
        trial_days = self.random.choice((0, 0, 0, 2, 14, 45))
        plan = self.random.choice(tuple(PLANS))
        trial_end = now + trial_days * DAY if trial_days else None
        document = subscription(
            PLANS[plan],
            id=sub,
            customer=name,
            status="trialing" if trial_days else "active",
            start_date=now,
            trial_start=now if trial_days else None,
            trial_end=trial_end,
            current_period_start=now,
        )
        self.store(path, document)
        if trial_end is None:
            self._begin(path, now)
        else:
            self._set_period(path, now, trial_end)
            if self.random.random() < 0.5:
                self.at(max(trial_end - 3 * DAY, now), lambda _: self._announce(path, trial_end))

    def _announce(self, path: str, trial_end: int) -> None:
        """Stripe's own event, and the mail that comes of it."""
        document = self.documents[path]
        mail = f"trial_ending_{document['id']}_{trial_end}"
        if document["status"] == "trialing" and document["trial_end"] == trial_end and mail not in document["mails"]:
            self.change(path, mails=[*document["mails"], mail])
            self.announced.add(mail)

    def _begin(self, path: str, now: int) -> None:
        """From now on its periods are counted."""
        self._anchors[path] = (now, 0)
        self._next_period(path)

    def _next_period(self, path: str) -> None:
        anchor, periods = self._anchors[path]
        plan = self.documents[path]["items"][0]
        months = plan["interval_count"] * (12 if plan["interval"] == "year" else 1)
        self._anchors[path] = (anchor, periods + 1)
        start = stripes_months_later(anchor, months * periods)
        self._set_period(path, start, stripes_months_later(anchor, months * (periods + 1)))

    def _set_period(self, path: str, start: int, end: int) -> None:
        period = {"current_period_start": start, "current_period_end": end}
        self.change(path, **period, items=[each | period for each in self.documents[path]["items"]])
        self.at(end, lambda now: self._period_ends(path, now))

    def _period_ends(self, path: str, now: int) -> None:
        document = self.documents[path]
        if document["status"] in {"canceled", "paused"} or document["current_period_end"] != now:
            return
        if document["cancel_at_period_end"]:
            self._end(path, now)
        elif document["status"] == "trialing":
            self.change(path, status="active")
            self._begin(path, now)
            self._charge(path, now)
        else:
            self._next_period(path)
            self._charge(path, now)

    def _end(self, path: str, now: int) -> None:
        self.change(path, status="canceled", ended_at=now)

    def _charge(self, path: str, now: int) -> None:
        """Most payments succeed, and leave nothing to remember."""
        document = self.documents[path]
        if document["items"][0]["unit_amount"] == 0 or document["pause_collection"] or self.random.random() < 0.85:
            return
        owed = f"in_{next(self._numbers)}"
        name = document["customer"]
        at = f"customers/{name}/invoices/{owed}"
        self.store(at, invoice(id=owed, customer=name, subscription=document["id"], failed_at=now))
        self.change(path, status="past_due")
        self._retry_later(path, at, now)

    def _retry_later(self, path: str, owed: str, now: int) -> None:
        self.at(now + self.random.randrange(1, 12 * 24) * HOUR, lambda then: self._retry(path, owed, then))

    def _retry(self, path: str, owed: str, now: int) -> None:
        outcome = self.random.choice(("paid", "paid", "failed", "failed", "given up", "left"))
        if outcome == "paid":
            self.change(owed, status="paid", amount_remaining=0)
        elif outcome == "given up":
            self.change(owed, status="uncollectible")
        elif outcome == "failed":
            self.change(owed, failed_at=now, attempt_count=self.documents[owed]["attempt_count"] + 1)
            self._retry_later(path, owed, now)
        if self.documents[path]["status"] == "past_due" and outcome in {"paid", "given up"}:
            self.change(path, status="active") if outcome == "paid" else self._end(path, now)

    def _one_of(self, name: str, collection: str) -> str | None:
        there = [
            path
            for path in self.of(name, collection)
            if self.documents[path].get("status") != "canceled" and not self.documents[path].get("detached")
        ]
        return self.random.choice(there) if there else None

    def _change_plan(self, name: str, now: int) -> None:
        path = self._one_of(name, "subscriptions")
        if path is None:
            return
        old, new = self.documents[path]["items"][0], PLANS[self.random.choice(tuple(PLANS))]
        rhythm = ("interval", "interval_count")
        changed = ("price", "product", "unit_amount", "quantity", *rhythm)
        self.change(path, items=[old | {name: new[name] for name in changed}])
        if self.documents[path]["status"] == "active" and any(old[name] != new[name] for name in rhythm):
            self._begin(path, now)

    def _leave(self, name: str, now: int) -> None:
        path = self._one_of(name, "subscriptions")
        how = self.random.choice(("now", "then", "then", "some day"))
        if path is None:
            return
        if how == "now":
            self._end(path, now)
        elif how == "then":
            self.change(path, cancel_at_period_end=True)
        else:
            day = now + self.random.randrange(1, 400) * DAY
            self.change(path, cancel_at=day)
            self.at(day, lambda then: self._end(path, then) if self.documents[path]["cancel_at"] == then else None)

    def _stay(self, name: str, _: int) -> None:
        path = self._one_of(name, "subscriptions")
        if path:
            self.change(path, cancel_at_period_end=False, cancel_at=None)

    def _pause(self, name: str, now: int) -> None:
        path = self._one_of(name, "subscriptions")
        if path:
            self.change(path, pause_collection="void")
            self.at(now + self.random.randrange(1, 90) * DAY, lambda _: self.change(path, pause_collection=None))

    def _extend_trial(self, name: str, now: int) -> None:
        path = self._one_of(name, "subscriptions")
        if path and self.documents[path]["status"] == "trialing":
            self.change(path, trial_end=now + 20 * DAY)
            self._set_period(path, self.documents[path]["current_period_start"], now + 20 * DAY)

    def _card(self, name: str, now: int) -> None:
        """A new card, for everything that has none of its own."""
        number = f"pm_{next(self._numbers)}"
        year, month = divmod(datetime.fromtimestamp(now, UTC).year * 12 + self.random.randrange(36), 12)
        self.store(
            f"customers/{name}/payment_methods/{number}",
            card(id=number, customer=name, exp_year=year, exp_month=month + 1, mails=[]),
        )
        self.customers[name]["default_payment_method"] = number

    def _prefer_card(self, name: str, _: int) -> None:
        path, method = self._one_of(name, "subscriptions"), self._one_of(name, "payment_methods")
        if path and method:
            self.change(path, default_payment_method=self.documents[method]["id"])

    def _detach(self, name: str, _: int) -> None:
        method = self._one_of(name, "payment_methods")
        if method:
            gone = {"detached": True, "exp_month": None, "exp_year": None, "brand": None, "last4": None}
            self.change(method, **gone)

    def _consent(self, name: str, now: int) -> None:
        status = self.random.choice(("opt_in", "opt_in", "opt_out"))
        self.customers[name]["marketing"] = {"status": status, "at": now, "by": "link"}

    def _delete(self, name: str, now: int) -> None:
        if self.random.random() < 0.3:
            self.customers[name]["deleted"] = True
            for path in self.of(name, "subscriptions"):
                self._end(path, now)
