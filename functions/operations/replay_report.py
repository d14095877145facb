"""What an operator sees of a replay: how far it is, and what came of each event."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from functions.operations.replaying import Ended, Progress
from functions.parking import ParkedEvent

#: In the order of the report.
_OUTCOMES = ("applied", "duplicate", "stale", "ignored", "parked", "not yet", "not published", "would be replayed")
_CALLED = {
    "duplicate": "duplicate (had succeeded meanwhile)",
    "stale": "stale (something newer had come)",
    "ignored": "ignored (nothing to do)",
    "parked": "parked again",
}
#: How many are shown one by one.
_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of a replay."""

    ended: Sequence[Ended]
    #: Whether the outcomes were waited for.
    waited: bool = True

    @classmethod
    def of_a_rehearsal(cls, chosen: Iterable[tuple[ParkedEvent, str, str]]) -> "Report":
        """Of events with the function each would go to, or why it cannot be replayed."""
        return cls(
            ended=[
                Ended(
                    parked=parked,
                    function=function,
                    outcome="not published" if problem else "would be replayed",
                    reason=problem or parked.reason,
                )
                for parked, function, problem in chosen
            ]
        )

    @property
    def is_well(self) -> bool:
        """Whether nothing is left to be done; what nobody waited for may end well."""
        fine = {"would be replayed", *(() if self.waited else ("not yet",))}
        return all(each.is_well or each.outcome in fine for each in self.ended)

    @property
    def counts(self) -> dict[str, int]:
        """How many of each outcome."""
        found = Counter(each.outcome for each in self.ended)
        return {outcome: found[outcome] for outcome in _OUTCOMES if found[outcome]}

    def write(self, stream: TextIO, *, as_json: bool) -> None:
        """The whole report."""
        stream.write(self._json() if as_json else "\n".join(self._lines()) + "\n")

    def _lines(self) -> list[str]:
        if not self.ended:
            return ["Nothing parked is like that."]
        called = _CALLED if self.waited else {**_CALLED, "not yet": "published"}
        found = [f"{count:>6,}  {called.get(outcome, outcome)}" for outcome, count in self.counts.items()]
        open_ones = [each for each in self.ended if not each.is_well and (self.waited or each.outcome != "not yet")]
        for each in open_ones[:_SHOWN]:
            where = each.function or each.parked.function
            found.append(
                f"{each.outcome}: {each.parked.event_id} ({each.parked.type}) in {where}: {each.reason or '…'}"
            )
        if len(open_ones) > _SHOWN:
            found.append(f"… and {len(open_ones) - _SHOWN:,} more")
        return found

    def _json(self) -> str:
        said: dict[str, Any] = {
            "events": len(self.ended),
            "outcomes": self.counts,
            "open": [
                {
                    "document": each.parked.id,
                    "event": each.parked.event_id,
                    "type": each.parked.type,
                    "function": each.function or each.parked.function,
                    "outcome": each.outcome,
                    "reason": each.reason,
                }
                for each in self.ended
                if not each.is_well
            ],
        }
        return json.dumps(said, indent=2, ensure_ascii=False) + "\n"


def lines(step: str, done: int, total: int) -> None:
    """`Progress` as a line now and then."""
    if done == total or done % 100 == 0:
        sys.stderr.write(f"{done} of {total} {step}\n")
        sys.stderr.flush()


class Bars:
    """`Progress` as a bar for each step."""

    def __init__(self) -> None:
        from rich import progress as rich  # noqa: PLC0415 -- it may not be there
        from rich.console import Console  # noqa: PLC0415

        self._bars = rich.Progress(
            rich.TextColumn("[bold]{task.description}", justify="right"),
            rich.BarColumn(bar_width=24),
            rich.MofNCompleteColumn(),
            rich.TimeElapsedColumn(),
            # The report, perhaps as JSON, has stdout for itself.
            console=Console(stderr=True),
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Progress:
        self._bars.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def _show(self, step: str, done: int, total: int) -> None:
        if step not in self._tasks:
            self._tasks[step] = self._bars.add_task(step, total=total)
        self._bars.update(self._tasks[step], completed=done)
