"""A local stand-in for api.stripe.com: serves the objects it was given, in Stripe's shapes, with Stripe's errors.

It reads and never decides: nothing here computes a total. What it serves is what was put in, so payloads captured from
Stripe come out unchanged. Everything that Stripe would refuse, it refuses. All that it creates is customer sessions,
which belong to a page and not to the account.

Control, without a key; the leading underscore cannot collide with Stripe:

    PUT    /_objects   a JSON list of Stripe objects, each replacing the one with its id
    DELETE /_objects
    PUT    /_faults    a JSON list of faults (see faults.py), replacing all earlier ones
    DELETE /_faults
    GET    /_requests  every request so far, oldest first
    DELETE /_requests
"""

from local.stripe_api.journal import RecordedRequest
from local.stripe_api.server import StripeApi

__all__ = ["RecordedRequest", "StripeApi"]
