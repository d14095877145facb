"""Stripe's API through its official client, as plain JSON and with retries that are said out loud."""

import json
import random
from typing import Any
from urllib.parse import quote

import stripe

from functions.clock import Clock
from functions.effects import Fetch, Json
from functions.errors import Missing, Permanent, Retry
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
    delivered one read the same. `base` None is api.stripe.com. Without `retries` a call is one request, for callers
    that count requests and try again by themselves.
    """

    def __init__(self, api_key: str, base: str | None, clock: Clock, *, retries: int = MAX_RETRIES) -> None:
        self._clock = clock
        self._retries = retries
        self._client = stripe.StripeClient(
            api_key,
            base_addresses={"api": base} if base else {},
            max_network_retries=retries,
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

    def customers_with_email(self, email: str) -> list[Json]:
        """The Customers with exactly this address, as it is spelled. Raises Retry or Permanent."""
        found: list[Json] = self._list("/v1/customers", {"email": email}, None)["data"]
        return found

    def customers_of_user(self, key: str, user_id: str) -> list[Json]:
        """The Customers whose metadata name this user. What is a minute old is not found yet.

        Raises Retry or Permanent. Source: https://docs.stripe.com/search#metadata.
        """
        found: list[Json] = []
        parameters: dict[str, Any] = {"limit": _PAGE, "query": f"metadata[{_quoted(key)}]:{_quoted(user_id)}"}
        while True:
            page = self._get("/v1/customers/search", parameters, None)
            # Stripe's search ignores case, and two users may differ in nothing else.
            found += [each for each in page["data"] if (each.get("metadata") or {}).get(key) == user_id]
            if not page["has_more"]:
                return found
            parameters["page"] = page["next_page"]

    def page(self, path: str, filters: dict[str, Any], after: str | None) -> tuple[list[Json], bool]:
        """Up to 100 objects of a list after that id, newest first, and whether there are more.

        Raises Retry or Permanent. Source: https://docs.stripe.com/api/pagination.
        """
        cursor = {"starting_after": after} if after else {}
        page = self._get(path, {"limit": _PAGE, **filters, **cursor}, None)
        return page["data"], page["has_more"]

    def customer_session(self, customer: str) -> str:
        """The secret with which one pricing table on one page knows its customer, for half an hour.

        Raises Retry or Permanent. Source: https://docs.stripe.com/api/customer_sessions/create.
        """
        parameters = {"customer": customer, "components": {"pricing_table": {"enabled": True}}}
        secret: str = self._ask("post", "/v1/customer_sessions", parameters, None)["client_secret"]
        return secret

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
        return self._ask("get", path, parameters, event)

    def _ask(self, method: str, path: str, parameters: dict[str, Any], event: StripeEvent | None) -> Json:
        options: dict[str, Any] = {}
        if event and event.account:
            options = {"stripe_context" if event.is_thin else "stripe_account": event.account}
        attempt = 0
        while True:
            try:
                response = self._client.raw_request(method, path, **parameters, **options)
            except stripe.RateLimitError as error:
                # The client leaves 429 alone. A short pause, then Pub/Sub's longer one.
                if attempt == self._retries or _header(error, "stripe-should-retry") == "false":
                    raise Retry("Stripe limits our rate") from error
                self._clock.sleep(2**attempt * random.uniform(0.25, 0.5))  # noqa: S311 spreads load, keeps no secret
                attempt += 1
            except stripe.PermissionError as error:
                # A too narrow key is mended by an operator, and the event then succeeds.
                raise _Denied(f"Stripe: {type(error).__name__} for {method.upper()} {path}") from error
            except (stripe.APIConnectionError, stripe.AuthenticationError) as error:
                # So is a wrong one.
                raise Retry(f"Stripe: {type(error).__name__} for {method.upper()} {path}") from error
            except stripe.InvalidRequestError as error:
                kind = Missing if error.code == "resource_missing" else Permanent
                raise kind(
                    f"Stripe has nothing at {method.upper()} {path} ({error.code}): is STRIPE_API_KEY of the account "
                    "and mode that sent the event?"
                ) from error
            except stripe.StripeError as error:
                raise Retry(f"Stripe answered {error.http_status} to {method.upper()} {path}") from error
            else:
                answer: Json = json.loads(response.body)
                return answer


class _Denied(Retry):
    """The key may not read that."""


def _header(error: stripe.StripeError, name: str) -> str | None:
    value: str | None = (error.headers or {}).get(name)
    return value


def _quoted(text: str) -> str:
    """A text in a search query, which it cannot leave: https://docs.stripe.com/search#search-syntax."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
