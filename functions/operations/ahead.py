"""One read for a whole page: what its objects will ask for first, before they ask."""

import threading
from collections.abc import Iterable, Mapping, Sequence

from functions.effects import Effect
from functions.store import Found, Store


class ReadAhead:
    """`functions.store.Store` over another one.

    A document that was read ahead is handed out once. What is decided on it holds all the same: the commit fails if it
    has changed since, and whoever decides again then reads it anew.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._ahead: dict[str, Found] = {}

    def prepare(self, paths: Sequence[str]) -> None:
        """Read these, and forget what was read ahead before. Raises Retry."""
        found = dict(self._store.read(paths)) if paths else {}
        with self._lock:
            self._ahead = found

    def read(self, paths: Sequence[str]) -> Mapping[str, Found]:
        """Read documents in one batch, or none. Raises Retry."""
        with self._lock:
            ahead = {path: self._ahead.pop(path) for path in paths if path in self._ahead}
        missing = [path for path in paths if path not in ahead]
        return {**ahead, **(self._store.read(missing) if missing else {})}

    def commit(self, effects: Iterable[Effect], found: Mapping[str, Found]) -> None:
        """Commit all or nothing, provided what was found is still so. Raises Conflict, Retry or Permanent."""
        self._store.commit(effects, found)
