"""What a page needs of a request, and what it answers; between the two, nothing of any web framework."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO

from functions.incoming import Headers

_QUALITY = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)
#: People read a few languages; whoever sends more of them is not one of our readers.
_MOST_LANGUAGES = 20


@dataclass(frozen=True, slots=True)
class Request:
    """What a page needs of an HTTP request. `query` has the first value of each name."""

    method: str
    headers: Headers
    query: Mapping[str, str]
    stream: IO[bytes]


@dataclass(frozen=True, slots=True)
class Response:
    """A status, a whole page or whatever else was asked for, and headers. To HEAD the server sends it without the body.

    `mimetype` is the body's; text goes out in UTF-8.
    """

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)
    mimetype: str = "text/html"
    #: Whether the request's body was read to its end.
    body_was_read: bool = False


def languages(headers: Headers) -> tuple[str, ...]:
    """The reader's languages as tags, the one to be preferred first (https://www.rfc-editor.org/rfc/rfc9110#name-accept-language)."""
    wanted: list[tuple[float, str]] = []
    for part in headers.get("Accept-Language", "").split(",")[:_MOST_LANGUAGES]:
        tag, _, parameter = (piece.strip() for piece in part.partition(";"))
        quality = _QUALITY.fullmatch(parameter)
        if tag and (weight := float(quality[1]) if quality else 1.0) > 0:
            wanted.append((weight, tag))
    return tuple(tag for _, tag in sorted(wanted, key=lambda each: -each[0]))
