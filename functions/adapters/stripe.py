"""Stripe's API through its official client, as plain JSON and with retries that are said out loud."""

import json
import random
from typing import Any
from urllib.parse import quote

import stripe

from functions.clock import Clock
from functions.effects import Fetch, Json
from functions.errors import Permanent, Retry
from functions.stripe_events import StripeEvent

TIMEOUT_SECONDS = 10
#: After a timeout, a dropped connection, a 5xx or a 409. The client itself retries nothing unless told.
MAX_RETRIES = 2
_PATHS = {
    "customer": "/v1/customers/{id}",
    "checkout.session": "/v1/checkout/sessions/{id}",
    "line_items": "/v1/checkout/sessions/{id}/line_items",
    "unpaid_session": "/v1/checkout/sessions/{id}",
    "charge": "/v1/charges/{id}",
    "refund": "/v1/refunds/{id}",
    "dispute": "/v1/disputes/{id}",
    "subscription": "/v1/subscriptions/{id}",
    "subscription_items": "/v1/subscription_items",
    "invoice": "/v1/invoices/{id}",
    "invoice_payments": "/v1/invoice_payments",
    "payment_method": "/v1/payment_methods/{id}",
    "prices": "/v1/prices",
    "event": "/v1/events/{id}",
}
_PAGE = 100
#: What a price leaves out unless asked for.
_WHOLE_PRICES = ["data.tiers", "data.currency_options"]


class StripeApi:
    """`functions.subscriber.Stripe` on the official client.

    Raw responses, because the client's objects hold Decimals where webhooks have JSON: a fetched object and a
    delivered one read the same. `base` None is api.stripe.com.
    """

    def __init__(self, api_key: str, base: str | None, clock: Clock) -> None:
        self._clock = clock
        self._client = stripe.StripeClient(
            api_key,
            base_addresses={"api": base} if base else {},
            max_network_retries=MAX_RETRIES,
            http_client=stripe.RequestsClient(timeout=TIMEOUT_SECONDS),
        )

    def fetch(self, request: Fetch, event: StripeEvent | None) -> Json:
        """An object as it is now, of the account the event came from (None: the key's own); of a list, every page.

        Raises Retry where Stripe may answer later, Permanent where it never will.
        """
        path = _PATHS[request.kind].format(id=quote(request.id, safe=""))
        if request.kind == "line_items":
            return self._list(path, {}, event)
        if request.kind == "subscription_items":
            return self._list(path, {"subscription": request.id}, event)
        if request.kind == "invoice_payments":
            of_the_intent = {"type": "payment_intent", "payment_intent": request.id}
            return self._list(path, {"payment": of_the_intent}, event)
        if request.kind == "prices":
            return self._list(path, {"product": request.id, "expand": _WHOLE_PRICES}, event)
        if request.kind == "unpaid_session":
            return self._unpaid_session(path, event)
        return self._get(path, {}, event)

    def _unpaid_session(self, path: str, event: StripeEvent | None) -> Json:
        """With its payment intent, where the key may read one: an order does not wait for what its mail would say."""
        try:
            return self._get(path, {"expand": ["payment_intent", "line_items"]}, event)
        except _Denied:
            return self._get(path, {"expand": ["line_items"]}, event)

    def _list(self, path: str, filters: dict[str, Any], event: StripeEvent | None) -> Json:
        """Every page of a list, in one."""
        found: list[Json] = []
        while True:
            cursor = {"starting_after": found[-1]["id"]} if found else {}
            page = self._get(path, {"limit": _PAGE, **filters, **cursor}, event)
            found += page["data"]
            if not page["has_more"]:
                return {"object": "list", "data": found}

    def _get(self, path: str, parameters: dict[str, Any], event: StripeEvent | None) -> Json:
        options: dict[str, Any] = {}
        if event and event.account:
            options = {"stripe_context" if event.is_thin else "stripe_account": event.account}
        attempt = 0
        while True:
            try:
                response = self._client.raw_request("get", path, **parameters, **options)
            except stripe.RateLimitError as error:
                # The client leaves 429 alone. A short pause, then Pub/Sub's longer one.
                if attempt == MAX_RETRIES or _header(error, "stripe-should-retry") == "false":
                    raise Retry("Stripe limits our rate") from error
                self._clock.sleep(2**attempt * random.uniform(0.25, 0.5))  # noqa: S311 spreads load, keeps no secret
                attempt += 1
            except stripe.PermissionError as error:
                # A too narrow key is mended by an operator, and the event then succeeds.
                raise _Denied(f"Stripe: {type(error).__name__} for GET {path}") from error
            except (stripe.APIConnectionError, stripe.AuthenticationError) as error:
                # So is a wrong one.
                raise Retry(f"Stripe: {type(error).__name__} for GET {path}") from error
            except stripe.InvalidRequestError as error:
                raise Permanent(
                    f"Stripe has nothing at GET {path} ({error.code}): is STRIPE_API_KEY of the account and mode that "
                    "sent the event?"
                ) from error
            except stripe.StripeError as error:
                raise Retry(f"Stripe answered {error.http_status} to GET {path}") from error
            else:
                answer: Json = json.loads(response.body)
                return answer


class _Denied(Retry):
    """The key may not read that."""


def _header(error: stripe.StripeError, name: str) -> str | None:
    value: str | None = (error.headers or {}).get(name)
    return value
