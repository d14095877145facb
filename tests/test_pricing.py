"""Who the pricing table is told is there: so that nobody becomes two customers, and nobody somebody else.

Decided against a shop in memory, and served by functions-framework and gunicorn over real sockets.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from werkzeug.datastructures import Headers

from functions.errors import Permanent, Retry, SettingsError
from functions.mail.locales import LANGUAGES
from functions.mail.settings import Brand
from functions.pages.buyer import buyer
from functions.pages.pricing import COOKIE, RETRY_AFTER_SECONDS, VARY, wants_json
from functions.settings.pricing import pricing_settings
from local.mail_samples import SETTINGS as MAIL
from local.processes import Server, local_http
from tests.pricing_shop import (
    HANA,
    ORIGIN,
    ROOT,
    SETTINGS,
    TABLE,
    Json,
    Kept,
    Lookup,
    Page,
    Parts,
    Shop,
    lines,
    served,
    told,
)

AWAY = Retry("Firestore answered ServiceUnavailable")
REFERRED = {"client-reference-id": HANA.user_id, "customer-email": HANA.email}
HOSTILE = '"><script>alert("hana@example.com")</script>'


def secret_of(customer: str) -> Json:
    return {"customer-session-client-secret": f"cuss_secret_{customer}_1"}


# The three cases


def test_a_visitor_gets_the_plain_table() -> None:
    page = Page()
    assert page.attributes() == {}
    assert (page.shop.looked_up, page.shop.sessions) == ([], [])


def test_a_user_without_a_customer_is_named_to_checkout() -> None:
    page = Page()
    assert page.attributes(HANA) == REFERRED
    assert page.shop.sessions == []


def test_a_user_with_a_customer_buys_as_that_customer() -> None:
    page = Page(Shop(customers={"cus_1": Kept(HANA.user_id)}))
    assert page.attributes(HANA) == secret_of("cus_1")
    asked = [{"user_id": HANA.user_id, "email": HANA.email}, {"customer": "cus_1"}]
    assert page.shop.looked_up == asked, "whose they are, and what it was linked by"


def test_every_page_has_a_secret_of_its_own() -> None:
    page = Page(Shop(customers={"cus_1": Kept(HANA.user_id)}))
    assert page.attributes(HANA) != page.attributes(HANA)


# Which customer


def test_the_primary_customer_is_used() -> None:
    shop = Shop(customers={"cus_new": Kept(HANA.user_id), "cus_old": Kept(HANA.user_id)}, primary="cus_old")
    assert Page(shop).attributes(HANA) == secret_of("cus_old")


def test_a_guest_is_nobody_stripe_knows() -> None:
    customers = {name: Kept(HANA.user_id) for name in ("guest_a", "cus_new", "cus_old", "guest_b")}
    shop = Shop(customers=customers, primary="guest_b")
    assert Page(shop).attributes(HANA) == secret_of("cus_new")


def test_a_user_who_has_only_been_a_guest_has_no_customer_yet() -> None:
    shop = Shop(customers={"guest_a": Kept(HANA.user_id)})
    assert Page(shop).attributes(HANA) == REFERRED
    assert shop.sessions == []


def test_a_customer_that_a_link_named_for_a_user_is_theirs_only_with_their_address() -> None:
    """Whoever knows a user's id may buy in its name: the receipts of what that user buys must not go to them."""
    strange = Kept(HANA.user_id, "stranger@example.com", linked_by="client_reference_id")
    assert Page(Shop(customers={"cus_1": strange})).attributes(HANA) == REFERRED
    own = replace(strange, email="Hana@Example.com")
    assert Page(Shop(customers={"cus_1": own})).attributes(HANA) == secret_of("cus_1")
    proven = replace(strange, linked_by="verified_email")
    assert Page(Shop(customers={"cus_1": proven})).attributes(HANA) == secret_of("cus_1")


def test_a_strangers_customer_does_not_hide_the_users_own() -> None:
    strange = Kept(HANA.user_id, "stranger@example.com", linked_by="client_reference_id")
    shop = Shop(customers={"cus_strange": strange, "cus_own": Kept(HANA.user_id)}, primary="cus_strange")
    assert Page(shop).attributes(HANA) == secret_of("cus_own")


def test_a_user_without_an_address_buys_as_whom_the_link_named() -> None:
    named = Kept(HANA.user_id, "hana@example.com", linked_by="client_reference_id")
    page = Page(Shop(customers={"cus_1": named}))
    assert page.attributes(replace(HANA, email=None, is_verified=False)) == secret_of("cus_1")


def test_the_next_customer_is_taken_where_one_is_deleted() -> None:
    shop = Shop(customers={"cus_1": Kept(HANA.user_id), "cus_2": Kept(HANA.user_id)}, gone={"cus_1"})
    assert Page(shop).attributes(HANA)["customer-session-client-secret"].startswith("cuss_secret_cus_2")


def test_a_key_that_may_make_no_sessions_sells_nothing_twice() -> None:
    page = Page(Shop(customers={"cus_1": Kept(HANA.user_id)}))
    page.shop.broken["customer_session"] = Permanent("Stripe has nothing at POST /v1/customer_sessions (None)")
    assert page.signed_in(HANA).status == 503


def test_a_customer_whom_stripe_has_deleted_is_not_insisted_on() -> None:
    page = Page(Shop(customers={"cus_1": Kept(HANA.user_id)}, gone={"cus_1"}))
    assert page.attributes(HANA) == REFERRED
    [line] = page.log()
    assert (line["severity"], line["outcome"]) == ("WARNING", "user")
    assert line["reason"].startswith("Stripe has nothing at POST /v1/customer_sessions")


# Whose address it is


def test_what_is_nobodys_and_has_the_verified_address_becomes_the_users() -> None:
    shop = Shop(customers={"cus_1": Kept(email="Hana@Example.com")})
    page = Page(shop)
    assert page.attributes(HANA) == secret_of("cus_1")
    assert shop.linked == [("cus_1", HANA.user_id)]
    assert (page.log()[0]["outcome"], page.log()[0]["linked"]) == ("customer", 1)


def test_every_customer_of_the_address_becomes_the_users_guests_too() -> None:
    address = Kept(email=HANA.email)
    shop = Shop(customers={"guest_a": address, "cus_new": address, "cus_old": address, "cus_x": Kept()})
    assert Page(shop).attributes(HANA) == secret_of("cus_new")
    assert [customer for customer, _ in shop.linked] == ["guest_a", "cus_new", "cus_old"]


def test_a_guest_alone_becomes_the_users_and_checkout_makes_the_customer() -> None:
    shop = Shop(customers={"guest_a": Kept(email=HANA.email)})
    page = Page(shop)
    assert page.attributes(HANA) == REFERRED
    assert shop.linked == [("guest_a", HANA.user_id)]
    assert page.log()[0]["linked"] == 1
    assert page.attributes(HANA) == REFERRED
    assert len(shop.linked) == 1, "once is enough"


@pytest.mark.parametrize("email", [HANA.email, None])
def test_an_address_that_is_not_verified_is_not_even_looked_up(email: str | None) -> None:
    shop = Shop(customers={"cus_1": Kept(email=HANA.email)})
    person = replace(HANA, email=email, is_verified=False)
    expected = {"client-reference-id": HANA.user_id, **({"customer-email": email} if email else {})}
    assert Page(shop).attributes(person) == expected
    assert shop.looked_up == [{"user_id": HANA.user_id}]
    assert shop.linked == []


def test_a_provider_that_calls_no_address_verified_is_not_believed() -> None:
    assert Page().attributes(replace(HANA, email=None)) == {"client-reference-id": HANA.user_id}


def test_somebody_elses_customer_is_never_used_nor_claimed() -> None:
    shop = Shop(customers={"cus_1": Kept("somebody_else", HANA.email)})
    assert Page(shop).attributes(HANA) == REFERRED
    assert (shop.linked, shop.sessions) == ([], [])


@pytest.mark.parametrize("primary", ["cus_theirs", "cus_nobodys"])
def test_each_customer_of_an_address_is_asked_whose_it_is(primary: str) -> None:
    customers = {"cus_theirs": Kept("somebody_else", HANA.email), "cus_nobodys": Kept(email=HANA.email)}
    shop = Shop(customers=customers, primary=primary)
    assert Page(shop).attributes(HANA) == secret_of("cus_nobodys")
    assert shop.linked == [("cus_nobodys", HANA.user_id)]


@pytest.mark.parametrize("is_verified", [True, False])
def test_an_id_and_an_address_that_nobody_can_have_are_nobodys(*, is_verified: bool) -> None:
    endless = replace(HANA, user_id="x" * 600, email=f"{'x' * 600}@example.com", is_verified=is_verified)
    assert Page().attributes(endless) == {"customer-email": endless.email}


def test_who_loses_the_customer_in_the_meantime_does_not_get_it() -> None:
    shop = Shop(customers={"cus_1": Kept(email=HANA.email)}, contested={"cus_1"})
    assert Page(shop).attributes(HANA) == REFERRED
    assert shop.sessions == []


def test_a_customer_that_nobody_looked_for_any_more_is_left_alone() -> None:
    class Forgetful(Lookup):
        def find(self, **asked: str | float | None) -> None:
            self.shop.looked_up.append(asked)

    shop = Shop(customers={"cus_1": Kept(HANA.user_id)})
    found = buyer(HANA, Forgetful(shop), shop, shop.link)
    assert (found.kind, found.attributes) == ("user", REFERRED)


# What Checkout can be told


@pytest.mark.parametrize("user_id", ["a", "A-b_9", "x" * 200, "3f1e0c9a-7a52-4f9e-8f3c-0d2c6b1a9e77"])
def test_an_id_that_stripe_takes(user_id: str) -> None:
    assert Page().attributes(replace(HANA, user_id=user_id))["client-reference-id"] == user_id


@pytest.mark.parametrize("user_id", ["auth0|1", "a.b", "U/1", "x" * 201, "花", "a\n", HOSTILE, "a b", "line:1", "é"])
def test_an_id_that_stripe_would_drop_is_left_out_and_an_operator_told(user_id: str) -> None:
    page = Page()
    assert page.attributes(replace(HANA, user_id=user_id)) == {"customer-email": HANA.email}
    [line] = page.log()
    assert (line["severity"], line["outcome"]) == ("WARNING", "user")
    assert "client-reference-id" in line["reason"]
    assert json.dumps(user_id) not in page.output.getvalue()


def test_an_id_that_stripe_would_drop_is_no_matter_for_a_customer() -> None:
    page = Page(Shop(customers={"cus_1": Kept("auth0|1")}))
    assert page.attributes(replace(HANA, user_id="auth0|1")) == secret_of("cus_1")
    assert page.log()[0]["severity"] == "INFO"


# How a user proves who they are


def test_a_bearer_is_an_id_token() -> None:
    page = Page(Shop(people={("id_token", "a.b.c"): HANA}))
    for scheme in ("Bearer a.b.c", "bearer  a.b.c", " Bearer a.b.c "):
        assert told(page(Authorization=scheme)) == REFERRED


def test_a_bearer_goes_before_a_cookie() -> None:
    other = replace(HANA, user_id="other")
    page = Page(Shop(people={("id_token", "t"): HANA, ("session_cookie", "c"): other}))
    assert told(page(Authorization="Bearer t", Cookie=f"{COOKIE}=c")) == REFERRED
    assert page(Authorization="Bearer wrong", Cookie=f"{COOKIE}=c").status == 401


@pytest.mark.parametrize("cookie", ["{}", "a=1; {}; b=2", '{}; bad[name]="x', "__session2=x;{}", "; ;{}; {}x"])
def test_the_cookie_is_found_among_others(cookie: str) -> None:
    page = Page(Shop(people={("session_cookie", "ey.J-h_b"): HANA}))
    assert told(page(Cookie=cookie.replace("{}", f"{COOKIE}=ey.J-h_b"))) == REFERRED


@pytest.mark.parametrize("cookie", ["", "a=1", f"{COOKIE}=", f"x{COOKIE}=good", "good", ";;=;", f"{COOKIE}"])
def test_without_the_cookie_one_is_a_visitor(cookie: str) -> None:
    page = Page(Shop(people={("session_cookie", "good"): HANA}))
    assert told(page(Cookie=cookie)) == {}
    assert "reason" not in page.log()[0]


def test_a_cookie_that_proves_nothing_is_a_session_that_has_ended() -> None:
    page = Page()
    assert told(page(Cookie=f"{COOKIE}=hana-old")) == {}
    expected = {
        "severity": "INFO",
        "message": "pricing_page visitor",
        "function": "pricing_page",
        "outcome": "visitor",
        "status": 200,
        "reason": "the session has ended",
        "milliseconds": 0.0,
    }
    assert page.log() == [expected]


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer", "Basic aGFuYTpoYW5h", "a.b.c", "Bearer a, Bearer b"])
@pytest.mark.parametrize("has_accounts", [True, False])
def test_a_bearer_that_proves_nothing_is_refused(header: str, *, has_accounts: bool) -> None:
    page = Page(has_accounts=has_accounts)
    for accept in ("text/html", "application/json"):
        response = page(Authorization=header, Accept=accept)
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert "prctbl_" not in response.body
    assert {line["reason"] for line in page.log()} == {"the bearer proves nobody"}
    assert "wrong" not in page.output.getvalue()


def test_where_nobody_keeps_accounts_everybody_is_a_visitor() -> None:
    page = Page(Shop(people={("session_cookie", "good"): HANA}), has_accounts=False)
    response = page(Cookie=f"{COOKIE}=good")
    assert told(response) == {}
    assert "ログイン" not in response.body, "nobody is asked to sign in where nobody can"
    assert "ログイン" in Page()().body


# When something is away


@pytest.mark.parametrize("what", ["person", "find", "link", "customer_session"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_rather_no_table_than_one_that_makes_a_second_customer(what: str, language: str) -> None:
    shop = Shop(customers={"cus_1": Kept(email=HANA.email)}, broken={what: AWAY})
    page = Page(shop)
    response = page.signed_in(Accept_Language=language)
    assert (response.status, response.headers["Retry-After"]) == (503, str(RETRY_AFTER_SECONDS))
    assert response.headers["Content-Language"] == language
    assert {"ja": "ただいま料金プランを表示できません", "en": "right now"}[language] in response.body
    assert "stripe" not in response.body.lower()
    assert "Firestore" not in response.body
    as_json = page.signed_in(Accept="application/json", Origin=ORIGIN)
    assert (as_json.status, as_json.headers["Retry-After"]) == (503, str(RETRY_AFTER_SECONDS))
    assert json.loads(as_json.body) == {"error": "unavailable"}
    assert as_json.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert [(line["severity"], line["reason"]) for line in page.log()] == [("ERROR", str(AWAY))] * 2


@pytest.mark.parametrize("what", ["person", "find"])
def test_what_is_broken_for_good_is_for_an_operator(what: str) -> None:
    page = Page(Shop(broken={what: Permanent("not taken", HOSTILE)}))
    assert page.signed_in().status == 503
    assert "script" not in page.output.getvalue()


def test_visitors_see_the_table_whatever_is_away() -> None:
    broken: dict[str, Exception] = dict.fromkeys(("person", "find", "link", "customer_session"), AWAY)
    assert Page(Shop(broken=broken)).attributes() == {}


# The page


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("person", [None, HANA, replace(HANA, user_id="with_customer")])
def test_the_page_runs_and_frames_what_is_stripes_and_nothing_else(language: str, person: object) -> None:
    page = Page(Shop(customers={"cus_1": Kept("with_customer")}))
    signed_in = {} if person is None else {"Cookie": f"{COOKIE}=good"}
    page.shop.people["session_cookie", "good"] = person or HANA  # type: ignore[assignment]
    response = page(Accept_Language=language, **signed_in)
    parts = Parts(response.body)
    assert parts.of("script") == [{"async": None, "src": "https://js.stripe.com/v3/pricing-table.js"}]
    assert not {"iframe", "object", "embed", "base", "form", "input"} & {name for name, _ in parts.elements}
    assert not [name for _, each in parts.elements for name in each if name == "style" or name.startswith("on")]
    assert len(parts.of("noscript")) == 1
    assert parts.of("html") == [{"lang": language}]
    policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    assert policy.pop("style-src").startswith("'sha256-")
    assert policy == {
        "default-src": "'none'",
        "script-src": "https://js.stripe.com",
        "frame-src": "https://js.stripe.com",
        "img-src": "data:",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    expected = {
        "Content-Language": language,
        "Cache-Control": "no-store",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "Vary": VARY,
        "X-Robots-Tag": "noindex",
        "X-Content-Type-Options": "nosniff",
    }
    assert expected.items() <= response.headers.items()


@pytest.mark.parametrize("header", ["Bearer wrong", ""])
def test_a_page_without_a_table_runs_nothing(header: str) -> None:
    response = Page()("GET" if header else "PUT", Authorization=header)
    assert response.status in {401, 405}
    assert not {"script", "stripe-pricing-table", "form"} & {name for name, _ in Parts(response.body).elements}
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "stripe" not in policy
    assert (response.headers["Cache-Control"], response.headers["Vary"]) == ("no-store", VARY)


def test_what_is_told_is_text_and_never_markup() -> None:
    brand = Brand(name=HOSTILE, footer=(HOSTILE,))
    page = Page(settings=replace(SETTINGS, mail=replace(MAIL, brand=brand)))
    response = page.signed_in(replace(HANA, email=f"{HOSTILE}@example.com"))
    assert len(Parts(response.body).of("script")) == 1
    assert told(response)["customer-email"] == f"{HOSTILE}@example.com"


def test_every_state_is_said_in_every_language() -> None:
    said = set()
    for language in LANGUAGES:
        for page in (Page(), Page(has_accounts=False)):
            said.add(page(Accept_Language=language).body)
        said.add(Page().signed_in(Accept_Language=language).body)
        said.add(Page(Shop(customers={"cus_1": Kept(HANA.user_id)})).signed_in(Accept_Language=language).body)
        said.add(Page()(Accept_Language=language, Authorization="x").body)
        said.add(Page()("POST", Accept_Language=language).body)
        said.add(Page(Shop(broken={"person": AWAY})).signed_in(Accept_Language=language).body)
    assert len(said) == 7 * len(LANGUAGES)


# JSON


def test_the_same_as_json() -> None:
    shop = {name.replace("-", "_"): value for name, value in TABLE.items()}
    page = Page(Shop(customers={"cus_1": Kept("with_customer")}))
    referred = {"client_reference_id": HANA.user_id, "customer_email": HANA.email}
    for response, more in (
        (page(Accept="application/json"), {}),
        (page.signed_in(Accept="application/json"), referred),
        (
            page.signed_in(replace(HANA, user_id="with_customer"), Accept="application/json"),
            {"customer_session_client_secret": "cuss_secret_cus_1_1"},
        ),
    ):
        assert (response.status, response.mimetype) == (200, "application/json")
        assert json.loads(response.body) == shop | more
        assert response.headers["Vary"] == VARY
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/json", True),
        ("application/json, text/plain, */*", True),
        ("APPLICATION/JSON; charset=utf-8", True),
        ("text/html;q=0.5, application/json", True),
        ("application/json, text/html", True),
        ("text/html, application/json", False),
        ("application/json;q=0.5, text/html", False),
        ("application/json;q=0", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("*/*", False),
        ("", False),
        ("application/jsonp", False),
        ("x/y," * 10_000 + "application/json", False),
        (";;q=,,,", False),
    ],
)
def test_json_is_for_who_would_rather_have_it(accept: str, *, expected: bool) -> None:
    assert wants_json(Headers({"Accept": accept})) is expected


# Other origins


@pytest.mark.parametrize("origin", sorted(SETTINGS.allowed_origins))
def test_an_app_of_an_allowed_origin_may_ask(origin: str) -> None:
    page = Page(Shop(people={("id_token", "t"): HANA}))
    preflight = page(
        "OPTIONS",
        Origin=origin,
        Access_Control_Request_Method="GET",
        Access_Control_Request_Headers="authorization",
    )
    assert (preflight.status, preflight.body) == (204, "")
    assert preflight.headers["Access-Control-Allow-Origin"] == origin
    assert preflight.headers["Access-Control-Allow-Credentials"] == "true"
    assert preflight.headers["Access-Control-Allow-Methods"] == "GET"
    assert preflight.headers["Access-Control-Allow-Headers"] == "Authorization"
    assert int(preflight.headers["Access-Control-Max-Age"]) > 0
    assert preflight.headers["Vary"] == VARY
    for response, status in (
        (page(Origin=origin, Accept="application/json", Authorization="Bearer t"), 200),
        (page(Origin=origin, Accept="application/json", Authorization="Bearer wrong"), 401),
        (page("POST", Origin=origin, Accept="application/json"), 405),
        (page.signed_in(Origin=origin, Accept="application/json"), 200),
        (page(Origin=origin), 200),
    ):
        assert response.status == status
        assert response.headers["Access-Control-Allow-Origin"] == origin
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
    assert json.loads(page.signed_in(Origin=origin, Accept="application/json").body)["customer_email"] == HANA.email


STRANGERS = [
    "https://evil.example",
    f"{ORIGIN}.evil.example",
    ORIGIN.replace("https", "http"),
    f"{ORIGIN}:8443",
    f"{ORIGIN}/",
    ORIGIN.upper(),
    "null",
    "*",
]


@pytest.mark.parametrize("origin", STRANGERS)
def test_an_app_of_any_other_origin_learns_nothing_of_anybody(origin: str) -> None:
    page = Page(Shop(customers={"cus_1": Kept(email=HANA.email)}, people={("id_token", "t"): HANA}))
    for method in ("GET", "OPTIONS", "POST"):
        for signed_in in ({"Cookie": f"{COOKIE}=good"}, {"Authorization": "Bearer t"}, {"Authorization": "x"}, {}):
            page.shop.people["session_cookie", "good"] = HANA
            response = page(method, Origin=origin, Accept="application/json", **signed_in)
            assert not [name for name in response.headers if name.startswith("Access-Control")]
    cookie = page.signed_in(Origin=origin, Accept="application/json")
    assert "customer" not in cookie.body
    assert "ALLOWED_ORIGINS" in page.log()[-1]["reason"]


def test_no_origin_is_allowed_unless_it_is_said() -> None:
    page = Page(settings=replace(SETTINGS, allowed_origins=frozenset()))
    for origin in ({}, {"Origin": ""}, {"Origin": ORIGIN}):
        assert not [name for name in page(**origin).headers if name.startswith("Access-Control")]


# Methods


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW", "get"])
def test_other_methods_are_not_allowed(method: str) -> None:
    page = Page(Shop(people={("id_token", "t"): HANA}))
    response = page(method, Authorization="Bearer t")
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert page.shop.looked_up == []
    as_json = page(method, Accept="application/json")
    assert (as_json.status, json.loads(as_json.body)) == (405, {"error": "method_not_allowed"})


def test_options_is_answered_to_whoever_asks() -> None:
    response = Page()("OPTIONS")
    assert (response.status, response.headers["Allow"], response.body) == (204, "GET, HEAD, OPTIONS", "")


# The log


def test_the_log_says_what_happened_and_to_nobody() -> None:
    page = Page(Shop(customers={"cus_1": Kept(email=HANA.email)}))
    by_google = "0123456789abcdef0123456789abcdef"
    page.signed_in(X_Cloud_Trace_Context=f"{by_google}/1;o=1", Referer=HOSTILE, User_Agent=HOSTILE)
    page(Authorization=f"Bearer {HOSTILE}", Origin=HOSTILE)
    assert page.log()[0] == {
        "severity": "INFO",
        "message": "pricing_page customer",
        "logging.googleapis.com/trace": f"projects/shop/traces/{by_google}",
        "function": "pricing_page",
        "outcome": "customer",
        "status": 200,
        "linked": 1,
        "milliseconds": 0.0,
    }
    for private in ("hana", "cus_1", "cuss_secret", "good", "script", SETTINGS.stripe_api_key):
        assert private not in page.output.getvalue()


# Settings

ENVIRON = {
    "GOOGLE_CLOUD_PROJECT": "shop",
    "STRIPE_API_KEY": "sk_test_secret",
    "PRICING_TABLE_ID": "prctbl_1PlansOfTheCafe",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_1ForEverybodyToSee",
    "BRAND_NAME": "My Shop",
    "SUPPORT_EMAIL": "support@example.com",
}


def test_the_settings_and_their_defaults() -> None:
    settings = pricing_settings(ENVIRON)
    assert settings == replace(SETTINGS, allowed_origins=frozenset(), mail=settings.mail)
    assert settings.mail.brand.name == "My Shop"
    assert "sk_test_secret" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ORIGIN, {ORIGIN}),
        (f"{ORIGIN}/, http://localhost:5173", {ORIGIN, "http://localhost:5173"}),
        ("HTTPS://App.Yamaneko.Example:443\nhttp://127.0.0.1", {ORIGIN, "http://127.0.0.1"}),
        ("https://a.example:8443,,", {"https://a.example:8443"}),
    ],
)
def test_origins_are_kept_as_browsers_write_them(text: str, expected: set[str]) -> None:
    assert pricing_settings({**ENVIRON, "ALLOWED_ORIGINS": text}).allowed_origins == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("ALLOWED_ORIGINS", each) for each in ("*", "null", "https://*.shop.example", "http://shop.example")),
        *(("ALLOWED_ORIGINS", each) for each in ("shop.example", "https://a.example/app", "https://", "https://ü.de")),
        *(("PRICING_TABLE_ID", each) for each in ("", "price_1", "prctbl_", 'prctbl_"x')),
        *(("STRIPE_PUBLISHABLE_KEY", each) for each in ("", "sk_test_1", "pk_1", "pk_test_", "pk_test_a b")),
        ("STRIPE_PUBLISHABLE_KEY", "pk_live_1"),
        ("STRIPE_API_KEY", "pk_test_1"),
    ],
)
def test_what_is_wrong_is_said_by_name(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=name) as raised:
        pricing_settings({**ENVIRON, name: text})
    assert "sk_test_secret" not in str(raised.value)


# Served

SOURCE = """
import sys
from functools import partial
import functions_framework
from functions.adapters.clock import SystemClock
from functions.adapters.page import serve
from functions.log import JsonLog
from functions.pages.pricing import answer
from tests.pricing_shop import HANA, SETTINGS, Kept, Lookup, Shop

SHOP = Shop(customers={"cus_1": Kept("with_customer")}, people={("id_token", "t"): HANA})
PAGE = partial(
    serve,
    partial(answer, settings=SETTINGS, identity=SHOP, lookup=Lookup(SHOP), stripe=SHOP, link=SHOP.link,
            clock=SystemClock(), log=JsonLog(sys.stdout)),
)

@functions_framework.http
def pricing_page(request):
    return PAGE(request)
"""


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("pricing")
    source: Path = directory / "page_source.py"
    source.write_text(SOURCE, "utf-8")
    with served(str(source), directory, {"PYTHONPATH": str(ROOT)}) as server:
        yield server


def test_served_it_is_the_same(function: Server) -> None:
    url = f"http://{function.addresses['http']}/pricing_page"
    bearer = {"Authorization": "Bearer t", "Accept-Language": "en"}
    with local_http() as http:
        page = http.get(url, headers=bearer, timeout=30)
        head = http.head(url, headers=bearer, timeout=30)
        data = http.get(url, headers={**bearer, "Accept": "application/json", "Origin": ORIGIN}, timeout=30)
        preflight = http.options(url, headers={"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}, timeout=30)
        refused = http.get(url, headers={"Authorization": "Bearer x"}, timeout=30)
        cookie = http.get(url, headers={"Cookie": f"{COOKIE}=old"}, timeout=30)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert 'client-reference-id="hana_1" customer-email="hana@example.com"' in page.text
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(page.content))
    assert data.headers["Content-Type"].split(";")[0] == "application/json"
    assert data.json()["client_reference_id"] == HANA.user_id
    assert data.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert (preflight.status_code, preflight.content) == (204, b"")
    assert preflight.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert refused.status_code == 401
    assert not SimpleCookie(cookie.headers.get("Set-Cookie"))
    assert cookie.status_code == 200
    assert "client-reference-id" not in cookie.text
    assert [line["status"] for line in lines(function)] == [200, 200, 200, 401, 200]
    assert lines(function)[-1]["reason"] == "the session has ended"


def test_a_body_that_nobody_asked_for_is_not_read(function: Server) -> None:
    url = f"http://{function.addresses['http']}/pricing_page"
    for method in ("GET", "POST", "OPTIONS"):
        with local_http() as http:
            status = http.request(method, url, data=iter([b"x" * 100_000] * 3), timeout=30).status_code
        assert status == {"GET": 200, "POST": 405, "OPTIONS": 204}[method]
