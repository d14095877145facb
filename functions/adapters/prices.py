"""What reminders ask of Stripe: prices, kept in Firestore for a day, and customers we have not met."""

import json
from collections.abc import Sequence
from contextlib import suppress

from google.cloud.firestore import Client

from functions import paths
from functions.adapters.firestore import FirestoreStore
from functions.adapters.stripe import StripeApi
from functions.clock import Clock
from functions.effects import Fetch, Json, Put
from functions.errors import Conflict
from functions.letters import Reader
from functions.mail import compose
from functions.stripe_events import Customer

#: A yearly offer is made once a year: a price of yesterday is young enough.
FRESH_SECONDS = 86_400
#: A product with more prices than a document holds is asked for each time.
_MOST_CHARACTERS = 900_000


class StripePrices:
    """`functions.reminders.sender.Stripe` on the official clients."""

    def __init__(self, stripe: StripeApi, client: Client, clock: Clock) -> None:
        self._stripe = stripe
        self._store = FirestoreStore(client)
        self._clock = clock

    def customer(self, customer: str) -> Reader:
        """Who is to be written to, where we have not met them. Raises Retry or Permanent."""
        return compose.fetched_reader(Customer.of(self._stripe.fetch(Fetch("customer", customer), None)))

    def prices(self, products: Sequence[str]) -> list[Json]:
        """Every price of these products. Raises Retry or Permanent."""
        return [price for product in products for price in self._prices_of(product)]

    def _prices_of(self, product: str) -> list[Json]:
        path, now = paths.prices(product), self._clock.now()
        stored = self._store.read([path])[path].fields
        if stored and now - stored["fetched_at"] < FRESH_SECONDS:
            kept: list[Json] = json.loads(stored["prices"])
            return kept
        fetched: list[Json] = self._stripe.fetch(Fetch("prices", product), None)["data"]
        # As a text: nobody asks Firestore for a part of it, and it takes no lists within lists.
        text = json.dumps(fetched, separators=(",", ":"))
        if len(text.encode()) < _MOST_CHARACTERS:
            # Somebody else keeping it at the same moment keeps the same.
            with suppress(Conflict):
                self._store.commit([Put(path, {"prices": text, "fetched_at": now})], {})
        return fetched
