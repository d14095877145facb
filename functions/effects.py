"""What a reaction may ask for and what it may decide, as frozen data.

A reaction is a generator. It yields requests (`Read`, `Fetch`, questions to the identity provider), is sent the
answers, and returns a `Decision`; it never sees a client. The same generator therefore runs against Firestore in the
cloud and against a dict in a test.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from functions.identity import Question
from functions.letters import Letter

Json = dict[str, Any]
Fields = Mapping[str, Any]
#: Firestore path -> the document's fields, or None where there is no such document.
Documents = Mapping[str, Json | None]

#: What became of one event in one function.
Outcome = Literal["applied", "duplicate", "stale", "ignored", "parked", "retry"]

#: What can be fetched from Stripe, named by Stripe's `object`; `line_items` is every line of a Checkout Session,
#: `subscription_items` every item of a subscription, `invoice_payments` every invoice that a payment intent pays,
#: `prices` every price of a product, `unpaid_session` a Checkout Session with its payment intent and its first lines
#: inside.
Kind = Literal[
    "customer",
    "checkout.session",
    "line_items",
    "unpaid_session",
    "charge",
    "refund",
    "dispute",
    "subscription",
    "subscription_items",
    "invoice",
    "invoice_payments",
    "payment_method",
    "prices",
    "event",
]


@dataclass(frozen=True, slots=True)
class Read:
    """Read these documents in one batch. Answered with `Documents`.

    Within one decision a document is read once, and its version is what the commit depends on. `fresh` reads it again,
    for who wants to know whether something has changed meanwhile.
    """

    paths: tuple[str, ...]
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Fetch:
    """Fetch an object from Stripe as it is now. Answered with its JSON in the SDK's pinned API version.

    What Stripe will never answer is raised as Permanent where the reaction asked.
    """

    kind: Kind
    id: str


@dataclass(frozen=True, slots=True)
class Create:
    """Create a document whose id names a fact. One that exists already says the same, and stays as it is."""

    path: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Put:
    """Make the whole document equal to these fields, whether it exists or not."""

    path: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Merge:
    """Set these top-level fields and leave the others: for documents several functions own together."""

    path: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a document; nothing happens where there is none."""

    path: str


Effect = Create | Put | Merge | Delete


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of the event, why, and everything to be committed for it at once: effects, and who is to be told."""

    outcome: Outcome
    effects: tuple[Effect, ...] = ()
    reason: str = ""
    letters: tuple[Letter, ...] = ()
    #: Committed too where a document came of the letters, and not otherwise.
    with_mail: tuple[Effect, ...] = ()
    #: What has to be decided next, once this is committed: on every delivery, also where there was nothing to commit.
    then: "Callable[[], Reaction] | None" = None


#: What a reaction may ask for.
Request = Read | Fetch | Question
Reaction = Generator[Request, Any, Decision]


def read(*paths: str) -> Generator[Request, Any, Documents]:
    """`documents = yield from read(...)`, typed."""
    documents: Documents = yield Read(paths)
    return documents


def fetch(kind: Kind, object_id: str) -> Generator[Request, Any, Json]:
    """`customer = yield from fetch("customer", "cus_…")`, typed."""
    answer: Json = yield Fetch(kind, object_id)
    return answer
