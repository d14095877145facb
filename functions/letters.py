"""What a reaction says when somebody has to be written to: a fact, its reader, and when it became true.

A letter is data. Which documents come of it, in which language and wording, is decided where it is committed, together
with the state that caused it.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

Audience = Literal["customer", "support"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """The customer a letter is for, or about. Everything here was typed by somebody."""

    email: str | None = None
    name: str | None = None
    #: Language tags, the one to be preferred first (`ja`, `en-GB`); what is not one is passed over.
    locales: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where at Stripe the fact is at home: what support needs to find it."""

    customer: str | None
    user_id: str | None = None
    livemode: bool
    #: The connected account (`acct_…`), if it is not the endpoint's own.
    account: str | None = None
    event: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a mail tells, one subclass for each mail. Amounts in minor units, times in epoch seconds.

    A field that may be None is one that Stripe may not have; every template has to read well without it.
    """

    #: The name of the mail: its row in the table, its templates, and the beginning of its document's id.
    MAIL: ClassVar[str]

    def fact(self) -> str:
        """What exactly is reported, as the rest of the document's id: the same fact is told once."""
        raise NotImplementedError

    @property
    def id(self) -> str:
        """The id of the document in the mail collection, before the audience: `order_paid_cs_…`."""
        return f"{self.MAIL}_{self.fact()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One fact to be told. `since` is when it became true, in epoch seconds: what is too old is told to nobody."""

    facts: Facts
    reader: Reader
    origin: Origin
    since: int
