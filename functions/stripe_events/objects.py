"""Stripe's objects as the facts that reactions decide on, the same from every API version.

Each class has `of(json)`, which takes the object as any version sends it, from a webhook or from the API, and raises
Malformed naming the field that is missing or impossible. Amounts are integers in the currency's minor unit, times are
epoch seconds, both exactly as Stripe sends them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from functions.stripe_events.fields import (
    first_text,
    integer,
    mapping,
    metadata,
    reference,
    required_integer,
    required_text,
    text,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """https://docs.stripe.com/api/customers/object; a deleted one has only its id."""

    id: str
    email: str | None
    name: str | None
    phone: str | None
    locale: str | None
    #: What invoices are charged to where the subscription names nothing.
    default_payment_method: str | None
    metadata: dict[str, str]
    created: int | None
    deleted: bool

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> Self:
        """Read a Customer, also a deleted one."""
        return cls(
            id=required_text(json, "id"),
            email=text(json, "email"),
            name=text(json, "name"),
            phone=text(json, "phone"),
            locale=first_text(json, "preferred_locales"),
            default_payment_method=reference(mapping(json, "invoice_settings"), "default_payment_method")
            or reference(json, "default_source"),
            metadata=metadata(json),
            created=integer(json, "created"),
            deleted=json.get("deleted") is True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutSession:
    """https://docs.stripe.com/api/checkout/sessions/object."""

    id: str
    mode: str
    payment_status: str | None
    customer: str | None
    email: str | None
    name: str | None
    phone: str | None
    locale: str | None
    client_reference_id: str | None
    amount_total: int | None
    amount_subtotal: int | None
    currency: str | None
    total_details: dict[str, int | None]
    payment_intent: str | None
    subscription: str | None
    invoice: str | None
    payment_link: str | None
    #: The buyer agreed to hear about offers: `opt_in`, `opt_out`, or None where nobody asked.
    promotions: str | None
    #: Where an expired session can be taken up again, and until when.
    recovery_url: str | None
    recovery_expires_at: int | None
    metadata: dict[str, str]
    created: int | None

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> Self:
        """Read a session. Early versions have no `customer_details`; the address is then in `customer_email`."""
        details = mapping(json, "customer_details")
        totals = mapping(json, "total_details")
        recovery = mapping(mapping(json, "after_expiration"), "recovery")
        return cls(
            id=required_text(json, "id"),
            mode=required_text(json, "mode"),
            payment_status=text(json, "payment_status"),
            customer=reference(json, "customer"),
            email=text(details, "email") or text(json, "customer_email"),
            name=text(details, "name"),
            phone=text(details, "phone"),
            locale=text(json, "locale"),
            client_reference_id=text(json, "client_reference_id") or None,
            amount_total=integer(json, "amount_total"),
            amount_subtotal=integer(json, "amount_subtotal"),
            currency=text(json, "currency"),
            total_details={key: integer(totals, key) for key in ("amount_discount", "amount_shipping", "amount_tax")},
            payment_intent=reference(json, "payment_intent"),
            subscription=reference(json, "subscription"),
            invoice=reference(json, "invoice"),
            payment_link=reference(json, "payment_link"),
            promotions=text(mapping(json, "consent"), "promotions"),
            recovery_url=text(recovery, "url"),
            recovery_expires_at=integer(recovery, "expires_at"),
            metadata=metadata(json),
            created=integer(json, "created"),
        )

    def named_user(self, user_id_key: str) -> str | None:
        """The user this session was opened for: `client_reference_id`, else `metadata[user_id_key]`."""
        return self.client_reference_id or self.metadata.get(user_id_key) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineItem:
    """One bought line, with the quantity as the buyer left it: https://docs.stripe.com/api/checkout/sessions/line_items."""

    id: str
    description: str | None
    price: str | None
    product: str | None
    quantity: int | None
    amount_subtotal: int | None
    amount_discount: int | None
    amount_tax: int | None
    amount_total: int | None
    currency: str | None

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> Self:
        """Read a line item; its product may come as an id or expanded."""
        return cls(
            id=required_text(json, "id"),
            description=text(json, "description"),
            price=reference(json, "price"),
            product=reference(mapping(json, "price"), "product"),
            quantity=integer(json, "quantity"),
            amount_subtotal=integer(json, "amount_subtotal"),
            amount_discount=integer(json, "amount_discount"),
            amount_tax=integer(json, "amount_tax"),
            amount_total=integer(json, "amount_total"),
            currency=text(json, "currency"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """https://docs.stripe.com/api/charges/object. `amount` is what was paid, `amount_refunded` what went back of it."""

    id: str
    payment_intent: str | None
    #: Only before 2025-03-31.basil; since then the invoice knows its payments.
    invoice: str | None
    amount: int
    amount_refunded: int
    currency: str | None

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> Self:
        """Read a charge. What was authorised and never captured counts neither as paid nor as refunded.

        Stripe adds the rest of a partial capture to `amount_refunded`, although nobody ever paid it.
        """
        authorised = required_integer(json, "amount")
        captured = integer(json, "amount_captured")
        amount = authorised if captured is None else captured
        return cls(
            id=required_text(json, "id"),
            payment_intent=reference(json, "payment_intent"),
            invoice=reference(json, "invoice"),
            amount=amount,
            amount_refunded=max(0, required_integer(json, "amount_refunded") - max(0, authorised - amount)),
            currency=text(json, "currency"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """Who paid a charge, as far as it says so."""

    customer: str | None
    email: str | None
    name: str | None

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> Self:
        """Read a charge."""
        details = mapping(json, "billing_details")
        return cls(
            customer=reference(json, "customer"),
            email=text(json, "receipt_email") or text(details, "email"),
            name=text(details, "name"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """https://docs.stripe.com/api/refunds/object."""

    id: str
    charge: str | None
    payment_intent: str | None

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> Self:
        """Read which payment a refund belongs to."""
        return cls(
            id=required_text(json, "id"),
            charge=reference(json, "charge"),
            payment_intent=reference(json, "payment_intent"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """https://docs.stripe.com/api/disputes/object."""

    id: str
    payment_intent: str | None
    status: str
    reason: str | None
    amount: int | None
    currency: str | None

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> Self:
        """Read a dispute, or an inquiry (its status begins with `warning_`)."""
        return cls(
            id=required_text(json, "id"),
            payment_intent=reference(json, "payment_intent"),
            status=required_text(json, "status"),
            reason=text(json, "reason"),
            amount=integer(json, "amount"),
            currency=text(json, "currency"),
        )
