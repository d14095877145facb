"""THE table of mails: each with its readers. Templates, samples, README and the setting MAIL_DISABLED follow it.

To add a mail: one row here, one class in `facts`, one template per locale and reader in `templates`, and the
reaction that says it.
"""

from dataclasses import dataclass

from functions.letters import Audience


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One kind of mail."""

    name: str
    to: tuple[Audience, ...]
    #: Advertising, which needs consent and a way to refuse it.
    offer: bool = False


_BOTH: tuple[Audience, ...] = ("customer", "support")

MAILS: tuple[Mail, ...] = (
    Mail(name="welcome", to=("customer",)),
    Mail(name="order_paid", to=_BOTH),
    Mail(name="order_pending", to=("customer",)),
    Mail(name="order_failed", to=_BOTH),
    Mail(name="cart_recovery", to=("customer",), offer=True),
    Mail(name="invoice_unpaid", to=_BOTH),
    Mail(name="invoice_action", to=("customer",)),
    Mail(name="trial_ending", to=("customer",)),
    Mail(name="canceled", to=_BOTH),
    Mail(name="upgrade_offer", to=("customer",), offer=True),
    Mail(name="yearly_offer", to=("customer",), offer=True),
    Mail(name="renewal", to=_BOTH),
    Mail(name="card_expiring", to=_BOTH),
    Mail(name="unpaid_followup", to=("customer",)),
    Mail(name="refund", to=("customer",)),
    Mail(name="parked", to=("support",)),
    Mail(name="parked_more", to=("support",)),
    Mail(name="mail_failed", to=("support",)),
    Mail(name="link_conflict", to=("support",)),
)

BY_NAME = {mail.name: mail for mail in MAILS}
