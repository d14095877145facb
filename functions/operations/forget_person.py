"""Who is to be forgotten: from a customer, an address or a user to everything here that is that person's.

An address is believed where it was asked for, or where a Customer of Stripe's has it; what a guest typed leads to
nobody else. Of an address or a user that several people share, the customers of the others stay.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from functions import paths
from functions.effects import Json
from functions.store import Store

_LIVE = frozenset({"active", "trialing", "past_due", "unpaid", "paused", "incomplete"})


class Traces(Protocol):
    """The database, as far as documents have to be found in it. Every method raises Retry."""

    def beneath(self, path: str) -> dict[str, Json]:
        """Every document beneath one."""

    def customers_of(self, user_id: str) -> list[str]:
        """The ids of the customers that are this user's."""

    def mails(self, customers: Sequence[str], addresses: Sequence[str]) -> dict[str, Json]:
        """The mails about these customers, and those to or from these addresses."""

    def payments(self, invoices: Sequence[str]) -> dict[str, Json]:
        """The payments that lead to these invoices."""

    def deliveries(self, customers: Sequence[str]) -> dict[str, Json]:
        """What was handed on of these customers."""

    def parked_events(self) -> dict[str, Json]:
        """Every parked event."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom an operator wants forgotten."""

    by: Literal["customer", "email", "user"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Everything that leads to what is kept of somebody."""

    #: Each customer as stored, None where only something beneath is. Guests first: a Customer leads to its guests.
    customers: Mapping[str, Json | None]
    #: Their ids, and those of customers of theirs of whom nothing is stored.
    names: frozenset[str]
    #: Everything beneath them.
    beneath: Mapping[str, Json]
    #: Their addresses, as spelled.
    emails: tuple[str, ...]
    users: tuple[str, ...]
    #: Customers of the same address or user that are not theirs, and stay.
    others: tuple[str, ...]

    def below(self, customer: str, collection: str) -> dict[str, Json]:
        """The documents of one collection of a customer."""
        start = f"{paths.customer(customer)}/{collection}/"
        return {path: fields for path, fields in self.beneath.items() if path.startswith(start)}

    def every(self, collection: str) -> list[Json]:
        """The documents of that collection, of all of their customers."""
        return [fields for customer in self.customers for fields in self.below(customer, collection).values()]

    @property
    def invoices(self) -> tuple[str, ...]:
        """Every invoice that is known of."""
        orders = [order.get("invoice") for order in self.every("orders")]
        return _texts([*orders, *(invoice.get("id") for invoice in self.every("invoices"))])

    @property
    def payments(self) -> tuple[str, ...]:
        """What `payments` may hold of them: payment intents and invoices."""
        return _texts([*(order.get("payment_intent") for order in self.every("orders")), *self.invoices])

    @property
    def live_subscriptions(self) -> tuple[str, ...]:
        """What Stripe goes on charging for."""
        return _texts([each.get("id") for each in self.every("subscriptions") if each.get("status") in _LIVE])

    @property
    def ids(self) -> frozenset[str]:
        """Every id at Stripe that is theirs."""
        kept = {"orders", "subscriptions", "invoices", "payment_methods"}
        parts = [path.split("/") for path in self.beneath]
        things = {each[3] for each in parts if len(each) == 4 and each[2] in kept}
        return frozenset({*self.names, *things, *self.payments})


def find(asked: Asked, store: Store, traces: Traces) -> Person:
    """Everything that is this person's. Nothing is found of somebody who is not here. Raises Retry."""
    chosen = _chosen(asked, store, traces)
    customers, beneath = _read(chosen, store, traces)
    # Not those whose claim does not hold: they are other people.
    users = {each["user_id"] for each in customers.values() if each and each.get("user_id")}
    users |= {asked.text} if asked.by == "user" else set()
    emails = _emails(asked, customers, beneath)
    guests, beneath_guests = _read(_guests(emails, users, store) - chosen, store, traces)
    if asked.by != "email":
        # Whoever typed somebody's address and named another user bought for that user.
        guests = {guest: each for guest, each in guests.items() if (each or {}).get("user_id") in {None, *users}}
    everybody, everything = guests | customers, beneath | beneath_guests
    there = [each for each in everybody if everybody[each] is not None or _lies_beneath(each, everything)]
    mine = tuple(f"{paths.customer(each)}/" for each in there)
    return Person(
        customers={each: everybody[each] for each in sorted(there, key=lambda each: (not paths.is_guest(each), each))},
        names=frozenset(everybody),
        beneath={path: each for path, each in everything.items() if path.startswith(mine)},
        emails=emails,
        users=tuple(sorted(users)),
        others=tuple(sorted(_indexed(_keys(emails, users), store) - everybody.keys())),
    )


def _emails(asked: Asked, customers: Mapping[str, Json | None], beneath: Mapping[str, Json]) -> tuple[str, ...]:
    """Each address as it was typed and as it is indexed: a mail goes to what was typed."""
    found: list[str | None] = [asked.text] if asked.by == "email" else []
    for customer, each in customers.items():
        if paths.is_guest(customer):
            continue
        if each and each.get("email"):
            found.append(each["email"])
        else:
            # A Customer that was deleted at Stripe has no address any more; its orders say which it had.
            start = f"{paths.customer(customer)}/orders/"
            found += [order.get("customer_email") for path, order in beneath.items() if path.startswith(start)]
    return _texts([text for each in found if each for text in (each, each.strip(), paths.normalise_email(each))])


def _chosen(asked: Asked, store: Store, traces: Traces) -> set[str]:
    if asked.by == "customer":
        return {asked.text}
    if asked.by == "email":
        return _indexed(paths.index_of_email(asked.text), store)
    return _indexed(paths.index_of_user(asked.text), store) | set(traces.customers_of(asked.text))


def _guests(emails: Iterable[str], users: Iterable[str], store: Store) -> set[str]:
    """The guests of these addresses: those the index has, and those of whom it cannot have any.

    An expired session makes an order beneath its guest, and no guest.
    """
    found = {each for each in _indexed(_keys(emails, ()), store) if paths.is_guest(each)}
    return found | {paths.guest_customer(email, user, "") for email in emails for user in (None, *users)}


def _keys(emails: Iterable[str], users: Iterable[str]) -> tuple[str, ...]:
    of_emails = [key for email in emails for key in paths.index_of_email(email)]
    return tuple(dict.fromkeys((*of_emails, *(key for user in users for key in paths.index_of_user(user)))))


def _indexed(keys: Sequence[str], store: Store) -> set[str]:
    found = store.read(keys) if keys else {}
    return {customer for each in found.values() for customer in (each.fields or {}).get("customers", ())}


def _read(customers: Iterable[str], store: Store, traces: Traces) -> tuple[dict[str, Json | None], dict[str, Json]]:
    ids = sorted(customers)
    found = store.read([paths.customer(each) for each in ids]) if ids else {}
    beneath: dict[str, Json] = {}
    for each in ids:
        beneath |= traces.beneath(paths.customer(each))
    return {each: found[paths.customer(each)].fields for each in ids}, beneath


def _lies_beneath(customer: str, beneath: Iterable[str]) -> bool:
    return any(path.startswith(f"{paths.customer(customer)}/") for path in beneath)


def _texts(found: Iterable[Any]) -> tuple[str, ...]:
    return tuple(sorted({each for each in found if isinstance(each, str) and each}))
