"""What strangers typed: harmless in every mail, and still their own name in every language."""

import unicodedata
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.mail.text import clean, link, person

#: What hostile text is made of, and what it may break.
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
UNSEEN = (
    "\u00ad\u034f\u115f\u1160\u17b4\u180b\u180e\u200b\u2060\u2064\u3164\ufe00\ufeff\uffa0\ufffc\U000e0041\U000e0100"
)
NOTHING = "\ud800\udfff\ue000\U000f0000\uffff\u0378\U000e0001"
SPACES = "\t\n\v\f\r\x1c\x85\xa0\u1680\u2003\u2028\u2029\u202f\u205f\u2800\u3000\0\x1b\x7f"
FORBIDDEN = frozenset(BIDI + UNSEEN + NOTHING + SPACES)
LETTERS = "a \u0301\u0323\u0e47\u20dd\u200d\u200c\ufe0f🇯👩🏽가\u1100\u1161\u11a8\u0958\ufb2cが…"
TRICKY = [*BIDI, *UNSEEN, *NOTHING, *SPACES, *LETTERS]
HOSTILE = st.lists(st.sampled_from(TRICKY) | st.characters(), max_size=40).map("".join)

IN_MANY_LANGUAGES = [
    "株式会社サンプル",
    "神崎 花",
    "がぎぐげご",
    "홍길동",
    "Nguyễn Thị Ánh Tuyết",
    "Müller-Lüdenscheidt",
    "Łukasz Żółć",
    "יְרוּשָׁלַיִם",
    "مُحَمَّدٌ",
    "می\u200cخواهم",
    "क्षत्रिय",
    "क्\u200dष",
    "হযরত র\u200d্যাব",
    "น้ำที่นี่",
    "မျှော်လင့်ချက်",
    "བསྒྲུབས",
    "ភាសាខ្មែរ",
    "ශ්\u200dරී ලංකා",
    "👨\u200d👩\u200d👧\u200d👦",
    "❤️\u200d🔥 👩🏽\u200d🚀 🏳️\u200d🌈 1️⃣ 🇯🇵🇫🇷",
    "☎︎ 50 % off – “today” • ¥1,400…",
]


@pytest.mark.parametrize("text", IN_MANY_LANGUAGES)
def test_what_languages_write_stays_as_it_is(text: str) -> None:
    assert clean(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("space", [*SPACES, "\r\n", " \n\t "])
def test_whatever_moves_the_eye_on_is_one_space(space: str) -> None:
    assert clean(f"{space}Subject:{space}{space}x{space}") == "Subject: x"


@pytest.mark.parametrize("character", [*BIDI, *UNSEEN, *NOTHING])
def test_what_nobody_sees_is_left_out(character: str) -> None:
    assert clean(f"{character}a{character}{character}b{character}") == "ab"


@pytest.mark.parametrize("joiner", ["\u200c", "\u200d"])
@pytest.mark.parametrize(("before", "after"), [("", "a"), ("a", ""), ("a ", "b"), ("a", " b"), ("", "")])
def test_a_joiner_that_joins_nothing_is_left_out(joiner: str, before: str, after: str) -> None:
    assert clean(before + joiner * 2 + after) == before + after


@pytest.mark.parametrize("mark", ["\u0301", "\u0323", "\u0e47", "\u20dd", "\u0489"])
@pytest.mark.parametrize("between", ["", "\u200d", "\u200b"])
def test_marks_do_not_pile_up(mark: str, between: str) -> None:
    assert clean("b" + (mark + between) * 50 + "x").count(mark) == 4


@pytest.mark.parametrize("text", ["\u0301a", " \u0301a", "\u200d\u0301a", "\u0903a"])
def test_a_mark_does_not_cling_to_what_the_mail_says_before(text: str) -> None:
    assert clean(text) == "a"


@pytest.mark.parametrize(
    ("text", "limit", "cut"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("abcd efgh", 6, "abcd…"),
        ("ab👩\u200d🚀cd", 4, "ab…"),
        ("ab👩\u200d🚀cd", 5, "ab…"),
        ("ab👩\u200d🚀cd", 6, "ab👩\u200d🚀…"),
        ("ab👩🏽cd", 4, "ab…"),
        ("a🇯🇵🇫🇷b", 3, "a…"),
        ("a🇯🇵🇫🇷b", 4, "a🇯🇵…"),
        ("a🇯🇵🇫🇷b", 5, "a🇯🇵…"),
        ("ab1️⃣cd", 5, "ab…"),
        ("abที่นี่", 4, "ab…"),
        ("می\u200cخواهم", 4, "م…"),
        ("a" + "\u0903" * 9, 5, "…"),
        ("abc", 1, "…"),
    ],
)
def test_a_text_is_cut_between_what_readers_take_for_characters(text: str, limit: int, cut: str) -> None:
    assert clean(text, limit) == cut


@pytest.mark.parametrize("text", ["a" * 10**6, "a" + "\u0301\u0323" * 10**5, "\u200b" * 10**6, "🇯🇵" * 10**4 + "🇯"])
def test_a_text_of_any_length_is_short_and_says_that_it_was_cut(text: str) -> None:
    assert len(clean(text)) <= 200
    assert clean(text).endswith("…")


def test_a_text_read_in_part_does_not_end_in_half_a_flag() -> None:
    assert clean("a" * 4_999 + "🇯🇵", 10_000) == "a" * 4_999 + "…"


@given(HOSTILE, st.integers(1, 30))
def test_what_is_clean_stays_as_it_is(text: str, limit: int) -> None:
    once = clean(text, limit)
    assert clean(once, limit) == once


@given(HOSTILE, st.integers(1, 30))
def test_a_clean_text_is_one_short_line_of_visible_characters(text: str, limit: int) -> None:
    once = clean(text, limit)
    assert len(once) <= limit
    assert len(once.splitlines()) <= 1
    assert once == " ".join(once.split())
    assert not FORBIDDEN & {*once}
    assert {c for c in once if unicodedata.category(c)[0] == "C"} <= {"\u200c", "\u200d"}


@pytest.mark.parametrize("name", ["株式会社サンプル", "佐藤 花", "O'Brien", "Anne-Marie", "María Ñandú", "7eleven"])
def test_a_name_is_greeted(name: str) -> None:
    assert person(name) == name


DOTTED = "Dr.Who J.SMITH R.McDonald St.Tom M.Cohen No.1太郎 Dr.山田 佐藤．花 www太郎"


@pytest.mark.parametrize("name", ["J.R. Smith", "St. John", "A.B.C. Ltd.", "Jan v.d. Berg", *DOTTED.split()])
def test_a_dot_does_not_make_a_link_of_a_name(name: str) -> None:
    assert person(name) == name


LINKS = """
    evil.com/now bit.ly http://evil ftp://x www.evil hana@example.com EVIL.COM Evil.Com Evil.Xyz/a Evil.Shopping:8080
    当選evil.comへ 当選Evil.Comへ ｅｖｉｌ。ｃｏｍ ｗｗｗ．ｅｖｉｌ hana＠evil EVIL.XN--P1AI иванов.рф 192.168.0.1
    evil.\u200bcom evil\u200d.c\u200dom evil\ufe0f.com q\u0303.com evil.\u0301com
"""


@pytest.mark.parametrize("address", [*LINKS.split(), "x" * 70 + ".com"])
@pytest.mark.parametrize("before", ["", "You won: "])
def test_a_name_with_an_address_in_it_is_no_name(before: str, address: str) -> None:
    assert person(before + address) is None


def test_a_name_that_becomes_an_address_where_it_is_cut_is_no_name() -> None:
    assert person("x" * 51 + "Evil.Comfortable") is None


@pytest.mark.parametrize("name", [None, "", " ", "\u200b", "\u3164\u2800", "…", "-", "12345", "🙂"])
def test_what_has_no_letters_is_no_name(name: str | None) -> None:
    assert person(name) is None


def test_a_long_name_is_cut() -> None:
    assert person("寿限無" * 30) == ("寿限無" * 30)[:59] + "…"


def test_a_name_is_one_line() -> None:
    assert person(" Hana\r\nBcc: x ") == "Hana Bcc: x"


@given(HOSTILE)
def test_a_name_that_was_accepted_is_accepted_again(text: str) -> None:
    name = person(text)
    assert name is None or person(name) == name


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/",
        "HTTPS://Example.com:8443/a?b=c&d=%20#e",
        "https://invoice.stripe.com/i/acct_1/test_YWNjdF8x,X2E?s=ap",
        "https://checkout.stripe.com/c/pay/cs_test_a1#fid2cGd2ZndsdXFsamtQa2x0cGBrYHZ2QGtkZ2lgYSc%2FY2RpdmAl",
        "https://xn--r8jz45g.jp/%E6%B3%A8%E6%96%87",
        "https://localhost/a",
        "http://127.0.0.1:9099/emulator/action?mode=resetPassword&oobCode=a-b_c&lang=ja",
        "http://localhost:5000/",
        "https://a.example/" + "x" * 1_982,
    ],
)
def test_a_complete_https_address_is_a_link(url: str) -> None:
    assert link(url) == url


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "example.com",
        "/orders",
        "//example.com/",
        "http://example.com/",
        "http://127.0.0.1.example.com/",
        "http://localhost@example.com/",
        "http://192.168.0.1/",
        "javascript:alert(1)",
        "data:text/html,x",
        "https:example.com",
        "https:///a",
        "https://?a",
        "https://.",
        "https://a..b/",
        "https://[::1]/",
        "https://shop.example@evil.com/",
        "https://user:password@example.com/",
        "https://example.com:x/",
        "https://example.com\\@evil.com/",
        "https://example.com%2eevil.com/",
        "https://example.com/ a",
        " https://example.com/",
        "https://example.com/\n",
        "https://exam\nple.com/",
        'https://example.com/"onclick="x',
        "https://example.com/'",
        "https://example.com/<b>",
        "https://example.com/`",
        "https://example.com/\0",
        "https://example.com/\u202egpj.exe",
        "https://example.com/注文",
        "https://ｅxample.com/",
        "https://ſ.example/",
        "https://a.example/" + "x" * 1_983,
    ],
)
def test_anything_else_is_no_link(url: str | None) -> None:
    assert link(url) is None


@given(st.text(st.sampled_from("abc.:/@\\[]%?#&='\" \n-1é\u202e"), max_size=20))
def test_a_link_leads_where_every_parser_says(end: str) -> None:
    url = link(f"https://{end}")
    if url is not None:
        parts = urlsplit(url)
        assert (parts.scheme, parts.username, parts.netloc.partition(":")[0].lower()) == ("https", None, parts.hostname)
