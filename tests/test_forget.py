"""A person is forgotten: nothing is left of them anywhere, nothing of anybody else has changed, however often and
however broken off."""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from google.cloud.firestore import Client

from functions import paths
from functions.adapters.clock import SystemClock
from functions.adapters.erasing import FirestoreTraces
from functions.adapters.firestore import FirestoreStore
from functions.adapters.stripe import StripeApi as StripeAdapter
from functions.effects import Effect
from functions.errors import Retry
from functions.operations.forget import main
from functions.operations.forget_person import Asked
from functions.operations.forgetting import Forgetting, Forgotten, tombstone
from functions.reactions import index_customers, record_orders, track_subscriptions
from functions.store import Found
from functions.subscriber import Subscriber
from functions.topology import function
from local.account import Line
from local.billing import BillingAccount, Price
from local.emulators import Emulators
from local.stripe_api import StripeApi
from tests.driving import SETTINGS, World, event

Json = dict[str, Any]
START, NOW = 1_790_000_000, 1_795_000_000
REACTIONS = {
    "index_customers": index_customers.react,
    "record_orders": record_orders.react,
    "track_subscriptions": track_subscriptions.react,
}
CLUB, MUG = Price("price_club", "prod_club", 980, lookup_key="club"), Line("Mug", 1400)
HANA, KENJI, USER = "Hana.Sato@Example.com", "kenji@example.com", "U4af4980629"
PERSONAL = (HANA.lower(), "佐藤 花", "+81312345678", USER.lower())


@dataclass
class Clock:
    at: float = NOW

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


@dataclass
class Breaking:
    """A store whose database goes away after so many commits."""

    store: FirestoreStore
    commits_left: int = 1_000
    commits: list[list[str]] = field(default_factory=list)

    def read(self, paths: Iterable[str]) -> Mapping[str, Found]:
        return self.store.read(list(paths))

    def commit(self, effects: Iterable[Effect], found: Mapping[str, Found]) -> None:
        effects = list(effects)
        if not self.commits_left:
            raise Retry("Firestore is away")
        self.commits_left -= 1
        self.store.commit(effects, found)
        self.commits.append([each.path for each in effects])


class Shop:
    """Hana buys in every way there is, beside Kenji, who lives at the same address of another user, and others."""

    def __init__(self) -> None:
        self.account = account = BillingAccount(now=START)
        self.world = World(account)
        self.hana = account.create_customer(
            email=HANA, name="佐藤 花", phone="+81312345678", metadata={"user_id": USER, "marketing": "opt_out"}
        )
        self.kenji = account.create_customer(email=KENJI, name="鈴木 健二", metadata={"user_id": "kenji"})
        # Somebody else with her address: her husband, or a typing error.
        self.namesake = account.create_customer(email=HANA.lower(), name="佐藤 太郎", metadata={"user_id": "taro"})
        for customer in (self.hana, self.kenji, self.namesake):
            self._lives(customer)
        self.guest_session = self._buys(HANA)
        self.others_guest = self._buys(KENJI)
        # Somebody typed her address and bought for themselves, and claims her customer, in vain.
        self.stranger = paths.guest_customer(HANA, "impostor", "")
        session = account.open_session([MUG], client_reference_id="impostor")
        account.complete(session, email=HANA)
        session = account.open_session([MUG], customer=self.hana, client_reference_id="impostor")
        account.complete(session, email=HANA)
        self._leaves_a_cart(HANA)
        account.wait(10)
        for data in account.events:
            for name, react in REACTIONS.items():
                if data["type"] in function(name).event_types:
                    self.world.deliver(react, data)
        self.guest = paths.guest_customer(HANA, None, "")
        self.documents = self.world.documents | {
            f"mail/{name}": {key: each for key, each in fields.items() if key != "expires_at"}
            for name, fields in self.world.mail().items()
        }
        # The last one has only an order of a session that expired: nobody met that guest.
        self.theirs = {self.hana, self.guest, paths.guest_customer(HANA, USER, "")}
        self._what_else_is_kept()

    def _lives(self, customer: str) -> None:
        account = self.account
        account.attach_card(customer)
        subscription = account.subscribe(customer, [CLUB])
        account.wait(60)
        account.renew(subscription, paid=False)
        session = account.open_session([MUG], customer=customer)
        account.complete(session, email=account.objects[customer]["email"], name=account.objects[customer]["name"])
        account.wait(5)
        account.refund(session, 400)
        bought = account.open_session([MUG], customer=customer, mode="subscription")
        account.complete(bought, email=account.objects[customer]["email"])
        account.wait(5)
        account.refund(bought, 300)

    def _buys(self, email: str) -> str:
        session = self.account.open_session([MUG])
        self.account.complete(session, email=email, name="佐藤 花" if email == HANA else None)
        return session

    def _leaves_a_cart(self, email: str) -> None:
        session = self.account.open_session([MUG], client_reference_id=USER)
        self.account.objects[session]["customer_details"] = {"email": email, "name": "佐藤 花", "phone": None}
        self.account.expire(session)

    def _what_else_is_kept(self) -> None:
        put = self.documents.update
        of = {"hana": self._event(self.hana), "kenji": self._event(self.kenji), "taro": self._event(self.namesake)}
        for name, data in of.items():
            put(self._parked(data, f"evt_{name}"))
            put({f"mail/failed_{name}": {"to": ["support@example.com"], "customer": data["data"]["object"]["id"]}})
        # Of a session without a customer, and one so long that it was compressed.
        session = next(e for e in self.account.events if e["data"]["object"]["id"] == self.guest_session)
        put(self._parked(session, "evt_guest"))
        parked = self._parked(session, "evt_long")
        for fields in parked.values():
            fields |= {"body": zlib.compress(fields["body"]), "body_encoding": "zlib"}
        put(parked)
        put({"parked_events/evt_torn_x": {"body": b'{"email": "hana.sato@example.com", "na', "body_encoding": None}})
        put({"parked_events/evt_gone_x": {"body": None, "body_encoding": "at Stripe", "event_id": "evt_gone"}})
        put({"mail/parked_evt_hana_record_orders": {"to": ["support@example.com"], "audience": "support"}})
        # What an application wrote itself, and what became of it.
        put({"mail/news": {"to": HANA, "message": {"text": "佐藤 花"}}, "mail/copied": {"cc": [HANA.lower()]}})
        put({"mail/mail_failed_news": {"to": ["support@example.com"], "message": {"text": HANA}}})
        put({"mail/answer": {"to": ["support@example.com"], "replyTo": HANA}})
        put({"deliveries/evt_1:crm": {"customer": self.hana}, "deliveries/evt_2:crm": {"customer": self.kenji}})
        put({paths.index_of_customer(self.hana): {"customers": [], "primary": None, "entries": {}, "asked_at": START}})
        failures = [{"list": "customers", "id": each, "function": "f", "reason": "r"} for each in (self.hana, "cus_x")]
        put({"operations/backfill": {"failures": failures, "mark": "m"}})
        [address] = paths.address(HANA)
        put({address: {"offered_at": START}, "prices/prod_club": {"prices": []}})
        self.documents[paths.user("kenji")] |= {"theme": "dark"}
        self.documents[paths.user(USER)] |= {"theme": "dark"}

    def _event(self, customer: str) -> Json:
        return next(e for e in self.account.events if e["data"]["object"]["id"] == customer)

    def _parked(self, data: Json, event_id: str) -> dict[str, Json]:
        body = json.dumps({**data, "id": event_id}, ensure_ascii=False).encode()
        fields: Json = {"event_id": event_id, "type": data["type"], "function": "record_orders", "reason": "r"}
        return {paths.parked_event(event_id, "record_orders"): fields | {"body": body, "body_encoding": None}}

    def is_of_others(self, text: str) -> bool:
        """Whether a document is of somebody else who has, or typed, Hana's address."""
        return self.namesake.lower() in text or self.stranger in text

    def is_theirs(self, path: str) -> bool:
        """Whether a document is under one of Hana's customers."""
        return path.startswith("customers/") and path.split("/")[1] in self.theirs


def write(client: Client, documents: Mapping[str, Json]) -> None:
    batch = client.batch()
    for path, fields in documents.items():
        batch.set(client.document(path), fields)
    batch.commit()


def everything(client: Client) -> dict[str, Json]:
    """Every document of the database, however deep, by path."""

    def beneath(place: Any) -> Iterator[tuple[str, Json]]:
        for collection in place.collections():
            for reference in collection.list_documents():
                yield from beneath(reference)
            for each in collection.stream():
                yield each.reference.path, each.to_dict()

    return dict(beneath(client))


def as_text(path: str, fields: Mapping[str, Any]) -> str:
    """A document as one text, with what lies compressed in it."""
    body = fields.get("body")
    if isinstance(body, bytes):
        body = zlib.decompress(body) if fields.get("body_encoding") == "zlib" else body
        fields = {**fields, "body": body.decode()}
    return f"{path} {json.dumps(fields, ensure_ascii=False, default=str)}".lower()


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop()


@pytest.fixture
def client(shop: Shop, firestore_client: Client) -> Client:
    write(firestore_client, shop.documents)
    return firestore_client


def forget(client: Client, asked: Asked, store: Any = None, at: float = NOW) -> Forgotten:
    return Forgetting(
        store=store or FirestoreStore(client),
        traces=FirestoreTraces(client, "mail"),
        clock=Clock(at),
        mail="mail",
        user_id_key="user_id",
    ).run(asked)


def asked(shop: Shop, by: str) -> Asked:
    return {
        "customer": Asked("customer", shop.hana),
        "user": Asked("user", USER),
        "email": Asked("email", " hana.sato@EXAMPLE.com"),
    }[by]


WAYS = pytest.mark.parametrize("by", ["customer", "user"])


@WAYS
def test_nothing_is_left_but_tombstones_and_the_hash_of_an_address(shop: Shop, client: Client, by: str) -> None:
    forget(client, asked(shop, by))
    found = everything(client)
    # Whoever else has the address keeps it: their own documents, and the index entry that leads to them.
    others = {path for path, each in shop.documents.items() if shop.is_of_others(as_text(path, each))}
    for path, fields in found.items():
        text = as_text(path, fields)
        # What an application keeps of its user under the user's id is the application's.
        assert path == paths.user(USER) or not [each for each in PERSONAL[1:] if each in text], path
        if path not in others:
            assert PERSONAL[0] not in text, path
        if not shop.is_theirs(path):
            assert not [each for each in shop.theirs if each.lower() in text], path
    tombstones = {paths.customer(each): tombstone(NOW) for each in shop.theirs}
    left = {path: fields for path, fields in found.items() if shop.is_theirs(path)}
    assert {path: fields for path, fields in left.items() if fields != {}} == tombstones
    [address] = paths.address(HANA)
    # The namesake was made an offer there, and nobody at this address wants another one.
    assert found[address] == {"offered_at": START, "refused_at": START}


@WAYS
def test_nothing_of_anybody_else_changes(shop: Shop, client: Client, by: str) -> None:
    before = everything(client)
    forget(client, asked(shop, by))
    after = everything(client)
    [shared], [address] = paths.index_of_email(HANA), paths.address(HANA)
    changed = {path for path in before if before[path] != after.get(path)} - {shared, address, "operations/backfill"}
    assert after.keys() <= before.keys() | {paths.customer(each) for each in shop.theirs}
    for path in changed:
        text = as_text(path, before[path])
        is_hers = shop.is_theirs(path) or any(each.lower() in text for each in (*shop.theirs, USER, HANA))
        assert is_hers or path.startswith(("payments/", "mail/parked_evt", "parked_events/")), path
    for name in (shop.kenji, shop.namesake, shop.stranger):
        mine = {path: each for path, each in before.items() if path.startswith(f"customers/{name}")}
        assert len(mine) > (1 if name == shop.stranger else 5)
        assert mine == {path: after[path] for path in mine}
    kenjis = {
        path
        for path, each in before.items()
        if KENJI in as_text(path, each) or shop.kenji.lower() in as_text(path, each)
    }
    assert kenjis <= after.keys()
    assert {path for path in kenjis if path in changed} == set()
    assert set(after[shared]["customers"]) == {shop.namesake, shop.stranger}
    assert after[shared]["entries"].items() <= before[shared]["entries"].items()
    assert after["users/U4af4980629"] == {"theme": "dark"}
    assert [each["id"] for each in after["operations/backfill"]["failures"]] == ["cus_x"]
    assert "parked_events/evt_gone_x" in after


def test_payments_go_with_their_orders_and_only_those(shop: Shop, client: Client) -> None:
    before = {path for path in everything(client) if path.startswith("payments/")}
    forget(client, Asked("customer", shop.hana))
    after = {path: each for path, each in everything(client).items() if path.startswith("payments/")}
    orders = {each["order"].split("/")[1] for each in after.values() if "order" in each}
    assert orders == {shop.kenji, shop.namesake, shop.stranger, paths.guest_customer(KENJI, None, "")}
    invoices = {each["invoice"] for each in after.values() if "invoice" in each}
    assert {paths.payment(each) for each in invoices} <= after.keys()
    assert len(before) > len(after)


def test_an_address_takes_all_of_its_customers_along(shop: Shop, client: Client) -> None:
    done = forget(client, asked(shop, "email"))
    assert set(done.person.customers) == {*shop.theirs, shop.namesake, shop.stranger}
    texts = [as_text(path, fields) for path, fields in everything(client).items()]
    assert not [text for text in texts if HANA.lower() in text or "佐藤" in text]
    [address] = paths.address(HANA)
    assert everything(client)[address] == {"refused_at": START}


@WAYS
def test_twice_is_once(shop: Shop, client: Client, by: str) -> None:
    forget(client, asked(shop, by))
    once = everything(client)
    again = forget(client, asked(shop, by), at=NOW + 500)
    assert not again.erased
    assert everything(client) == once


@pytest.mark.parametrize("by", ["customer", "email"])
def test_broken_off_at_any_commit_and_run_again_is_once(
    shop: Shop, emulators: Emulators, client: Client, project: str, by: str
) -> None:
    whole = Breaking(FirestoreStore(client))
    forget(client, asked(shop, by), whole)
    once = everything(client)
    assert len(whole.commits) > 5
    for commits in range(len(whole.commits)):
        emulators.clear(project)
        write(client, shop.documents)
        with pytest.raises(Retry):
            forget(client, asked(shop, by), Breaking(FirestoreStore(client), commits))
        forget(client, asked(shop, by))
        assert everything(client) == once, commits


@pytest.fixture
def forgotten(shop: Shop, client: Client) -> World:
    """The world as it goes on after Hana was forgotten."""
    forget(client, Asked("customer", shop.hana))
    world = World(shop.account)
    world.documents = everything(client)
    return world


def deliver(world: World, data: Json) -> None:
    for name, react in REACTIONS.items():
        if data["type"] in function(name).event_types:
            world.deliver(react, data)


def test_what_happened_before_does_not_make_a_customer_again(shop: Shop, forgotten: World) -> None:
    for data in [*shop.account.events, *reversed(shop.account.events)]:
        deliver(forgotten, data)
    for customer in shop.theirs:
        found = forgotten.documents[paths.customer(customer)]
        assert found["deleted"] is True
        assert not {"email", "name", "phone"} & found.keys()
    [index] = paths.index_of_email(HANA)
    assert set(forgotten.documents[index]["customers"]) == {shop.namesake, shop.stranger}
    assert not [path for path in forgotten.documents if USER in path and path.startswith("customer_index/")]
    assert "customers" not in forgotten.documents[paths.user(USER)]
    # No mail to her because of a subscription: those look at the customer. Orders look at the session.
    told = {name for name, mail in forgotten.mail().items() if HANA in str(mail["to"])}
    assert {name.split("_cs_")[0].split("_pi_")[0] for name in told} <= {"order_paid", "refund", "welcome"}


def test_nothing_that_happened_before_comes_back_however_it_is_published_again(shop: Shop, client: Client) -> None:
    for each in sorted(shop.theirs):
        forget(client, Asked("customer", each))
    before = everything(client)
    clock = SystemClock()
    with StripeApi() as served:
        served.put(shop.account.api_objects())
        for name, react in REACTIONS.items():
            subscriber = Subscriber(
                function=function(name),
                react=react,
                settings=SETTINGS,
                store=FirestoreStore(client),
                stripe=StripeAdapter("sk_test_x", served.url, clock),
                clock=clock,
                log=lambda *_, **__: None,
            )
            for data in shop.account.events:
                if data["type"] in function(name).event_types:
                    subscriber.apply(event(data))
    after = everything(client)
    # What was paid and given back is kept by the payment's id, and says nothing about anybody.
    new = {path: fields for path, fields in after.items() if before.get(path) != fields}
    assert {path.split("/")[0] for path in new} <= {"payments"}
    assert not [path for path, fields in new.items() if any(each in as_text(path, fields) for each in PERSONAL)]


def test_a_guest_who_was_forgotten_may_come_back(shop: Shop, forgotten: World) -> None:
    account = BillingAccount(now=NOW + 60, prefix="Later")
    session = account.open_session([MUG])
    account.complete(session, email=HANA)
    forgotten.account = account
    deliver(forgotten, account.events[-1])
    assert forgotten.documents[paths.customer(shop.guest)]["email"] == HANA


class TestTheCommand:
    @pytest.fixture
    def environ(self, project: str) -> dict[str, str]:
        return {
            "GOOGLE_CLOUD_PROJECT": project,
            "STRIPE_API_KEY": "rk_live_x",
            "BRAND_NAME": "Shop",
            "SUPPORT_EMAIL": "support@example.com",
            "IDENTITY": "firebase",
        }

    def test_changes_nothing_unless_somebody_says_so(
        self, shop: Shop, client: Client, environ: dict[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = everything(client)
        assert main(["--customer", shop.hana], environ) == 2
        assert "there is nobody to ask" in capsys.readouterr().err
        assert main(["--customer", shop.hana], environ, ask=lambda _: "no") == 2
        assert main(["--customer", shop.hana, "--dry-run"], environ) == 0
        assert "Would be erased:" in capsys.readouterr().out
        assert everything(client) == before

    def test_says_what_went_what_stays_and_what_is_elsewhere(
        self, shop: Shop, client: Client, environ: dict[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = everything(client)
        assert main(["--customer", shop.hana, "--dry-run", "--json"], environ) == 0
        foreseen = json.loads(capsys.readouterr().out)
        assert main(["--customer", shop.hana, "--yes", "--json"], environ) == 0
        report = json.loads(capsys.readouterr().out)
        assert {**foreseen, "dry_run": False} == report
        orders = [path for path in before if shop.is_theirs(path) and "/orders/" in path]
        assert report["erased"]["orders"] == len(orders)
        assert set(report["customers"]) == shop.theirs
        assert any(shop.namesake in line and shop.stranger in line for line in report["kept"])
        assert report["users"] == [USER], "and nobody whose claim does not hold: accounts are deleted by this"
        remains = "\n".join(report["remains"])
        assert f"https://dashboard.stripe.com/customers/{shop.hana}" in remains
        assert f"account of {', '.join(report['users'])}" in remains
        assert "there are live ones" in remains
        assert f"python -m functions.operations.forget --customer {shop.hana} --yes" in report["again"]

    def test_asks_and_erases(
        self, shop: Shop, client: Client, environ: dict[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        questions: list[str] = []

        def ask(question: str) -> str:
            questions.append(question)
            return "yes"

        assert main(["--user", USER], environ, ask) == 0
        assert len(questions) == 1
        assert "Erased:" in capsys.readouterr().out
        assert everything(client)[paths.customer(shop.hana)]["deleted"] is True
        assert main(["--customer", shop.hana], environ) == 0

    def test_knows_nobody(self, client: Client, environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
        before = everything(client)
        for whom in (["--customer", "cus_none"], ["--email", "none@example.com"], ["--user", "none"]):
            assert main([*whom, "--yes"], environ) == 1
        assert everything(client) == before
        assert "nothing" in capsys.readouterr().out

    def test_says_which_setting_is_missing(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--customer", "cus_1", "--yes"], {}) == 2
        assert "GOOGLE_CLOUD_PROJECT is not set" in capsys.readouterr().err
