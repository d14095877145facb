"""Texts of all kinds made into document ids: Firestore takes each of them, and no two texts share one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from functions import paths
from functions.accounts.question import question
from functions.topology import FUNCTIONS
from tests.fuzz.asking import ERRORS
from tests.fuzz.firestore import is_document_path
from tests.fuzz.mutations import texts
from tests.fuzz.target import Target

Texts = tuple[str, str]
KEYS: Mapping[str, Any] = {
    "customer": lambda one, _: paths.customer(one),
    "order": paths.order,
    "subscription": paths.subscription,
    "invoice": paths.invoice,
    "payment_method": paths.payment_method,
    "claims": lambda one, _: paths.claims(one),
    "index_of_user": lambda one, _: "".join(paths.index_of_user(one)),
    "index_of_email": lambda one, _: "".join(paths.index_of_email(one)),
    "index_of_customer": lambda one, _: paths.index_of_customer(one),
    "user": lambda one, _: paths.user(one),
    "payment": lambda one, _: paths.payment(one),
    "prices": lambda one, _: paths.prices(one),
    "address": lambda one, _: "".join(paths.address(one)),
    "budget": lambda one, _: paths.budget(one),
    "operation": lambda one, _: paths.operation(one),
    "mail": lambda one, _: paths.mail("mail", one),
    "guest_customer": lambda one, two: paths.customer(paths.guest_customer(one, two, "cs_1")),
}
#: Those that know only the first of the two texts, and those that know it in another form.
_OF_BOTH = {"order", "subscription", "invoice", "payment_method", "guest_customer"}
_OF_AN_ADDRESS = {"index_of_email", "address", "guest_customer"}
FUNCTION_NAMES = [row.name for row in FUNCTIONS]


@dataclass(frozen=True)
class Pair:
    """Two times two texts that are made into keys."""

    one: Texts
    other: Texts


joined = st.sampled_from(["a", "b", "a/b", "a%2Fb", "\0", "a\0", "\0b", "%", "%~", ".", "_", "__", ":", "user:", ""])
key_texts = texts | st.lists(joined, max_size=4).map("".join) | st.text(max_size=6)
two_texts = st.tuples(key_texts, key_texts)
pairs = st.builds(Pair, two_texts, two_texts) | st.builds(
    lambda one, at: Pair(one, ("".join(one)[:at], "".join(one)[at:])), two_texts, st.integers(0, 40)
)


def meant(name: str, two: Texts) -> tuple[str | None, ...]:
    """What a key says, as far as UTF-8 can: two pairs have one key only where this is the same."""
    one, other = (text.encode(errors="replace").decode() for text in two)
    first = paths.normalise_email(one) if name in _OF_AN_ADDRESS else one
    if name == "guest_customer" and first is None:
        return (None,)  # without an address it is the session that counts
    return (first, other) if name in _OF_BOTH else (first,)


def check_pair(pair: Pair) -> None:
    """Firestore takes every key, and what is not the same has not the same key."""
    for name, key in KEYS.items():
        one, other = key(*pair.one), key(*pair.other)
        for path in (one, other):
            assert path == "" or is_document_path(path), (name, path)
        assert (one == other) == (meant(name, pair.one) == meant(name, pair.other)), name
    keys = {(event, function): paths.parked_event(event, function) for event in pair.one for function in FUNCTION_NAMES}
    assert len(set(keys.values())) == len({(event.encode(errors="replace"), function) for event, function in keys})
    for by in ("user_id", "customer", "email"):
        check_question(by, pair.one[0])


def check_question(by: str, text: str) -> None:
    """It leads to documents, or is refused without being quoted."""
    problem = ""
    try:
        asked = question(**{"user_id": None, "customer": None, "email": None, by: text})
        assert all(map(is_document_path, (asked.path, *asked.paths)))
        "".join(asked.spellings).encode()
    except ValueError as refused:
        problem = str(refused)
    assert not problem or problem in ERRORS


TARGETS = (
    Target(
        "keys",
        pairs,
        check_pair,
        examples=800,
        # An address that seems to end where a user begins.
        found_before=(Pair(("\0", "\0"), ("\0\0", "")),),
    ),
)
