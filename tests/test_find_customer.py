"""`find_customer` over HTTP: what it answers, what it refuses, and that neither log nor address tell who was asked for.

Answered in this process, and served by functions-framework and gunicorn from the real `main.py`.
"""

import io
import json
import os
import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.cloud.firestore import Client
from werkzeug.datastructures import Headers

from functions.accounts.budget import Budget
from functions.accounts.lookup import Lookup
from functions.adapters.firestore import FirestoreStore
from functions.adapters.stripe import StripeApi
from functions.effects import Decision, Json
from functions.errors import Permanent, Retry
from functions.log import JsonLog
from functions.pages.find_customer import MAX_BODY_BYTES, RETRY_AFTER_SECONDS, answer
from functions.pages.http import Request, Response
from functions.stripe_events import StripeEvent
from functions.topology import function
from functions.wiring import lookup_from
from local import stripe_api as local
from local.account import Account
from local.emulators import Emulators
from local.passing import MovableClock
from local.processes import LOOPBACK, Program, Server, local_http

ROOT = Path(__file__).resolve().parent.parent
NOW = 1_790_000_000
CUSTOMER, USER, EMAIL = "cus_Known1", "hana.sato", "hana.sato@example.com"
TRACE = "0123456789abcdef0123456789abcdef"


@dataclass
class Page:
    """The function on the emulator, where one customer is known and nobody is at Stripe."""

    lookup: Lookup
    output: io.StringIO = field(default_factory=io.StringIO)

    def __call__(self, method: str = "GET", query: Json | None = None, body: bytes = b"", **headers: str) -> Response:
        named = Headers({name.replace("_", "-"): text for name, text in headers.items()})
        request = Request(method, named, query or {}, io.BytesIO(body))
        return answer(request, lookup=self.lookup, project="shop", clock=MovableClock(NOW), log=JsonLog(self.output))

    def post(self, data: Any) -> Response:
        return self("POST", body=data if isinstance(data, bytes) else json.dumps(data).encode())

    def log(self) -> list[Json]:
        return [json.loads(line) for line in self.output.getvalue().splitlines()]


@pytest.fixture(scope="module")
def stripe() -> Iterator[local.StripeApi]:
    with local.StripeApi() as running:
        yield running


@pytest.fixture
def page(firestore_client: Client, stripe: local.StripeApi) -> Page:
    stripe.clear()
    entry = {"customers": [CUSTOMER], "primary": CUSTOMER, "entries": {CUSTOMER: {"created": 1}}}
    firestore_client.document(f"customer_index/user:{USER}").set(entry)
    firestore_client.document(f"customer_index/email:{EMAIL}").set(entry)
    firestore_client.document(f"customers/{CUSTOMER}").set({"as_of": 1, "user_id": USER, "deleted": False})
    clock, store = MovableClock(NOW), FirestoreStore(firestore_client)

    def apply(_: StripeEvent) -> Decision:
        raise AssertionError("nobody is at Stripe")

    lookup = Lookup(
        store=store,
        stripe=StripeApi("sk_test_x", stripe.url, clock),
        budget=Budget(store, clock),
        clock=clock,
        log=JsonLog(io.StringIO()),
        apply=apply,
        user_id_key="user_id",
    )
    return Page(lookup)


def said(response: Response) -> tuple[int, Any]:
    """Its status and its body, and what holds for every answer."""
    assert response.mimetype == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    return response.status, json.loads(response.body)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("asked", "user_id"), [({"user_id": USER}, USER), ({"customer": CUSTOMER}, USER), ({"email": EMAIL}, None)]
)
def test_a_known_customer(page: Page, method: str, asked: Json, user_id: str | None) -> None:
    response = page(query=asked) if method == "GET" else page.post(asked)
    assert said(response) == (
        200,
        {
            "customers": [CUSTOMER],
            "primary": CUSTOMER,
            "user_id": user_id,
            "is_user_known": user_id is not None,
            "source": "index",
        },
    )
    assert response.body_was_read is (method == "POST")


@pytest.mark.parametrize("asked", [{"user_id": "nobody"}, {"customer": "cus_Nobody"}, {"email": "n@example.com"}])
def test_an_unknown_customer(page: Page, asked: Json) -> None:
    [by] = asked
    for response in (page(query=asked), page.post(asked)):
        assert said(response) == (404, {"error": f"no customer with this {by}"})


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"userid": USER},
        {"user_id": USER, "email": EMAIL},
        {"user_id": USER, "customer": CUSTOMER},
        {"user_id": ""},
        {"email": "  "},
        {"user_id": "x" * 513},
        {"customer": "x" * 513},
        {"email": "x" * 513},
    ],
    ids=str,
)
def test_what_is_not_one_question_is_refused(page: Page, asked: Json) -> None:
    for response in (page(query=asked), page.post(asked)):
        status, body = said(response)
        assert (status, list(body)) == (400, ["error"])


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"\xff", b"{", b"[]", b"null", b'"user_id"', b"[" * 8000),
        *(b'{"user_id": 1}', b'{"user_id": null}', b'{"user_id": ["a"]}', b'{"user_id": "\\ud83d"}'),
    ],
)
def test_what_is_no_object_of_texts_is_refused(page: Page, body: bytes) -> None:
    status, _ = said(page.post(body))
    assert status == 400


def test_the_longest_question_fits_into_the_largest_body(page: Page) -> None:
    assert said(page.post({"user_id": "🙂" * 512}))[0] == 404
    response = page.post(b" " * (MAX_BODY_BYTES + 1))
    assert (said(response)[0], response.body_was_read) == (413, False)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(page: Page, method: str) -> None:
    response = page(method, {"user_id": USER})
    assert said(response)[0] == 405
    assert response.headers["Allow"] == "GET, HEAD, POST"


def test_what_is_away_is_said_with_when_to_ask_again(page: Page, stripe: local.StripeApi) -> None:
    stripe.set_faults([{"path": "/v1/customers", "status": 500, "should_retry": "false"}])
    for response in (page(query={"user_id": "nobody"}), page.post({"email": "nobody@example.com"})):
        assert said(response)[0] == 503
        assert response.headers["Retry-After"] == str(RETRY_AFTER_SECONDS)
        assert "Stripe" not in response.body
    assert [line["severity"] for line in page.log()] == ["ERROR", "ERROR"]
    assert page.log()[0]["reason"] == "Stripe answered 500 to GET /v1/customers/search"


@pytest.mark.parametrize("error", [Retry("Firestore answered ServiceUnavailable"), Permanent("refused", EMAIL)])
def test_a_question_that_cannot_be_answered(page: Page, error: Exception) -> None:
    class Away:
        """A database that is not there."""

        def read(self, _: Any) -> Any:
            raise error

        def commit(self, _: Any, __: Any) -> None:
            raise error

    from dataclasses import replace

    page.lookup = replace(page.lookup, store=Away())
    assert said(page(query={"user_id": USER}))[0] == 503
    assert EMAIL not in page.output.getvalue()


def test_the_log_says_what_happened_and_not_to_whom(page: Page) -> None:
    page(query={"email": EMAIL}, X_Cloud_Trace_Context=f"{TRACE}/1;o=1", Referer=EMAIL, User_Agent=EMAIL)
    page.post({"user_id": USER})
    page.post({"customer": "hana.sato@example.com"})
    page.post({"user_id": USER, "email": EMAIL})
    common = {"function": "find_customer", "milliseconds": 0.0}
    found = {**common, "severity": "INFO", "message": "find_customer found", "outcome": "found", "status": 200}
    assert page.log() == [
        {**found, "by": "email", "source": "index", "logging.googleapis.com/trace": f"projects/shop/traces/{TRACE}"},
        {**found, "by": "user_id", "source": "index"},
        {
            **common,
            "severity": "INFO",
            "message": "find_customer not_found",
            "outcome": "not_found",
            "status": 404,
            "by": "customer",
        },
        {
            **common,
            "severity": "WARNING",
            "message": "find_customer refused",
            "outcome": "refused",
            "status": 400,
            "reason": "give one of user_id, customer and email",
        },
    ]
    assert "hana" not in page.output.getvalue()
    assert CUSTOMER not in page.output.getvalue()


def test_only_who_may_invoke_it_gets_there() -> None:
    row = function("find_customer")
    assert not row.public
    assert row.secrets == ("STRIPE_API_KEY",)


# Served


@dataclass
class Function:
    """The function in a process of its own."""

    server: Server
    client: Client
    stripe: local.StripeApi

    @property
    def url(self) -> str:
        """With a path before it, as the cloud has one."""
        return f"http://{self.server.addresses['http']}/find_customer"

    def lines(self) -> list[Json]:
        return [json.loads(line) for line in self.server.child.output().splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def served(
    emulators: Emulators, stripe: local.StripeApi, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Function]:
    """As Cloud Run does it: functions-framework's own command on the real `main.py`."""
    project = f"test-{secrets.token_hex(6)}"
    program = Program(
        name="find_customer",
        listens=("http",),
        command=lambda ports: [
            *(sys.executable, "-m", "functions_framework", "--target=find_customer", "--source=main.py"),
            *(f"--host={LOOPBACK}", f"--port={ports['http']}"),
        ],
        ready_line="Booting worker",
        environ={
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "GOOGLE_CLOUD_PROJECT": project,
            "GUNICORN_LOG_LEVEL": "info",
            "THREADS": "8",
            "STRIPE_API_KEY": "sk_test_x",
            "STRIPE_API_BASE": stripe.url,
            "BRAND_NAME": "Test Shop",
            "SUPPORT_EMAIL": "support@example.com",
            **emulators.environment(),
        },
        directory=ROOT,
    )
    server = Server(program, tmp_path_factory.mktemp("find_customer"))
    try:
        # `wait_until_ready` expects a page at /, and this function has none.
        deadline = time.monotonic() + 60
        while program.ready_line not in server.child.output():
            assert server.child.exit_status is None, server.child.output()
            assert time.monotonic() < deadline, server.child.output()
            time.sleep(0.05)
        yield Function(server, Client(project=project), stripe)
    finally:
        server.stop()


def test_a_customer_only_stripe_knows_is_found_and_then_known(served: Function) -> None:
    served.stripe.clear()
    account = Account(now=NOW)
    customer = account.create_customer(email=EMAIL, metadata={"user_id": USER})
    served.stripe.put(account.api_objects())
    with local_http() as http:
        first = http.post(served.url, json={"user_id": USER}, timeout=30)
        again = http.get(served.url, params={"user_id": USER}, timeout=30)
        head = http.head(served.url, params={"user_id": USER}, timeout=30)
        nobody = http.post(served.url, json={"user_id": 'x" OR metadata["user_id"]:"hana.sato'}, timeout=30)
    found = {"customers": [customer], "primary": customer, "user_id": USER, "is_user_known": True}
    assert (first.status_code, first.json()) == (200, {**found, "source": "stripe"})
    assert (again.status_code, again.json()) == (200, {**found, "source": "index"})
    assert first.headers["Content-Type"] == "application/json"
    assert first.headers["Cache-Control"] == "no-store"
    assert (head.status_code, head.content) == (200, b"")
    assert (nobody.status_code, nobody.json()) == (404, {"error": "no customer with this user_id"})
    assert [request["path"] for request in served.stripe.requests()] == ["/v1/customers/search"] * 2
    assert served.client.document(f"customers/{customer}").get().exists


def test_what_is_served_is_refused_in_the_same_way(served: Function) -> None:
    def status(method: str, **arguments: Any) -> int:
        # On a connection of its own: the server ends one whose body nobody read.
        with local_http() as http:
            return http.request(method, served.url, timeout=30, **arguments).status_code

    assert status("GET") == 400
    assert status("GET", params={"user_id": USER, "email": EMAIL}) == 400
    assert status("POST", data=b"{") == 400
    assert status("POST", data=b" " * (MAX_BODY_BYTES + 1)) == 413
    assert status("POST", data=iter([b" " * MAX_BODY_BYTES, b" " * MAX_BODY_BYTES])) == 413
    assert status("DELETE") == 405


def test_nothing_personal_was_logged_by_any_of_this(served: Function) -> None:
    with local_http() as http:
        http.post(served.url, json={"email": EMAIL}, timeout=30)
    assert served.lines()[-1]["by"] == "email"
    output = served.server.child.output()
    for private in (USER, EMAIL, "sk_test_x", "Traceback"):
        assert private not in output


def test_a_missing_setting_stops_it_before_it_serves() -> None:
    from functions.errors import SettingsError

    with pytest.raises(SettingsError, match="STRIPE_API_KEY is not set"):
        lookup_from({"GOOGLE_CLOUD_PROJECT": "shop"})
