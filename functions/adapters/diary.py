"""What is due, found by one query over every customer's collections of a kind, and committed one by one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from google.api_core import exceptions
from google.cloud.firestore import Client, FieldFilter, Query

from functions.adapters.firestore import TIMEOUT_SECONDS, FirestoreStore
from functions.effects import Effect, Json
from functions.errors import Retry
from functions.reminders.work import Due
from functions.store import Found

_DUE = "next_reminder_at"
_PAGE = 100


class FirestoreDiary:
    """`functions.reminders.sender.Diary` on the official client."""

    def __init__(self, client: Client, page: int = _PAGE) -> None:
        self._client = client
        self._store = FirestoreStore(client)
        self._page = page

    def due(self, collection: str, now: float, after: Due | None) -> Sequence[Due]:
        """A page of what is due in one kind of collection, the longest due first; empty at the end. Raises Retry."""
        query = self._query(collection, now)
        while True:
            if after is not None:
                fields = after.found.fields or {}
                reference = self._client.document(after.path)
                query = query.start_after({_DUE: fields[_DUE], "__name__": reference})
            with _asking():
                page = [
                    Due(each.reference.path, Found(each.to_dict() or {}, each.update_time))
                    for each in query.stream(timeout=TIMEOUT_SECONDS)
                ]
            # An application may have collections of the same name elsewhere.
            ours = [due for due in page if _is_ours(due.path)]
            if ours or len(page) < self._page:
                return ours
            after = page[-1]

    def read(self, paths: Sequence[str]) -> Mapping[str, Found]:
        """Read documents in one batch. Raises Retry."""
        return self._store.read(paths)

    def subscriptions(self, customer: str) -> list[Json]:
        """Every subscription of `customers/{c}`. Raises Retry."""
        with _asking():
            return [
                each.to_dict() or {}
                for each in self._client.collection(f"{customer}/subscriptions").stream(timeout=TIMEOUT_SECONDS)
            ]

    def commit(self, effects: Sequence[Effect], found: Mapping[str, Found]) -> None:
        """Commit all or nothing, provided what was found is still so. Raises Conflict, Retry or Permanent."""
        self._store.commit(effects, found)

    def _query(self, collection: str, now: float) -> Query:
        """Needs its index in firestore.indexes.json, which only the real Firestore asks for."""
        query = self._client.collection_group(collection).where(filter=FieldFilter(_DUE, "<=", int(now)))
        return query.order_by(_DUE).order_by("__name__").limit(self._page)


def _is_ours(path: str) -> bool:
    parts = path.split("/")
    return len(parts) == 4 and parts[0] == "customers"


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
        raise Retry(f"Firestore answered {type(error).__name__} to a query") from error
