"""Addresses: every customer who can be written to is, and nobody is talked into writing to somebody else."""

from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.mail.address import writable

#: What address lists and headers are made of, and what people type for it.
TRICKY = [
    *" ,;:<>()[]\"\\'@.=?%!\t\r\n\0\x7f\xa0\u200b\u202e\u3000＠，；。．ａ",
    "a",
    "b.example",
    "@example.com",
    "例え",
]
TYPED = st.lists(st.sampled_from(TRICKY) | st.characters(), max_size=12).map("".join)
ALMOST = st.builds(lambda local, domain: f"{local}@{domain}.com", TYPED, TYPED)


@pytest.mark.parametrize(
    "email",
    [
        "hana@example.com",
        "Hana.Sato+shop@example.co.jp",
        "hana.o'neill@example.com",
        "!#$%&'*+/?=^_`{|}~-@example.com",
        "a@b.example",
        "demo@shop.test",
        "12345@example.com",
        "hana@123.example.com",
        "hana@1and1.example",
        "hana@ab--cd.example",
        "hana@xn--r8jz45g.jp",
        "hana@example.xn--p1ai",
        "x" * 64 + "@example.com",
        "hana@" + "x" * 63 + ".example.com",
    ],
)
def test_an_ordinary_address_is_written_to_as_it_is(email: str) -> None:
    assert writable(email) == email


@pytest.mark.parametrize(
    "email", ["taro..suzuki.@docomo.ne.jp", ".taro@ezweb.ne.jp", "taro.@au.com", "a...b-@softbank.ne.jp"]
)
def test_the_dots_of_japanese_carriers_are_no_obstacle(email: str) -> None:
    assert writable(email) == email


@pytest.mark.parametrize(
    ("typed", "email"),
    [
        (" hana@example.com\r\n", "hana@example.com"),
        ("\u3000hana@example.com\xa0", "hana@example.com"),
        ("ｈａｎａ＠ｅｘａｍｐｌｅ．ｃｏｍ", "hana@example.com"),
        ("hana@example。com", "hana@example.com"),
        ("Hana@EXAMPLE.Com", "Hana@example.com"),
        ("hana@例え.jp", "hana@xn--r8jz45g.jp"),
        ("hana@例え。ＪＰ", "hana@xn--r8jz45g.jp"),
        ("hana@straße.example", "hana@xn--strae-oqa.example"),
        ("hana@BÜCHER.example", "hana@xn--bcher-kva.example"),
    ],
)
def test_what_people_type_is_brought_into_one_form(typed: str, email: str) -> None:
    assert writable(typed) == email


@pytest.mark.parametrize(
    "email",
    [
        "a@example.com, b@example.com",
        "a@example.com,b@example.com",
        "a@example.com;b@example.com",
        "a@example.com b@example.com",
        "a@example.com\nb@example.com",
        "a@example.com\r\nBcc: b@example.com",
        "Hana <a@example.com>",
        "<a@example.com>",
        '"b@example.com" <a@example.com>',
        '"a b"@example.com',
        '"a"@example.com',
        "a(b@example.com)@example.com",
        "group:a@example.com;",
        "group:a@example.com",
        "mailto:a@example.com",
        "a\\@b@example.com",
        "a@b@example.com",
        "a@example.com@",
        "a＠evil.example@example.com",
        "a，b@example.com",
        "=?utf-8?q?b=40evil.example?=@example.com",
    ],
)
def test_what_may_be_read_as_two_or_as_a_name_is_not_written_to(email: str) -> None:
    assert writable(email) is None


@pytest.mark.parametrize(
    "character", [*"\0\x1b\x7f\xad\u061c\u200b\u200d\u202e\u2060\u3164\ufe0f\ufeff\ue000\U000e0041"]
)
@pytest.mark.parametrize("email", ["ha{}na@example.com", "hana@exam{}ple.com", "hana@例{}え.jp", "{}hana@example.com"])
def test_an_address_with_what_nobody_sees_is_not_written_to(email: str, character: str) -> None:
    assert writable(email.format(character)) is None


@pytest.mark.parametrize(
    "email",
    [
        None,
        "",
        "  ",
        "hana",
        "@",
        "@example.com",
        "hana@",
        "hana@example",
        "hana@.example.com",
        "hana@example..com",
        "hana@example.com.",
        "hana@-example.com",
        "hana@example-.com",
        "hana@exa_mple.com",
        "hana@localhost",
        "hana@x.localhost",
        "hana@x.invalid",
        "hana@192.168.0.1",
        "hana@[192.168.0.1]",
        "hana@[IPv6:::1]",
        "hana@example.123",
        "hana@☃.example",
        "hana@\ud800.example",
        "花@example.com",
        "x" * 65 + "@example.com",
        "hana@" + "x" * 64 + ".example.com",
        "hana@" + "x." * 130 + "com",
        "hana@" + "例" * 60 + ".jp",
        "hana@" + "例." * 100 + "jp",
        "a" * 10**6,
        "hana@" + "\u0301\u0323" * 10**5 + ".com",
    ],
)
def test_what_is_no_address_is_not_written_to(email: str | None) -> None:
    assert writable(email) is None


def test_an_address_may_have_254_characters_and_no_more() -> None:
    longest = "x" * 64 + "@" + "x" * 62 + "." + "x" * 63 + "." + "x" * 58 + ".com"
    assert len(longest) == 254
    assert writable(longest) == longest
    assert writable(longest.replace(".com", ".info")) is None


@given(TYPED | ALMOST | st.emails())
def test_an_address_that_is_written_to_is_one_mailbox_and_nothing_else(typed: str) -> None:
    email = writable(typed)
    if email is not None:
        assert email.isascii()
        assert email.isprintable()
        assert not set(' ,;:<>()[]"\\') & {*email}
        assert email.count("@") == 1
        assert len(email) <= 254


@given(ALMOST | st.emails())
def test_an_address_list_reads_it_as_that_one_address(typed: str) -> None:
    email = writable(typed)
    # Python's parser is strict about dots, which nodemailer's is not.
    if email is not None and ".." not in f".{email.replace('@', '.@')}.":
        assert getaddresses([email]) == [("", email)]


@given(TYPED | ALMOST | st.emails())
def test_the_form_of_an_address_is_its_own_form(typed: str) -> None:
    email = writable(typed)
    assert email is None or writable(email) == email
