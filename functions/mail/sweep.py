"""What a mail needs that did not go out: another attempt, later or now, or to be given up and told to support. Pure.

The Trigger Email extension makes one attempt and leaves it at that, and a mail whose attempt died with its process
stays in PROCESSING. Writing `delivery.state: "RETRY"` asks it for another; nothing else in `delivery` is ours.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from functions.effects import Fields
from functions.letters import Letter, Origin, Reader
from functions.mail.facts import MailFailed

#: Before each retry, from the end of the attempt before: a restart, or greylisting; a deployment; an outage; an
#: operator who has to see it first; a night. Less than a day together, after which few mails are still worth reading.
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 60, 4 * 60, 12 * 60))

Cause = Literal["lease", "unsendable", "login", "network", "throttled", "busy", "refused", "unknown"]
#: What no repetition mends. A login or a certificate is mended by an operator, and then the same mail goes out.
PERMANENT: frozenset[Cause] = frozenset({"unsendable", "refused"})

#: What the extension and nodemailer say themselves begins the text; what a server answered to them comes later.
_BEGINNINGS: dict[Cause, re.Pattern[str]] = {
    "lease": re.compile(r"Message processing lease expired"),
    "unsendable": re.compile(
        r"ValidationError|Invalid (field|recipient|sender|DSN|attachments)|Empty message|Message size larger"
        r"|No recipients|Can't send mail - no recipients|Failed to deliver email\. Expected|Must specify a users"
        r"|tried to render|Failed to get template|Template object|Parse error|Internationalized mailbox name"
    ),
    "login": re.compile(r"Invalid login|Missing credentials|Unknown authentication|invalid_grant"),
    # All of it before a mail was spoken of: a server that greets with 554 refuses us, and not the mail.
    "network": re.compile(
        r"(connect|read|write) E|getaddrinfo|query|Connection |Timeout|Greeting never|Invalid greeting|Invalid HELO"
        r"|Invalid response for|EHLO failed|Server terminates|Error (upgrading|initiating)|Unexpected Response"
        r"|socket hang up|Client network socket|[Ss]elf[- ]signed|unable to (verify|get)|certificate|Hostname/IP"
    ),
}
_THROTTLED = re.compile(
    r"(?i)throttl|rate limit|sending (rate|limit|quota)|too many (messages|e?mails|connections|requests)"
)
#: SMTP's reply begins the text or a line, or follows what nodemailer was at; RFC 5321 has no second digit above 5.
#: Ports, and parts of addresses and ids, do neither.
_REPLY = re.compile(r"(?:^|\n|(?:failed|rejected|for recipient \S+): )([45][0-5]\d)(?=[ \n-]|$)")
#: SendGrid's client: `Bad Request (400)`, perhaps in colour.
_HTTP = re.compile(r"(?:\x1b\[\d+m)?[A-Z][A-Za-z ]* \(([45]\d\d)\)")
_LOGIN = {"530", "534", "535", "538", "401", "403"}
_NETWORK = re.compile(r"\b(ECONN[A-Z]+|ETIMEDOUT|EAI_[A-Z]+|ENOTFOUND|E(HOST|NET)UNREACH|EPIPE|ESOCKET|EPROTO)\b|SSL ")


def cause_of(error: object) -> Cause:
    """Why an attempt failed, by what `delivery.error` says. A text that nobody knows is no reason to give up."""
    if not isinstance(error, str):
        return "unknown"
    # Without addresses, in which anybody may have typed anything.
    text = re.sub(r"^(Error: )+|<[^<>]*>", "", error.strip())
    for cause, beginning in _BEGINNINGS.items():
        if beginning.match(text):
            return cause
    if _THROTTLED.search(text):
        return "throttled"
    if reply := _REPLY.search(text):
        return "login" if reply[1] in _LOGIN else "refused" if reply[1][0] == "5" else "busy"
    if answer := _HTTP.match(text):
        return "login" if answer[1] in _LOGIN else "busy" if answer[1][0] == "5" else "unsendable"
    return "network" if _NETWORK.search(text) else "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """A mail in ERROR, or in PROCESSING after its lease, as it was read."""

    id: str
    path: str
    fields: Fields
    #: When the attempt ended, as far as the query that found it knows.
    at: datetime
    version: Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done with a mail; `settled` is one that was given up, with nobody having it tried since."""

    action: Literal["retry", "give up", "wait", "settled"]
    cause: Cause
    retries: int


def decide(mail: Undelivered, now: datetime) -> Verdict:
    """What a mail needs now. Takes documents of any shape, since applications write them too."""
    delivery = _map(mail.fields.get("delivery"))
    is_stuck = delivery.get("state") == "PROCESSING"
    cause = "lease" if is_stuck else cause_of(delivery.get("error"))
    counted = mail.fields.get("retries")
    retries = max(counted, 0) if isinstance(counted, int) else 0
    # Where a lease has expired, `endTime` is of the attempt before, or missing.
    times = (delivery.get("endTime"), delivery.get("leaseExpireTime"))
    ended = max((each for each in times if isinstance(each, datetime)), default=mail.at)
    given_up = mail.fields.get("given_up_at")
    if isinstance(given_up, datetime) and given_up >= ended:
        return Verdict("settled", cause, retries)
    is_last = retries >= len(PAUSES)
    if cause in PERMANENT or (is_last and not is_stuck):
        return Verdict("give up", cause, retries)
    # An attempt that outlives its lease may still end well: even the last one is given the first pause.
    if now - ended < PAUSES[0 if is_last else retries]:
        return Verdict("wait", cause, retries)
    return Verdict("give up" if is_last else "retry", cause, retries)


def letters(mail: Undelivered, verdict: Verdict, now: datetime) -> tuple[Letter, ...]:
    """Who is told of a mail that is given up. Of one to support itself nobody is: that would go on for ever."""
    fields = mail.fields
    if fields.get("audience") == "support":
        return ()
    to = fields.get("to")
    recipients = [to] if isinstance(to, str) else to if isinstance(to, list) else []
    facts = MailFailed(
        mail=mail.id,
        path=mail.path,
        to=", ".join(each for each in recipients if isinstance(each, str)) or None,
        subject=_text(_map(fields.get("message")).get("subject")),
        error=_text(_map(fields.get("delivery")).get("error")),
        retries=verdict.retries,
    )
    # A document that an application wrote says nothing of Stripe.
    origin = Origin(
        customer=_text(fields.get("customer")),
        livemode=fields.get("livemode") is not False,
        account=_text(fields.get("account")),
        event=_text(fields.get("event")) or "",
    )
    return (Letter(facts=facts, reader=Reader(), origin=origin, since=int(now.timestamp())),)


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
