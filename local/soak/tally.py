"""What the functions say of each event, counted while they say it: their log is read once, as it grows."""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from functions.topology import SUBSCRIBERS

_NAMES = frozenset(row.name for row in SUBSCRIBERS)


class Tally:
    """Counts lines by function and outcome, and what every subscriber has finished."""

    def __init__(self, log: Path) -> None:
        """The log of one process; `follow` goes on with that of the next."""
        self.outcomes: Counter[tuple[str, str]] = Counter()
        #: How often a subscriber was done with an event, whatever came of it.
        self.done: Counter[tuple[str, str]] = Counter()
        self._offsets = {log: 0}

    def follow(self, log: Path) -> None:
        """Count this log too."""
        self._offsets.setdefault(log, 0)

    def read(self) -> None:
        """Take in what was written since the last time."""
        for log, offset in list(self._offsets.items()):
            with log.open("rb") as opened:
                opened.seek(offset)
                said = opened.read()
            # A line that is being written is read with the next ones.
            whole = said[: said.rfind(b"\n") + 1]
            self._offsets[log] = offset + len(whole)
            for line in whole.splitlines():
                if line.startswith(b'{"severity"'):
                    self._count(json.loads(line))

    def _count(self, line: Mapping[str, str]) -> None:
        function, outcome = line.get("function", ""), line.get("outcome", "")
        if not outcome:
            return
        self.outcomes[function, outcome] += 1
        if function in _NAMES and outcome != "retry":
            self.done[function, line.get("event_id", "")] += 1

    def missing(self, deliveries: Mapping[str, int]) -> Counter[tuple[str, str]]:
        """What some subscriber has not dealt with yet, of so many deliveries of each event."""
        return Counter(
            {
                (name, event): lacking
                for event, times in deliveries.items()
                for name in _NAMES
                if (lacking := times - self.done[name, event]) > 0
            }
        )

    def of(self, outcome: str, functions: Collection[str] = _NAMES) -> int:
        """How many events ended so, in these functions."""
        return sum(self.outcomes[name, outcome] for name in functions)
