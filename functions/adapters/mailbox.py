"""The mails that did not go out: found by two queries that read little more than what is open, changed one by one."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from google.api_core import exceptions
from google.api_core.retry import Retry as Retrying
from google.api_core.retry import if_exception_type
from google.cloud.firestore import Client, FieldFilter, Query

from functions.adapters.firestore import TIMEOUT_SECONDS, FirestoreStore
from functions.effects import Create, Fields, Merge, Put
from functions.errors import Conflict, Retry
from functions.mail.sweep import Undelivered
from functions.store import Found

_STATE, _ENDED, _LEASE = "delivery.state", "delivery.endTime", "delivery.leaseExpireTime"
#: What a decision looks at; the texts of the mails stay where they are.
_FIELDS = (
    *(_STATE, _ENDED, _LEASE, "delivery.error", "retries", "given_up_at"),
    *("audience", "customer", "event", "livemode", "account", "to", "message.subject"),
)
_PAGE = 200


class FirestoreMailbox:
    """`functions.mail.sweeper.Mailbox` on the official client."""

    def __init__(self, client: Client, collection: str, page: int = _PAGE) -> None:
        self._mails = client.collection(collection)
        self._store = FirestoreStore(client)
        self._page = page
        # Not in the collection itself: the extension would take it for a mail.
        self._mark = f"sweeps/{collection}"
        self._retry = Retrying(
            predicate=if_exception_type(exceptions.ServiceUnavailable, exceptions.InternalServerError),
            initial=0.1,
            maximum=2.0,
            timeout=TIMEOUT_SECONDS,
        )

    def failed(self, since: datetime) -> Iterator[Undelivered]:
        """Mails in ERROR whose attempt ended then or later, in that order. Raises Retry."""
        return self._read(self._failed(since), _ENDED)

    def overdue(self, since: datetime, until: datetime) -> Iterator[Undelivered]:
        """Mails in ERROR or PROCESSING whose lease expired in between, in that order. Raises Retry.

        The extension notices an expired lease when somebody writes to the document, and its ERROR has no end then.
        """
        return self._read(self._overdue(since, until), _LEASE)

    # Each needs its index in firestore.indexes.json, which only the real Firestore asks for.

    def _failed(self, since: datetime) -> Query:
        query = self._mails.where(filter=FieldFilter(_STATE, "==", "ERROR"))
        return query.where(filter=FieldFilter(_ENDED, ">=", since)).order_by(_ENDED)

    def _overdue(self, since: datetime, until: datetime) -> Query:
        query = self._mails.where(filter=FieldFilter(_STATE, "in", ["ERROR", "PROCESSING"]))
        query = query.where(filter=FieldFilter(_LEASE, ">=", since)).where(filter=FieldFilter(_LEASE, "<", until))
        return query.order_by(_LEASE)

    def _read(self, query: Query, key: str) -> Iterator[Undelivered]:
        """Page by page, so that however many there are, none is read that nobody gets to."""
        query = query.select(_FIELDS).limit(self._page)
        last: Any = None
        while True:
            try:
                page = list(
                    (query.start_after(last) if last else query).stream(retry=self._retry, timeout=TIMEOUT_SECONDS)
                )
            except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
                raise Retry(f"Firestore answered {type(error).__name__} to a query") from error
            for last in page:
                yield Undelivered(
                    id=last.id,
                    path=last.reference.path,
                    fields=last.to_dict() or {},
                    at=last.get(key),
                    version=last.update_time,
                )
            if len(page) < self._page:
                return

    def commit(self, mail: Undelivered, changes: Fields, documents: Sequence[Create]) -> None:
        """All or nothing, provided the mail is as it was read; a dot in a name leads inside.

        Raises Conflict, also where a document is there already, Retry or Permanent.
        """
        self._store.commit((Merge(mail.path, changes), *documents), {mail.path: Found(dict(mail.fields), mail.version)})

    def exists(self, path: str) -> bool:
        """Whether there is such a document. Raises Retry."""
        return self._store.read([path])[path].fields is not None

    def mark(self) -> datetime | None:
        """Where the last run left it; None before the first. Raises Retry."""
        found = (self._store.read([self._mark])[self._mark].fields or {}).get("settled_until")
        return found if isinstance(found, datetime) else None

    def move_mark(self, to: datetime) -> None:
        """Raises Retry."""
        # Another run is moving it at this moment: one mark is as good as the other.
        with suppress(Conflict):
            self._store.commit([Put(self._mark, {"settled_until": to})], {})
