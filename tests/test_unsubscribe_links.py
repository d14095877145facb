"""The link in every offer: it works for good, says nothing in clear, and cannot be made by anybody else."""

import base64
import hashlib
import json
import secrets
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer

from functions import paths
from functions.marketing.links import PARAMETER, BadLink, UnsubscribeLinks

OLD, NEW, OTHER = (secrets.token_urlsafe(32) for _ in range(3))
BASE = "https://asia-northeast1-shop.cloudfunctions.net/unsubscribe"
LINKS = UnsubscribeLinks(BASE, (OLD,))
CUSTOMER, ADDRESS = "cus_Q3hZkT9XcVbNmL", "hana.sato@example.com"
#: Everything that a mail program, a person or a scanner may make of one character.
CHARACTERS = f"{string.printable}あ\u00e9\u0660\uff11\0"


def token_of(links: UnsubscribeLinks, customer: str = CUSTOMER, address: str = ADDRESS) -> str:
    url = links.url(customer, address)
    assert url.startswith(f"{BASE}?{PARAMETER}=")
    return url.removeprefix(f"{BASE}?{PARAMETER}=")


TOKEN = token_of(LINKS)


def refuses(token: str, links: UnsubscribeLinks = LINKS) -> bool:
    try:
        links.read(token)
    except BadLink:
        return True
    return False


# Reading what was written


@pytest.mark.parametrize("customer", [CUSTOMER, "guest_5f2c9e1ab07d4433a1c2e9d8", "客/1 %2F", "x" * 400])
def test_a_link_leads_to_its_customer(customer: str) -> None:
    found, address_hash = LINKS.read(token_of(LINKS, customer))
    assert found == customer
    assert address_hash == paths.address_hash(ADDRESS)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=100),
)
def test_whatever_ids_and_addresses_are_a_link_leads_back(customer: str, address: str) -> None:
    token = token_of(LINKS, customer, address)
    assert set(token) <= set(f"{string.ascii_letters}{string.digits}-_.")
    found, address_hash = LINKS.read(token)
    assert found == customer
    assert address_hash == paths.address_hash(address)


def test_the_same_two_have_the_same_link() -> None:
    assert LINKS.url(CUSTOMER, ADDRESS) == UnsubscribeLinks(BASE, (OLD,)).url(CUSTOMER, ADDRESS)
    assert LINKS.url(CUSTOMER, " Hana.Sato@Example.com ") == LINKS.url(CUSTOMER, ADDRESS)
    assert LINKS.url(CUSTOMER, "other@example.com") != LINKS.url(CUSTOMER, ADDRESS)


def test_the_address_is_not_in_the_link() -> None:
    payload = base64.urlsafe_b64decode(TOKEN.partition(".")[0] + "==").decode()
    assert "hana" not in payload
    assert "example" not in payload
    _, address_hash = LINKS.read(TOKEN)
    assert json.loads(payload) == [CUSTOMER, address_hash]
    assert address_hash != paths.address_hash("hana.saito@example.com")


def test_neither_a_link_nor_its_keys_show_in_a_traceback() -> None:
    assert OLD not in repr(LINKS)
    with pytest.raises(BadLink) as raised:
        LINKS.read(TOKEN[:-1])
    assert str(raised.value) == ""


def test_a_mail_program_is_told_in_the_words_of_the_rfc() -> None:
    url = LINKS.url(CUSTOMER, ADDRESS)
    assert LINKS.headers(url) == {
        "List-Unsubscribe": f"<{url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    # RFC 5322 ends a line after 998 characters at the latest, and this one cannot be folded.
    assert len(f"List-Unsubscribe: <{url}>") < 998


# Keys


def test_the_first_key_signs_and_every_listed_key_is_believed() -> None:
    both = UnsubscribeLinks(BASE, (NEW, OLD))
    assert both.read(TOKEN) == LINKS.read(TOKEN)
    assert token_of(both) == token_of(UnsubscribeLinks(BASE, (NEW,)))
    assert UnsubscribeLinks(BASE, (NEW,)).read(token_of(both))[0] == CUSTOMER
    assert refuses(token_of(both), LINKS)


@pytest.mark.parametrize("keys", [(NEW, OLD), (NEW, OTHER, OLD), (OTHER, OLD, NEW)])
def test_an_address_is_recognised_whichever_key_signed_it(keys: tuple[str, ...]) -> None:
    links = UnsubscribeLinks(BASE, keys)
    customer, address_hash = links.read(TOKEN)
    assert customer == CUSTOMER
    assert address_hash == paths.address_hash(ADDRESS)


def test_a_key_that_is_no_longer_listed_is_not_believed() -> None:
    assert refuses(TOKEN, UnsubscribeLinks(BASE, (NEW,)))


@pytest.mark.parametrize("keys", [(), ("",), (OLD, "")])
def test_without_a_key_there_are_no_links(keys: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="no key"):
        UnsubscribeLinks(BASE, keys)


# What is no link of ours


def test_every_character_counts() -> None:
    for at, right in enumerate(TOKEN):
        for wrong in CHARACTERS:
            if wrong != right:
                assert refuses(f"{TOKEN[:at]}{wrong}{TOKEN[at + 1 :]}"), (at, wrong)


def test_nothing_is_added_and_nothing_is_missing() -> None:
    for at in range(len(TOKEN) + 1):
        assert at == len(TOKEN) or refuses(TOKEN[:at])
        assert at == 0 or refuses(TOKEN[at:])
        for more in ("=", ".", "A", " ", "\n", "%", "\0", "あ", TOKEN):
            assert refuses(TOKEN[:at] + more + TOKEN[at:]), (at, more)


@given(st.text(max_size=300))
def test_nothing_that_was_not_signed_is_read(token: str) -> None:
    assert refuses(token)


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a.b", "e30.e30", ".eJw.x", "." * 500, "A" * 1_001, f"{TOKEN}.{TOKEN}", TOKEN.upper(), "é.é", "あ"],
)
def test_what_is_no_token_at_all_is_refused(token: str) -> None:
    assert refuses(token)


def signed(payload: object, *, salt: str = "unsubscribe", digest: object = hashlib.sha256, key: str = OLD) -> str:
    signer = {"digest_method": digest, "key_derivation": "hmac"}
    return URLSafeSerializer(key, salt=salt, signer_kwargs=signer).dumps(payload)


def test_a_signature_made_for_something_else_is_no_link() -> None:
    payload = [CUSTOMER, "0" * 16]
    assert LINKS.read(signed(payload)) == (CUSTOMER, "0" * 16)
    assert refuses(signed(payload, salt="password"))
    assert refuses(signed(payload, digest=hashlib.sha1))
    assert refuses(signed(payload, key=OTHER))
    assert refuses(URLSafeSerializer(OLD).dumps(payload))


@pytest.mark.parametrize("payload", [None, 1, "ab", [], ["x"], ["x", 1], [1, "x"], ["", "x"], ["x", "y", "z"], {}])
def test_a_signed_link_of_another_shape_is_refused(payload: object) -> None:
    assert refuses(signed(payload))
