"""The plan as a shell script that people can read, check and paste piece by piece."""

import shlex
from collections.abc import Iterable, Sequence

from deploy.steps import Step, Target
from functions.topology import chosen

_WIDTH = 120
_NEXT_LINE = " \\\n    "


def script(steps: Iterable[Step], target: Target, wrong: str = "") -> str:
    """What is wrong, and every step with its purpose, as `bash` takes it from the root of the repository."""
    header = [
        f"# Deploys the functions to {target.project} in {target.region}, from the root of the repository.",
        "# All of it may be repeated.",
        *([f"# NOT READY, the functions would not start: {wrong}"] if wrong else []),
        *(f"# {row.name} answers at {target.function_url(row)}" for row in chosen(target.variables) if row.public),
        f"PROJECT_NUMBER=\"$(gcloud projects describe {target.project} --format='value(projectNumber)')\"",
    ]
    return "\n".join(["\n".join(header) + "\n", *(_lines(step) for step in steps)])


def command_line(command: Sequence[str]) -> str:
    """One command, on one line where it fits, else with one line for each flag."""
    words = [_quoted(word) for word in command]
    if len(line := " ".join(words)) <= _WIDTH:
        return line
    first_flag = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    lines = [words[0]]
    for word in words[1:first_flag]:
        fits = len(lines[-1]) + len(word) < _WIDTH - len(_NEXT_LINE)
        lines[-1:] = [f"{lines[-1]} {word}"] if fits else [lines[-1], word]
    return _NEXT_LINE.join([*lines, *words[first_flag:]])


def _lines(step: Step) -> str:
    command = command_line(step.command)
    if step.unless is not None:
        command = f"{command_line(step.unless)} ||\n{command}"
    if step.prints is not None:
        command = f'test "$({command})" = {shlex.quote(step.prints)}'
    return f"# {step.purpose}\n{command}\n"


def _quoted(word: str) -> str:
    """Quotes the value of a flag and not the flag. The project's number is the shell's to fill in."""
    flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return flag + equals + (f'"{value}"' if "$PROJECT_NUMBER" in value else shlex.quote(value) if value else "")
