"""A back-fill that is broken off, in every way, goes on where it was and ends as if nothing had happened."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from io import StringIO
from random import Random
from typing import Any

import pytest
from google.cloud.firestore import Client

from functions.accounts.budget import Budget
from functions.adapters.stripe import StripeApi
from functions.effects import Create, Delete, Effect, Fetch, Json, Merge, Put
from functions.errors import Conflict, Permanent, Retry, Unexpected
from functions.operations.ahead import ReadAhead
from functions.operations.backfill import main
from functions.operations.backfilling import PAUSES_SECONDS, Result
from functions.operations.book import Place, Refused, Tally
from functions.operations.budgeted import Budgeted
from functions.operations.lists import LISTS, Stripe
from functions.operations.rehearsal import Rehearsal
from functions.operations.showing import Bars, Lines, as_json, as_lines, show
from functions.store import Found
from functions.stripe_events import StripeEvent
from local import stripe_api as local
from local.billing import BillingAccount
from tests.test_backfill import MONTHLY, ROOT, START, Bench, Seen, bench, busy, server, state

__all__ = ["bench", "server"]

LIST_NAMES = [each.name for each in LISTS]


class Breaking:
    """Stripe, until the call with that number fails in a way that nobody thought of."""

    def __init__(self, stripe: Stripe, at_call: int) -> None:
        self._stripe = stripe
        self._left = at_call

    def page(self, path: str, filters: dict[str, Any], after: str | None) -> tuple[list[Json], bool]:
        self._count()
        return self._stripe.page(path, filters, after)

    def fetch(self, request: Fetch, event: StripeEvent | None) -> Json:
        self._count()
        return self._stripe.fetch(request, event)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise ZeroDivisionError


class ShortPages:
    """Stripe with three objects a page, so that a small account has many."""

    def __init__(self, stripe: Stripe) -> None:
        self._stripe = stripe

    def page(self, path: str, filters: dict[str, Any], after: str | None) -> tuple[list[Json], bool]:
        found, has_more = self._stripe.page(path, filters, after)
        return found[:3], has_more or len(found) > 3

    def fetch(self, request: Fetch, event: StripeEvent | None) -> Json:
        return self._stripe.fetch(request, event)


def elsewhere(bench: Bench) -> Bench:
    """The same account and another database."""
    return Bench(Client(project=f"test-{secrets.token_hex(6)}"), bench.served, bench.account)


@pytest.fixture
def undisturbed(bench: Bench) -> Bench:
    busy(bench.account)
    other = elsewhere(bench)
    other.run()
    bench.serve()
    return other


@pytest.mark.parametrize("seed", range(6))
def test_broken_off_anywhere_it_goes_on_from_the_page_it_was_at(bench: Bench, undisturbed: Bench, seed: int) -> None:
    random = Random(seed)
    result: Result | None = None
    broken = 0
    while result is None:
        stripe = ShortPages(Breaking(bench.stripe(), random.randint(4, 9) + broken))
        cursors = {name: place["cursor"] for name, place in _places(bench).items()}
        # Where the list itself is broken off nobody can say of which object.
        with suppress(Unexpected, ZeroDivisionError):
            result = bench.backfill(stripe=stripe).run()
        broken += result is None
        begun = {name: cursor for name, cursor, _ in bench.progress.begun}
        assert all(begun[name] == cursor for name, cursor in cursors.items() if name in begun)
        bench.progress.begun.clear()
        bench.clock.sleep(60)
    assert broken > 2
    assert state(bench.documents()) == state(undisturbed.documents())
    assert bench.mails() == []
    # What the pages say that were completely applied is counted once, however often the others were begun.
    assert {name: place.seen for name, place in result.places.items()} == {
        name: place["seen"] for name, place in undisturbed.book()["lists"].items()
    }


def _places(bench: Bench) -> Json:
    book: Json = bench.client.document("operations/backfill").get().to_dict() or {"lists": {}}
    return dict(book["lists"])


def test_what_does_not_answer_is_asked_again_and_then_ends_the_run(bench: Bench) -> None:
    busy(bench.account)
    bench.serve()
    bench.served.set_faults([{"path": "/v1/invoices", "status": 503, "should_retry": "false"}])
    began = bench.clock.time
    with pytest.raises(Retry, match="503"):
        bench.backfill().run()
    assert bench.clock.time - began >= sum(PAUSES_SECONDS)
    assert bench.book()["lists"]["subscriptions"]["is_done"]
    assert bench.book()["finished_at"] is None
    bench.served.set_faults([{"path": "/v1/invoices", "status": 503, "should_retry": "false", "times": 2}])
    result = bench.backfill().run()
    assert result.finished_at
    assert bench.book()["finished_at"] == result.finished_at


def test_of_two_at_once_the_later_one_goes_on(bench: Bench, undisturbed: Bench) -> None:
    class Overtaken(Seen):
        def advance(self, name: str, looked_at: int, tally: Tally) -> None:
            super().advance(name, looked_at, tally)
            if len(self.pages) == 3:
                # From the page that the first one has just finished.
                bench.backfill(stripe=ShortPages(bench.stripe())).run()

    first = bench.backfill(stripe=ShortPages(bench.stripe()), progress=Overtaken())
    with pytest.raises(Refused, match="Another back-fill has been started since"):
        first.run()
    assert bench.book()["finished_at"]
    assert state(bench.documents()) == state(undisturbed.documents())


def test_only_some_lists_and_those_anew(bench: Bench) -> None:
    busy(bench.account)
    assert bench.run("customers").places["invoices"].seen == 0
    result = bench.run("customers", "invoices", restart=True)
    assert result.finished_at is None
    assert (result.places["customers"].seen, result.places["customers"].is_done) == (6, True)
    done = {name for name, place in bench.run("invoices", restart=True).places.items() if place.is_done}
    assert done == {"customers", "invoices"}
    assert bench.run().finished_at


def test_the_place_of_one_mode_is_none_in_the_other(bench: Bench) -> None:
    busy(bench.account)
    bench.run("customers")
    place = bench.client.document("operations/backfill")
    place.update({"livemode": True})
    with pytest.raises(Refused, match="was in live mode"):
        bench.run()
    assert bench.run(restart=True).finished_at


def test_a_cursor_of_another_account_is_said(bench: Bench) -> None:
    busy(bench.account)
    bench.serve()
    with pytest.raises((Unexpected, ZeroDivisionError)):
        bench.backfill(stripe=ShortPages(Breaking(bench.stripe(), 1))).run()
    bench.served.clear()
    with pytest.raises(Permanent, match="Stripe has nothing at GET /v1/customers"):
        bench.backfill().run()


def test_it_keeps_to_the_budget_that_all_instances_share(bench: Bench) -> None:
    busy(bench.account)
    bench.serve()
    bench.served.forget_requests()
    budget = Budget(bench.database, bench.clock, per_second=20)
    began = bench.clock.time
    backfill = bench.backfill(stripe=Budgeted(StripeApi("sk_test_x", bench.served.url, bench.clock, retries=0), budget))
    # One thread: the clock of the tests adds up what several sleep at the same time.
    assert replace(backfill, concurrency=1).run().finished_at
    assert bench.clock.time - began > (len(bench.served.requests()) - 1) / 20


def test_a_process_that_is_killed_is_gone_on_with(bench: Bench, server: local.StripeApi, project: str) -> None:
    account = BillingAccount(now=START, prefix="K")
    for number in range(220):
        account.wait(1)
        account.subscribe(account.create_customer(email=f"{number}@example.com"), [MONTHLY])
    bench.account = account
    bench.serve()
    environ = os.environ | {
        "GOOGLE_CLOUD_PROJECT": project,
        "STRIPE_API_KEY": "sk_test_x",
        "STRIPE_API_BASE": server.url,
        # Whatever stands in somebody's .env.
        "FIRESTORE_DATABASE": "(default)",
        "IDENTITY": "none",
        "ACCOUNTS": "link",
        "BRAND_NAME": "Shop",
        "SUPPORT_EMAIL": "support@example.com",
    }
    # Without payment methods, each of which would wait for its share of the budget.
    only = [f"--only={name}" for name in ("customers", "subscriptions", "invoices")]
    command = [sys.executable, "-m", "functions.operations.backfill", "--json", *only]
    with subprocess.Popen(command, env=environ, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not (_places(bench).get("customers") or {}).get("cursor") and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    broken_off = _places(bench)
    assert broken_off["customers"]["cursor"]
    assert not broken_off["invoices"]["is_done"]
    done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"goes on after {broken_off['customers']['cursor']}" in done.stderr or broken_off["customers"]["is_done"]
    report = json.loads(done.stdout)
    assert {name: report["lists"][name]["seen"] for name in ("customers", "subscriptions", "invoices")} == {
        "customers": 220,
        "subscriptions": 220,
        "invoices": 220,
    }
    other = elsewhere(bench)
    other.run("customers", "subscriptions", "invoices")
    assert state(bench.documents()) == state(other.documents())
    assert bench.mails() == []


def test_a_wrong_setting_is_said_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], {"GOOGLE_CLOUD_PROJECT": "demo"}) == 2
    assert "STRIPE_API_KEY" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--only", "coupons"], ["--concurrency", "0"], ["--concurrency", "many"]])
def test_a_wrong_argument_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments, {})
    assert "usage: python -m functions.operations.backfill" in capsys.readouterr().err


def test_the_report_is_a_table_lines_or_json(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    busy(bench.account)
    bench.serve()
    bench.served.put([{"id": "sub_broken", "object": "subscription", "created": START, "status": "active"}])
    lines = StringIO()
    result = bench.backfill(progress=Lines(lines)).run()
    assert "sessions: 8 seen, 8 applied, 0 unchanged, 0 failed\n" in lines.getvalue()
    show(result)
    table = capsys.readouterr().out
    for said in ("payment_methods", "linked by client_reference_id", "unlinked: nobody named", "sub_broken"):
        assert said in table
        assert any(said in line for line in as_lines(result))
    assert as_json(result)["customers"]["linked"] == {"client_reference_id": 5, "metadata": 1}
    with Bars() as bars:
        bars.begin("customers", Place(cursor="cus_1", seen=3, applied=3), None)
        bars.advance("customers", 2, Tally(seen=2, applied=1, unchanged=1))
        bars.begin("payment_methods", Place(), 5)
        bars.advance("payment_methods", 5, Tally())
        bars.begin("invoices", Place(is_done=True), None)


class Remembered:
    """A database of one document."""

    def __init__(self) -> None:
        self.reads: list[list[str]] = []

    def read(self, paths: Any) -> Mapping[str, Found]:
        self.reads.append(list(paths))
        return {path: Found({"a": 1}, "v1") if path == "c/there" else Found(None) for path in paths}

    def commit(self, effects: Any, found: Any) -> None:
        raise AssertionError(f"a rehearsal writes nothing: {effects} {found}")


def test_a_rehearsal_keeps_what_would_be_there() -> None:
    store = Rehearsal(Remembered())
    effects: list[Effect] = [Merge("c/there", {"b": 2}), Create("c/new", {"x": 1})]
    found = store.read(["c/there", "c/new"])
    store.commit(effects, found)
    assert store.read(["c/there"])["c/there"].fields == {"a": 1, "b": 2}
    with pytest.raises(Conflict):
        store.commit([Put("c/there", {})], found)
    with pytest.raises(Conflict):
        store.commit([Put("c/there", {}), Create("c/new", {})], {})
    assert store.read(["c/there"])["c/there"].fields == {"a": 1, "b": 2}
    store.commit([Delete("c/new")], {})
    assert store.read(["c/new"])["c/new"].fields is None


def test_what_was_read_ahead_is_handed_out_once() -> None:
    below = Remembered()
    store = ReadAhead(below)
    store.prepare(["c/there", "c/new"])
    assert store.read(["c/there", "c/other"])["c/there"].version == "v1"
    store.read(["c/there"])
    store.prepare([])
    store.read(["c/new"])
    assert below.reads == [["c/there", "c/new"], ["c/other"], ["c/there"], ["c/new"]]
