"""Every mail in every language, for each of its readers, with all that Stripe may leave out: whole, safe and true."""

import re
import unicodedata
from calendar import month_name
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.letters import Audience, Facts, Letter
from functions.mail import facts as facts_module
from functions.mail.address import writable
from functions.mail.facts import Canceled, CartRecovery, Instructions, OrderPaid, OrderPending, Plan, Refund, Store
from functions.mail.facts import TrialEnding as Trial
from functions.mail.locales import LANGUAGES
from functions.mail.render import message
from functions.mail.settings import MailSettings
from functions.mail.table import BY_NAME, MAILS
from local.mail_samples import SETTINGS, Sample, samples

TEMPLATES = Path(__file__).parent.parent / "functions/mail/templates"
#: What the mails of a language are made of, beside one template for each.
SHARED = {"letter", "offer", "support", "words"}
#: Both write their hours from 0 to 23, so that two languages can be compared.
LOCALES = {"ja": "ja", "en": "en-GB"}
SAMPLES = {sample.name: sample for sample in samples()}
HOSTILE = "order_paid-hostile"
TRUSTED = [name for name in SAMPLES if name != HOSTILE]

Message = dict[str, str]


def write(letter: Letter, audience: Audience, language: str, using: MailSettings = SETTINGS) -> Message:
    """The letter as somebody reads it whose language, and whose colleagues', is this one."""
    locale = LOCALES[language]
    letter = replace(letter, reader=replace(letter.reader, locales=(locale,)))
    told = writable(letter.reader.email) is not None
    return message(letter, audience, replace(using, locale=locale), customer_is_told=told)


def written(letter: Letter, using: MailSettings = SETTINGS) -> Iterator[tuple[str, Message]]:
    """The language and the mail, for each language and reader."""
    for language in LANGUAGES:
        for audience in BY_NAME[letter.facts.MAIL].to:
            yield language, write(letter, audience, language, using)


def letter_of(facts: Facts) -> Letter:
    return replace(SAMPLES["order_paid"].letter, facts=facts)


def text_of(facts: Facts, language: str = "ja", audience: Audience = "customer") -> str:
    return write(letter_of(facts), audience, language)["text"]


# What is there.


def _names(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.jinja")}


def test_the_languages_are_the_folders() -> None:
    assert {path.name for path in TEMPLATES.iterdir() if path.is_dir()} == set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_row_has_its_templates_and_every_template_its_row(language: str) -> None:
    folder = TEMPLATES / language
    assert _names(folder) - SHARED == {mail.name for mail in MAILS if "customer" in mail.to}
    assert _names(folder / "support") == {mail.name for mail in MAILS if "support" in mail.to}
    assert _names(folder) >= SHARED


def test_every_row_has_its_facts_and_a_sample() -> None:
    classes = [each for each in vars(facts_module).values() if isinstance(each, type) and issubclass(each, Facts)]
    assert {each.MAIL for each in classes if each is not Facts} == BY_NAME.keys()
    assert {sample.letter.facts.MAIL for sample in samples()} == BY_NAME.keys()
    assert len(SAMPLES) == len(samples())
    assert all(sample.name.partition("-")[0] == sample.letter.facts.MAIL and sample.note for sample in samples())


# What holds for all of them.


class _Page(HTMLParser):
    """Fails on tags that do not close in order; keeps what a reader sees, and where the links lead."""

    VOID = frozenset({"meta", "br", "img"})
    STYLED = frozenset({"body", "td", "p", "a", "ul", "li", "img"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.language = ""
        self.title = ""
        self.shown = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        assert len(given) == len(attrs), f"an attribute twice in {tag}"
        assert not [name for name in given if name.startswith("on")]
        assert tag not in self.STYLED or given.get("style"), f"{tag} without a style"
        self.tags.add(tag)
        self.language += given.get("lang", "")
        self.links += [given["href"]] if "href" in given else []
        self.pictures += [given["src"]] if "src" in given else []
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "title":
            self.title += data
        elif self._open and self._open[-1] != "style":
            self.shown += data


OUR_TAGS = {"html", "head", "meta", "title", "style", "body", "div", "table", "tr", "td", "p", "a", "ul", "li", "span"}
OUR_TAGS |= _Page.VOID
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"


def _is_visible(character: str) -> bool:
    return character in _JOINERS or unicodedata.category(character)[0] != "C"


def check(written: Message, language: str, *, typed_by_strangers: bool = False) -> _Page:
    """What holds for every mail, whatever is in it."""
    subject, text, html = written["subject"], written["text"], written["html"]
    assert subject == subject.strip()
    assert 0 < len(subject) <= 150
    assert all(map(_is_visible, subject)), subject

    assert text == text.strip() + "\n"
    assert "\n\n\n" not in text
    assert [line for line in text.split("\n") if line != line.rstrip()] == []
    assert all(map(_is_visible, text.replace("\n", ""))), text

    page = _Page(html)
    assert page.tags <= OUR_TAGS
    assert page.language == language
    assert html.startswith("<!DOCTYPE html>")
    assert [link for link in page.links if not re.match(r"https://|mailto:", link)] == []
    assert [picture for picture in page.pictures if not picture.startswith("https://")] == []
    assert "<script" not in html
    assert "<img src=x" not in html
    if not typed_by_strangers:
        assert "None" not in subject + text + html
        assert "ndefined" not in subject + text + html
        assert not re.search(r"</?(?:p|table|tr|td|div|br|ul|li|a|span|img|html|style)\b|&[a-z#0-9]+;", text)
        assert not re.search(r"(?<! )  (?! )| [。、）」]|[（「] | [.,;]", text), text
    return page


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.name)
def test_every_sample_is_well_written(sample: Sample) -> None:
    for language, mail in written(sample.letter):
        page = check(mail, language, typed_by_strangers=sample.name == HOSTILE)
        assert page.title == mail["subject"]


def _has_fields(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type)


def _optional(value: Any) -> Iterator[tuple[str, Any, bool]]:
    """The fields, their values, and whether they may be None."""
    hints = get_type_hints(type(value))
    for field in fields(value):
        yield field.name, getattr(value, field.name), type(None) in get_args(hints[field.name])


def one_absent(value: Any) -> Iterator[Any]:
    """`value` without one of the things it may lack, for each of them, however deep it lies."""
    for name, present, may_be_none in _optional(value):
        if may_be_none and present is not None:
            yield replace(value, **{name: None})
        if _has_fields(present):
            yield from (replace(value, **{name: each}) for each in one_absent(present))
        if isinstance(present, tuple) and present:
            yield replace(value, **{name: ()})
            if _has_fields(present[0]):
                yield from (replace(value, **{name: (each, *present[1:])}) for each in one_absent(present[0]))


def all_absent(value: Any, *, keep_parts: bool) -> Any:
    """`value` without anything it may lack; with parts, each of which lacks everything, or without them."""
    changes: dict[str, Any] = {}
    for name, present, may_be_none in _optional(value):
        if isinstance(present, tuple):
            bare = (all_absent(each, keep_parts=True) for each in present if _has_fields(each))
            changes[name] = tuple(bare) if keep_parts else ()
        elif _has_fields(present) and (keep_parts or not may_be_none):
            changes[name] = all_absent(present, keep_parts=keep_parts)
        elif may_be_none:
            changes[name] = None
    return replace(value, **changes)


def test_absence_reaches_everything_that_may_be_none() -> None:
    letter = SAMPLES["order_pending-konbini"].letter
    variants = list(one_absent(letter))
    facts = [variant.facts for variant in variants]
    assert any(each.instructions is None for each in facts)
    assert any(each.instructions and each.instructions.stores == () for each in facts)
    assert any(each.instructions and each.instructions.stores[:1] and each.order.lines == () for each in facts)
    assert any(each.order.lines and each.order.lines[0].description is None for each in facts)
    assert any(variant.reader.name is None for variant in variants)
    bare = all_absent(letter, keep_parts=True)
    assert bare.facts.instructions.stores[0] == Store(chain="familymart", payment_code=None, confirmation_number=None)
    assert all_absent(letter, keep_parts=False).facts.instructions is None


PLAIN_BRAND = replace(SETTINGS, brand=all_absent(SETTINGS.brand, keep_parts=False))
LOGO_BRAND = replace(SETTINGS, brand=replace(SETTINGS.brand, logo_url="https://yamaneko.example/logo.png"))


@pytest.mark.parametrize("name", TRUSTED)
def test_every_sample_is_well_written_without_what_it_may_lack(name: str) -> None:
    letter = SAMPLES[name].letter
    bare = [all_absent(letter, keep_parts=keep_parts) for keep_parts in (True, False)]
    variants = [(each, SETTINGS) for each in one_absent(letter)]
    variants += [(each, using) for using in (PLAIN_BRAND, LOGO_BRAND) for each in (letter, *bare)]
    for variant, using in variants:
        for language, mail in written(variant, using):
            check(mail, language)


@pytest.mark.parametrize("name", TRUSTED)
def test_a_brand_without_pages_links_to_none_of_them(name: str) -> None:
    for _, mail in written(SAMPLES[name].letter, PLAIN_BRAND):
        assert "yamaneko.example" not in (mail["text"] + mail["html"]).replace("yamaneko.example/__/auth", "")


def _without_currency(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_without_currency, value))
    if not _has_fields(value):
        return value
    return replace(
        value,
        **{name: None if name == "currency" else _without_currency(present) for name, present, _ in _optional(value)},
    )


@pytest.mark.parametrize("name", TRUSTED)
def test_an_amount_without_a_currency_is_not_told(name: str) -> None:
    for language, mail in written(_without_currency(SAMPLES[name].letter)):
        check(mail, language)
        assert not re.search(r"\d,\d{3}|\d\.\d\d\b", mail["subject"] + mail["text"])


# What strangers typed.


def _retyped(value: Any, text: str) -> Any:
    """A copy with `text` for everything that is text; what is one of a few words stays."""
    if isinstance(value, str):
        return text
    if isinstance(value, tuple):
        return tuple(_retyped(each, text) for each in value)
    if not _has_fields(value):
        return value
    hints = get_type_hints(type(value))
    changes = {}
    for name, present, _ in _optional(value):
        is_text = hints[name] is str or str in get_args(hints[name])
        if is_text or not isinstance(present, str):
            changes[name] = text if present is None and is_text else _retyped(present, text)
    return replace(value, **changes)


NASTY = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"'><a href=//evil.example>",
    "</td></table>",
    "&lt;&#60;",
    "javascript:alert(1)",
    "https://evil.example",
    "{{ brand }}{% endblock %}",
    "a\r\nBcc: b@c.example",
    "\u202egpj.exe",
    "\u200b",
    "☕️👩🏽‍🚀",
    "長" * 300,
    "x" * 5_000,
    "",
]


@settings(max_examples=400)
@given(
    name=st.sampled_from([name for name in SAMPLES if name != "order_paid-many_lines"]),
    text=st.lists(st.sampled_from(NASTY) | st.text(), max_size=4).map("".join),
)
def test_whatever_is_typed_the_mail_stays_whole(name: str, text: str) -> None:
    for language, mail in written(_retyped(SAMPLES[name].letter, text)):
        page = check(mail, language, typed_by_strangers=True)
        # The layout's own, and pages of Stripe's Dashboard: no link is shown under a text that says another thing.
        assert {link.split("/")[2] for link in page.links} <= {
            "yamaneko.example",
            "dashboard.stripe.com",
            *(["evil.example"] if text.startswith("https://") else []),
        }


def test_what_a_hostile_buyer_typed_is_text() -> None:
    for language, mail in written(SAMPLES[HOSTILE].letter):
        page = check(mail, language, typed_by_strangers=True)
        assert "<script>alert(1)</script>" in page.shown
        assert "&lt;img src=x onerror=alert(1)&gt;" in mail["html"]
        assert "evil.example" not in "".join(page.links)
        assert "\u202e" not in mail["text"] + mail["html"]
        assert not re.search(r"^Bcc:", mail["text"], re.MULTILINE)
        assert len(mail["text"]) < 3_000


# What the languages and the forms have in common.

_MONTHS = list(month_name)
_JA_DATE = re.compile(r"(\d{4})年(\d{1,2})月(\d{1,2})日(?: (\d{2}:\d{2}))?")
_EN_DATE = re.compile(rf"(\d{{1,2}}) ({'|'.join(_MONTHS[1:])}) (\d{{4}})(?: at (\d{{2}}:\d{{2}}))?")
_AMOUNT = re.compile(r"(?:JP¥|US\$|\$|€)([\d,.]*\d)|([\d,.]*\d)円")


def _dates(language: str, text: str) -> set[tuple[str, ...]]:
    if language == "ja":
        return set(_JA_DATE.findall(text))
    return {(year, str(_MONTHS.index(month)), day, time) for day, month, year, time in _EN_DATE.findall(text)}


def _amounts(text: str) -> set[str]:
    return {"".join(found) for found in _AMOUNT.findall(text)}


@pytest.mark.parametrize("name", TRUSTED)
def test_both_languages_tell_the_same(name: str) -> None:
    letter = SAMPLES[name].letter
    for audience in BY_NAME[letter.facts.MAIL].to:
        ja, en = (write(letter, audience, language) for language in ("ja", "en"))
        assert _amounts(ja["text"]) == _amounts(en["text"])
        assert _dates("ja", ja["text"]) == _dates("en", en["text"])
        assert _Page(ja["html"]).links == _Page(en["html"]).links


def test_what_both_languages_tell_is_found() -> None:
    mails = {language: write(SAMPLES["order_pending-konbini"].letter, "customer", language) for language in LANGUAGES}
    for language, mail in mails.items():
        assert _amounts(mail["text"]) == {"2,800", "2,000", "4,800"}
        assert _dates(language, mail["text"]) == {("2026", "11", "21", "14:05"), ("2026", "11", "24", "23:59")}


def _squeezed(text: str) -> str:
    """Without what only one of the forms has: spaces, bullets, colons."""
    return re.sub(r"[\s■・：:#-]", "", text)


@pytest.mark.parametrize("name", SAMPLES)
def test_text_and_html_tell_the_same(name: str) -> None:
    for _, mail in written(SAMPLES[name].letter):
        page = _Page(mail["html"])
        shown, after = _squeezed(page.shown), 0
        for line in mail["text"].splitlines():
            if line.startswith("https://"):
                assert line in page.links
                continue
            found = shown.find(_squeezed(line), after)
            assert found >= 0, line
            after = found


@pytest.mark.parametrize("name", [name for name in TRUSTED if re.match("order_|refund", name)])
def test_an_order_is_called_by_its_number_everywhere(name: str) -> None:
    facts = SAMPLES[name].letter.facts
    number = None if name == "refund-no_order" else "4K7R2M9Q"
    if isinstance(facts, Refund):
        assert facts.number == number
    for _, mail in written(SAMPLES[name].letter):
        assert [number in part if number else "4K7R2M9Q" not in part for part in mail.values()] == [True] * 3


# What single mails tell.


@pytest.mark.parametrize(("language", "more"), [("ja", "ほか 900 点"), ("en", "and 900 more")])
def test_a_thousand_lines_are_cut_short(language: str, more: str) -> None:
    letter = SAMPLES["order_paid-many_lines"].letter
    assert isinstance(letter.facts, OrderPaid)
    order = letter.facts.order
    mail = write(letter, "customer", language)
    for part in (mail["text"], mail["html"]):
        assert part.count("コーヒー豆 見本") == 100
        assert more in part
    exactly = write(letter_of(OrderPaid(order=replace(order, lines=order.lines[:100]))), "customer", language)
    assert not re.search(r"ほか \d|and \d+ more", exactly["text"])
    # The longest descriptions, in characters that take most bytes: a document may have 1,048,576.
    longest = tuple(replace(line, description="😀&" * 2_500) for line in order.lines)
    mail = write(letter_of(OrderPaid(order=replace(order, lines=longest))), "support", language)
    assert len("".join(mail.values()).encode()) < 300_000


def test_a_konbini_is_called_by_its_name() -> None:
    facts = SAMPLES["order_pending-konbini"].letter.facts
    assert isinstance(facts, OrderPending)
    assert facts.instructions
    for store, chain, english in zip(
        facts.instructions.stores,
        ("ファミリーマート", "ローソン", "ミニストップ", "セイコーマート"),
        ("FamilyMart", "Lawson", "Ministop", "Seicomart"),
        strict=True,
    ):
        assert f"■ {chain}\n支払いコード：{store.payment_code}\n確認番号：09012345678\n" in text_of(facts)
        assert f"# {english}\nPayment code: {store.payment_code}\n" in text_of(facts, "en")
    new = replace(facts.instructions, stores=(Store(chain="newmart", payment_code="1", confirmation_number=None),))
    assert "■ newmart\n支払いコード：1\n\n" in text_of(replace(facts, instructions=new))
    # Without the number that is typed there, the page is what helps.
    none = replace(new, stores=(Store(chain="lawson", payment_code=None, confirmation_number="1"),))
    assert "ローソン" not in text_of(replace(facts, instructions=none))
    assert "下のリンク先のページに記載の方法で" in text_of(replace(facts, instructions=none))


def test_an_account_is_read_in_the_order_of_a_banks_form() -> None:
    facts = SAMPLES["order_pending-bank_transfer"].letter.facts
    assert isinstance(facts, OrderPending)
    assert facts.instructions
    # In the order in which Stripe sends them.
    shuffled = (("new_field", "9"), *facts.instructions.account, ("empty", ""))
    told = replace(facts, instructions=replace(facts.instructions, account=shuffled, reference="R-1"))
    account = (
        "■ お振込先\n銀行名：三井住友銀行\n銀行コード：0009\n支店名：東京第一支店\n支店コード：950\n"
        "預金種目：普通\n口座番号：0123456\n口座名義：ストライプジャパン（カ\nnew_field：9\n照会番号：R-1\n\n"
    )
    assert account in text_of(told)
    assert "Account type: Ordinary (futsu)\n" in text_of(told, "en")
    assert "照会番号" not in text_of(facts)


@pytest.mark.parametrize(
    ("instructions", "told"),
    [
        (None, "決済代行会社Stripeからのメールに記載の方法でお支払いください"),
        (Instructions(kind="voucher", expires_at=None, hosted_url=None), "Stripeからのメールに記載の方法で、お支払い"),
        (
            Instructions(kind="voucher", expires_at=None, hosted_url="https://x.example"),
            "下のリンク先のページに記載の方法で",
        ),
        (
            Instructions(kind="bank_transfer", expires_at=None, hosted_url="https://x.example", reference="R-1"),
            "照会番号：R-1",
        ),
    ],
)
def test_a_buyer_hears_how_to_pay_as_far_as_stripe_says_it(instructions: Instructions | None, told: str) -> None:
    facts = SAMPLES["order_pending-no_instructions"].letter.facts
    assert isinstance(facts, OrderPending)
    text = text_of(replace(facts, instructions=instructions))
    assert told in text
    assert "期限" not in text


@pytest.mark.parametrize(
    ("plan", "ja", "en"),
    [
        (Plan(amount=980, currency="jpy", interval="month", interval_count=1), "月額980円", "JP¥980 a month"),
        (Plan(amount=980, currency="jpy", interval="year", interval_count=None), "年額980円", "JP¥980 a year"),
        (Plan(amount=980, currency="jpy", interval="week", interval_count=1), "毎週980円", "JP¥980 a week"),
        (Plan(amount=980, currency="jpy", interval="day", interval_count=1), "毎日980円", "JP¥980 a day"),
        (
            Plan(amount=2_700, currency="jpy", interval="month", interval_count=3),
            "3か月ごとに2,700円",
            "every 3 months",
        ),
        (Plan(amount=2_700, currency="jpy", interval="year", interval_count=2), "2年ごとに2,700円", "every 2 years"),
        (Plan(amount=980, currency="jpy", interval="fortnight", interval_count=1), "：980円\n", ": JP¥980\n"),
        (Plan(amount=980, currency="jpy", interval=None, interval_count=2), "：980円\n", ": JP¥980\n"),
        (Plan(amount=0, currency="jpy", interval="month", interval_count=1), "：無料\n", ": Free of charge\n"),
    ],
)
def test_a_plan_has_its_price(plan: Plan, ja: str, en: str) -> None:
    facts = SAMPLES["trial_ending"].letter.facts
    assert isinstance(facts, Trial)
    assert ja in text_of(replace(facts, plan=plan))
    assert en in text_of(replace(facts, plan=plan), "en")
    canceled = replace(facts, plan=plan, is_canceled=True)
    assert "料金は発生いたしません" in text_of(canceled)
    assert "will not be charged" in text_of(canceled, "en")
    assert not _amounts(text_of(canceled))


def test_the_end_of_a_trial_offers_more_where_there_is_a_page_for_it() -> None:
    letter = SAMPLES["trial_ending"].letter
    assert "プランをアップグレード：\nhttps://yamaneko.example/plans\n" in write(letter, "customer", "ja")["text"]
    assert "Upgrade:\nhttps://yamaneko.example/plans\n" in write(letter, "customer", "en")["text"]
    assert "アップグレード" not in write(letter, "customer", "ja", PLAIN_BRAND)["text"]


def test_each_reason_of_an_end_is_told() -> None:
    facts = SAMPLES["canceled"].letter.facts
    assert isinstance(facts, Canceled)
    reasons = ["cancellation_requested", "payment_failed", "payment_disputed", None]
    for language in LANGUAGES:
        texts = {text_of(replace(facts, reason=reason), language) for reason in reasons}
        assert len(texts) == len(reasons)
        # What Stripe may add one day is the customer's affair as little as none.
        assert text_of(replace(facts, reason="new_reason"), language) in texts
    assert "理由：new_reason\n" in text_of(replace(facts, reason="new_reason"), audience="support")


def test_only_support_hears_of_attempts_and_whether_the_customer_was_told() -> None:
    letter = SAMPLES["invoice_unpaid-last"].letter
    assert "試行回数：4 回" in write(letter, "support", "ja")["text"]
    assert "4 回" not in write(letter, "customer", "ja")["text"]
    for mail in MAILS:
        if mail.to == ("customer", "support"):
            letter = SAMPLES[mail.name].letter
            unreachable = replace(letter, reader=replace(letter.reader, email=None))
            for language, untold in (("ja", "お送りできていません"), ("en", "was sent nothing")):
                assert untold not in write(letter, "support", language)["text"]
                assert untold in write(unreachable, "support", language)["text"]
                assert untold not in write(unreachable, "customer", language)["text"]


def test_an_offer_says_why_it_comes() -> None:
    facts = SAMPLES["cart_recovery"].letter.facts
    assert "同意された方に" in text_of(facts)
    assert "agreed at checkout" in text_of(facts, "en")
    assert "大切なお知らせ" not in text_of(facts)
    # A link that is none is not shown, and nobody is sent to it.
    assert isinstance(facts, CartRecovery)
    assert "お手続きを続ける" not in text_of(replace(facts, recovery_url="javascript:alert(1)"))


def test_support_is_sent_to_pages_that_exist() -> None:
    letter = SAMPLES["parked"].letter
    assert "https://dashboard.stripe.com/events/evt_1DemoParked\n" in write(letter, "support", "ja")["text"]
    # What could not even be read is called by the id of its message.
    unread = replace(letter, origin=replace(letter.origin, event="1234567890"))
    for language in LANGUAGES:
        mail = write(unread, "support", language)
        assert "dashboard.stripe.com" not in mail["text"] + mail["html"]
        assert "Dashboard" not in mail["text"]
        assert "ダッシュボード" not in mail["text"]
