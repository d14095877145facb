"""What each endpoint answers: functions of the stored objects and the query parameters. Nothing here knows HTTP."""

import base64
import re
from collections.abc import Iterable
from typing import Any

from local.stripe_api import paging, search
from local.stripe_api.errors import StripeError, resource_missing
from local.stripe_api.parameters import Parameters
from local.stripe_api.resources import BY_OBJECT, Resource
from local.stripe_api.store import Store

Query = Iterable[tuple[str, str]]
Answer = dict[str, Any]

#: What a page token of search says, once decoded. At Stripe it says nothing to anyone, so neither should it here.
_PAGE = re.compile(rb"from (\d{1,9})")


def retrieve(store: Store, resource: Resource, query: Query, object_id: str) -> Answer:
    """GET /v1/{path}/{id}. A deleted object is answered as what is left of it."""
    parameters = Parameters.of(query)
    return _expanded(_existing(store, resource, object_id), parameters, store)


def list_objects(store: Store, resource: Resource, query: Query) -> Answer:
    """GET /v1/{path}, newest first."""
    fields = resource.filters or frozenset()
    known = fields | resource.judged.keys() | paging.CREATED | paging.CURSORS
    parameters = Parameters.of(query, known, resource.choices)
    answer = paging.page(
        store.all(resource.object),
        parameters,
        url=f"/v1/{resource.path}",
        object_type=resource.object,
        matches=paging.filtered(
            parameters, fields, resource.flags, resource.choices, resource.hidden, judged=resource.judged
        ),
    )
    return _expanded(answer, parameters, store)


def list_related(store: Store, resource: Resource, name: str, query: Query, object_id: str) -> Answer:
    """GET /v1/{path}/{id}/{name}: other objects that name this one, newest first."""
    object_type, field = resource.related[name]
    fields = (BY_OBJECT[object_type].filters or frozenset()) - {field}
    parameters = Parameters.of(query, fields | paging.CURSORS)
    _existing(store, resource, object_id)
    answer = paging.page(
        [item for item in store.all(object_type) if item.get(field) == object_id],
        parameters,
        url=f"/v1/{resource.path}/{object_id}/{name}",
        object_type=object_type,
        matches=paging.filtered(parameters, fields),
    )
    return _expanded(answer, parameters, store)


def list_sublist(store: Store, resource: Resource, name: str, query: Query, object_id: str) -> Answer:
    """GET /v1/{path}/{id}/{name}, in the order of the object."""
    parameters = Parameters.of(query, paging.CURSORS)
    _existing(store, resource, object_id)
    return _expanded(_sublist_page(store, resource, name, object_id, parameters), parameters, store)


def search_objects(store: Store, resource: Resource, query: Query) -> Answer:
    """GET /v1/{path}/search. Finds at once what Stripe may take a minute to find."""
    parameters = Parameters.of(query, {"query", "limit", "page"})
    if "query" not in parameters.values:
        raise StripeError(400, "Missing required param: query.", code="parameter_missing", param="query")
    matches = search.parse(parameters.values["query"], resource.search_fields or frozenset(), resource.path)
    found = [item for item in store.all(resource.object) if matches(item) and not item.get("deleted")]
    start = _page_start(parameters.values.get("page"))
    end = start + parameters.limit()
    more = end < len(found)
    answer = {
        "object": "search_result",
        "data": found[start:end],
        "has_more": more,
        "next_page": base64.b64encode(f"from {end}".encode()).decode() if more else None,
        "url": f"/v1/{resource.path}/search",
    }
    return _expanded(answer, parameters, store)


def _existing(store: Store, resource: Resource, object_id: str) -> dict[str, Any]:
    found = store.get(object_id)
    if found is None or found["object"] != resource.object:
        raise resource_missing(resource.object, object_id, resource.id_param)
    return found


def _sublist_page(store: Store, resource: Resource, name: str, object_id: str, parameters: Parameters) -> Answer:
    return paging.page(
        store.sublist(object_id, name),
        parameters,
        url=f"/v1/{resource.path}/{object_id}/{name}",
        object_type=resource.sublists[name],
    )


def _page_start(token: str | None) -> int:
    if token is None:
        return 0
    try:
        match = _PAGE.fullmatch(base64.b64decode(token, validate=True))
    except ValueError:  # not base64, or not ASCII
        match = None
    if match is None:
        raise StripeError(400, f"Invalid page token: {token}", param="page")
    return int(match[1])


def _expanded(answer: Answer, parameters: Parameters, store: Store) -> Answer:
    for path in parameters.expand:
        answer = _expand(answer, path.split("."), path, store)
    return answer


def _expand(value: Any, steps: list[str], path: str, store: Store) -> Any:
    """`value` with the id at the end of `steps` replaced by its object; ids on the way are replaced too."""
    if value is None:
        return None
    if isinstance(value, list):
        return [_expand(item, steps, path, store) for item in value]
    if isinstance(value, str):
        value = store.get(value)
    if not isinstance(value, dict):
        raise StripeError(400, f"This property cannot be expanded ({path}).")
    if not steps:
        return value
    name, *rest = steps
    resource = BY_OBJECT.get(value.get("object", ""))
    if resource and name in resource.sublists:
        inner: Any = _sublist_page(store, resource, name, value["id"], Parameters(values={}, expand=[]))
    elif name in value:
        inner = value[name]
    elif resource and name in resource.on_request:
        inner = store.on_request(value["id"], name)
    else:
        raise StripeError(400, f"This property cannot be expanded ({path}).")
    return {**value, name: _expand(inner, rest, path, store)}
