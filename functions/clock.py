"""Time as an argument: the system's clock at the edge, a movable one in tests."""

from typing import Protocol


class Clock(Protocol):
    """What the system needs of time."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Wait."""
