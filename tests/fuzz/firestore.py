"""A database in memory that takes what Firestore takes, and nothing else."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from functions.effects import Create, Delete, Effect, Merge, Put
from functions.errors import Conflict
from functions.store import Found

Json = dict[str, Any]
#: https://cloud.google.com/firestore/quotas#limits
_MOST_BYTES_OF_AN_ID = 1_500
_MOST_LEVELS = 20


def is_document_id(text: str) -> bool:
    """Whether Firestore takes it as the id of a document or a collection."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return False
    return (
        0 < size <= _MOST_BYTES_OF_AN_ID
        and "/" not in text
        and text not in {".", ".."}
        and not re.fullmatch("__.*__", text, re.DOTALL)
    )


def is_document_path(path: str) -> bool:
    """Whether it leads to a document: collection, document, and so on in pairs."""
    parts = path.split("/")
    return len(parts) % 2 == 0 and all(map(is_document_id, parts))


def check_value(value: object, level: int = 0) -> None:
    """Raises AssertionError for what Firestore does not store."""
    assert level <= _MOST_LEVELS, "nested too deeply"
    match value:
        case None | bool() | datetime() | bytes():
            pass
        case int():
            assert -(2**63) <= value < 2**63, "a number too large"
        case float():
            assert math.isfinite(value), "no number"
        case str():
            value.encode()
        case Mapping():
            for key, inside in value.items():
                assert isinstance(key, str)
                assert key, "a field without a name"
                assert not re.fullmatch("__.*__", key, re.DOTALL), "a reserved name"
                key.encode()
                check_value(inside, level + 1)
        case list() | tuple():
            for inside in value:
                assert not isinstance(inside, list | tuple), "a list in a list"
                check_value(inside, level + 1)
        case _:
            raise AssertionError(f"no value of Firestore's: {type(value).__name__}")


def check_effects(effects: Iterable[Effect]) -> None:
    """Raises AssertionError for what could not be committed."""
    for effect in effects:
        assert is_document_path(effect.path), effect.path
        if not isinstance(effect, Delete):
            check_value(effect.fields)


@dataclass
class Documents:
    """`functions.store.Store` in memory, with preconditions."""

    fields: dict[str, Json] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)

    def read(self, paths: Sequence[str]) -> Mapping[str, Found]:
        for path in paths:
            assert is_document_path(path), path
        return {path: Found(self.fields.get(path), self.versions.get(path)) for path in paths}

    def commit(self, effects: Iterable[Effect], found: Mapping[str, Found]) -> None:
        effects = tuple(effects)
        check_effects(effects)
        for effect in effects:
            exists = effect.path in self.fields
            if isinstance(effect, Create) and exists:
                raise Conflict("AlreadyExists")
            if effect.path in found and found[effect.path].version != self.versions.get(effect.path):
                raise Conflict("FailedPrecondition")
        for effect in effects:
            match effect:
                case Create() | Put():
                    self.fields[effect.path] = dict(effect.fields)
                case Merge():
                    self.fields[effect.path] = {**self.fields.get(effect.path, {}), **effect.fields}
                case Delete():
                    self.fields.pop(effect.path, None)
            self.versions[effect.path] = self.versions.get(effect.path, 0) + 1
