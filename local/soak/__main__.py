"""`make soak`: thousands of signed events through the whole local system; ends with 1 if anything is lost or wrong."""

import argparse
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from functions.topology import FUNCTIONS
from local.emulators import LONG_RUN, Emulators
from local.processes import NotStarted
from local.soak import graph
from local.soak.report import SHOWN, table
from local.soak.run import STAGES, Result, Stage, soak
from local.system import System, running
from local.up import LOCAL


def main(
    arguments: Sequence[str] | None = None,
    *,
    logs: Path = LOCAL / "logs" / "soak",
    before_comparing: Callable[[System], None] = lambda _: None,
) -> int:
    """Returns the exit code. `before_comparing` is called once everything has been dealt with."""
    asked = _arguments(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(f"{asked.events:,} events or a few more, {asked.connections} connections, --seed {asked.seed}")
    try:
        result = _soak(asked, console, logs, before_comparing)
    except KeyboardInterrupt:
        return 130
    except NotStarted as problem:
        console.print(f"[bold red]Not measured.[/] {problem}", soft_wrap=True)
        return 1
    console.print(table(result))
    if result.memory_growth >= asked.max_memory_growth:
        result.wrong.append(
            f"memory grew by {result.memory_growth:.1%}, and not by less than {asked.max_memory_growth:.0%}"
        )
    try:
        graph.write(result, asked.graph)
        console.print(f"Over time: [bold]{asked.graph}[/]", soft_wrap=True)
    except NotStarted as problem:
        result.wrong.append(f"there is no graph: {problem}")
    return _verdict(console, result, asked.seed)


def _verdict(console: Console, result: Result, seed: int) -> int:
    if not result.wrong:
        console.print("[bold green]Nothing is lost[/]: every document and every mail is what the model says.")
        return 0
    console.print(f"[bold red]Not as it should be[/] (--seed {seed}):")
    for line in result.wrong[:SHOWN]:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    if len(result.wrong) > SHOWN:
        console.print(f"  and {len(result.wrong) - SHOWN} more")
    return 1


def _soak(
    asked: argparse.Namespace, console: Console, logs: Path, before_comparing: Callable[[System], None]
) -> Result:
    # The same for everybody: no setting of .env changes it.
    own = {name for row in FUNCTIONS for name in (*row.variables, *row.secrets)}
    environ = {key: value for key, value in os.environ.items() if key not in own}
    # The town lives months back, when its mails were not late.
    environ |= {"MAIL_MAX_AGE": "3650d"}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        Emulators.start(environ, log_directory=logs, java_flags=LONG_RUN) as emulators,
        running(
            environ | emulators.environment(), log_directory=logs, project=f"soak-{secrets.token_hex(4)}"
        ) as system,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars,
    ):
        # All at once: many threads tell of them.
        tasks = {what: bars.add_task(what, total=None) for what in STAGES}

        def tell(what: Stage, done: int, total: int) -> None:
            bars.update(tasks[what], completed=done, total=total)

        return soak(
            system,
            events=asked.events,
            connections=asked.connections,
            seed=asked.seed,
            tell=tell,
            before_comparing=before_comparing,
        )


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.soak", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000, metavar="N", help="10,000 unless told")
    parser.add_argument("--connections", type=int, default=16, metavar="N", help="16 unless told")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10_000), metavar="N", help="repeats a run")
    parser.add_argument(
        "--max-memory-growth",
        type=float,
        default=0.10,
        metavar="SHARE",
        help="of the functions' process; 0.1 unless told",
    )
    parser.add_argument("--graph", type=Path, default=LOCAL / "soak.png", metavar="FILE", help="where the PNG goes")
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
