"""Three years of a shop, day by day: the reminders say exactly what a look at everything, every day, would say.

A scan of all documents is what reminders replace, because its cost grows with the number of customers; as the measure
of what is right it is simple. It has its own calendar here: days and months of the wall clock, without any epoch.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.reminders.due import Tell, kinds_due
from tests.reminder_shop import HOUR, PRICES, SAVES, YEARS, Shop, months_later
from tests.reminding import DAY, ZONES, Json, verdict


@cache
def wall(at: int, zone: ZoneInfo) -> datetime:
    """What a clock on the wall shows."""
    return datetime.fromtimestamp(at, zone).replace(tzinfo=None, fold=0)


@dataclass(frozen=True)
class Said:
    """One mail and the moment it was written."""

    at: int
    mail: str


class Reminders:
    """The scheduled function: asks for what is due, and looks at nothing else."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.said: list[Said] = []
        self.looks = 0

    def run(self, now: int) -> None:
        documents = self.shop.documents
        due = [
            (document["next_reminder_at"], path)
            for path, document in documents.items()
            if document["next_reminder_at"] is not None and document["next_reminder_at"] <= now
        ]
        for _, path in sorted(due):
            document, of = documents[path], self.shop.customers[path.split("/")[1]]
            mails = list(document.get("mails", ()))
            for kind in kinds_due(document, now):
                self.looks += 1
                found = verdict(
                    kind,
                    document,
                    now,
                    of=of,
                    subscriptions=[documents[each] for each in self.shop.of(path.split("/")[1], "subscriptions")],
                    prices=PRICES,
                    settings=self.shop.settings,
                )
                mails += found.mails
                if isinstance(found, Tell):
                    self.said.append(Said(now, found.facts.id))
                    if found.is_offer:
                        of["offered_at"] = now
            self.shop.change(path, mails=mails)
            after = documents[path]["next_reminder_at"]
            assert after is None or after > now, "the same reminder comes back"


@dataclass(frozen=True)
class Chance:
    """Something the scan finds: since when, what, and whether it is still true and wanted."""

    since: datetime
    kind: str
    mail: str
    is_true: bool = True


class Scan:
    """The measure: every document, every time, and a list of all that was ever seen."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.zone = shop.settings.zone
        self.said: list[Said] = []
        self.offered: dict[str, int] = {}
        self._seen: set[str] = set()

    def run(self, now: int) -> None:
        self._seen |= self.shop.announced
        clock = wall(now, self.zone)
        found: list[tuple[datetime, str, list[Chance]]] = []
        for path, document in self.shop.documents.items():
            chances = [c for c in self._chances(path, document, now) if c.since <= clock and c.mail not in self._seen]
            if chances:
                found.append((min(c.since for c in chances), path, sorted(chances, key=lambda c: c.since)))
        for _, path, chances in sorted(found, key=lambda each: each[:2]):
            self._seen |= {chance.mail for chance in chances}
            for latest in {chance.kind: chance for chance in chances}.values():
                if latest.is_true and self._is_wanted(path.split("/")[1], latest, now):
                    self.said.append(Said(now, latest.mail))

    def _is_wanted(self, owner: str, chance: Chance, now: int) -> bool:
        who, rules = self.shop.customers[owner], self.shop.settings
        if who.get("deleted"):
            return False
        if not chance.kind.endswith("offer"):
            return True
        since = int(chance.since.replace(tzinfo=self.zone).timestamp())
        says = (who["marketing"] or {}).get("status", "nothing")
        agrees = says == "opt_in" or (says == "nothing" and rules.offers == "opt_out")
        pauses = owner in self.offered and now < self.offered[owner] + 30 * DAY
        if agrees and not pauses and now - since <= 3 * DAY:
            self.offered[owner] = now
            return True
        return False

    def _chances(self, path: str, document: Json, now: int) -> Iterator[Chance]:
        collection = path.split("/")[2]
        if collection == "invoices" and document["status"] == "open":
            for days in (3, 7):
                mail = f"unpaid_followup_{document['id']}_{document['attempt_count']}_{days}"
                yield Chance(wall(document["failed_at"], self.zone) + timedelta(days), "unpaid", mail)
        elif collection == "payment_methods" and not document["detached"]:
            yield from self._of_a_card(path, document, now)
        elif collection == "subscriptions" and document["status"] != "canceled":
            yield from self._of_a_trial(document, now)
            yield from self._of_a_subscription(document, now)

    def _of_a_card(self, path: str, document: Json, now: int) -> Iterator[Chance]:
        year, month = document["exp_year"], document["exp_month"]
        ends = months_later(datetime(year, month, 1), 1)  # noqa: DTZ001 -- the wall's
        if not timedelta() < ends - wall(now, self.zone) < timedelta(40):
            return
        owner = path.split("/")[1]
        needed = False
        for each in (self.shop.documents[p] for p in self.shop.of(owner, "subscriptions")):
            pays_with = each["default_payment_method"] or self.shop.customers[owner]["default_payment_method"]
            last = [each["cancel_at"], each["current_period_end"] if each["cancel_at_period_end"] else None]
            outlives = all(end is None or wall(end, self.zone) > ends for end in last)
            is_used = each["status"] in {"active", "trialing", "past_due"} and each["items"][0]["unit_amount"] > 0
            needed |= is_used and outlives and pays_with == document["id"]
        for days, suffix in ((30, ""), (7, "_7")):
            mail = f"card_expiring_{document['id']}_{year}{month:02}{suffix}"
            yield Chance(ends - timedelta(days), "card", mail, needed)

    def _of_a_trial(self, document: Json, now: int) -> Iterator[Chance]:
        if document["status"] != "trialing":
            return
        begins, ends = document["trial_start"], document["trial_end"]
        if document["cancel_at"] is None and not document["cancel_at_period_end"]:
            middle = wall((begins + ends) // 2, self.zone)
            yield Chance(middle, "upgrade_offer", f"upgrade_offer_{document['id']}", now < ends)
        announced = wall(max(ends - 71 * HOUR, begins + HOUR), self.zone)
        yield Chance(announced, "trial", f"trial_ending_{document['id']}_{ends}", now < ends)

    def _of_a_subscription(self, document: Json, now: int) -> Iterator[Chance]:
        sub, plan, status = document["id"], document["items"][0], document["status"]
        stays = document["cancel_at"] is None and not document["cancel_at_period_end"]
        costs, pays = plan["unit_amount"] > 0, document["pause_collection"] is None
        if status == "active" and stays and not costs:
            since = wall(document["start_date"], self.zone) + timedelta(14)
            yield Chance(since, "upgrade_offer", f"upgrade_offer_{sub}")
        is_monthly = (plan["interval"], plan["interval_count"]) == ("month", 1)
        if status == "active" and stays and costs and pays and is_monthly:
            first = wall(max(document["start_date"], document["trial_end"] or 0), self.zone)
            for years in range(1, YEARS + 1):
                since = months_later(first, 12 * years)
                if since >= wall(document["current_period_start"], self.zone) - timedelta(3):
                    yield Chance(since, "yearly_offer", f"yearly_offer_{sub}_{since.year}", plan["price"] in SAVES)
        if status in {"active", "past_due"} and plan["interval"] == "year" and pays:
            end = document["current_period_end"]
            yield Chance(wall(end, self.zone) - timedelta(30), "renewal", f"renewal_{sub}_{end}", now < end)


def live(random: Random, zone: str, customers: int, steps: int) -> tuple[Shop, Reminders, Scan]:
    """Three years, with a look at noon of each day but those on which the machine was down."""
    zone_info = ZoneInfo(zone)
    first_day = date(2026 + random.randrange(3), 1 + random.randrange(12), 1 + random.randrange(28))
    noon = datetime(first_day.year, first_day.month, first_day.day, 12, tzinfo=zone_info)
    shop = Shop(random, zone_info, int(noon.timestamp()))
    for number in range(customers):
        shop.join(f"cus_{number}", steps)
    down: set[int] = set()
    for _ in range(random.randrange(4)):
        begins = random.randrange(YEARS * 365)
        down |= set(range(begins, begins + random.choice((1, 2, 4, 20, 60))))
    reminders, scan = Reminders(shop), Scan(shop)
    for day in range(1, YEARS * 365):
        now = int((noon + timedelta(day)).timestamp())
        shop.live_until(now)
        if day not in down:
            reminders.run(now)
            scan.run(now)
            assert reminders.said == scan.said
    return shop, reminders, scan


def check(shop: Shop, reminders: Reminders) -> None:
    """What holds whatever the measure says."""
    mails = [said.mail for said in reminders.said]
    assert len(set(mails)) == len(mails), "a mail was written twice"
    assert not shop.announced & set(mails), "what Stripe announced was told again"
    offers: dict[str, int] = {}
    owners = {document["id"]: path.split("/")[1] for path, document in shop.documents.items()}
    for said in reminders.said:
        if "_offer_sub_" in said.mail:
            owner = owners["sub_" + said.mail.split("_")[3]]
            assert said.at - offers.get(owner, -(10**9)) >= shop.settings.offer_pause_days * DAY
            offers[owner] = said.at


@settings(max_examples=40)
@given(st.randoms(use_true_random=False), st.sampled_from(ZONES), st.integers(1, 2), st.integers(0, 10))
def test_reminders_say_what_a_look_at_everything_every_day_would_say(
    random: Random, zone: str, customers: int, steps: int
) -> None:
    shop, reminders, _ = live(random, zone, customers, steps)
    check(shop, reminders)


@pytest.mark.parametrize("zone", ZONES)
def test_a_shop_of_many_customers_has_every_reminder_and_few_looks(zone: str) -> None:
    shop, reminders, _ = live(Random(f"{zone} 1"), zone, 50, 10)
    check(shop, reminders)
    kinds = Counter(said.mail.rsplit("_sub_")[0].split("_in_")[0].split("_pm_")[0] for said in reminders.said)
    expected = {"upgrade_offer", "yearly_offer", "renewal", "trial_ending", "unpaid_followup", "card_expiring"}
    assert kinds.keys() == expected, kinds
    # One look for each thing that became due; the scan looked at every document every day.
    assert reminders.looks < 20 * len(shop.customers)
