"""An audit names what is not as Stripe has it, and nothing else; a repair makes it so, and nobody is written to.

On the Firestore emulator with the local Stripe API behind the official client, and for any story in memory.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from functions.accounts.settings import AccountSettings
from functions.adapters.walk import FirestoreWalk
from functions.effects import Fetch
from functions.errors import Permanent, Retry
from functions.operations.audit import as_json, as_lines, main
from functions.operations.audit_compare import Difference
from functions.operations.auditing import Audit, Report
from functions.operations.backfill import subscribers
from functions.operations.rehearsal import Rehearsal
from functions.store import Store
from functions.stripe_events import StripeEvent, event_of
from local import stripe_api as local
from local.account import Account, Line
from local.billing import BillingAccount
from tests.billing_stories import billing_accounts
from tests.driving import SETTINGS
from tests.stories import accounts
from tests.test_backfill import MONTHLY, Bench, bench, busy, server
from tests.test_reconcile import in_memory
from tests.test_webhook import MovableClock

__all__ = ["bench", "server"]  # fixtures
Json = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent
_PATHS = {
    "/v1/customers": "customer",
    "/v1/subscriptions": "subscription",
    "/v1/checkout/sessions": "checkout.session",
}


class InMemory:
    """Stripe's lists and objects, from an account, three a page."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.pages = 0

    def page(self, path: str, filters: dict[str, Any], after: str | None) -> tuple[list[Json], bool]:
        self.pages += 1
        listed = [
            each
            for each in self._account.api_objects()
            if each["object"] == _PATHS[path]
            and not each.get("deleted")
            and filters.get("status") in {None, "all", each.get("status")}
        ]
        listed.sort(key=lambda each: (each["created"], each["id"]), reverse=True)
        ids = [each["id"] for each in listed]
        rest = listed[ids.index(after) + 1 if after else 0 :]
        return rest[:3], len(rest) > 3

    def fetch(self, request: Fetch, event: StripeEvent | None) -> Json:
        assert event is None or event.id
        found = {each["id"]: each for each in self._account.api_objects()}
        if request.kind == "event":
            return next(each for each in self._account.events if each["id"] == request.id)
        if request.kind == "invoice_payments":
            payments = [each for each in found.values() if each["object"] == "invoice_payment"]
            return {"data": [each for each in payments if each["payment"]["payment_intent"] == request.id]}
        if request.id not in found:
            raise Permanent(f"Stripe has no {request.kind} {request.id}")
        if request.kind == "line_items":
            return {"data": found[request.id]["line_items"]}
        if request.kind == "unpaid_session":
            listed = {"data": found[request.id]["line_items"], "has_more": False}
            return found[request.id] | {"payment_intent": None, "line_items": listed}
        if request.kind == "subscription_items":
            return dict(found[request.id]["items"])
        return found[request.id]


class Kept:
    """The documents of a rehearsal, gone through as those of a database."""

    def __init__(self, store: Rehearsal) -> None:
        self._store = store

    def documents(self, collection: str, fields: Sequence[str]) -> Iterator[list[tuple[str, Json]]]:
        depth = 2 if collection == "customers" else 4
        yield [
            (path, {name: each.fields[name] for name in fields if name in each.fields})
            for path, each in self._store._written.items()
            if each.fields is not None and path.count("/") == depth - 1 and path.split("/")[depth - 2] == collection
        ]


def told(store: Store, stripe: Any, clock: MovableClock, events: Sequence[Json]) -> None:
    """What the functions make of events, one after the other."""
    for each in subscribers(SETTINGS, store, stripe, clock, None):
        for data in events:
            if data["type"] in each.function.event_types:
                each.apply(event_of(data))


def audit_of(account: Account, store: Rehearsal) -> Audit:
    stripe, clock = InMemory(account), MovableClock(account.now + 120)
    return Audit(
        stripe=stripe,
        store=store,
        walk=Kept(store),
        clock=clock,
        settings=SETTINGS,
        functions=subscribers(SETTINGS, store, stripe, clock, None),
        livemode=False,
    )


@settings(max_examples=150)
@given(data=st.data(), account=accounts() | billing_accounts())
def test_where_every_event_came_nothing_differs_in_whatever_order(data: st.DataObject, account: Account) -> None:
    store = in_memory()
    events = data.draw(st.permutations(account.events))
    told(store, InMemory(account), MovableClock(account.now), events)
    assert audit_of(account, store).run() == Report(looked_at=_counts(account))


def _counts(account: Account) -> Any:
    report = Report()
    for each in account.objects.values():
        if each["object"] == "customer" and not each.get("deleted"):
            report.looked_at["customers"] += 1
        if each["object"] == "subscription":
            report.looked_at["subscriptions"] += 1
        if each["object"] == "checkout.session" and each["status"] == "complete" and each["payment_status"] != "unpaid":
            report.looked_at["sessions"] += 1
    # A list without anything has been looked at too.
    for name in ("customers", "subscriptions", "sessions"):
        report.looked_at[name] += 0
    return report.looked_at


@settings(max_examples=100)
@given(data=st.data(), account=accounts() | billing_accounts())
def test_whatever_never_came_a_repair_leaves_no_difference(data: st.DataObject, account: Account) -> None:
    store = in_memory()
    told(
        store,
        InMemory(account),
        MovableClock(account.now),
        [each for each in account.events if data.draw(st.booleans())],
    )
    report = audit_of(account, store).run(repair=True)
    note(str(report.differences))
    assert report.remaining == []
    assert report.is_right
    assert audit_of(account, store).run().differences == []


def the_audit(bench: Bench, **changes: Any) -> Audit:
    stripe = bench.stripe()
    wired: dict[str, Any] = {
        "stripe": stripe,
        "store": bench.database,
        "walk": FirestoreWalk(bench.client, page=3),
        "clock": bench.clock,
        "settings": bench.settings,
        "functions": subscribers(bench.settings, bench.database, stripe, bench.clock, bench.directory),
        "livemode": False,
    }
    return Audit(**{**wired, **changes})


def test_a_busy_account_has_no_difference_and_each_page_costs_a_call_and_a_read(
    bench: Bench, server: local.StripeApi
) -> None:
    busy(bench.account)
    bench.deliver(bench.account.events)
    bench.serve()
    server.forget_requests()
    before, slept = bench.documents(), bench.clock.time
    report = the_audit(bench).run()
    assert report.differences == []
    # The unpaid one and the one that expired are none.
    assert dict(report.looked_at) == {"customers": 6, "subscriptions": 6, "sessions": 7}
    assert len(server.requests()) == 3
    assert bench.clock.time == slept
    assert bench.documents() == before


def _is_waiting(found: Json) -> bool:
    return bool(found.get("payment_status") == "unpaid" and found["status"] == "complete")


def test_each_kind_of_difference_is_named_without_what_stands_in_it_and_repaired_in_silence(bench: Bench) -> None:
    account = bench.account
    busy(account)
    bench.deliver(account.events)
    mails = bench.mails()
    customers = [key for key, each in account.objects.items() if each["object"] == "customer"]
    subscriptions = [key for key, each in account.objects.items() if each["object"] == "subscription"]
    account.wait(3600)
    # None of this arrives.
    account.update_customer(customers[0], email="secret@example.com", name="Secret Name")
    account.delete_customer(customers[1])
    new = account.create_customer(email="new@example.com", metadata={"user_id": "user_new"})
    canceled = next(each for each in reversed(subscriptions) if account.objects[each]["status"] == "active")
    holder = account.objects[canceled]["customer"]
    account.cancel(canceled)
    session = account.open_session([Line("Jug", 700)], client_reference_id="user_jug")
    account.complete(session, email="jug@example.com")
    unpaid = next(key for key, each in account.objects.items() if _is_waiting(each))
    account.pay_later(unpaid)
    # And this is nothing Stripe knows of.
    bench.client.document("customers/cus_Ghost").set({"livemode": False, "deleted": False, "as_of": 1})
    bench.client.document("customers/cus_Other").set({"livemode": True, "deleted": False, "as_of": 1})
    bench.client.document("customers/cus_Ghost/orders/cs_Ghost").set({"livemode": False, "status": "paid"})
    bench.client.document("elsewhere/x/orders/cs_Theirs").set({"livemode": False, "status": "paid"})
    bench.serve()
    before = bench.documents()
    report = the_audit(bench).run()
    assert bench.documents() == before
    found = {(each.kind, each.document, each.list): each for each in report.differences}
    assert set(found["stale", f"customers/{customers[0]}", "customers"].fields) == {"email", "name"}
    assert "deleted" in found["stale", f"customers/{customers[1]}", "customers"].fields
    assert found["missing", f"customers/{new}", "customers"].fields == ()
    assert "status" in found["stale", f"customers/{holder}/subscriptions/{canceled}", "subscriptions"].fields
    assert "plans" in found["stale", f"customers/{holder}", "subscriptions"].fields
    assert ("missing", "users/user_new", "customers") in found
    assert ("missing", "users/user_jug", "sessions") in found
    assert {each.document for each in report.differences if each.kind == "extra"} == {
        "customers/cus_Ghost",
        "customers/cus_Ghost/orders/cs_Ghost",
    }
    assert {each.kind for each in report.differences if each.list == "sessions" and each.id == session} == {"missing"}
    said = json.dumps(as_json(report)) + "\n".join(as_lines(report))
    assert "example.com" not in said
    assert "Secret" not in said
    assert not report.is_right

    repaired = the_audit(bench).run(repair=True)
    assert repaired.remaining is not None
    assert {each.kind for each in repaired.remaining} == {"extra"}
    assert bench.mails() == mails
    assert bench.get(f"customers/{customers[0]}")["email"] == "secret@example.com"
    assert bench.get(f"customers/{customers[1]}")["deleted"]
    assert bench.get(f"customers/{holder}/subscriptions/{canceled}")["status"] == "canceled"
    assert "after the repair:" in as_lines(repaired)
    assert the_audit(bench, walk=None).run().differences == []


def test_an_event_that_arrives_meanwhile_is_no_difference(bench: Bench) -> None:
    account = bench.account
    customer = account.create_customer(email="a@example.com")
    bench.deliver(account.events)
    account.wait(600)
    account.update_customer(customer, email="b@example.com")
    other = account.create_customer(email="c@example.com")
    bench.serve()

    class Arriving(MovableClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            bench.deliver(account.events)

    report = the_audit(bench, clock=Arriving(bench.clock.time)).run()
    assert report.differences == []
    assert report.looked_at["customers"] == 2
    assert bench.get(f"customers/{other}")["email"] == "c@example.com"


def test_what_was_said_about_offers_is_not_taken_back_by_a_repair(bench: Bench) -> None:
    """The box on the page of an old session must not count as ticked today."""
    account = bench.account
    customer = account.create_customer(email="a@example.com")
    session = account.open_session([Line("Tea", 500)], customer=customer, consent={"promotions": "opt_in"})
    account.wait(60)
    account.complete(session, email="a@example.com")
    bench.deliver(account.events)
    refused = {"status": "opt_out", "at": account.now + 100, "by": "unsubscribe"}
    path = f"customers/{customer}"
    bench.client.document(path).update({"marketing": refused | {"said": {"unsubscribe": refused}}})
    bench.client.document(f"{path}/orders/{session}").update({"amount_total": 1})
    account.wait(3600)
    bench.serve()
    report = the_audit(bench).run(repair=True)
    assert [(each.kind, each.fields) for each in report.differences] == [("stale", ("amount_total",))]
    assert report.remaining == []
    assert bench.get(path)["marketing"]["status"] == "opt_out"
    assert bench.get(f"{path}/orders/{session}")["amount_total"] == 500
    assert bench.get(f"{path}/orders/{session}")["paid_at"] == account.events[-1]["created"]


def test_who_claimed_a_customer_first_keeps_it(bench: Bench) -> None:
    account = bench.account
    customer = account.create_customer(email="a@example.com", metadata={"user_id": "ann"})
    session = account.open_session([Line("Tea", 500)], customer=customer, client_reference_id="bob")
    account.wait(60)
    account.complete(session, email="a@example.com")
    bench.deliver(account.events)
    before = bench.get(f"customers/{customer}")
    assert (before["user_id"], before["conflicts"]) == ("ann", 1)
    bench.client.document(f"customers/{customer}/orders/{session}").update({"amount_total": 1})
    bench.serve()
    the_audit(bench).run(repair=True)
    after = bench.get(f"customers/{customer}")
    assert (after["user_id"], after["conflicts"], after["linked_at"]) == ("ann", 1, before["linked_at"])


def test_accounts_are_told_by_a_repair_and_none_is_made(bench: Bench) -> None:
    bench.settings = replace(SETTINGS, accounts=AccountSettings(create=True, claims=True, provider="firebase"))
    account = bench.account
    customer = account.create_customer(email="a@example.com", metadata={"user_id": "ann"})
    account.subscribe(customer, [MONTHLY])
    account.create_customer(email="nobody@example.com")
    bench.directory.sign_up("ann", "a@example.com")
    bench.serve()
    report = the_audit(bench).run(repair=True)
    assert report.remaining == []
    assert bench.directory.plans == {"ann": ("monthly",)}
    assert bench.directory.created == {}
    assert bench.get("users/ann")["plans"] == ["monthly"]
    assert bench.mails() == []


def test_what_cannot_be_read_is_said_and_what_does_not_answer_ends_it(bench: Bench, server: local.StripeApi) -> None:
    account = bench.account
    account.create_customer(email="a@example.com")
    bench.deliver(account.events)
    bench.serve()
    broken = {"id": "sub_x", "object": "subscription", "created": 1, "customer": "cus_x", "status": "active"}
    server.put([broken])
    report = the_audit(bench).run()
    assert [(name, found) for name, found, _ in report.unreadable] == [("subscriptions", "sub_x")]
    assert not report.is_right
    assert any(line.startswith("not readable: subscriptions sub_x") for line in as_lines(report))
    server.set_faults([{"path": "/v1/customers", "status": 503, "should_retry": "false"}])
    with pytest.raises(Retry):
        the_audit(bench).run()


def test_the_command_says_by_its_exit_code_whether_all_is_right(
    bench: Bench, project: str, server: local.StripeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    account = BillingAccount(now=1_790_000_000, prefix="C")
    bench.account = account
    account.create_customer(email="a@example.com", metadata={"user_id": "ann"})
    bench.serve()
    environ = os.environ | {
        "GOOGLE_CLOUD_PROJECT": project,
        "STRIPE_API_KEY": "sk_test_x",
        "STRIPE_API_BASE": server.url,
        "FIRESTORE_DATABASE": "(default)",
        "IDENTITY": "none",
        "ACCOUNTS": "link",
        "CLAIMS": "off",
        "BRAND_NAME": "Shop",
        "SUPPORT_EMAIL": "support@example.com",
    }

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "functions.operations.audit", *arguments]
        return subprocess.run(words, env=environ, cwd=ROOT, capture_output=True, text=True, check=False)

    repaired = command("--repair", "--json")
    assert repaired.returncode == 0, repaired.stderr
    report = json.loads(repaired.stdout)
    assert {each["kind"] for each in report["differences"]} == {"missing"}
    assert report["remaining"] == []
    done = command()
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "no difference"), done.stderr
    bench.client.document("customers/cus_Ghost").set({"livemode": False, "deleted": False})
    assert command().returncode == 1
    assert command("--no-extra").returncode == 0
    assert main([], {"GOOGLE_CLOUD_PROJECT": project}) == 2
    assert "STRIPE_API_KEY" in capsys.readouterr().err


def test_many_differences_are_counted_and_the_first_ones_shown() -> None:
    differences = [
        Difference(list="customers", id=f"cus_{number}", kind="missing", document=f"customers/cus_{number}")
        for number in range(60)
    ]
    lines = as_lines(Report(differences=differences))
    assert lines[0] == "missing: 60 of customers"
    assert lines[-1] == "  and 10 more: see --json"
