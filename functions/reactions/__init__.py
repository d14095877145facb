"""Reactions to Stripe's events, one file per concern: pure generators from an event to effects."""
