"""What Stripe could not deliver, found in its list of events and published once more the way the webhook does it."""
