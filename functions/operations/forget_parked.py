"""Whom a parked event is about: what its bytes say, whichever shape and API version they have. Pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from functions import paths
from functions.operations.forget_person import Person
from functions.parking import bytes_of


def is_about(parked: Mapping[str, Any], person: Person, user_id_key: str) -> bool | None:
    """Whether `parked_events/{…}` is about this person. None where its bytes were not kept, and nobody can tell."""
    body = bytes_of(parked)
    if body is None:
        return None
    text = body.decode("utf-8", "replace")
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        # No event, but perhaps part of one.
        return any(each in text for each in person.names) or any(
            email.casefold() in text.casefold() for email in person.emails
        )
    named = _customer(event, user_id_key)
    if named is not None:
        return named in person.names
    said = frozenset(_texts(event))
    emails = {paths.normalise_email(email) for email in person.emails}
    return bool(
        said & person.ids
        or _user(event, user_id_key) in person.users
        or any(paths.normalise_email(each) in emails for each in said if "@" in each)
    )


def _customer(event: object, user_id_key: str) -> str | None:
    """The customer whose event it is, or the guest of a session without one. None where it does not say."""
    data = _map(_map(event).get("data"))
    thing = _map(data.get("object"))
    if thing.get("object") == "customer":
        return _id(thing)
    named = _id(thing.get("customer")) or _id(_map(data.get("previous_attributes")).get("customer"))
    if named is None and thing.get("object") == "checkout.session":
        email = _map(thing.get("customer_details")).get("email") or thing.get("customer_email")
        if isinstance(email, str) and isinstance(thing.get("id"), str):
            return paths.guest_customer(email, _user(event, user_id_key), thing["id"])
    return named


def _user(event: object, user_id_key: str) -> str | None:
    thing = _map(_map(_map(event).get("data")).get("object"))
    named = thing.get("client_reference_id") or _map(thing.get("metadata")).get(user_id_key)
    return named if isinstance(named, str) and named else None


def _id(thing: object) -> str | None:
    """The id of what is referred to by its id, or is there as a whole."""
    found = thing.get("id") if isinstance(thing, dict) else thing
    return found if isinstance(found, str) and found else None


def _map(thing: object) -> Mapping[str, Any]:
    return thing if isinstance(thing, dict) else {}


def _texts(thing: object) -> Iterator[str]:
    if isinstance(thing, str):
        yield thing
    for each in thing.values() if isinstance(thing, dict) else thing if isinstance(thing, list) else ():
        yield from _texts(each)
