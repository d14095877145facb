"""What each mail tells. One class for each row of the table; the templates may use nothing else.

Amounts are integers in the currency's minor unit, times epoch seconds. What may be None is what Stripe may not have.
"""

from functions.mail.facts.billing import (
    Canceled,
    Invoice,
    InvoiceAction,
    InvoiceUnpaid,
    Plan,
    TrialEnding,
)
from functions.mail.facts.orders import (
    CartRecovery,
    Instructions,
    Line,
    Order,
    OrderFailed,
    OrderPaid,
    OrderPending,
    Refund,
    Store,
    Welcome,
)
from functions.mail.facts.reminders import CardExpiring, Renewal, UnpaidFollowup, UpgradeOffer, YearlyOffer
from functions.mail.facts.trouble import (
    LinkConflict,
    MailFailed,
    Parked,
    ParkedGroup,
    ParkedMore,
)

__all__ = [
    "Canceled",
    "CardExpiring",
    "CartRecovery",
    "Instructions",
    "Invoice",
    "InvoiceAction",
    "InvoiceUnpaid",
    "Line",
    "LinkConflict",
    "MailFailed",
    "Order",
    "OrderFailed",
    "OrderPaid",
    "OrderPending",
    "Parked",
    "ParkedGroup",
    "ParkedMore",
    "Plan",
    "Refund",
    "Renewal",
    "Store",
    "TrialEnding",
    "UnpaidFollowup",
    "UpgradeOffer",
    "Welcome",
    "YearlyOffer",
]
