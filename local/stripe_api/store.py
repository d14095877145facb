"""The objects, in memory. They are replaced and never changed, so what was read may be used without a lock."""

import itertools
import json
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from local.stripe_api.errors import Unacceptable
from local.stripe_api.resources import BY_OBJECT


class Store:
    """Every Stripe object by its id, and the sub-lists that Stripe serves apart from their object."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._objects: dict[str, dict[str, Any]] = {}
        self._sublists: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._on_request: dict[tuple[str, str], Any] = {}
        #: Where an object stands in lists. Kept when it is replaced or deleted: cursors must not lose their place.
        self._ranks: dict[str, tuple[int, int]] = {}
        self._counter = itertools.count()
        #: What `all` has answered since anything was changed.
        self._listed: dict[str, list[dict[str, Any]]] = {}

    def put(self, objects: Iterable[Mapping[str, Any]]) -> int:
        """Store copies of Stripe objects, all or none, and say how many.

        A sub-list (`line_items`) may come inside, whole, as a list or a Stripe list object. An object that comes
        without keeps the one it has: events carry sessions without their line items. So does a field that Stripe
        shows on request only (`tiers`). Raises Unacceptable for anything that is not a Stripe object.
        """
        ready = [_checked(number, item) for number, item in enumerate(objects)]
        with self._lock:
            self._listed.clear()
            for item, sublists, on_request in ready:
                key = item["id"]
                created, turn = self._ranks.get(key) or (0, next(self._counter))
                self._ranks[key] = (item.get("created") or created, turn)
                self._objects[key] = item
                for name, items in sublists.items():
                    self._sublists[key, name] = items
                for name, value in on_request.items():
                    self._on_request[key, name] = value
        return len(ready)

    def get(self, object_id: str) -> dict[str, Any] | None:
        """One object, without its sub-lists and what is shown on request only."""
        with self._lock:
            return self._objects.get(object_id)

    def all(self, object_type: str) -> list[dict[str, Any]]:
        """Every object of a type, deleted ones too, newest first; within one second the last one put in is first."""
        with self._lock:
            if object_type not in self._listed:
                found = [item for item in self._objects.values() if item["object"] == object_type]
                self._listed[object_type] = sorted(found, key=lambda item: self._ranks[item["id"]], reverse=True)
            return self._listed[object_type]

    def sublist(self, object_id: str, name: str) -> list[dict[str, Any]]:
        """A sub-list, in the order it was put in. Empty where none was."""
        with self._lock:
            return self._sublists.get((object_id, name), [])

    def on_request(self, object_id: str, name: str) -> Any:
        """A field that is shown on request only. None where it was never put in."""
        with self._lock:
            return self._on_request.get((object_id, name))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._objects.clear()
            self._sublists.clear()
            self._on_request.clear()
            self._ranks.clear()
            self._listed.clear()


def _checked(number: int, given: object) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]], dict[str, Any]]:
    """A copy of one object, and apart from it its sub-lists and what is shown on request only."""
    if not isinstance(given, Mapping):
        raise Unacceptable(f"item {number} is not a JSON object")
    # Through JSON, because that is what an object is here, and so that nobody else holds a part of the copy.
    item: dict[str, Any] = json.loads(json.dumps(dict(given)))
    for key in ("id", "object"):
        if not isinstance(item.get(key), str) or not item[key]:
            raise Unacceptable(f"item {number} has no {key}")
    resource = BY_OBJECT.get(item["object"])
    created = item.get("created")
    is_listed = resource is not None and resource.filters is not None and not item.get("deleted")
    if (created is not None or is_listed) and not _is_integer(created):
        raise Unacceptable(f"{item['id']} has no created in epoch seconds, by which lists are sorted")
    names = resource.sublists if resource else ()
    sublists = {name: _sublist(item["id"], name, item.pop(name)) for name in names if name in item}
    on_request = {name: item.pop(name) for name in (resource.on_request if resource else ()) if name in item}
    return item, sublists, on_request


def _sublist(owner: str, name: str, given: object) -> list[dict[str, Any]]:
    items = given.get("data") if isinstance(given, dict) else given
    if not isinstance(items, list) or not all(isinstance(item, dict) and item.get("id") for item in items):
        raise Unacceptable(f"the {name} of {owner} are not a list of objects with an id")
    if isinstance(given, dict) and given.get("has_more"):
        raise Unacceptable(f"the {name} of {owner} are only the first page of more")
    return items


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
