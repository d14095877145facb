"""`make bench`: measures, prints the table, and ends with 1 where a bound is missed, naming it."""

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from local.bench import reminders, subscriber, webhook
from local.bench.findings import BenchError, Finding, table
from local.emulators import LONG_RUN, Emulators
from local.processes import NotStarted
from local.up import LOCAL

_PACKAGES = ("functions-framework", "gunicorn", "stripe", "grpcio", "google-cloud-firestore", "google-cloud-pubsub")


def main(arguments: Sequence[str] | None = None, logs: Path = LOCAL / "bench") -> int:
    """Returns the exit code."""
    asked = _arguments(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    started = time.perf_counter()
    console.print(
        _machine(), f"Measuring, which takes {'some seconds' if asked.quick else 'a few minutes'} …", sep="\n"
    )
    try:
        with Emulators.start(os.environ, log_directory=logs, java_flags=LONG_RUN) as emulators:
            # By these Google's clients find the emulators, here and in the functions.
            os.environ.update(emulators.environment())
            findings = list(_measure(asked, logs))
    except KeyboardInterrupt:
        return 130
    except (NotStarted, BenchError) as problem:
        console.print(f"[bold red]Not measured.[/] {problem}", soft_wrap=True)
        return 1
    console.print(f"{time.perf_counter() - started:.0f} s, load average {os.getloadavg()[0]:.1f}. Logs: {logs}/")
    return report(console, findings)


def report(console: Console, findings: Sequence[Finding]) -> int:
    """Print the table. Returns the exit code: 1 where a bound is missed, after naming it."""
    console.print(table(findings))
    missed = [finding for finding in findings if not finding.holds]
    for finding in missed:
        console.print(f"[bold red]Missed:[/] {finding.what}, {finding.bound}", soft_wrap=True)
    return 1 if missed else 0


def _measure(asked: argparse.Namespace, logs: Path) -> Iterator[Finding]:
    yield from webhook.measure(
        logs,
        webhook.Effort(warm_up_seconds=0.3, seconds=0.1, busy_rounds=2, quiet_rounds=2)
        if asked.quick
        else webhook.Effort(),
        min_share=asked.min_webhook_share,
        max_extra_ms=asked.max_webhook_extra_ms,
    )
    yield from subscriber.measure(
        logs,
        subscriber.Effort(batches=2, events=3) if asked.quick else subscriber.Effort(),
        max_cpu_ms=asked.max_event_cpu_ms,
    )
    yield from reminders.measure(
        logs,
        reminders.Effort(few=200, many=2_000, due=20, rounds=1) if asked.quick else reminders.Effort(),
        max_read_ratio=asked.max_reminder_reads,
        max_cpu_ratio=asked.max_reminder_cpu,
    )


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="so short that the numbers mean little")
    for name, bound, what in (
        ("--min-webhook-share", 0.45, "of the bare function's requests/s"),
        ("--max-webhook-extra-ms", 1.0, "beyond the bare function's median on one connection"),
        ("--max-event-cpu-ms", 3.0, "of one event in a subscriber"),
        ("--max-reminder-reads", 1.2, "times the documents that a hundredth of the subscriptions takes"),
        ("--max-reminder-cpu", 1.5, "times the CPU that a hundredth of the subscriptions takes"),
    ):
        parser.add_argument(name, type=float, default=bound, metavar="N", help=f"{what}; {bound:g} unless told")
    return parser.parse_args(given)


def _machine() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return f"{os.cpu_count()} cores, {platform.platform(terse=True)}, Python {platform.python_version()}; {packages}."


if __name__ == "__main__":
    sys.exit(main())
