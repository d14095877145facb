"""Stripe's API with a slot of the shared budget taken before each call: others have room beside a back-fill."""

from dataclasses import dataclass
from typing import Any, Protocol

from functions.effects import Fetch, Json
from functions.operations.lists import Stripe
from functions.stripe_events import StripeEvent

#: How long one call waits for its slot. Somebody who is waited for stands behind one call of each thread, and no more.
PATIENCE_SECONDS = 60.0


class Budget(Protocol):
    """What all instances may ask of Stripe together."""

    def take(self, patience_seconds: float) -> None:
        """Wait for a slot. Raises Retry where none becomes free in that time."""


@dataclass(frozen=True, slots=True)
class Budgeted:
    """`functions.operations.lists.Stripe`, and so the `Stripe` of every Subscriber, within a budget.

    One slot for each page and each object. A fetch of more than one page (a session of more than 100 lines) takes one.
    """

    stripe: Stripe
    budget: Budget

    def page(self, path: str, filters: dict[str, Any], after: str | None) -> tuple[list[Json], bool]:
        """Up to 100 objects of a list after that id, and whether there are more. Raises Retry or Permanent."""
        self.budget.take(PATIENCE_SECONDS)
        return self.stripe.page(path, filters, after)

    def fetch(self, request: Fetch, event: StripeEvent | None) -> Json:
        """An object as it is now. Raises Retry or Permanent."""
        self.budget.take(PATIENCE_SECONDS)
        return self.stripe.fetch(request, event)
