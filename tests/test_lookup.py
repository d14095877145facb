"""Whose customer is this: one read where it is known, and Stripe asked within its budget where it is not.

On the Firestore emulator, with the local Stripe API behind the official client, as `build` wires it.
"""

import io
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.cloud.firestore import Client

from functions import paths
from functions.accounts.budget import PER_SECOND, Budget
from functions.accounts.customers import Customers
from functions.accounts.lookup import MISS_SECONDS, STALE_SECONDS, Lookup
from functions.accounts.question import MAX_CHARACTERS
from functions.adapters.clock import SystemClock
from functions.adapters.firestore import FirestoreStore
from functions.adapters.stripe import StripeApi
from functions.clock import Clock
from functions.effects import Effect, Fetch, Json
from functions.errors import Permanent, Retry
from functions.execution import Executor
from functions.log import JsonLog
from functions.reactions import index_customers
from functions.store import Found, Store
from functions.stripe_events import StripeEvent
from functions.wiring import lookup_from
from local import stripe_api as local
from local.account import Account, Line
from local.passing import MovableClock
from tests.driving import SETTINGS, event

ROOT = Path(__file__).resolve().parent.parent
NOW = 1_790_000_000
EMAIL = "hana@example.com"
#: Ids that would change a search query if they could, or a document's path, and some that are merely unusual.
HOSTILE = [
    'x" OR metadata["user_id"]:"victim',
    'x"] OR email:"victim@example.com',
    "\\",
    '\\" OR metadata["user_id"]:"victim',
    '\\\\" OR -metadata["user_id"]:null OR metadata["user_id"]:"',
    "'victim'",
    '"',
    "victim\n",
    "line\none\r\ntwo",
    "tab\tand\0nul",
    "[victim]",
    "metadata['user_id']:'victim'",
    "a/b/../c",
    "__victim__",
    "ユーザー 1",
    "🙂" * 50,
    "v" * 200,
    'q"' * 100,
    "\\" * 199,
    "*",
    "VICTIM",
    " victim",
]


@dataclass
class Journal:
    """A store that counts the documents it reads."""

    store: Store
    reads: list[str] = field(default_factory=list)
    commits: int = 0

    def read(self, paths: Sequence[str]) -> Mapping[str, Found]:
        self.reads += paths
        return self.store.read(paths)

    def commit(self, effects: Iterable[Effect], found: Mapping[str, Found]) -> None:
        self.commits += 1
        self.store.commit(effects, found)


@dataclass
class Arrivals:
    """The official client's adapter, and when it was called."""

    api: StripeApi
    at: list[float] = field(default_factory=list)
    #: Held back for so long, as a slow answer is.
    delay_seconds: float = 0

    def _arrive(self) -> None:
        self.at.append(time.monotonic())
        time.sleep(self.delay_seconds)

    def fetch(self, request: Fetch, event: StripeEvent | None) -> Json:
        self._arrive()
        return self.api.fetch(request, event)

    def customers_with_email(self, email: str) -> list[Json]:
        self._arrive()
        return self.api.customers_with_email(email)

    def customers_of_user(self, key: str, user_id: str) -> list[Json]:
        self._arrive()
        return self.api.customers_of_user(key, user_id)


@dataclass
class Shop:
    """A Stripe account, the documents, and one instance that looks up."""

    account: Account
    served: local.StripeApi
    client: Client
    store: Journal
    stripe: Arrivals
    clock: Clock
    output: io.StringIO
    lookup: Lookup

    def publish(self) -> None:
        """The account as Stripe serves it now. No event is delivered."""
        self.served.put(self.account.api_objects())

    def deliver(self, since: int = 0) -> None:
        """Every event so far, from that one on, to `index_customers`."""
        for data in self.account.events[since:]:
            self.lookup.apply(event(data))

    def document(self, path: str) -> Json | None:
        found: Json | None = self.client.document(path).get().to_dict()
        return found

    def asked(self) -> list[Any]:
        return [(each["path"].removeprefix("/v1/"), each["query"]) for each in self.served.requests()]


Open = Callable[..., Shop]


@pytest.fixture(scope="module")
def server() -> Iterator[local.StripeApi]:
    with local.StripeApi() as running:
        yield running


@pytest.fixture
def open_shop(firestore_client: Client, server: local.StripeApi) -> Open:
    """An instance; several have the documents, the Stripe account and the budget in common."""
    server.clear()
    account = Account(now=NOW - 86_400)

    def build_one(*, clock: Clock | None = None, user_id_key: str = "user_id") -> Shop:
        clock = clock or MovableClock(NOW)
        store = Journal(FirestoreStore(firestore_client))
        stripe = Arrivals(StripeApi("sk_test_x", server.url, clock))
        output = io.StringIO()
        settings = replace(SETTINGS, user_id_key=user_id_key)
        executor = Executor(store=store, stripe=stripe, mail=settings.mail, clock=clock)
        lookup = Lookup(
            store=store,
            stripe=stripe,
            budget=Budget(store, clock),
            clock=clock,
            log=JsonLog(output),
            apply=lambda seen: executor.run(partial(index_customers.react, seen, settings), seen)[0],
            user_id_key=user_id_key,
        )
        return Shop(account, server, firestore_client, store, stripe, clock, output, lookup)

    return build_one


@pytest.fixture
def shop(open_shop: Open) -> Shop:
    return open_shop()


# What is known


def test_what_is_known_costs_one_read_and_no_call(shop: Shop) -> None:
    older = shop.account.create_customer(email=EMAIL, metadata={"user_id": "hana"})
    shop.account.wait(60)
    newer = shop.account.create_customer(email=" HANA@example.com", metadata={"user_id": "hana"})
    shop.deliver()
    both = Customers(customers=(newer, older), primary=newer, user_id="hana", source="index")
    answers: list[tuple[Json, Customers]] = [
        ({"user_id": "hana"}, both),
        ({"email": "Hana@Example.com "}, replace(both, user_id=None, is_user_known=False)),
        ({"customer": older}, replace(both, customers=(older,), primary=older)),
        ({"user_id": "hana", "email": "somebody.else@example.com"}, both),
    ]
    for asked, answer in answers:
        shop.store.reads.clear()
        commits = shop.store.commits
        assert shop.lookup.find(**asked) == answer
        assert (len(shop.store.reads), shop.store.commits - commits) == (1, 0)
    assert shop.asked() == []
    assert shop.output.getvalue() == ""


def test_a_customer_of_nobody_is_known_to_be_nobodys(shop: Shop) -> None:
    customer = shop.account.create_customer(email=EMAIL)
    shop.deliver()
    found = shop.lookup.find(customer=customer)
    assert found is not None
    assert (found.user_id, found.is_user_known) == (None, True)


def test_a_guest_is_found_like_anybody(shop: Shop) -> None:
    session = shop.account.open_session([Line("Tea", 500)], client_reference_id="hana")
    shop.account.complete(session, email=EMAIL)
    shop.deliver()
    found = shop.lookup.find(user_id="hana")
    assert found is not None
    assert found.primary.startswith("guest_")
    assert shop.lookup.find(user_id="hana") == replace(found, source="index")
    assert shop.lookup.find(customer=found.primary) == replace(found, source="index")
    assert shop.lookup.find(customer="guest_of_nobody") is None
    assert len(shop.asked()) == 1, "whether there is a real one is asked once"


def test_a_guest_does_not_hide_a_customer_of_before(shop: Shop) -> None:
    """Somebody Stripe knew before any event arrived here must not become a second customer."""
    customer = shop.account.create_customer(email=EMAIL, metadata={"user_id": "hana"})
    session = shop.account.open_session([Line("Tea", 500)], client_reference_id="hana")
    shop.account.complete(session, email=EMAIL)
    shop.publish()
    shop.deliver(since=1)
    found = shop.lookup.find(user_id="hana")
    assert found is not None
    assert found.primary == customer
    assert len(found.customers) == 2


# What is not known


@pytest.mark.parametrize("by", ["user_id", "email", "customer"])
def test_what_is_not_known_is_asked_once_and_then_known(shop: Shop, by: str) -> None:
    customer = shop.account.create_customer(email=EMAIL, name="Hana", metadata={"user_id": "hana"})
    shop.publish()
    everything: Json = {"user_id": "hana", "email": EMAIL, "customer": customer}
    asked: Json = {by: everything[by]}
    found = shop.lookup.find(**asked)
    assert found is not None
    assert (found.customers, found.primary, found.source) == ((customer,), customer, "stripe")
    assert len(shop.asked()) == 1
    # The same for whoever asks next, in each way.
    assert shop.lookup.find(**asked) == replace(found, source="index")
    for name, text in everything.items():
        assert shop.lookup.find(**{name: text}) is not None
    assert len(shop.asked()) == 1
    stored = shop.document(f"customers/{customer}")
    assert stored is not None
    assert (stored["name"], stored["user_id"], stored["linked_by"]) == ("Hana", "hana", "metadata")
    assert (shop.document("users/hana") or {})["customers"] == [customer]


def test_an_event_that_is_later_than_what_was_seen_counts(shop: Shop) -> None:
    customer = shop.account.create_customer(email=EMAIL)
    shop.publish()
    shop.account.now = NOW - STALE_SECONDS + 1
    shop.account.update_customer(customer, email="new@example.com")
    assert shop.lookup.find(customer=customer) is not None
    shop.deliver()
    found = shop.lookup.find(email="new@example.com")
    assert found is not None
    assert (found.primary, found.source) == (customer, "index")
    assert (shop.document(f"customers/{customer}") or {})["as_of"] == shop.account.now


def test_an_old_customer_is_not_welcomed(shop: Shop) -> None:
    shop.account.now = NOW - 30 * 86_400
    shop.account.create_customer(email=EMAIL)
    shop.publish()
    shop.lookup.find(email=EMAIL)
    assert list(shop.client.collection("mail").stream()) == []


def test_an_address_is_asked_for_as_typed_and_as_it_is_indexed(shop: Shop) -> None:
    typed = shop.account.create_customer(email="Hana@Example.com")
    lower = shop.account.create_customer(email=EMAIL)
    shop.publish()
    found = shop.lookup.find(email=" Hana@Example.com")
    assert found is not None
    assert set(found.customers) == {typed, lower}
    assert [query["email"] for _, query in shop.asked()] == ["Hana@Example.com", EMAIL]


def test_a_user_and_an_address_together(shop: Shop) -> None:
    """The address helps to find customers, and proves nothing about the user."""
    by_address = shop.account.create_customer(email=EMAIL)
    of_user = shop.account.create_customer(email="other@example.com", metadata={"user_id": "hana"})
    shop.publish()
    found = shop.lookup.find(user_id="hana", email=EMAIL)
    assert found is not None
    assert (found.customers, found.user_id) == ((of_user,), "hana")
    assert [path for path, _ in shop.asked()] == ["customers", "customers/search"]
    # The address is known from now on, and so are those that nobody has.
    known = shop.lookup.find(email=EMAIL)
    assert known is not None
    assert (known.customers, known.source) == ((by_address,), "index")
    assert shop.lookup.find(user_id="taro", email=EMAIL) is None
    assert [path for path, _ in shop.asked()] == ["customers", "customers/search", "customers/search"]
    assert shop.lookup.find(user_id="jiro", email="jiro@example.com") is None
    calls = len(shop.asked())
    assert shop.lookup.find(user_id="jiro", email="jiro@example.com") is None
    assert shop.lookup.find(email="jiro@example.com") is None
    assert len(shop.asked()) == calls


def test_a_customer_that_another_user_owns_is_not_found_by_the_second(shop: Shop) -> None:
    customer = shop.account.create_customer(email=EMAIL, metadata={"user_id": "first"})
    shop.deliver()
    shop.account.update_customer(customer, metadata={"user_id": "second"})
    shop.publish()
    assert shop.lookup.find(user_id="second") is None
    assert shop.lookup.find(user_id="second") is None
    assert len(shop.asked()) == 1
    found = shop.lookup.find(user_id="first")
    assert found is not None
    assert found.primary == customer


@pytest.mark.parametrize("is_known", [False, True])
def test_a_deleted_customer_is_nobody(shop: Shop, is_known: bool) -> None:
    customer = shop.account.create_customer(email=EMAIL, metadata={"user_id": "hana"})
    shop.account.delete_customer(customer)
    shop.publish()
    if is_known:
        shop.deliver()
    questions: list[Json] = [{"customer": customer}, {"user_id": "hana"}, {"email": EMAIL}]
    for asked in questions:
        assert shop.lookup.find(**asked) is None
    assert shop.lookup.find(customer=customer) is None
    assert len(shop.asked()) == (2 if is_known else 3)


# What Stripe does not have


@pytest.mark.parametrize("asked", [{"user_id": "hana"}, {"email": EMAIL}, {"customer": "cus_Nobody1"}], ids=str)
def test_a_miss_does_not_repeat_for_an_hour(shop: Shop, asked: Json) -> None:
    clock = shop.clock
    assert isinstance(clock, MovableClock)
    for _ in range(3):
        assert shop.lookup.find(**asked) is None
    assert len(shop.asked()) == 1
    clock.move(NOW + MISS_SECONDS - 1)
    assert shop.lookup.find(**asked) is None
    assert len(shop.asked()) == 1
    clock.move(NOW + MISS_SECONDS + 1)
    assert shop.lookup.find(**asked) is None
    assert shop.lookup.find(**asked) is None
    assert len(shop.asked()) == 2


def test_what_a_miss_leaves_has_the_form_of_an_entry_and_an_end(shop: Shop) -> None:
    shop.lookup.find(user_id="hana")
    entry = shop.document("customer_index/user:hana")
    assert entry is not None
    assert entry.pop("expires_at").timestamp() == NOW + MISS_SECONDS
    assert entry == {"customers": [], "primary": None, "entries": {}, "asked_at": NOW}
    indexes = json.loads((ROOT / "firestore.indexes.json").read_text("utf-8"))
    [override] = [
        each
        for each in indexes["fieldOverrides"]
        if (each["collectionGroup"], each["fieldPath"]) == ("customer_index", "expires_at")
    ]
    assert override["ttl"] is True


def test_a_customer_who_arrives_replaces_the_miss(shop: Shop) -> None:
    assert shop.lookup.find(user_id="hana", email=EMAIL) is None
    older = shop.account.create_customer(email=EMAIL, metadata={"user_id": "hana"})
    shop.account.wait(60)
    newer = shop.account.create_customer(email=EMAIL, metadata={"user_id": "hana"})
    shop.deliver()
    for key in (*paths.index_of_user("hana"), *paths.index_of_email(EMAIL)):
        entry = shop.document(key)
        assert entry is not None
        assert set(entry) == {"customers", "primary", "entries"}, "nothing lets it expire"
        assert (entry["customers"], entry["primary"]) == ([newer, older], newer)
    calls = len(shop.asked())
    found = shop.lookup.find(user_id="hana")
    assert found is not None
    assert (found.primary, found.source, len(shop.asked())) == (newer, "index", calls)


def test_a_customer_who_leaves_leaves_no_entry_and_no_miss(shop: Shop) -> None:
    assert shop.lookup.find(email="new@example.com") is None
    customer = shop.account.create_customer(email=EMAIL)
    shop.account.wait(60)
    shop.account.update_customer(customer, email="new@example.com")
    shop.account.wait(60)
    shop.account.delete_customer(customer)
    shop.deliver()
    assert shop.document("customer_index/email:new@example.com") is None
    assert shop.document(f"customer_index/email:{EMAIL}") is None


def test_a_customer_who_arrives_while_stripe_is_asked_is_not_overwritten(shop: Shop) -> None:
    customer = shop.account.create_customer(email=EMAIL, metadata={"user_id": "hana"})
    asked = shop.lookup.stripe.customers_of_user

    class Late(Arrivals):
        """Its search lags behind, and the event arrives meanwhile."""

        def customers_of_user(self, key: str, user_id: str) -> list[Json]:
            found = asked(key, user_id)
            shop.deliver()
            return found

    found = replace(shop.lookup, stripe=Late(shop.stripe.api)).find(user_id="hana")
    assert found is not None
    assert found.primary == customer
    assert (shop.document("customer_index/user:hana") or {})["primary"] == customer


# What people send


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({}, "give one of"),
        ({"user_id": "a", "customer": "cus_1"}, "give one of"),
        ({"customer": "cus_1", "email": EMAIL}, "give one of"),
        ({"user_id": "a", "customer": "cus_1", "email": EMAIL}, "give one of"),
        ({"user_id": ""}, "user_id is empty"),
        ({"email": " \n"}, "email is empty"),
        ({"user_id": "a", "email": ""}, "email is empty"),
        ({"user_id": "x" * (MAX_CHARACTERS + 1)}, "more than 512"),
        ({"email": "x" * (MAX_CHARACTERS + 1)}, "more than 512"),
        ({"user_id": "\ud83d"}, "no text"),
    ],
    ids=str,
)
def test_what_cannot_be_asked(shop: Shop, asked: Json, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        shop.lookup.find(**asked)
    assert (shop.store.reads, shop.asked()) == ([], [])


@pytest.mark.parametrize("user_id", HOSTILE)
def test_a_user_id_cannot_leave_the_query(shop: Shop, user_id: str) -> None:
    victim = shop.account.create_customer(email="victim@example.com", metadata={"user_id": "victim"})
    shop.publish()
    assert shop.lookup.find(user_id=user_id) is None
    [(path, _)] = shop.asked()
    assert path == "customers/search"
    assert [each["status"] for each in shop.served.requests()] == [200]
    # And whoever really has that id is found by it.
    shop.account.create_customer(email=EMAIL, metadata={"user_id": f"{user_id}!"})
    shop.publish()
    found = shop.lookup.find(user_id=f"{user_id}!")
    assert found is not None
    assert found.user_id == f"{user_id}!"
    assert victim not in found.customers


def test_a_hostile_customer_id_reaches_neither_stripe_nor_another_document(shop: Shop) -> None:
    customer = shop.account.create_customer(email=EMAIL)
    shop.publish()
    for hostile in (f"{customer}/sources", f"../customers/{customer}", "search", "cus_1?x=1", EMAIL, "."):
        assert shop.lookup.find(customer=hostile) is None
    assert shop.asked() == []


def test_a_user_id_that_no_metadata_can_hold_is_not_asked_for(shop: Shop) -> None:
    assert shop.lookup.find(user_id="x" * 501) is None
    assert shop.asked() == []


def test_the_key_of_the_metadata_is_a_setting(open_shop: Open) -> None:
    shop = open_shop(user_id_key='my "key')
    customer = shop.account.create_customer(email=EMAIL, metadata={'my "key': "hana", "user_id": "taro"})
    shop.publish()
    found = shop.lookup.find(user_id="hana")
    assert found is not None
    assert found.primary == customer
    assert shop.lookup.find(user_id="taro") is None


# When something is away


def test_stripe_that_is_away_is_a_retry_and_no_miss(shop: Shop) -> None:
    customer = shop.account.create_customer(email=EMAIL, metadata={"user_id": "hana"})
    shop.publish()
    shop.served.set_faults([{"path": "/v1/customers", "status": 500, "should_retry": "false"}])
    questions: list[Json] = [{"user_id": "hana"}, {"email": EMAIL}, {"customer": customer}]
    for asked in questions:
        with pytest.raises(Retry, match="Stripe answered 500"):
            shop.lookup.find(**asked)
    shop.served.set_faults([])
    for asked in questions:
        assert shop.lookup.find(**asked) is not None


def test_a_search_that_stripe_does_not_offer_is_no_miss(shop: Shop) -> None:
    shop.served.set_faults([{"path": "/v1/customers/search", "status": 400}])
    with pytest.raises(Permanent):
        shop.lookup.find(user_id="hana")
    assert shop.document("customer_index/user:hana") is None


def test_a_budget_that_is_used_up_is_a_retry(shop: Shop) -> None:
    shop.client.document(paths.budget("stripe_reads")).set({"next_at": NOW + 30.0, "reservation": ""})
    with pytest.raises(Retry, match="budget"):
        shop.lookup.find(user_id="hana")
    assert shop.asked() == []
    assert shop.lookup.find(user_id="hana", patience_seconds=40) is None


# Many at once


def test_the_same_question_at_the_same_time_is_one_call(open_shop: Open) -> None:
    shop = open_shop(clock=SystemClock())
    customer = shop.account.create_customer(email=EMAIL, metadata={"user_id": "hana"})
    shop.publish()
    shop.stripe.delay_seconds = 0.3
    together = threading.Barrier(20)

    def find(number: int) -> Customers | None:
        together.wait()
        return shop.lookup.find(user_id="hana" if number % 2 else "nobody")

    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(find, range(20)))
    assert {each.primary if each else None for each in found} == {customer, None}
    assert [each is None for each in found] == [True, False] * 10
    assert len(shop.asked()) == 2


def test_a_question_that_fails_fails_for_all_who_ask_it_and_is_asked_again_later(open_shop: Open) -> None:
    shop = open_shop(clock=SystemClock())
    shop.stripe.delay_seconds = 0.3
    shop.served.set_faults([{"path": "/v1/customers", "status": 500, "should_retry": "false"}])

    def find(_: int) -> str:
        with pytest.raises(Retry) as raised:
            shop.lookup.find(user_id="hana")
        return str(raised.value)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(find, range(8)))) == 1
    assert len(shop.asked()) == 1
    shop.served.set_faults([])
    assert shop.lookup.find(user_id="hana") is None


def test_whoever_has_less_patience_does_not_wait_for_another(shop: Shop) -> None:
    shop.stripe.delay_seconds = 1
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(shop.lookup.find, user_id="hana")
        while not shop.stripe.at:
            time.sleep(0.01)
        with pytest.raises(Retry, match="somebody else"):
            shop.lookup.find(user_id="hana", patience_seconds=0.2)
        assert first.result() is None


@contextmanager
def arrivals_at(served: local.StripeApi) -> Iterator[list[float]]:
    """When each request reached the local Stripe API, by a look into its journal every few milliseconds."""
    arrivals: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            now, count = time.monotonic(), len(served.requests())
            arrivals.extend([now] * (count - len(arrivals)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield arrivals
    time.sleep(0.05)
    done.set()
    watcher.join()


def test_200_misses_at_once_stay_within_the_budget_and_all_succeed(open_shop: Open) -> None:
    """Four instances on the real clock."""
    instances = [open_shop(clock=SystemClock()) for _ in range(4)]
    account, served = instances[0].account, instances[0].served
    expected = {
        f"user-{number}": account.create_customer(email=f"{number}@example.com", metadata={"user_id": f"user-{number}"})
        for number in range(200)
    }
    instances[0].publish()
    together = threading.Barrier(200)

    def find(number: int) -> tuple[str, Customers | None]:
        together.wait()
        user_id = f"user-{number}"
        return user_id, instances[number % 4].lookup.find(user_id=user_id)

    began = time.monotonic()
    with arrivals_at(served) as arrivals, ThreadPoolExecutor(200) as pool:
        found = dict(pool.map(find, range(200)))
    seconds = time.monotonic() - began
    assert {user: each and each.primary for user, each in found.items()} == expected
    assert [each["status"] for each in served.requests()] == [200] * 200
    assert len(arrivals) == 200
    most = max(sum(start <= at < start + 1 for at in arrivals) for start in arrivals)
    print(f"200 misses in {seconds:.1f} s, at most {most} calls in any second")
    assert most <= PER_SECOND


def test_10_000_look_ups_of_known_users_make_no_call(open_shop: Open) -> None:
    shop = open_shop(clock=SystemClock())
    for number in range(100):
        shop.account.create_customer(email=f"{number}@example.com", metadata={"user_id": f"user-{number}"})
    shop.publish()
    shop.deliver()
    shop.store.reads.clear()
    commits = shop.store.commits

    def find(number: int) -> bool:
        return shop.lookup.find(user_id=f"user-{number % 100}") is not None

    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(find, range(10_000), chunksize=100))
    print(f"10,000 look-ups in {time.monotonic() - began:.1f} s")
    assert shop.asked() == []
    assert (len(shop.store.reads), shop.store.commits) == (10_000, commits)


# Wired


def test_another_service_builds_one_from_its_environment(shop: Shop, project: str) -> None:
    customer = shop.account.create_customer(email=EMAIL, metadata={"user_id": "hana"})
    shop.publish()
    environ = {
        "GOOGLE_CLOUD_PROJECT": project,
        "STRIPE_API_KEY": "sk_test_x",
        "STRIPE_API_BASE": shop.served.url,
        "BRAND_NAME": "Test Shop",
        "SUPPORT_EMAIL": "support@example.com",
    }
    found = lookup_from(environ).find(user_id="hana")
    assert found is not None
    assert found.primary == customer


def test_nothing_personal_is_logged(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.account.create_customer(email=EMAIL, metadata={"user_id": "hana.sato"})
    shop.publish()
    shop.lookup.find(user_id="hana.sato", email=EMAIL)
    lines = [json.loads(line) for line in shop.output.getvalue().splitlines()]
    common = {"severity": "INFO", "message": "asked Stripe for customers", "stripe_calls": 1, "found": 1}
    assert lines == [{**common, "by": "email"}, {**common, "by": "user_id"}]
    assert "hana" not in capsys.readouterr().out
