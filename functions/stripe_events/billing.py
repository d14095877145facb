"""Subscriptions, invoices and payment methods, the same facts from every API version since 2020-03-02.

Where a version moved something, the class that reads it says so. Amounts are in minor units, times in epoch seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from functions.stripe_events.fields import (
    boolean,
    integer,
    list_of,
    mapping,
    metadata,
    reference,
    required_integer,
    required_text,
    text,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionItem:
    """One plan of a subscription: https://docs.stripe.com/api/subscription_items/object."""

    id: str
    price: str
    product: str | None
    lookup_key: str | None
    #: None for tiered prices, for fractions of the minor unit, and where it is the price of several.
    unit_amount: int | None
    currency: str | None
    interval: str | None
    interval_count: int | None
    #: None for metered prices.
    quantity: int | None
    current_period_start: int | None
    current_period_end: int | None

    @classmethod
    def of(cls, json: Mapping[str, Any], subscription: Mapping[str, Any]) -> Self:
        """Read an item.

        Accounts that never changed their version may only have `plan`, the older form of `price`. Until
        2025-03-31.basil the period stands on the subscription, since then on each item.
        """
        price = mapping(json, "price")
        plan = {} if price else mapping(json, "plan")
        recurring = mapping(price, "recurring") or plan
        periods = json if json.get("current_period_end") is not None else subscription
        return cls(
            id=required_text(json, "id"),
            price=required_text({"object": "subscription item", "price": text(price or plan, "id")}, "price"),
            product=reference(price or plan, "product"),
            lookup_key=text(price, "lookup_key"),
            unit_amount=None
            if mapping(price or plan, "transform_quantity") or mapping(plan, "transform_usage")
            else integer(price, "unit_amount")
            if price
            else integer(plan, "amount"),
            currency=text(price or plan, "currency"),
            interval=text(recurring, "interval"),
            interval_count=integer(recurring, "interval_count"),
            quantity=integer(json, "quantity"),
            current_period_start=integer(periods, "current_period_start"),
            current_period_end=integer(periods, "current_period_end"),
        )

    @property
    def plan(self) -> str | None:
        """What this item gives access to: the name the seller gave the price, else the product."""
        return self.lookup_key or self.product


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """https://docs.stripe.com/api/subscriptions/object."""

    id: str
    customer: str
    status: str
    items: tuple[SubscriptionItem, ...]
    #: More items than a subscription brings along: they have to be listed.
    has_more_items: bool
    trial_start: int | None
    trial_end: int | None
    cancel_at: int | None
    cancel_at_period_end: bool
    canceled_at: int | None
    ended_at: int | None
    #: `cancellation_requested`, `payment_failed` or `payment_disputed`; unknown before 2022-11-15.
    cancellation_reason: str | None
    default_payment_method: str | None
    latest_invoice: str | None
    collection_method: str | None
    #: Collection is paused while the subscription goes on; not the status `paused`.
    pause_collection: str | None
    currency: str | None
    metadata: dict[str, str]
    start_date: int | None
    created: int | None

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> Self:
        """Read a subscription of any version."""
        listed = mapping(json, "items")
        return cls(
            id=required_text(json, "id"),
            customer=required_text({"object": "subscription", "customer": reference(json, "customer")}, "customer"),
            status=required_text(json, "status"),
            items=tuple(SubscriptionItem.of(item, json) for item in list_of(json, "items")),
            has_more_items=boolean(listed, "has_more"),
            trial_start=integer(json, "trial_start"),
            trial_end=integer(json, "trial_end"),
            cancel_at=integer(json, "cancel_at"),
            cancel_at_period_end=boolean(json, "cancel_at_period_end"),
            canceled_at=integer(json, "canceled_at"),
            ended_at=integer(json, "ended_at"),
            cancellation_reason=text(mapping(json, "cancellation_details"), "reason"),
            default_payment_method=reference(json, "default_payment_method") or reference(json, "default_source"),
            latest_invoice=reference(json, "latest_invoice"),
            collection_method=text(json, "collection_method"),
            pause_collection=text(mapping(json, "pause_collection"), "behavior"),
            currency=text(json, "currency") or next((_item_currency(item) for item in list_of(json, "items")), None),
            metadata=metadata(json),
            start_date=integer(json, "start_date"),
            created=integer(json, "created"),
        )


def _item_currency(item: Mapping[str, Any]) -> str | None:
    """The first versions say the currency only with the price."""
    return text(mapping(item, "price") or mapping(item, "plan"), "currency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """https://docs.stripe.com/api/invoices/object."""

    id: str
    customer: str | None
    subscription: str | None
    status: str
    number: str | None
    billing_reason: str | None
    collection_method: str | None
    currency: str | None
    amount_due: int
    amount_paid: int
    amount_remaining: int | None
    subtotal: int | None
    total: int | None
    attempt_count: int | None
    next_payment_attempt: int | None
    due_date: int | None
    hosted_invoice_url: str | None
    invoice_pdf: str | None
    period_start: int | None
    period_end: int | None
    paid_at: int | None
    created: int | None

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> Self:
        """Read an invoice that exists (`invoice.upcoming` brings one without an id).

        Since 2025-03-31.basil the subscription stands under `parent`.
        """
        details = mapping(mapping(json, "parent"), "subscription_details")
        return cls(
            id=required_text(json, "id"),
            customer=reference(json, "customer"),
            subscription=reference(json, "subscription") or reference(details, "subscription"),
            status=required_text(json, "status"),
            number=text(json, "number"),
            billing_reason=text(json, "billing_reason"),
            collection_method=text(json, "collection_method"),
            currency=text(json, "currency"),
            amount_due=required_integer(json, "amount_due"),
            amount_paid=required_integer(json, "amount_paid"),
            amount_remaining=integer(json, "amount_remaining"),
            subtotal=integer(json, "subtotal"),
            total=integer(json, "total"),
            attempt_count=integer(json, "attempt_count"),
            next_payment_attempt=integer(json, "next_payment_attempt"),
            due_date=integer(json, "due_date"),
            hosted_invoice_url=text(json, "hosted_invoice_url"),
            invoice_pdf=text(json, "invoice_pdf"),
            period_start=integer(json, "period_start"),
            period_end=integer(json, "period_end"),
            paid_at=integer(mapping(json, "status_transitions"), "paid_at"),
            created=integer(json, "created"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentMethod:
    """A payment method, or a card of the older Sources API: https://docs.stripe.com/api/payment_methods/object."""

    id: str
    customer: str | None
    type: str | None
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    created: int | None

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> Self:
        """Read a payment method; a card of the Sources API carries its details at the top."""
        is_card = json.get("object") == "card"
        kind = "card" if is_card else text(json, "type")
        details = json if is_card else mapping(json, kind or "")
        return cls(
            id=required_text(json, "id"),
            customer=reference(json, "customer"),
            type=kind,
            brand=_brand(text(details, "brand")),
            last4=text(details, "last4"),
            exp_month=integer(details, "exp_month"),
            exp_year=integer(details, "exp_year"),
            created=integer(json, "created"),
        )


#: What the Sources API calls otherwise than payment methods do.
_BRANDS = {"american_express": "amex", "diners_club": "diners", "eftpos_australia": "eftpos_au"}


def _brand(name: str | None) -> str | None:
    """A brand as payment methods spell it: a card of the Sources API says `American Express`."""
    code = (name or "").lower().replace(" ", "_")
    return _BRANDS.get(code, code) or None
