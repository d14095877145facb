"""Keeps `customers/{c}/invoices/{in}`: what is owed, what was tried, where to pay."""

from dataclasses import asdict

from functions import paths
from functions.as_of import Verdict, judge, stamp, whole
from functions.effects import Decision, Put, Reaction, fetch, read
from functions.stripe_events import Invoice, StripeEvent

#: An invoice only ever moves to the right: https://docs.stripe.com/invoicing/overview#invoice-statuses.
_FORWARD = {"draft": 0, "open": 1, "uncollectible": 2, "paid": 3, "void": 3}
_FINAL = 3


def react(event: StripeEvent) -> Reaction:
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
    if verdict is Verdict.STALE or (was == _FINAL and comes < _FINAL):
        return Decision("stale")
    # Stripe makes, finalises and collects an invoice within one second. Where the status tells which event is the
    # later one there is nothing to ask.
    if verdict is Verdict.FETCH and comes < was:
        return Decision("stale")
    if verdict is Verdict.FETCH and comes == was:
        invoice = Invoice.of((yield from fetch("invoice", invoice.id)))
    return Decision("applied", (Put(path, asdict(invoice) | {"livemode": event.livemode} | stamp(event, stored)),))


def _rank(status: str) -> int:
    """A status Stripe may add one day counts as open: the next event decides."""
    return _FORWARD.get(status, _FORWARD["open"])
