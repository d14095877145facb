"""What is stored, compared with what the reactions would make of Stripe's object now. Nothing is changed.

There is no second idea of how an object is stored: the very reactions run, and what they would write is held against
what is there. An object stands for the event that would say how it is now, as in a back-fill.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Literal

from functions import paths
from functions.effects import Create, Decision, Delete, Effect, Fetch, Json, Put, Read, Request
from functions.errors import Permanent
from functions.forgotten import customers_of, is_forgotten
from functions.operations.lists import LISTS, Listed
from functions.settings.subscriber import SubscriberSettings
from functions.stripe_events import CheckoutSession, StripeEvent, seen
from functions.topology import function

AUDITED: tuple[Listed, ...] = tuple(each for each in LISTS if each.name in {"customers", "subscriptions", "sessions"})
#: What `provision_accounts` keeps is not in Stripe but with the identity provider.
_FUNCTIONS = ("index_customers", "record_orders", "track_subscriptions")
#: What says by which event a document came to be so and who was told, and the dates that only an event knows.
_TRACES = frozenset(
    {
        *("as_of", "as_of_events", "mails", "reminders", "next_reminder_at"),
        *("linked_at", "linked_by", "is_link_exact", "paid_at", "marketing", "private"),
    }
)
_PAID = {"paid", "no_payment_required"}

Kind = Literal["missing", "stale", "extra"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Difference:
    """One document that is not as Stripe has it. `fields` are names and never values."""

    list: str
    id: str
    kind: Kind
    #: Where; of an index entry, whose path would tell an address, only the collection.
    document: str
    fields: tuple[str, ...] = ()


class Lookup:
    """What a comparison may ask: documents that were read, else `read`; objects at hand, else `fetch`."""

    def __init__(
        self,
        read: Callable[[Sequence[str]], Mapping[str, Json | None]],
        fetch: Callable[[Fetch], Json],
        objects: Sequence[Json],
    ) -> None:
        self._read = read
        self._fetch = fetch
        self._documents: dict[str, Json | None] = {}
        self._objects = {str(each.get("id")): each for each in objects}

    def documents(self, wanted: Sequence[str]) -> dict[str, Json | None]:
        """Documents by their paths, each read once. Raises Retry."""
        missing = [path for path in dict.fromkeys(wanted) if path not in self._documents]
        if missing:
            self._documents |= self._read(missing)
        return {path: self._documents[path] for path in wanted}

    def object(self, request: Fetch) -> Json:
        """An object of Stripe's as it is now. Raises Retry or Permanent."""
        if request.kind == "line_items":
            # They never change once stored, and of an order that is not stored it is enough to say that.
            return {"data": []}
        if request.id not in self._objects:
            self._objects[request.id] = self._fetch(request)
        return self._objects[request.id]


def concerns(listed: Listed, found: Json) -> bool:
    """Whether an object of that list has to be here: of sessions, those that are paid and no mere set-up of a card."""
    if listed.name == "sessions":
        is_complete = found.get("status") == "complete" and found.get("payment_status") in _PAID
        return is_complete and found.get("mode") != "setup"
    return True


def own_path(listed: Listed, found: Json, user_id_key: str) -> str:
    """The document that mirrors an object. Raises Malformed."""
    if listed.name == "customers":
        return paths.customer(str(found["id"]))
    if listed.name == "subscriptions":
        return paths.subscription(_customer(found.get("customer")) or "", str(found["id"]))
    session = CheckoutSession.of(found)
    customer = session.customer or paths.guest_customer(session.email, session.named_user(user_id_key), session.id)
    return paths.order(customer, session.id)


def ahead(listed: Listed, found: Json, user_id_key: str) -> tuple[str, ...]:
    """The documents that a comparison reads first, three at most. Raises Malformed."""
    own = own_path(listed, found, user_id_key)
    if listed.name == "customers":
        return (own, *paths.index_of_email(found.get("email")))
    payment = found.get("payment_intent") or found.get("invoice")
    paid_by = (paths.payment(payment),) if listed.name == "sessions" and isinstance(payment, str) else ()
    return (own, own.rpartition("/")[0].rpartition("/")[0], *paid_by)


def events_of(listed: Listed, found: Json, at: int, *, is_stored: bool) -> Iterator[tuple[str, StripeEvent]]:
    """The events that say how an object is now, each for one function; `at` as in `functions.operations.lists`.

    A session that never came is as old as itself, as in a back-fill. One that did come was dated by its event, which
    nobody knows any more: its order has to be as Stripe has it now; the user it names goes after all who claim the
    customer already; and what was ticked on its page is left out, since a new date would take back what was said after
    it. Raises Malformed.
    """
    livemode = found.get("livemode") is True
    if listed.name == "sessions":
        created = found["created"] if isinstance(found.get("created"), int) else at
        completed = partial(seen, "checkout.session.completed", livemode=livemode)
        if is_stored and found.get("customer"):
            yield "index_customers", completed({**found, "consent": None}, at=at)
        else:
            # Of a guest, who is known by what was typed, the latest session counts.
            yield "index_customers", completed(found, at=created)
        yield "record_orders", completed(found, at=at if is_stored else created)
        return
    is_deleted = found.get("deleted") is True
    event_type = {
        "customers": "customer.deleted" if is_deleted else "customer.updated",
        "subscriptions": "customer.subscription.updated",
    }[listed.name]
    event = seen(event_type, found, at, livemode)
    yield from ((name, event) for name in _FUNCTIONS if event_type in function(name).event_types)


def compare(listed: Listed, found: Json, at: int, lookup: Lookup, settings: SubscriberSettings) -> list[Difference]:
    """Every document that the reactions would change because of this object.

    Raises Retry where something does not answer, and Permanent where the object says nothing that can be stored.
    """
    own = own_path(listed, found, settings.user_id_key)
    is_stored = lookup.documents([own])[own] is not None
    differences: dict[str, Difference] = {}
    for name, event in events_of(listed, found, at, is_stored=is_stored):
        decision = _decide(name, event, lookup, settings)
        owners = lookup.documents(customers_of(decision))
        if any(is_forgotten(path, fields, event.created) for path, fields in owners.items()):
            continue
        for effect in decision.effects:
            stored = lookup.documents([effect.path])[effect.path]
            changed = _changed(effect, stored)
            if stored is None and not isinstance(effect, Delete):
                changed = ()
            elif not changed:
                continue
            known = differences.get(effect.path)
            differences[effect.path] = Difference(
                list=listed.name,
                id=str(found["id"]),
                kind="missing" if stored is None else "stale",
                document=_shown(effect.path),
                fields=tuple(sorted({*changed, *(known.fields if known else ())})),
            )
    return sorted(differences.values())


def _decide(name: str, event: StripeEvent, lookup: Lookup, settings: SubscriberSettings) -> Decision:
    """What a function would decide. It asks nobody but Stripe and the documents."""
    reaction = import_module(f"functions.reactions.{name}").react(event, settings)
    go_on: Callable[[], Request] = partial(reaction.send, None)
    while True:
        try:
            request = go_on()
        except StopIteration as decided:
            decision: Decision = decided.value
            return decision
        if isinstance(request, Read):
            go_on = partial(reaction.send, lookup.documents(request.paths))
            continue
        assert isinstance(request, Fetch)  # noqa: S101 these functions ask nobody else
        try:
            go_on = partial(reaction.send, lookup.object(request))
        except Permanent as problem:
            go_on = partial(reaction.throw, problem)


def _changed(effect: Effect, stored: Json | None) -> tuple[str, ...]:
    """The names of the fields that an effect would change, without traces."""
    before: Mapping[str, Any] = stored or {}
    if isinstance(effect, Create):
        return ()
    if isinstance(effect, Delete):
        return ("the document",) if stored is not None else ()
    names = effect.fields.keys() | (before.keys() if isinstance(effect, Put) else set())
    absent = object()
    return tuple(
        sorted(
            name
            for name in names
            if name not in _TRACES and before.get(name, absent) != effect.fields.get(name, absent)
        )
    )


def _shown(path: str) -> str:
    return "customer_index" if path.startswith("customer_index/") else path


def _customer(value: object) -> str | None:
    found = value.get("id") if isinstance(value, Mapping) else value
    return found if isinstance(found, str) else None
