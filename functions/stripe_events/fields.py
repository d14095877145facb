"""Reading one field of Stripe's JSON: what it must be, and a message that names it where it is not.

Every message is one line, whatever the JSON says.
"""

from collections.abc import Mapping
from typing import Any

from functions.errors import Malformed

_INT64 = 2**63


def _clean(value: str) -> str:
    """A text every service accepts: JSON may escape half a surrogate pair, which UTF-8 cannot carry."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def text(json: Mapping[str, Any], key: str) -> str | None:
    """A text, or None where it is missing or null."""
    value = json.get(key)
    if value is None or isinstance(value, str):
        return None if value is None else _clean(value)
    raise Malformed(f"{key} is not a text")


def first_text(json: Mapping[str, Any], key: str) -> str | None:
    """The first of a list of texts, or None where there is none."""
    value = json.get(key)
    if value is None or value == []:
        return None
    if not isinstance(value, list) or not isinstance(value[0], str):
        raise Malformed(f"{key} is not a list of texts")
    return _clean(value[0])


def required_text(json: Mapping[str, Any], key: str) -> str:
    """A text without which nothing can be decided."""
    value = text(json, key)
    if not value:
        raise Malformed(f"{_kind(json)} has no {key}")
    return value


def _kind(json: Mapping[str, Any]) -> str:
    """What an object calls itself, where that can stand in a message."""
    kind = json.get("object")
    return kind if isinstance(kind, str) and kind.isprintable() and kind else "the object"


def integer(json: Mapping[str, Any], key: str) -> int | None:
    """A whole number that a database can hold, or None where it is missing or null. `true` is no number."""
    value = json.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not -_INT64 <= value < _INT64:
        raise Malformed(f"{key} is not a whole number")
    return value


def required_integer(json: Mapping[str, Any], key: str) -> int:
    """A whole number without which nothing can be decided."""
    value = integer(json, key)
    if value is None:
        raise Malformed(f"{_kind(json)} has no {key}")
    return value


def mapping(json: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object inside, empty where there is none or where only its id stands."""
    value = json.get(key)
    if value is None or isinstance(value, str):
        return {}
    if not isinstance(value, Mapping):
        raise Malformed(f"{key if key.isprintable() else 'a part'} is not an object")
    return value


def boolean(json: Mapping[str, Any], key: str) -> bool:
    """True or false; what is missing or null is false."""
    value = json.get(key)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise Malformed(f"{key} is not true or false")


def list_of(json: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The objects of one of Stripe's lists (`{"data": […]}`), without which nothing can be decided."""
    value = mapping(json, key).get("data")
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise Malformed(f"{_kind(json)} has no {key}")
    return value


def reference(json: Mapping[str, Any], key: str) -> str | None:
    """A reference, which Stripe sends as an id or, expanded, as the whole object."""
    value = json.get(key)
    found = value.get("id") if isinstance(value, Mapping) else value
    if found is None or isinstance(found, str):
        return _clean(found) if found else None
    raise Malformed(f"{key} is not an id")


def metadata(json: Mapping[str, Any]) -> dict[str, str]:
    """What the seller attached to an object, all of it text."""
    found = mapping(json, "metadata")
    if not all(value is None or isinstance(value, str) for value in found.values()):
        raise Malformed("metadata holds something that is not a text")
    return {_clean(key): _clean(value or "") for key, value in found.items()}
