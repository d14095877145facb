"""Events that a function cannot process: kept with their bytes and the reason, told to support, and replayed."""

from functions.parking.document import FIELDS, ParkedEvent, Unprocessed, bytes_of, parked_event
from functions.parking.parker import NOTICE, Parker
from functions.parking.replay import ONLY, PARKED, RUN, Replay, replay_of
from functions.parking.rest import ParkedEvents, Rest

__all__ = [
    "FIELDS",
    "NOTICE",
    "ONLY",
    "PARKED",
    "RUN",
    "ParkedEvent",
    "ParkedEvents",
    "Parker",
    "Replay",
    "Rest",
    "Unprocessed",
    "bytes_of",
    "parked_event",
    "replay_of",
]
