"""Which events a run looks at, and which of them are ours. Pure; times are in epoch seconds, by `created`."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from functions.stripe_events import StripeEvent
from functions.topology import EVENT_TYPES

_DAY = 86_400
#: How long Stripe goes on trying to deliver an event: https://docs.stripe.com/webhooks#retries.
TRIED_SECONDS = 3 * _DAY
#: How long Stripe's list keeps an event: https://docs.stripe.com/api/events.
KEPT_SECONDS = 30 * _DAY
#: What is younger counts as undelivered because it is on its way: it is left for the next run.
ON_ITS_WAY_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Window:
    """Events from `since` on and before `until`."""

    since: int
    until: int

    def filters(self, *, undelivered: bool) -> dict[str, object]:
        """The parameters of GET /v1/events.

        `delivery_success=false` is said of an event for as long as one endpoint of the account, ours or another one,
        has not taken it: while it is on its way, between Stripe's attempts, and when they are over.
        """
        created: dict[str, object] = {"created": {"gte": str(self.since), "lt": str(self.until)}}
        return created | ({"delivery_success": "false"} if undelivered else {})


def next_window(now: float, completed_until: int | None) -> Window:
    """What the clock's next run looks at: everything since the last complete one, and three days before that.

    An event is listed as undelivered from its first second on, so that one complete run has seen all that is older. It
    is looked at again all the same for as long as Stripe tries: an answer of ours that was lost, or a list that lags,
    costs an hour then and not the event. The first run of all looks back as far; what was before is the back-fill's.
    """
    until = int(now) - ON_ITS_WAY_SECONDS
    complete = until if completed_until is None else min(completed_until, until)
    return Window(max(complete - TRIED_SECONDS, int(now) - KEPT_SECONDS), until)


def window_since(text: str, now: float) -> Window:
    """What an operator means by `3d`, `12h` or `2026-11-20` (in UTC). Raises ValueError with what is wrong."""
    if found := re.fullmatch(r"(\d{1,4})([dh])", text):
        since = int(now) - int(found[1]) * (_DAY if found[2] == "d" else 3600)
    else:
        try:
            since = int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
        except ValueError:
            raise ValueError(f"{text!r} is neither a day (2026-11-20) nor a time ago (3d, 12h)") from None
    window = Window(since, int(now) - ON_ITS_WAY_SECONDS)
    if since < int(now) - KEPT_SECONDS:
        raise ValueError(f"{text!r} is more than 30 days ago, and that is as long as Stripe keeps events")
    if since >= window.until:
        raise ValueError(f"{text!r} leaves nothing to look at: the last five minutes are still being delivered")
    return window


def is_ours(event: StripeEvent, *, livemode: bool | None, forward_all: bool) -> bool:
    """Whether the webhook would have published it. `livemode` None: events of both modes are."""
    is_of_the_mode = livemode is None or event.livemode is livemode
    return is_of_the_mode and (forward_all or event.type in EVENT_TYPES)
