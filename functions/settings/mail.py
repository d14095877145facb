"""The settings of mail: what the variables of brand, sender, language and limits say."""

import re
import unicodedata
from zoneinfo import ZoneInfo

from functions.mail.address import writable
from functions.mail.locales import LANGUAGES, choose
from functions.mail.settings import DEFAULT_COLOR, Brand, MailSettings
from functions.mail.table import BY_NAME
from functions.mail.text import link
from functions.marketing.links import UnsubscribeLinks
from functions.paths import COLLECTIONS
from functions.settings.reader import Reader, endpoint, optional, signing_keys


def mail_settings(read: Reader) -> MailSettings:
    """Read what every mail has in common."""
    return MailSettings(
        brand=Brand(
            name=read("BRAND_NAME", _line),
            url=read("BRAND_URL", optional(page_address), ""),
            logo_url=read("BRAND_LOGO_URL", optional(page_address), ""),
            color=read("BRAND_COLOR", _color, DEFAULT_COLOR),
            footer=read("MAIL_FOOTER", _lines, ""),
            upgrade_url=read("UPGRADE_URL", optional(page_address), ""),
        ),
        support_email=read("SUPPORT_EMAIL", _mailbox),
        sender=read("MAIL_FROM", optional(_named_mailbox), ""),
        reply_to=read("MAIL_REPLY_TO", optional(_named_mailbox), ""),
        locale=read("LOCALE", _locale, "ja"),
        timezone=read("TIMEZONE", _zone, "Asia/Tokyo"),
        max_age_seconds=read("MAIL_MAX_AGE", _duration, "3d"),
        disabled=read("MAIL_DISABLED", _mails, ""),
        collection=read("MAIL_COLLECTION", _collection, "mail"),
        unsubscribe=_links(
            read("UNSUBSCRIBE_URL", optional(endpoint), ""), read("UNSUBSCRIBE_KEYS", optional(signing_keys), "")
        ),
    )


def _links(url: str | None, keys: tuple[str, ...] | None) -> UnsubscribeLinks | None:
    """Without one of the two there is no way to refuse offers, and so there are none."""
    return UnsubscribeLinks(url, keys) if url and keys else None


def _line(text: str) -> str:
    # `isprintable` would not have the ideographic space, which Japanese names and addresses are full of.
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in text):
        raise ValueError("is not one line of text")
    return text


def _lines(text: str) -> tuple[str, ...]:
    """Lines separated by `|`."""
    return tuple(line for part in text.split("|") if (line := _line(part.strip())))


def page_address(text: str) -> str:
    if link(text) != text or not text.lower().startswith("https:"):
        raise ValueError("is not the address of a page: https://…")
    return text


def _color(text: str) -> str:
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise ValueError("is not a colour as #rrggbb")
    return text.lower()


def _mailbox(text: str) -> str:
    address = writable(text)
    if address is None:
        raise ValueError("is not an email address")
    return address


def _named_mailbox(text: str) -> str:
    """`shop@example.com`, or `The Shop <shop@example.com>`."""
    found = re.fullmatch(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>", text)
    name, address = found.groups() if found else ("", text)
    if not _line(text) or writable(address) is None:
        raise ValueError("is not a sender: shop@example.com or The Shop <shop@example.com>")
    # As it stands, in quotes: nodemailer encodes what is not ASCII.
    plain = name.replace("\\", "").replace('"', "").strip()
    return f'"{plain}" <{_mailbox(address)}>' if plain else _mailbox(address)


def _locale(text: str) -> str:
    try:
        choose((), text)
    except ValueError:
        raise ValueError(f"is {text!r}; the languages of the mails are {', '.join(LANGUAGES)}") from None
    return text


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"is {text!r}; it must be a time zone such as Asia/Tokyo") from None


_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


def _duration(text: str) -> int:
    """Seconds, or a number with its unit: 90m, 36h, 3d."""
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", text)
    if not found:
        raise ValueError(f"is {text!r}; say a duration as 3d, 36h, 90m or seconds")
    return int(found[1]) * _UNITS[found[2]]


def _mails(text: str) -> frozenset[str]:
    names = frozenset(part for part in re.split(r"[,\s]+", text) if part)
    if unknown := names - BY_NAME.keys():
        raise ValueError(f"names no mail with {', '.join(sorted(unknown))}; there are {', '.join(BY_NAME)}")
    return names


def _collection(text: str) -> str:
    if not re.fullmatch(r"(?!__)[A-Za-z0-9_-]{1,100}", text) or text in COLLECTIONS:
        raise ValueError(f"is {text!r}; it must be the name of a Firestore collection that nothing else is kept in")
    return text
