"""What was asked: tests count the calls that an event costs."""

import threading
from collections.abc import Mapping
from typing import TypedDict


class RecordedRequest(TypedDict):
    """One request. `status` is None while it is not answered, which it stays if its connection was cut."""

    method: str
    path: str
    #: Decoded; a name that was repeated has a list.
    query: dict[str, str | list[str]]
    status: int | None
    stripe_version: str | None
    #: `Stripe-Account`: the connected account a request is made for.
    account: str | None
    #: `Stripe-Context`.
    context: str | None


class Journal:
    """Every request since the last `clear`."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._requests: list[RecordedRequest] = []

    def add(
        self, method: str, path: str, query: Mapping[str, list[str]], headers: Mapping[str, str]
    ) -> RecordedRequest:
        """Note a request as it arrives; the result goes to `answered`."""
        request = RecordedRequest(
            method=method,
            path=path,
            query={name: values if len(values) > 1 else values[0] for name, values in query.items()},
            status=None,
            stripe_version=headers.get("Stripe-Version"),
            account=headers.get("Stripe-Account"),
            context=headers.get("Stripe-Context"),
        )
        with self._lock:
            self._requests.append(request)
        return request

    def answered(self, request: RecordedRequest, status: int) -> None:
        """Note how a request was answered."""
        with self._lock:
            request["status"] = status

    def requests(self) -> list[RecordedRequest]:
        """Copies of all of them, in the order they arrived."""
        with self._lock:
            return [request.copy() for request in self._requests]

    def clear(self) -> None:
        """Forget them."""
        with self._lock:
            self._requests.clear()
