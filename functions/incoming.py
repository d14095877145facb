"""What every HTTP function needs of a request, whatever it answers: its headers, its whole body and its trace."""

import re
from typing import IO, Protocol

#: Nothing else a sender writes into these headers reaches the log.
_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")


class Headers(Protocol):
    """The headers of a request, by name in any case."""

    def get(self, name: str, default: str, /) -> str:
        """The value of a header, or the default."""


class Unreadable(Exception):
    """The request's body is too large (413) or breaks off (400)."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def read_body(headers: Headers, stream: IO[bytes], most_bytes: int) -> bytes:
    """The whole body, at most so many bytes of it. Raises Unreadable."""
    too_large = Unreadable(413, f"more than {most_bytes} bytes")
    length = headers.get("Content-Length", "")
    if length.isdecimal() and int(length[:20]) > most_bytes:
        raise too_large
    # The header may lie or be missing (chunked): never hold more than one byte over the limit.
    body = bytearray()
    while chunk := _read(stream, most_bytes + 1 - len(body)):
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


def trace(headers: Headers, project: str) -> str | None:
    """The trace of Google's front end, or of the W3C header, in the form Cloud Logging joins lines by."""
    found = headers.get("X-Cloud-Trace-Context", "").partition("/")[0]
    if not found:
        _, _, rest = headers.get("traceparent", "").partition("-")
        found = rest.partition("-")[0]
    return f"projects/{project}/traces/{found}" if _TRACE_ID.fullmatch(found) else None
