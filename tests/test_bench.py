"""The bench measures what it says, refuses wrong answers, and its exit code says whether the bounds hold.

No speed is asserted here: this machine may be busy.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from functions.topology import EVENT_TYPES
from local.bench import webhook
from local.bench.__main__ import main, report
from local.bench.findings import BenchError, Finding
from local.bench.load import Plan, Target, run
from local.emulators import Emulators
from tests.driving import event

KEPT = Finding(what="a kept one", floor=[100, 90, 110], system=[50, 60, 40], unit="/s", bounded="ratio", at_least=0.45)


@pytest.fixture(scope="module")
def targets(
    emulators: Emulators,  # noqa: ARG001 -- found by the environment
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Target, Target]]:
    """The bare function and the webhook, running."""
    with webhook.targets(tmp_path_factory.mktemp("bench")) as both:
        yield both


def test_load_is_counted_and_timed(targets: tuple[Target, Target]) -> None:
    rounds = run(Plan(targets, connections=4, seconds=0.25, rounds=2))
    assert len(rounds) == 2
    for bare, system in rounds:
        assert not bare.wrong
        assert not system.wrong
        # Connections that wait for their answers: the time of an answer follows from the rate. Half of the answers
        # take at least the median, so that the mean is no less than half of it; a stall makes it more.
        assert bare.median_ms / 2 <= 4 / bare.per_second * 1000 * 1.1 <= bare.median_ms * 20
        assert 0.05 < bare.median_ms < 250
        assert 0.05 < system.median_ms < 250


def test_anything_but_the_expected_answer_is_noticed(targets: tuple[Target, Target]) -> None:
    bare, system = targets
    unsigned = replace(system, request=system.request.replace("v1=", "v0="))
    [[load]] = run(Plan([unsigned], connections=2, seconds=0.1, rounds=1))
    assert load.wrong.keys() == {"400 no signature matches"}
    with pytest.raises(BenchError, match=r"200 'published'.*× 400 no signature matches"):
        webhook.take_turns(Plan([bare, unsigned], connections=2, seconds=0.1, rounds=1))
    # A 200 that did not publish is no better.
    with pytest.raises(BenchError, match="× 200 ok"):
        webhook.take_turns(Plan([replace(bare, expect="published")], connections=1, seconds=0.1, rounds=1))


def test_the_measured_event_is_one_that_is_published() -> None:
    body = webhook.event()
    assert 5_000 <= len(body) < 5_200
    assert event(json.loads(body)).type in EVENT_TYPES


def test_everything_is_measured_and_a_missed_bound_fails(
    emulators: Emulators,  # noqa: ARG001 -- found by the environment
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lenient = ["--min-webhook-share=0", "--max-webhook-extra-ms=1e9", "--max-reminder-cpu=1e9"]
    assert main(["--quick", *lenient, "--max-event-cpu-ms=0"], logs=tmp_path) == 1
    output = capsys.readouterr().out
    assert [line.partition(", ")[0] for line in output.splitlines() if line.startswith("Missed:")] == [
        *["Missed: index_customers"] * 2,
        *["Missed: record_orders"] * 2,
    ]
    assert output.count("holds") == 4
    assert output.count("shown") == 2
    assert '"outcome":"published"' not in output
    assert '"outcome":"published"' in (tmp_path / "stripe_webhook.log").read_text()
    outcomes = (tmp_path / "subscribers.log").read_text()
    sent = [json.loads(line) for line in (tmp_path / "reminders.log").read_text().splitlines()]
    assert [(line["looked_at"], line["told"], line["severity"]) for line in sent] == [(20, 20, "INFO")] * 3
    assert outcomes.count('"outcome":"applied"') == outcomes.count('"outcome":"duplicate"') == 2 * 3 * 3


@pytest.mark.parametrize(
    ("finding", "bound", "holds"),
    [
        (KEPT, "≥ 0.45 ×", True),
        (replace(KEPT, at_least=0.55), "≥ 0.55 ×", False),
        (replace(KEPT, bounded="extra", at_least=float("-inf"), at_most=-50), "≤ -50 /s more", True),
        (replace(KEPT, bounded="system", at_least=float("-inf"), at_most=49), "≤ 49 /s", False),
        (replace(KEPT, at_least=float("-inf")), "", True),
    ],
)
def test_the_exit_code_says_whether_the_bounds_hold(finding: Finding, bound: str, holds: bool) -> None:
    console = Console(record=True, width=160, quiet=True)
    assert report(console, [KEPT, finding]) == (0 if holds else 1)
    assert finding.bound == bound


def test_the_median_counts() -> None:
    stalled = replace(KEPT, system=[0, 50, 60])
    assert stalled.holds
    assert stalled.counts == [0, pytest.approx(0.56, abs=0.01), pytest.approx(0.55, abs=0.01)]
