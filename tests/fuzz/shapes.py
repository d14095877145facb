"""What is meddled with: every event that the local account can tell, with how everything then looked at Stripe."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from functions.effects import Fetch
from functions.event_types import ONLY_THIN
from local.account import Account, Line, thin
from local.billing import BillingAccount, Price
from local.story import tell
from tests.stories import START

Json = dict[str, Any]
CLUB = Price("price_club", "prod_club", 980, lookup_key="club")
PLUS = Price("price_plus", "prod_plus", 1980)
#: What is asked for, and in which object it stands.
_INSIDE = {
    "line_items": "checkout.session",
    "unpaid_session": "checkout.session",
    "subscription_items": "subscription",
}


@dataclass(frozen=True, slots=True)
class Told:
    """One event, and the objects as Stripe's API serves them when it is over."""

    event: Json
    account: BillingAccount


@cache
def accounts() -> tuple[BillingAccount, ...]:
    """Two accounts: the demo's story, and a short one with everything that the story leaves out."""
    return tell(START).account, _rest()


@cache
def told() -> tuple[Told, ...]:
    """Each type of event in a few of the forms in which it is told, then the same as thin notifications."""
    found: dict[tuple[str, str], Told] = {}
    for account in accounts():
        for event in account.events:
            subject = event["data"]["object"]
            form = f"{subject.get('status')} {subject.get('payment_status')} {subject.get('mode')}"
            found.setdefault((event["type"], form), Told(event, account))
    thin_ones: dict[str, Told] = {}
    for each in found.values():
        subject = each.event["data"]["object"]
        if "id" in subject:
            types = ONLY_THIN if subject["object"] == "subscription" else ()
            for event_type in (each.event["type"], *types):
                thin_ones[event_type] = Told(thin(each.event | {"type": event_type}), each.account)
    return (*found.values(), *thin_ones.values())


@cache
def objects() -> tuple[Json, ...]:
    """One object of each kind in each status."""
    found: dict[tuple[str, object], Json] = {}
    for account in accounts():
        for each in account.api_objects():
            found.setdefault((each["object"], each.get("status")), each)
    return tuple(found.values())


@cache
def known(account: Account) -> tuple[Json, ...]:
    """Everything as the API serves it; nobody changes it."""
    return tuple(account.api_objects())


def as_fetched(request: Fetch, account: Account, changed: Mapping[str, Json]) -> Json | None:
    """What Stripe's API answers, which finds by kind and id; `changed` are objects that are not as they should be."""
    if request.kind == "event":
        return next((event for event in account.events if event["id"] == request.id), None)
    if request.kind == "invoice_payments":
        payments = [each for each in known(account) if each["object"] == "invoice_payment"]
        return {"data": [each for each in payments if each["payment"]["payment_intent"] == request.id]}
    kind = _INSIDE.get(request.kind, request.kind)
    found = next((each for each in known(account) if each["id"] == request.id and each["object"] == kind), None)
    if found is None:
        return None
    answer = changed.get(request.id, found)
    if request.kind in {"line_items", "subscription_items"}:
        inside = answer.get("line_items") if request.kind == "line_items" else _data(answer)
        # The list is the client's own making; what stands in it is not.
        return {"data": [each for each in inside if isinstance(each, dict)] if isinstance(inside, list) else []}
    if request.kind == "unpaid_session":
        intent = next((each for each in known(account) if each["id"] == found["payment_intent"]), None)
        return answer | {"payment_intent": intent, "line_items": {"data": answer.get("line_items"), "has_more": False}}
    return dict(answer)


def _data(subscription: Json) -> object:
    listed = subscription.get("items")
    return listed.get("data") if isinstance(listed, dict) else None


def _rest() -> BillingAccount:
    account = BillingAccount(now=START, prefix="Rest")
    customer = account.create_customer(email="hana@example.com", name="佐藤 花", phone="03-1234-5678")
    card = account.attach_card(customer)
    account.update_card(card)
    account.renew_card(card, expires=(2031, 12))
    account.update_customer(customer, metadata={"user_id": "user_hana", "marketing": "opt_in"})
    session = account.open_session([Line("Mug", 1400)], customer=customer, payment_link="plink_1")
    account.complete(session, email="hana@example.com")
    account.fail_refund(account.refund(session, 400))
    account.close_dispute(account.dispute(session), "lost")
    setup = account.open_session([], mode="setup", customer=customer)
    account.complete(setup, email="hana@example.com")
    joined = account.open_session([Line("Club", 980)], mode="subscription", customer=customer)
    account.complete(joined, email="hana@example.com")
    account.refund(joined, 980)
    first = account.subscribe(customer, [CLUB, PLUS], trial_days=7)
    account.pause(first)
    account.resume(first)
    account.renew(first, paid=False)
    account.fail_again(first)
    account.change(first, event="pending_update_applied")
    account.change(first, event="pending_update_expired")
    account.upcoming_invoice(first)
    account.overdue(account.objects[first]["latest_invoice"])
    account.write_off(first)
    account.one_off_invoice(customer, 500)
    account.give_up_first_payment(account.subscribe(customer, [CLUB], needs_action=True))
    account.detach_card(card)
    expiring = {"brand": "American Express", "last4": "0005", "exp_month": 1, "exp_year": 2027}
    account._happened("customer.source.expiring", {"id": "card_1", "object": "card", "customer": customer} | expiring)
    account.delete_customer(customer)
    return account
