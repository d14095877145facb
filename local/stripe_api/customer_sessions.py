"""POST /v1/customer_sessions: what lets a pricing table on a page know its customer.

https://docs.stripe.com/api/customer_sessions/create
"""

import secrets
import threading
import time
from typing import Any

from local.stripe_api.endpoints import Answer, Query
from local.stripe_api.errors import StripeError, resource_missing
from local.stripe_api.parameters import Parameters
from local.stripe_api.store import Store

LIFETIME_SECONDS = 30 * 60
#: Those whose only setting is whether they are there. With the others come features, which nothing here asks for.
COMPONENTS = ("active_entitlements", "buy_button", "customer_portal", "pricing_table")


class CustomerSessions:
    """Those that were created. At Stripe nobody can retrieve them again; here whoever holds the server can."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._created: list[Answer] = []

    def create(self, store: Store, form: Query) -> Answer:
        """Validate as Stripe does, and answer a session for half an hour. Raises StripeError."""
        names = {f"components[{name}][enabled]": name for name in COMPONENTS}
        parameters = Parameters.of(form, {"customer", *names})
        if "customer" not in parameters.values:
            raise _missing("customer")
        if not names.keys() & parameters.values.keys():
            raise _missing("components")
        enabled = {name: bool(parameters.boolean(parameter)) for parameter, name in names.items()}
        if not any(enabled.values()):
            # What Stripe's own words for it are is not documented.
            raise StripeError(400, "At least one component must be enabled.", param="components")
        customer = store.get(parameters.values["customer"])
        if customer is None or customer["object"] != "customer" or customer.get("deleted"):
            raise resource_missing("customer", parameters.values["customer"], "customer", status=400)
        now = int(time.time())
        created: dict[str, Any] = {
            "object": "customer_session",
            "client_secret": f"cuss_secret_{secrets.token_urlsafe(24)}",
            "components": {name: {"enabled": is_enabled} for name, is_enabled in enabled.items()},
            "created": now,
            "customer": customer["id"],
            "customer_account": None,
            "expires_at": now + LIFETIME_SECONDS,
            "livemode": bool(customer.get("livemode")),
        }
        with self._lock:
            self._created.append(created)
        return _expanded(created, parameters.expand, customer)

    def all(self) -> list[Answer]:
        """Copies of them, in the order they were created."""
        with self._lock:
            return [session.copy() for session in self._created]

    def clear(self) -> None:
        """Forget them."""
        with self._lock:
            self._created.clear()


def _expanded(created: Answer, paths: list[str], customer: Answer) -> Answer:
    for path in paths:
        if path != "customer":
            raise StripeError(400, f"This property cannot be expanded ({path}).")
        created = {**created, "customer": customer}
    return created


def _missing(name: str) -> StripeError:
    return StripeError(400, f"Missing required param: {name}.", code="parameter_missing", param=name)
