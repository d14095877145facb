"""What a target is: inputs, what must hold for each of them, and those that once did not."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st


@dataclass(frozen=True)
class Target:
    """Something that reads what strangers send."""

    name: str
    inputs: st.SearchStrategy[Any]
    #: Raises for a finding, whatever it raises.
    check: Callable[[Any], None]
    #: How many inputs `make test` tries; together about a minute.
    examples: int
    #: What was found before, tried first every time.
    found_before: tuple[Any, ...] = field(default=())

    def run(self, examples: int, *, keeps: bool = True) -> int:
        """Try so many inputs, and say how many it were. Raises what one raised, after making it as small as it gets.

        `keeps`: whether hypothesis tries what failed last time first, which it remembers in `.hypothesis`.
        """

        count = 0

        def tried(case: Any) -> None:
            nonlocal count
            count += 1
            self.check(case)

        tried.__qualname__ = f"fuzz_{self.name}"
        phases = [phase for phase in Phase if phase is not Phase.explain and (keeps or phase is not Phase.reuse)]
        attempt = given(self.inputs)(tried)
        for case in self.found_before:
            attempt = example(case)(attempt)
        # A shared machine stalls now and then, and large inputs are what this is about.
        unhurried = settings(max_examples=examples, phases=phases, deadline=None, suppress_health_check=[*HealthCheck])
        unhurried(attempt)()
        return count
