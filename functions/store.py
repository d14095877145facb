"""What everything that changes documents needs of the database: one batched read, one atomic commit."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from functions.effects import Create, Effect, Json

_E = TypeVar("_E", bound=Effect)


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


def without_what_exists(
    effects: Iterable[_E], found: Mapping[str, Found], read: Callable[[Sequence[str]], Mapping[str, Found]]
) -> tuple[_E, ...]:
    """The effects without documents that are there already: one that exists says the same, and fails the commit.

    Nobody reads beforehand whether a mail exists, because the state that causes it changes only once. Where it does
    exist (somebody removed the state and delivered again), whoever met a Conflict finds out like this.
    """
    effects = tuple(effects)
    created = [effect.path for effect in effects if isinstance(effect, Create) and effect.path not in found]
    there = read(created) if created else {}
    return tuple(effect for effect in effects if effect.path not in there or there[effect.path].fields is None)
