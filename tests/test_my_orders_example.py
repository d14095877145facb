"""The example of "my orders" as a team would copy it: in Chromium, with Firebase's web SDK, and the rules as deployed.

The file is served as it stands, with the two placeholders of its configuration filled in. The SDK is the one from npm,
at the addresses of Google's CDN, and finds the emulators by two lines of ours around it.
"""

import json
import os
import re
import secrets
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from babel import Locale
from google.cloud.firestore import Client
from playwright.sync_api import Page, Route, expect

from functions.mail import money
from functions.reactions import index_customers
from functions.reactions.record_orders import sessions
from functions.reactions.track_subscriptions import subscriptions
from local.account import Line
from local.auth_emulator import DEFAULT_PROJECT, AuthEmulator, web_sdk
from local.auth_emulator.packages import MANIFESTS
from local.billing import BillingAccount, Price
from local.emulators import Emulators
from local.processes import local_http
from tests.browser import OpenPage, browser, internet, open_page
from tests.conftest import Answering, Reply
from tests.driving import World
from tests.test_unsubscribe_page import watched

__all__ = ["browser", "internet", "open_page"]  # fixtures

ROOT = Path(__file__).parent.parent
EXAMPLE = (ROOT / "docs" / "examples" / "my_orders.html").read_text("utf-8")
PASSWORD = "correct horse"
HOSTILE = """<img src=x onerror="document.title = 'evil'">"""
CLUB = Price("price_club", "prod_club", 980, lookup_key="club")

NOBODY = """rules_version = '2';
service cloud.firestore { match /databases/{database}/documents { match /{path=**} { allow read: if false; } } }
"""

#: What the test puts around a module of the SDK: everything as it is, and one function that knows the emulator.
AROUND = """
import {{ {connect}, {get} as original }} from "./original/{name}";
export * from "./original/{name}";
export function {get}(app) {{
  const found = original(app);
  {connect}(found, {address});
  return found;
}}
"""


class Shop:
    """A shop of its own with its accounts, documents and a page that shows them."""

    def __init__(self, client: Client, auth: AuthEmulator, firestore_host: str, web: Answering) -> None:
        self.client = client
        self.auth = auth
        self.firestore_host = firestore_host
        self.web = web
        # Ids start with something new, as all tests share the project whose accounts a web page signs in to.
        self.account = BillingAccount(now=1_790_000_000, prefix=secrets.token_hex(6))
        self.world = World(self.account)

    def sign_up(self) -> tuple[str, str]:
        """The id and the address of somebody new."""
        email = f"{secrets.token_hex(6)}@example.com"
        url = f"http://{self.auth.host}/identitytoolkit.googleapis.com/v1/accounts:signUp?key=any"
        with local_http() as http:
            answer = http.post(url, json={"email": email, "password": PASSWORD}, timeout=30)
        assert answer.ok, answer.text
        return answer.json()["localId"], email

    def buy(
        self, user_id: str, *lines: Line, currency: str = "jpy", customer: str | None = None, paid: bool = True
    ) -> str:
        """The Customer who bought it, a new one where none is named."""
        self.account.wait(60)
        session = self.account.open_session(
            lines, client_reference_id=user_id, currency=currency, customer=customer, customer_creation="always"
        )
        self.account.complete(session, email="buyer@example.com", paid=paid, creates_customer=True)
        self.publish()
        bought: str = self.account.objects[session]["customer"]
        return bought

    def publish(self) -> None:
        """Let the functions' own decisions on what has happened since become documents."""
        for event in self.account.events:
            for react, family in (
                (index_customers.react, ("customer.", "checkout.session.")),
                (sessions.react, ("checkout.session.",)),
                (subscriptions.react, ("customer.subscription.",)),
            ):
                if event["type"].startswith(family):
                    self.world.deliver(react, event)
        self.account.events.clear()
        batch = self.client.batch()
        for path, fields in self.world.documents.items():
            batch.set(self.client.document(path), fields)
        batch.commit()

    def open(self, shown: Page) -> list[str]:
        """Shows the page, and says what goes wrong in it from now on."""
        text = EXAMPLE.replace('"API_KEY"', '"any"').replace('"PROJECT"', f'"{DEFAULT_PROJECT}"')
        assert text.count(DEFAULT_PROJECT) == 1
        self.web.say(Reply(body=text.encode(), headers={"Content-Type": "text/html; charset=utf-8"}))
        shown.route("https://www.gstatic.com/firebasejs/**", self._sdk)
        problems = watched(shown)
        shown.goto(f"http://{self.web.host}/my_orders.html")
        return problems

    def _sdk(self, route: Route) -> None:
        path = urlsplit(route.request.url).path
        name = path.rpartition("/")[2]
        host, port = self.firestore_host.split(":")
        body = (web_sdk(os.environ) / name).read_text("utf-8")
        if "/original/" not in path and name == "firebase-auth.js":
            address = f'"http://{self.auth.host}", {{ disableWarnings: true }}'
            body = AROUND.format(name=name, get="getAuth", connect="connectAuthEmulator", address=address)
        if "/original/" not in path and name == "firebase-firestore.js":
            address = f'"{host}", {port}'
            body = AROUND.format(name=name, get="getFirestore", connect="connectFirestoreEmulator", address=address)
        route.fulfill(body=body, content_type="text/javascript", headers={"Access-Control-Allow-Origin": "*"})


@pytest.fixture
def shop(emulators: Emulators, auth_emulator: AuthEmulator, answering: Answering) -> Shop:
    emulators.put_rules(DEFAULT_PROJECT, (ROOT / "firestore.rules").read_text("utf-8"))
    return Shop(Client(project=DEFAULT_PROJECT), auth_emulator, emulators.firestore_host, answering)


def sign_in(shown: Page, email: str, password: str = PASSWORD) -> None:
    shown.get_by_label("Email").fill(email)
    shown.get_by_label("Password").fill(password)
    shown.get_by_role("button", name="Sign in").click()


def items(shown: Page) -> list[str]:
    """What is listed, without the day, which is the browser's to write."""
    texts = shown.get_by_role("listitem").all_inner_texts()
    return [text.replace("\N{NO-BREAK SPACE}", " ").partition(" · ")[2] for text in texts]


def shows(shown: Page, *expected: str) -> None:
    """Waits until there are as many orders, which have to be these."""
    expect(shown.get_by_role("listitem")).to_have_count(len(expected))
    assert items(shown) == list(expected)


def test_the_owner_sees_their_orders_and_plans(shop: Shop, open_page: OpenPage, internet: list[str]) -> None:
    user_id, email = shop.sign_up()
    customer = shop.buy(user_id, Line("Mug", 700, quantity=2))
    shop.account.subscribe(customer, [CLUB])
    shop.buy(user_id, Line("Drip bag", 1999), currency="usd")
    shop.buy(user_id, Line("Beans", 900), Line("Filter", 300), customer=customer, paid=False)
    shown = open_page()
    problems = shop.open(shown)
    sign_in(shown, email)

    # Two customers of one user, by time and not by customer.
    shows(
        shown,
        "1 × Beans, 1 × Filter · ￥1,200 · pending",
        "1 × Drip bag · $19.99 · paid",
        "2 × Mug · ￥1,400 · paid",
    )
    expect(shown.get_by_text("Plans:")).to_have_text("Plans: club")
    days = [text.partition(" · ")[0] for text in shown.get_by_role("listitem").all_inner_texts()]
    assert days == ["2026/9/21"] * 3
    expect(shown.get_by_role("alert")).to_be_empty()
    expect(shown.get_by_label("Password")).to_be_hidden()
    assert problems == []
    assert {urlsplit(url).hostname for url in internet} == {"www.gstatic.com"}, "which is answered from the npm package"


def test_another_user_sees_their_own_alone(shop: Shop, open_page: OpenPage) -> None:
    owner, email = shop.sign_up()
    shop.account.subscribe(shop.buy(owner, Line("Mug", 1400)), [CLUB])
    another, address = shop.sign_up()
    shop.buy(another, Line("Beans", 900))
    shown = open_page()
    problems = shop.open(shown)
    sign_in(shown, address)
    shows(shown, "1 × Beans · ￥900 · paid")
    expect(shown.locator("#plans")).to_be_empty()

    # At the same screen, one after the other, nothing of the first one stays.
    shown.get_by_role("button", name="Sign out").click()
    expect(shown.get_by_label("Password")).to_be_visible()
    assert shown.locator("li").count() == 0
    sign_in(shown, email)
    shows(shown, "1 × Mug · ￥1,400 · paid")
    expect(shown.locator("#plans")).to_have_text("club")
    shown.get_by_role("button", name="Sign out").click()
    expect(shown.get_by_label("Password")).to_be_visible()
    expect(shown.locator("#plans")).to_be_empty()
    shown.wait_for_timeout(500)  # a listener that was left behind would be refused by now, and say so
    expect(shown.get_by_role("alert")).to_be_empty()
    assert shown.locator("li").count() == 0
    assert problems == []


def test_signed_out_there_is_a_form_and_nothing_is_asked_for(shop: Shop, open_page: OpenPage) -> None:
    user_id, _ = shop.sign_up()
    shop.buy(user_id, Line("Mug", 1400))
    shown = open_page()
    asked: list[str] = []
    shown.on("request", lambda request: asked.append(request.url))
    problems = shop.open(shown)
    expect(shown.get_by_role("button", name="Sign in")).to_be_visible()
    expect(shown.get_by_role("main")).to_be_hidden()
    shown.wait_for_timeout(500)
    assert shown.locator("li").count() == 0
    expect(shown.get_by_role("alert")).to_be_empty()
    assert [url for url in asked if shop.firestore_host in url] == []
    assert problems == []


def test_what_is_bought_and_lost_shows_without_a_reload(shop: Shop, open_page: OpenPage) -> None:
    user_id, email = shop.sign_up()
    shown = open_page()
    problems = shop.open(shown)
    with shown.expect_response(lambda response: shop.firestore_host in response.url):
        sign_in(shown, email)
    expect(shown.get_by_role("button", name="Sign out")).to_be_visible()
    assert items(shown) == []

    first = shop.buy(user_id, Line("Mug", 1400))
    shows(shown, "1 × Mug · ￥1,400 · paid")
    second = shop.buy(user_id, Line("Beans", 900))
    shows(shown, "1 × Beans · ￥900 · paid", "1 × Mug · ￥1,400 · paid")
    shop.buy(user_id, Line("Filter", 300), customer=second)
    shows(shown, "1 × Filter · ￥300 · paid", "1 × Beans · ￥900 · paid", "1 × Mug · ￥1,400 · paid")
    shop.account.subscribe(first, [CLUB])
    shop.publish()
    expect(shown.locator("#plans")).to_have_text("club")

    shop.client.document(f"customers/{second}").update({"user_id": "somebody else"})
    shows(shown, "1 × Mug · ￥1,400 · paid")
    expect(shown.get_by_role("alert")).to_be_empty()
    assert problems == []


def test_markup_in_a_name_is_text(shop: Shop, open_page: OpenPage, internet: list[str]) -> None:
    user_id, email = shop.sign_up()
    customer = shop.buy(user_id, Line(HOSTILE, 1400))
    shop.account.subscribe(customer, [Price("price_evil", "prod_evil", 980, lookup_key=HOSTILE)])
    shop.publish()
    shown = open_page()
    problems = shop.open(shown)
    sign_in(shown, email)
    shows(shown, f"1 × {HOSTILE} · ￥1,400 · paid")
    expect(shown.locator("#plans")).to_have_text(HOSTILE)
    assert shown.locator("img").count() == 0
    expect(shown).to_have_title("My orders")
    assert problems == []
    assert {urlsplit(url).hostname for url in internet} == {"www.gstatic.com"}


def test_amounts_are_what_the_mails_say(shop: Shop, open_page: OpenPage) -> None:
    """Intl's own digits are not Stripe's: it has none for HUF, ISK and UGX, whose amounts come as hundredths."""
    amounts = [(1400, "jpy"), (1999, "usd"), (2000, "usd"), (0, "usd"), (1500, "krw"), (1999, "kwd")]
    amounts += [(199_950, "huf"), (500_000, "isk"), (500_000, "ugx"), (1_000_050, "idr")]
    user_id, email = shop.sign_up()
    customer = shop.buy(user_id, Line("Mug", 1))
    for value, currency in amounts:
        shop.buy(user_id, Line("Mug", value), currency=currency, customer=customer)
    shown = open_page(locale="en-US")
    shop.open(shown)
    sign_in(shown, email)
    expect(shown.get_by_role("listitem")).to_have_count(len(amounts) + 1)
    texts = [money.amount(value, currency, Locale("en")) for value, currency in reversed(amounts)]
    expected = [text.replace("\N{NO-BREAK SPACE}", " ") for text in texts]
    assert [item.split(" · ")[1] for item in items(shown)] == [*expected, "¥1"]
    assert f'"{money._ZERO_DECIMAL}", "{money._THREE_DECIMAL}"' in EXAMPLE


def test_an_order_of_which_stripe_said_little(shop: Shop, open_page: OpenPage) -> None:
    user_id, email = shop.sign_up()
    customer = shop.buy(user_id, Line("Mug", 1400))
    [order] = shop.client.collection(f"customers/{customer}/orders").stream()
    unknown = {"description": None, "quantity": None}
    order.reference.update({"amount_total": None, "currency": None, "created": None, "line_items": [unknown]})
    shown = open_page()
    problems = shop.open(shown)
    sign_in(shown, email)
    expect(shown.get_by_role("listitem")).to_have_text("1 × ? · paid")
    assert problems == []


def test_what_went_wrong_is_said_in_words(shop: Shop, emulators: Emulators, open_page: OpenPage) -> None:
    _, email = shop.sign_up()
    shown = open_page()
    shop.open(shown)
    sign_in(shown, email, "wrong")
    expect(shown.get_by_role("alert")).to_have_text("The address or the password is wrong.")
    sign_in(shown, f"nobody-{email}")
    expect(shown.get_by_role("alert")).to_have_text("The address or the password is wrong.")
    sign_in(shown, email)
    expect(shown.get_by_role("button", name="Sign out")).to_be_visible()
    expect(shown.get_by_role("alert")).to_be_empty()

    shown.get_by_role("button", name="Sign out").click()
    emulators.put_rules(DEFAULT_PROJECT, NOBODY)
    sign_in(shown, email)
    expect(shown.get_by_role("alert")).to_have_text("This did not work. Please try again later.")


# What the file says


def snippet() -> str:
    """The lines that the READMEs show."""
    _, begin, rest = EXAMPLE.partition("// begin: my orders\n")
    lines, end, _ = rest.partition("// end: my orders\n")
    assert begin
    assert end
    return lines


def test_the_example_is_short_and_its_core_shorter() -> None:
    assert len(EXAMPLE.splitlines()) <= 70
    assert len(snippet().splitlines()) <= 20


@pytest.mark.parametrize("readme", ["README.md", "README.ja.md"])
def test_the_readmes_show_what_was_run(readme: str) -> None:
    assert f"```js\n{snippet()}```\n" in (ROOT / readme).read_text("utf-8")


def test_the_sdk_is_the_one_that_was_run() -> None:
    wanted = json.loads((MANIFESTS / "package.json").read_text("utf-8"))["dependencies"]["firebase"]
    assert re.findall(r"https://[^\"]*/firebasejs/([^/]+)/", EXAMPLE) == [wanted] * 3


def test_its_queries_need_no_index_but_firestores_own() -> None:
    """Each is of one field of one collection, and no exemption takes that field's automatic index away."""
    assert re.findall(r'(?:where|orderBy)\("(\w+)"', snippet()) == ["user_id", "created"]
    overrides = json.loads((ROOT / "firestore.indexes.json").read_text("utf-8"))["fieldOverrides"]
    exempted = {(entry["collectionGroup"], entry["fieldPath"]) for entry in overrides}
    assert exempted.isdisjoint({("customers", "user_id"), ("orders", "created"), ("customers", "*"), ("orders", "*")})
