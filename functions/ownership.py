"""The claims on a customer, as far as they are stored: read where they are, and the effects of a new one."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from functions import paths
from functions.customer_index import keys_to_change, membership, move
from functions.effects import Decision, Delete, Documents, Effect, Json, Merge, Put, Reaction, Request, read
from functions.letters import Letter, Origin, Reader
from functions.linking import (
    Claim,
    claims_document,
    claims_of,
    conflicts,
    holder,
    link_fields,
    needs_document,
    settle,
)
from functions.mail.facts import LinkConflict

_ABSENT = object()


def claims_kept(customer_id: str, stored: Json | None) -> Generator[Request, Any, tuple[Claim, ...]]:
    """The claims on `customers/{c}`; those of a customer with one user cost no read."""
    if not (stored or {}).get("has_claims"):
        return claims_of(stored)
    path = paths.claims(customer_id)
    documents = yield from read(path)
    return claims_of(stored, documents[path])


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """`customers/{c}` as it was and as it will be, and the claims on it."""

    customer: str
    stored: Json | None
    fields: Json
    before: tuple[Claim, ...]
    after: tuple[Claim, ...]


def store(change: Change, documents: Documents, letters: tuple[Letter, ...] = ()) -> Reaction:
    """Commit a customer together with every index entry it moves. `documents` are those that have been read."""
    was, will_be = membership(change.stored), membership(change.fields)
    missing = keys_to_change(was, will_be) - documents.keys()
    index = {**documents, **((yield from read(*sorted(missing))) if missing else {})}
    stored = change.stored
    fields = {key: value for key, value in change.fields.items() if stored is None or stored.get(key, _ABSENT) != value}
    effects = (
        # Nothing of the customer changes where only a date is known better of a claim that does not hold.
        *([Merge(paths.customer(change.customer), fields)] if fields else []),
        *_claims_changed(change.customer, change.before, change.after),
        *move(change.customer, was, will_be, index),
    )
    return Decision("applied", effects, letters=letters)


def _claims_changed(customer_id: str, before: tuple[Claim, ...], after: tuple[Claim, ...]) -> tuple[Effect, ...]:
    path = paths.claims(customer_id)
    if needs_document(after):
        return (Put(path, claims_document(after)),) if before != after else ()
    return (Delete(path),) if needs_document(before) else ()


def told_of_conflicts(change: Change, origin: Origin) -> tuple[Letter, ...]:
    """What support has to be told of: each user, once, whose claim on a customer does not hold."""
    known = {claim.user_id for claim in conflicts(change.before)}
    held = holder(change.after)
    held_by = held.user_id if held else None
    return tuple(
        Letter(
            facts=LinkConflict(customer=change.customer, held_by=held_by, claimed_by=claim.user_id),
            reader=Reader(email=change.fields.get("email"), name=change.fields.get("name")),
            origin=origin,
            since=claim.at,
        )
        for claim in conflicts(change.after)
        if claim.user_id not in known
    )


def link(customer_id: str, claim: Claim) -> Reaction:
    """Let one more claim count, of somebody whom no event names: an operator, or a user who has just signed in."""
    path = paths.customer(customer_id)
    documents = yield from read(path, *paths.index_of_user(claim.user_id))
    stored = documents[path]
    if stored is None or stored.get("deleted"):
        return Decision("ignored", reason="no such customer" if stored is None else "the customer is deleted")
    before = yield from claims_kept(customer_id, stored)
    after = settle(before, claim)
    held = holder(before)
    if after == before or (held and (held.user_id, held.by) == (claim.user_id, claim.by)):
        return Decision("duplicate", reason="nothing new about whose it is")
    return (yield from store(_claimed(customer_id, stored, before, after), documents))


def unlink(customer_id: str, at: int) -> Reaction:
    """Bar every user who claims a customer now. It is nobody's then, until somebody else claims it."""
    path = paths.customer(customer_id)
    documents = yield from read(path)
    stored = documents[path]
    before = yield from claims_kept(customer_id, stored)
    if stored is None or (holder(before) is None and not conflicts(before)):
        return Decision("ignored", reason="no such customer" if stored is None else "nobody claims it")
    after = settle(Claim(user_id=claim.user_id, by="barred", at=at) for claim in before)
    return (yield from store(_claimed(customer_id, stored, before, after), documents))


def _claimed(customer_id: str, stored: Json, before: tuple[Claim, ...], after: tuple[Claim, ...]) -> Change:
    return Change(customer=customer_id, stored=stored, fields=stored | link_fields(after), before=before, after=after)
