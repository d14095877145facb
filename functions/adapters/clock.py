"""The machine's clock."""

import time


class SystemClock:
    """`functions.clock.Clock` by the operating system."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
