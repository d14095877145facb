"""One line of JSON per event, with the field names Cloud Logging understands. Never any personal data."""

import json
import logging
from typing import Any, Literal, Protocol, TextIO

Severity = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class Log(Protocol):
    """Where a function says what it did."""

    def __call__(self, severity: Severity, message: str, /, **fields: Any) -> None:
        """Write one line. Fields that are None are left out."""


class JsonLog:
    """Writes each line at once to a stream; Cloud Run takes stdout.

    Source of the names: https://cloud.google.com/logging/docs/structured-logging.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, severity: Severity, message: str, /, **fields: Any) -> None:
        """Write one line. Fields that are None are left out."""
        line = {"severity": severity, "message": message}
        line.update((key, value) for key, value in fields.items() if value is not None)
        # One write, so that lines of several threads never mix.
        self._stream.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._stream.flush()


class OnlyUnexpected(logging.Filter):
    """For the framework's own logger: an exception that has its line already needs no traceback."""

    def __init__(self, expected: type[Exception]) -> None:
        super().__init__()
        self._expected = expected

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be written."""
        return not (record.exc_info and isinstance(record.exc_info[1], self._expected))
