"""Keeps `customers/{c}/payment_methods/{pm}`: enough to say which card it is and when it expires."""

from dataclasses import asdict

from functions import paths
from functions.as_of import Verdict, judge, stamp, whole
from functions.effects import Decision, Json, Put, Reaction, fetch, read
from functions.errors import Malformed
from functions.reminders import rules
from functions.settings.subscriber import SubscriberSettings
from functions.stripe_events import PaymentMethod, StripeEvent, event_of
from functions.stripe_events.fields import reference


def react(event: StripeEvent, settings: SubscriberSettings) -> Reaction:
    """React to a payment method, or to a card of the older Sources API that is about to expire."""
    if event.type == "payment_method.detached":
        return (yield from _detached(event, settings))
    event, method = yield from whole(event, "payment_method", PaymentMethod.of)
    if method.customer is None:
        # Thin: it was detached meanwhile, which has an event of its own. Snapshot: it never had a customer.
        return Decision("ignored", reason="a payment method without a customer belongs to nobody here")
    return (yield from _store(event, method, method.customer, settings))


def _detached(event: StripeEvent, settings: SubscriberSettings) -> Reaction:
    """Only what was before says from whom it was detached, and only a snapshot says what was before."""
    if event.is_thin and event.snapshot_event:
        event = event_of((yield from fetch("event", event.snapshot_event)))
    customer = reference(event.previous_attributes, "customer")
    if customer is None:
        raise Malformed("payment_method.detached has no previous_attributes.customer")
    method = PaymentMethod.of(event.snapshot())
    return (yield from _store(event, method, customer, settings, detached=True))


def _store(
    event: StripeEvent, method: PaymentMethod, customer: str, settings: SubscriberSettings, *, detached: bool = False
) -> Reaction:
    path = paths.payment_method(customer, method.id)
    stored = (yield from read(path))[path]
    verdict = judge(event, stored)
    if verdict is Verdict.DUPLICATE:
        return Decision("duplicate")
    # What was detached cannot be attached again: https://docs.stripe.com/api/payment_methods/detach.
    is_detached = stored is not None and stored["detached"]
    if (is_detached and not detached) or (verdict is Verdict.STALE and (is_detached or not detached)):
        return Decision("stale")
    if verdict is Verdict.FETCH and not detached:
        method = PaymentMethod.of((yield from fetch("payment_method", method.id)))
        detached = method.customer is None
    kept = _GONE | {"id": method.id, "type": method.type} if detached else asdict(method)
    fields: Json = kept | {"customer": customer, "detached": detached, "livemode": event.livemode}
    fields |= stamp(event, stored) | {"mails": (stored or {}).get("mails", [])}
    fields |= rules.fields(rules.schedule_payment_method(fields, settings.reminders))
    return Decision("applied", (Put(path, fields),))


#: Of a card that is no longer the customer's nothing is kept but that there was one.
_GONE: Json = dict.fromkeys(("brand", "last4", "exp_month", "exp_year", "created"))
