"""Keeps `customers/{c}/orders/{cs}`: what was really bought, whether it is paid, and what was given back.

An order learns from two sides that know nothing of each other: the Checkout Session, and the charge with its refunds
and disputes. They meet in `payments/{pi}`, whichever comes first. A subscription's session has no payment intent, only
an invoice: there they meet in `payments/{in}`, and `payments/{pi}` says which invoice that is.
"""

from collections.abc import Generator
from dataclasses import asdict
from typing import Any, Literal

from functions import paths
from functions.as_of import Verdict, judge, nothing_to_do, stamp, whole
from functions.effects import Decision, Effect, Fetch, Json, Merge, Put, Reaction, Read, fetch, read
from functions.errors import Malformed
from functions.settings import SubscriberSettings
from functions.stripe_events import Charge, CheckoutSession, Dispute, LineItem, Refund, StripeEvent

Status = Literal["pending", "expired", "failed", "paid", "partially_refunded", "refunded"]

#: A session only ever moves to the right here, whatever is delivered in which order.
_FORWARD: tuple[Status, ...] = ("pending", "expired", "failed", "paid")


def react(event: StripeEvent, settings: SubscriberSettings) -> Reaction:
    """React to Checkout Sessions, refunds and disputes."""
    if event.type.startswith("checkout.session."):
        return _session_changed(event, settings)
    if event.type.startswith("charge.dispute."):
        return _dispute_changed(event)
    return _refunds_changed(event)


def _session_changed(event: StripeEvent, settings: SubscriberSettings) -> Reaction:
    event, session = yield from whole(event, "checkout.session", CheckoutSession.of)
    if session.mode == "setup":
        return Decision("ignored", reason="a session in setup mode is no order")
    user_id = session.named_user(settings.user_id_key)
    customer = session.customer or paths.guest_customer(session.email, user_id, session.id)
    order_path = paths.order(customer, session.id)
    paid_by = session.payment_intent or session.invoice
    payment_path = paths.payment(paid_by) if paid_by else None
    documents = yield from read(order_path, *([payment_path] if payment_path else []))
    stored = documents[order_path]
    payment = documents[payment_path] if payment_path else None
    verdict = judge(event, stored)
    if nothing := nothing_to_do(verdict):
        return nothing
    if payment and payment.get("invoice"):
        payment_path = paths.payment(payment["invoice"])
        payment = (yield from read(payment_path))[payment_path]
    if verdict is Verdict.FETCH:
        session = CheckoutSession.of((yield from fetch("checkout.session", session.id)))

    if stored is None:
        lines = [asdict(LineItem.of(line)) for line in (yield from fetch("line_items", session.id))["data"]]
    else:
        lines = stored["line_items"]
    before = _without_refunds(stored["status"]) if stored else "pending"
    status = max(before, _status(event, session), key=_FORWARD.index)
    order: Json = {
        "id": session.id,
        "customer": customer,
        "user_id": user_id,
        "client_reference_id": session.client_reference_id,
        "customer_email": session.email,
        "mode": session.mode,
        "payment_status": session.payment_status,
        "source": "payment_link" if session.payment_link else "checkout",
        "payment_link": session.payment_link,
        "payment_intent": session.payment_intent,
        "subscription": session.subscription,
        "invoice": session.invoice,
        "amount_total": session.amount_total,
        "amount_subtotal": session.amount_subtotal,
        "currency": session.currency,
        "total_details": session.total_details,
        "line_items": lines,
        "metadata": paths.as_map(session.metadata),
        "livemode": event.livemode,
        "created": session.created,
        "paid_at": _paid_at(event, status, stored),
        **_given_back(status, payment),
        **stamp(event, stored),
    }
    effects: tuple[Effect, ...] = (Put(order_path, order),)
    if payment_path and (payment or {}).get("order") != order_path:
        effects += (Merge(payment_path, {"order": order_path}),)
    return Decision("applied", effects)


def _refunds_changed(event: StripeEvent) -> Reaction:
    """`charge.refunded` carries the charge; `refund.failed` only says that a charge got its money back."""
    charge: Charge | None
    invoice: str | None = None
    if event.type == "refund.failed":
        event, refund = yield from whole(event, "refund", Refund.of)
        charge_id, payment_intent, charge = refund.charge, refund.payment_intent, None
    else:
        event, charge = yield from whole(event, "charge", Charge.of)
        charge_id, payment_intent, invoice = charge.id, charge.payment_intent, charge.invoice
    if payment_intent is None:
        return Decision("ignored", reason="a charge without a payment intent belongs to no order")
    path, payment, pointer = yield from _payment(payment_intent, invoice)
    stored = payment.get("charge")
    verdict = judge(event, stored)
    if nothing := nothing_to_do(verdict):
        return nothing
    if verdict is Verdict.FETCH:
        charge = None
    if charge is None:
        if charge_id is None:
            raise Malformed("refund has no charge")
        charge = Charge.of((yield from fetch("charge", charge_id)))
    change = {"charge": asdict(charge) | stamp(event, stored)}
    return (yield from _store_payment(path, payment, change, pointer))


def _dispute_changed(event: StripeEvent) -> Reaction:
    event, dispute = yield from whole(event, "dispute", Dispute.of)
    if dispute.payment_intent is None:
        return Decision("ignored", reason="a dispute without a payment intent belongs to no order")
    path, payment, pointer = yield from _payment(dispute.payment_intent, None)
    disputes = payment.get("disputes", {})
    stored = disputes.get(dispute.id)
    verdict = judge(event, stored)
    if nothing := nothing_to_do(verdict):
        return nothing
    if verdict is Verdict.FETCH:
        dispute = Dispute.of((yield from fetch("dispute", dispute.id)))
    changed = asdict(dispute) | stamp(event, stored)
    change = {"disputes": {**disputes, dispute.id: changed}}
    return (yield from _store_payment(path, payment, change, pointer))


def _payment(
    payment_intent: str, invoice: str | None
) -> Generator[Read | Fetch, Any, tuple[str, Json, tuple[Effect, ...]]]:
    """Where a payment is kept, what is there, and the pointer that has to be stored to find it again.

    The first time a payment intent gives something back it is asked for its invoice: nothing in the event says since
    2025-03-31.basil that it paid one. Afterwards the pointer answers.
    """
    path = paths.payment(payment_intent)
    payment = (yield from read(path))[path]
    pointer: tuple[Effect, ...] = ()
    if payment is None:
        if invoice is None:
            found = (yield from fetch("invoice_payments", payment_intent))["data"]
            invoice = found[0]["invoice"] if found else None
        if invoice is None:
            return path, {}, ()
        pointer = (Merge(path, {"invoice": invoice}),)
    elif not (invoice := payment.get("invoice")):
        return path, payment, ()
    invoice_path = paths.payment(invoice)
    return invoice_path, (yield from read(invoice_path))[invoice_path] or {}, pointer


def _store_payment(path: str, payment: Json, change: Json, pointer: tuple[Effect, ...]) -> Reaction:
    """Commit what is new about a payment, together with the order it belongs to where that is known already."""
    order_path = payment.get("order")
    order = (yield from read(order_path))[order_path] if order_path else None
    if order_path is None or order is None:
        return Decision("applied", (Merge(path, change), *pointer), reason="the order is not known yet")
    given_back = _given_back(_without_refunds(order["status"]), payment | change)
    return Decision("applied", (Merge(path, change), *pointer, Merge(order_path, given_back)))


def _status(event: StripeEvent, session: CheckoutSession) -> Status:
    """What this event alone says of the order. A free trial or a 100 % coupon requires no payment and is paid."""
    if event.type == "checkout.session.expired":
        return "expired"
    if event.type == "checkout.session.async_payment_failed":
        return "failed"
    return "paid" if session.payment_status in {"paid", "no_payment_required"} else "pending"


def _without_refunds(status: Status) -> Status:
    """What the session made of the order, whatever was given back since."""
    return "paid" if status in {"partially_refunded", "refunded"} else status


def _paid_at(event: StripeEvent, status: Status, stored: Json | None) -> int | None:
    """When the order became paid, in epoch seconds: a delayed payment's own event says it better than any other."""
    if status != "paid":
        return None
    if event.type == "checkout.session.async_payment_succeeded" or not stored or not stored["paid_at"]:
        return event.created
    paid_at: int = stored["paid_at"]
    return paid_at


def _given_back(status: Status, payment: Json | None) -> Json:
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
