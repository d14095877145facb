"""One run over what has become due: each kind, each reason to say nothing, and many runs at once.

On the Firestore emulator, with the local Stripe API behind the official client.
"""

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest
from google.cloud.firestore import Client
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

from functions import paths
from functions.adapters.clock import SystemClock
from functions.adapters.diary import FirestoreDiary
from functions.adapters.prices import FRESH_SECONDS, StripePrices
from functions.adapters.pubsub import PubSubTopic
from functions.adapters.stripe import StripeApi
from functions.effects import Create, Effect
from functions.errors import Retry
from functions.letters import Reader
from functions.log import JsonLog
from functions.mail.settings import MailSettings
from functions.marketing.links import UnsubscribeLinks
from functions.reminders.rules import SCHEDULES, fields
from functions.reminders.sender import Diary, Sender, Stripe, Topic, go_on
from functions.reminders.settings import ReminderSettings
from functions.reminders.work import Due
from functions.store import Found
from functions.topology import CLOCK_TOPIC
from local import stripe_api as local
from tests.driving import SETTINGS
from tests.reminding import DAY, PRICES, TOKYO, Json, card, customer, epoch, invoice, item, price, subscription, yearly
from tests.test_webhook import MovableClock

NOW = epoch("2026-11-24T09:00+09:00")
LAST_YEAR = epoch("2025-11-24T09:00+09:00")
LINKS = UnsubscribeLinks("https://shop.example/unsubscribe", ("k" * 32,))
MAIL = replace(
    SETTINGS.mail, locale="en", unsubscribe=LINKS, brand=replace(SETTINGS.mail.brand, footer=("1-1 Example, Tokyo",))
)
SUBSCRIPTION = "customers/cus_1/subscriptions/sub_1"
INVOICE = "customers/cus_1/invoices/in_1"


@pytest.fixture(scope="module")
def server() -> Iterator[local.StripeApi]:
    with local.StripeApi() as running:
        yield running


@dataclass
class Bench:
    """The database, the Stripe account, a clock, and what was said."""

    client: Client
    served: local.StripeApi
    clock: MovableClock = field(default_factory=lambda: MovableClock(NOW))
    output: io.StringIO = field(default_factory=io.StringIO)

    def stripe(self) -> StripePrices:
        return StripePrices(StripeApi("sk_test_x", self.served.url, self.clock), self.client, self.clock)

    def sender(
        self,
        settings: ReminderSettings = TOKYO,
        mail: MailSettings = MAIL,
        diary: Diary | None = None,
        stripe: Stripe | None = None,
        budget_seconds: float = 60.0,
    ) -> Sender:
        return Sender(
            settings=settings,
            mail=mail,
            diary=diary or FirestoreDiary(self.client),
            stripe=stripe or self.stripe(),
            clock=self.clock,
            log=JsonLog(self.output),
            budget_seconds=budget_seconds,
        )

    def run(self, sender: Sender | None = None) -> Json:
        """The last line of one run."""
        (sender or self.sender()).run()
        return self.said()[-1]

    def meet(self, name: str = "cus_1", **more: Any) -> None:
        """A customer whom `index_customers` has stored."""
        stored = customer(name="Hana Sato", locale="en", user_id=None, as_of=1, **more)
        self.client.document(f"customers/{name}").set(stored)

    def put(self, path: str, document: Json) -> Json:
        """A document with its reminders, as whoever stores it writes them."""
        stored = whole(path, document)
        self.client.document(path).set(stored)
        return stored

    def get(self, path: str) -> Json:
        found: Json | None = self.client.document(path).get().to_dict()
        assert found is not None, path
        return found

    def mails(self) -> dict[str, Json]:
        return {each.id: each.to_dict() or {} for each in self.client.collection("mail").stream()}

    def said(self) -> list[Json]:
        return [json.loads(line) for line in self.output.getvalue().splitlines()]

    def lines(self) -> list[str]:
        """What was said beside the summaries."""
        return [line["message"] for line in self.said() if "document" in line]

    def asked(self, path: str) -> int:
        return sum(request["path"].startswith(path) for request in self.served.requests())


def whole(path: str, document: Json) -> Json:
    return document | fields(SCHEDULES[path.split("/")[2]](document, TOKYO))


@pytest.fixture
def bench(firestore_client: Client, server: local.StripeApi) -> Bench:
    server.clear()
    server.put([each | {"object": "price", "created": 1} for each in PRICES])
    return Bench(firestore_client, server)


class Watched:
    """The real diary, remembering what was read and which mails were committed; whoever derives from it interferes."""

    def __init__(self, client: Client, page: int = 100) -> None:
        self._diary = FirestoreDiary(client, page)
        self.client = client
        self.read_paths: list[str] = []
        self.committed: list[str] = []

    def due(self, collection: str, now: float, after: Due | None) -> Sequence[Due]:
        return self._diary.due(collection, now, after)

    def read(self, paths: Sequence[str]) -> Mapping[str, Found]:
        self.read_paths += paths
        return self._diary.read(paths)

    def subscriptions(self, customer: str) -> list[Json]:
        return self._diary.subscriptions(customer)

    def commit(self, effects: Sequence[Effect], found: Mapping[str, Found]) -> None:
        self._diary.commit(effects, found)
        self.committed += [effect.path for effect in effects if isinstance(effect, Create)]


def free(**more: Any) -> Json:
    """A free plan, for which an offer is due now."""
    return subscription(item(0), **{"start_date": NOW - 14 * DAY} | more)


def monthly(**more: Any) -> Json:
    """Paid each month for a year, for which an offer is due now."""
    return subscription(**{"start_date": LAST_YEAR} | more)


def owed(**more: Any) -> Json:
    """An invoice whose payment failed three days ago."""
    return invoice(**{"failed_at": NOW - 3 * DAY} | more)


# What is said


#: Where, what, and what the mail says in its subject and its text.
KINDS: dict[str, tuple[str, Json, str, tuple[str, ...]]] = {
    "upgrade_offer": (SUBSCRIPTION, free(), "Paid plans at Test Shop", ("free plan", "https://shop.example/unsub")),
    "yearly_offer": (SUBSCRIPTION, monthly(), "Save ¥2,000 a year", ("12 × ¥1,000", "¥10,000", "(16%)", "Unsubscribe")),
    "renewal": (SUBSCRIPTION, yearly(current_period_end=NOW + 30 * DAY), "renews on December 24, 2026", ("¥10,000",)),
    "trial_ending": (
        SUBSCRIPTION,
        subscription(
            status="trialing",
            trial_start=NOW - 11 * DAY,
            trial_end=NOW + 3 * DAY - 3600,
            mails=["upgrade_offer_sub_1"],
        ),
        "trial ends on November 27, 2026",
        ("¥1,000",),
    ),
    "unpaid_followup": (INVOICE, owed(), "F-0001 is still unpaid", ("3 days", "¥1,000", "https://invoice.stripe.com")),
    "card_expiring": (
        "customers/cus_1/payment_methods/pm_1",
        card(exp_month=11, exp_year=2026, mails=["card_expiring_pm_1_202611"]),
        "Please update your card",
        ("4242", "11/2026"),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_due_becomes_a_mail_and_new_reminders_in_one_commit(bench: Bench, kind: str) -> None:
    path, document, subject, texts = KINDS[kind]
    bench.meet()
    stored = bench.put(path, document)
    if kind == "card_expiring":
        bench.put(SUBSCRIPTION, subscription())
    assert stored["reminders"][kind] == stored["next_reminder_at"]
    bench.clock.time = stored["next_reminder_at"] - 1
    assert bench.run()["looked_at"] == 0, "not yet due"
    assert bench.mails() == {}
    bench.clock.time += 1
    line = bench.run()
    assert (line["looked_at"], line["told"], line["dropped"]) == (1, 1, 0)
    mails, after = bench.mails(), bench.get(path)
    told = set(after["mails"]) - set(document.get("mails", ()))
    assert mails.keys() - {f"{mail}_support" for mail in told} == told
    assert len(told) == 1
    # Nothing else has changed, and the reminders are those of the document as it is now.
    assert after == whole(path, document | {"mails": after["mails"]})
    assert (after["next_reminder_at"] or bench.clock.time + 1) > bench.clock.time
    mail = mails[told.pop()]
    assert mail["to"] == ["hana@example.com"]
    assert (mail["mail"], mail["customer"], mail["event"], mail["livemode"]) == (kind, "cus_1", "", False)
    assert subject in mail["message"]["subject"]
    for text in texts:
        assert text in mail["message"]["text"]
    times = {each.update_time for each in bench.client.collection("mail").stream()}
    assert times == {bench.client.document(path).get().update_time}
    offered_at = bench.get("customers/cus_1").get("offered_at")
    if kind.endswith("_offer"):
        assert offered_at == int(bench.clock.time)
        assert bench.client.document("customers/cus_1").get().update_time in times
    else:
        assert offered_at is None
    assert bench.run()["looked_at"] == 0
    assert bench.mails() == mails


def test_support_has_its_own_copy_of_a_renewal(bench: Bench) -> None:
    bench.meet()
    bench.put(SUBSCRIPTION, yearly(current_period_end=NOW + 30 * DAY))
    bench.run()
    first, second = sorted(bench.mails())
    assert second == f"{first}_support"
    assert bench.mails()[second]["to"] == [MAIL.support_email]


def test_a_document_with_two_kinds_due_is_one_commit(bench: Bench) -> None:
    """A trial of two days, seen late: its middle is over, and its end is near."""
    bench.meet()
    bench.put(SUBSCRIPTION, subscription(status="trialing", trial_start=NOW - 2 * DAY, trial_end=NOW + DAY))
    line = bench.run()
    assert (line["looked_at"], line["told"]) == (1, 2)
    assert [mail.partition("_sub")[0] for mail in sorted(bench.mails())] == ["trial_ending", "upgrade_offer"]
    assert bench.get(SUBSCRIPTION)["next_reminder_at"] is None


# What is not said


@pytest.mark.parametrize(
    ("path", "document", "changes"),
    [
        (SUBSCRIPTION, free(), {"status": "canceled"}),
        (SUBSCRIPTION, yearly(current_period_end=NOW + 30 * DAY), {"status": "canceled"}),
        (INVOICE, owed(), {"status": "paid"}),
        ("customers/cus_1/payment_methods/pm_1", card(exp_month=11, exp_year=2026), {"detached": True}),
    ],
)
def test_the_cause_may_be_gone(bench: Bench, path: str, document: Json, changes: Json) -> None:
    """Where whoever stored the change left the reminders as they were."""
    bench.meet()
    stored = bench.put(path, document)
    bench.client.document(path).update(changes)
    line = bench.run()
    assert (line["told"], line["dropped"]) == (0, 1)
    assert bench.mails() == {}
    assert bench.get(path) == {**stored, **changes, "mails": [], "reminders": {}, "next_reminder_at": None}
    assert bench.lines() == ["nothing to say: the document gives no cause for it now"]


def test_reminders_that_were_lost_are_found_again(bench: Bench) -> None:
    bench.meet()
    bench.put(INVOICE, owed(failed_at=NOW - DAY) | {"mails": []})
    bench.client.document(INVOICE).update({"next_reminder_at": NOW - DAY, "reminders": {}})
    bench.run()
    assert bench.get(INVOICE)["next_reminder_at"] == NOW + 2 * DAY
    assert bench.mails() == {}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"marketing": None}, "the customer has not asked for offers"),
        ({"marketing": {"status": "opt_out", "at": 1, "by": "unsubscribe"}}, "the customer wants no offers"),
        ({"offered_at": NOW - 30 * DAY + 1}, "another offer was made less than OFFER_PAUSE_DAYS ago"),
        ({"deleted": True}, "the customer is deleted"),
    ],
)
@pytest.mark.parametrize("document", [free(), monthly()], ids=["upgrade", "yearly"])
def test_an_offer_that_nobody_wants_is_never_made(bench: Bench, document: Json, more: Json, reason: str) -> None:
    bench.meet(**more)
    bench.put(SUBSCRIPTION, document)
    before = bench.get("customers/cus_1")
    line = bench.run()
    assert (line["told"], line["dropped"]) == (0, 1)
    assert bench.lines() == [f"nothing to say: {reason}"]
    assert bench.get("customers/cus_1") == before
    # Whoever asks for offers later is not made this one.
    bench.meet()
    next_at = bench.get(SUBSCRIPTION)["next_reminder_at"]
    assert next_at is None or next_at > NOW + 300 * DAY
    assert bench.run()["looked_at"] == 0
    assert bench.mails() == {}


def test_after_the_pause_the_next_offer_is_made(bench: Bench) -> None:
    bench.meet(offered_at=NOW - 30 * DAY)
    bench.put(SUBSCRIPTION, free())
    assert bench.run()["told"] == 1
    assert bench.get("customers/cus_1")["offered_at"] == NOW


def test_two_offers_to_one_customer_are_one(bench: Bench) -> None:
    bench.meet()
    for number in (1, 2):
        bench.put(f"customers/cus_1/subscriptions/sub_{number}", free(id=f"sub_{number}"))
    line = bench.run()
    assert (line["told"], line["dropped"], len(bench.mails())) == (1, 1, 1)


@pytest.mark.parametrize(
    ("more", "mail"),
    [
        ({}, replace(MAIL, disabled=frozenset({"upgrade_offer"}))),
        ({}, replace(MAIL, unsubscribe=None)),
        ({"email": None}, MAIL),
        ({"email": "hana@example.com, kenji@example.com"}, MAIL),
    ],
    ids=["disabled", "no links", "no address", "two addresses"],
)
@pytest.mark.parametrize("is_ending", [False, True])
def test_an_offer_that_is_not_written_was_not_made(
    bench: Bench, more: Json, mail: MailSettings, *, is_ending: bool
) -> None:
    bench.meet(**more)
    trial = {"status": "trialing", "trial_start": NOW - 2 * DAY, "trial_end": NOW + DAY}
    bench.put(SUBSCRIPTION, subscription(**trial) if is_ending else free())
    bench.run(bench.sender(mail=mail))
    assert "offered_at" not in bench.get("customers/cus_1")
    assert not any("offer" in mail for mail in bench.mails())
    assert bench.get(SUBSCRIPTION)["next_reminder_at"] is None
    assert "upgrade_offer not written to customer" in " ".join(bench.lines())
    assert "@" not in bench.output.getvalue()


# One address, several customers


def put_index(bench: Bench, *names: str, email: str = "hana@example.com") -> None:
    bench.client.document(f"customer_index/email:{email}").set({"customers": list(names), "primary": names[0]})


@pytest.mark.parametrize(
    ("other", "is_told"),
    [
        ({"marketing": {"status": "opt_out", "at": 1, "by": "unsubscribe"}}, False),
        ({"marketing": None}, True),
        ({"marketing": {"status": "opt_in", "at": 1, "by": "checkout"}}, True),
        ({"offered_at": NOW - 30 * DAY + 1}, False),
        ({"offered_at": NOW - 30 * DAY, "marketing": None}, True),
    ],
)
@pytest.mark.parametrize("email", ["hana@example.com", " Hana@Example.com"])
def test_a_refusal_is_of_the_address(bench: Bench, email: str, other: Json, *, is_told: bool) -> None:
    bench.meet(email=email)
    bench.meet("cus_2", **other)
    put_index(bench, "cus_2", "cus_3", "cus_1")
    bench.put(SUBSCRIPTION, free())
    line = bench.run()
    assert (line["told"], line["dropped"]) == ((1, 0) if is_told else (0, 1))
    assert bool(bench.mails()) == is_told
    assert bench.get(SUBSCRIPTION)["mails"] == ["upgrade_offer_sub_1"]
    assert all("another customer of the same address" in said for said in bench.lines())
    assert len(bench.lines()) == (0 if is_told else 1)


def test_offers_to_two_customers_of_one_address_are_one(bench: Bench) -> None:
    for number in (1, 2):
        bench.meet(f"cus_{number}")
        path = f"customers/cus_{number}/subscriptions/sub_{number}"
        bench.put(path, free(id=f"sub_{number}", customer=f"cus_{number}"))
    put_index(bench, "cus_2", "cus_1")
    line = bench.run()
    assert (line["told"], line["dropped"], len(bench.mails())) == (1, 1, 1)


def test_no_more_than_ten_others_are_looked_at_and_only_for_offers(bench: Bench) -> None:
    bench.meet()
    put_index(bench, "cus_1", *(f"cus_{number}" for number in range(2, 30)))
    bench.put(SUBSCRIPTION, free())
    diary = Watched(bench.client)
    bench.run(bench.sender(diary=diary))
    assert [path for path in diary.read_paths if path.startswith("customers/")] == [
        f"customers/cus_{number}" for number in range(1, 12)
    ]
    bench.put(INVOICE, owed())
    diary.read_paths.clear()
    bench.run(bench.sender(diary=diary))
    assert diary.read_paths == ["customers/cus_1"]


# What is asked of Stripe


def test_prices_are_asked_for_once_a_day(bench: Bench) -> None:
    for number in range(6):
        bench.meet(f"cus_{number}", email=f"{number}@example.com")
        path = f"customers/cus_{number}/subscriptions/sub_{number}"
        later = FRESH_SECONDS - 1 if number == 4 else FRESH_SECONDS if number == 5 else 0
        bench.put(path, monthly(id=f"sub_{number}", customer=f"cus_{number}", start_date=LAST_YEAR + later))
    assert bench.run()["told"] == 4
    assert bench.asked("/v1/prices") == 1
    [request] = bench.served.requests()
    assert request["query"]["product"] == "prod_1"
    bench.clock.time = NOW + FRESH_SECONDS - 1
    assert (bench.run()["told"], bench.asked("/v1/prices")) == (1, 1)
    bench.clock.time = NOW + FRESH_SECONDS
    assert (bench.run()["told"], bench.asked("/v1/prices")) == (1, 2)


def test_prices_are_kept_by_many_at_once(bench: Bench) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: bench.stripe().prices(["prod_1"]), range(16)))
    assert all(answer == answers[0] for answer in answers)
    assert len(answers[0]) == 2
    assert {each.id for each in bench.client.collection("prices").stream()} == {"prod_1"}


def test_prices_that_fit_into_no_document_are_asked_for_each_time(bench: Bench) -> None:
    bench.served.put([price("price_9", 1, "week", object="price", created=1, metadata={"x": "あ" * 310_000})])
    assert len(bench.stripe().prices(["prod_1"])) == len(bench.stripe().prices(["prod_1"])) == 3
    assert bench.asked("/v1/prices") == 2


@pytest.mark.parametrize("yearly_amount", [None, 12_000, 13_000])
def test_without_a_yearly_price_that_saves_something_nothing_is_offered(
    bench: Bench, yearly_amount: int | None
) -> None:
    bench.served.clear()
    plans = [price("price_1", 1000, "month")]
    plans += [price("price_2", yearly_amount, "year")] if yearly_amount else []
    bench.served.put([each | {"object": "price", "created": 1} for each in plans])
    bench.meet()
    bench.put(SUBSCRIPTION, monthly())
    line = bench.run()
    assert (line["told"], line["dropped"]) == (0, 1)
    assert bench.lines() == ["nothing to say: no yearly price of all its items that would save anything"]
    assert bench.get(SUBSCRIPTION)["next_reminder_at"] > NOW + 300 * DAY
    assert "offered_at" not in bench.get("customers/cus_1")


def test_a_tiered_price_is_asked_for_with_its_tiers(bench: Bench) -> None:
    def tiered(price_id: str, interval: str, unit: int) -> Json:
        tiers = [
            {"up_to": 2, "unit_amount": unit, "flat_amount": None},
            {"up_to": None, "unit_amount": unit // 2, "flat_amount": None},
        ]
        shape = {"billing_scheme": "tiered", "tiers_mode": "graduated", "tiers": tiers, "unit_amount_decimal": None}
        return price(price_id, 0, interval, object="price", created=1, **shape | {"unit_amount": None})

    bench.served.clear()
    bench.served.put([tiered("price_1", "month", 1000), tiered("price_2", "year", 10_000)])
    bench.meet()
    bench.put(SUBSCRIPTION, monthly(items=[item(None, quantity=3)]))
    assert bench.run()["told"] == 1
    [mail] = bench.mails().values()
    assert "12 × ¥2,500" in mail["message"]["text"]


@pytest.mark.parametrize(
    ("served", "told"),
    [
        ({"email": "kenji@example.com", "name": "Kenji", "preferred_locales": ["ja"]}, ["kenji@example.com"]),
        ({"deleted": True}, None),
        (None, None),
    ],
)
@pytest.mark.parametrize("stored", [None, {"marketing": {"status": "opt_in", "at": 1, "by": "checkout"}}])
def test_a_customer_whom_we_have_not_met_is_fetched(
    bench: Bench, stored: Json | None, served: Json | None, told: list[str] | None
) -> None:
    if stored:
        bench.client.document("customers/cus_1").set(stored)
    if served:
        bench.served.put([{"id": "cus_1", "object": "customer", "created": 1, "metadata": {}} | served])
    bench.put(INVOICE, owed())
    line = bench.run()
    assert (line["told"], line["stripe_calls"]) == (1, 1)
    assert [mail["to"] for mail in bench.mails().values()] == ([told] if told else [])
    if told:
        assert "お支払い" in next(iter(bench.mails().values()))["message"]["text"]
    assert bench.get(INVOICE)["next_reminder_at"] == NOW + 4 * DAY
    assert bench.client.document("customers/cus_1").get().to_dict() == stored


def test_nobody_whom_we_have_not_met_is_made_an_offer(bench: Bench) -> None:
    """Where offers need no yes, either: Stripe's Customer may carry a no that has not reached us."""
    bench.served.put([{"id": "cus_1", "object": "customer", "created": 1, "metadata": {}, "email": "hana@example.com"}])
    bench.put(SUBSCRIPTION, free())
    found = bench.run(bench.sender(settings=replace(TOKYO, offers="opt_out")))
    assert (found["told"], found["dropped"]) == (0, 1)


def test_a_refusal_from_a_link_reaches_every_customer_of_the_address(bench: Bench) -> None:
    bench.meet()
    [address] = paths.address("Hana@example.com")
    bench.client.document(address).set({"refused_at": NOW - DAY})
    bench.put(SUBSCRIPTION, free())
    assert bench.run()["dropped"] == 1
    assert bench.mails() == {}


def test_an_agreement_that_is_newer_than_the_refusal_takes_it_back(bench: Bench) -> None:
    bench.meet(marketing={"status": "opt_in", "at": NOW - 60, "by": "checkout"})
    [address] = paths.address("hana@example.com")
    bench.client.document(address).set({"refused_at": NOW - DAY})
    bench.put(SUBSCRIPTION, free())
    assert bench.run()["told"] == 1
    assert bench.get(address) == {"refused_at": NOW - DAY, "offered_at": NOW}


def test_prices_that_stripe_will_never_say_end_the_reminder(bench: Bench) -> None:
    bench.meet()
    bench.served.set_faults([{"path": "/v1/prices", "status": 400}])
    bench.put(SUBSCRIPTION, monthly())
    assert bench.run()["dropped"] == 1
    assert bench.run()["looked_at"] == 0


# What goes wrong


def test_a_document_that_nobody_can_decide_keeps_nobody_waiting(bench: Bench) -> None:
    bench.meet()
    broken = bench.put(INVOICE, owed(failed_at=NOW - 6 * DAY))
    del broken["status"]
    bench.client.document(INVOICE).set(broken)
    for number in range(2, 5):
        bench.put(f"customers/cus_1/invoices/in_{number}", owed(id=f"in_{number}"))
    bench.put(SUBSCRIPTION, free())
    for _ in range(2):
        bench.run()
        assert len(bench.mails()) == 4
        assert bench.get(INVOICE) == broken
    assert [line["severity"] for line in bench.said()] == ["ERROR", "INFO"] * 2
    assert bench.lines() == ["unexpected KeyError"] * 2
    assert [line.get("failed") for line in bench.said()] == [None, 1] * 2


def test_what_stripe_does_not_answer_waits_alone(bench: Bench) -> None:
    bench.meet()
    bench.put(SUBSCRIPTION, monthly())
    bench.put(INVOICE, owed())
    bench.served.set_faults([{"path": "/v1/prices", "status": 500, "should_retry": "false"}])
    line = bench.run()
    assert (line["told"], line["failed"]) == (1, 1)
    assert bench.lines() == ["a reminder waits: Stripe answered 500 to GET /v1/prices"]
    bench.served.set_faults([])
    line = bench.run()
    assert (line["looked_at"], line["told"]) == (1, 1)
    assert len(bench.mails()) == 2


@dataclass
class Silent:
    """Stripe that does not answer, which takes half a minute to notice."""

    clock: MovableClock
    asked: int = 0

    def customer(self, customer: str) -> Reader:
        raise NotImplementedError(customer)

    def prices(self, products: Sequence[str]) -> list[Json]:
        self.asked += 1
        self.clock.sleep(30)
        raise Retry(f"Stripe: APIConnectionError for {products}")


def test_while_stripe_is_silent_the_others_are_told_within_the_time(bench: Bench) -> None:
    bench.meet()
    for number in range(10):
        bench.put(f"customers/cus_1/subscriptions/sub_{number}", monthly(id=f"sub_{number}"))
        bench.put(f"customers/cus_1/invoices/in_{number}", owed(id=f"in_{number}"))
    stripe = Silent(bench.clock)
    line = bench.run(bench.sender(stripe=stripe))
    assert (line["told"], line["failed"], stripe.asked) == (10, 10, 1)


class Interfering(Watched):
    """Somebody else changes documents just before the first commits."""

    def __init__(self, client: Client, changes: Sequence[Callable[[], object]]) -> None:
        super().__init__(client)
        self.changes = list(changes)

    def commit(self, effects: Sequence[Effect], found: Mapping[str, Found]) -> None:
        if self.changes:
            self.changes.pop(0)()
        super().commit(effects, found)


def test_a_document_that_changes_meanwhile_is_decided_again(bench: Bench) -> None:
    bench.meet()
    bench.put(INVOICE, owed())
    paid = owed(status="paid", amount_remaining=0)
    line = bench.run(bench.sender(diary=Interfering(bench.client, [lambda: bench.put(INVOICE, paid)])))
    assert (line["told"], line["dropped"], line["overtaken"]) == (0, 0, 1)
    assert bench.get(INVOICE) == whole(INVOICE, paid)
    assert bench.mails() == {}
    # One that is still owed, but less of it.
    bench.put(INVOICE, owed())
    less = owed(amount_remaining=1, amount_paid=999)
    line = bench.run(bench.sender(diary=Interfering(bench.client, [lambda: bench.put(INVOICE, less)])))
    assert line["told"] == 1
    [mail] = bench.mails().values()
    assert "¥1\n" in mail["message"]["text"]
    assert bench.get(INVOICE)["amount_paid"] == 999


def test_a_refusal_between_the_look_and_the_commit_counts(bench: Bench) -> None:
    bench.meet()
    bench.put(SUBSCRIPTION, free())
    refused = {"marketing": {"status": "opt_out", "at": NOW, "by": "unsubscribe"}}
    refuse = [lambda: bench.client.document("customers/cus_1").update(refused)]
    line = bench.run(bench.sender(diary=Interfering(bench.client, refuse)))
    assert (line["told"], line["dropped"]) == (0, 1)
    assert bench.mails() == {}


def test_a_document_that_is_deleted_meanwhile_stays_so(bench: Bench) -> None:
    bench.meet()
    bench.put(INVOICE, owed())
    line = bench.run(bench.sender(diary=Interfering(bench.client, [bench.client.document(INVOICE).delete])))
    assert (line["told"], line["overtaken"]) == (0, 1)
    assert not bench.client.document(INVOICE).get().exists


def test_a_document_that_changes_all_the_time_waits_for_the_next_run(bench: Bench) -> None:
    bench.meet()
    bench.put(INVOICE, owed())
    amounts = iter((2000, 3000, 4000))
    touch = [lambda: bench.client.document(INVOICE).update({"amount_due": next(amounts)})] * 3
    line = bench.run(bench.sender(diary=Interfering(bench.client, touch)))
    assert (line["told"], line["failed"]) == (0, 1)
    assert bench.run()["told"] == 1


def test_a_mail_that_is_there_already_blocks_nothing(bench: Bench) -> None:
    bench.meet()
    bench.put(SUBSCRIPTION, free())
    bench.client.document("mail/upgrade_offer_sub_1").set({"to": ["hana@example.com"]})
    line = bench.run()
    assert (line["told"], line.get("failed")) == (1, None)
    assert bench.mails() == {"upgrade_offer_sub_1": {"to": ["hana@example.com"]}}
    assert bench.get(SUBSCRIPTION)["next_reminder_at"] is None
    assert "offered_at" not in bench.get("customers/cus_1"), "this run made none"
    # Of two documents only one is there.
    bench.put(SUBSCRIPTION, yearly(current_period_end=NOW + 30 * DAY))
    bench.client.document(f"mail/renewal_sub_1_{NOW + 30 * DAY}").set({})
    bench.run()
    assert bench.mails().keys() > {f"renewal_sub_1_{NOW + 30 * DAY}_support"}


def test_a_database_that_does_not_answer_breaks_the_run_off(bench: Bench) -> None:
    class Down(Watched):
        def due(self, collection: str, now: float, after: Due | None) -> Sequence[Due]:
            raise Retry(f"Firestore answered ServiceUnavailable to a query of {collection} {now} {after}")

    with pytest.raises(Retry):
        bench.run(bench.sender(diary=Down(bench.client)))
    [line] = bench.said()
    assert line["severity"] == "WARNING"
    assert line["message"].startswith("the reminders break off: Firestore answered")


# Many


def put_many(bench: Bench, count: int) -> set[str]:
    """So many invoices of so many customers, all due; the ids of the mails to be written."""
    for start in range(0, count, 200):
        batch = bench.client.batch()
        for number in range(start, min(start + 200, count)):
            name = f"cus_{number:04}"
            path = f"customers/{name}/invoices/in_{number:04}"
            who = customer(email=f"{name}@example.com", name=name, locale="en", user_id=None, as_of=1)
            batch.set(bench.client.document(f"customers/{name}"), who)
            document = owed(id=f"in_{number:04}", customer=name, failed_at=NOW - 3 * DAY - number // 50)
            batch.set(bench.client.document(path), whole(path, document))
        batch.commit()
    return {f"unpaid_followup_in_{number:04}_1_3" for number in range(count)}


def assert_all_told(bench: Bench, expected: set[str], committed: Sequence[str]) -> None:
    assert Counter(committed) == Counter(f"mail/{mail}" for mail in expected)
    found = list(bench.client.collection("mail").stream())
    assert {each.id for each in found} == expected
    assert all(each.create_time == each.update_time for each in found)
    stored = [each.to_dict() or {} for each in bench.client.collection_group("invoices").stream()]
    assert {mail for each in stored for mail in each["mails"]} == expected
    assert all(each["next_reminder_at"] > NOW for each in stored)


@pytest.mark.parametrize("senders", [2, 8])
def test_several_senders_at_once_share_the_work(bench: Bench, senders: int) -> None:
    expected = put_many(bench, 300)
    diaries = [Watched(bench.client) for _ in range(senders)]
    with ThreadPoolExecutor(senders) as pool:
        assert not any(pool.map(lambda diary: bench.sender(diary=diary).run(), diaries))
    assert_all_told(bench, expected, [path for diary in diaries for path in diary.committed])
    assert sum(line["told"] for line in bench.said()) == 300
    assert {line["severity"] for line in bench.said()} == {"INFO"}
    assert len([diary for diary in diaries if diary.committed]) > 1


class Killed(BaseException):
    """The end of a process: nothing below may catch it."""


class Mortal(Watched):
    """Its process is killed before or after some commit."""

    def __init__(self, client: Client, random: Random) -> None:
        super().__init__(client)
        self._left = random.randrange(1, 40)
        self._is_after = random.random() < 0.5

    def commit(self, effects: Sequence[Effect], found: Mapping[str, Found]) -> None:
        self._left -= 1
        if not self._left and not self._is_after:
            raise Killed
        super().commit(effects, found)
        if not self._left:
            raise Killed


@pytest.mark.parametrize("seed", range(3))
def test_what_a_killed_run_leaves_the_next_one_completes(bench: Bench, seed: int) -> None:
    expected, random, committed = put_many(bench, 60), Random(seed), list[str]()
    deaths = 0
    while True:
        diary = Mortal(bench.client, random)
        try:
            bench.sender(diary=diary).run()
        except Killed:
            deaths += 1
        else:
            break
        finally:
            committed += diary.committed
    assert deaths
    assert_all_told(bench, expected, committed)


# More than one run can do


class Slow(Watched):
    """Each commit takes a second."""

    def __init__(self, client: Client, clock: MovableClock) -> None:
        super().__init__(client)
        self._clock = clock

    def commit(self, effects: Sequence[Effect], found: Mapping[str, Found]) -> None:
        super().commit(effects, found)
        self._clock.sleep(1)


@pytest.fixture
def topic(publisher: PublisherClient, project: str) -> Topic:
    publisher.create_topic(name=publisher.topic_path(project, CLOCK_TOPIC))
    return PubSubTopic(lambda: publisher, project, CLOCK_TOPIC, SystemClock())


@pytest.fixture
def pull(topic: Topic, project: str) -> Iterator[Callable[[], list[Json]]]:  # noqa: ARG001 -- the topic must exist
    """Takes every message out of a subscription to the clock's topic."""
    with SubscriberClient() as client:
        subscription = client.subscription_path(project, "everything")
        client.create_subscription(name=subscription, topic=client.topic_path(project, CLOCK_TOPIC))

        def pull() -> list[Json]:
            request = {"subscription": subscription, "max_messages": 100, "return_immediately": True}
            answer = client.pull(request=request).received_messages
            if answer:
                client.acknowledge(subscription=subscription, ack_ids=[each.ack_id for each in answer])
            return [dict(each.message.attributes) for each in answer]

        yield pull


def test_more_than_the_time_allows_goes_on_at_once(bench: Bench, topic: Topic, pull: Callable[[], list[Json]]) -> None:
    expected, runs, committed = put_many(bench, 25), 0, list[str]()
    words: list[Json] = []
    while True:
        diary = Slow(bench.client, bench.clock)
        go_on(bench.sender(diary=diary, budget_seconds=9), topic)
        runs += 1
        committed += diary.committed
        words = pull()
        if not words:
            break
        assert words == [{"function": "send_due_reminders"}]
    assert runs == 3
    assert_all_told(bench, expected, committed)


def test_what_moves_nothing_does_not_go_on(bench: Bench, topic: Topic, pull: Callable[[], list[Json]]) -> None:
    bench.meet()
    for number in range(3):
        bench.put(f"customers/cus_1/subscriptions/sub_{number}", monthly(id=f"sub_{number}"))
    sender = bench.sender(stripe=Silent(bench.clock), budget_seconds=20)
    assert sender.run() is False
    go_on(sender, topic)
    assert pull() == []
    go_on(bench.sender(), topic)
    assert len(bench.mails()) == 1
    assert pull() == []


# Beside others


@pytest.mark.parametrize("at", [1, NOW - 3 * DAY, NOW])
def test_collections_of_others_are_neither_touched_nor_in_the_way(bench: Bench, at: int) -> None:
    bench.meet()
    batch = bench.client.batch()
    others = [
        *(f"{name}/x{number:03}" for name in SCHEDULES for number in range(35)),
        *(f"customers/cus_1/orders/cs_1/invoices/x{number:03}" for number in range(15)),
        *(f"shops/shop_1/invoices/x{number:03}" for number in range(15)),
        *(f"a/b/c/d/subscriptions/x{number:03}" for number in range(15)),
    ]
    for path in others:
        batch.set(bench.client.document(path), {"next_reminder_at": at, "reminders": {"unpaid_followup": at}})
    batch.commit()
    for number in range(25):
        bench.put(f"customers/cus_1/invoices/in_{number}", owed(id=f"in_{number}", failed_at=NOW - 4 * DAY))
    bench.put("customers/cus_1/invoices/in_99", owed(id="in_99"))
    bench.put(SUBSCRIPTION, free())
    line = bench.run(bench.sender(diary=FirestoreDiary(bench.client, page=10)))
    assert (line["looked_at"], line["told"]) == (27, 27)
    assert len(bench.mails()) == 27
    for snapshot in bench.client.get_all([bench.client.document(path) for path in others]):
        assert snapshot.create_time == snapshot.update_time


def test_pages_of_one_second_are_all_of_them(bench: Bench) -> None:
    bench.meet()
    for number in range(23):
        bench.put(f"customers/cus_{number % 4}/invoices/in_{number}", owed(id=f"in_{number}"))
    diary = FirestoreDiary(bench.client, page=5)
    pages: list[Sequence[Due]] = []
    last: Due | None = None
    while page := diary.due("invoices", NOW, last):
        pages.append(page)
        last = page[-1]
    assert [len(page) for page in pages] == [5, 5, 5, 5, 3]
    paths = [due.path for page in pages for due in page]
    assert paths == sorted(set(paths))
    bench.served.put([{"id": f"cus_{n}", "object": "customer", "created": 1, "email": "a@b.example"} for n in range(4)])
    assert bench.run(bench.sender(diary=FirestoreDiary(bench.client, page=5)))["told"] == 23
