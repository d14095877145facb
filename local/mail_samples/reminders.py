"""The mails that become due with time, in every variant."""

from dataclasses import replace

from functions.letters import Facts, Letter, Origin, Reader
from functions.mail.facts import CardExpiring, Invoice, Plan, Renewal, UnpaidFollowup, UpgradeOffer, YearlyOffer
from local.mail_samples.sample import Sample

# 21 November 2026, 14:05 in Tokyo.
_NOW = 1_795_237_500
_DAY = 86_400

_MEI = Reader(email="mei@example.com", name="伊藤 芽依", locales=("ja",))
# The time had come: no event of Stripe's says so.
_ORIGIN = Origin(customer="cus_DemoMei", user_id="user_mei", livemode=True, event="")

_FREE = Plan(amount=0, currency="jpy", interval="month", interval_count=1)
_CLUB = replace(_FREE, amount=980)
_CLUB_BY_THE_YEAR = Plan(amount=9_800, currency="jpy", interval="year", interval_count=1)
_UNKNOWN_PLAN = Plan(amount=None, currency=None, interval=None, interval_count=None)


def reminder_samples() -> tuple[Sample, ...]:
    """At least one of each; the first of a kind is the usual case."""
    return (*_upgrade_offers(), *_yearly_offers(), *_renewals(), *_cards(), *_unpaid())


def _sample(name: str, note: str, facts: Facts, reader: Reader = _MEI) -> Sample:
    full_name = f"{facts.MAIL}-{name}" if name else facts.MAIL
    return Sample(name=full_name, letter=Letter(facts=facts, reader=reader, origin=_ORIGIN, since=_NOW), note=note)


def _upgrade_offers() -> tuple[Sample, ...]:
    free = UpgradeOffer(subscription="sub_1DemoClub", plan=_FREE, trial_end=None)
    trial = replace(free, plan=_CLUB, trial_end=_NOW + 7 * _DAY)
    return (
        _sample("", "A free plan for two weeks", free),
        _sample("trial", "Half of a trial is over; 980 yen a month after it", trial),
        _sample("trial_free", "Half of a trial is over; free after it", replace(trial, plan=_FREE)),
        _sample("trial_no_price", "Half of a trial is over; a price by usage", replace(trial, plan=_UNKNOWN_PLAN)),
    )


def _yearly_offers() -> tuple[Sample, ...]:
    in_yen = YearlyOffer(
        subscription="sub_1DemoClub",
        year=2026,
        monthly_amount=980,
        yearly_amount=9_800,
        saving=1_960,
        percent=16,
        currency="jpy",
    )
    little = replace(in_yen, yearly_amount=11_700, saving=60, percent=0)
    in_dollars = replace(in_yen, monthly_amount=1_250, yearly_amount=12_000, saving=3_000, percent=20, currency="usd")
    return (
        _sample("", "A year for the price of ten months", in_yen),
        _sample("little", "Less than one percent is saved", little),
        _sample(
            "dollars",
            "A reader in the US who pays in dollars",
            in_dollars,
            Reader(email="alex@example.com", name="Alex Doe", locales=("en-US",)),
        ),
    )


def _renewals() -> tuple[Sample, ...]:
    renews = Renewal(
        subscription="sub_1DemoYear", period_end=_NOW + 30 * _DAY, ends=False, ends_at=None, plan=_CLUB_BY_THE_YEAR
    )
    return (
        _sample("", "9,800 yen for another year", renews),
        _sample("two_years", "Every two years", replace(renews, plan=replace(_CLUB_BY_THE_YEAR, interval_count=2))),
        _sample("no_price", "A price by usage", replace(renews, plan=_UNKNOWN_PLAN)),
        _sample("ends", "It ends with the period", replace(renews, ends=True, ends_at=renews.period_end)),
        _sample("ends_early", "It ends before the period does", replace(renews, ends=True, ends_at=_NOW + 20 * _DAY)),
    )


def _cards() -> tuple[Sample, ...]:
    card = CardExpiring(
        payment_method="pm_1DemoVisa", card_brand="visa", last4="4242", exp_month=12, exp_year=2026, days_left=30
    )
    return (
        _sample("", "30 days before", card),
        _sample("week", "7 days before", replace(card, days_left=7)),
        _sample(
            "new_brand",
            "A brand of which we have not heard",
            replace(card, card_brand="elo", exp_month=3, exp_year=2027),
        ),
        _sample("nameless", "Stripe knows neither brand nor number", replace(card, card_brand="unknown", last4=None)),
    )


def _unpaid() -> tuple[Sample, ...]:
    invoice = Invoice(
        id="in_1DemoClub",
        number="8D4F1B2C-0003",
        subscription="sub_1DemoClub",
        amount=980,
        currency="jpy",
        hosted_invoice_url="https://invoice.stripe.com/i/acct_1Demo/test_YWNjdF8xRGVtbyxfTXVn?s=ap",
    )
    unpaid = UnpaidFollowup(invoice=invoice, attempt=1, days=3, next_payment_attempt=_NOW + 2 * _DAY)
    last = replace(unpaid, attempt=4, days=7, next_payment_attempt=None)
    no_page = replace(invoice, hosted_invoice_url=None, number=None, subscription=None)
    return (
        _sample("", "3 days later; Stripe tries again", unpaid),
        _sample("last", "7 days later; no further attempt", last),
        _sample("retry_no_page", "3 days later; nowhere to pay by hand", replace(unpaid, invoice=no_page)),
        _sample("no_page", "7 days later; nowhere to pay, and no further attempt", replace(last, invoice=no_page)),
    )
