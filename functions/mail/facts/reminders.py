"""What is told although nothing at Stripe announces it: it becomes due with time."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from functions.letters import Facts
from functions.mail.facts.billing import Invoice, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeOffer(Facts):
    """A free plan has been used for a while, or a trial is half over."""

    MAIL: ClassVar[str] = "upgrade_offer"
    subscription: str
    plan: Plan
    #: When the trial ends; None on a free plan.
    trial_end: int | None

    def fact(self) -> str:
        return self.subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class YearlyOffer(Facts):
    """What a subscription that is paid each month would cost by the year."""

    MAIL: ClassVar[str] = "yearly_offer"
    subscription: str
    #: The calendar year of the anniversary.
    year: int
    monthly_amount: int
    yearly_amount: int
    #: Twelve months less the year.
    saving: int
    #: Of twelve months, rounded down: 0 where it is less than one.
    percent: int
    currency: str

    def fact(self) -> str:
        return f"{self.subscription}_{self.year}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal(Facts):
    """A plan of a year or longer is about to be paid for again, or to end."""

    MAIL: ClassVar[str] = "renewal"
    subscription: str
    period_end: int
    #: It does not renew.
    ends: bool
    #: The moment it ends, which may be before the period does; None where it renews.
    ends_at: int | None
    plan: Plan

    def fact(self) -> str:
        return f"{self.subscription}_{self.period_end}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardExpiring(Facts):
    """The card that a subscription is paid with is valid to the end of its month."""

    MAIL: ClassVar[str] = "card_expiring"
    payment_method: str
    card_brand: str | None
    last4: str | None
    exp_month: int
    exp_year: int
    #: Which of the two times this is; a mail that comes late is not counted anew.
    days_left: Literal[30, 7]

    def fact(self) -> str:
        month = f"{self.payment_method}_{self.exp_year:04}{self.exp_month:02}"
        return month if self.days_left == 30 else f"{month}_{self.days_left}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpaidFollowup(Facts):
    """A payment failed days ago and the invoice is still open."""

    MAIL: ClassVar[str] = "unpaid_followup"
    invoice: Invoice
    #: The payment that failed, as Stripe counts them.
    attempt: int
    #: Days since then: which of the two times this is.
    days: Literal[3, 7]
    #: When Stripe tries again by itself.
    next_payment_attempt: int | None

    def fact(self) -> str:
        return f"{self.invoice.id}_{self.attempt}_{self.days}"
