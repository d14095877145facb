"""Waiting for what the functions say they have done."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from functions.topology import SUBSCRIBERS
from local.soak.tally import Tally


def wait_for(is_so: Callable[[], bool], *, patience_seconds: float = 150) -> None:
    """Returns once it is so. Raises TimeoutError."""
    ends = time.monotonic() + patience_seconds
    while not is_so():
        if time.monotonic() > ends:
            raise TimeoutError
        time.sleep(0.05)


def finish(tally: Tally, events: Sequence[Mapping[str, Any]]) -> None:
    """Wait until every subscriber has dealt with every event. Raises TimeoutError."""
    once = dict.fromkeys((event["id"] for event in events), 1)

    def is_done() -> bool:
        tally.read()
        return not tally.missing(once)

    try:
        wait_for(is_done)
    except TimeoutError:
        raise TimeoutError(f"nobody has dealt with {tally.missing(once)}") from None


def has_handled(tally: Tally, events: float) -> bool:
    """Whether so many events were dealt with, on the average of all subscribers."""
    tally.read()
    return len(tally.done) >= events * len(SUBSCRIBERS)
