"""The mails that become due with time, in both languages, for each of their readers, with all that may be missing."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from functions.letters import Audience, Letter
from functions.mail.facts import CardExpiring, Plan, Renewal, UnpaidFollowup, UpgradeOffer, YearlyOffer
from functions.mail.locales import LANGUAGES
from functions.mail.render import message
from functions.mail.settings import MailSettings
from functions.marketing.links import UnsubscribeLinks
from local.mail_samples import SETTINGS
from local.mail_samples.reminders import reminder_samples
from tests import test_mail_templates as mails
from tests.test_mail_templates import LOCALES, LOGO_BRAND, PLAIN_BRAND, TEMPLATES, Message, check

UNSUBSCRIBE_URL = UnsubscribeLinks("https://shop.example/unsubscribe", ("k" * 32,)).url(
    "cus_DemoMei", "mei@example.com"
)
SAMPLES = {sample.name: sample.letter for sample in reminder_samples()}
OFFERS = [name for name in SAMPLES if "_offer" in name]
NOTICES = [name for name in SAMPLES if "_offer" not in name]
FOR_SUPPORT = [name for name in SAMPLES if name.startswith(("renewal", "card_expiring"))]
#: The line above the link, and where text and html begin with what stands under a mail.
UNSUBSCRIBE = {"ja": "配信を停止する：", "en": "Unsubscribe:"}
FOOT = {"text": "\n--\n", "html": 'class="pad muted"'}


def write(
    letter: Letter,
    language: str = "ja",
    audience: Audience = "customer",
    using: MailSettings = SETTINGS,
    unsubscribe_url: str | None = UNSUBSCRIBE_URL,
) -> Message:
    """The letter as somebody reads it whose language, and whose colleagues', is this one."""
    locale = LOCALES[language]
    letter = replace(letter, reader=replace(letter.reader, locales=(locale,)))
    return message(
        letter,
        audience,
        replace(using, locale=locale),
        customer_is_told=letter.reader.email is not None,
        unsubscribe_url=unsubscribe_url,
    )


def written(letter: Letter, using: MailSettings = SETTINGS) -> Iterator[tuple[str, Message]]:
    """The language and the mail, for each language and each reader that there is a template for."""
    for language in LANGUAGES:
        for audience, folder in readers(language):
            if (folder / f"{letter.facts.MAIL}.jinja").exists():
                yield language, write(letter, language, audience, using)


def readers(language: str) -> Iterator[tuple[Audience, Any]]:
    yield "customer", TEMPLATES / language
    yield "support", TEMPLATES / language / "support"


def text_of(name: str, language: str = "ja", audience: Audience = "customer", **changes: Any) -> str:
    """The text of a sample, some of whose facts are others."""
    letter = SAMPLES[name]
    return write(replace(letter, facts=replace(letter.facts, **changes)), language, audience)["text"]


# What holds for all of them.


def test_each_has_a_sample_and_a_template_for_each_of_its_readers() -> None:
    kinds = {each.MAIL for each in (UpgradeOffer, YearlyOffer, Renewal, CardExpiring, UnpaidFollowup)}
    assert {letter.facts.MAIL for letter in SAMPLES.values()} == kinds <= SAMPLES.keys()
    assert len(SAMPLES) == len(reminder_samples())
    assert all(
        sample.name.partition("-")[0] == sample.letter.facts.MAIL and sample.note for sample in reminder_samples()
    )
    for name, letter in SAMPLES.items():
        assert len(list(written(letter))) == (4 if name in FOR_SUPPORT else 2)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_is_well_written(name: str) -> None:
    for language, mail in written(SAMPLES[name]):
        assert check(mail, language).title == mail["subject"]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_is_well_written_without_what_it_may_lack(name: str) -> None:
    letter = SAMPLES[name]
    bare = mails.all_absent(letter, keep_parts=False)
    variants = [(each, SETTINGS) for each in mails.one_absent(letter)]
    variants += [(each, using) for using in (PLAIN_BRAND, LOGO_BRAND) for each in (letter, bare)]
    for variant, using in [*variants, (bare, SETTINGS)]:
        for language, mail in written(variant, using):
            check(mail, language)


@pytest.mark.parametrize("name", SAMPLES)
def test_both_languages_tell_the_same(name: str) -> None:
    ja, en = (
        [mail for written_in, mail in written(SAMPLES[name]) if written_in == language] for language in ("ja", "en")
    )
    for one, other in zip(ja, en, strict=True):
        assert mails._amounts(one["text"]) == mails._amounts(other["text"])
        assert mails._dates("ja", one["text"]) == mails._dates("en", other["text"])
        assert check(one, "ja").links == check(other, "en").links


@pytest.mark.parametrize("name", SAMPLES)
def test_text_and_html_tell_the_same(name: str) -> None:
    for language, mail in written(SAMPLES[name]):
        page = check(mail, language)
        shown, after = mails._squeezed(page.shown), 0
        for line in mail["text"].splitlines():
            if line.startswith("https://"):
                assert line in page.links
            else:
                after = shown.find(mails._squeezed(line), after)
                assert after >= 0, line


@pytest.mark.parametrize("name", FOR_SUPPORT)
def test_support_hears_whether_the_customer_was_told(name: str) -> None:
    letter = SAMPLES[name]
    unreachable = replace(letter, reader=replace(letter.reader, email=None))
    for language, untold in (("ja", "お送りできていません"), ("en", "was sent nothing")):
        assert untold not in write(letter, language, "support")["text"]
        assert untold in write(unreachable, language, "support")["text"]
        assert untold not in write(unreachable, language)["text"]


# Offers.


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", OFFERS)
def test_an_offer_says_how_it_is_refused_under_the_mail(name: str, language: str) -> None:
    mail = write(SAMPLES[name], language)
    assert f"\n{UNSUBSCRIBE[language]}\n{UNSUBSCRIBE_URL}\n" in mail["text"]
    assert check(mail, language).links.count(UNSUBSCRIBE_URL) == 1
    for form, foot in FOOT.items():
        body, _, under = mail[form].rpartition(foot)
        assert (body.count(UNSUBSCRIBE_URL), under.count(UNSUBSCRIBE_URL)) == (0, 1)


@pytest.mark.parametrize("name", OFFERS)
def test_an_offer_without_a_link_is_refused_by_an_answer(name: str) -> None:
    for language, told in (("ja", "いつでもお断りいただけます"), ("en", "You may refuse further offers at any time")):
        mail = write(SAMPLES[name], language, unsubscribe_url=None)
        check(mail, language)
        assert UNSUBSCRIBE[language].rstrip("：:") not in mail["text"] + mail["html"]
        assert told in mail["text"]


@pytest.mark.parametrize("name", OFFERS)
def test_an_offer_says_what_it_is_why_it_comes_and_from_whom(name: str) -> None:
    ja, en = (write(SAMPLES[name], language)["text"].partition(FOOT["text"])[2] for language in ("ja", "en"))
    assert "喫茶 山猫からの広告です" in ja
    assert "同意された方、または" in ja
    assert "大切なお知らせ" not in ja
    assert "an advertisement from 喫茶 山猫" in en
    assert "because you agreed" in en
    for foot in (ja, en):
        assert "株式会社山猫\n〒111-0036 東京都台東区松が谷9-9-9\n" in foot


@pytest.mark.parametrize("name", NOTICES)
def test_what_is_no_offer_has_no_link_to_refuse_it(name: str) -> None:
    for language, mail in written(SAMPLES[name]):
        assert UNSUBSCRIBE_URL not in mail["text"] + mail["html"]
        assert UNSUBSCRIBE[language] not in mail["text"]
        assert not re.search("広告|advertisement", mail["text"])


@pytest.mark.parametrize("name", OFFERS)
def test_an_offer_leads_to_the_plans_or_asks_for_an_answer(name: str) -> None:
    for language, reply in (("ja", "このメールにご返信"), ("en", "reply to this message")):
        body, nowhere = (
            write(SAMPLES[name], language, using=using)["text"].partition(FOOT["text"])[0]
            for using in (SETTINGS, PLAIN_BRAND)
        )
        assert "https://yamaneko.example/plans\n" in body
        assert reply not in body
        assert "https://" not in nowhere
        assert reply in nowhere


def test_the_end_of_a_trial_is_offered_more_than_a_free_plan_that_has_none() -> None:
    assert "無料プランの使い心地" in text_of("upgrade_offer")
    assert "トライアル" not in text_of("upgrade_offer")
    assert "トライアル終了日時：2026年11月28日 14:05\n終了後の料金：月額980円\n" in text_of("upgrade_offer-trial")
    assert "終了後の料金：無料\n" in text_of("upgrade_offer-trial_free")
    assert "Price after that: Free of charge\n" in text_of("upgrade_offer-trial_free", "en")
    for name in ("upgrade_offer", "upgrade_offer-trial_free", "upgrade_offer-trial_no_price"):
        assert "割引や税" not in text_of(name)
        assert not mails._amounts(text_of(name))


def test_what_a_year_saves_is_told_in_money_and_in_percent() -> None:
    ja = "月払いの1年分：11,760円（月額980円 × 12か月）\n年払いの1年分：9,800円\nお得になる金額：1,960円（16%）\n"
    en = "12 months, paid monthly: JP¥11,760 (12 × JP¥980)\nOne year, paid yearly: JP¥9,800\nYou save: JP¥1,960 (16%)\n"
    assert ja in text_of("yearly_offer")
    assert en in text_of("yearly_offer", "en")
    assert "1,960円" in write(SAMPLES["yearly_offer"])["subject"]
    # Less than one percent is no percentage to speak of.
    assert "お得になる金額：60円\n" in text_of("yearly_offer-little")
    assert "You save: JP¥60\n" in text_of("yearly_offer-little", "en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_amount_without_a_currency_is_not_told(language: str) -> None:
    for letter in SAMPLES.values():
        mail = write(mails._without_currency(letter), language)
        check(mail, language)
        assert not re.search(r"\d,\d{3}|\d\.\d\d\b|%", mail["subject"] + mail["text"])


# Notices.


def test_a_renewal_says_when_and_for_how_much() -> None:
    mail = write(SAMPLES["renewal"])
    assert mail["subject"] == "【喫茶 山猫】ご契約更新のお知らせ（2026年12月21日）"
    assert "更新日時：2026年12月21日 14:05\n更新の料金：年額9,800円\n" in mail["text"]
    assert "更新の料金：2年ごとに9,800円\n" in text_of("renewal-two_years")
    assert "割引や税" not in text_of("renewal-no_price")
    for language, cancel in (("ja", "解約をご希望の場合"), ("en", "or cancel, please reply to this message")):
        assert cancel in text_of("renewal", language)


def test_what_ends_instead_costs_nothing_more() -> None:
    for language, nothing in (("ja", "以後の料金は発生いたしません"), ("en", "will not be charged for it again")):
        for name in ("renewal-ends", "renewal-ends_early"):
            assert nothing in text_of(name, language)
            assert not mails._amounts(text_of(name, language))
    assert "終了予定" in write(SAMPLES["renewal-ends"])["subject"]
    early = write(SAMPLES["renewal-ends_early"])
    assert "（2026年12月11日）" in early["subject"]
    assert mails._dates("ja", early["text"]) == {("2026", "12", "11", "14:05")}
    for audience in ("customer", "support"):
        unknown = text_of("renewal-ends", "ja", audience, ends_at=None)
        assert unknown == text_of("renewal-ends", "ja", audience)


@pytest.mark.parametrize(
    ("brand", "name"),
    [
        ("visa", "Visa"),
        ("mastercard", "Mastercard"),
        ("amex", "American Express"),
        ("jcb", "JCB"),
        ("diners", "Diners Club"),
        ("discover", "Discover"),
        ("unionpay", "UnionPay"),
        ("cartes_bancaires", "Cartes Bancaires"),
        ("new_brand", "new_brand"),
    ],
)
def test_a_card_is_called_by_its_brand_and_its_last_digits(brand: str, name: str) -> None:
    for audience in ("customer", "support"):
        ja, en = (text_of("card_expiring", language, audience, card_brand=brand) for language in ("ja", "en"))
        assert f"カード：{name}\nカード番号の下4桁：4242\n有効期限：2026年12月末\n" in ja
        assert f"Card: {name}\nNumber ends in: 4242\nValid to the end of: 12/2026\n" in en


def test_of_a_card_that_stripe_does_not_know_only_the_month_is_told() -> None:
    for brand in ("unknown", None):
        text = text_of("card_expiring-nameless", card_brand=brand)
        assert "カード：" not in text
        assert "下4桁" not in text
        assert "unknown" not in text
        assert "\n\n有効期限：2026年12月末\n\n" in text


def test_the_month_of_a_card_is_written_as_people_write_it() -> None:
    for audience in ("customer", "support"):
        assert "2027年3月末" in text_of("card_expiring-new_brand", "ja", audience)
        assert "03/2027" in text_of("card_expiring-new_brand", "en", audience)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_second_time_is_more_urgent(language: str) -> None:
    first, second = (write(SAMPLES[name], language) for name in ("card_expiring", "card_expiring-week"))
    assert first["subject"] != second["subject"]
    assert first["text"] != second["text"]
    # Which may come late: nobody is told a number of days.
    assert not re.search(r"(?<!\d)(?:30|7) ?(?:日|days)", first["text"] + second["text"])
    # A card's number does not belong into a mail, nor is the page of plans the place for it.
    assert re.search("カード番号はメールにご記入にならない|never send us a card number", first["text"])
    assert "/plans" not in first["text"]


def test_how_long_an_invoice_is_unpaid_is_told() -> None:
    for name, days in (("unpaid_followup", 3), ("unpaid_followup-last", 7)):
        assert f"お支払いを完了できなかった日から{days}日が経過いたしました" in text_of(name)
        assert f"{days} days have passed since then" in text_of(name, "en")
    assert "次回の自動決済日：2026年11月23日\n" in text_of("unpaid_followup")
    assert "次回の自動決済日" not in text_of("unpaid_followup-last")


@pytest.mark.parametrize("name", ["unpaid_followup-retry_no_page", "unpaid_followup-no_page"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_who_has_no_page_to_pay_is_asked_for_an_answer_once(name: str, language: str) -> None:
    body = text_of(name, language).partition(FOOT["text"])[0]
    assert "https://" not in body
    assert len(re.findall("このメールにご返信|reply to this message", body)) == 1


def test_a_plan_of_which_nothing_is_known_has_no_price() -> None:
    nothing = Plan(amount=None, currency=None, interval=None, interval_count=None)
    for name in ("upgrade_offer-trial", "renewal"):
        for language in LANGUAGES:
            assert not mails._amounts(text_of(name, language, plan=nothing))
