"""The account's subscriptions: what Stripe Billing does to them, their invoices and the cards behind them."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from local.account import Account, Json

DAY = 86_400
MONTH = 30 * DAY
YEAR = 365 * DAY


@dataclass(frozen=True, slots=True)
class Price:
    """A recurring price; `unit_amount` in the currency's minor unit, None where it is metered or tiered."""

    id: str
    product: str
    unit_amount: int | None
    lookup_key: str | None = None
    interval: str = "month"


def _period(interval: str) -> int:
    return {"month": MONTH, "year": YEAR}[interval]


class BillingAccount(Account):
    """An account that also sells subscriptions. Statuses change as Stripe lets them, and not otherwise."""

    def sell(self, price: Price) -> None:
        """A price that Stripe's API lists from now on."""
        listed = {"created": self.now, "currency_options": None, "tiers": None, "tiers_mode": None}
        self.objects[price.id] = self._price(price) | listed | {"transform_quantity": None, "tax_behavior": None}

    # Cards

    def attach_card(self, customer: str, *, last4: str = "4242", expires: tuple[int, int] = (2030, 8)) -> str:
        """A card of a customer; `expires` is (year, month)."""
        year, month = expires
        card = {"brand": "visa", "last4": last4, "exp_month": month, "exp_year": year, "country": "JP"}
        method = {
            "id": self._id("pm"),
            "object": "payment_method",
            "billing_details": {"address": None, "email": None, "name": None, "phone": None},
            "card": card,
            "created": self.now,
            "customer": customer,
            "livemode": False,
            "metadata": {},
            "type": "card",
        }
        return self._happened("payment_method.attached", method)

    def renew_card(self, method: str, *, expires: tuple[int, int]) -> None:
        """The bank tells of a new expiry date."""
        year, month = expires
        found = copy.deepcopy(self.objects[method])
        found["card"] |= {"exp_month": month, "exp_year": year}
        self._happened("payment_method.automatically_updated", found)

    def update_card(self, method: str) -> None:
        """The customer changes the billing details."""
        self._happened("payment_method.updated", self.objects[method])

    def detach_card(self, method: str) -> None:
        """The card is taken off its customer, for good."""
        found = self.objects[method]
        before = {"customer": found["customer"]}
        self._happened("payment_method.detached", found | {"customer": None}, previous=before)

    # Subscriptions

    def subscribe(
        self, customer: str, prices: Sequence[Price], *, trial_days: int = 0, needs_action: bool = False, **fields: Any
    ) -> str:
        """A new subscription: on trial, active at once, or incomplete until the buyer authenticates the payment."""
        trial_end = self.now + trial_days * DAY if trial_days else None
        subscription_id = self._id("sub")
        ends = trial_end or self.now + _period(prices[0].interval)
        items = [self._item(subscription_id, price, self.now, ends) for price in prices]
        subscription = {
            "id": subscription_id,
            "object": "subscription",
            "automatic_tax": {"enabled": False},
            "billing_cycle_anchor": ends,
            "cancel_at": None,
            "cancel_at_period_end": False,
            "canceled_at": None,
            "collection_method": "charge_automatically",
            "created": self.now,
            "currency": self._currency,
            "customer": customer,
            "default_payment_method": None,
            "default_source": None,
            "discounts": [],
            "ended_at": None,
            "items": {"object": "list", "data": items, "has_more": False, "url": "/v1/subscription_items"},
            "latest_invoice": None,
            "livemode": False,
            "metadata": {},
            "pause_collection": None,
            "start_date": self.now,
            "status": "trialing" if trial_days else ("incomplete" if needs_action else "active"),
            "test_clock": None,
            "trial_end": trial_end,
            "trial_start": self.now if trial_days else None,
        } | fields
        self.objects[subscription_id] = subscription
        invoice = self._draft(subscription_id, "subscription_create", amount=0 if trial_days else None)
        subscription["latest_invoice"] = invoice
        self._happened("customer.subscription.created", subscription)
        self._finalize(invoice)
        if needs_action:
            self._happened("invoice.payment_action_required", self.objects[invoice])
        else:
            self._pay(invoice)
        return subscription_id

    def authenticate(self, subscription: str) -> None:
        """The buyer confirms the first payment."""
        self._pay(self.objects[subscription]["latest_invoice"])
        self.change(subscription, status="active")

    def give_up_first_payment(self, subscription: str) -> None:
        """23 hours later nobody has confirmed it."""
        self._void(self.objects[subscription]["latest_invoice"])
        self.change(subscription, status="incomplete_expired", ended_at=self.now)

    def change(self, subscription: str, *, event: str = "updated", **fields: Any) -> None:
        """Change some of a subscription's fields: `customer.subscription.updated`, or another event of the kind."""
        found = self.objects[subscription]
        before = {key: found.get(key) for key, value in fields.items() if found.get(key) != value}
        self._happened(f"customer.subscription.{event}", found | fields, previous=before)

    def change_price(self, subscription: str, price: Price) -> None:
        """An upgrade or a downgrade of the first item, in the running period."""
        items = copy.deepcopy(self.objects[subscription]["items"])
        first = items["data"][0]
        items["data"][0] = first | {"price": self._price(price)}
        self.change(subscription, items=items)

    def trial_will_end(self, subscription: str) -> None:
        """Three days before the end of a trial."""
        self._happened("customer.subscription.trial_will_end", self.objects[subscription])

    def renew(self, subscription: str, *, paid: bool = True) -> None:
        """The period ends and the next one begins, paid or not."""
        items = copy.deepcopy(self.objects[subscription]["items"])
        for item in items["data"]:
            ends = self.now + _period(item["price"]["recurring"]["interval"])
            item |= {"current_period_start": self.now, "current_period_end": ends}
        invoice = self._draft(subscription, "subscription_cycle")
        self.change(subscription, items=items, latest_invoice=invoice, status="active")
        self._finalize(invoice)
        if paid:
            self._pay(invoice)
        else:
            self._fail(invoice)
            self.change(subscription, status="past_due")

    def recover(self, subscription: str) -> None:
        """The retry succeeds."""
        self._pay(self.objects[subscription]["latest_invoice"])
        self.change(subscription, status="active")

    def fail_again(self, subscription: str) -> None:
        """The retry fails too."""
        self._fail(self.objects[subscription]["latest_invoice"])

    def write_off(self, subscription: str) -> None:
        """The last retry failed: nothing more is tried, the subscription stays unpaid."""
        invoice = self.objects[subscription]["latest_invoice"]
        self._happened("invoice.marked_uncollectible", self.objects[invoice] | {"status": "uncollectible"})
        self.change(subscription, status="unpaid")

    def pause(self, subscription: str) -> None:
        """A trial ended without a payment method."""
        self.change(subscription, event="paused", status="paused")

    def resume(self, subscription: str) -> None:
        """The buyer came back with one."""
        self.change(subscription, event="resumed", status="active")

    def cancel_later(self, subscription: str, *, really: bool = True) -> None:
        """The buyer cancels at the end of the period, or thinks again."""
        self.change(subscription, cancel_at_period_end=really, canceled_at=self.now if really else None)

    def cancel(self, subscription: str) -> None:
        """It ends now."""
        ended = {"status": "canceled", "canceled_at": self.now, "ended_at": self.now}
        ended |= {"cancellation_details": {"reason": "cancellation_requested", "comment": None, "feedback": None}}
        self._happened("customer.subscription.deleted", self.objects[subscription] | ended)

    def live_subscriptions(self, customer: str) -> list[str]:
        """Those that have not ended."""
        return [
            found["id"]
            for found in self.objects.values()
            if found["object"] == "subscription"
            and found["customer"] == customer
            and found["status"] not in {"canceled", "incomplete_expired"}
        ]

    def delete_customer(self, customer: str) -> None:
        """Stripe ends everything a deleted Customer had."""
        for subscription in self.live_subscriptions(customer):
            self.cancel(subscription)
        super().delete_customer(customer)

    # Invoices

    def one_off_invoice(self, customer: str | None, amount: int) -> str:
        """An invoice of no subscription, sent and paid."""
        invoice = self._draft(None, "manual", amount=amount, customer=customer)
        self._finalize(invoice)
        self._pay(invoice)
        return invoice

    def upcoming_invoice(self, subscription: str) -> None:
        """The preview some days before a renewal. It has no id."""
        invoice = self._draft(subscription, "upcoming", silent=True)
        preview = {key: value for key, value in self.objects.pop(invoice).items() if key != "id"}
        self._announce("invoice.upcoming", preview)

    def overdue(self, invoice: str) -> None:
        """An invoice is past its due date."""
        self._happened("invoice.overdue", self.objects[invoice])

    def _draft(
        self,
        subscription: str | None,
        reason: str,
        *,
        amount: int | None = None,
        customer: str | None = None,
        silent: bool = False,
    ) -> str:
        found = self.objects[subscription] if subscription else None
        due = amount
        if due is None and found:
            due = sum((item["price"]["unit_amount"] or 0) * (item["quantity"] or 0) for item in found["items"]["data"])
        details = {"type": "subscription_details", "subscription_details": {"subscription": subscription}}
        invoice: Json = {
            "id": self._id("in"),
            "object": "invoice",
            "amount_due": due,
            "amount_paid": 0,
            "amount_remaining": due,
            "attempt_count": 0,
            "billing_reason": reason,
            "collection_method": "charge_automatically",
            "created": self.now,
            "currency": self._currency,
            "customer": found["customer"] if found else customer,
            "due_date": None,
            "hosted_invoice_url": None,
            "invoice_pdf": None,
            "livemode": False,
            "metadata": {},
            "next_payment_attempt": None,
            "number": None,
            "parent": details if subscription else None,
            "period_end": self.now,
            "period_start": self.now,
            "status": "draft",
            "status_transitions": {"finalized_at": None, "paid_at": None, "voided_at": None},
            "subtotal": due,
            "total": due,
        }
        self.objects[invoice["id"]] = invoice
        if not silent:
            self._happened("invoice.created", invoice)
        return str(invoice["id"])

    def _finalize(self, invoice: str) -> None:
        url = f"https://invoice.stripe.com/i/{invoice}"
        self._happened(
            "invoice.finalized",
            self.objects[invoice] | {"status": "open", "number": f"N-{invoice[-4:]}", "hosted_invoice_url": url},
        )

    def _pay(self, invoice: str) -> None:
        found = self.objects[invoice]
        paid = {"status": "paid", "amount_paid": found["amount_due"], "amount_remaining": 0}
        paid |= {"next_payment_attempt": None, "attempt_count": found["attempt_count"] + 1}
        self._happened("invoice.paid", found | paid | {"status_transitions": {"paid_at": self.now}})

    def _fail(self, invoice: str) -> None:
        found = self.objects[invoice]
        tried = {"attempt_count": found["attempt_count"] + 1, "next_payment_attempt": self.now + 3 * DAY}
        self._happened("invoice.payment_failed", found | tried)

    def _void(self, invoice: str) -> None:
        self._happened("invoice.voided", self.objects[invoice] | {"status": "void"})

    def _price(self, price: Price) -> Json:
        return {
            "id": price.id,
            "object": "price",
            "active": True,
            "billing_scheme": "per_unit",
            "currency": self._currency,
            "lookup_key": price.lookup_key,
            "metadata": {},
            "product": price.product,
            "recurring": {"interval": price.interval, "interval_count": 1, "usage_type": "licensed"},
            "type": "recurring",
            "unit_amount": price.unit_amount,
        }

    def _item(self, subscription: str, price: Price, start: int, end: int) -> Json:
        return {
            "id": self._id("si"),
            "object": "subscription_item",
            "created": self.now,
            "current_period_end": end,
            "current_period_start": start,
            "metadata": {},
            "price": self._price(price),
            "quantity": 1,
            "subscription": subscription,
        }
