"""Follows subscriptions, their invoices and the payment methods behind them."""

from functions.effects import Reaction
from functions.reactions.track_subscriptions import invoices, payment_methods, subscriptions
from functions.settings.subscriber import SubscriberSettings
from functions.stripe_events import StripeEvent


def react(event: StripeEvent, settings: SubscriberSettings) -> Reaction:
    """React to `customer.subscription.*`, `invoice.*`, `payment_method.*` and `customer.source.expiring`."""
    if event.type.startswith("customer.subscription."):
        return subscriptions.react(event, settings)
    if event.type.startswith("invoice."):
        return invoices.react(event, settings)
    return payment_methods.react(event, settings)
