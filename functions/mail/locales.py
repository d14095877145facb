"""In which language a mail is written: the reader's, if it ships."""

import re
from collections.abc import Iterable

from babel import Locale, UnknownLocaleError

#: The languages that mails are written in: the folders in `templates`, which a test compares.
LANGUAGES = ("ja", "en")

#: `ja`, `en-GB`, `en_GB`, `en-Latn-GB-u-hc-h23`: what matters here of https://www.rfc-editor.org/rfc/rfc5646#section-2.1.
_TAG = re.compile(
    r"(?P<language>[a-z]{2,3})(?:[-_][a-z]{4})?(?:[-_](?P<region>[a-z]{2}|[0-9]{3}))?(?:[-_][a-z0-9]{1,8})*",
    re.IGNORECASE | re.ASCII,
)
_TAG_CHARACTERS = 100


def choose(preferred: Iterable[str | None], default: str) -> tuple[str, Locale]:
    """The first of the tags whose language ships, as the language and the locale that writes its dates and amounts.

    The locale has the tag's region where CLDR has data for the two (`en-GB`), and none where it has not (`en-BR`).
    What is not a tag, such as Stripe's `auto`, is passed over. `default` is one that ships: ValueError where it is not.
    """
    for tag in (*preferred, default):
        if tag is not None and (found := _shipped(tag)):
            return found
    raise ValueError(f"{default!r} is none of the languages that mails are written in: {', '.join(LANGUAGES)}")


def _shipped(tag: str) -> tuple[str, Locale] | None:
    match = _TAG.fullmatch(tag) if len(tag) <= _TAG_CHARACTERS else None
    if match is None or (language := match["language"].lower()) not in LANGUAGES:
        return None
    region = match["region"]
    try:
        return language, Locale(language, territory=region.upper() if region else None)
    except UnknownLocaleError:
        return language, Locale(language)
