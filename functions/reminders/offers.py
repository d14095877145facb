"""Whether a customer may be sent advertising now. Pure."""

from collections.abc import Mapping
from typing import Any

from functions.marketing.consent import may_be_offered
from functions.reminders.settings import ReminderSettings

_DAY = 86_400


def may_offer(customer: Mapping[str, Any] | None, settings: ReminderSettings, now: float) -> str | None:
    """None where `customers/{c}` may be made an offer, else why not. `now` is in epoch seconds.

    `marketing` is what the customer has said, if anything; `offered_at` is when the last offer was made.
    """
    stored = customer or {}
    if stored.get("deleted"):
        return "the customer is deleted"
    if not stored.get("marketing") and stored.get("as_of") is None and settings.offers == "opt_out":
        return "nobody knows yet whether the customer wants offers"
    if not may_be_offered(stored.get("marketing"), settings.offers):
        is_refused = (stored.get("marketing") or {}).get("status") == "opt_out"
        return "the customer wants no offers" if is_refused else "the customer has not asked for offers"
    offered_at = stored.get("offered_at")
    if offered_at is not None and now - offered_at < settings.offer_pause_days * _DAY:
        return "another offer was made less than OFFER_PAUSE_DAYS ago"
    return None
