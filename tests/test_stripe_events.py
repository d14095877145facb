"""What `parse` makes of a webhook's bytes: one event, or one line that says what is wrong with them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.errors import Malformed
from functions.stripe_events import StripeEvent, parse

Json = dict[str, Any]
PAYLOADS = os.environ.get("STRIPE_PAYLOADS")

SNAPSHOT: Json = {
    "id": "evt_1MqLN82eZvKYlo2CsUQmdWRq",
    "object": "event",
    "api_version": "2026-10-28.endive",
    "created": 1_793_000_000,
    "data": {
        "object": {"id": "cus_1", "object": "customer", "email": "new@example.com"},
        "previous_attributes": {"email": "old@example.com"},
    },
    "livemode": True,
    "type": "customer.updated",
}
THIN: Json = {
    "id": "evt_test_65R9Ijk8dKEYZcXeRWn16R9A",
    "object": "v2.core.event",
    "created": "2026-10-26T06:53:20.500Z",
    "livemode": False,
    "related_object": {"id": "cus_1", "type": "customer", "url": "/v1/customers/cus_1"},
    "snapshot_event": "evt_1MqLN82eZvKYlo2CsUQmdWRq",
    "type": "v1.customer.updated",
}
FORMS = pytest.mark.parametrize("form", [SNAPSHOT, THIN], ids=["snapshot", "thin"])


def read(form: Json, **changes: object) -> StripeEvent:
    return parse(json.dumps(form | changes).encode())


def without(form: Json, key: str) -> Json:
    return {name: value for name, value in form.items() if name != key}


def refusal(body: bytes) -> str:
    """The one line for which the bytes are refused."""
    with pytest.raises(Malformed) as refused:
        parse(body)
    return str(refused.value)


def test_a_snapshot_event_is_read_whole() -> None:
    assert read(SNAPSHOT) == StripeEvent(
        id="evt_1MqLN82eZvKYlo2CsUQmdWRq",
        type="customer.updated",
        created=1_793_000_000,
        livemode=True,
        api_version="2026-10-28.endive",
        object={"id": "cus_1", "object": "customer", "email": "new@example.com"},
        object_id="cus_1",
        object_type="customer",
        previous_attributes={"email": "old@example.com"},
    )


def test_a_thin_notification_is_the_same_event_without_its_data() -> None:
    assert read(THIN) == StripeEvent(
        id="evt_test_65R9Ijk8dKEYZcXeRWn16R9A",
        type="customer.updated",
        created=1_792_997_600,
        livemode=False,
        is_thin=True,
        snapshot_event="evt_1MqLN82eZvKYlo2CsUQmdWRq",
        object_id="cus_1",
        object_type="customer",
        previous_attributes={},
    )


@pytest.mark.skipif(PAYLOADS is None, reason="STRIPE_PAYLOADS does not name a folder of recorded events")
def test_every_recorded_event_is_read() -> None:
    recorded = sorted(Path(PAYLOADS or "").glob("captured-*/*.json"))
    assert recorded
    for path in recorded:
        data = json.loads(path.read_bytes())
        event = parse(path.read_bytes())
        assert (event.id, event.type, event.created) == (data["id"], data["type"], data["created"]), path.name


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"\xff", "the body is not UTF-8", id="not UTF-8"),
        pytest.param('{"id": "é"}'.encode("latin-1"), "the body is not UTF-8", id="latin-1"),
        pytest.param(json.dumps(SNAPSHOT).encode("utf-16"), "the body is not UTF-8", id="UTF-16"),
        pytest.param(json.dumps(SNAPSHOT).encode("utf-8-sig"), "the body is not JSON", id="BOM"),
        pytest.param(b"", "the body is not JSON", id="empty"),
        pytest.param(b"id=evt_1", "the body is not JSON", id="a form"),
        pytest.param(b'{"id": "evt_1"', "the body is not JSON", id="cut off"),
        pytest.param(b"{} {}", "the body is not JSON", id="two objects"),
        pytest.param(b"[" * 200_000, "the body is not JSON", id="deep list"),
        pytest.param(b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "the body is not JSON", id="deep object"),
        pytest.param(b'{"created": ' + b"9" * 5_000 + b"}", "the body is not JSON", id="endless number"),
        pytest.param(b"null", "the body is not a JSON object", id="null"),
        pytest.param(b"[1]", "the body is not a JSON object", id="list"),
        pytest.param(b"1", "the body is not a JSON object", id="number"),
        pytest.param(b"NaN", "the body is not a JSON object", id="NaN"),
        pytest.param(b"true", "the body is not a JSON object", id="true"),
        pytest.param(b'"evt_1"', "the body is not a JSON object", id="string"),
        pytest.param(b"{}", "the event has no type", id="empty object"),
    ],
)
def test_bytes_that_are_no_event_are_refused(body: bytes, reason: str) -> None:
    assert refusal(body) == reason


@FORMS
@pytest.mark.parametrize("key", ["id", "type"])
def test_an_event_without_an_id_or_a_type_is_refused(form: Json, key: str) -> None:
    assert refusal(json.dumps(without(form, key)).encode()) == f"the event has no {key}"
    assert refusal(json.dumps(form | {key: None}).encode()) == f"the event has no {key}"


# Each of them becomes a Pub/Sub attribute, a log field and part of a document id.
@FORMS
@pytest.mark.parametrize("key", ["id", "type", "api_version", "account", "context"])
@pytest.mark.parametrize(
    "value",
    ["two words", "line\n", "\nline", "tab\t", "x" * 300, "\ud800", "evt_é", "\0", 7, True, ["evt_1"], {"id": "evt_1"}],
)
def test_what_is_not_one_printable_word_is_refused(form: Json, key: str, value: object) -> None:
    assert refusal(json.dumps(form | {key: value}).encode()) == f"{key} is not a word of printable characters"


@FORMS
@pytest.mark.parametrize("key", ["id", "type"])
def test_an_empty_id_or_type_is_refused(form: Json, key: str) -> None:
    assert refusal(json.dumps(form | {key: ""}).encode()) == f"{key} is not a word of printable characters"


def test_a_type_that_is_nothing_but_the_prefix_is_refused() -> None:
    assert refusal(json.dumps(THIN | {"type": "v1."}).encode()) == "type is only a prefix"


@FORMS
@pytest.mark.parametrize("livemode", [None, "true", "false", 0, 1, [], {}])
def test_an_event_that_does_not_say_its_mode_is_refused(form: Json, livemode: object) -> None:
    assert refusal(json.dumps(form | {"livemode": livemode}).encode()) == "livemode is not true or false"


@FORMS
def test_an_event_without_a_mode_is_refused(form: Json) -> None:
    assert refusal(json.dumps(without(form, "livemode")).encode()) == "livemode is not true or false"


@pytest.mark.parametrize(
    "created",
    [None, True, -1, 0, 1_793_000_000.0, 1_793_000_000.5, "1793000000", "2026-10-26T06:53:20Z", 10**30, 253_402_300_800,
     float("nan"), float("inf"), [], {}],
)  # fmt: skip
def test_a_snapshot_event_without_a_time_in_epoch_seconds_is_refused(created: object) -> None:
    assert refusal(json.dumps(SNAPSHOT | {"created": created}).encode()) == "created is not a time in epoch seconds"


@pytest.mark.parametrize(
    "created",
    [None, True, 1_793_000_000, "", "garbage", "1793000000", "\ud800", [], {}, "2026-10-26", "2026-10-26T06:53:20",
     "2026-13-26T06:53:20Z", "2026-10-26T06:53:20Z\n", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z",
     "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"],
)  # fmt: skip
def test_a_thin_notification_without_a_time_and_its_zone_is_refused(created: object) -> None:
    assert refusal(json.dumps(THIN | {"created": created}).encode()) == "created is not an RFC 3339 time"


@FORMS
def test_an_event_without_a_time_is_refused(form: Json) -> None:
    assert refusal(json.dumps(without(form, "created")).encode()).startswith("created is not ")


@pytest.mark.parametrize("created", [1, 1_793_000_000, 253_402_300_799])
def test_a_snapshot_event_has_its_time_as_it_is(created: int) -> None:
    assert read(SNAPSHOT, created=created).created == created


@pytest.mark.parametrize(
    "created",
    [
        "2026-10-26T06:53:20Z",
        "2026-10-26T06:53:20.999Z",
        "2026-10-26T06:53:20.999999999Z",
        "2026-10-26T06:53:20+00:00",
        "2026-10-26T15:53:20.123+09:00",
        "2026-10-25T23:53:20-07:00",
    ],
)
def test_a_thin_notifications_time_is_in_whole_seconds_wherever_it_was_written(created: str) -> None:
    assert read(THIN, created=created).created == 1_792_997_600


@pytest.mark.parametrize(
    ("form", "event_type", "read_as"),
    [
        (THIN, "v1.customer.updated", "customer.updated"),
        (THIN, "v2.core.account.updated", "v2.core.account.updated"),
        (THIN, "v10.customer.updated", "v10.customer.updated"),
        (SNAPSHOT, "customer.updated", "customer.updated"),
        (SNAPSHOT, "v1.customer.updated", "v1.customer.updated"),
    ],
)
def test_only_a_thin_notification_loses_its_prefix(form: Json, event_type: str, read_as: str) -> None:
    assert read(form, type=event_type).type == read_as


@pytest.mark.parametrize(
    ("form", "changes", "identity"),
    [
        (SNAPSHOT, {}, SNAPSHOT["id"]),
        (SNAPSHOT, {"snapshot_event": "evt_other"}, SNAPSHOT["id"]),
        (THIN, {}, SNAPSHOT["id"]),
        (THIN, {"snapshot_event": None}, THIN["id"]),
        (THIN, {"snapshot_event": ""}, THIN["id"]),
    ],
)
def test_both_forms_of_an_event_have_one_identity(form: Json, changes: Json, identity: str) -> None:
    assert read(form, **changes).identity == identity


@FORMS
@pytest.mark.parametrize(
    ("changes", "account"),
    [
        ({}, None),
        ({"account": None, "context": None}, None),
        ({"account": "", "context": ""}, None),
        ({"account": "acct_1"}, "acct_1"),
        ({"context": "acct_1"}, "acct_1"),
        ({"context": "acct_1/acct_2"}, "acct_1/acct_2"),
        ({"account": "acct_1", "context": "acct_2"}, "acct_1"),
    ],
)
def test_the_account_is_known_in_both_forms(form: Json, changes: Json, account: str | None) -> None:
    assert read(form, **changes).account == account


@FORMS
def test_the_api_version_may_be_missing(form: Json) -> None:
    assert read(form, api_version=None).api_version is None


@pytest.mark.parametrize(
    "data", [None, 1, "cus_1", [], {}, {"object": None}, {"object": {}}, {"object": [1]}, {"object": "cus_1"}]
)
def test_a_snapshot_event_without_an_object_says_so_when_asked(data: object) -> None:
    event = read(SNAPSHOT, data=data)
    assert (event.object, event.object_id, event.object_type) == (None, None, None)
    with pytest.raises(Malformed, match=r"^customer\.updated has no data\.object$"):
        event.snapshot()


@pytest.mark.parametrize("related", [None, 1, "cus_1", [], ["id"], {}, {"url": "/v1/customers/cus_1"}])
def test_a_thin_notification_without_a_related_object_says_so_when_asked(related: object) -> None:
    event = read(THIN, related_object=related)
    assert (event.object_id, event.object_type) == (None, None)
    with pytest.raises(Malformed, match=r"^customer\.updated does not say which object it is about$"):
        event.subject()


def test_a_thin_notification_has_no_snapshot_even_if_it_carries_data() -> None:
    event = read(THIN, data=SNAPSHOT["data"])
    with pytest.raises(Malformed, match=r"^customer\.updated has no data\.object$"):
        event.snapshot()


@pytest.mark.parametrize("object_id", [None, 1, "", "two words", "\ud800", "x" * 300])
def test_an_object_without_a_usable_id_is_no_subject(object_id: object) -> None:
    event = read(SNAPSHOT, data={"object": {"id": object_id, "object": "customer"}})
    assert event.snapshot()["object"] == "customer"
    with pytest.raises(Malformed, match="does not say which object"):
        event.subject()


@pytest.mark.parametrize("previous", [None, 1, [], "email"])
def test_what_changed_is_empty_where_nothing_says_so(previous: object) -> None:
    event = read(SNAPSHOT, data={"object": {"id": "cus_1"}, "previous_attributes": previous})
    assert event.previous_attributes == {}


TEXTS = st.text(st.characters(exclude_categories=[]), max_size=20)  # with half surrogate pairs, which JSON can escape
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
KEYS = sorted({*SNAPSHOT, *THIN, "account", "context"})
NEARLY_EVENTS = st.builds(
    lambda form, changes: form | changes,
    st.sampled_from([SNAPSHOT, THIN]),
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=2),
)
BODIES = st.binary() | (VALUES | NEARLY_EVENTS).map(lambda value: json.dumps(value).encode())


def outcome(body: bytes) -> StripeEvent | str:
    """The event, or the reason why there is none. Nothing else may come of any bytes."""
    try:
        return parse(body)
    except Malformed as refused:
        return str(refused)


@given(BODIES)
def test_any_bytes_are_an_event_or_refused_in_one_line(body: bytes) -> None:
    found = outcome(body)
    line = found if isinstance(found, str) else f"{found.id} {found.type} {found.identity}"
    assert line
    assert line.isprintable()
