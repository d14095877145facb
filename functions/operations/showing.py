"""What an operator sees of a back-fill: a bar for each list while it runs and tables at the end, or plain lines.

rich is there in a checkout with requirements-dev.txt, and only there: it is imported where it is used.
"""

import sys
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any, TextIO

from functions.operations.backfilling import Progress, Result
from functions.operations.book import Failure, Place, Tally

COUNTS = ("seen", "applied", "unchanged", "failed")
#: How many of the failures are shown one by one.
_SHOWN_FAILURES = 20


def has_rich() -> bool:
    """Whether there can be bars and tables."""
    return find_spec("rich") is not None


class Lines:
    """`Progress` as a line per page."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._counts = Tally()

    def begin(self, name: str, place: Place, total: int | None) -> None:  # noqa: ARG002 -- a line needs no total
        """A list is begun or gone on with."""
        self._counts = Tally(place.seen, place.applied, place.unchanged, place.failed)
        state = "is done" if place.is_done else f"goes on after {place.cursor}" if place.cursor else "begins"
        self._stream.write(f"{name} {state}\n")

    def advance(self, name: str, looked_at: int, tally: Tally) -> None:  # noqa: ARG002 -- a line counts what was seen
        """A page is applied."""
        self._counts.add(tally)
        counts = ", ".join(f"{getattr(self._counts, each)} {each}" for each in COUNTS)
        self._stream.write(f"{name}: {counts}\n")
        self._stream.flush()


class Bars:
    """`Progress` as a bar per list. Stripe does not say how long a list is: most bars only show that it moves."""

    def __init__(self) -> None:
        from rich import progress as rich  # noqa: PLC0415 -- it may not be there
        from rich.console import Console  # noqa: PLC0415

        self._bars = rich.Progress(
            rich.TextColumn("[bold]{task.description}", justify="right"),
            rich.BarColumn(bar_width=24),
            rich.TextColumn("{task.completed:>7,.0f}"),
            rich.TextColumn("[green]{task.fields[applied]:>7,} applied"),
            rich.TextColumn("[dim]{task.fields[unchanged]:>7,} unchanged"),
            rich.TextColumn("[red]{task.fields[failed]:>5,} failed"),
            rich.TimeElapsedColumn(),
            # The report, perhaps as JSON, has stdout for itself.
            console=Console(stderr=True),
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def begin(self, name: str, place: Place, total: int | None) -> None:
        """A list is begun or gone on with."""
        counts = {each: getattr(place, each) for each in COUNTS[1:]}
        done = place.seen or 1
        total = done if place.is_done else total
        self._tasks[name] = self._bars.add_task(name, total=total, completed=place.seen, **counts)

    def advance(self, name: str, looked_at: int, tally: Tally) -> None:
        """A page is applied."""
        task = next(each for each in self._bars.tasks if each.id == self._tasks[name])
        counts = {each: task.fields[each] + getattr(tally, each) for each in COUNTS[1:]}
        self._bars.update(self._tasks[name], advance=looked_at if task.total else tally.seen, **counts)


def as_json(result: Result) -> dict[str, Any]:
    """The report for other programs."""
    return {
        "started_at": result.started_at,
        "finished_at": result.finished_at,
        "lists": {name: asdict(place) for name, place in result.places.items()},
        "customers": {
            "linked": dict(result.links.linked.most_common()),
            "unlinked": dict(result.links.unlinked.most_common()),
            "conflicts": result.links.conflicts,
        },
        "failures": [asdict(each) for each in result.failures],
    }


def as_lines(result: Result) -> list[str]:
    """The report for a terminal without rich."""
    lines = [
        f"{name}: {', '.join(f'{getattr(place, each)} {each}' for each in COUNTS)}"
        f"{'' if place.is_done else ', not read to its end'}"
        for name, place in result.places.items()
    ]
    lines += [f"customers {how}: {count}" for how, count in _links(result)]
    return lines + [_failure(each) for each in result.failures[:_SHOWN_FAILURES]]


def show(result: Result) -> None:
    """Print the report with rich."""
    from rich import box  # noqa: PLC0415 -- it may not be there
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    look: dict[str, Any] = {"title_justify": "left", "title_style": "bold", "box": box.SIMPLE_HEAD, "pad_edge": False}
    lists = Table(title="What was read from Stripe", **look)
    lists.add_column("list")
    for each in COUNTS:
        lists.add_column(each, justify="right")
    for name, place in result.places.items():
        style = None if place.is_done else "dim"
        counts = [f"{getattr(place, each):,}" for each in COUNTS]
        lists.add_row(name if place.is_done else f"{name} (not to its end)", *counts, style=style)
    customers = Table(title="Whose the customers are that this run has seen", **look)
    customers.add_column("customers")
    customers.add_column("", justify="right")
    for how, count in _links(result):
        customers.add_row(how, f"{count:,}")
    console = Console()
    console.print(lists, customers)
    if result.failures:
        failures = Table(title="What could not be taken", **look)
        for column in ("list", "id", "function", "reason"):
            failures.add_column(column, overflow="fold")
        for failure in result.failures[:_SHOWN_FAILURES]:
            failures.add_row(failure.list, failure.id, failure.function, failure.reason)
        console.print(failures)


def _links(result: Result) -> list[tuple[str, int]]:
    """Every number about links, the most frequent reason first."""
    return [
        *((f"linked by {by}", count) for by, count in result.links.linked.most_common()),
        *((f"unlinked: {why}", count) for why, count in result.links.unlinked.most_common()),
        ("claimed by more than one user", result.links.conflicts),
    ]


def _failure(each: Failure) -> str:
    return f"failed: {each.list} {each.id} in {each.function}: {each.reason}"
