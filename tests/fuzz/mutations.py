"""Real JSON that somebody meddled with: fields gone, of another type, nested, too large, or from somewhere else."""

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Json = Any
#: Where something is in a JSON value: keys and places, from the outside in.
Place = tuple[str | int, ...]

#: What databases, logs, headers and people trip over, by what it is.
TROUBLE = (
    ("\0", "\n", "a\r\nb: c", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u202e", "\ufeff", "\u200b"),
    ("\ud800", "a\udfffb", "\ud800\ud800"),
    ("", " ", "/", "a/b", ".", "..", "../../users/admin", "%", "%2F", "%~", "`", "a.b", "'", '"', "\\"),
    ("__x__", "____", "__name__"),
    ("null", "true", "0", "-1", "NaN", "{{ 7 * 7 }}", "{% raw %}", "<script>alert(1)</script>", "javascript:alert(1)"),
    ("é", "日本語", "😀", "e\u0301" * 50, "ﬁ", "İ", "ß"),
    ("x" * 1_501, "é" * 800, "😀" * 400, "x" * 20_000),
    ("a@b.example", "a@b.example, c@d.example", '"c@d.example" <a@b.example>', "@", "a@", "=?utf-8?q?a?=@b.example"),
    ("cus_1", "guest_1", "sub_1", "in_1", "pi_1", "prod_1", "seen_cus_1_1"),
    ("jpy", "JPY", "zzz", "ja", "en-US", "x-y-z"),
    ("paid", "unpaid", "complete", "open", "void", "active", "canceled", "trialing", "setup", "subscription", "card"),
)
texts = st.sampled_from(TROUBLE).flatmap(st.sampled_from) | st.text(max_size=20)
numbers = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**65), 2**65),
    st.sampled_from([2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**400, 253_402_300_800]),
    st.integers(1_789_000_000, 1_791_000_000),
    st.floats(),
)
scalars = st.none() | st.booleans() | numbers | texts
json_values: st.SearchStrategy[Json] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def places(json: Json, at: Place = ()) -> Iterator[Place]:
    """Everywhere in it, the outermost first."""
    yield at
    inside = json.items() if isinstance(json, dict) else enumerate(json) if isinstance(json, list) else ()
    for key, value in inside:
        yield from places(value, (*at, key))


def found_at(json: Json, place: Place) -> Json:
    """What is there."""
    for key in place:
        json = json[key]
    return json


def _put(json: Json, place: Place, value: Json) -> Json:
    if not place:
        return value
    found_at(json, place[:-1])[place[-1]] = value
    return json


def _nested(value: Json, depth: int, *, in_lists: bool) -> Json:
    for _ in range(depth):
        value = [value] if in_lists else {"data": value}
    return value


@st.composite
def mutated(draw: st.DrawFn, json: Json, *, most: int = 4) -> Json:
    """This JSON after up to `most` changes, at least one."""
    json = copy.deepcopy(json)
    for _ in range(draw(st.integers(1, most))):
        json = _once(draw, json)
    return json


def _once(draw: st.DrawFn, json: Json) -> Json:
    everywhere = list(places(json))
    place = draw(st.sampled_from(everywhere))
    match draw(
        st.sampled_from(
            ("drop", "value", "value", "scalar", "scalar", "deepen", "move", "rename", "add", "spoil", "name")
        )
    ):
        case "spoil" if written := [each for each in everywhere if isinstance(found_at(json, each), str)]:
            spoiled = draw(st.sampled_from(written))
            json = _put(json, spoiled, found_at(json, spoiled) + draw(texts))
        case "name" if maps := [each for each in everywhere if each and each[-1] == "metadata"]:
            json = _put(json, draw(st.sampled_from(maps)), draw(st.dictionaries(texts, texts, max_size=2)))
        case "drop" if place:
            del found_at(json, place[:-1])[place[-1]]
        case "scalar":
            json = _put(json, place, draw(scalars))
        case "deepen":
            depth = draw(st.sampled_from((1, 1, 2, 30, 150)))
            json = _put(json, place, _nested(found_at(json, place), depth, in_lists=draw(st.booleans())))
        case "move":
            json = _put(json, place, copy.deepcopy(found_at(json, draw(st.sampled_from(everywhere)))))
        case "rename" if place and isinstance(place[-1], str):
            inside = found_at(json, place[:-1])
            inside[draw(texts)] = inside.pop(place[-1])
        case "add" if isinstance(inside := found_at(json, place), dict):
            inside[draw(texts)] = draw(json_values)
        case _:
            json = _put(json, place, draw(json_values))
    return json
