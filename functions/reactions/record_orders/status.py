"""The status of an order: what its session says, and what its payment takes back."""

from typing import Literal

from functions.effects import Json
from functions.stripe_events import CheckoutSession, StripeEvent

Status = Literal["pending", "expired", "failed", "paid", "partially_refunded", "refunded"]

#: A session only ever moves to the right here, whatever is delivered in which order.
_FORWARD: tuple[Status, ...] = ("pending", "expired", "failed", "paid")


def forward(before: Status, event: StripeEvent, session: CheckoutSession) -> Status:
    """What the session makes of an order that was there before."""
    return max(before, _status(event, session), key=_FORWARD.index)


def _status(event: StripeEvent, session: CheckoutSession) -> Status:
    """What this event alone says of the order. A free trial or a 100 % coupon requires no payment and is paid."""
    if event.type == "checkout.session.expired":
        return "expired"
    if event.type == "checkout.session.async_payment_failed":
        return "failed"
    return "paid" if session.payment_status in {"paid", "no_payment_required"} else "pending"


def without_refunds(status: Status) -> Status:
    """What the session made of the order, whatever was given back since."""
    return "paid" if status in {"partially_refunded", "refunded"} else status


def given_back(status: Status, payment: Json | None) -> Json:
    """The fields of an order that its payment decides. A failed refund takes the status back."""
    charge = (payment or {}).get("charge") or {"amount": 0, "amount_refunded": 0}
    disputes = (payment or {}).get("disputes", {}).values()
    latest = max(disputes, key=lambda dispute: (dispute["as_of"], dispute["id"]), default=None)
    refunded = charge["amount_refunded"]
    if status == "paid" and refunded:
        status = "refunded" if refunded >= charge["amount"] else "partially_refunded"
    return {
        "status": status,
        "amount_refunded": refunded,
        "disputed": latest is not None,
        "dispute_status": latest and latest["status"],
    }
