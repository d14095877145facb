"""Questions to `find_customer`, and what every page and it are sent: headers, queries and bodies of all kinds."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from hypothesis import strategies as st

from functions.accounts.budget import Budget
from functions.accounts.lookup import Lookup
from functions.effects import Decision, Fetch, Json
from functions.errors import Permanent, Retry
from functions.identity import Person
from functions.log import JsonLog
from functions.marketing.links import PARAMETER
from functions.pages import find_customer
from functions.pages.http import Request, Response
from functions.pages.pricing import COOKIE
from functions.reactions import index_customers
from functions.stripe_events import StripeEvent
from local.account import Account
from local.passing import MovableClock
from tests.driving import World
from tests.fuzz.firestore import Documents
from tests.fuzz.mutations import json_values, texts
from tests.fuzz.target import Target
from tests.pricing_shop import SETTINGS as PRICING
from tests.stories import START
from tests.test_webhook import Upload

CUSTOMER, USER, EMAIL = "cus_Known1", "hana.sato", "hana.sato@example.com"


class Sent(dict[str, str]):
    """Headers, by name in any case."""

    def get(self, name: str, default: str = "", /) -> str:  # type: ignore[override]
        return next((value for key, value in self.items() if key.lower() == name.lower()), default)


@dataclass(frozen=True)
class Asked:
    """A request, and what is the matter with whom it depends on: nothing, or an error."""

    method: str
    headers: dict[str, str]
    query: dict[str, str]
    body: bytes
    broken: Exception | None = None
    person: Person | None = None

    @property
    def request(self) -> Request:
        return Request(self.method, Sent(self.headers), self.query, Upload(self.body))


methods = st.sampled_from(["GET"] * 4 + ["POST"] * 4 + ["HEAD", "OPTIONS", "PUT", "get", "", "\ud800"])
troubles = st.sampled_from([None, None, None, Retry("away"), Permanent("refused", "a detail")])
names = st.sampled_from(["user_id", "customer", "email", PARAMETER])
asked_for = st.sampled_from([CUSTOMER, USER, EMAIL, EMAIL.upper(), "x" * 513]) | texts
tags = st.sampled_from(["ja", "en-US;q=0.5", "*", "x-klingon", "ja;q=2", "zh-Hant-TW", ";;", "en;q=0"]) | texts
languages = st.lists(tags, max_size=25).map(",".join)
types = st.sampled_from(["application/json", "text/html", "*/*;q=0.1", "application/json;q=0.9", "a;b=c;q=1"]) | texts
cookies = st.lists(
    st.sampled_from([f"{COOKIE}=good", f"{COOKIE}=bad", f'{COOKIE}="go\\157d"', "a=b", "=", "$Path=/"]) | texts,
    max_size=4,
).map(";".join)
bearers = st.sampled_from(["Bearer good", "bearer  good", "Bearer", "Basic YTpi", "Bearer a, b"]) | texts
HEADERS = {
    "Accept-Language": languages,
    "Accept": st.lists(types, max_size=4).map(",".join),
    "Cookie": cookies,
    "Authorization": bearers,
    "Origin": st.sampled_from([*sorted(PRICING.allowed_origins), "null", "https://evil.example"]) | texts,
    "X-Cloud-Trace-Context": st.sampled_from(["0123456789abcdef0123456789abcdef/1;o=1"]) | texts,
    "traceparent": st.sampled_from(["00-0123456789abcdef0123456789abcdef-00f067aa0ba902b7-01"]) | texts,
    "Content-Length": st.sampled_from(["0", "9" * 30, "-1", "²"]) | texts,
}
headers = st.fixed_dictionaries({}, optional=HEADERS)


def check_answer(asked: Asked, response: Response, output: io.StringIO) -> None:
    """What holds for every page and every answer, whatever was asked."""
    assert response.status in {200, 204, 400, 401, 404, 405, 413} or (asked.broken and response.status == 503)
    for name, value in response.headers.items():
        assert name.isascii()
        assert value.isascii()
        assert value.isprintable()
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    response.body.encode()
    assert "<script>alert" not in response.body
    if response.mimetype == "application/json":
        json.loads(response.body)
    assert output.getvalue().isascii()
    for line in output.getvalue().splitlines():
        assert json.loads(line)["status"] == response.status


# find_customer

questions = st.builds(
    Asked,
    method=methods,
    headers=headers,
    query=st.dictionaries(names | texts, asked_for, max_size=2),
    body=st.one_of(
        st.dictionaries(names | texts, asked_for | json_values, max_size=2).map(json.dumps).map(str.encode),
        json_values.map(json.dumps).map(str.encode),
        st.binary(max_size=60),
        st.sampled_from([b"[" * 8_000, b"9" * 8_192, b'{"user_id": "' + b"x" * 8_192, b'{"email": "\\ud800"}']),
    ),
    broken=troubles,
)


@dataclass(frozen=True)
class Stripe:
    """Has nobody, or cannot say."""

    broken: Exception | None

    def _answer(self) -> list[Json]:
        if self.broken:
            raise self.broken
        return []

    def fetch(self, request: Fetch, event: StripeEvent | None) -> Json:  # noqa: ARG002 -- whatever it is
        self._answer()
        raise Permanent(f"Stripe has no {request.kind}")

    def customers_with_email(self, email: str) -> list[Json]:
        email.encode()
        return self._answer()

    def customers_of_user(self, key: str, user_id: str) -> list[Json]:
        (key + user_id).encode()
        return self._answer()


@cache
def known() -> Mapping[str, Json]:
    """What is stored of the one customer there is."""
    account = Account(now=START)
    account.create_customer(id=CUSTOMER, email=EMAIL, metadata={"user_id": USER})
    world = World(account)
    world.deliver_all(index_customers.react)
    return world.documents


def answered(asked: Asked) -> tuple[Response, io.StringIO]:
    """What `find_customer` answers, where one customer is known and nobody is at Stripe, and its log."""
    store, clock, output = Documents(dict(known())), MovableClock(START), io.StringIO()

    def apply(_: StripeEvent) -> Decision:
        raise AssertionError("nobody is at Stripe")

    lookup = Lookup(
        store=store,
        stripe=Stripe(asked.broken),
        budget=Budget(store, clock),
        clock=clock,
        log=JsonLog(io.StringIO()),
        apply=apply,
        user_id_key="user_id",
    )
    response = find_customer.answer(asked.request, lookup=lookup, project="shop", clock=clock, log=JsonLog(output))
    return response, output


def check_question(asked: Asked) -> None:
    """An answer, a refusal that quotes nothing, or that nobody can say now."""
    response, output = answered(asked)
    check_answer(asked, response, output)
    if response.status != 200:
        assert json.loads(response.body)["error"] in ERRORS
    assert EMAIL not in output.getvalue()


#: Everything that `find_customer` ever says when it does not find anybody.
ERRORS = {
    "only GET, HEAD and POST",
    "more than 8192 bytes",
    "the body is not JSON",
    "the body is not a JSON object of texts",
    "give one of user_id, customer and email",
    "nobody can say now; ask again later",
    *(f"no customer with this {by}" for by in ("user_id", "customer", "email")),
    *(f"{by} has more than 512 characters" for by in ("user_id", "customer", "email")),
    *(f"{by} is empty" for by in ("user_id", "customer", "email")),
    *(f"{by} is no text: it holds half a character" for by in ("user_id", "customer", "email")),
}

TARGETS = (Target("find_customer", questions, check_question, examples=800),)
