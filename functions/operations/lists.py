"""THE table of what a back-fill reads: Stripe's lists, in order, and what event would have said each object.

`at` is in epoch seconds: the time of the request by our clock, less a margin. What happens afterwards has events of its
own, and those count as newer.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from functions import paths
from functions.effects import Fetch, Json
from functions.errors import Permanent
from functions.stripe_events import CheckoutSession, StripeEvent, seen

#: How far our clock may be ahead of Stripe's without an object counting as newer than it is.
BEHIND_SECONDS = 60
#: What a payment intent says whose delayed payment did not come: https://docs.stripe.com/payments/paymentintents/lifecycle.
_GIVEN_UP = {"requires_payment_method", "canceled"}
#: https://docs.stripe.com/api/disputes/object#dispute_object-status; any other one is still open.
_DECIDED = {"won", "lost", "warning_closed", "charge_refunded", "prevented"}
#: An open invoice is `finalized`, however often its payment has failed: nothing here says when it did, and the days
#: after which its reader is reminded would begin today. The next attempt has an event of its own.
_INVOICES = {
    "draft": "invoice.created",
    "paid": "invoice.paid",
    "void": "invoice.voided",
    "uncollectible": "invoice.marked_uncollectible",
}


class Stripe(Protocol):
    """What a back-fill asks Stripe."""

    def page(self, path: str, filters: dict[str, Any], after: str | None) -> tuple[list[Json], bool]:
        """Up to 100 objects of a list after that id, newest first, and whether there are more.

        Raises Retry or Permanent.
        """

    def fetch(self, request: Fetch, event: StripeEvent | None) -> Json:
        """An object as it is now. Raises Retry or Permanent."""


Says = Callable[[Json, int, Stripe], Iterator[StripeEvent]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One list of Stripe's."""

    name: str
    path: str
    #: The events that say of one object how it is now. Raises Permanent, and Retry where it has to ask.
    says: Says
    filters: Mapping[str, str] = field(default_factory=dict)
    #: Of a list inside each object of the list at `path`: where, with `{id}`.
    inside: str | None = None
    #: Whether an object of the list says anything here.
    concerns: Callable[[Json], bool] = lambda _: True
    #: The documents that its reactions read first, where one read for a whole page saves many; with USER_ID_KEY.
    ahead: Callable[[Json, str], Iterable[str]] = lambda _, __: ()


def _customer(found: Json, at: int, _: Stripe) -> Iterator[StripeEvent]:
    """`updated`, not `created`: it dates neither the consent nor the welcome of somebody who has long been here."""
    yield _seen("customer.updated", found, at)


def _of_customer(found: Json, user_id_key: str) -> Iterable[str]:
    email, metadata = found.get("email"), found.get("metadata")
    user_id = metadata.get(user_id_key) if isinstance(metadata, Mapping) else None
    yield paths.customer(str(found.get("id")))
    yield from paths.index_of_email(email if isinstance(email, str) else None)
    yield from paths.index_of_user(user_id if isinstance(user_id, str) else None)


def _payment_method(found: Json, at: int, _: Stripe) -> Iterator[StripeEvent]:
    yield _seen("payment_method.attached", found, at)


def _subscription(found: Json, at: int, _: Stripe) -> Iterator[StripeEvent]:
    """`updated` whatever its status: the reaction goes by the status, and nobody looks for an account for it again."""
    yield _seen("customer.subscription.updated", found, at)


def _invoice(found: Json, at: int, _: Stripe) -> Iterator[StripeEvent]:
    yield _seen(_INVOICES.get(str(found.get("status")), "invoice.finalized"), found, at)


def _session(found: Json, _: int, stripe: Stripe) -> Iterator[StripeEvent]:
    """As old as the session itself, so that of several users who bought for one customer the first holds.

    A session does not say that its delayed payment has failed; its payment intent does.
    """
    created = found.get("created")
    at = created if isinstance(created, int) else 0
    yield _seen("checkout.session.completed", found, at)
    if found.get("payment_status") == "unpaid" and _is_given_up(found, stripe):
        yield _seen("checkout.session.async_payment_failed", found, at + 1)


def _is_given_up(session: Json, stripe: Stripe) -> bool:
    try:
        intent = stripe.fetch(Fetch("unpaid_session", str(session.get("id"))), None).get("payment_intent")
    except Permanent:
        return False
    return isinstance(intent, Mapping) and intent.get("status") in _GIVEN_UP


def _charge(found: Json, at: int, _: Stripe) -> Iterator[StripeEvent]:
    yield _seen("charge.refunded", found, at)


def _is_refunded(charge: Json) -> bool:
    return bool(charge.get("amount_refunded"))


def _dispute(found: Json, at: int, _: Stripe) -> Iterator[StripeEvent]:
    """Once: both events carry the whole dispute, and the one that fits its status says the other one too."""
    is_decided = found.get("status") in _DECIDED
    yield _seen(f"charge.dispute.{'closed' if is_decided else 'created'}", found, at)


def _seen(event_type: str, found: Json, at: int) -> StripeEvent:
    return seen(event_type, found, at, found.get("livemode") is True)


#: Customers first, so that nobody has to be fetched; sessions before what was given back of them.
LISTS: tuple[Listed, ...] = (
    Listed(name="customers", path="/v1/customers", says=_customer, ahead=_of_customer),
    Listed(
        name="payment_methods",
        path="/v1/customers",
        inside="/v1/customers/{id}/payment_methods",
        says=_payment_method,
    ),
    Listed(name="subscriptions", path="/v1/subscriptions", filters={"status": "all"}, says=_subscription),
    Listed(name="invoices", path="/v1/invoices", says=_invoice),
    Listed(name="sessions", path="/v1/checkout/sessions", filters={"status": "complete"}, says=_session),
    Listed(name="refunds", path="/v1/charges", says=_charge, concerns=_is_refunded),
    Listed(name="disputes", path="/v1/disputes", says=_dispute),
)


def turn_of(found: Json) -> str:
    """Objects with the same answer change the same documents: one after the other, so that none has to begin again."""
    customer = found.get("customer")
    if isinstance(customer, dict):
        customer = customer.get("id")
    if isinstance(customer, str):
        return customer
    details = found.get("customer_details")
    email = found.get("email") or (details.get("email") if isinstance(details, dict) else None)
    return (paths.normalise_email(email) if isinstance(email, str) else None) or str(found.get("id"))


def customer_of(listed: Listed, found: Json, user_id_key: str) -> str | None:
    """The customer that the report has to count because of this object. Raises Malformed."""
    if listed.name == "customers":
        return str(found["id"])
    if listed.name != "sessions":
        return None
    session = CheckoutSession.of(found)
    return session.customer or paths.guest_customer(session.email, session.named_user(user_id_key), session.id)
