"""What a soak found, as a table for people."""

from rich.table import Table

from local.soak.run import Result

#: Of what is wrong, so many lines; the rest is a number.
SHOWN = 20


def percentile(values: list[float], share: float) -> float:
    """The smallest value that this share of them does not exceed; 0 of none."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0


def table(result: Result) -> Table:
    """What was sent, what became of it, how fast, and what it took."""
    milliseconds = [answer.seconds * 1000 for answer in result.answers if answer.is_accepted]
    others = len(result.answers) - len(milliseconds)
    outcomes = result.outcomes
    rows = (
        ("sent", f"{result.events:,} events in {result.deliveries:,} deliveries, shuffled"),
        ("received", f"{len(result.answers):,} requests" + (f", {others:,} of them not accepted" if others else "")),
        ("published", f"{result.published:,}"),
        ("applied", f"{outcomes['applied']:,}"),
        ("duplicates", f"{outcomes['duplicate']:,}"),
        ("stale", f"{outcomes['stale']:,}"),
        ("not theirs", f"{outcomes['ignored']:,}   [dim]which a filter keeps away in the cloud[/]"),
        ("parked", f"{outcomes['parked']:,}"),
        ("again", f"{outcomes['retry']:,}   [dim]delivered once more after a conflict or an error[/]"),
        ("webhook", f"p50 {percentile(milliseconds, 0.5):.0f} ms, p99 {percentile(milliseconds, 0.99):.0f} ms"),
        ("speed", f"{result.deliveries / result.seconds:.0f} events/s through every function, {result.seconds:.0f} s"),
        (
            "memory",
            f"{result.memory_start_mib:.0f} → {result.memory_end_mib:.0f} MiB once warm ({result.memory_growth:+.1%})",
        ),
        ("documents", f"{result.documents:,}"),
    )
    shown = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in rows:
        shown.add_row(f"[bold]{name}[/]", value)
    return shown
