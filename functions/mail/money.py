"""Amounts as people read them: Stripe's minor units, written the way the reader's locale writes that currency."""

import copy
import unicodedata
from decimal import Decimal

from babel import Locale
from babel.numbers import NumberPattern, format_decimal, get_currency_precision, get_currency_symbol

_ZERO_DECIMAL = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
_THREE_DECIMAL = "BHD JOD KWD OMR TND"
#: How many decimals the minor unit of an amount has, where that is not two. Stripe's list of zero-decimal currencies
#: also names UGX, but its special cases take that back: amounts in UGX and ISK come as hundredths, for old times' sake.
_DECIMALS = dict.fromkeys(_ZERO_DECIMAL.split(), 0) | dict.fromkeys(_THREE_DECIMAL.split(), 3)


def amount(value: int, currency: str, locale: Locale) -> str:
    """`value` minor units of `currency`, Stripe's lower-case code, as a text: `$1,234.50`, `1,400円`.

    A fraction is always written in full; an amount without one has the decimals that CLDR gives the currency, so
    that a thousand yen never become `1,000.00`. A currency that nobody has heard of yet has two decimals.

    Source: https://docs.stripe.com/currencies#minor-units and #special-cases.
    """
    code = currency.upper()
    decimals = _DECIMALS.get(code, 2)
    number = Decimal(value).scaleb(-decimals)
    shown = decimals if value % 10**decimals else get_currency_precision(code)
    if code == "JPY" and locale.language == "ja":
        # CLDR has ￥1,400; what shops and invoices in Japan write to their customers is this.
        return f"{format_decimal(number, format='#,##0', locale=locale)}円"
    text: str = _pattern(code, shown, locale).apply(number, locale, currency=code, currency_digits=False)
    return text


def _pattern(code: str, decimals: int, locale: Locale) -> NumberPattern:
    """The locale's pattern for money with that many decimals.

    Babel on its own rounds to CLDR's decimals, which for RSD and a dozen others hides a fraction that was charged.
    """
    pattern: NumberPattern = copy.copy(locale.currency_formats["standard"])
    pattern.frac_prec = (decimals, decimals)
    symbol = get_currency_symbol(code, locale)
    # CLDR's currencySpacing, which Babel leaves out: a code that would touch the digits stands apart (CHF 12, not
    # CHF12), a sign does not ($12).
    if symbol and unicodedata.category(symbol[-1])[0] != "S":
        positive, negative = (f"{p}\N{NO-BREAK SPACE}" if p.endswith("¤") else p for p in pattern.prefix)
        pattern.prefix = (positive, negative)
    return pattern
