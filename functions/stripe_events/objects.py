"""Stripe's objects as the facts that reactions decide on, the same from every API version.

Each class has `of(json)`, which takes the object as any version sends it, from a webhook or from the API, and raises
Malformed naming the field that is missing or impossible. Amounts are integers in the currency's minor unit, times are
epoch seconds, both exactly as Stripe sends them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from functions.errors import Malformed

_INT64 = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """https://docs.stripe.com/api/customers/object; a deleted one has only its id."""

    id: str
    email: str | None
    name: str | None
    phone: str | None
    locale: str | None
    metadata: dict[str, str]
    created: int | None
    deleted: bool

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> Self:
        """Read a Customer, also a deleted one."""
        locales = json.get("preferred_locales")
        return cls(
            id=_required_text(json, "id"),
            email=_text(json, "email"),
            name=_text(json, "name"),
            phone=_text(json, "phone"),
            locale=_text({"preferred_locales": locales[0]}, "preferred_locales") if locales else None,
            metadata=_metadata(json),
            created=_integer(json, "created"),
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
    metadata: dict[str, str]
    created: int | None

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> Self:
        """Read a session. Early versions have no `customer_details`; the address is then in `customer_email`."""
        details = _mapping(json, "customer_details")
        totals = _mapping(json, "total_details")
        return cls(
            id=_required_text(json, "id"),
            mode=_required_text(json, "mode"),
            payment_status=_text(json, "payment_status"),
            customer=_id(json, "customer"),
            email=_text(details, "email") or _text(json, "customer_email"),
            name=_text(details, "name"),
            phone=_text(details, "phone"),
            locale=_text(json, "locale"),
            client_reference_id=_text(json, "client_reference_id") or None,
            amount_total=_integer(json, "amount_total"),
            amount_subtotal=_integer(json, "amount_subtotal"),
            currency=_text(json, "currency"),
            total_details={
                key: _integer(totals, key) for key in ("amount_discount", "amount_shipping", "amount_tax") if totals
            },
            payment_intent=_id(json, "payment_intent"),
            subscription=_id(json, "subscription"),
            invoice=_id(json, "invoice"),
            payment_link=_id(json, "payment_link"),
            metadata=_metadata(json),
            created=_integer(json, "created"),
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
            id=_required_text(json, "id"),
            description=_text(json, "description"),
            price=_id(json, "price"),
            product=_id(_mapping(json, "price"), "product"),
            quantity=_integer(json, "quantity"),
            amount_subtotal=_integer(json, "amount_subtotal"),
            amount_discount=_integer(json, "amount_discount"),
            amount_tax=_integer(json, "amount_tax"),
            amount_total=_integer(json, "amount_total"),
            currency=_text(json, "currency"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """https://docs.stripe.com/api/charges/object. `amount_refunded` is the sum of all refunds that hold."""

    id: str
    payment_intent: str | None
    amount: int
    amount_refunded: int
    currency: str | None

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> Self:
        """Read a charge. What can be refunded is what was captured."""
        captured = _integer(json, "amount_captured")
        return cls(
            id=_required_text(json, "id"),
            payment_intent=_id(json, "payment_intent"),
            amount=captured or _required_integer(json, "amount"),
            amount_refunded=_required_integer(json, "amount_refunded"),
            currency=_text(json, "currency"),
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
            id=_required_text(json, "id"), charge=_id(json, "charge"), payment_intent=_id(json, "payment_intent")
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
            id=_required_text(json, "id"),
            payment_intent=_id(json, "payment_intent"),
            status=_required_text(json, "status"),
            reason=_text(json, "reason"),
            amount=_integer(json, "amount"),
            currency=_text(json, "currency"),
        )


def _clean(text: str) -> str:
    """A text every service accepts: JSON may escape half a surrogate pair, which UTF-8 cannot carry."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _text(json: Mapping[str, Any], key: str) -> str | None:
    value = json.get(key)
    if value is None or isinstance(value, str):
        return None if value is None else _clean(value)
    raise Malformed(f"{key} is not a text")


def _required_text(json: Mapping[str, Any], key: str) -> str:
    value = _text(json, key)
    if not value:
        raise Malformed(f"{json.get('object') or 'the object'} has no {key}")
    return value


def _integer(json: Mapping[str, Any], key: str) -> int | None:
    value = json.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not -_INT64 <= value < _INT64:
        raise Malformed(f"{key} is not a whole number")
    return value


def _required_integer(json: Mapping[str, Any], key: str) -> int:
    value = _integer(json, key)
    if value is None:
        raise Malformed(f"{json.get('object') or 'the object'} has no {key}")
    return value


def _mapping(json: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = json.get(key)
    return value if isinstance(value, Mapping) else {}


def _id(json: Mapping[str, Any], key: str) -> str | None:
    """A reference, which Stripe sends as an id or, expanded, as the whole object."""
    value = json.get(key)
    return (_text(value, "id") if isinstance(value, Mapping) else _text(json, key)) or None


def _metadata(json: Mapping[str, Any]) -> dict[str, str]:
    metadata = _mapping(json, "metadata")
    return {_clean(key): _text(metadata, key) or "" for key in metadata}
