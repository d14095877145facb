"""Every document of one kind of collection, by its path and page by page: for whoever looks for what is too much."""

from collections.abc import Iterator, Sequence

from google.api_core import exceptions
from google.cloud.firestore import Client, Query

from functions.adapters.firestore import TIMEOUT_SECONDS
from functions.effects import Json
from functions.errors import Retry

_PAGE = 300


class FirestoreWalk:
    """`functions.operations.auditing.Walk` on the official client."""

    def __init__(self, client: Client, page: int = _PAGE) -> None:
        self._client = client
        self._page = page

    def documents(self, collection: str, fields: Sequence[str]) -> Iterator[list[tuple[str, Json]]]:
        """Pages of (path, these fields) of `customers`, or of a collection inside each customer. Raises Retry."""
        query, after = self._all(collection, fields), None
        while True:
            try:
                found = list((query.start_after(after) if after else query).stream(timeout=TIMEOUT_SECONDS))
            except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
                raise Retry(f"Firestore answered {type(error).__name__} to a query") from error
            # An application may have collections of the same name elsewhere.
            yield [
                (each.reference.path, each.to_dict() or {})
                for each in found
                if _is_ours(each.reference.path, collection)
            ]
            if len(found) < self._page:
                return
            after = found[-1]

    def _all(self, collection: str, fields: Sequence[str]) -> Query:
        """By the document's name alone, for which Firestore has an index of its own, also across collections."""
        source = self._client.collection if collection == "customers" else self._client.collection_group
        query: Query = source(collection).order_by("__name__").select(list(fields)).limit(self._page)
        return query


def _is_ours(path: str, collection: str) -> bool:
    parts = path.split("/")
    return parts[0] == "customers" and len(parts) == (2 if collection == "customers" else 4)
