"""The index: one read from an email address or a user id to the customers behind it.

An entry is `{customers, primary, entries}`: every customer, newest first; the one to use; and what decides that. An
entry without customers does not exist.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from functions import paths
from functions.effects import Delete, Documents, Effect, Json, Merge, Put


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Under which keys a customer stands in the index, and what ranks it there.

    `created` is in epoch seconds; `live` says that a subscription gives access; a customer that is gone has no keys.
    """

    email: str | None = None
    user_id: str | None = None
    created: int = 0
    live: bool = False

    def documents(self) -> set[str]:
        """The index documents this customer belongs to."""
        return {*paths.index_of_email(self.email), *paths.index_of_user(self.user_id)}

    def rank(self) -> Json:
        """What an index entry remembers of the customer."""
        return {"created": self.created, "live": self.live}


def membership(customer: Mapping[str, Any] | None) -> Membership:
    """Where `customers/{c}`, as stored, stands in the index."""
    if customer is None or customer.get("deleted"):
        return Membership()
    return Membership(
        email=customer.get("email"),
        user_id=customer.get("user_id"),
        created=customer.get("created") or 0,
        live=bool(customer.get("plans")),
    )


def keys_to_change(before: Membership, after: Membership) -> set[str]:
    """The index documents that have to be read to move a customer."""
    return (
        before.documents() | after.documents()
        if before.rank() != after.rank()
        else before.documents() ^ after.documents()
    )


def move(customer_id: str, before: Membership, after: Membership, index: Documents) -> tuple[Effect, ...]:
    """The effects that take a customer from where it stood in the index to where it belongs.

    `index` holds the documents of `keys_to_change`. A user's own document says the same as the user's index entry.
    """
    effects: list[Effect] = []
    users = {key: user for user in (before.user_id, after.user_id) for key in paths.index_of_user(user) if user}
    for key in sorted(keys_to_change(before, after)):
        stored = index[key]
        entries = dict((stored or {}).get("entries", {}))
        entries.pop(customer_id, None)
        if key in after.documents():
            entries[customer_id] = after.rank()
        if entries == (stored or {}).get("entries", {}):
            continue
        entry = _entry(entries)
        effects.append(Put(key, entry) if entries else Delete(key))
        if key in users:
            own = paths.user(users[key])
            seen = {"user_id": users[key], "customers": entry["customers"], "primary": entry["primary"]}
            effects.append(Merge(own, seen) if entries else Delete(own))
    return tuple(effects)


def _entry(entries: Mapping[str, Json]) -> Json:
    def newest_first(customer: str) -> tuple[int, str]:
        return -entries[customer]["created"], customer

    def best_first(customer: str) -> tuple[bool, bool, tuple[int, str]]:
        # A guest is nobody Stripe knows: a real Customer of the same person goes before it.
        return not entries[customer]["live"], customer.startswith("guest_"), newest_first(customer)

    return {
        "customers": sorted(entries, key=newest_first),
        "primary": min(entries, key=best_first) if entries else None,
        "entries": dict(entries),
    }
