"""Stories for hypothesis: anything Stripe Billing may do in a small account, with ties within one second."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from local.billing import MONTH, BillingAccount, Price
from tests.stories import START, USERS

Json = dict[str, Any]

PRICES = (
    Price("price_basic", "prod_basic", 1000, lookup_key="basic"),
    Price("price_pro", "prod_pro", 3000, lookup_key="pro"),
    Price("price_metered", "prod_metered", None),
)


@st.composite
def billing_accounts(draw: st.DrawFn) -> BillingAccount:
    """An account in which up to nine things happened to a few customers and their subscriptions."""
    account = BillingAccount(now=START, prefix="B")
    steps = _Steps(account, draw)
    steps.new_customer()
    for _ in range(draw(st.integers(1, 9))):
        draw(st.sampled_from(steps.possible()))()
        account.wait(draw(st.sampled_from((0, 0, 1, 60, MONTH))))
    return account


class _Steps:
    """What may happen next, by the status each subscription has: Stripe allows nothing else."""

    def __init__(self, account: BillingAccount, draw: st.DrawFn) -> None:
        self._account = account
        self._draw = draw
        self._customers: list[str] = []

    def possible(self) -> list[Callable[[], None]]:
        account = self._account
        steps: list[Callable[[], None]] = [self.new_customer]
        if self._customers:
            steps += [self.subscribe, self.subscribe, self.one_off, self.attach, self.delete_customer]
        for found in list(account.objects.values()):
            if found["object"] == "subscription":
                steps += self._with(found["id"], found["status"])
            if found["object"] == "payment_method" and found["customer"]:
                steps += [self._bind(account.detach_card, found["id"]), self._bind(self._renew_card, found["id"])]
        return steps

    def _with(self, subscription: str, status: str) -> list[Callable[[], None]]:
        account = self._account
        running = [account.cancel, account.cancel_later, self._change_price, account.upcoming_invoice]
        allowed: dict[str, list[Callable[[str], None]]] = {
            "incomplete": [account.authenticate, account.authenticate, account.give_up_first_payment],
            "trialing": [*running, account.trial_will_end, self._end_trial, account.pause],
            "active": [*running, account.renew, self._renew_unpaid],
            "past_due": [account.recover, account.fail_again, account.write_off, account.cancel],
            "unpaid": [account.cancel],
            "paused": [account.resume, account.cancel],
        }
        return [self._bind(step, subscription) for step in allowed.get(status, [])]

    def new_customer(self) -> None:
        user = self._draw(st.sampled_from((None, *USERS)))
        metadata = {"user_id": user} if user else {}
        self._customers.append(self._account.create_customer(email="one@example.com", metadata=metadata))

    def delete_customer(self) -> None:
        customer = self._draw(st.sampled_from(self._customers))
        self._customers.remove(customer)
        self._account.delete_customer(customer)

    def subscribe(self) -> None:
        prices = self._draw(st.lists(st.sampled_from(PRICES), min_size=1, max_size=2, unique=True))
        trial_days, needs_action = self._draw(st.sampled_from(((0, False), (14, False), (0, True))))
        customer = self._draw(st.sampled_from(self._customers))
        self._account.subscribe(customer, prices, trial_days=trial_days, needs_action=needs_action)

    def one_off(self) -> None:
        self._account.one_off_invoice(self._draw(st.sampled_from(self._customers)), 500)

    def attach(self) -> None:
        self._account.attach_card(self._draw(st.sampled_from(self._customers)))

    def _renew_card(self, method: str) -> None:
        self._account.renew_card(method, expires=(self._draw(st.sampled_from((2030, 2031))), 12))

    def _change_price(self, subscription: str) -> None:
        self._account.change_price(subscription, self._draw(st.sampled_from(PRICES)))

    def _end_trial(self, subscription: str) -> None:
        self._account.renew(subscription)

    def _renew_unpaid(self, subscription: str) -> None:
        self._account.renew(subscription, paid=False)

    @staticmethod
    def _bind(step: Callable[[str], None], argument: str) -> Callable[[], None]:
        return lambda: step(argument)


def truth(account: BillingAccount) -> Json:
    """What the account itself says, in the terms of the documents: statuses, plans, invoices, cards."""
    said: Json = {}
    plans: dict[str | None, set[str]] = {}
    for found in account.objects.values():
        customer = found.get("customer")
        match found["object"]:
            case "subscription":
                said[f"customers/{customer}/subscriptions/{found['id']}"] = {
                    "status": found["status"],
                    "prices": [item["price"]["id"] for item in found["items"]["data"]],
                    "current_period_end": found["items"]["data"][0]["current_period_end"],
                    "cancel_at_period_end": found["cancel_at_period_end"],
                    "latest_invoice": found["latest_invoice"],
                }
                if found["status"] in {"active", "trialing", "past_due"}:
                    plans.setdefault(customer, set()).update(
                        item["price"]["lookup_key"] or item["price"]["product"] for item in found["items"]["data"]
                    )
            case "invoice":
                kept = ("status", "amount_paid", "attempt_count", "next_payment_attempt")
                said[f"customers/{customer}/invoices/{found['id']}"] = {key: found[key] for key in kept}
    for data in account.events:
        subject = data["data"]["object"]
        if data["type"] == "payment_method.attached":
            now = account.objects[subject["id"]]
            year = now["card"]["exp_year"] if now["customer"] else None
            said[f"customers/{subject['customer']}/payment_methods/{subject['id']}"] = {"exp_year": year}
    users: dict[str, set[str]] = {}
    for data in account.events:
        if data["type"] == "customer.created":
            created = data["data"]["object"]
            is_deleted = account.objects[created["id"]].get("deleted", False)
            said[f"customers/{created['id']}"] = {"plans": sorted(plans.get(created["id"], ())), "deleted": is_deleted}
            user = created["metadata"].get("user_id")
            if user and not is_deleted:
                users.setdefault(user, set()).update(plans.get(created["id"], ()))
    return said | {f"users/{user}": {"plans": sorted(found)} for user, found in users.items()}


def told(documents: Json) -> Json:
    """The same terms, out of the documents."""
    said: Json = {}
    for path, found in documents.items():
        collection = path.split("/")[-2]
        match collection:
            case "subscriptions":
                kept = ("status", "current_period_end", "cancel_at_period_end", "latest_invoice")
                said[path] = {key: found[key] for key in kept} | {"prices": [item["price"] for item in found["items"]]}
            case "invoices":
                kept = ("status", "amount_paid", "attempt_count", "next_payment_attempt")
                said[path] = {key: found[key] for key in kept}
            case "payment_methods":
                said[path] = {"exp_year": found["exp_year"]}
            case "customers":
                said[path] = {"plans": found.get("plans", []), "deleted": found.get("deleted", False)}
            case "users":
                said[path] = {"plans": found["plans"]}
    return said
