"""Stories for hypothesis: anything that may happen in a small Stripe account, with ties within one second."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from local.account import Account, Line

Json = dict[str, Any]

USERS = ("ann", "bob")
EMAILS = ("one@example.com", "Two@Example.com")
START = 1_790_000_000


@st.composite
def accounts(draw: st.DrawFn, *, metadata: bool = True) -> Account:
    """An account in which up to nine things happened. Without `metadata`, only sessions name users."""
    account = Account(now=START, prefix="T")
    steps = _Steps(account, draw, metadata=metadata)
    for _ in range(draw(st.integers(1, 9))):
        draw(st.sampled_from(steps.possible()))()
        account.wait(draw(st.sampled_from((0, 0, 1, 60))))
    return account


@st.composite
def deliveries(draw: st.DrawFn, events: list[Json]) -> list[Json]:
    """Every event at least once, some several times, in any order."""
    again = draw(st.lists(st.sampled_from(events), max_size=len(events))) if events else []
    return draw(st.permutations(events + again))


class _Steps:
    """What may happen next, given what happened so far."""

    def __init__(self, account: Account, draw: st.DrawFn, *, metadata: bool) -> None:
        self._account = account
        self._draw = draw
        self._metadata = metadata
        self._customers: list[str] = []
        self._waiting: list[str] = []
        self._charged: list[str] = []
        self._refunds: list[str] = []
        self._disputes: list[str] = []

    def possible(self) -> list[Callable[[], None]]:
        steps: list[Callable[[], None]] = [self.new_customer, self.buy, self.buy, self.abandon]
        if self._customers:
            steps += [self.change_customer, self.delete_customer]
        if self._waiting:
            steps += [self.pay, self.fail]
        if self._charged:
            steps += [self.refund, self.dispute]
        if self._refunds:
            steps.append(self.fail_refund)
        if self._disputes:
            steps.append(self.close_dispute)
        return steps

    def new_customer(self) -> None:
        self._customers.append(self._account.create_customer(email=self._one(*EMAILS, None), metadata=self._names()))

    def change_customer(self) -> None:
        change = self._one({"name": "New"}, {"email": EMAILS[0]}, {"email": EMAILS[1]}, {"metadata": self._names()})
        self._account.update_customer(self._one(*self._customers), **change)

    def delete_customer(self) -> None:
        customer = self._one(*self._customers)
        self._customers.remove(customer)
        self._account.delete_customer(customer)

    def buy(self) -> None:
        account = self._account
        session = account.open_session(
            [Line("Mug", self._one(1400, 1400, 0))],
            mode=self._one("payment", "payment", "subscription"),
            customer=self._one(None, *self._customers),
            client_reference_id=self._one(None, *USERS),
            consent={"promotions": self._one(None, None, "opt_in", "opt_out")},
        )
        paid = self._one(True, True, False)
        account.complete(session, email=self._one(*EMAILS), paid=paid, creates_customer=self._one(True, False))
        if account.objects[session]["payment_status"] == "unpaid":
            self._waiting.append(session)
        elif account.objects[session]["payment_status"] == "paid":
            self._charged.append(session)

    def abandon(self) -> None:
        self._account.expire(self._account.open_session([Line("Mug", 1400)]))

    def pay(self) -> None:
        session = self._one(*self._waiting)
        self._waiting.remove(session)
        self._account.pay_later(session)
        self._charged.append(session)

    def fail(self) -> None:
        session = self._one(*self._waiting)
        self._waiting.remove(session)
        self._account.fail_later(session)

    def refund(self) -> None:
        session = self._one(*self._charged)
        charge = self._account.objects[self._account.charge_of(session)]
        if left := charge["amount"] - charge["amount_refunded"]:
            self._refunds.append(self._account.refund(session, self._one(left, min(left, 400))))

    def fail_refund(self) -> None:
        refund = self._one(*self._refunds)
        self._refunds.remove(refund)
        self._account.fail_refund(refund)

    def dispute(self) -> None:
        self._disputes.append(self._account.dispute(self._one(*self._charged)))

    def close_dispute(self) -> None:
        dispute = self._one(*self._disputes)
        self._disputes.remove(dispute)
        self._account.close_dispute(dispute, self._one("won", "lost"))

    def _names(self) -> dict[str, str]:
        if not self._metadata:
            return {}
        named = {"user_id": self._one(None, *USERS), "marketing": self._one(None, None, "opt_in", "opt_out")}
        return {key: value for key, value in named.items() if value}

    def _one(self, *choices: Any) -> Any:
        return self._draw(st.sampled_from(choices))


def without_traces(value: Any) -> Any:
    """Documents without what says by which event they came to be so, which differs with the order of delivery.

    So does what was told: what is overtaken before it arrives is not told any more. And so does the record of consent
    (`said`), in which a sight of the metadata stays until an event explains it; what counts is the same.
    """
    if isinstance(value, dict):
        return {key: without_traces(found) for key, found in value.items() if key not in _TRACES}
    return [without_traces(found) for found in value] if isinstance(value, list) else value


_TRACES = {"as_of", "as_of_events", "mails", "reminders", "next_reminder_at", "said"}
