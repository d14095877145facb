"""Families of Stripe's event types that more than one row of the topology listens to."""

#: Finer notifications without a snapshot form: with them, no `customer.subscription.updated` says the same.
ONLY_THIN = frozenset(
    f"customer.subscription.{what}"
    for what in (
        *("active", "incomplete", "incomplete_expired", "past_due", "trialing", "unpaid"),
        *("cancel_at_changed", "default_payment_method_changed"),
        *("item_added", "item_removed", "item_price_changed", "item_quantity_changed"),
    )
)

SUBSCRIPTION_TYPES = (
    *(
        f"customer.subscription.{what}"
        for what in (
            *("created", "updated", "deleted", "paused", "resumed", "trial_will_end"),
            *("pending_update_applied", "pending_update_expired"),
        )
    ),
    *sorted(ONLY_THIN),
)
