"""What users have paid for, told to their tokens: the claim `stripe_plans` follows `users/{user}.plans`."""

from collections.abc import Generator
from typing import Any

from functions import paths
from functions.effects import Decision, Json, Reaction, Read, Request, read
from functions.errors import NotYet, Retry
from functions.identity import SetPlans
from functions.ownership import claims_kept
from functions.stripe_events import StripeEvent

#: How often to set the plans again when they change while they are being set.
_ROUNDS = 6


def grant_plans(event: StripeEvent, customer_id: str, named_user: str | None) -> Reaction:
    """Once the event is reflected in Firestore, tell the tokens of everybody who has, or had, a claim on the customer.

    Other functions write what the event says, at the same time as this one runs: raises NotYet until they have.
    """
    path = paths.customer(customer_id)
    subscription: tuple[str, ...] = ()
    if event.type.startswith("customer.subscription."):
        subscription = (paths.subscription(customer_id, event.subject()),)
    documents = yield from read(path, *subscription)
    customer = documents[path]
    claims = yield from claims_kept(customer_id, customer)
    users = {claim.user_id for claim in claims}
    mirrored = documents[subscription[0]] if subscription else customer
    if not _reflects(mirrored, event) or (named_user is not None and named_user not in users):
        raise NotYet(f"{event.type} has not been taken into the customer yet")
    for user_id in sorted(users):
        yield from grant(user_id)
    return Decision("applied")


def grant_again(customer_id: str) -> Reaction:
    """Tell the tokens of everybody with a claim on the customer, after a person has decided whose it is."""
    path = paths.customer(customer_id)
    documents = yield from read(path)
    claims = yield from claims_kept(customer_id, documents[path])
    for claim in claims:
        yield from grant(claim.user_id)
    return Decision("applied")


def _reflects(document: Json | None, event: StripeEvent) -> bool:
    """Whether a mirrored document knows as much as the event says. A session is no state of its customer."""
    if document is None or document.get("as_of") is None:
        return False
    if event.type.startswith("checkout.") or document.get("deleted"):
        # Of a customer who is gone nothing newer will ever be stored.
        return True
    return event.type != "customer.deleted" and bool(document["as_of"] >= event.created)


def grant(user_id: str) -> Generator[Request, Any, bool]:
    """Set a user's plans, look again, and repeat where they have changed meanwhile. False: there is no such account."""
    path = paths.user(user_id)
    documents = yield Read((path,), fresh=True)
    for _ in range(_ROUNDS):
        plans = tuple((documents[path] or {}).get("plans", ()))
        is_known = yield SetPlans(user_id, plans)
        documents = yield Read((path,), fresh=True)
        if tuple((documents[path] or {}).get("plans", ())) == plans:
            return bool(is_known)
    raise Retry("the plans of a user change faster than they can be told")
