"""Stripe's events and objects in one shape: the only place that knows API versions and thin notifications."""

from functions.stripe_events.billing import Invoice, PaymentMethod, Subscription, SubscriptionItem
from functions.stripe_events.event import StripeEvent, event_of, parse, seen
from functions.stripe_events.objects import Charge, CheckoutSession, Customer, Dispute, LineItem, Payer, Refund
from functions.stripe_events.payment_intents import NextAction

__all__ = [
    "Charge",
    "CheckoutSession",
    "Customer",
    "Dispute",
    "Invoice",
    "LineItem",
    "NextAction",
    "Payer",
    "PaymentMethod",
    "Refund",
    "StripeEvent",
    "Subscription",
    "SubscriptionItem",
    "event_of",
    "parse",
    "seen",
]
