"""What the rules of reminders leave to the shop."""

from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class ReminderSettings:
    """When to remind whom."""

    #: Where a day begins and a month ends.
    zone: ZoneInfo
    upgrade_offer_after_days: int = 14
    #: Whether advertising needs a yes (`opt_in`) or the absence of a no (`opt_out`).
    offers: Literal["opt_in", "opt_out"] = "opt_in"
    #: How long a customer is left alone after an offer.
    offer_pause_days: int = 30
    #: Whether a subscription whose renewal has failed still gives access while Stripe tries again.
    past_due_gives_access: bool = True
    #: MAIL_MAX_AGE: an offer that should have been made longer ago is made to nobody.
    max_age_seconds: int = 3 * 86_400
