"""Which events were published before, in 8 bytes each: `operations/reconcile_published`.

Another endpoint of the account that fails keeps every event of three days in the list of the undelivered. To publish
those again each hour would run every function over each of them 72 times; to remember 50,000 ids takes 400 kB of the
1 MB that a document may have. What does not fit any more is published once more an hour, which costs and changes
nothing.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from functions import paths
from functions.reconcile.window import KEPT_SECONDS
from functions.stripe_events import StripeEvent

PATH = paths.operation("reconcile_published")
#: How many events are remembered at most; the oldest are forgotten first.
MOST = 50_000
_BYTES = 8
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Memory:
    """The digests of ids by the day on which their events were created, counted from the epoch."""

    days: Mapping[int, frozenset[bytes]] = field(default_factory=dict)

    @classmethod
    def of(cls, fields: Mapping[str, Any] | None) -> "Memory":
        """What a document remembers; nothing where there is none."""
        return cls({int(day): _unpacked(packed) for day, packed in (fields or {}).get("days", {}).items()})

    def fields(self) -> dict[str, Any]:
        """The document."""
        return {"days": {str(day): b"".join(sorted(found)) for day, found in self.days.items()}}

    def knows(self, event: StripeEvent) -> bool:
        """Whether the event was published before."""
        return _digest(event) in self.days.get(event.created // _DAY, ())

    def after(self, published: Iterable[StripeEvent], now: float, most: int = MOST) -> "Memory":
        """With these too, and without what Stripe does not list any more or what is too much."""
        days = {day: set(found) for day, found in self.days.items()}
        for event in published:
            days.setdefault(event.created // _DAY, set()).add(_digest(event))
        kept: dict[int, frozenset[bytes]] = {}
        left = most
        for day in sorted(days, reverse=True):
            if (day + 1) * _DAY > now - KEPT_SECONDS and left > 0:
                kept[day] = frozenset(sorted(days[day])[:left])
                left -= len(kept[day])
        return Memory(kept)


def _digest(event: StripeEvent) -> bytes:
    return hashlib.sha256(event.identity.encode()).digest()[:_BYTES]


def _unpacked(packed: bytes) -> frozenset[bytes]:
    return frozenset(packed[start : start + _BYTES] for start in range(0, len(packed), _BYTES))
