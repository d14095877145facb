"""Keeps `customers/{c}/orders/{cs}`: what was really bought, whether it is paid, and what was given back.

An order learns from two sides that know nothing of each other: the Checkout Session, and the charge with its refunds
and disputes. They meet in `payments/{pi}`, whichever comes first. A subscription's session has no payment intent, only
an invoice: there they meet in `payments/{in}`, and `payments/{pi}` says which invoice that is.
"""

from functions.effects import Reaction
from functions.reactions.record_orders import given_back, sessions
from functions.settings.subscriber import SubscriberSettings
from functions.stripe_events import StripeEvent


def react(event: StripeEvent, settings: SubscriberSettings) -> Reaction:
    """React to Checkout Sessions, refunds and disputes."""
    if event.type.startswith("checkout.session."):
        return sessions.react(event, settings)
    if event.type.startswith("charge.dispute."):
        return given_back.dispute_changed(event)
    return given_back.refunds_changed(event)
