"""Stripe's lists: pages by cursor, https://docs.stripe.com/api/pagination, and filters on fields and `created`."""

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from local.stripe_api.errors import StripeError, resource_missing
from local.stripe_api.parameters import Parameters

#: The parameters of every list.
CURSORS = frozenset({"limit", "starting_after", "ending_before"})
_RANGES = {
    "created": operator.eq,
    "created[gt]": operator.gt,
    "created[gte]": operator.ge,
    "created[lt]": operator.lt,
    "created[lte]": operator.le,
}
#: The parameters by which every list of top-level objects can be filtered.
CREATED = frozenset(_RANGES)

Predicate = Callable[[dict[str, Any]], bool]


def page(
    items: Sequence[dict[str, Any]],
    parameters: Parameters,
    *,
    url: str,
    object_type: str,
    matches: Predicate = lambda _: True,
) -> dict[str, Any]:
    """The page of `items` that `parameters` ask for, a Stripe list object.

    A cursor is a place in `items`, whether or not the object there `matches`. `has_more` looks the way the pages go:
    towards the beginning with `ending_before`. Raises StripeError for a cursor that is none of the items.
    """
    limit = parameters.limit()
    after = _position(items, parameters, "starting_after", object_type)
    before = _position(items, parameters, "ending_before", object_type)
    if after is not None and before is not None:
        raise StripeError(400, "Received both starting_after and ending_before parameters. Please pass in only one.")
    if before is not None:
        rest = [item for item in items[:before] if matches(item)]
        data = rest[-limit:]
    else:
        rest = [item for item in items[0 if after is None else after + 1 :] if matches(item)]
        data = rest[:limit]
    return {"object": "list", "data": data, "has_more": len(rest) > len(data), "url": url}


def filtered(
    parameters: Parameters,
    fields: Collection[str],
    flags: Collection[str] = (),
    choices: Mapping[str, str] = MappingProxyType({}),
    hidden: Mapping[str, str] = MappingProxyType({}),
    *,
    judged: Mapping[str, Callable[[dict[str, Any]], bool]] = MappingProxyType({}),
) -> Predicate:
    """The objects that a list with these parameters is about. A deleted object is never one of them."""
    everything = {name for name in hidden if parameters.values.get(name) == "all"}
    unasked = {name: value for name, value in hidden.items() if name not in parameters.values}
    equal: dict[str, str | bool | None] = {
        name: parameters.boolean(name) if name in flags else parameters.values[name]
        for name in fields
        if name in parameters.values and name not in everything
    }
    allowed = {choices[name]: frozenset(values) for name, values in parameters.lists.items()}
    verdicts = [(judge, asked) for name, judge in judged.items() if (asked := parameters.boolean(name)) is not None]
    ranges = [(_RANGES[name], value) for name in _RANGES if (value := parameters.integer(name)) is not None]

    def matches(item: dict[str, Any]) -> bool:
        return (
            not item.get("deleted")
            and all(_field(item, name) == value for name, value in equal.items())
            and all(_field(item, name) != value for name, value in unasked.items())
            and all(_field(item, name) in values for name, values in allowed.items())
            and all(judge(item) is asked for judge, asked in verdicts)
            and all(compare(item["created"], value) for compare, value in ranges)
        )

    return matches


def _field(item: dict[str, Any], name: str) -> Any:
    """A field, also one inside another: `payment[type]`."""
    outer, _, inner = name.partition("[")
    found = item.get(outer)
    return found.get(inner.rstrip("]")) if inner and isinstance(found, dict) else found


def _position(items: Sequence[dict[str, Any]], parameters: Parameters, name: str, object_type: str) -> int | None:
    cursor = parameters.values.get(name)
    if cursor is None:
        return None
    for index, item in enumerate(items):
        if item["id"] == cursor:
            return index
    raise resource_missing(object_type, cursor, name, status=400)
