"""The page with the pricing table as people meet it: in Chromium, signed in at the Auth emulator, and with everything
that is wired in `main.py`: the database, the look-up, and Stripe's API, of which there is a local one.

Stripe's script is out of reach. One of ours stands in its place, and does what Stripe says of its own.
"""

import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import firebase_admin  # type: ignore[import-untyped]
import pytest
from firebase_admin import auth
from google.cloud.firestore import Client
from playwright.sync_api import Browser, Page, Route, expect

from functions.pages.pricing import COOKIE
from functions.wiring import lookup_from
from local.account import Account, Line
from local.auth_emulator import AuthEmulator
from local.emulators import Emulators
from local.mail_samples import SETTINGS as MAIL
from local.processes import LOOPBACK, Server, local_http
from local.stripe_api import StripeApi
from tests.browser import OpenPage, browser, internet, open_page
from tests.driving import event
from tests.pricing_shop import ROOT, TABLE, Json, lines, served
from tests.test_identity_firebase import Users
from tests.test_unsubscribe_page import fits, picture, unreadable, watched

__all__ = ["browser", "internet", "open_page"]  # fixtures

SCRIPT = "https://js.stripe.com/v3/pricing-table.js"
FRAME = "https://js.stripe.com/v3/pricing-table-app-0.html"
#: A custom element with a frame of its own, which it sizes, as https://docs.stripe.com/payments/checkout/pricing-table
#: describes the real one.
STAND_IN = f"""
customElements.define("stripe-pricing-table", class extends HTMLElement {{
  connectedCallback() {{
    const frame = document.createElement("iframe")
    frame.src = "{FRAME}"
    frame.title = "Pricing table"
    frame.style.cssText = "width: 100%; height: 320px; border: 0"
    this.attachShadow({{ mode: "open" }}).append(frame)
  }}
}})
"""
PLANS = "<!DOCTYPE html><title>Plans</title><body style='font: 16px sans-serif'><h2>Club</h2><p>¥980 / month</p>"

WORDS: dict[str, Json] = {
    "ja-JP": {
        "heading": "料金プラン",
        "visitor": "すでにアカウントをお持ちの方は",
        "user": "ご購入の内容は、お客様のアカウントに反映されます",
        "customer": "これまでのお客様情報を引き継いで",
        "noscript": "JavaScript が必要です",
        "invalid_token": "ログインを確認できませんでした",
    },
    "en-US": {
        "heading": "Plans and pricing",
        "visitor": "Please sign in first",
        "user": "What you buy is added to your account.",
        "customer": "with the details we already have",
        "noscript": "with JavaScript",
        "invalid_token": "We could not confirm that you are signed in",
    },
}
Case = Literal["visitor", "user", "customer"]
CASES: tuple[Case, ...] = ("visitor", "user", "customer")


class App:
    """A single-page app at an origin of its own."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = b"<!DOCTYPE html><title>app</title><link rel=icon href=data:,>"
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *_args: object) -> None:  # noqa: A002 -- as the class has it
                pass

        self.server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.origin = f"http://{LOOPBACK}:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@dataclass
class Running:
    """The function with everything around it."""

    server: Server
    stripe: StripeApi
    users: Users
    environ: Mapping[str, str]
    friend: App
    stranger: App

    @property
    def url(self) -> str:
        return f"http://{self.server.addresses['http']}/pricing_page"

    def sign_up(self, *, verified: bool = True) -> tuple[str, str]:
        """A user nobody knew: their id and their address."""
        user_id = f"user_{secrets.token_hex(6)}"
        email = f"{user_id}@example.com"
        auth.create_user(uid=user_id, email=email, password="secret-1", email_verified=verified, app=self.users.app)
        return user_id, email

    def cookie(self, email: str) -> str:
        return self.users.cookie(self.users.sign_in(email))

    def customer(self, **fields: Any) -> str:
        """One that Stripe has, and nobody here has heard of."""
        customer = f"cus_{secrets.token_hex(7)}"
        self.stripe.put([{"id": customer, "object": "customer", "created": 1_780_000_000, "metadata": {}, **fields}])
        return customer

    def document(self, path: str) -> Json:
        client = Client(project=self.environ["GOOGLE_CLOUD_PROJECT"])
        return client.document(path).get().to_dict() or {}

    def json(self, **headers: str) -> Json:
        with local_http() as http:
            answered = http.get(self.url, headers={"Accept": "application/json", **headers}, timeout=30)
        assert answered.status_code == 200, answered.text
        found: Json = answered.json()
        return found

    def secret_of(self, customer: str) -> str:
        """What the newest customer session is, which has to be this customer's."""
        [*_, newest] = self.stripe.customer_sessions()
        assert newest["customer"] == customer
        secret: str = newest["client_secret"]
        return secret


@pytest.fixture(scope="module")
def running(
    emulators: Emulators, auth_emulator: AuthEmulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    project = f"demo-{secrets.token_hex(6)}"
    users, friend, stranger = Users(auth_emulator, project), App(), App()
    with StripeApi() as stripe:
        environ = {
            **emulators.environment(),
            **auth_emulator.environment(),
            "GOOGLE_CLOUD_PROJECT": project,
            "STRIPE_API_KEY": "sk_test_local",
            "STRIPE_API_BASE": stripe.url,
            "PRICING_TABLE_ID": TABLE["pricing-table-id"],
            "STRIPE_PUBLISHABLE_KEY": TABLE["publishable-key"],
            "ALLOWED_ORIGINS": friend.origin,
            "IDENTITY": "firebase",
            "BRAND_NAME": MAIL.brand.name,
            "BRAND_COLOR": MAIL.brand.color,
            "SUPPORT_EMAIL": MAIL.support_email,
            "MAIL_FOOTER": "|".join(MAIL.brand.footer),
        }
        directory = tmp_path_factory.mktemp("pricing_page")
        with served(str(ROOT / "main.py"), directory, environ) as server:
            yield Running(server, stripe, users, environ, friend, stranger)
    for app in (friend, stranger):
        app.stop()
    firebase_admin.delete_app(users.app)


def play_stripe(shown: Page) -> None:
    """Let the page have what Stripe would send it."""

    def script(route: Route) -> None:
        route.fulfill(body=STAND_IN, content_type="text/javascript")

    def frame(route: Route) -> None:
        route.fulfill(body=PLANS, content_type="text/html; charset=utf-8")

    shown.route(SCRIPT, script)
    shown.route(FRAME, frame)


def attributes(shown: Page) -> Json:
    """The table's, as they are in the DOM, without the shop's own."""
    found: Json = shown.locator("stripe-pricing-table").evaluate(
        "e => Object.fromEntries([...e.attributes].map(a => [a.name, a.value]))"
    )
    assert TABLE.items() <= found.items()
    return {name: value for name, value in found.items() if name not in TABLE}


def sign_in(shown: Page, running: Running, cookie: str) -> None:
    shown.context.add_cookies([{"name": COOKIE, "value": cookie, "url": running.url, "httpOnly": True}])


# The three cases


@pytest.mark.parametrize("locale", WORDS)
@pytest.mark.parametrize("case", CASES)
def test_the_table_knows_who_is_there(
    running: Running, open_page: OpenPage, internet: list[str], case: Case, locale: str
) -> None:
    shown = open_page(locale=locale)
    play_stripe(shown)
    problems = watched(shown)
    user_id, email = running.sign_up()
    customer = running.customer(email=email, metadata={"user_id": user_id}) if case == "customer" else ""
    if case != "visitor":
        sign_in(shown, running, running.cookie(email))
    answered = shown.goto(running.url)
    assert answered is not None
    assert answered.status == 200
    expected: dict[Case, Callable[[], Json]] = {
        "visitor": dict,
        "user": lambda: {"client-reference-id": user_id, "customer-email": email},
        "customer": lambda: {"customer-session-client-secret": running.secret_of(customer)},
    }
    assert attributes(shown) == expected[case]()
    expect(shown.get_by_role("heading", level=1)).to_have_text(WORDS[locale]["heading"])
    expect(shown.get_by_role("main")).to_contain_text(WORDS[locale][case])
    assert shown.evaluate("document.documentElement.lang") == locale[:2]
    expect(shown.frame_locator("iframe").get_by_text("Club")).to_be_visible()
    assert internet == [SCRIPT, FRAME]
    assert problems == []
    assert fits(shown)
    picture(shown, f"pricing-{case}-{locale[:2]}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_the_page_can_be_read(
    running: Running, open_page: OpenPage, width: int, scheme: Literal["light", "dark"]
) -> None:
    shown = open_page(width=width, height=720, color_scheme=scheme)
    play_stripe(shown)
    shown.goto(running.url)
    expect(shown.frame_locator("iframe").get_by_text("Club")).to_be_visible()
    box = shown.locator("stripe-pricing-table").bounding_box()
    assert box is not None
    assert box["width"] > width * 0.7
    assert fits(shown)
    assert unreadable(shown) == []
    picture(shown, f"pricing-{width}-{scheme}")


@pytest.mark.parametrize("locale", WORDS)
def test_without_scripts_the_reader_is_told_why_there_is_no_table(
    running: Running, browser: Browser, locale: str
) -> None:
    context = browser.new_context(java_script_enabled=False, locale=locale, viewport={"width": 375, "height": 667})
    shown = context.new_page()
    shown.goto(running.url)
    told = shown.locator("noscript")
    assert WORDS[locale]["noscript"] in (told.text_content() or "")
    box = told.bounding_box()
    assert box is not None
    assert box["height"] > 40, "it is shown, and has room"
    picture(shown, f"pricing-noscript-{locale[:2]}")
    context.close()


@pytest.mark.parametrize("locale", WORDS)
def test_a_page_without_a_table_says_so(
    running: Running, open_page: OpenPage, internet: list[str], locale: str
) -> None:
    shown = open_page(locale=locale)
    shown.set_extra_http_headers({"Authorization": "Bearer e30.e30.x"})
    problems = watched(shown)
    answered = shown.goto(running.url)
    assert answered is not None
    assert answered.status == 401
    expect(shown.get_by_role("heading", level=1)).to_have_text(WORDS[locale]["invalid_token"])
    assert (internet, problems) == ([], [])
    picture(shown, f"pricing-invalid_token-{locale[:2]}")


# What the policy lets through


def test_the_policy_lets_stripe_in_and_nobody_else(running: Running, open_page: OpenPage, internet: list[str]) -> None:
    """Whatever gets into the page reaches nobody, and neither does Stripe's own script beyond what it needs."""
    shown = open_page()
    play_stripe(shown)
    shown.add_init_script(
        "window.refused = []; addEventListener('securitypolicyviolation', e => refused.push(e.effectiveDirective))"
    )
    shown.goto(running.url)
    expect(shown.frame_locator("iframe").get_by_text("Club")).to_be_visible()
    assert shown.evaluate("refused") == []
    failed: dict[str, str | None] = {}
    shown.on("requestfailed", lambda request: failed.update({request.url: request.failure}))
    shown.evaluate(
        """async () => {
          const add = (name, fields) => document.body.append(Object.assign(document.createElement(name), fields))
          add("script", { src: "https://evil.example/a.js" })
          add("script", { textContent: "document.title = 'evil'" })
          add("script", { src: "/pricing_page" })
          add("iframe", { src: "https://evil.example/frame" })
          add("iframe", { src: "https://checkout.stripe.com/" })
          add("img", { src: "https://evil.example/a.png" })
          add("style", { textContent: "main { display: none }" })
          add("form", { action: "https://evil.example/form", id: "form" })
          document.getElementById("form").requestSubmit()
          await fetch("https://evil.example/data").catch(() => {})
          await fetch("https://api.stripe.com/").catch(() => {})
          document.querySelector("main").setAttribute("onclick", "document.title = 'evil'")
          document.querySelector("main").click()
          for (const end = Date.now() + 5000; refused.length < 11 && Date.now() < end;)
            await new Promise(done => setTimeout(done, 20))
        }"""
    )
    assert sorted(shown.evaluate("refused")) == [
        *("connect-src", "connect-src", "form-action", "frame-src", "frame-src", "img-src"),
        *("script-src-attr", "script-src-elem", "script-src-elem", "script-src-elem", "style-src-elem"),
    ]
    assert set(failed.values()) <= {"csp"}
    assert set(internet) - failed.keys() == {SCRIPT, FRAME}
    # Asked of the document itself: a locator would wait for the navigation that was refused.
    assert shown.evaluate("[getComputedStyle(document.querySelector('main')).display, document.title]") == [
        "block",
        f"料金プラン – {MAIL.brand.name}",
    ]


def test_stripe_is_told_the_site_and_not_the_page(running: Running, open_page: OpenPage) -> None:
    shown = open_page()
    told: dict[str, str | None] = {}
    shown.on("request", lambda request: told.update({request.url: request.headers.get("referer")}))
    play_stripe(shown)
    shown.goto(f"{running.url}?utm_source=mail")
    expect(shown.frame_locator("iframe").get_by_text("Club")).to_be_visible()
    assert told[SCRIPT] in {f"http://{running.server.addresses['http']}/", None}


def test_the_page_is_in_nobodys_frame(running: Running, open_page: OpenPage, tmp_path: Path) -> None:
    frame = tmp_path / "frame.html"
    frame.write_text(f'<meta charset="utf-8"><iframe src="{running.url}"></iframe>', "utf-8")
    shown = open_page()
    shown.goto(frame.as_uri())
    shown.wait_for_load_state()
    assert shown.frames[1].query_selector("stripe-pricing-table") is None


# Apps at other origins. No routing here: Playwright would answer the preflights itself.

ASK = """async ([url, token]) => {
  const headers = { Accept: "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) }
  try {
    const answer = await fetch(url, { headers, credentials: token ? "omit" : "include" })
    return [answer.status, await answer.json()]
  } catch (error) { return [0, String(error)] }
}"""


@pytest.fixture
def plain_page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def test_an_app_asks_with_its_users_token_or_cookie(running: Running, plain_page: Page) -> None:
    user_id, email = running.sign_up()
    plain_page.goto(running.friend.origin)
    sign_in(plain_page, running, running.cookie(email))
    referred = {"client_reference_id": user_id, "customer_email": email}
    for token in (running.users.sign_in(email), None):
        status, body = plain_page.evaluate(ASK, [running.url, token])
        assert status == 200
        assert referred.items() <= body.items()
    assert plain_page.evaluate(ASK, [running.url, "e30.e30.x"]) == [401, {"error": "invalid_token"}]


def test_another_site_learns_nothing(running: Running, plain_page: Page) -> None:
    _, email = running.sign_up()
    token = running.users.sign_in(email)
    plain_page.goto(running.stranger.origin)
    sign_in(plain_page, running, running.users.cookie(token))
    for asked in (token, None):
        assert plain_page.evaluate(ASK, [running.url, asked])[0] == 0
    # Not even by asking as if it were a picture or a script, where no preflight is needed.
    answered = plain_page.evaluate(
        "url => fetch(url, { mode: 'no-cors', credentials: 'include' }).then(a => [a.type, a.status])", running.url
    )
    assert answered == ["opaque", 0]


# Whose customer


def test_a_customer_of_the_verified_address_becomes_the_users(running: Running) -> None:
    user_id, email = running.sign_up()
    shop = Account(now=1_790_000_000, prefix=user_id)
    shop.complete(shop.open_session([Line("Coffee", 980)]), email=email)
    lookup = lookup_from({**os.environ, **running.environ})
    customer = running.customer(email=email)
    assert lookup.find(email=email) is not None
    for each in shop.events:
        if each["type"] == "checkout.session.completed":
            lookup.apply(event(each))
    found = running.json(Cookie=f"{COOKIE}={running.cookie(email)}")
    assert found["customer_session_client_secret"] == running.secret_of(customer)
    assert "client_reference_id" not in found
    user = running.document(f"users/{user_id}")
    assert user["primary"] == customer
    assert len(user["customers"]) == 2
    assert {each[:6] for each in user["customers"]} == {"guest_", customer[:6]}
    linked = running.document(f"customers/{customer}")
    assert (linked["user_id"], linked["linked_by"]) == (user_id, "verified_email")
    assert lines(running.server)[-1]["linked"] == 2
    again = running.json(Authorization=f"Bearer {running.users.sign_in(email)}")
    assert again["customer_session_client_secret"] == running.secret_of(customer)
    assert again != found
    assert "linked" not in lines(running.server)[-1]


def test_an_address_that_is_not_verified_leads_to_nobody(running: Running) -> None:
    user_id, email = running.sign_up(verified=False)
    customer = running.customer(email=email)
    found = running.json(Cookie=f"{COOKIE}={running.cookie(email)}")
    assert (found["client_reference_id"], found["customer_email"]) == (user_id, email)
    assert running.document(f"customers/{customer}") == {}


def test_somebody_elses_customer_stays_theirs(running: Running) -> None:
    user_id, email = running.sign_up()
    customer = running.customer(email=email, metadata={"user_id": "somebody_else"})
    found = running.json(Cookie=f"{COOKIE}={running.cookie(email)}")
    assert found["client_reference_id"] == user_id
    stored = running.document(f"customers/{customer}")
    assert (stored["user_id"], stored["conflicts"]) == ("somebody_else", 0)


def test_a_customer_deleted_at_stripe(running: Running) -> None:
    user_id, email = running.sign_up()
    customer = running.customer(email=email, metadata={"user_id": user_id})
    cookie = {"Cookie": f"{COOKIE}={running.cookie(email)}"}
    assert "customer_session_client_secret" in running.json(**cookie)
    running.stripe.put([{"id": customer, "object": "customer", "deleted": True}])
    assert running.json(**cookie)["client_reference_id"] == user_id
    assert lines(running.server)[-1]["severity"] == "WARNING"


def test_a_session_that_was_ended_is_a_visitors(running: Running) -> None:
    user_id, email = running.sign_up()
    cookie = running.cookie(email)
    auth.update_user(user_id, disabled=True, app=running.users.app)
    found = running.json(Cookie=f"{COOKIE}={cookie}")
    assert found.keys() == {"pricing_table_id", "publishable_key"}
    assert lines(running.server)[-1]["reason"] == "the session has ended"


def test_when_stripe_is_away_there_is_no_table(running: Running) -> None:
    user_id, email = running.sign_up()
    running.customer(email=email, metadata={"user_id": user_id})
    cookie = {"Cookie": f"{COOKIE}={running.cookie(email)}"}
    running.stripe.set_faults([{"path": "/v1/customer_sessions", "status": 500}])
    try:
        with local_http() as http:
            answered = http.get(running.url, headers={"Accept-Language": "en", **cookie}, timeout=30)
    finally:
        running.stripe.set_faults([])
    assert answered.status_code == 503
    assert "We cannot show our plans right now" in answered.text
    assert "stripe" not in answered.text.lower()


def test_nothing_personal_was_logged_by_any_of_this(running: Running) -> None:
    user_id, email = running.sign_up()
    running.json(Authorization=f"Bearer {running.users.sign_in(email)}")
    output = running.server.child.output()
    assert "pricing_page user" in output
    for private in (user_id, email, "cuss_secret", "Traceback", "sk_test_local"):
        assert private not in output
