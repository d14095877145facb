"""What is told of customers, of what they order and of what they are given back."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from functions.letters import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One bought line, with the quantity as the buyer left it."""

    description: str | None
    quantity: int | None
    amount_total: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One Checkout Session. The total is the subtotal less the discount, with shipping and with tax on top if any."""

    session: str
    mode: str
    created: int | None
    currency: str | None
    lines: tuple[Line, ...]
    amount_subtotal: int | None
    amount_discount: int | None
    amount_shipping: int | None
    amount_tax: int | None
    amount_total: int | None
    payment_intent: str | None
    subscription: str | None
    invoice: str | None

    @property
    def number(self) -> str:
        """What customer and support can read to each other: the end of the session's id, which is 66 letters long."""
        return self.session[-8:].upper()

    @property
    def sums(self) -> tuple[tuple[str, int], ...]:
        """What stands under the lines, from the subtotal to the total; only the total where there is nothing between.

        Tax that the prices contain already (the rest makes up the total without it) is `tax_included`.
        """
        if self.amount_total is None:
            return ()
        subtotal, discount = self.amount_subtotal or 0, self.amount_discount or 0
        shipping, tax = self.amount_shipping or 0, self.amount_tax or 0
        is_included = subtotal - discount + shipping == self.amount_total
        between = (("discount", -discount), ("shipping", shipping), ("tax_included" if is_included else "tax", tax))
        shown = tuple((name, amount) for name, amount in between if amount)
        first = (("subtotal", self.amount_subtotal),) if shown and self.amount_subtotal is not None else ()
        return (*first, *shown, ("total", self.amount_total))

    @property
    def is_free(self) -> bool:
        """Nothing was to be paid: a free trial, or a coupon over everything."""
        return self.amount_total == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome(Facts):
    """A customer is new."""

    MAIL: ClassVar[str] = "welcome"
    customer: str
    #: Where to choose a password, if an account was made for them.
    password_url: str | None

    def fact(self) -> str:
        return self.customer


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPaid(Facts):
    """An order is paid, or needs no payment."""

    MAIL: ClassVar[str] = "order_paid"
    order: Order

    def fact(self) -> str:
        return self.order.session


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFailed(Facts):
    """A delayed payment did not come."""

    MAIL: ClassVar[str] = "order_failed"
    order: Order

    def fact(self) -> str:
        return self.order.session


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A konbini chain and the numbers to type or show there."""

    chain: str
    payment_code: str | None
    confirmation_number: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instructions:
    """How to pay what is not paid yet, as Stripe's payment intent says it."""

    kind: Literal["konbini", "bank_transfer", "voucher"]
    #: The last moment to pay.
    expires_at: int | None
    #: Stripe's page with the slip or the account.
    hosted_url: str | None
    stores: tuple[Store, ...] = ()
    amount_remaining: int | None = None
    #: What the buyer has to write with the transfer.
    reference: str | None = None
    #: The account to transfer to: Stripe's field names (`bank_name`, `iban`) and their values, in reading order.
    account: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPending(Facts):
    """An order is placed and waits for its payment."""

    MAIL: ClassVar[str] = "order_pending"
    order: Order
    instructions: Instructions | None

    def fact(self) -> str:
        return self.order.session


@dataclass(frozen=True, slots=True, kw_only=True)
class CartRecovery(Facts):
    """A session expired whose buyer had agreed to hear from the shop."""

    MAIL: ClassVar[str] = "cart_recovery"
    order: Order
    recovery_url: str
    #: Until when that link works.
    expires_at: int | None

    def fact(self) -> str:
        return self.order.session


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund(Facts):
    """Money was given back."""

    MAIL: ClassVar[str] = "refund"
    payment_intent: str
    #: Given back now, and in all so far.
    amount: int
    amount_refunded: int
    amount_paid: int
    currency: str | None
    #: The order, where the payment belongs to one.
    session: str | None

    def fact(self) -> str:
        return f"{self.payment_intent}_{self.amount_refunded}"

    @property
    def number(self) -> str | None:
        """The order's number, as its confirmation has it."""
        return self.session[-8:].upper() if self.session else None
