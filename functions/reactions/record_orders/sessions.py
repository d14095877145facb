"""What a Checkout Session makes of an order: its lines, its status, and what the buyer and support are told of it."""

from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from functions import paths
from functions.as_of import Verdict, judge, nothing_to_do, stamp, whole
from functions.effects import Decision, Effect, Json, Merge, Put, Reaction, Request, fetch, read
from functions.errors import Permanent
from functions.letters import Facts, Letter
from functions.mail import compose
from functions.mail.facts import CartRecovery, OrderFailed, OrderPaid, OrderPending
from functions.marketing import consent
from functions.marketing.addresses import may_be_offered_at
from functions.reactions.record_orders.status import Status, forward, given_back, without_refunds
from functions.reminders.offers import may_offer
from functions.settings.subscriber import SubscriberSettings
from functions.stripe_events import CheckoutSession, LineItem, NextAction, StripeEvent
from functions.stripe_events.fields import list_of, mapping


def react(event: StripeEvent, settings: SubscriberSettings) -> Reaction:
    """React to a Checkout Session that was completed, paid later, not paid, or expired."""
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

    before = without_refunds(stored["status"]) if stored else None
    status = forward(before or "pending", event, session)
    unpaid: _Unpaid | None = None
    if stored is not None:
        lines = stored["line_items"]
    elif status == "pending":
        unpaid = yield from _unpaid(session)
        lines = unpaid.lines
    else:
        lines = yield from _lines(session)
    order: Json = {
        "id": session.id,
        "customer": customer,
        "user_id": user_id,
        "client_reference_id": session.client_reference_id,
        "customer_email": session.email,
        "locale": session.locale,
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
        **given_back(status, payment),
        **stamp(event, stored),
    }
    effects: tuple[Effect, ...] = (Put(order_path, order),)
    if payment_path and (payment or {}).get("order") != order_path:
        effects += (Merge(payment_path, {"order": order_path}),)
    facts = _facts(status, session, order, unpaid) if status != before else None
    if isinstance(facts, CartRecovery):
        return (yield from _offer(event, session, order, facts, effects=effects, settings=settings))
    letters = yield from _letters(event, session, order, facts)
    return Decision("applied", effects, letters=letters)


def _lines(session: CheckoutSession) -> Generator[Request, Any, list[Json]]:
    return [asdict(LineItem.of(line)) for line in (yield from fetch("line_items", session.id))["data"]]


@dataclass(frozen=True, slots=True)
class _Unpaid:
    """A session that waits for its payment, as Stripe shows it."""

    lines: list[Json]
    #: What the buyer has to do.
    action: NextAction | None = None
    #: The money came while its event is still on the way to us.
    is_paid_meanwhile: bool = False


def _unpaid(session: CheckoutSession) -> Generator[Request, Any, _Unpaid]:
    """The lines, and what the buyer has to do to pay: one call for both, and another one beyond ten lines.

    Nothing in the event says where and until when a konbini or a bank takes the money; the payment intent does. An
    order is recorded without it, too.
    """
    try:
        found = yield from fetch("unpaid_session", session.id)
        intent, listed = found.get("payment_intent"), mapping(found, "line_items")
        action = NextAction.of(intent) if isinstance(intent, Mapping) else None
        is_complete = "data" in listed and not listed.get("has_more")
        lines = [asdict(LineItem.of(line)) for line in list_of(found, "line_items")] if is_complete else None
    except Permanent:
        return _Unpaid((yield from _lines(session)))
    if lines is None:
        lines = yield from _lines(session)
    return _Unpaid(lines, action, is_paid_meanwhile=found.get("payment_status") == "paid")


def _letters(
    event: StripeEvent, session: CheckoutSession, order: Json, facts: Facts | None
) -> Generator[Request, Any, tuple[Letter, ...]]:
    """What is to be said, to whoever bought."""
    if facts is None:
        return ()
    path = paths.customer(order["customer"])
    customer = (yield from read(path))[path] if session.customer else None
    return (
        Letter(
            facts=facts,
            reader=compose.buyer(session, customer),
            origin=compose.origin(event, order["customer"], order["user_id"] or (customer or {}).get("user_id")),
            since=event.created,
        ),
    )


def _offer(
    event: StripeEvent,
    session: CheckoutSession,
    order: Json,
    facts: CartRecovery,
    *,
    effects: tuple[Effect, ...],
    settings: SubscriberSettings,
) -> Reaction:
    """A cart that was left is offered again, unless its owner has refused offers since, or had one lately."""
    path, address = paths.customer(order["customer"]), paths.address(session.email)
    documents = yield from read(path, *address)
    customer = documents[path] or {}
    # The box on the page says yes to this one, whatever was said before it was ticked.
    marketing = consent.settle(customer.get("marketing"), _ticked(session, event))
    refused = may_offer({**customer, "marketing": marketing}, settings.reminders, event.created)
    for each in address:
        pause = settings.reminders.offer_pause_days
        refused = refused or may_be_offered_at(documents[each], marketing, pause, event.created)
    if refused:
        return Decision("applied", effects, f"no offer of the cart: {refused}")
    letters = yield from _letters(event, session, order, facts)
    offered = tuple(Merge(each, {"offered_at": event.created}) for each in (*address, *([path] if customer else [])))
    return Decision("applied", effects, letters=letters, with_mail=offered)


def _ticked(session: CheckoutSession, event: StripeEvent) -> consent.Statement | None:
    return consent.said_at_checkout(session, session.created or event.created)


def _facts(status: Status, session: CheckoutSession, order: Json, unpaid: _Unpaid | None) -> Facts | None:
    """What there is to say of an order that has just become so. It becomes so only once."""
    told = compose.order(order)
    match status:
        case "paid":
            return OrderPaid(order=told)
        case "failed":
            return OrderFailed(order=told)
        case "pending" if unpaid and not unpaid.is_paid_meanwhile:
            return OrderPending(order=told, instructions=compose.instructions(unpaid.action))
        case "expired" if session.promotions == "opt_in" and session.recovery_url:
            return CartRecovery(order=told, recovery_url=session.recovery_url, expires_at=session.recovery_expires_at)
    return None


def _paid_at(event: StripeEvent, status: Status, stored: Json | None) -> int | None:
    """When the order became paid, in epoch seconds: a delayed payment's own event says it better than any other."""
    if status != "paid":
        return None
    if event.type == "checkout.session.async_payment_succeeded" or not stored or not stored["paid_at"]:
        return event.created
    paid_at: int = stored["paid_at"]
    return paid_at
