"""From stored documents and Stripe's objects to the facts of a mail. Pure, and the same for every reaction."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from functions.letters import Origin, Reader
from functions.mail.facts import Instructions, Invoice, Line, Order, Plan, Store
from functions.stripe_events import CheckoutSession, Customer, NextAction, StripeEvent


def origin(event: StripeEvent, customer: str | None, user_id: str | None = None) -> Origin:
    """Where the fact of this event is at home."""
    return Origin(customer=customer, user_id=user_id, livemode=event.livemode, account=event.account, event=event.id)


def customer_reader(customer: Mapping[str, Any]) -> Reader:
    """The person behind `customers/{c}`."""
    return Reader(email=customer.get("email"), name=customer.get("name"), locales=(customer.get("locale"),))


def fetched_reader(customer: Customer) -> Reader:
    """The person behind a Customer that no document knows yet."""
    return Reader(email=customer.email, name=customer.name, locales=(customer.locale,))


def buyer(session: CheckoutSession, customer: Mapping[str, Any] | None) -> Reader:
    """Who bought, at the address typed there; the language is the Customer's where one is known, else the page's."""
    return Reader(email=session.email, name=session.name, locales=((customer or {}).get("locale"), session.locale))


def order(stored: Mapping[str, Any]) -> Order:
    """`customers/{c}/orders/{cs}` as a mail tells it."""
    details = stored["total_details"]
    return Order(
        session=stored["id"],
        mode=stored["mode"],
        created=stored["created"],
        currency=stored["currency"],
        lines=tuple(
            Line(description=line["description"], quantity=line["quantity"], amount_total=line["amount_total"])
            for line in stored["line_items"]
        ),
        amount_subtotal=stored["amount_subtotal"],
        amount_discount=details["amount_discount"],
        amount_shipping=details["amount_shipping"],
        amount_tax=details["amount_tax"],
        # Without a currency an amount is just a number, which nobody should read as money.
        amount_total=stored["amount_total"] if stored["currency"] else None,
        payment_intent=stored["payment_intent"],
        subscription=stored["subscription"],
        invoice=stored["invoice"],
    )


def instructions(action: NextAction | None) -> Instructions | None:
    """How to pay what is not paid yet, where Stripe says it."""
    if action is None:
        return None
    kinds: dict[str, Literal["konbini", "bank_transfer"]] = {
        "konbini_display_details": "konbini",
        "display_bank_transfer_instructions": "bank_transfer",
    }
    return Instructions(
        kind=kinds.get(action.type, "voucher"),
        expires_at=action.expires_at,
        hosted_url=action.hosted_url,
        stores=tuple(
            Store(chain=store.chain, payment_code=store.payment_code, confirmation_number=store.confirmation_number)
            for store in action.stores
        ),
        amount_remaining=action.amount_remaining,
        reference=action.reference,
        account=action.account,
    )


def invoice(stored: Mapping[str, Any]) -> Invoice:
    """`customers/{c}/invoices/{in}` as a mail tells it: what is still to be paid."""
    remaining = stored["amount_remaining"]
    return Invoice(
        id=stored["id"],
        number=stored["number"],
        subscription=stored["subscription"],
        amount=stored["amount_due"] if remaining is None else remaining,
        currency=stored["currency"],
        hosted_invoice_url=stored["hosted_invoice_url"],
    )


def plan(items: Sequence[Mapping[str, Any]], currency: str | None) -> Plan:
    """What the items of a subscription cost together, where each has a price and all renew in one rhythm.

    An item shows the amount in its price's own currency, though the subscription may be paid in another one, of which
    nothing is known here.
    """
    rhythms = {(item["interval"], item["interval_count"] or 1, item["currency"]) for item in items}
    costs = [(item["unit_amount"], item["quantity"]) for item in items]
    if len(rhythms) != 1 or any(amount is None or quantity is None for amount, quantity in costs):
        return _UNKNOWN
    [(interval, interval_count, priced_in)] = rhythms
    if interval is None or priced_in is None or currency not in {None, priced_in}:
        return _UNKNOWN
    amount = sum(amount * quantity for amount, quantity in costs)
    return Plan(amount=amount, currency=priced_in, interval=interval, interval_count=interval_count)


_UNKNOWN = Plan(amount=None, currency=None, interval=None, interval_count=None)
