"""What everything that changes documents needs of the database: one batched read, one atomic commit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from functions.effects import Effect, Json


@dataclass(frozen=True, slots=True)
class Found:
    """A document as it was read; `fields` and `version` are None where there is none."""

    fields: Json | None
    version: Any = None


class Store(Protocol):
    """The database."""

    def read(self, paths: Sequence[str]) -> Mapping[str, Found]:
        """Read documents in one batch. Raises Retry."""

    def commit(self, effects: Iterable[Effect], found: Mapping[str, Found]) -> None:
        """Commit all or nothing, provided what was found is still so. Raises Conflict, Retry or Permanent."""
