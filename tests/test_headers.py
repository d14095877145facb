"""The headers of every answer, and that no body teaches anybody anything: each page in each of its states."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import functions_framework
import pytest
from flask import Request as FlaskRequest
from werkzeug.test import Client, EnvironBuilder, TestResponse

from functions.adapters import http
from functions.errors import Permanent, Retry
from functions.identity import Person
from functions.mail.locales import LANGUAGES
from functions.pages.http import Response
from tests import pricing_shop, test_unsubscribe, test_webhook
from tests.fuzz.asking import CUSTOMER, EMAIL, ERRORS, Asked, answered
from tests.pricing_shop import HANA, ORIGIN, Kept, Shop

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

HOSTILE = "<script>alert('hana@example.com')</script>"
AWAY = Retry(f"Firestore answered ServiceUnavailable to {HOSTILE}")


class BreaksOff(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        raise ConnectionError(f"{HOSTILE} {size}")


def unsubscribe(method: str = "GET", t: str | None = test_unsubscribe.TOKEN, body: Any = b"", **more: Any) -> Response:
    broken = more.pop("broken", None)
    store = test_unsubscribe.Broken(broken) if broken else test_unsubscribe.Documents()
    return test_unsubscribe.Page(store)(method, t, body, **more)


def pricing(method: str = "GET", **more: Any) -> Response:
    broken, signed_in, has_accounts = (more.pop(name, None) for name in ("broken", "signed_in", "no_accounts"))
    shop = Shop(broken={"find": broken} if broken else {}, customers={"cus_1": Kept("with_customer")})
    shown = pricing_shop.Page(shop, has_accounts=not has_accounts)
    return shown.signed_in(signed_in, **more) if signed_in else shown(method, **more)


def found(method: str = "GET", query: Mapping[str, str] = {}, body: bytes = b"", **more: Any) -> Response:
    return answered(Asked(method, more.pop("headers", {}), dict(query), body, more.pop("broken", None)))[0]


JSON = {"Accept": "application/json"}
WITH_CUSTOMER = Person(user_id="with_customer", email=None, is_verified=False)
#: Every page in every state and with every status: what it is called, the status, and how it comes about.
PAGES: dict[str, tuple[int, Callable[..., Response]]] = {
    "unsubscribe asks": (200, unsubscribe),
    "unsubscribe is done": (200, lambda **more: unsubscribe("POST", **more)),
    "unsubscribe is done for a program": (200, lambda **more: unsubscribe("POST", body=b"One-Click", **more)),
    "unsubscribe has a bad link": (400, lambda **more: unsubscribe(t=HOSTILE, **more)),
    "unsubscribe has no link": (400, lambda **more: unsubscribe(t=None, **more)),
    "unsubscribe is given half a body": (400, lambda **more: unsubscribe("POST", body=BreaksOff(), **more)),
    "unsubscribe is given too much": (413, lambda **more: unsubscribe("POST", body=b"x" * 65_537, **more)),
    "unsubscribe is asked in another way": (405, lambda **more: unsubscribe("DELETE", **more)),
    "unsubscribe cannot record": (503, lambda **more: unsubscribe("POST", broken=AWAY, **more)),
    "unsubscribe never can": (503, lambda **more: unsubscribe("POST", broken=Permanent("no", HOSTILE), **more)),
    "pricing for a visitor": (200, pricing),
    "pricing where nobody keeps accounts": (200, lambda **more: pricing(no_accounts=True, **more)),
    "pricing for a user": (200, lambda **more: pricing(signed_in=HANA, **more)),
    "pricing for a customer": (200, lambda **more: pricing(signed_in=WITH_CUSTOMER, **more)),
    "pricing for a bad token": (401, lambda **more: pricing(Authorization=f"Bearer {HOSTILE}", **more)),
    "pricing is asked in another way": (405, lambda **more: pricing("POST", **more)),
    "pricing cannot say": (503, lambda **more: pricing(signed_in=HANA, broken=AWAY, **more)),
    "pricing never can": (503, lambda **more: pricing(signed_in=HANA, broken=Permanent("no", HOSTILE), **more)),
}
#: The same for what programs read.
ANSWERS: dict[str, tuple[int, Callable[[], Response]]] = {
    **{
        f"{name} as JSON": (status, partial(make, **JSON))
        for name, (status, make) in PAGES.items()
        if name.startswith("pricing")
    },
    "pricing is asked what it allows": (204, lambda: pricing("OPTIONS", Origin=ORIGIN)),
    "find_customer finds": (200, lambda: found(query={"customer": CUSTOMER})),
    "find_customer finds nobody": (404, lambda: found(query={"customer": HOSTILE})),
    "find_customer is asked nothing": (400, lambda: found(query={"q": HOSTILE})),
    "find_customer is asked too much": (400, lambda: found(query={"email": HOSTILE * 20})),
    "find_customer is given no JSON": (400, lambda: found("POST", body=HOSTILE.encode())),
    "find_customer is given no texts": (400, lambda: found("POST", body=json.dumps({"email": [HOSTILE]}).encode())),
    "find_customer is given too much": (413, lambda: found("POST", body=b"x" * 8_193)),
    "find_customer is asked in another way": (405, lambda: found("PUT", body=HOSTILE.encode())),
    "find_customer cannot say": (503, lambda: found(query={"email": f"x{EMAIL}"}, broken=AWAY)),
    "find_customer never can": (503, lambda: found(query={"user_id": "nobody"}, broken=Permanent("no", HOSTILE))),
}


def check(response: Response, status: int) -> None:
    """What holds for everything that is ever answered."""
    assert response.status == status
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    said = f"{response.body} {dict(response.headers)}"
    assert "script>alert" not in said
    assert "Firestore" not in said
    assert "Traceback" not in said
    assert response.status < 400 or EMAIL not in said
    assert not {"server", "x-powered-by"} & {name.lower() for name in response.headers}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_does_only_what_it_is_for(name: str, language: str) -> None:
    status, make = PAGES[name]
    response = make(**{"Accept-Language": language})
    check(response, status)
    assert response.mimetype == "text/html"
    policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    has_table = "<stripe-pricing-table" in response.body
    assert policy.get("script-src") == policy.get("frame-src") == ("https://js.stripe.com" if has_table else None)
    referrer = "strict-origin-when-cross-origin" if has_table else "no-referrer"
    assert response.headers["Referrer-Policy"] == referrer
    assert response.headers["X-Robots-Tag"] == "noindex"


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_to_a_program_is_kept_by_nobody(name: str) -> None:
    status, make = ANSWERS[name]
    response = make()
    check(response, status)
    if status != 204:
        assert response.mimetype == "application/json"
        json.loads(response.body)


#: Everything that `pricing_page` ever says to an app that is told nothing else.
PRICING_ERRORS = {"invalid_token", "method_not_allowed", "unavailable"}


@pytest.mark.parametrize("name", [name for name, (status, _) in ANSWERS.items() if status >= 400])
def test_an_error_is_one_of_a_few_words(name: str) -> None:
    body = json.loads(ANSWERS[name][1]().body)
    assert set(body) == {"error"}
    assert body["error"] in (PRICING_ERRORS if name.startswith("pricing") else ERRORS)


# The webhook, whose answers Stripe shows in its dashboard

#: Everything that it ever says.
SAID = {
    "published",
    "ignored: the other mode",
    "ignored: nobody listens to this type",
    "only POST",
    "the body is not UTF-8",
    "more than 1048576 bytes",
    "the body cannot be read to its end",
    "no Stripe-Signature header",
    "the Stripe-Signature header is not ASCII",
    "the Stripe-Signature header does not have one timestamp",
    "no signature matches",
}
#: What it says to nobody but who has the secret.
SAID_TO_STRIPE = re.compile(
    r"the signature's timestamp is more than 300 s away from now|the body is not (JSON|a JSON object)"
    r"|the event has no [a-z_]+|[a-z_]+ is not a word of printable characters|livemode is not true or false"
    r"|created is not (a time in epoch seconds|an RFC 3339 time)|type is only a prefix"
    r"|not published: Pub/Sub answered [A-Z_]+"
)


def test_the_webhook_says_a_few_lines_and_more_only_to_stripe() -> None:
    body, secret = test_webhook.BODY, test_webhook.SECRET
    late = test_webhook.sign(body, at=test_webhook.NOW - 301)
    sent: list[tuple[str, bytes, str, bool]] = [
        ("POST", body, test_webhook.sign(body), True),
        ("POST", body, late, True),
        *(("POST", data, test_webhook.sign(data), True) for data in (b"x", b"[]", b"{}", b'{"type": "v1."}')),
        *(
            ("POST", body, header, False)
            for header in ("", "x", "\xe9", secret, late + "0", test_webhook.sign(body, "y"))
        ),
        *(("POST", data, "t=1,v1=00", False) for data in (b"\xff", HOSTILE.encode(), b"x" * (test_webhook.LIMIT + 1))),
        *((method, body, test_webhook.sign(body), False) for method in ("GET", "PUT", "OPTIONS")),
    ]
    for method, data, header, is_signed in sent:
        response, text = received(method, data, header, is_away=is_signed)
        assert text in SAID or (is_signed and SAID_TO_STRIPE.fullmatch(text)), text
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"


def received(method: str, body: bytes, signature: str, *, is_away: bool = False) -> tuple[TestResponse, str]:
    """Through Flask, as it is served: the response, and the one line of its body."""
    webhook = test_webhook.Webhook(publish_error=Retry("Pub/Sub answered UNAVAILABLE") if is_away else None)
    builder = EnvironBuilder(method=method, data=body, headers=[("Stripe-Signature", signature)] if signature else [])

    def application(environ: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
        return http.serve(webhook.receive, FlaskRequest(environ))(environ, start_response)

    response = Client(application).open(builder)
    return response, response.text.removesuffix("\n")


@pytest.mark.parametrize("target", ["unsubscribe", "find_customer"])
def test_a_page_that_breaks_says_nothing_of_how(target: str, tmp_path: Path) -> None:
    source = tmp_path / "main.py"
    source.write_text(f"def {target}(request):\n    raise ValueError(request.args)\n", "utf-8")
    app = functions_framework.create_app(target, str(source))
    logging.getLogger(target).disabled = True
    response = app.test_client().get(f"/?q={HOSTILE}")
    assert response.status_code == 500
    assert not [word for word in ("alert", "ValueError", "Traceback", "main.py", "Flask") if word in response.text]
