"""The part of Stripe's search query language that finds objects by exact values: https://docs.stripe.com/search."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from local.stripe_api.errors import StripeError

_QUOTED = r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
_CLAUSE = re.compile(
    rf"""(?P<negated>-)?
    (?P<field>[a-zA-Z_.]+) (?:\[(?P<key>{_QUOTED})\])?
    (?P<operator>:|~|[<>]=?)
    (?P<value>{_QUOTED}|null\b)""",
    re.VERBOSE | re.DOTALL,
)
#: Two clauses are joined by a word, or by a space, which means AND.
_JOIN = re.compile(r"\s+(?:(?P<word>AND|OR)\s+)?", re.IGNORECASE)
_MOST_CLAUSES = 10


@dataclass(frozen=True, slots=True)
class _Clause:
    field: str
    #: Which metadata; None for any other field.
    key: str | None
    #: None: the field must be absent.
    value: str | None
    negated: bool

    def matches(self, item: dict[str, Any]) -> bool:
        found = item.get(self.field) if self.key is None else (item.get("metadata") or {}).get(self.key)
        if found is None or self.value is None:
            same = found is self.value
        else:
            # Stripe's exact match ignores case, also in metadata.
            same = str(found).casefold() == self.value.casefold()
        return same is not self.negated


def parse(query: str, fields: Collection[str], path: str) -> Callable[[dict[str, Any]], bool]:
    """The objects a query is about. `fields` may be asked besides `metadata`. Raises StripeError."""
    text = query.strip()
    clauses: list[_Clause] = []
    words: set[str] = set()
    position = 0
    while True:
        match = _CLAUSE.match(text, position)
        if match is None:
            raise _unparsable()
        clauses.append(_clause(match, fields, path))
        if match.end() == len(text):
            break
        join = _JOIN.match(text, match.end())
        if join is None:
            raise _unparsable()
        words.add((join["word"] or "AND").upper())
        position = join.end()
    if len(words) > 1:
        raise _refused("AND and OR cannot be combined in one search query.")
    if len(clauses) > _MOST_CLAUSES:
        raise _refused(f"A search query has at most {_MOST_CLAUSES} clauses.")
    combine = any if words == {"OR"} else all
    return lambda item: combine(clause.matches(item) for clause in clauses)


def _clause(match: re.Match[str], fields: Collection[str], path: str) -> _Clause:
    field, key = match["field"], match["key"]
    if (field not in fields or key is not None) and (field != "metadata" or key is None):
        raise _refused(
            f"Field `{field}` is an unsupported search field for resource `{path}`. See "
            f"http://stripe.com/docs/search#query-fields-for-{path} for a list of supported fields."
        )
    if match["operator"] != ":":
        raise _refused(f"The local Stripe API does not know the search operator `{match['operator']}`, only `:`.")
    value = None if match["value"] == "null" else _unquoted(match["value"])
    return _Clause(field, None if key is None else _unquoted(key), value, bool(match["negated"]))


def _unquoted(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted[1:-1], flags=re.DOTALL)


def _unparsable() -> StripeError:
    return _refused(
        'We were unable to parse your search query. Try using the format `metadata["key"]:"value"` to query for '
        'metadata or key:"value" to query for other fields.'
    )


def _refused(message: str) -> StripeError:
    return StripeError(400, message, param="query")
