"""From facts to subject, text and html: one template says all three, in the reader's language.

Everything a template is given was made harmless before: each text is one short line of visible characters, each address
of a page is https or missing. The html is escaped on top of that. A template that uses what it was not given fails, in
the tests.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal
from zoneinfo import ZoneInfo

from babel import Locale
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from functions.letters import Audience, Letter
from functions.mail import dates, money, stripe_dashboard
from functions.mail.locales import choose
from functions.mail.settings import MailSettings
from functions.mail.text import clean, link, person

Form = Literal["html", "txt"]
_TEMPLATES = Path(__file__).with_name("templates")
_SUBJECT_CHARACTERS = 150


def message(
    letter: Letter,
    audience: Audience,
    settings: MailSettings,
    *,
    customer_is_told: bool,
    unsubscribe_url: str | None = None,
) -> dict[str, str]:
    """`{subject, text, html}` of a letter, for one of its readers.

    Support reads the language of the settings, and is told whether the customer could be written to. An offer says at
    which address one refuses further ones.
    """
    locales = letter.reader.locales if audience == "customer" else ()
    language, locale = choose(locales, settings.locale)
    folder = language if audience == "customer" else f"{language}/support"
    origin = _harmless(letter.origin)
    values = {
        **vars(_harmless(letter.facts)),
        "reader": {"name": person(letter.reader.name), "email": _harmless(letter.reader.email)},
        "customer_is_told": customer_is_told,
        "unsubscribe_url": unsubscribe_url,
        "origin": origin,
        "dashboard": stripe_dashboard.Links(origin),
        "brand": settings.brand,
        "language": language,
        "locale": locale,
        "timezone": settings.timezone,
    }
    name = f"{folder}/{letter.facts.MAIL}.jinja"
    subject, text = _rendered("txt", name, values)
    _, html = _rendered("html", name, values)
    return {"subject": clean(subject, _SUBJECT_CHARACTERS), "text": _aired(text), "html": html.strip() + "\n"}


def _aired(text: str) -> str:
    """One empty line between two parts, however many macros left theirs."""
    return re.sub(r"\n{3,}", "\n\n", text.strip()) + "\n"


def _rendered(form: Form, name: str, values: Mapping[str, Any]) -> tuple[str, str]:
    """The subject and the whole."""
    environment = _environment(form)
    given = {**values, "words": environment.get_template(f"{values['language']}/words.jinja").make_module(dict(values))}
    given |= {
        "layout": f"layout.{form}.jinja",
        "parts": environment.get_template(f"parts.{form}.jinja").make_module(given),
    }
    template = environment.get_template(name)
    subject = "".join(template.blocks["subject"](template.new_context(given)))
    return subject, template.render(given)


@cache
def _environment(form: Form) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        # The text is read as it stands; nothing in it is markup.
        autoescape=form == "html",  # noqa: S701
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {"money": _money, "day": _day, "moment": _moment}
    return environment


@pass_context
def _money(context: Context, value: int, currency: str | None) -> str:
    """An amount in minor units, as the reader writes money."""
    return money.amount(value, currency or "", context["locale"])


@pass_context
def _day(context: Context, epoch_seconds: int) -> str:
    return _told(dates.day, context, epoch_seconds)


@pass_context
def _moment(context: Context, epoch_seconds: int) -> str:
    return _told(dates.moment, context, epoch_seconds)


def _told(write: Callable[[int, ZoneInfo, Locale], str], context: Context, epoch_seconds: int) -> str:
    try:
        return write(epoch_seconds, context["timezone"], context["locale"])
    except OverflowError:
        # Beyond the calendar: no reader expects that date, and no mail should fail over it.
        return "–"


def _harmless(value: Any, name: str = "") -> Any:
    """A copy in which no text can break a line, a layout or a link."""
    if isinstance(value, str):
        return link(value) if name.endswith("_url") else clean(value)
    if isinstance(value, tuple):
        return tuple(_harmless(each) for each in value)
    if isinstance(value, Mapping):
        return {key: _harmless(each, key) for key, each in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        # Fields and what is derived from them; a template asks for both in the same way.
        derived = [key for key, each in vars(type(value)).items() if isinstance(each, property)]
        names = [field.name for field in fields(value)] + derived
        return SimpleNamespace(**{key: _harmless(getattr(value, key), key) for key in names})
    return value
