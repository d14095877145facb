"""Somebody who asked to be forgotten stays so: nothing of before brings them back, whoever publishes it again."""

from collections.abc import Mapping
from typing import Any

from functions import paths
from functions.effects import Decision

_CUSTOMERS = "customers/"


def customers_of(decision: Decision) -> tuple[str, ...]:
    """The documents of the customers under which something is to be written, or about whom something is to be told."""
    written = (effect.path.split("/")[1] for effect in decision.effects if effect.path.startswith(_CUSTOMERS))
    told = (letter.origin.customer for letter in decision.letters)
    about = (*(_CUSTOMERS + owner for owner in written), *(paths.customer(each) for each in told if each))
    return tuple(dict.fromkeys(about))


def is_forgotten(path: str, customer: Mapping[str, Any] | None, created: int) -> bool:
    """Whether an event of that time (epoch seconds) is about a customer, by the path, who was forgotten.

    A guest may come back and buy again. A Customer who is forgotten is deleted at Stripe, and all that comes is old.
    """
    forgotten_at = (customer or {}).get("forgotten_at")
    if forgotten_at is None:
        return False
    return created <= forgotten_at or not paths.is_guest(path.removeprefix(_CUSTOMERS))
