"""Where documents live: ids that Firestore takes and nobody can break out of, and guests known by their address."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions import paths

#: What an id may trip over: Firestore's own rules, and everything that escaping itself writes.
TRICKY = [*"/%~._a\0\n\x7f\x85é日😀", "__", "%2F", "%25", "%2E", "%5F", "%~"]
SHORT = st.lists(st.sampled_from(TRICKY) | st.characters(codec="utf-8"), max_size=8).map("".join)
LONG = st.builds(lambda start, unit, end: start + unit * 1600 + end, SHORT, st.sampled_from(TRICKY), SHORT)
TEXTS = SHORT | LONG


def is_allowed(document_id: str) -> bool:
    """Firestore's rules: https://cloud.google.com/firestore/quotas#collections_documents_and_fields."""
    return (
        1 <= len(document_id.encode()) <= 1500
        and "/" not in document_id
        and document_id not in {".", ".."}
        and not re.fullmatch("__.*__", document_id, re.DOTALL)
    )


@pytest.mark.parametrize(
    "text",
    [
        "cus_NffrFeUfNV2Hib",
        "evt_1MqLN82eZvKYlo2CsUQmdWRq_record_orders",
        "email:hana.o'neill+shop@example.com",
        "名前 と 苗字",
        "a.b",
        ".a",
        "__dunder",
        "dunder__",
        "_",
        "~",
        "x" * 1500,
        "é" * 750,
    ],
)
def test_an_ordinary_text_is_its_own_id(text: str) -> None:
    assert paths.document_id(text) == text


# Stored documents are found by these ids: an id that changes is an order nobody finds again.
@pytest.mark.parametrize(
    ("text", "document_id"),
    [
        ("a/b", "a%2Fb"),
        ("../../users/admin", "..%2F..%2Fusers%2Fadmin"),
        ("100%", "100%25"),
        ("a%2Fb", "a%252Fb"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("__x__", "%5F_x__"),
        ("____", "%5F___"),
        ("a\nb", "a%0Ab"),
        ("\0", "%00"),
        ("\x7f", "%7F"),
        ("\x85", "%C2%85"),
        ("", "%"),
    ],
)
def test_what_firestore_forbids_is_escaped(text: str, document_id: str) -> None:
    assert paths.document_id(text) == document_id


@given(TEXTS)
def test_firestore_allows_every_id(text: str) -> None:
    assert is_allowed(paths.document_id(text))


@given(st.lists(TEXTS, unique=True, max_size=6))
def test_different_texts_have_different_ids(texts: list[str]) -> None:
    assert len({paths.document_id(text) for text in texts}) == len(texts)


@given(TEXTS)
def test_a_text_that_looks_like_the_id_of_another_has_an_id_of_its_own(text: str) -> None:
    look_alike = paths.document_id(text)
    assert look_alike == text or paths.document_id(look_alike) != look_alike


@pytest.mark.parametrize("letter", ["x", "é", "日", "😀", "/", "\0"])
def test_an_id_that_is_too_long_keeps_its_start_and_stays_unique(letter: str) -> None:
    one, two = (paths.document_id(letter * 1500 + end) for end in "12")
    assert one != two
    assert one[:300] == two[:300] == paths.document_id(letter * 300)[:300]


@pytest.mark.parametrize("length", [1499, 1500, 1501, 1502, 100_000])
def test_an_id_of_any_length_fits(length: int) -> None:
    assert is_allowed(paths.document_id("x" * length))


def test_a_text_that_looks_like_a_shortened_id_has_an_id_of_its_own() -> None:
    shortened = paths.document_id("x" * 2000)
    assert paths.document_id(shortened) != shortened


@given(st.text(st.characters(categories=["Cs", "Lu", "Po"])))
def test_half_a_surrogate_pair_does_not_break_an_id(text: str) -> None:
    assert is_allowed(paths.document_id(text))


@pytest.mark.parametrize("text", ["\x0b", "\x0c", "\r", "\x1c", "\x85", "\u2028", "\u2029"])
def test_an_id_is_one_line(text: str) -> None:
    assert len(paths.document_id(f"a{text}b").splitlines()) == 1


@pytest.mark.parametrize(
    ("path_of", "collection"),
    [(paths.customer, "customers"), (paths.user, "users"), (paths.payment, "payments")],
)
@given(text=TEXTS)
def test_a_document_stays_in_its_collection(path_of: Callable[[str], str], collection: str, text: str) -> None:
    assert path_of(text) == f"{collection}/{paths.document_id(text)}"
    assert path_of(text).count("/") == 1


@given(TEXTS, TEXTS)
def test_an_order_stays_under_its_customer(customer: str, session: str) -> None:
    path = paths.order(customer, session)
    assert path.startswith(f"{paths.customer(customer)}/orders/")
    assert path.count("/") == 3


def test_an_event_is_parked_once_per_function() -> None:
    assert paths.parked_event("evt_1", "record_orders") == "parked_events/evt_1_record_orders"


@given(TEXTS, TEXTS)
def test_a_parked_event_is_found_by_the_id_of_its_document(event: str, function: str) -> None:
    path = paths.parked_event(event, function)
    assert paths.parked_document(path.partition("/")[2]) == path


@given(TEXTS)
def test_whatever_a_message_says_names_a_parked_event_or_nothing(text: str) -> None:
    path = paths.parked_document(text)
    assert path is None or (path.startswith("parked_events/") and path.count("/") == 1 and len(path) > 14)


@pytest.mark.parametrize("text", ["", ".", "..", "__x__", "a/b", "/", "x" * 1_501, "あ" * 501])
def test_what_can_be_no_id_names_nothing(text: str) -> None:
    assert paths.parked_document(text) is None


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("tier", "tier"),
        ("__tier__", "%5F_tier__"),
        ("__", "%5F_"),
        ("", "%"),
        ("_tier_", "_tier_"),
        ("a/b.c%d`e", "a/b.c%d`e"),
        ("名前", "名前"),
    ],
)
def test_a_name_that_firestore_reserves_is_escaped_in_a_map(name: str, stored: str) -> None:
    assert paths.as_map({name: "gold"}) == {stored: "gold"}


@pytest.mark.parametrize(
    ("typed", "normalised"),
    [
        ("hana@example.com", "hana@example.com"),
        ("Hana@Example.COM", "hana@example.com"),
        ("  hana@example.com\n", "hana@example.com"),
        ("\u3000hana@example.com\u3000", "hana@example.com"),
        ("\N{NO-BREAK SPACE}hana@example.com", "hana@example.com"),
        ("ＨＡＮＡ＠ｅｘａｍｐｌｅ．ｃｏｍ", "hana@example.com"),
        ("ﾊﾅ@example.com", "ハナ@example.com"),
        ("ha\u0301na@example.com", "hána@example.com"),
        ("hana+shop@example.com", "hana+shop@example.com"),
        ("h.a.n.a@example.com", "h.a.n.a@example.com"),
        ("straße@example.com", "straße@example.com"),
        (None, None),
        ("", None),
        (" \t\u3000", None),
    ],
)
def test_an_address_is_indexed_in_one_spelling(typed: str | None, normalised: str | None) -> None:
    assert paths.normalise_email(typed) == normalised


@given(st.text())
def test_a_normalised_address_is_its_own_normal_form(typed: str) -> None:
    once = paths.normalise_email(typed)
    assert paths.normalise_email(once) == once


@pytest.mark.parametrize("spelling", ["Hana@Example.com", " hana@example.com ", "ｈａｎａ@example.com"])
@pytest.mark.parametrize("user_id", [None, "user-1"])
def test_one_person_is_one_guest_however_the_address_is_typed(spelling: str, user_id: str | None) -> None:
    guest = paths.guest_customer("hana@example.com", user_id, "cs_1")
    assert paths.guest_customer(spelling, user_id, "cs_2") == guest


def test_a_stranger_who_types_my_address_is_another_guest() -> None:
    guests = {paths.guest_customer("hana@example.com", user_id, "cs_1") for user_id in (None, "hana", "stranger")}
    assert len(guests) == 3


def test_no_user_and_an_empty_user_are_the_same_guest() -> None:
    assert paths.guest_customer("a@example.com", "", "cs_1") == paths.guest_customer("a@example.com", None, "cs_1")


def test_addresses_are_different_guests() -> None:
    assert paths.guest_customer("a@example.com", None, "cs_1") != paths.guest_customer("b@example.com", None, "cs_1")


@pytest.mark.parametrize("email", [None, "", "  "])
def test_a_session_without_an_address_is_its_own_guest(email: str | None) -> None:
    assert paths.guest_customer(email, None, "cs_1") == paths.guest_customer(None, None, "cs_1")
    assert paths.guest_customer(email, None, "cs_1") != paths.guest_customer(email, None, "cs_2")


# Orders lie under this id: a change of the rule would give every returning guest a second customer.
def test_the_id_of_a_guest_stays_the_same_from_release_to_release() -> None:
    assert paths.guest_customer("hana@example.com", None, "cs_1") == "guest_e1ef327a1703da6934f6f29d"


@given(st.text(), st.text(), st.text())
def test_a_guests_id_says_nothing_of_the_person(email: str, user_id: str, session: str) -> None:
    assert re.fullmatch("guest_[0-9a-f]{24}", paths.guest_customer(email, user_id, session))


@pytest.mark.parametrize(
    ("email", "index"),
    [
        ("hana@example.com", ("customer_index/email:hana@example.com",)),
        (" HANA@example.com", ("customer_index/email:hana@example.com",)),
        ("a/b@example.com", ("customer_index/email:a%2Fb@example.com",)),
        (None, ()),
        ("", ()),
        (" ", ()),
    ],
)
def test_an_address_leads_to_its_index_entry(email: str | None, index: tuple[str, ...]) -> None:
    assert paths.index_of_email(email) == index


@pytest.mark.parametrize(
    ("user_id", "index"),
    [
        ("U4af4980629", ("customer_index/user:U4af4980629",)),
        ("User-1", ("customer_index/user:User-1",)),
        ("..", ("customer_index/user:..",)),
        ("a/b", ("customer_index/user:a%2Fb",)),
        (None, ()),
        ("", ()),
    ],
)
def test_a_user_leads_to_their_index_entry(user_id: str | None, index: tuple[str, ...]) -> None:
    assert paths.index_of_user(user_id) == index


@given(SHORT)
def test_a_user_never_shares_an_index_entry_with_an_address(text: str) -> None:
    assert not {*paths.index_of_user(text)} & {*paths.index_of_email(text)}
