"""What a message says that is published again for a parked event: which document it came from, and in which run."""

from collections.abc import Mapping
from dataclasses import dataclass

from functions import paths

#: The one function that a message is for. The others acknowledge it.
ONLY = "only"
#: The id of the parked event's document, and the run of `replay` that published it.
PARKED, RUN = "parked", "replay"


@dataclass(frozen=True, slots=True)
class Replay:
    """Where the outcome of a replayed event is written to."""

    path: str
    #: Tells one run from another: what is delivered twice in one run ends once.
    run: str


def replay_of(attributes: Mapping[str, str]) -> Replay | None:
    """The replay that a message belongs to; None for one of the webhook's, and for one that names no document."""
    path = paths.parked_document(attributes.get(PARKED, ""))
    return Replay(path, attributes.get(RUN, "")[:64]) if path else None
