"""Runs the plan, one step after the other, up to the first that fails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deploy.script import command_line
from deploy.steps import Step


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a command."""

    succeeded: bool
    output: str = ""
    error: str = ""


class StepFailed(Exception):
    """The deployment stops here. The message says which command, why, and what to do."""


def apply(steps: Sequence[Step], run: Callable[[Sequence[str]], Ran], say: Callable[[str], None]) -> None:
    """Run every step. Raises StepFailed; running again begins anew and finds done what was done."""
    for number, step in enumerate(steps, start=1):
        say(f"[{number}/{len(steps)}] {step.purpose}")
        reports = []
        for command in filter(None, (step.unless, step.command)):
            ran = run(command)
            if ran.succeeded:
                break
            reports.append(f"{command_line(command)}\n{ran.error.strip() or ran.output.strip()}")
        else:
            raise StepFailed("\n\n".join([*reports, *filter(None, [step.hint])]))
        printed = ran.output.strip()
        if step.prints is not None and printed != step.prints:
            raise StepFailed(
                f"{command_line(step.command)}\nprints {printed or 'nothing'}\nand not {step.prints}\n\n{step.hint}"
            )
