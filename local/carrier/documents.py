"""Which mail documents are to be carried: their states, and what the extension refuses to send."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

Document = Mapping[str, Any]

_LEASE = timedelta(seconds=60)


class Undelivered(Exception):
    """The attempt failed. The message is what `delivery.error` says: an error of JavaScript, as a text."""


def next_step(document: Document, now: datetime) -> dict[str, Any]:
    """What the extension writes to a document that was just written; nothing where it leaves it alone.

    Who manages to write PROCESSING delivers.
    """
    # JavaScript's `typeof null` is "object": a message of null is looked at, and then refused.
    scalar = (str, int, float)
    has_object = any(name in document and not isinstance(document[name], scalar) for name in ("message", "sendGrid"))
    if not has_object and not document.get("template"):
        return {}
    delivery = document.get("delivery")
    if delivery is None:
        return {"delivery": {"startTime": now, "state": "PENDING", "attempts": 0, "error": None}}
    match delivery:
        case {"state": "PENDING" | "RETRY"}:
            return {"delivery.state": "PROCESSING", "delivery.leaseExpireTime": now + _LEASE}
        case {"state": "PROCESSING", "leaseExpireTime": datetime() as expires} if expires < now:
            return {"delivery.state": "ERROR", "delivery.error": "Message processing lease expired."}
    return {}


def check(document: Document) -> None:
    """Raises Undelivered, in the extension's words. An optional field may be absent and not null."""
    for name in ("template", "sendGrid"):
        if document.get(name) is not None:
            raise Undelivered(f"Error: the local carrier knows no {name}.")
    message = document.get("message")
    problems = list(_message_problems(message)) if message else []
    if problems:
        raise Undelivered(f"ValidationError: Invalid message configuration: {'. '.join(problems)}")
    problems = list(_problems(document))
    if not problems and not any(document.get(name) for name in ("to", "cc", "bcc", "toUids", "ccUids", "bccUids")):
        problems.append("Email must have at least one recipient")
    if problems:
        raise Undelivered(f"ValidationError: Invalid email configuration: {'. '.join(problems)}")
    if any(document.get(name) for name in ("toUids", "ccUids", "bccUids")):
        raise Undelivered("Error: Must specify a users collection to send using uids.")
    if message and message.get("attachments"):
        raise Undelivered("Error: the local carrier knows no attachments.")


def _message_problems(message: Any) -> Iterator[str]:
    if not isinstance(message, dict):
        yield "Field 'message' must be a map"
        return
    if not isinstance(message.get("subject"), str):
        yield "Field 'message.subject' must be a string"
    wrong = [name for name in ("text", "html") if not isinstance(message.get(name), str | None)]
    for name in wrong:
        yield f"Field 'message.{name}' must be a string"
    if not wrong and not message.get("text") and not message.get("html"):
        yield "At least one of 'text' or 'html' must be provided in message"


def _problems(document: Document) -> Iterator[str]:
    for name in document.keys() & {"to", "cc", "bcc"}:
        value = document[name]
        if not isinstance(value, str) and not _is_texts(value):
            yield f"Field '{name}' must be either a string or an array of strings"
    for name in document.keys() & {"from", "replyTo"}:
        if not isinstance(document[name], str):
            yield f"Field '{name}' must be a string"
    for name in document.keys() & {"toUids", "ccUids", "bccUids", "categories"}:
        if not _is_texts(document[name]):
            yield f"Field '{name}' must be an array"
    for name in document.keys() & {"message", "template", "sendGrid"}:
        if not isinstance(document[name], dict):
            yield f"Field '{name}' must be a map"


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
