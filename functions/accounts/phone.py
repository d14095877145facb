"""Phone numbers as accounts want them: E.164, or none."""

import phonenumbers

from functions.mail.locales import choose

#: Where a number without a country is taken to be from, by the language of whoever gave it.
_REGIONS = {"ja": "JP"}


def e164(phone: str | None, locale: str | None, default_locale: str) -> str | None:
    """`+81312345678` of what somebody typed; None where that is no number that can exist."""
    if not phone:
        return None
    language, found = choose((locale,), default_locale)
    try:
        number = phonenumbers.parse(phone, found.territory or _REGIONS.get(language))
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
