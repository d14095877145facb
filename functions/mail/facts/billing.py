"""What is told of invoices and subscriptions."""

from dataclasses import dataclass
from typing import ClassVar

from functions.letters import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """What is owed."""

    id: str
    number: str | None
    subscription: str | None
    amount: int
    currency: str | None
    hosted_invoice_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceUnpaid(Facts):
    """A payment failed and the invoice is still open."""

    MAIL: ClassVar[str] = "invoice_unpaid"
    invoice: Invoice
    attempt: int
    #: When Stripe tries again by itself.
    next_payment_attempt: int | None

    def fact(self) -> str:
        return f"{self.invoice.id}_{self.attempt}"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceAction(Facts):
    """A payment waits for the customer to authenticate it (3D Secure)."""

    MAIL: ClassVar[str] = "invoice_action"
    invoice: Invoice

    def fact(self) -> str:
        return self.invoice.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a subscription costs: the sum of its items where all of them are known and renew in the same rhythm."""

    amount: int | None
    currency: str | None
    interval: str | None
    interval_count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEnding(Facts):
    """A trial is about to end."""

    MAIL: ClassVar[str] = "trial_ending"
    subscription: str
    trial_end: int
    #: It ends with the trial and will cost nothing.
    is_canceled: bool
    plan: Plan

    def fact(self) -> str:
        return f"{self.subscription}_{self.trial_end}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Canceled(Facts):
    """A subscription has ended."""

    MAIL: ClassVar[str] = "canceled"
    subscription: str
    ended_at: int
    #: Stripe's word: `cancellation_requested`, `payment_failed`, `payment_disputed`.
    reason: str | None
    plan: Plan

    def fact(self) -> str:
        return self.subscription
