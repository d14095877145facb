"""Who is buying, as Stripe's pricing table wants to be told: so that whoever has a Customer never becomes a second one.

Only what is the user's own already, or what a verified address makes theirs, is ever used for them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from functions import paths
from functions.accounts.customers import Customers
from functions.errors import Missing
from functions.identity import Person

#: How long a page waits for a look-up that Stripe has to be asked for.
PATIENCE_SECONDS = 5.0
#: The table drops any other id without a word: https://docs.stripe.com/payments/checkout/pricing-table#handle-fulfillment-with-the-stripe-api.
_REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,200}")

#: Nobody is signed in; a user without a Customer; a user with one.
Kind = Literal["visitor", "user", "customer"]


class Lookup(Protocol):
    """From an identity to its customers."""

    def find(
        self,
        *,
        user_id: str | None = None,
        customer: str | None = None,
        email: str | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> Customers | None:
        """The customers behind it, or None; of a user and an address, the user's. Raises Retry or Permanent.

        Raises ValueError for a text that nobody's id or address can be.
        """


class Stripe(Protocol):
    """Stripe's API."""

    def customer_session(self, customer: str) -> str:
        """The secret with which a table knows its customer. Raises Retry, and Permanent where there is no such one."""


#: Makes a customer a user's, where nobody else has a better claim. Raises Retry.
Link = Callable[[str, str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Buyer:
    """What the table is told, by the names of its attributes, and what the log is."""

    kind: Kind = "visitor"
    attributes: dict[str, str] = field(default_factory=dict, repr=False)
    #: How many customers that were nobody's have been claimed for this user now.
    linked: int = 0
    #: What an operator should know of, without saying of whom.
    warning: str | None = None


def buyer(person: Person | None, lookup: Lookup, stripe: Stripe, link: Link) -> Buyer:
    """Tell the table who is there. Raises Retry, and Permanent of the look-up."""
    if person is None:
        return Buyer()
    proven = person.email if person.is_verified else None
    own, linked = _own(lookup, person, proven), 0
    if not own and proven:
        linked = _link_what_is_nobodys(person.user_id, proven, lookup, link)
        # As the claims have settled: somebody else may have been before us a moment ago, or an operator against it.
        own = _own(lookup, person, None) if linked else ()
    warning = None
    for customer in own:
        try:
            secret = stripe.customer_session(customer)
        except Missing as problem:
            # Deleted at Stripe, and the event that says so is still on its way.
            warning = str(problem)
        else:
            return Buyer(kind="customer", attributes={"customer-session-client-secret": secret}, linked=linked)
    return _referred(person, linked, warning)


def _own(lookup: Lookup, person: Person, proven: str | None) -> tuple[str, ...]:
    """The real Customers the user may buy as, the one to be preferred first. Of guests Stripe knows nothing."""
    try:
        found = lookup.find(user_id=person.user_id, email=proven, patience_seconds=PATIENCE_SECONDS)
    except ValueError:
        # No customer can be found by an id or an address like that.
        return ()
    if found is None or found.user_id != person.user_id:
        return ()
    best_first = dict.fromkeys((found.primary, *found.customers))
    return tuple(each for each in best_first if not paths.is_guest(each) and _is_theirs(each, person, lookup))


def _is_theirs(customer: str, person: Person, lookup: Lookup) -> bool:
    """Whether it is safe to sell to them under this Customer.

    Anybody may write a user's id into the address of a payment link, and the Customer that makes has the writer's own
    address, to which Stripe would send the receipts of what its user buys. So one that was only named by a session has
    to have the user's address, where the user has one.
    """
    known = lookup.find(customer=customer, patience_seconds=PATIENCE_SECONDS)
    if known is None or known.user_id != person.user_id:
        return False
    if known.linked_by != "client_reference_id" or not person.email:
        return True
    return paths.normalise_email(known.email) == paths.normalise_email(person.email)


def _link_what_is_nobodys(user_id: str, email: str, lookup: Lookup, link: Link) -> int:
    """Claim every customer of the address that is nobody's for this user, guests too; how many there were."""
    try:
        found = lookup.find(email=email, patience_seconds=PATIENCE_SECONDS)
    except ValueError:
        return 0
    linked = 0
    for customer in found.customers if found else ():
        # An address leads to customers, and not to whose they are.
        known = lookup.find(customer=customer, patience_seconds=PATIENCE_SECONDS)
        if known is not None and known.is_user_known and known.user_id is None:
            link(customer, user_id)
            linked += 1
    return linked


def _referred(person: Person, linked: int, warning: str | None = None) -> Buyer:
    """Checkout makes a Customer then, and its session says whose it is."""
    attributes = {}
    if _REFERENCE.fullmatch(person.user_id):
        attributes["client-reference-id"] = person.user_id
    else:
        warning = "the user's id is none that Stripe takes for client-reference-id: 1 to 200 of A-Z a-z 0-9 _ -"
    if person.email:
        attributes["customer-email"] = person.email
    return Buyer(kind="user", attributes=attributes, linked=linked, warning=warning)
