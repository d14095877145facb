"""Amounts in mails: every currency of Stripe's, with its own number of decimals, and never a part of it hidden."""

import re
from decimal import Decimal

import pytest
from babel import Locale
from hypothesis import given
from hypothesis import strategies as st

from functions.mail.money import amount

EN, JA = Locale("en"), Locale("ja")

# Every currency of https://docs.stripe.com/currencies#presentment-currencies, with an amount whose text shows how many
# decimals it has. Not computed: an error in the product must not be able to repeat itself here.
STRIPE_CURRENCIES = [
    ("aed", 123456, "AED\xa01,234.56", "AED\xa01,234.56"),
    ("afn", 123456, "AFN\xa01,234.56", "AFN\xa01,234.56"),
    ("all", 123456, "ALL\xa01,234.56", "ALL\xa01,234.56"),
    ("amd", 123456, "AMD\xa01,234.56", "AMD\xa01,234.56"),
    ("ang", 123456, "ANG\xa01,234.56", "ANG\xa01,234.56"),
    ("aoa", 123456, "AOA\xa01,234.56", "AOA\xa01,234.56"),
    ("ars", 123456, "ARS\xa01,234.56", "ARS\xa01,234.56"),
    ("aud", 123456, "A$1,234.56", "A$1,234.56"),
    ("awg", 123456, "AWG\xa01,234.56", "AWG\xa01,234.56"),
    ("azn", 123456, "AZN\xa01,234.56", "AZN\xa01,234.56"),
    ("bam", 123456, "BAM\xa01,234.56", "BAM\xa01,234.56"),
    ("bbd", 123456, "BBD\xa01,234.56", "BBD\xa01,234.56"),
    ("bdt", 123456, "BDT\xa01,234.56", "BDT\xa01,234.56"),
    ("bgn", 123456, "BGN\xa01,234.56", "BGN\xa01,234.56"),
    ("bhd", 123456, "BHD\xa0123.456", "BHD\xa0123.456"),
    ("bif", 123456, "BIF\xa0123,456", "BIF\xa0123,456"),
    ("bmd", 123456, "BMD\xa01,234.56", "BMD\xa01,234.56"),
    ("bnd", 123456, "BND\xa01,234.56", "BND\xa01,234.56"),
    ("bob", 123456, "BOB\xa01,234.56", "BOB\xa01,234.56"),
    ("brl", 123456, "R$1,234.56", "R$1,234.56"),
    ("bsd", 123456, "BSD\xa01,234.56", "BSD\xa01,234.56"),
    ("bwp", 123456, "BWP\xa01,234.56", "BWP\xa01,234.56"),
    ("byn", 123456, "BYN\xa01,234.56", "BYN\xa01,234.56"),
    ("bzd", 123456, "BZD\xa01,234.56", "BZD\xa01,234.56"),
    ("cad", 123456, "CA$1,234.56", "CA$1,234.56"),
    ("cdf", 123456, "CDF\xa01,234.56", "CDF\xa01,234.56"),
    ("chf", 123456, "CHF\xa01,234.56", "CHF\xa01,234.56"),
    ("clp", 123456, "CLP\xa0123,456", "CLP\xa0123,456"),
    ("cny", 123456, "CN¥1,234.56", "元\xa01,234.56"),
    ("cop", 123456, "COP\xa01,234.56", "COP\xa01,234.56"),
    ("crc", 123456, "CRC\xa01,234.56", "CRC\xa01,234.56"),
    ("cve", 123456, "CVE\xa01,234.56", "CVE\xa01,234.56"),
    ("czk", 123456, "CZK\xa01,234.56", "CZK\xa01,234.56"),
    ("djf", 123456, "DJF\xa0123,456", "DJF\xa0123,456"),
    ("dkk", 123456, "DKK\xa01,234.56", "DKK\xa01,234.56"),
    ("dop", 123456, "DOP\xa01,234.56", "DOP\xa01,234.56"),
    ("dzd", 123456, "DZD\xa01,234.56", "DZD\xa01,234.56"),
    ("egp", 123456, "EGP\xa01,234.56", "EGP\xa01,234.56"),
    ("etb", 123456, "ETB\xa01,234.56", "ETB\xa01,234.56"),
    ("eur", 123456, "€1,234.56", "€1,234.56"),
    ("fjd", 123456, "FJD\xa01,234.56", "FJD\xa01,234.56"),
    ("fkp", 123456, "FKP\xa01,234.56", "FKP\xa01,234.56"),
    ("gbp", 123456, "£1,234.56", "£1,234.56"),
    ("gel", 123456, "GEL\xa01,234.56", "GEL\xa01,234.56"),
    ("gip", 123456, "GIP\xa01,234.56", "GIP\xa01,234.56"),
    ("gmd", 123456, "GMD\xa01,234.56", "GMD\xa01,234.56"),
    ("gnf", 123456, "GNF\xa0123,456", "GNF\xa0123,456"),
    ("gtq", 123456, "GTQ\xa01,234.56", "GTQ\xa01,234.56"),
    ("gyd", 123456, "GYD\xa01,234.56", "GYD\xa01,234.56"),
    ("hkd", 123456, "HK$1,234.56", "HK$1,234.56"),
    ("hnl", 123456, "HNL\xa01,234.56", "HNL\xa01,234.56"),
    ("hrk", 123456, "HRK\xa01,234.56", "HRK\xa01,234.56"),
    ("htg", 123456, "HTG\xa01,234.56", "HTG\xa01,234.56"),
    ("huf", 123456, "HUF\xa01,234.56", "HUF\xa01,234.56"),
    ("idr", 123456, "IDR\xa01,234.56", "IDR\xa01,234.56"),
    ("ils", 123456, "₪1,234.56", "₪1,234.56"),
    ("inr", 123456, "₹1,234.56", "₹1,234.56"),
    ("isk", 123456, "ISK\xa01,234.56", "ISK\xa01,234.56"),
    ("jmd", 123456, "JMD\xa01,234.56", "JMD\xa01,234.56"),
    ("jod", 123456, "JOD\xa0123.456", "JOD\xa0123.456"),
    ("jpy", 123456, "¥123,456", "123,456円"),
    ("kes", 123456, "KES\xa01,234.56", "KES\xa01,234.56"),
    ("kgs", 123456, "KGS\xa01,234.56", "KGS\xa01,234.56"),
    ("khr", 123456, "KHR\xa01,234.56", "KHR\xa01,234.56"),
    ("kmf", 123456, "KMF\xa0123,456", "KMF\xa0123,456"),
    ("krw", 123456, "₩123,456", "₩123,456"),
    ("kwd", 123456, "KWD\xa0123.456", "KWD\xa0123.456"),
    ("kyd", 123456, "KYD\xa01,234.56", "KYD\xa01,234.56"),
    ("kzt", 123456, "KZT\xa01,234.56", "KZT\xa01,234.56"),
    ("lak", 123456, "LAK\xa01,234.56", "LAK\xa01,234.56"),
    ("lbp", 123456, "LBP\xa01,234.56", "LBP\xa01,234.56"),
    ("lkr", 123456, "LKR\xa01,234.56", "LKR\xa01,234.56"),
    ("lrd", 123456, "LRD\xa01,234.56", "LRD\xa01,234.56"),
    ("lsl", 123456, "LSL\xa01,234.56", "LSL\xa01,234.56"),
    ("mad", 123456, "MAD\xa01,234.56", "MAD\xa01,234.56"),
    ("mdl", 123456, "MDL\xa01,234.56", "MDL\xa01,234.56"),
    ("mga", 123456, "MGA\xa0123,456", "MGA\xa0123,456"),
    ("mkd", 123456, "MKD\xa01,234.56", "MKD\xa01,234.56"),
    ("mmk", 123456, "MMK\xa01,234.56", "MMK\xa01,234.56"),
    ("mnt", 123456, "MNT\xa01,234.56", "MNT\xa01,234.56"),
    ("mop", 123456, "MOP\xa01,234.56", "MOP\xa01,234.56"),
    ("mur", 123456, "MUR\xa01,234.56", "MUR\xa01,234.56"),
    ("mvr", 123456, "MVR\xa01,234.56", "MVR\xa01,234.56"),
    ("mwk", 123456, "MWK\xa01,234.56", "MWK\xa01,234.56"),
    ("mxn", 123456, "MX$1,234.56", "MX$1,234.56"),
    ("myr", 123456, "MYR\xa01,234.56", "MYR\xa01,234.56"),
    ("mzn", 123456, "MZN\xa01,234.56", "MZN\xa01,234.56"),
    ("nad", 123456, "NAD\xa01,234.56", "NAD\xa01,234.56"),
    ("ngn", 123456, "NGN\xa01,234.56", "NGN\xa01,234.56"),
    ("nio", 123456, "NIO\xa01,234.56", "NIO\xa01,234.56"),
    ("nok", 123456, "NOK\xa01,234.56", "NOK\xa01,234.56"),
    ("npr", 123456, "NPR\xa01,234.56", "NPR\xa01,234.56"),
    ("nzd", 123456, "NZ$1,234.56", "NZ$1,234.56"),
    ("omr", 123456, "OMR\xa0123.456", "OMR\xa0123.456"),
    ("pab", 123456, "PAB\xa01,234.56", "PAB\xa01,234.56"),
    ("pen", 123456, "PEN\xa01,234.56", "PEN\xa01,234.56"),
    ("pgk", 123456, "PGK\xa01,234.56", "PGK\xa01,234.56"),
    ("php", 123456, "₱1,234.56", "PHP\xa01,234.56"),
    ("pkr", 123456, "PKR\xa01,234.56", "PKR\xa01,234.56"),
    ("pln", 123456, "PLN\xa01,234.56", "PLN\xa01,234.56"),
    ("pyg", 123456, "PYG\xa0123,456", "PYG\xa0123,456"),
    ("qar", 123456, "QAR\xa01,234.56", "QAR\xa01,234.56"),
    ("ron", 123456, "RON\xa01,234.56", "RON\xa01,234.56"),
    ("rsd", 123456, "RSD\xa01,234.56", "RSD\xa01,234.56"),
    ("rub", 123456, "RUB\xa01,234.56", "RUB\xa01,234.56"),
    ("rwf", 123456, "RWF\xa0123,456", "RWF\xa0123,456"),
    ("sar", 123456, "SAR\xa01,234.56", "SAR\xa01,234.56"),
    ("sbd", 123456, "SBD\xa01,234.56", "SBD\xa01,234.56"),
    ("scr", 123456, "SCR\xa01,234.56", "SCR\xa01,234.56"),
    ("sek", 123456, "SEK\xa01,234.56", "SEK\xa01,234.56"),
    ("sgd", 123456, "SGD\xa01,234.56", "SGD\xa01,234.56"),
    ("shp", 123456, "SHP\xa01,234.56", "SHP\xa01,234.56"),
    ("sle", 123456, "SLE\xa01,234.56", "SLE\xa01,234.56"),
    ("sos", 123456, "SOS\xa01,234.56", "SOS\xa01,234.56"),
    ("srd", 123456, "SRD\xa01,234.56", "SRD\xa01,234.56"),
    ("std", 123456, "STD\xa01,234.56", "STD\xa01,234.56"),
    ("szl", 123456, "SZL\xa01,234.56", "SZL\xa01,234.56"),
    ("thb", 123456, "THB\xa01,234.56", "THB\xa01,234.56"),
    ("tjs", 123456, "TJS\xa01,234.56", "TJS\xa01,234.56"),
    ("tnd", 123456, "TND\xa0123.456", "TND\xa0123.456"),
    ("top", 123456, "TOP\xa01,234.56", "TOP\xa01,234.56"),
    ("try", 123456, "TRY\xa01,234.56", "TRY\xa01,234.56"),
    ("ttd", 123456, "TTD\xa01,234.56", "TTD\xa01,234.56"),
    ("twd", 123456, "NT$1,234.56", "NT$1,234.56"),
    ("tzs", 123456, "TZS\xa01,234.56", "TZS\xa01,234.56"),
    ("uah", 123456, "UAH\xa01,234.56", "UAH\xa01,234.56"),
    ("ugx", 123456, "UGX\xa01,234.56", "UGX\xa01,234.56"),
    ("usd", 123456, "$1,234.56", "$1,234.56"),
    ("uyu", 123456, "UYU\xa01,234.56", "UYU\xa01,234.56"),
    ("uzs", 123456, "UZS\xa01,234.56", "UZS\xa01,234.56"),
    ("vnd", 123456, "₫123,456", "₫123,456"),
    ("vuv", 123456, "VUV\xa0123,456", "VUV\xa0123,456"),
    ("wst", 123456, "WST\xa01,234.56", "WST\xa01,234.56"),
    ("xaf", 123456, "FCFA\xa0123,456", "FCFA\xa0123,456"),
    ("xcd", 123456, "EC$1,234.56", "EC$1,234.56"),
    ("xcg", 123456, "Cg.\xa01,234.56", "Cg.\xa01,234.56"),
    ("xof", 123456, "F\u202fCFA\xa0123,456", "F\u202fCFA\xa0123,456"),
    ("xpf", 123456, "CFPF\xa0123,456", "CFPF\xa0123,456"),
    ("yer", 123456, "YER\xa01,234.56", "YER\xa01,234.56"),
    ("zar", 123456, "ZAR\xa01,234.56", "ZAR\xa01,234.56"),
    ("zmw", 123456, "ZMW\xa01,234.56", "ZMW\xa01,234.56"),
]
CODES = [currency for currency, *_ in STRIPE_CURRENCIES]
INT64 = st.integers(-(2**63), 2**63 - 1)


def number(text: str) -> Decimal:
    """What an English text says, whatever the currency."""
    found = re.fullmatch(r"(-?)\D*?([0-9,]+(\.[0-9]+)?)", text)
    assert found, text
    return Decimal(found[1] + found[2].replace(",", ""))


MINOR_UNITS = {currency: minor / number(text) for currency, minor, text, _ in STRIPE_CURRENCIES}


def test_the_table_has_every_currency_once() -> None:
    assert len(set(CODES)) == len(CODES) >= 135


@pytest.mark.parametrize(("currency", "minor", "en", "ja"), STRIPE_CURRENCIES)
def test_each_currency_has_its_own_decimals(currency: str, minor: int, en: str, ja: str) -> None:
    assert (amount(minor, currency, EN), amount(minor, currency, JA)) == (en, ja)


@given(INT64, st.sampled_from(CODES))
def test_the_text_says_exactly_the_amount(minor: int, currency: str) -> None:
    assert number(amount(minor, currency, EN)) * MINOR_UNITS[currency] == minor


@pytest.mark.parametrize(
    ("currency", "minor", "text"),
    [
        ("usd", 120000, "$1,200.00"),
        ("eur", 0, "€0.00"),
        ("huf", 120000, "HUF\xa01,200.00"),
        ("twd", 120000, "NT$1,200.00"),
        ("isk", 120000, "ISK\xa01,200"),
        ("ugx", 120000, "UGX\xa01,200"),
        ("rsd", 120000, "RSD\xa01,200"),
        ("all", 0, "ALL\xa00"),
        ("kwd", 1200000, "KWD\xa01,200.000"),
        ("krw", 0, "₩0"),
    ],
)
def test_an_amount_without_a_fraction_has_the_decimals_of_cldr(currency: str, minor: int, text: str) -> None:
    assert amount(minor, currency, EN) == text


@pytest.mark.parametrize(
    ("currency", "minor", "text"),
    [("usd", 5, "$0.05"), ("rsd", 110, "RSD\xa01.10"), ("kwd", 5, "KWD\xa00.005"), ("kwd", 1230, "KWD\xa01.230")],
)
def test_a_fraction_is_written_in_full(currency: str, minor: int, text: str) -> None:
    assert amount(minor, currency, EN) == text


@pytest.mark.parametrize(
    ("currency", "minor", "text"),
    [("usd", -123450, "-$1,234.50"), ("chf", -100, "-CHF\xa01.00"), ("kwd", -1, "-KWD\xa00.001"), ("jpy", -4, "-¥4")],
)
def test_what_is_given_back_has_a_minus(currency: str, minor: int, text: str) -> None:
    assert amount(minor, currency, EN) == text


@pytest.mark.parametrize(("minor", "text"), [(1400, "1,400円"), (-400, "-400円"), (0, "0円"), (1234567, "1,234,567円")])
def test_yen_are_written_as_businesses_in_japan_write_them(minor: int, text: str) -> None:
    assert amount(minor, "jpy", JA) == text


@pytest.mark.parametrize(
    ("currency", "locale", "text"),
    [
        ("usd", "en_GB", "US$1,234.56"),
        ("jpy", "en_GB", "JP¥123,456"),
        ("cad", "en_CA", "$1,234.56"),
        ("jpy", "ja_JP", "123,456円"),
        ("eur", "de", "1.234,56\xa0€"),
    ],
)
def test_the_locale_decides_how_an_amount_is_written(currency: str, locale: str, text: str) -> None:
    assert amount(123456, currency, Locale.parse(locale)) == text


@pytest.mark.parametrize(("currency", "text"), [("zzz", "ZZZ\xa01,234.56"), ("", "1,234.56")])
def test_an_unknown_currency_has_two_decimals(currency: str, text: str) -> None:
    assert amount(123456, currency, EN) == text


def test_one_amount_does_not_change_how_the_next_is_written() -> None:
    amount(123456, "chf", EN)
    amount(123456, "jpy", EN)
    assert amount(123456, "usd", EN) == "$1,234.56"
