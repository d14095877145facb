"""The collection of parked events: listed without their bytes, read with them one by one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from google.api_core import exceptions
from google.cloud.firestore import Client, FieldFilter, Query

from functions.adapters.firestore import TIMEOUT_SECONDS
from functions.effects import Fields
from functions.errors import Retry
from functions.parking import FIELDS, ParkedEvent, parked_event

_COLLECTION = "parked_events"
_PARKED_AT = "parked_at"
_PAGE = 500


class FirestoreParkedEvents:
    """`functions.parking.ParkedEvents` and `functions.operations.replaying.Kept` on the official client."""

    def __init__(self, client: Client, page: int = _PAGE) -> None:
        self._client = client
        self._collection = client.collection(_COLLECTION)
        self._page = page

    def between(self, after: float, until: float) -> Iterator[ParkedEvent]:
        """Those parked later than `after`, up to `until`, in epoch seconds and in that order. Raises Retry."""
        query = self._between(after, until)
        while True:
            with _asking():
                page = list(query.stream(timeout=TIMEOUT_SECONDS))
            yield from (parked_event(each.id, each.to_dict() or {}) for each in page)
            if len(page) < self._page:
                return
            query = query.start_after(page[-1])

    def of_event(self, event_id: str) -> list[ParkedEvent]:
        """One event, once for each function that parked it. Raises Retry."""
        with _asking():
            found = list(self._of_event(event_id).stream(timeout=TIMEOUT_SECONDS))
        return [parked_event(each.id, each.to_dict() or {}) for each in found]

    def read(self, document_id: str) -> Fields | None:
        """Everything that is kept of one; None where it is gone. Raises Retry."""
        with _asking():
            fields: Fields | None = self._collection.document(document_id).get(timeout=TIMEOUT_SECONDS).to_dict()
        return fields

    def again(self, document_ids: Sequence[str]) -> Mapping[str, ParkedEvent]:
        """How these are now, those that are there. Raises Retry."""
        references = [self._collection.document(each) for each in document_ids]
        with _asking():
            found = list(self._client.get_all(references, field_paths=FIELDS, timeout=TIMEOUT_SECONDS))
        return {each.id: parked_event(each.id, each.to_dict() or {}) for each in found if each.exists}

    # Single fields have their index by themselves.

    def _between(self, after: float, until: float) -> Query:
        query = self._collection.where(filter=FieldFilter(_PARKED_AT, ">", after))
        query = query.where(filter=FieldFilter(_PARKED_AT, "<=", until)).order_by(_PARKED_AT)
        return query.select(FIELDS).limit(self._page)

    def _of_event(self, event_id: str) -> Query:
        return self._collection.where(filter=FieldFilter("event_id", "==", event_id)).select(FIELDS)


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
        raise Retry(f"Firestore answered {type(error).__name__} to a query") from error
