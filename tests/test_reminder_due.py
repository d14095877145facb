"""What is said of a document whose time has come: the truth as it is now, or nothing and why."""

from dataclasses import replace
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.letters import Facts
from functions.mail.facts import (
    CardExpiring,
    Invoice,
    Plan,
    Renewal,
    TrialEnding,
    UnpaidFollowup,
    UpgradeOffer,
    YearlyOffer,
)
from functions.reminders.due import OFFERS, Drop, Tell, kinds_due, look
from functions.reminders.facts import AskPrices, AskSubscriptions
from functions.reminders.offers import may_offer
from functions.reminders.rules import SCHEDULES, Kind, fields, schedule_invoice, schedule_payment_method
from functions.reminders.settings import ReminderSettings
from tests.reminding import (
    DAY,
    PRICES,
    TOKYO,
    ZONES,
    Json,
    card,
    customer,
    epoch,
    invoice,
    item,
    price,
    subscription,
    verdict,
    yearly,
)

START = epoch("2026-01-31T09:30:00+09:00")
ANNIVERSARY = epoch("2027-01-31T09:30:00+09:00")
MONTHLY = subscription(start_date=START, current_period_start=START, current_period_end=START + 28 * DAY)
FREE = subscription(item(0), start_date=START)
TRIAL = subscription(status="trialing", trial_start=START, trial_end=START + 14 * DAY, start_date=START)
PERIOD_END = epoch("2027-03-20T12:00:00+09:00")
YEARLY = yearly(current_period_start=PERIOD_END - 365 * DAY, current_period_end=PERIOD_END)
OPT_OUT = replace(TOKYO, offers="opt_out")
A_MONTH = Plan(amount=1000, currency="jpy", interval="month", interval_count=1)
A_YEAR = Plan(amount=10_000, currency="jpy", interval="year", interval_count=1)
NO_PLAN = Plan(amount=None, currency=None, interval=None, interval_count=None)


def told(found: Tell | Drop) -> Facts:
    """The facts of what was told, with their id among the ids given."""
    assert isinstance(found, Tell), found
    assert found.facts.id in found.mails
    return found.facts


def dropped(found: Tell | Drop) -> str:
    assert isinstance(found, Drop), found
    return found.reason


# Offers: a larger plan


def test_a_free_plan_is_offered_a_larger_one() -> None:
    found = verdict("upgrade_offer", FREE, START + 14 * DAY + 60, of=customer())
    free = Plan(amount=0, currency="jpy", interval="month", interval_count=1)
    offer = UpgradeOffer(subscription="sub_1", plan=free, trial_end=None)
    assert found == Tell(facts=offer, is_offer=True, since=START + 14 * DAY, mails=("upgrade_offer_sub_1",))


def test_a_trial_is_offered_a_larger_plan_while_it_runs() -> None:
    found = verdict("upgrade_offer", TRIAL, START + 8 * DAY, of=customer())
    assert told(found) == UpgradeOffer(subscription="sub_1", plan=A_MONTH, trial_end=START + 14 * DAY)
    short = TRIAL | {"trial_end": START + DAY}
    assert dropped(verdict("upgrade_offer", short, START + DAY, of=customer())) == "the trial is over"


def test_what_is_not_due_is_left_as_it_is() -> None:
    for kind, document in (("upgrade_offer", FREE), ("yearly_offer", MONTHLY), ("renewal", YEARLY)):
        found = verdict(_kind(kind), document, START, of=customer())
        assert found == Drop(reason="the document gives no cause for it now", mails=())


def _kind(name: str) -> Kind:
    return next(kind for kind in get_args(Kind) if kind == name)


# Offers, their consent and their pause


@pytest.mark.parametrize(
    ("marketing", "opt_in", "opt_out"),
    [
        ({"status": "opt_in", "at": 1, "by": "checkout"}, True, True),
        ({"status": "opt_out", "at": 1, "by": "link"}, False, False),
        ({"status": "perhaps", "at": 1, "by": "?"}, False, False),
        ({}, False, True),
        (None, False, True),
    ],
)
def test_an_offer_needs_consent(marketing: Json | None, opt_in: bool, opt_out: bool) -> None:
    of = customer(marketing=marketing)
    for settings, allowed in ((TOKYO, opt_in), (OPT_OUT, opt_out)):
        assert (may_offer(of, settings, START) is None) is allowed
        found = verdict("upgrade_offer", FREE, START + 14 * DAY, of=of, settings=settings)
        assert isinstance(found, Tell) is allowed
        assert found.mails == ("upgrade_offer_sub_1",)


def test_nobody_knows_what_an_unknown_customer_wants() -> None:
    assert may_offer(None, TOKYO, START) == "the customer has not asked for offers"
    assert may_offer({}, TOKYO, START) == "the customer has not asked for offers"
    assert may_offer(None, OPT_OUT, START) == "nobody knows yet whether the customer wants offers"


def test_after_an_offer_there_is_a_pause() -> None:
    of = customer(offered_at=START)
    assert may_offer(of, TOKYO, START + 30 * DAY - 1) == "another offer was made less than OFFER_PAUSE_DAYS ago"
    assert may_offer(of, TOKYO, START + 30 * DAY) is None
    assert may_offer(of, TOKYO, START - 60) is not None
    assert may_offer(of, replace(TOKYO, offer_pause_days=0), START) is None
    assert may_offer(customer(offered_at=None), TOKYO, START) is None


def test_nobody_writes_to_who_is_deleted() -> None:
    gone = customer(deleted=True)
    assert may_offer(gone, OPT_OUT, START) == "the customer is deleted"
    for kind, document, now in (
        ("upgrade_offer", FREE, START + 14 * DAY),
        ("renewal", YEARLY, PERIOD_END - 29 * DAY),
        ("unpaid_followup", invoice(failed_at=START), START + 3 * DAY),
        ("card_expiring", card(), epoch("2027-06-02T00:00:00+09:00")),
    ):
        found = verdict(_kind(kind), document, now, of=gone, subscriptions=[MONTHLY])
        assert dropped(found) == "the customer is deleted"
        assert found.mails


def test_an_offer_that_is_late_is_not_made() -> None:
    due = START + 14 * DAY
    in_time = verdict("upgrade_offer", FREE, due + 3 * DAY, of=customer())
    assert isinstance(in_time, Tell)
    assert in_time.since == due
    late = verdict("upgrade_offer", FREE, due + 3 * DAY + 1, of=customer())
    assert "MAIL_MAX_AGE" in dropped(late)
    assert late.mails == ("upgrade_offer_sub_1",)


# Offers: a year


def test_a_year_is_offered_with_what_it_saves() -> None:
    found = verdict("yearly_offer", MONTHLY, ANNIVERSARY + 60, of=customer(), prices=PRICES)
    offer = YearlyOffer(
        subscription="sub_1",
        year=2027,
        monthly_amount=1000,
        yearly_amount=10_000,
        saving=2000,
        percent=16,
        currency="jpy",
    )
    assert found == Tell(facts=offer, is_offer=True, since=ANNIVERSARY, mails=("yearly_offer_sub_1_2027",))


def test_the_year_of_an_offer_is_the_zones() -> None:
    start = epoch("2026-12-31T20:00:00+00:00")
    document = MONTHLY | {"start_date": start, "current_period_start": start}
    for zone, year, due in (("Asia/Tokyo", 2028, 365), ("UTC", 2027, 365)):
        settings = replace(TOKYO, zone=ZoneInfo(zone))
        found = verdict("yearly_offer", document, start + due * DAY, of=customer(), prices=PRICES, settings=settings)
        assert found.mails == (f"yearly_offer_sub_1_{year}",)


@pytest.mark.parametrize(
    ("document", "prices"),
    [
        (MONTHLY, ()),
        (MONTHLY, PRICES[:1]),
        (MONTHLY, (PRICES[0], price("price_2", 12_000, "year"))),
        (subscription(item(product="prod_2"), start_date=START), PRICES),
        (subscription(item(product=None), start_date=START), PRICES),
        (subscription(item(), start_date=START, currency="usd"), PRICES),
        (subscription(item(currency=None), start_date=START, currency=None), PRICES),
    ],
)
def test_no_year_is_offered_that_saves_nothing(document: Json, prices: tuple[Json, ...]) -> None:
    found = verdict("yearly_offer", document, ANNIVERSARY, of=customer(), prices=prices)
    dropped(found)
    assert found.mails == ("yearly_offer_sub_1_2027",)


def test_prices_are_asked_for_only_where_there_is_somebody_to_tell_and_each_product_once() -> None:
    document = subscription(item(), item(product="prod_0"), item(product="prod_1"), start_date=START)
    asked = look("yearly_offer", document, customer(), TOKYO, ANNIVERSARY).send(None)
    assert asked == AskPrices(("prod_0", "prod_1"))
    for of, now in ((customer(marketing=None), ANNIVERSARY), (customer(), ANNIVERSARY + 4 * DAY)):
        with pytest.raises(StopIteration):
            look("yearly_offer", document, of, TOKYO, now).send(None)


def test_a_subscription_that_does_not_say_its_currency_is_paid_in_that_of_its_items() -> None:
    document = MONTHLY | {"currency": None}
    assert isinstance(verdict("yearly_offer", document, ANNIVERSARY, of=customer(), prices=PRICES), Tell)


def test_years_that_were_missed_are_missed() -> None:
    document = MONTHLY | {"current_period_start": START}
    now = epoch("2029-01-31T10:00:00+09:00")
    found = verdict("yearly_offer", document, now, of=customer(), prices=PRICES)
    assert found.mails == tuple(f"yearly_offer_sub_1_{year}" for year in (2027, 2028, 2029))
    assert told(found).id == "yearly_offer_sub_1_2029"


# Renewal


@pytest.mark.parametrize(
    ("more", "ends_at"),
    [
        ({}, None),
        ({"status": "past_due"}, None),
        ({"cancel_at_period_end": True}, PERIOD_END),
        ({"cancel_at": PERIOD_END}, PERIOD_END),
        ({"cancel_at": PERIOD_END - DAY}, PERIOD_END - DAY),
        ({"cancel_at": PERIOD_END + 1}, None),
    ],
)
def test_a_renewal_says_whether_it_is_one(more: Json, ends_at: int | None) -> None:
    now = PERIOD_END - 30 * DAY + 60
    found = verdict("renewal", YEARLY | more, now)
    renewal = Renewal(
        subscription="sub_1", period_end=PERIOD_END, ends=ends_at is not None, ends_at=ends_at, plan=A_YEAR
    )
    assert found == Tell(facts=renewal, is_offer=False, since=now, mails=(f"renewal_sub_1_{PERIOD_END}",))


def test_a_renewal_is_told_late_but_not_afterwards() -> None:
    assert isinstance(verdict("renewal", YEARLY, PERIOD_END - 1), Tell)
    found = verdict("renewal", YEARLY, PERIOD_END)
    assert dropped(found) == "the period is over"
    assert found.mails == (f"renewal_sub_1_{PERIOD_END}",)


def test_only_what_renews_then_is_what_the_renewal_costs() -> None:
    items = (
        item(10_000, "year", current_period_end=PERIOD_END),
        item(500, "year", current_period_end=PERIOD_END + DAY),
        item(1000, current_period_end=PERIOD_END - 9 * DAY),
    )
    facts = told(verdict("renewal", subscription(*items), PERIOD_END - 20 * DAY))
    assert isinstance(facts, Renewal)
    assert facts.plan == A_YEAR


def test_an_amount_in_another_currency_than_is_paid_is_no_amount() -> None:
    facts = told(verdict("renewal", YEARLY | {"currency": "usd"}, PERIOD_END - 20 * DAY))
    assert isinstance(facts, Renewal)
    assert facts.plan == NO_PLAN


# The end of a trial


@pytest.mark.parametrize(
    ("more", "is_canceled"),
    [
        ({}, False),
        ({"cancel_at_period_end": True}, True),
        ({"cancel_at": START + 14 * DAY}, True),
        ({"cancel_at": START + 15 * DAY}, False),
    ],
)
def test_the_end_of_a_trial_is_told_as_stripes_own_event_tells_it(more: Json, is_canceled: bool) -> None:
    now, trial_end = START + 12 * DAY, START + 14 * DAY
    found = verdict("trial_ending", TRIAL | more, now)
    ending = TrialEnding(subscription="sub_1", trial_end=trial_end, is_canceled=is_canceled, plan=A_MONTH)
    assert found == Tell(facts=ending, is_offer=False, since=now, mails=(f"trial_ending_sub_1_{trial_end}",))


def test_a_trial_that_is_over_does_not_end() -> None:
    assert dropped(verdict("trial_ending", TRIAL, START + 14 * DAY)) == "the trial is over"


# Unpaid


def owed(**more: Any) -> Json:
    return invoice(failed_at=START, next_payment_attempt=START + 5 * DAY, **more)


def test_an_unpaid_invoice_is_followed_up() -> None:
    now = START + 3 * DAY + 60
    found = verdict("unpaid_followup", owed(), now)
    what = Invoice(
        id="in_1",
        number="F-0001",
        subscription="sub_1",
        amount=1000,
        currency="jpy",
        hosted_invoice_url="https://invoice.stripe.com/i/1",
    )
    facts = UnpaidFollowup(invoice=what, attempt=1, days=3, next_payment_attempt=START + 5 * DAY)
    # Of no use late: it is as old as the day on which it was due.
    due = START + 3 * DAY
    assert found == Tell(facts=facts, is_offer=False, since=due, mails=("unpaid_followup_in_1_1_3",))


def test_an_attempt_that_is_past_is_not_the_next_one() -> None:
    facts = told(verdict("unpaid_followup", owed(mails=["unpaid_followup_in_1_1_3"]), START + 7 * DAY))
    assert isinstance(facts, UnpaidFollowup)
    assert (facts.days, facts.next_payment_attempt) == (7, None)
    assert isinstance(verdict("unpaid_followup", owed(attempt_count=None), START + 4 * DAY), Tell)


def test_both_follow_ups_that_were_missed_are_one_mail() -> None:
    found = verdict("unpaid_followup", owed(), START + 8 * DAY)
    assert told(found).id == "unpaid_followup_in_1_1_7"
    assert found.mails == ("unpaid_followup_in_1_1_3", "unpaid_followup_in_1_1_7")
    assert schedule_invoice(owed(mails=list(found.mails)), TOKYO) == {}


# Cards

THIRTY, SEVEN = epoch("2027-06-01T00:00:00+09:00"), epoch("2027-06-24T00:00:00+09:00")
END = epoch("2027-07-01T00:00:00+09:00")
CHARGED = subscription(current_period_end=END + 5 * DAY)


def card_verdict(now: float, *subscriptions: Json, settings: ReminderSettings = TOKYO, **more: Any) -> Tell | Drop:
    return verdict("card_expiring", card(), now, of=customer(**more), subscriptions=subscriptions, settings=settings)


@pytest.mark.parametrize(
    ("now", "days_left", "mails"),
    [
        (THIRTY, 30, ("card_expiring_pm_1_202706",)),
        (SEVEN, 7, ("card_expiring_pm_1_202706", "card_expiring_pm_1_202706_7")),
        (END - 1, 7, ("card_expiring_pm_1_202706", "card_expiring_pm_1_202706_7")),
    ],
)
def test_the_card_of_a_subscription_is_told_of_once_at_a_time(now: int, days_left: int, mails: tuple[str, ...]) -> None:
    found = card_verdict(now, CHARGED)
    facts = told(found)
    assert isinstance(facts, CardExpiring)
    assert facts == CardExpiring(
        payment_method="pm_1",
        card_brand="visa",
        last4="4242",
        exp_month=6,
        exp_year=2027,
        days_left=30 if days_left == 30 else 7,
    )
    assert found.mails == mails


def test_a_card_that_has_expired_is_told_of_no_more() -> None:
    found = card_verdict(END, CHARGED)
    assert dropped(found) == "the card has expired"
    assert schedule_payment_method(card(mails=list(found.mails)), TOKYO) == {}


@pytest.mark.parametrize(
    ("more", "of", "is_told"),
    [
        ({}, {}, True),
        ({"default_payment_method": "pm_1"}, {"default_payment_method": "pm_2"}, True),
        ({"default_payment_method": "pm_2"}, {}, False),
        ({}, {"default_payment_method": "pm_2"}, False),
        ({}, {"default_payment_method": None}, False),
        ({"status": "trialing"}, {}, True),
        ({"status": "past_due"}, {}, True),
        ({"status": "unpaid"}, {}, False),
        ({"status": "canceled"}, {}, False),
        ({"status": "paused"}, {}, False),
        ({"status": "incomplete"}, {}, False),
        ({"collection_method": "send_invoice"}, {}, False),
        ({"items": [item(0)]}, {}, False),
        ({"items": [item(None)]}, {}, True),
        ({"cancel_at_period_end": True}, {}, True),
        ({"cancel_at_period_end": True, "current_period_end": END}, {}, False),
        ({"cancel_at": END}, {}, False),
        ({"cancel_at": END + 1}, {}, True),
    ],
)
def test_a_card_matters_only_to_what_will_be_paid_with_it(more: Json, of: Json, is_told: bool) -> None:
    found = card_verdict(THIRTY, CHARGED | more, **of)
    assert isinstance(found, Tell) is is_told
    assert found.mails == ("card_expiring_pm_1_202706",)


def test_a_card_matters_where_one_of_several_subscriptions_needs_it() -> None:
    assert isinstance(card_verdict(THIRTY, CHARGED | {"status": "canceled"}, CHARGED), Tell)
    dropped(card_verdict(THIRTY))
    dropped(verdict("card_expiring", card(), THIRTY, of=None, subscriptions=[CHARGED]))


def test_past_due_matters_where_it_gives_access() -> None:
    strict = replace(TOKYO, past_due_gives_access=False)
    dropped(card_verdict(THIRTY, CHARGED | {"status": "past_due"}, settings=strict))
    assert isinstance(card_verdict(THIRTY, CHARGED, settings=strict), Tell)


def test_a_card_that_becomes_the_default_between_its_two_days_is_told_of_on_the_second() -> None:
    first = card_verdict(THIRTY, CHARGED, default_payment_method=None)
    document = card(mails=list(first.mails))
    second = verdict("card_expiring", document, SEVEN, of=customer(), subscriptions=[CHARGED])
    assert told(second).id == "card_expiring_pm_1_202706_7"


def test_subscriptions_are_asked_for_only_where_the_card_is_still_valid() -> None:
    assert look("card_expiring", card(), customer(), TOKYO, THIRTY).send(None) == AskSubscriptions("cus_1")
    with pytest.raises(StopIteration):
        look("card_expiring", card(), customer(), TOKYO, END).send(None)


# All of them


def test_offers_are_those_whose_name_says_so() -> None:
    assert set(OFFERS) == {kind for kind in get_args(Kind) if kind.endswith("_offer")}


def test_every_kind_has_its_mail() -> None:
    names = {each.MAIL for each in (UpgradeOffer, YearlyOffer, Renewal, CardExpiring, UnpaidFollowup, TrialEnding)}
    assert names == set(get_args(Kind))


def test_the_longest_due_comes_first_and_what_nobody_knows_any_more_never() -> None:
    document = fields({"yearly_offer": 9, "renewal": 5, "trial_ending": 11})
    document["reminders"]["telegram"] = 1
    assert kinds_due(document, 4) == ()
    assert kinds_due(document, 5) == ("renewal",)
    assert kinds_due(document, 10.5) == ("renewal", "yearly_offer")
    assert kinds_due({}, 10) == ()
    assert kinds_due({"reminders": None}, 10) == ()


DOCUMENTS: tuple[tuple[str, Json], ...] = (
    ("subscriptions", FREE),
    ("subscriptions", TRIAL),
    ("subscriptions", MONTHLY),
    ("subscriptions", MONTHLY | {"cancel_at_period_end": True}),
    ("subscriptions", YEARLY),
    ("subscriptions", YEARLY | {"cancel_at": PERIOD_END - DAY}),
    ("invoices", owed()),
    ("payment_methods", card()),
)
customers = st.builds(
    customer,
    marketing=st.sampled_from(({"status": "opt_in"}, {"status": "opt_out"}, None)),
    offered_at=st.none() | st.integers(START, PERIOD_END),
    deleted=st.booleans(),
)


@given(st.sampled_from(DOCUMENTS), customers, st.sampled_from(ZONES), st.lists(st.integers(0, 6 * 365 * DAY)))
def test_whenever_somebody_looks_it_is_for_the_last_time(
    found: tuple[str, Json], of: Json, zone: str, moments: list[int]
) -> None:
    collection, document = found
    settings = replace(TOKYO, zone=ZoneInfo(zone))
    told_so_far: set[str] = set()
    for now in sorted(START + moment for moment in moments):
        stored = document | {"mails": sorted(told_so_far)}
        stored |= fields(SCHEDULES[collection](stored, settings))
        for kind in kinds_due(stored, now):
            came = verdict(kind, stored, now, of=of, subscriptions=[CHARGED], prices=PRICES, settings=settings)
            assert came.mails
            assert not told_so_far & set(came.mails)
            told_so_far |= set(came.mails)
            if isinstance(came, Tell):
                told(came)
                of_its_day = came.is_offer or came.facts.MAIL == "unpaid_followup"
                assert came.since == now or (of_its_day and came.since <= now)
                assert not of["deleted"]
        after = SCHEDULES[collection](document | {"mails": sorted(told_so_far)}, settings)
        assert all(at > now for at in after.values())
