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
    """Under which keys a customer stands in the index, and what it brings along.

    `created` is in epoch seconds, `plans` are those its subscriptions give access to. A customer that is gone has no
    keys.
    """

    email: str | None = None
    user_id: str | None = None
    created: int = 0
    plans: tuple[str, ...] = ()

    def entries(self) -> dict[str, Json]:
        """What stands of this customer in each index document it belongs to. Plans matter to a user, not an address."""
        return {key: {"created": self.created} for key in paths.index_of_email(self.email)} | {
            key: {"created": self.created, "plans": list(self.plans)} for key in paths.index_of_user(self.user_id)
        }


def membership(customer: Mapping[str, Any] | None) -> Membership:
    """Where `customers/{c}`, as stored, stands in the index."""
    if customer is None or customer.get("deleted"):
        return Membership()
    return Membership(
        email=customer.get("email"),
        user_id=customer.get("user_id"),
        created=customer.get("created") or 0,
        plans=tuple(customer.get("plans", ())),
    )


def keys_to_change(before: Membership, after: Membership) -> set[str]:
    """The documents that have to be read to move a customer: index entries, and users that may lose their last one."""
    loser = before.user_id if before.user_id != after.user_id else None
    return _changed(before.entries(), after.entries()) | ({paths.user(loser)} if loser else set())


def _changed(old: Mapping[str, Json], new: Mapping[str, Json]) -> set[str]:
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


def move(customer_id: str, before: Membership, after: Membership, index: Documents) -> tuple[Effect, ...]:
    """The effects that take a customer from where it stood in the index to where it belongs.

    `index` holds the documents of `keys_to_change`. A user's own document says the same as the user's index entry.
    """
    effects: list[Effect] = []
    users = {key: user for user in (before.user_id, after.user_id) for key in paths.index_of_user(user) if user}
    own_entries = after.entries()
    for key in sorted(_changed(before.entries(), own_entries)):
        stored = (index[key] or {}).get("entries", {})
        entries = {customer: entry for customer, entry in stored.items() if customer != customer_id}
        if key in own_entries:
            entries[customer_id] = own_entries[key]
        if entries == stored:
            continue
        found = _ranked(entries)
        effects.append(Put(key, found | {"entries": entries}) if entries else Delete(key))
        if key in users:
            own = paths.user(users[key])
            plans = sorted({plan for entry in entries.values() for plan in entry["plans"]})
            seen = found | {"user_id": users[key], "plans": plans}
            effects.append(Merge(own, seen) if entries else _forget(own, index[own]))
    return tuple(effects)


#: The fields of `users/{user}` that are ours. An application may keep its own beside them.
_OURS = frozenset({"user_id", "customers", "primary", "plans"})


def _forget(path: str, user: Json | None) -> Effect:
    """Take our fields off a user who has no customer any more, and leave the application's."""
    theirs = {name: value for name, value in (user or {}).items() if name not in _OURS}
    return Put(path, theirs) if theirs else Delete(path)


def _ranked(entries: Mapping[str, Json]) -> Json:
    """`customers`, newest first, and `primary`: with a plan before without, real before guest, newest first."""

    def newest_first(customer: str) -> tuple[int, str]:
        return -entries[customer]["created"], customer

    def best_first(customer: str) -> tuple[bool, bool, tuple[int, str]]:
        # A guest is nobody Stripe knows: a real Customer of the same person goes before it.
        return not entries[customer].get("plans"), paths.is_guest(customer), newest_first(customer)

    return {"customers": sorted(entries, key=newest_first), "primary": min(entries, key=best_first, default=None)}
