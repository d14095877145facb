"""Links to Stripe's Dashboard, in the mode and the account where an object lives."""

from urllib.parse import quote

from functions import paths
from functions.letters import Origin

_BASE = "https://dashboard.stripe.com"


class Links:
    """The pages support looks at: https://docs.stripe.com/dashboard/basics. No page for what has no id."""

    def __init__(self, origin: Origin) -> None:
        account = f"/{quote(origin.account, safe='')}" if origin.account else ""
        self._root = f"{_BASE}{account}" if origin.livemode else f"{_BASE}{account}/test"

    def customer(self, customer: str | None) -> str | None:
        """A Customer; guests have no page at Stripe."""
        return None if customer is None or paths.is_guest(customer) else self._page("customers", customer)

    def payment(self, payment_intent: str | None) -> str | None:
        """A payment."""
        return self._page("payments", payment_intent)

    def subscription(self, stripe_subscription: str | None) -> str | None:
        """A subscription."""
        return self._page("subscriptions", stripe_subscription)

    def invoice(self, invoice: str | None) -> str | None:
        """An invoice."""
        return self._page("invoices", invoice)

    def event(self, event: str | None) -> str | None:
        """An event with its payload and deliveries."""
        return self._page("events", event)

    def _page(self, kind: str, object_id: str | None) -> str | None:
        return f"{self._root}/{kind}/{quote(object_id, safe='')}" if object_id else None
