"""What a look-up answers: the customers behind an identity."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Customers:
    """The customers behind a user, an address or a customer id; there is at least one.

    `customers` are newest first; `primary` is the one to use (README: "Whose customer"); guests are among them. Behind
    a customer id there is that customer alone: who wants the others of its user asks for the user.
    """

    customers: tuple[str, ...]
    primary: str
    #: The user of `primary`, None where it is nobody's, or where that is not known.
    user_id: str | None
    #: An address leads to customers in one read, and not to whose they are: `customers/{primary}` says that.
    is_user_known: bool = True
    #: Whether it was known, or had to be asked for.
    #: Of the one customer that was asked for by its id, and for who decides what to do with it.
    email: str | None = field(default=None, compare=False, repr=False)
    linked_by: str | None = field(default=None, compare=False)
    source: Literal["index", "stripe"]
