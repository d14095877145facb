"""The first mail to a customer, said once, as soon as there is an address, by whichever function gets to say it."""

from collections.abc import Mapping
from typing import Any

from functions.effects import Json
from functions.letters import Letter, Origin
from functions.mail import compose
from functions.mail.facts import Welcome


def is_due(customer_id: str, stored: Mapping[str, Any], email: str | None) -> bool:
    """Whether somebody can be welcomed who has not been."""
    return bool(email) and Welcome(customer=customer_id, password_url=None).id not in stored.get("mails", ())


def welcome(
    fields: Json, origin: Origin, at: int, *, person: Mapping[str, Any], password_url: str | None = None
) -> tuple[Letter, ...]:
    """The letter to `person`, if it is due; the customer's `fields` remember it from then on.

    A customer we merely had not met is not new: the mail is as old as they are, or as `at` where that is not known.
    """
    customer_id = origin.customer or ""
    if not is_due(customer_id, fields, person.get("email")):
        return ()
    facts = Welcome(customer=customer_id, password_url=password_url)
    fields["mails"] = sorted([*fields.get("mails", ()), facts.id])
    since = person.get("created") or at
    return (Letter(facts=facts, reader=compose.customer_reader(person), origin=origin, since=since),)
