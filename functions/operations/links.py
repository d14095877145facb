"""Whose the customers are in the end: linked and by what, nobody's and why, and those that several users claim."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from functions import paths
from functions.store import Store

#: How many documents are read at once.
_BATCH = 300


@dataclass(slots=True)
class Links:
    """How many customers: linked by what names their user (`functions.linking.Source`), unlinked by why."""

    linked: Counter[str] = field(default_factory=Counter)
    unlinked: Counter[str] = field(default_factory=Counter)
    #: Customers, linked or not, that more than one user claims.
    conflicts: int = 0


def count_links(customers: Collection[str], store: Store) -> Links:
    """Read these customers back and count them. Raises Retry."""
    links, ids = Links(), sorted(customers)
    for start in range(0, len(ids), _BATCH):
        batch = ids[start : start + _BATCH]
        found = store.read([paths.customer(each) for each in batch])
        for customer in batch:
            fields = found[paths.customer(customer)].fields or {}
            links.conflicts += bool(fields.get("conflicts"))
            if fields.get("user_id"):
                links.linked[fields["linked_by"]] += 1
            else:
                links.unlinked[_why(customer, fields)] += 1
    return links


def _why(customer: str, fields: Mapping[str, Any]) -> str:
    if fields.get("as_of") is None:
        return "could not be taken"
    if fields["deleted"]:
        return "deleted at Stripe"
    if fields.get("has_claims"):
        return "an operator has barred its users"
    if paths.is_guest(customer):
        return "a guest, and nobody named"
    return "nobody named" if fields["email"] else "nobody named, and no address"
