"""Whose customer is this: claims of users on a customer, and which of them holds.

The first claim in Stripe's time holds and is never overtaken by a later one: a second user id is kept as a conflict.
Because it is Stripe's time that counts and not the order of delivery, the same claims settle in the same way whatever
arrives first, late or twice. Only an operator's word goes before it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

#: Where a claim comes from, in the order in which they count within one second. `operator` is the word of a person with
#: access to the database; `barred` is too, and says that this user's claim does not count. `verified_email` is an
#: account that has the customer's address and has proven it, `account` one that we made for the customer.
Source = Literal["operator", "client_reference_id", "metadata", "verified_email", "account", "barred"]
_ORDER: tuple[Source, ...] = get_args(Source)

#: An address that matches says less than a seller's page that names the user, and is known before: Stripe tells of the
#: Customer first and of the Checkout Session that made it later, at the end of the session's life at the latest.
#: https://docs.stripe.com/api/checkout/sessions/create#create_checkout_session-expires_at
_GRACE_SECONDS = 24 * 3600
_WAITS: frozenset[Source] = frozenset({"verified_email", "account"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A user said to own a customer. `at` is in epoch seconds.

    A snapshot dates its claim exactly. A customer that had to be fetched is as it is now, and nothing says since when
    its metadata names the user: such a claim counts from the earliest event in which we met the customer, and gives
    way to the exact one when the event that brought it arrives.
    """

    user_id: str
    by: Source
    at: int
    exact: bool = True


def settle(claims: Iterable[Claim], *more: Claim | None) -> tuple[Claim, ...]:
    """One claim per user, the one that holds first. The order of the arguments makes no difference."""
    best: dict[str, Claim] = {}
    for claim in (*claims, *more):
        if claim is not None and (claim.user_id not in best or _preferred(claim) < _preferred(best[claim.user_id])):
            best[claim.user_id] = claim
    return tuple(sorted(best.values(), key=_seniority))


def met(claims: Iterable[Claim], at: int) -> tuple[Claim, ...]:
    """The claims of a customer that an event of that time shows us.

    What is guessed cannot be later than that, and neither can an account have counted from later on.
    """
    return settle(
        replace(claim, at=min(claim.at, at)) if claim.by in _WAITS or not claim.exact else claim for claim in claims
    )


def holder(claims: tuple[Claim, ...]) -> Claim | None:
    """The one that holds among settled claims."""
    return claims[0] if claims and claims[0].by != "barred" else None


def conflicts(claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
    """Those among settled claims that do not hold, and that somebody has made: an account of ours claims nothing."""
    return tuple(claim for claim in claims[1:] if claim.by not in {"barred", "account"})


def link_fields(claims: tuple[Claim, ...]) -> dict[str, Any]:
    """The fields of `customers/{c}` that say whose it is. `conflicts` counts the users whose claim does not hold.

    Who they are is nobody's business but the server's: where there is more than the one claim that holds,
    `has_claims` is true and all of them are in a document of their own.
    """
    found = holder(claims)
    return {
        "user_id": found.user_id if found else None,
        "linked_by": found.by if found else None,
        "linked_at": found.at if found else None,
        "is_link_exact": found.exact if found else None,
        "conflicts": len(conflicts(claims)),
        "has_claims": needs_document(claims),
    }


def needs_document(claims: tuple[Claim, ...]) -> bool:
    """Whether there is more to remember than the fields of the customer can hold."""
    return len(claims) > 1 or any(claim.by == "barred" for claim in claims)


def claims_document(claims: tuple[Claim, ...]) -> dict[str, Any]:
    """`customers/{c}/private/claims`: every claim, the one that holds first."""
    return {"claims": [asdict(claim) for claim in claims]}


def claims_of(customer: Mapping[str, Any] | None, document: Mapping[str, Any] | None = None) -> tuple[Claim, ...]:
    """The claims kept on a customer, the one that holds first. `document` is that of `claims_document`, if any."""
    if document is not None:
        return tuple(Claim(**claim) for claim in document["claims"])
    if customer is None or customer.get("user_id") is None:
        return ()
    return (
        Claim(
            user_id=customer["user_id"],
            by=customer["linked_by"],
            at=customer["linked_at"],
            exact=customer["is_link_exact"],
        ),
    )


def _seniority(claim: Claim) -> tuple[int, int, int, str]:
    """Which user goes first: the operator's latest word, then the earliest claim, at last who is barred."""
    if claim.by == "operator":
        return 0, -claim.at, 0, claim.user_id
    counts_from = claim.at + (_GRACE_SECONDS if claim.by in _WAITS else 0)
    return 2 if claim.by == "barred" else 1, counts_from, _ORDER.index(claim.by), claim.user_id


def _preferred(claim: Claim) -> tuple[int, int, int, int]:
    """Among claims of one user: the operator's latest word, then an exact date before a guess, then the earlier."""
    if claim.by in {"operator", "barred"}:
        return 0, -claim.at, _ORDER.index(claim.by), not claim.exact
    _, counts_from, order, _ = _seniority(claim)
    return 1, not claim.exact, counts_from, order
