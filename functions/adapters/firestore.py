"""The database: one batched read, one atomic commit whose preconditions say that nothing changed in between."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from google.api_core import exceptions
from google.api_core.retry import Retry as Retrying
from google.api_core.retry import if_exception_type
from google.cloud.firestore import DELETE_FIELD, Client, WriteBatch

from functions.effects import Create, Delete, Effect, Merge, Put
from functions.errors import Conflict, Permanent, Retry
from functions.store import Found

#: How long one read or one commit may take, the client's own retries included. Pub/Sub's redelivery takes over then.
TIMEOUT_SECONDS = 10.0


class FirestoreStore:
    """`functions.subscriber.Store` on the official client."""

    def __init__(self, client: Client, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._client = client
        self._timeout = timeout_seconds
        self._retry = Retrying(
            predicate=if_exception_type(exceptions.ServiceUnavailable, exceptions.InternalServerError),
            initial=0.1,
            maximum=2.0,
            timeout=timeout_seconds,
        )

    def read(self, paths: Sequence[str]) -> Mapping[str, Found]:
        """Read documents in one batch. Raises Retry."""
        references = {path: self._client.document(path) for path in paths}
        with _reading(), _translated():
            snapshots = {
                snapshot.reference: snapshot
                for snapshot in self._client.get_all(
                    list(references.values()), retry=self._retry, timeout=self._timeout
                )
            }
        return {
            path: Found(snapshots[reference].to_dict(), snapshots[reference].update_time)
            for path, reference in references.items()
        }

    def commit(self, effects: Iterable[Effect], found: Mapping[str, Found]) -> None:
        """Commit all or nothing, provided what was found is still so. Raises Conflict, Retry or Permanent.

        A commit that took effect although its answer was lost fails its own preconditions when it is repeated:
        that is a Conflict, and reading again finds the event reflected.
        """
        batch = self._client.batch()
        for effect in effects:
            self._add(batch, effect, found.get(effect.path))
        with _translated():
            batch.commit(retry=self._retry, timeout=self._timeout)

    def _add(self, batch: WriteBatch, effect: Effect, found: Found | None) -> None:
        """One write with the precondition its read implies. What was not read is written unconditionally, which is
        safe where another document of the same commit, with its precondition, decides what is written."""
        reference = self._client.document(effect.path)
        exists = found is not None and found.fields is not None
        option = self._client.write_option(last_update_time=found.version) if found and exists else None
        match effect:
            case Create():
                batch.create(reference, dict(effect.fields))
            case Delete():
                batch.delete(reference, option)
            case Put() | Merge() if found is None:
                batch.set(reference, dict(effect.fields), merge=isinstance(effect, Merge))
            case Put() | Merge() if found.fields is None:
                batch.create(reference, dict(effect.fields))
            case Merge():
                batch.update(reference, dict(effect.fields), option)
            case Put():
                # `set` takes no precondition: an update that also removes what is no longer there is the same.
                gone = dict.fromkeys(found.fields.keys() - effect.fields.keys(), DELETE_FIELD)
                batch.update(reference, {**effect.fields, **gone}, option)


@contextmanager
def _reading() -> Iterator[None]:
    """A read conflicts with nothing: what looks so is a database that is not there, or one that is busy."""
    try:
        yield
    except Conflict as problem:
        raise Retry(f"Firestore answered {problem} to a read: is there such a database?") from problem


@contextmanager
def _translated() -> Iterator[None]:
    """Google's exceptions in the system's terms."""
    try:
        yield
    except (
        exceptions.Aborted,
        exceptions.AlreadyExists,
        exceptions.FailedPrecondition,
        exceptions.NotFound,
    ) as error:
        raise Conflict(type(error).__name__) from error
    except exceptions.InvalidArgument as error:
        raise Permanent("Firestore does not take what this event says", error.message) from error
    except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
        raise Retry(f"Firestore answered {type(error).__name__}") from error
