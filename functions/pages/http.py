"""What a page needs of a request, and what it answers; between the two, nothing of any web framework."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Protocol

#: Nothing else a sender writes into these headers reaches the log.
_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")
_QUALITY = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)
#: People read a few languages; whoever sends more of them is not one of our readers.
_MOST_LANGUAGES = 20


class Headers(Protocol):
    """The headers of a request, by name in any case."""

    def get(self, name: str, default: str, /) -> str:
        """The value of a header, or the default."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a page needs of an HTTP request. `query` has the first value of each name."""

    method: str
    headers: Headers
    query: Mapping[str, str]
    stream: IO[bytes]


@dataclass(frozen=True, slots=True)
class Response:
    """A status, a whole page of html, and headers. To HEAD the server sends the same without the page."""

    status: int
    html: str
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Whether the request's body was read to its end.
    body_was_read: bool = False


class Unreadable(Exception):
    """The request's body is too large (413) or breaks off (400)."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def read_body(request: Request, most_bytes: int) -> bytes:
    """The whole body, at most so many bytes of it. Raises Unreadable."""
    too_large = Unreadable(413, f"more than {most_bytes} bytes")
    length = request.headers.get("Content-Length", "")
    if length.isdecimal() and int(length[:20]) > most_bytes:
        raise too_large
    # The header may lie or be missing (chunked): never hold more than one byte over the limit.
    body = bytearray()
    while chunk := _read(request.stream, most_bytes + 1 - len(body)):
        body += chunk
        if len(body) > most_bytes:
            raise too_large
    return bytes(body)


def _read(stream: IO[bytes], size: int) -> bytes:
    try:
        return stream.read(size)
    except Exception:
        # Every server has classes of its own for a body that breaks off or is not framed as HTTP wants it.
        raise Unreadable(400, "the body cannot be read to its end") from None


def languages(headers: Headers) -> tuple[str, ...]:
    """The reader's languages as tags, the one to be preferred first (https://www.rfc-editor.org/rfc/rfc9110#name-accept-language)."""
    wanted: list[tuple[float, str]] = []
    for part in headers.get("Accept-Language", "").split(",")[:_MOST_LANGUAGES]:
        tag, _, parameter = (piece.strip() for piece in part.partition(";"))
        quality = _QUALITY.fullmatch(parameter)
        if tag and (weight := float(quality[1]) if quality else 1.0) > 0:
            wanted.append((weight, tag))
    return tuple(tag for _, tag in sorted(wanted, key=lambda each: -each[0]))


def trace(headers: Headers, project: str) -> str | None:
    """The trace of Google's front end, or of the W3C header, in the form Cloud Logging joins lines by."""
    found = headers.get("X-Cloud-Trace-Context", "").partition("/")[0]
    if not found:
        _, _, rest = headers.get("traceparent", "").partition("-")
        found = rest.partition("-")[0]
    return f"projects/{project}/traces/{found}" if _TRACE_ID.fullmatch(found) else None
