"""From a mail document to the message that is sent: recipients, headers, text and html."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import getaddresses, make_msgid
from typing import Any

from local.carrier.documents import Document, Undelivered, check

_MAX_LINE = 998


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail ready for an SMTP server: bare addresses, and the bytes of the message."""

    message_id: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes


def compose(document: Document, sender: str, now: datetime) -> Letter:
    """The letter a document asks for. Raises Undelivered where the extension refuses the document."""
    check(document)
    to, cc, bcc = (_addresses(document.get(name, ())) for name in ("to", "cc", "bcc"))
    from_ = _addresses(document.get("from") or sender)
    recipients = tuple(dict.fromkeys(address.addr_spec for address in (*to, *cc, *bcc)))
    if not from_ or not recipients:
        raise Undelivered("Error: No recipients defined" if from_ else "Error: No sender defined")

    # Readable by every server: neither 8-bit bodies nor, unless an address needs them, 8-bit headers.
    mail = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    for name, value in (document.get("headers") or {}).items():
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                mail[name] = _line(str(each))
    message = document["message"]
    own: dict[str, Any] = {
        "From": from_,
        "To": to,
        "Cc": cc,
        "Reply-To": _addresses(document.get("replyTo", ())),
        "Subject": _line(message.get("subject", "")),
        "Date": now,
        "Message-ID": mail["Message-ID"] or make_msgid(domain=from_[0].domain),
    }
    for name, value in own.items():
        if value:
            del mail[name]
            mail[name] = value
    text, html = message.get("text"), message.get("html")
    if text or not html:
        mail.set_content(text or "")
    if html and text:
        mail.add_alternative(html, subtype="html")
    elif html:
        mail.set_content(html, subtype="html")
    envelope = (from_[0].addr_spec, *recipients)
    return Letter(
        message_id=str(mail["Message-ID"]),
        sender=envelope[0],
        recipients=recipients,
        content=mail.as_bytes(policy=_AsWritten(linesep="\r\n", utf8=not "".join(envelope).isascii())),
    )


class _AsWritten(EmailPolicy):
    """Leaves an ASCII header on its line. Python would break and encode a long URL, and `List-Unsubscribe` with it."""

    def fold_binary(self, name: str, value: Any) -> bytes:
        line = f"{name}: {value}"
        if line.isascii() and len(line) <= _MAX_LINE and line.isprintable():
            return f"{line}{self.linesep}".encode("ascii")
        return super().fold_binary(name, value)


def _line(text: str) -> str:
    return re.sub(r"\r?\n|\r", " ", text)


def _addresses(text: str | Sequence[str]) -> list[Address]:
    found = []
    for name, address in getaddresses([text] if isinstance(text, str) else list(text)):
        local, at, domain = address.rpartition("@")
        if at:
            found.append(Address(name, local, domain if domain.isascii() else domain.encode("idna").decode("ascii")))
    return found
