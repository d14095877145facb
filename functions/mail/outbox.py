"""From letters to documents of the Trigger Email extension, to be created in the commit of what caused them.

The extension's contract: https://github.com/firebase/extensions/tree/next/firestore-send-email. An optional field is
left out, never null; `delivery` is the extension's and never ours.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from functions import paths
from functions.effects import Create
from functions.letters import Audience, Letter
from functions.log import Severity
from functions.mail.address import writable
from functions.mail.render import message
from functions.mail.settings import MailSettings
from functions.mail.table import BY_NAME
from functions.marketing.links import UnsubscribeLinks

#: A document is of no use after that; Firestore removes it by the TTL policy on `expires_at`.
KEPT_DAYS = 30
#: Nobody's holiday notice answers a machine: https://www.rfc-editor.org/rfc/rfc3834#section-5.
_HEADERS = {"Auto-Submitted": "auto-generated"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwritten:
    """A document that did not come of a letter, and why."""

    mail: str
    audience: Audience
    reason: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class Post:
    """What came of some letters."""

    documents: tuple[Create, ...] = ()
    unwritten: tuple[Unwritten, ...] = ()


def post(letters: Iterable[Letter], settings: MailSettings, now: float) -> Post:
    """The documents of these letters. `now` is in epoch seconds."""
    documents: list[Create] = []
    unwritten: list[Unwritten] = []
    for letter in letters:
        mail = BY_NAME[letter.facts.MAIL]
        address = writable(letter.reader.email)
        for audience in mail.to:
            problem = _problem(letter, audience, address, settings, now)
            if problem:
                severity, reason = problem
                unwritten.append(Unwritten(mail=mail.name, audience=audience, reason=reason, severity=severity))
            else:
                fields = _document(letter, audience, address, settings, now)
                documents.append(Create(_path(letter, audience, settings), fields))
    return Post(tuple(documents), tuple(unwritten))


def _problem(
    letter: Letter, audience: Audience, address: str | None, settings: MailSettings, now: float
) -> tuple[Severity, str] | None:
    if letter.facts.MAIL in settings.disabled:
        return "INFO", "MAIL_DISABLED names it"
    if int(now) - letter.since > settings.max_age_seconds:
        return "INFO", f"what it says is more than MAIL_MAX_AGE old ({settings.max_age_seconds} s)"
    if audience == "customer" and address is None:
        return "WARNING", "no email address that can be written to"
    if BY_NAME[letter.facts.MAIL].offer and not (settings.unsubscribe and letter.origin.customer):
        return "WARNING", "an offer needs UNSUBSCRIBE_URL and UNSUBSCRIBE_KEYS"
    if BY_NAME[letter.facts.MAIL].offer and not settings.brand.footer:
        return "WARNING", "an offer needs MAIL_FOOTER: who you are and where"
    return None


def _path(letter: Letter, audience: Audience, settings: MailSettings) -> str:
    """The document of the fact; support's copy of a customer's mail is a document of its own."""
    is_copy = audience == "support" and "customer" in BY_NAME[letter.facts.MAIL].to
    return paths.mail(settings.collection, f"{letter.facts.id}_support" if is_copy else letter.facts.id)


def _refusal(letter: Letter, address: str | None, settings: MailSettings) -> str | None:
    """Where the reader of an offer refuses further ones; None for a mail that is no offer."""
    customer, links = letter.origin.customer, settings.unsubscribe
    if not BY_NAME[letter.facts.MAIL].offer or not (customer and address and links):
        return None
    # As it was typed: under that its owner's refusal is looked for.
    return links.url(customer, letter.reader.email or address)


def _document(
    letter: Letter, audience: Audience, address: str | None, settings: MailSettings, now: float
) -> dict[str, Any]:
    # Support answers the customer by answering the mail.
    reply_to = settings.reply_to if audience == "customer" else address
    origin = letter.origin
    refuse = _refusal(letter, address, settings)
    optional = {
        "from": settings.sender,
        "replyTo": reply_to,
        "customer": origin.customer,
        "account": origin.account,
    }
    return {
        "to": [address if audience == "customer" else settings.support_email],
        "headers": _HEADERS | (UnsubscribeLinks.headers(refuse) if refuse else {}),
        "message": message(letter, audience, settings, customer_is_told=address is not None, unsubscribe_url=refuse),
        # The extension passes over what it does not know: these are for people and for sweep_mail.
        "mail": letter.facts.MAIL,
        "audience": audience,
        "event": origin.event,
        "livemode": origin.livemode,
        "expires_at": datetime.fromtimestamp(now, UTC) + timedelta(days=KEPT_DAYS),
        **{name: value for name, value in optional.items() if value is not None},
    }
