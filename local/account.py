"""A small Stripe account: what happens in it becomes objects for the local API and events for the webhook.

It keeps the rules that matter to a consumer: which event follows which, what an object looks like at that moment,
whole seconds, one event id per event. The demo tells its story with it, the tests make up theirs.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

from local.delayed import konbini_intent

Json = dict[str, Any]

API_VERSION = "2026-10-28.endive"


@dataclass(frozen=True, slots=True)
class Line:
    """What a buyer puts into a session; amounts in the currency's minor unit."""

    description: str
    unit_amount: int
    quantity: int = 1
    price: str | None = None
    product: str | None = None


class Account:
    """One account in test mode. `now` is its clock in epoch seconds and moves by `wait`."""

    def __init__(self, *, now: int, currency: str = "jpy", prefix: str = "Demo") -> None:
        self.now = now
        self.events: list[Json] = []
        self.objects: dict[str, Json] = {}
        self._currency = currency
        self._prefix = prefix
        self._numbers = count(1)
        self._lines: dict[str, list[Json]] = {}
        #: Invoice -> the payment intent that paid it.
        self._intents: dict[str, str] = {}

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now += seconds

    def api_objects(self) -> list[Json]:
        """Everything as the API would serve it now; a session brings its line items along."""
        lines = {session: {"line_items": items} for session, items in self._lines.items()}
        return [copy.deepcopy(found | lines.get(key, {})) for key, found in self.objects.items()]

    # Customers

    def create_customer(self, *, email: str | None, name: str | None = None, **fields: Any) -> str:
        """A new Customer."""
        customer = {
            "id": self._id("cus"),
            "object": "customer",
            "address": None,
            "balance": 0,
            "created": self.now,
            "currency": None,
            "default_source": None,
            "delinquent": False,
            "description": None,
            "discount": None,
            "email": email,
            "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None},
            "livemode": False,
            "metadata": {},
            "name": name,
            "phone": None,
            "preferred_locales": [],
            "shipping": None,
            "tax_exempt": "none",
            "test_clock": None,
        } | fields
        return self._happened("customer.created", customer)

    def update_customer(self, customer: str, **fields: Any) -> None:
        """Change some of a Customer's fields."""
        found = self.objects[customer]
        before = {key: found.get(key) for key, value in fields.items() if found.get(key) != value}
        if "metadata" in before:
            # Of metadata Stripe names the keys that changed, a new one with null.
            old, new = before["metadata"] or {}, fields["metadata"]
            before["metadata"] = {key: old.get(key) for key in {**old, **new} if old.get(key) != new.get(key)}
        self._happened("customer.updated", self.objects[customer] | fields, previous=before)

    def delete_customer(self, customer: str) -> None:
        """Delete a Customer: the event shows it as it was, the API from then on that it is gone."""
        self._happened("customer.deleted", self.objects[customer])
        self.objects[customer] = {"id": customer, "object": "customer", "deleted": True}

    # Checkout

    def open_session(self, lines: Sequence[Line], *, mode: str = "payment", **fields: Any) -> str:
        """A Checkout Session somebody looks at. `fields` are the session's own: `client_reference_id`, …"""
        session_id = self._id("cs_test")
        self._lines[session_id] = [self._line(line) for line in lines]
        self.objects[session_id] = {
            "id": session_id,
            "object": "checkout.session",
            "after_expiration": None,
            "amount_subtotal": sum(line["amount_subtotal"] for line in self._lines[session_id]),
            "amount_total": sum(line["amount_total"] for line in self._lines[session_id]),
            "client_reference_id": None,
            "consent": None,
            "created": self.now,
            "currency": self._currency,
            "customer": None,
            "customer_creation": "if_required" if mode == "payment" else None,
            "customer_details": None,
            "customer_email": None,
            "expires_at": self.now + 86_400,
            "invoice": None,
            "livemode": False,
            "locale": "ja",
            "metadata": {},
            "mode": mode,
            "payment_intent": None,
            "payment_link": None,
            "payment_method_types": ["card", "konbini"],
            "payment_status": "unpaid",
            "setup_intent": None,
            "status": "open",
            "subscription": None,
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            "ui_mode": "hosted",
            "url": f"https://checkout.stripe.com/c/pay/{session_id}",
        } | fields
        return session_id

    def change_quantity(self, session: str, line: int, quantity: int) -> None:
        """The buyer adjusts a quantity on the checkout page."""
        item = self._lines[session][line]
        item["quantity"] = quantity
        item["amount_subtotal"] = item["amount_total"] = item["price"]["unit_amount"] * quantity
        self._total(session)

    def add_line(self, session: str, line: Line) -> None:
        """The buyer takes a cross-sold product along."""
        self._lines[session].append(self._line(line))
        self._total(session)

    def complete(
        self, session: str, *, email: str, name: str | None = None, paid: bool = True, creates_customer: bool = False
    ) -> None:
        """The buyer submits the page. Not paid yet is what a konbini slip or a bank transfer leaves behind."""
        found = self.objects[session]
        if creates_customer and found["customer"] is None:
            found["customer"] = self.create_customer(email=email, name=name, preferred_locales=["ja"])
        found["status"] = "complete"
        found["customer_details"] = {"email": email, "name": name, "phone": None, "address": None, "tax_ids": []}
        if found["mode"] == "payment" and found["amount_total"]:
            found["payment_intent"] = self._id("pi")
            if not paid:
                intent = konbini_intent(found["payment_intent"], found["amount_total"], self._currency, self.now)
                self.objects[intent["id"]] = intent
        if found["mode"] == "subscription":
            found["subscription"] = self._id("sub")
            found["invoice"] = self._id("in")
        if found["mode"] == "setup" or not found["amount_total"]:
            found["payment_status"] = "no_payment_required"
        elif paid:
            found["payment_status"] = "paid"
        self._charge(session)
        self._happened("checkout.session.completed", found)

    def pay_later(self, session: str) -> None:
        """The konbini reports the money, or the transfer arrives."""
        self.objects[session]["payment_status"] = "paid"
        self._charge(session)
        self._happened("checkout.session.async_payment_succeeded", self.objects[session])

    def fail_later(self, session: str) -> None:
        """The slip ran out unpaid."""
        self._happened("checkout.session.async_payment_failed", self.objects[session])

    def expire(self, session: str) -> None:
        """Nobody completed the session. One that may be recovered says where."""
        found = self.objects[session]
        found |= {"status": "expired", "url": None}
        if found["after_expiration"]:
            url = f"https://buy.stripe.com/r/{session}"
            found["after_expiration"] = {
                "recovery": {"enabled": True, "expires_at": self.now + 30 * 86_400, "url": url}
            }
        self._happened("checkout.session.expired", self.objects[session])

    # What goes back

    def refund(self, session: str, amount: int) -> str:
        """Give some or all of a payment back."""
        charge = self.objects[self.charge_of(session)]
        refunded = charge["amount_refunded"] + amount
        refund = {
            "id": self._id("re"),
            "object": "refund",
            "amount": amount,
            "charge": charge["id"],
            "created": self.now,
            "currency": charge["currency"],
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "reason": "requested_by_customer",
            "status": "succeeded",
        }
        self.objects[refund["id"]] = refund
        before = {"amount_refunded": charge["amount_refunded"], "refunded": charge["refunded"]}
        change = {"amount_refunded": refunded, "refunded": refunded == charge["amount"]}
        self._happened("charge.refunded", charge | change, previous=before)
        return str(refund["id"])

    def fail_refund(self, refund: str) -> None:
        """The bank sends a refund back."""
        found = self.objects[refund]
        charge = self.objects[found["charge"]]
        charge |= {"amount_refunded": charge["amount_refunded"] - found["amount"], "refunded": False}
        self._happened("refund.failed", found | {"status": "failed", "failure_reason": "expired_or_canceled_card"})

    def dispute(self, session: str) -> str:
        """The buyer's bank takes the money back."""
        charge = self.objects[self.charge_of(session)]
        charge["disputed"] = True
        dispute = {
            "id": self._id("dp"),
            "object": "dispute",
            "amount": charge["amount"],
            "charge": charge["id"],
            "created": self.now,
            "currency": charge["currency"],
            "livemode": False,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "reason": "product_not_received",
            "status": "needs_response",
        }
        return self._happened("charge.dispute.created", dispute)

    def close_dispute(self, dispute: str, status: str) -> None:
        """`won` or `lost`."""
        self._happened("charge.dispute.closed", self.objects[dispute] | {"status": status})

    def lines_of(self, session: str) -> list[Json]:
        """The line items of a session."""
        return self._lines[session]

    def charge_of(self, session: str) -> str:
        """The id of the charge that paid a session, directly or through its invoice."""
        found = self.objects[session]
        intent = found["payment_intent"] or self._intents[found["invoice"]]
        return next(
            str(found["id"])
            for found in self.objects.values()
            if found["object"] == "charge" and found["payment_intent"] == intent
        )

    # Inside

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._prefix}{next(self._numbers):06d}"

    def _line(self, line: Line) -> Json:
        amount = line.unit_amount * line.quantity
        return {
            "id": self._id("li"),
            "object": "item",
            "amount_discount": 0,
            "amount_subtotal": amount,
            "amount_tax": 0,
            "amount_total": amount,
            "currency": self._currency,
            "description": line.description,
            "price": {
                "id": line.price or self._id("price"),
                "object": "price",
                "active": True,
                "currency": self._currency,
                "lookup_key": None,
                "metadata": {},
                "product": line.product or self._id("prod"),
                "type": "one_time",
                "unit_amount": line.unit_amount,
                "unit_amount_decimal": str(line.unit_amount),
            },
            "quantity": line.quantity,
        }

    def _total(self, session: str) -> None:
        total = sum(line["amount_total"] for line in self._lines[session])
        self.objects[session] |= {"amount_subtotal": total, "amount_total": total}

    def _charge(self, session: str) -> None:
        found = self.objects[session]
        if found["payment_status"] != "paid":
            return
        intent = found["payment_intent"]
        if intent is None:
            # Of a subscription only the invoice knows by which intent it was paid.
            intent = self._intents[found["invoice"]] = self._id("pi")
            payment = {
                "id": self._id("inpay"),
                "object": "invoice_payment",
                "amount_paid": found["amount_total"],
                "created": self.now,
                "invoice": found["invoice"],
                "payment": {"type": "payment_intent", "payment_intent": intent},
                "status": "paid",
            }
            self.objects[payment["id"]] = payment
        charge = {
            "id": self._id("ch"),
            "object": "charge",
            "amount": found["amount_total"],
            "amount_captured": found["amount_total"],
            "amount_refunded": 0,
            "billing_details": {key: (found["customer_details"] or {}).get(key) for key in ("email", "name", "phone")},
            "created": self.now,
            "currency": found["currency"],
            "customer": found["customer"],
            "disputed": False,
            "livemode": False,
            "metadata": {},
            "paid": True,
            "payment_intent": intent,
            "receipt_email": None,
            "refunded": False,
            "status": "succeeded",
        }
        self.objects[charge["id"]] = charge

    def _happened(self, event_type: str, changed: Mapping[str, Any], *, previous: Json | None = None) -> str:
        """The object is like this from now on, and everybody is told."""
        found = dict(changed)
        self.objects[found["id"]] = found
        self._announce(event_type, found, previous=previous)
        return str(found["id"])

    def _announce(self, event_type: str, found: Json, *, previous: Json | None = None) -> None:
        self.events.append(
            {
                "id": self._id("evt"),
                "object": "event",
                "api_version": API_VERSION,
                "created": self.now,
                "data": copy.deepcopy({"object": found} | ({"previous_attributes": previous} if previous else {})),
                "livemode": False,
                "pending_webhooks": 1,
                "request": {"id": None, "idempotency_key": None},
                "type": event_type,
            }
        )


def thin(event: Json) -> Json:
    """The thin notification of a snapshot event: the same fact without the data."""
    subject = event["data"]["object"]
    path = {"checkout.session": "checkout/sessions"}.get(subject["object"], f"{subject['object']}s")
    return {
        "id": event["id"].replace("evt_", "evt_thin_"),
        "object": "v2.core.event",
        "type": f"v1.{event['type']}",
        "created": datetime.fromtimestamp(event["created"], UTC).isoformat(timespec="milliseconds"),
        "livemode": event["livemode"],
        "context": None,
        "reason": None,
        "related_object": {"id": subject["id"], "type": subject["object"], "url": f"/v1/{path}/{subject['id']}"},
        "snapshot_event": event["id"],
    }
