"""What goes back of a payment: refunds and disputes, kept with the payment and told to the order and the buyer."""

from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import Any

from functions import paths
from functions.as_of import Verdict, judge, nothing_to_do, stamp, whole
from functions.effects import Decision, Effect, Json, Merge, Reaction, Request, fetch, read
from functions.errors import Malformed
from functions.letters import Letter, Reader
from functions.mail import compose
from functions.mail.facts import Refund as RefundFacts
from functions.reactions.record_orders.status import given_back, without_refunds
from functions.stripe_events import Charge, Dispute, Payer, Refund, StripeEvent


def refunds_changed(event: StripeEvent) -> Reaction:
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
    json = event.snapshot()
    if verdict is Verdict.FETCH or charge is None:
        if charge_id is None:
            raise Malformed("refund has no charge")
        json = yield from fetch("charge", charge_id)
        charge = Charge.of(json)
    change = {"charge": asdict(charge) | stamp(event, stored)}
    # A refund that failed takes the sum back, and nobody is told of money that did not move.
    refunded = charge.amount_refunded - _refunded_before(event, stored)
    told = _Refunded(event, charge, refunded, Payer.of(json)) if refunded > 0 else None
    return (yield from _store_payment(path, payment, change, pointer, told))


def _refunded_before(event: StripeEvent, stored: Json | None) -> int:
    """What was given back before: as we know it, else as the event does."""
    before = stored["amount_refunded"] if stored else event.previous_attributes.get("amount_refunded")
    return before if isinstance(before, int) else 0


def dispute_changed(event: StripeEvent) -> Reaction:
    """`charge.dispute.*`: an order is disputed as long as its latest dispute says so."""
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


def _payment(payment_intent: str, invoice: str | None) -> Generator[Request, Any, tuple[str, Json, tuple[Effect, ...]]]:
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


@dataclass(frozen=True, slots=True)
class _Refunded:
    """More than before has gone back to the payer; `amount` in minor units."""

    event: StripeEvent
    charge: Charge
    amount: int
    payer: Payer

    def letter(self, order: Json | None, customer: Json | None) -> Letter:
        """Told to the customer as we know them, else to whoever bought, else to whoever paid."""
        known, bought = customer or {}, order or {}
        reader = Reader(
            email=known.get("email") or bought.get("customer_email") or self.payer.email,
            name=known.get("name") or self.payer.name,
            locales=(known.get("locale"), bought.get("locale")),
        )
        return Letter(
            facts=RefundFacts(
                payment_intent=str(self.charge.payment_intent),
                amount=self.amount,
                amount_refunded=self.charge.amount_refunded,
                amount_paid=self.charge.amount,
                currency=self.charge.currency,
                session=bought.get("id"),
            ),
            reader=reader,
            origin=compose.origin(self.event, bought.get("customer") or self.payer.customer, known.get("user_id")),
            since=self.event.created,
        )


def _store_payment(
    path: str, payment: Json, change: Json, pointer: tuple[Effect, ...], told: _Refunded | None = None
) -> Reaction:
    """Commit what is new about a payment, together with the order it belongs to where that is known already."""
    order_path: str | None = payment.get("order")
    customer_path = _customer_path(order_path, told)
    wanted = [each for each in (order_path, customer_path) if each]
    documents = (yield from read(*wanted)) if wanted else {}
    order = documents[order_path] if order_path else None
    letters = (told.letter(order, documents[customer_path] if customer_path else None),) if told else ()
    effects: tuple[Effect, ...] = (Merge(path, change), *pointer)
    if order_path is None or order is None:
        return Decision("applied", effects, "the order is not known yet", letters)
    after = given_back(without_refunds(order["status"]), payment | change)
    return Decision("applied", (*effects, Merge(order_path, after)), letters=letters)


def _customer_path(order_path: str | None, told: _Refunded | None) -> str | None:
    """Who is to be told: the customer whose order it is, else whoever the charge names."""
    if told is None:
        return None
    if order_path:
        return order_path.partition("/orders/")[0]
    return paths.customer(told.payer.customer) if told.payer.customer else None
