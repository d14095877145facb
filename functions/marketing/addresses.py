"""What holds for an address, whoever's customer it is: a person refuses offers, and not a Customer. Pure.

`addresses/{hash}` keeps `refused_at`, the last refusal from a link that went there, and `offered_at`, the last offer
that did, both in epoch seconds. One read answers for every customer of the address, guests included, whom no index
knows.
"""

from collections.abc import Mapping
from typing import Any

_DAY = 86_400


def may_be_offered_at(
    address: Mapping[str, Any] | None, marketing: Mapping[str, Any] | None, pause_days: int, now: float
) -> str | None:
    """None where an offer may go to this address, else why not. `marketing` is what the customer has said.

    Only an agreement that is newer than the refusal takes it back.
    """
    stored, said = address or {}, marketing or {}
    refused_at, offered_at = stored.get("refused_at"), stored.get("offered_at")
    agreed_since = said.get("status") == "opt_in" and said.get("at", 0) > (refused_at or 0)
    if refused_at is not None and not agreed_since:
        return "somebody at this address wants no offers"
    if offered_at is not None and now - offered_at < pause_days * _DAY:
        return "this address was made an offer less than OFFER_PAUSE_DAYS ago"
    return None
