"""What was measured beside its floor, the bound it has to keep, and the table that says so."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.table import Table


class BenchError(Exception):
    """What was to be measured did not work, so that its time means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing measured beside its floor, in rounds of one measurement of each. Medians count."""

    what: str
    floor: Sequence[float]
    system: Sequence[float]
    unit: str
    #: What the bound is on: system / floor, system - floor, or the system's own number.
    bounded: Literal["ratio", "extra", "system"]
    at_least: float = float("-inf")
    at_most: float = float("inf")

    @property
    def ratios(self) -> list[float]:
        """The system's number by the floor's, in each round."""
        return [system / floor for floor, system in zip(self.floor, self.system, strict=True)]

    @property
    def counts(self) -> list[float]:
        """What the bound is on, in each round."""
        if self.bounded == "ratio":
            return self.ratios
        if self.bounded == "extra":
            return [system - floor for floor, system in zip(self.floor, self.system, strict=True)]
        return list(self.system)

    @property
    def is_bounded(self) -> bool:
        """Whether there is a bound: some numbers are only shown."""
        return self.at_least > float("-inf") or self.at_most < float("inf")

    @property
    def holds(self) -> bool:
        """Whether the bound is kept."""
        return self.at_least <= statistics.median(self.counts) <= self.at_most

    @property
    def bound(self) -> str:
        """The bound in words; empty where there is none."""
        if not self.is_bounded:
            return ""
        words = f"≥ {self.at_least:g}" if self.at_most == float("inf") else f"≤ {self.at_most:g}"
        return f"{words} {_UNITS[self.bounded].format(self.unit)}"


_UNITS = {"ratio": "×", "extra": "{} more", "system": "{}"}


def table(findings: Iterable[Finding]) -> Table:
    """A line for each finding."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("", "floor", "system", "ratio", "bound", "measured", "min–max", "verdict"):
        drawn.add_column(column, justify="left" if column in {"", "verdict"} else "right", overflow="fold")
    for finding in findings:
        drawn.add_row(
            finding.what,
            f"{_number(finding.floor)} {finding.unit}",
            f"{_number(finding.system)} {finding.unit}",
            f"{_number(finding.ratios)} ×",
            finding.bound,
            f"[bold]{_number(finding.counts)}[/]",
            f"{min(finding.counts):.2f}–{max(finding.counts):.2f}",
            "[bold red]MISSED[/]" if not finding.holds else "[green]holds[/]" if finding.is_bounded else "shown",
        )
    return drawn


def _number(rounds: Sequence[float]) -> str:
    median = statistics.median(rounds)
    return f"{median:,.0f}" if median >= 100 else f"{median:.2f}"
