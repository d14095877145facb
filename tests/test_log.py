"""The log: one line of JSON per event under the names that Cloud Logging knows."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.log import JsonLog, Severity


def written(message: str = "done", severity: Severity = "INFO", **fields: Any) -> str:
    """What arrives on a stream that, like Cloud Run's, carries UTF-8."""
    carried = io.BytesIO()
    stream = io.TextIOWrapper(carried, encoding="utf-8", newline="\n")
    JsonLog(stream)(severity, message, **fields)
    stream.detach()
    return carried.getvalue().decode("utf-8")


# https://cloud.google.com/logging/docs/structured-logging names the first three.
def test_a_line_has_cloud_loggings_names_and_the_fields() -> None:
    line = written(
        "customer.created applied",
        "WARNING",
        **{"logging.googleapis.com/trace": "projects/my-shop/traces/0af7651916cd43dd8448eb211c80319c"},
        event_id="evt_1",
        milliseconds=1.5,
    )
    assert json.loads(line) == {
        "severity": "WARNING",
        "message": "customer.created applied",
        "logging.googleapis.com/trace": "projects/my-shop/traces/0af7651916cd43dd8448eb211c80319c",
        "event_id": "evt_1",
        "milliseconds": 1.5,
    }


@pytest.mark.parametrize("severity", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_every_severity_is_one_that_cloud_logging_knows(severity: Severity) -> None:
    assert json.loads(written(severity=severity))["severity"] == severity


def test_a_field_that_is_none_is_left_out() -> None:
    assert json.loads(written(event_id=None, type="x")) == {"severity": "INFO", "message": "done", "type": "x"}


@pytest.mark.parametrize("value", [0, 0.0, False, "", []])
def test_a_field_that_is_merely_false_stays(value: object) -> None:
    assert json.loads(written(reads=value))["reads"] == value


@given(st.text(), st.text())
def test_any_text_is_one_line_and_reads_back_the_same(message: str, reason: str) -> None:
    line = written(message, reason=reason)
    assert line.endswith("\n")
    assert len(line.splitlines()) == 1
    assert json.loads(line) == {"severity": "INFO", "message": message, "reason": reason}


def test_every_call_is_a_line_of_its_own_and_written_at_once() -> None:
    carried = io.BytesIO()
    stream = io.TextIOWrapper(carried, encoding="utf-8")
    log = JsonLog(stream)
    log("INFO", "one")
    assert [json.loads(line)["message"] for line in carried.getvalue().splitlines()] == ["one"]
    log("INFO", "two")
    assert [json.loads(line)["message"] for line in carried.getvalue().splitlines()] == ["one", "two"]


def test_half_a_surrogate_pair_does_not_cost_the_line() -> None:
    assert json.loads(written(reason="\ud800")) == {"severity": "INFO", "message": "done", "reason": "\ud800"}
