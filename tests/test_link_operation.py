"""An operator decides whose a customer is: links, unlinks, and the index goes along."""

from typing import Any

import pytest
from google.cloud.firestore import Client

from functions.accounts.owners import Owners
from functions.adapters.clock import SystemClock
from functions.adapters.firestore import FirestoreStore
from functions.adapters.stripe import StripeApi
from functions.execution import Executor
from functions.operations.link import main
from functions.reactions import index_customers
from functions.subscriber import Subscriber
from functions.topology import function
from local.account import Account, Line
from tests.directory import Directory
from tests.driving import SETTINGS, event

Json = dict[str, Any]


class Desk:
    """An operator at work on a database."""

    def __init__(self, client: Client) -> None:
        self.client, self.clock, self.directory = client, SystemClock(), Directory()
        store, stripe = FirestoreStore(client), StripeApi("sk_test_x", "http://127.0.0.1:9", self.clock)
        self.executor = Executor(
            store=store, stripe=stripe, mail=SETTINGS.mail, clock=self.clock, identity=self.directory
        )
        self.subscriber = Subscriber(
            function=function("index_customers"),
            react=index_customers.react,
            settings=SETTINGS,
            store=store,
            stripe=stripe,
            clock=self.clock,
            log=lambda *_, **__: None,
        )

    def deliver(self, data: Json) -> None:
        self.subscriber.apply(event(data))

    def decide(self, customer: str, user_id: str | None, *, tell_tokens: bool = False) -> tuple[str, str]:
        owners = Owners(self.executor, tell_tokens=tell_tokens)
        decision = owners.give(customer, user_id, by="operator") if user_id else owners.take(customer)
        return decision.outcome, decision.reason

    def document(self, path: str) -> Json:
        """Its fields, none where there is no such document."""
        return self.client.document(path).get().to_dict() or {}


@pytest.fixture
def desk(firestore_client: Client) -> Desk:
    return Desk(firestore_client)


@pytest.fixture
def account() -> Account:
    return Account(now=1_790_000_000)


def test_a_customer_is_linked_and_the_index_says_so(desk: Desk, account: Account) -> None:
    customer = account.create_customer(email="hana@example.com")
    desk.deliver(account.events[0])
    assert desk.decide(customer, "hana") == ("applied", "")
    found = desk.document(f"customers/{customer}")
    assert (found["user_id"], found["linked_by"]) == ("hana", "operator")
    assert desk.document("customer_index/user:hana") == {
        "customers": [customer],
        "primary": customer,
        "entries": {customer: {"created": 1_790_000_000, "plans": []}},
    }


def test_a_customer_is_moved_from_one_user_to_another(desk: Desk, account: Account) -> None:
    customer = account.create_customer(email="hana@example.com", metadata={"user_id": "wrong"})
    desk.deliver(account.events[0])
    desk.decide(customer, "right")
    assert desk.document("customer_index/user:wrong") == {}
    assert desk.document("users/wrong") == {}
    users = desk.document("users/right")
    assert users["customers"] == [customer]


def test_what_an_operator_linked_no_event_takes_back(desk: Desk, account: Account) -> None:
    customer = account.create_customer(email="hana@example.com", metadata={"user_id": "wrong"})
    desk.deliver(account.events[0])
    desk.decide(customer, "right")
    account.wait(5)
    account.update_customer(customer, name="Hana")
    desk.deliver(account.events[1])
    found = desk.document(f"customers/{customer}")
    assert (found["user_id"], found["name"]) == ("right", "Hana")


def test_an_unlinked_customer_is_nobodys_and_stays_so(desk: Desk, account: Account) -> None:
    customer = account.create_customer(email="hana@example.com", metadata={"user_id": "wrong"})
    desk.deliver(account.events[0])
    assert desk.decide(customer, None) == ("applied", "")
    account.wait(5)
    account.update_customer(customer, name="Hana")
    desk.deliver(account.events[1])
    found = desk.document(f"customers/{customer}")
    assert (found["user_id"], found["name"], found["conflicts"]) == (None, "Hana", 0)
    assert desk.document("customer_index/user:wrong") == {}


def test_somebody_new_may_claim_what_was_unlinked(desk: Desk, account: Account) -> None:
    customer = account.create_customer(email="hana@example.com", metadata={"user_id": "wrong"})
    desk.deliver(account.events[0])
    desk.decide(customer, None)
    account.wait(5)
    session = account.open_session([Line("Mug", 1400)], customer=customer, client_reference_id="right")
    account.complete(session, email="hana@example.com")
    desk.deliver(account.events[-1])
    found = desk.document(f"customers/{customer}")
    assert found["user_id"] == "right"


@pytest.mark.parametrize("user_id", ["hana", None])
def test_the_same_decision_twice_is_one(desk: Desk, account: Account, user_id: str | None) -> None:
    customer = account.create_customer(email="hana@example.com", metadata={"user_id": "first"})
    desk.deliver(account.events[0])
    desk.decide(customer, user_id)
    before = desk.document(f"customers/{customer}")
    outcome, _ = desk.decide(customer, user_id)
    after = desk.document(f"customers/{customer}")
    assert outcome == ("duplicate" if user_id else "ignored")
    assert (before["user_id"], before["conflicts"]) == (after["user_id"], after["conflicts"])


def test_the_tokens_of_both_users_are_told(desk: Desk, account: Account) -> None:
    customer = account.create_customer(email="hana@example.com", metadata={"user_id": "wrong"})
    desk.deliver(account.events[0])
    desk.client.document(f"customers/{customer}").update({"plans": ["club"]})
    desk.directory.sign_up("wrong", None)
    desk.directory.sign_up("right", None)
    desk.directory.plans["wrong"] = ("club",)
    desk.decide(customer, "right", tell_tokens=True)
    assert desk.directory.plans == {"wrong": (), "right": ("club",)}


def test_a_customer_nobody_knows_is_not_made_up(desk: Desk) -> None:
    assert desk.decide("cus_none", "hana") == ("ignored", "no such customer")
    assert desk.document("customers/cus_none") == {}


@pytest.mark.parametrize("user", ["", "  "])
def test_a_shell_variable_that_is_not_set_unlinks_nobody(user: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["cus_1", "--user", user], {})
    assert "is empty" in capsys.readouterr().err


def test_the_command_says_which_setting_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cus_1", "--user", "hana"], {}) == 2
    assert "GOOGLE_CLOUD_PROJECT is not set" in capsys.readouterr().err


def test_the_command_links(desk: Desk, account: Account, project: str, capsys: pytest.CaptureFixture[str]) -> None:
    customer = account.create_customer(email="hana@example.com")
    desk.deliver(account.events[0])
    environ = {
        "GOOGLE_CLOUD_PROJECT": project,
        "STRIPE_API_KEY": "sk_test_x",
        "BRAND_NAME": "Shop",
        "SUPPORT_EMAIL": "support@example.com",
    }
    assert main([customer, "--user", "hana"], environ) == 0
    assert capsys.readouterr().out == f"{customer} is linked to hana.\n"
    assert main([customer, "--unlink"], environ) == 0
    assert main(["cus_none", "--unlink"], environ) == 1
