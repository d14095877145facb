"""Keeps `customers/{c}/invoices/{in}`: what is owed, what was tried, where to pay."""

from dataclasses import asdict

from functions import paths
from functions.as_of import Verdict, judge, stamp, whole
from functions.effects import Decision, Json, Merge, Put, Reaction, fetch, read
from functions.letters import Facts
from functions.mail import compose
from functions.mail.facts import InvoiceAction, InvoiceUnpaid
from functions.reactions.track_subscriptions.telling import tell
from functions.reminders import rules
from functions.settings.subscriber import SubscriberSettings
from functions.stripe_events import Invoice, StripeEvent

#: An invoice only ever moves to the right: https://docs.stripe.com/invoicing/overview#invoice-statuses.
_FORWARD = {"draft": 0, "open": 1, "uncollectible": 2, "paid": 3, "void": 3}
_FINAL = 3


def react(event: StripeEvent, settings: SubscriberSettings) -> Reaction:
    """React to an invoice, of a subscription or a single one, of any amount."""
    if event.type == "invoice.upcoming":
        return Decision("ignored", reason="an upcoming invoice is a preview and has no id")
    event, invoice = yield from whole(event, "invoice", Invoice.of)
    if invoice.customer is None:
        return Decision("ignored", reason="an invoice without a customer belongs to nobody here")
    path = paths.invoice(invoice.customer, invoice.id)
    stored = (yield from read(path))[path]
    verdict = judge(event, stored)
    if verdict is Verdict.DUPLICATE:
        return Decision("duplicate")
    was, comes = _rank(stored["status"]) if stored else -1, _rank(invoice.status)
    # Stripe makes, finalises and collects an invoice within one second. Where the status tells which event is the
    # later one there is nothing to ask.
    is_late = (
        verdict is Verdict.STALE or (was == _FINAL and comes < _FINAL) or (verdict is Verdict.FETCH and comes < was)
    )
    if stored is not None and is_late:
        return (yield from _overtaken(event, invoice, path, stored, settings))
    if verdict is Verdict.FETCH and comes == was:
        invoice = Invoice.of((yield from fetch("invoice", invoice.id)))
    fields: Json = asdict(invoice) | {"livemode": event.livemode} | stamp(event, stored)
    fields |= {"failed_at": _failed_at(event, fields["status"], stored)}
    facts = _facts(event, invoice.attempt_count, fields)
    telling = yield from tell(event, fields["customer"], stored, facts, event.created)
    fields |= {"mails": telling.mails}
    fields |= rules.fields(rules.schedule_invoice(fields, settings.reminders))
    return Decision("applied", (Put(path, fields),), letters=telling.letters)


def _overtaken(event: StripeEvent, invoice: Invoice, path: str, stored: Json, settings: SubscriberSettings) -> Reaction:
    """What something newer has overtaken says nothing of the present, but when it failed, and what is still true."""
    facts = _facts(event, invoice.attempt_count, stored)
    telling = yield from tell(event, stored["customer"], stored, facts, event.created)
    change = {"failed_at": _failed_at(event, stored["status"], stored), "mails": telling.mails}
    if all(stored.get(name) == value for name, value in change.items()):
        return Decision("stale")
    change |= rules.fields(rules.schedule_invoice(stored | change, settings.reminders))
    return Decision("applied", (Merge(path, change),), "stale, and something of it is still true", telling.letters)


def _failed_at(event: StripeEvent, status: str, stored: Json | None) -> int | None:
    """When the latest payment of an invoice failed that is still to be paid, in epoch seconds."""
    known: int | None = (stored or {}).get("failed_at")
    if status != "open":
        return None
    if event.type != "invoice.payment_failed":
        return known
    return max(known or 0, event.created)


def _facts(event: StripeEvent, attempt: int | None, invoice: Json) -> Facts | None:
    """What this event tells of the invoice as it is now. On one that is not open nothing is owed."""
    if invoice["status"] != "open":
        return None
    if event.type == "invoice.payment_failed" and attempt == invoice["attempt_count"]:
        following = invoice["next_payment_attempt"]
        return InvoiceUnpaid(invoice=compose.invoice(invoice), attempt=attempt or 0, next_payment_attempt=following)
    if event.type == "invoice.payment_action_required":
        return InvoiceAction(invoice=compose.invoice(invoice))
    return None


def _rank(status: str) -> int:
    """A status Stripe may add one day counts as open: the next event decides."""
    return _FORWARD.get(status, _FORWARD["open"])
