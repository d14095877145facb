"""A database that is read and never written: what would be written is kept in memory, and found there afterwards."""

import threading
from collections.abc import Iterable, Mapping, Sequence

from functions.effects import Create, Delete, Effect, Json, Merge, Put
from functions.errors import Conflict
from functions.store import Found, Store


class Rehearsal:
    """`functions.store.Store` over another one. A version is the number of the commit that wrote the document here."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._written: dict[str, Found] = {}
        self._commits = 0

    def read(self, paths: Sequence[str]) -> Mapping[str, Found]:
        """Read documents in one batch. Raises Retry."""
        with self._lock:
            here = {path: self._written[path] for path in paths if path in self._written}
        there = [path for path in paths if path not in here]
        return {**(self._store.read(there) if there else {}), **here}

    def commit(self, effects: Iterable[Effect], found: Mapping[str, Found]) -> None:
        """Keep it, unless something was kept since it was read. Raises Conflict."""
        effects = tuple(effects)
        # A Merge into what was not read adds to what is there.
        unread = self.read([each.path for each in effects if each.path not in found])
        with self._lock:
            for path, was in found.items():
                if path in self._written and self._written[path].version != was.version:
                    raise Conflict("it changed in the rehearsal")
            kept: dict[str, Found] = {}
            for each in effects:
                before = kept.get(each.path) or self._written.get(each.path) or found.get(each.path)
                kept[each.path] = Found(_after(each, (before or unread[each.path]).fields), self._commits + 1)
            self._written |= kept
            self._commits += 1


def _after(effect: Effect, before: Json | None) -> Json | None:
    match effect:
        case Delete():
            return None
        case Merge():
            return {**(before or {}), **effect.fields}
        case Create() if before is not None:
            raise Conflict("it exists")
        case Create() | Put():
            return dict(effect.fields)
