"""What is kept of a person, found by what leads to it: beneath a customer, and by queries on one field.

Each query is answered by the index that Firestore makes of every field by itself; firestore.indexes.json adds none.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from google.api_core import exceptions
from google.cloud.firestore import Client, DocumentReference, FieldFilter, Query

from functions.adapters.firestore import TIMEOUT_SECONDS
from functions.effects import Json
from functions.errors import Retry

#: How many values one query may compare a field with: https://cloud.google.com/firestore/docs/query-data/queries#limits_on_or_queries.
_MOST_VALUES = 30
#: Where an address stands in a mail: in lists, and as a text where an application wrote the document itself.
_LISTS, _TEXTS = ("to", "cc", "bcc"), ("to", "cc", "bcc", "replyTo")


class FirestoreTraces:
    """`functions.operations.forget_person.Traces` on the official client."""

    def __init__(self, client: Client, mail: str) -> None:
        """`mail` is the collection of mails."""
        self._client = client
        self._mail = mail

    def beneath(self, path: str) -> dict[str, Json]:
        """Every document beneath one, in whichever collections there are, however deep. Raises Retry."""
        with _asking():
            return dict(self._beneath(self._client.document(path)))

    def customers_of(self, user_id: str) -> list[str]:
        """The ids of the customers that are this user's, also of those that no index has. Raises Retry."""
        return [path.partition("/")[2] for path in self._where("customers", "user_id", "in", [user_id])]

    def mails(self, customers: Sequence[str], addresses: Sequence[str]) -> dict[str, Json]:
        """The mails about these customers, and those to or from these addresses as they are spelled. Raises Retry."""
        found = self._where(self._mail, "customer", "in", customers)
        for field in _LISTS:
            found |= self._where(self._mail, field, "array_contains_any", addresses)
        for field in _TEXTS:
            found |= self._where(self._mail, field, "in", addresses)
        return found

    def payments(self, invoices: Sequence[str]) -> dict[str, Json]:
        """The payments that lead to these invoices. Raises Retry."""
        return self._where("payments", "invoice", "in", invoices)

    def deliveries(self, customers: Sequence[str]) -> dict[str, Json]:
        """What was handed on of these customers. Raises Retry."""
        return self._where("deliveries", "customer", "in", customers)

    def parked_events(self) -> dict[str, Json]:
        """All of them: only the bytes of an event say whom it is about. Raises Retry."""
        with _asking():
            stream = self._client.collection("parked_events").stream(timeout=TIMEOUT_SECONDS)
            return {each.reference.path: each.to_dict() or {} for each in stream}

    def _beneath(self, document: DocumentReference) -> Iterator[tuple[str, Json]]:
        for collection in document.collections(timeout=TIMEOUT_SECONDS):
            # Also documents that are not there and have collections all the same.
            for reference in collection.list_documents(timeout=TIMEOUT_SECONDS):
                yield from self._beneath(reference)
            for each in collection.stream(timeout=TIMEOUT_SECONDS):
                yield each.reference.path, each.to_dict() or {}

    def _where(self, collection: str, field: str, op: str, values: Sequence[str]) -> dict[str, Json]:
        found: dict[str, Json] = {}
        with _asking():
            for start in range(0, len(values), _MOST_VALUES):
                query = self._query(collection, field, op, values[start : start + _MOST_VALUES])
                found |= {each.reference.path: each.to_dict() or {} for each in query.stream(timeout=TIMEOUT_SECONDS)}
        return found

    def _query(self, collection: str, field: str, op: str, values: Sequence[str]) -> Query:
        return self._client.collection(collection).where(filter=FieldFilter(field, op, list(values)))


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
        raise Retry(f"Firestore answered {type(error).__name__} to a query") from error
