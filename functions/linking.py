"""Whose customer is this: claims of users on a customer, and which of them holds.

The first claim in Stripe's time holds and is never overtaken by a later one: a second user id is kept as a conflict.
Because it is Stripe's time that counts and not the order of delivery, the same claims settle in the same way whatever
arrives first, late or twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

#: Where a claim comes from, in the order in which they count within one second.
Source = Literal["client_reference_id", "metadata"]
_ORDER: tuple[Source, ...] = get_args(Source)


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


def claims_of(customer: Mapping[str, Any] | None) -> tuple[Claim, ...]:
    """The claims kept on `customers/{c}`, the one that holds first."""
    return tuple(Claim(**claim) for claim in (customer or {}).get("claims", ()))


def settle(claims: Iterable[Claim], *more: Claim | None) -> tuple[Claim, ...]:
    """One claim per user, the one that holds first. The order of the arguments makes no difference."""
    best: dict[str, Claim] = {}
    for claim in (*claims, *more):
        if claim is not None and (claim.user_id not in best or _preferred(claim) < _preferred(best[claim.user_id])):
            best[claim.user_id] = claim
    return tuple(sorted(best.values(), key=_seniority))


def met(claims: Iterable[Claim], at: int) -> tuple[Claim, ...]:
    """The claims of a customer that an event of that time shows us: what is guessed cannot be later than that."""
    return settle(claim if claim.exact else replace(claim, at=min(claim.at, at)) for claim in claims)


def link_fields(claims: tuple[Claim, ...]) -> dict[str, Any]:
    """The fields of `customers/{c}` that say whose it is. `conflicts` are the users whose claim does not hold."""
    holder = claims[0] if claims else None
    return {
        "user_id": holder.user_id if holder else None,
        "linked_by": holder.by if holder else None,
        "conflicts": [claim.user_id for claim in claims[1:]],
        "claims": [asdict(claim) for claim in claims],
    }


def _seniority(claim: Claim) -> tuple[int, int, str]:
    return claim.at, _ORDER.index(claim.by), claim.user_id


def _preferred(claim: Claim) -> tuple[bool, int, int, str]:
    """Among claims of one user: an exact date replaces a guessed one, then the earlier counts."""
    return not claim.exact, *_seniority(claim)
