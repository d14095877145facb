"""Faults on demand: slow answers, error answers and broken connections, once, several times or until further notice."""

import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from local.stripe_api.errors import StripeError, Unacceptable

_MESSAGES = {
    429: "Request rate limit exceeded. You can learn more about rate limits at https://stripe.com/docs/rate-limits."
}
_CODES = {429: "rate_limit"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to requests whose path begins with a match of `path`, a regular expression (`/v1/customers`).

    First the delay; then the connection is cut without an answer, or `status` is answered, or neither, and the request
    goes on as usual.
    """

    path: str
    status: int | None = None
    #: How many requests. None: until other faults are set.
    times: int | None = None
    delay_seconds: float = 0
    #: `Stripe-Should-Retry`, instead of what goes with the status: "true", "false", or "none" to leave it out, which
    #: lets the SDK decide by the status.
    should_retry: str | None = None
    #: `Retry-After`, in seconds.
    retry_after: int | None = None
    cut: bool = False

    @classmethod
    def of(cls, given: object) -> Self:
        """Read one fault from JSON. Raises Unacceptable with what is wrong."""
        if not isinstance(given, Mapping):
            raise Unacceptable("a fault is not a JSON object")
        unknown = set(given) - {field.name for field in fields(cls)}
        if unknown:
            raise Unacceptable(f"a fault has no {', '.join(sorted(unknown))}")
        if not isinstance(given.get("path"), str):
            raise Unacceptable("a fault has no path")
        fault = cls(**given)
        fault._check()
        return fault

    def error(self) -> StripeError | None:
        """The error answer, if there is one."""
        if self.status is None:
            return None
        error = StripeError(
            self.status,
            _MESSAGES.get(self.status, "This error was asked for with PUT /_faults."),
            code=_CODES.get(self.status),
        )
        if self.should_retry is not None:
            error.headers["Stripe-Should-Retry"] = self.should_retry
        if self.should_retry == "none":
            del error.headers["Stripe-Should-Retry"]
        if self.retry_after is not None:
            error.headers["Retry-After"] = str(self.retry_after)
        return error

    def _check(self) -> None:
        try:
            re.compile(self.path)
        except re.error as error:
            raise Unacceptable(f"{self.path!r} is not a regular expression: {error}") from error
        for name, is_good in (
            ("status", self.status is None or (_is_integer(self.status) and 400 <= self.status <= 599)),
            ("times", self.times is None or (_is_integer(self.times) and self.times > 0)),
            ("delay_seconds", isinstance(self.delay_seconds, (int, float)) and self.delay_seconds >= 0),
            ("should_retry", self.should_retry in (None, "true", "false", "none")),
            ("retry_after", self.retry_after is None or (_is_integer(self.retry_after) and self.retry_after >= 0)),
            ("cut", isinstance(self.cut, bool)),
        ):
            if not is_good:
                raise Unacceptable(f"{name} of a fault cannot be {getattr(self, name)!r}")
        if self.status is None and not self.cut and not self.delay_seconds:
            raise Unacceptable("a fault needs a status, a cut or delay_seconds")


class Faults:
    """The faults that are set, each with how often it has happened."""

    def __init__(self) -> None:
        """Start healthy."""
        self._lock = threading.Lock()
        self._left: list[tuple[Fault, int | None]] = []

    def set(self, faults: Iterable[Mapping[str, Any]]) -> None:
        """Replace all faults. Raises Unacceptable, and keeps the ones there are, if one of them makes no sense."""
        left = [(fault, fault.times) for fault in map(Fault.of, faults)]
        with self._lock:
            self._left = left

    def take(self, path: str) -> Fault | None:
        """The fault that meets a request: the first one set that matches and is not used up."""
        with self._lock:
            for index, (fault, times) in enumerate(self._left):
                if times != 0 and re.match(fault.path, path):
                    if times is not None:
                        self._left[index] = (fault, times - 1)
                    return fault
        return None


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
