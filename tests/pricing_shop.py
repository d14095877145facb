"""A shop in memory for the page with the pricing table: whose customers there are, and who can prove who they are."""

import io
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from werkzeug.datastructures import Headers

from functions.accounts.customers import Customers
from functions.errors import Missing
from functions.identity import BadToken, IdentityProvider, Person, TokenKind
from functions.log import JsonLog
from functions.pages.http import Request, Response
from functions.pages.pricing import COOKIE, answer
from functions.pages.settings import PricingSettings
from local.mail_samples import SETTINGS as MAIL
from local.processes import LOOPBACK, Program, Server
from tests.directory import Directory

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parent.parent
ORIGIN = "https://app.yamaneko.example"
SETTINGS = PricingSettings(
    project="shop",
    database="(default)",
    stripe_api_key="sk_test_secret",
    stripe_api_base=None,
    pricing_table_id="prctbl_1PlansOfTheCafe",
    publishable_key="pk_test_1ForEverybodyToSee",
    allowed_origins=frozenset({ORIGIN, "http://localhost:5173"}),
    mail=MAIL,
)
TABLE = {"pricing-table-id": SETTINGS.pricing_table_id, "publishable-key": SETTINGS.publishable_key}
NOW = 1_790_000_000
HANA = Person(user_id="hana_1", email="hana@example.com", is_verified=True)


@dataclass(frozen=True)
class Kept:
    """A customer."""

    user_id: str | None = None
    email: str | None = None
    created: int = 1
    linked_by: str = "metadata"


@dataclass
class Shop(Directory):
    """The directory, the look-up, Stripe and the claims in one: what each of them says of the same customers."""

    #: Newest first. A user's primary one is the first real one, unless it is said which.
    customers: dict[str, Kept] = field(default_factory=dict)
    primary: str | None = None
    #: Whom a token proves, by its kind and itself.
    people: dict[tuple[TokenKind, str], Person] = field(default_factory=dict)
    #: Customers that Stripe has deleted, or never had.
    gone: set[str] = field(default_factory=set)
    #: Customers that somebody else claims just before we do.
    contested: set[str] = field(default_factory=set)
    looked_up: list[Json] = field(default_factory=list)
    linked: list[tuple[str, str]] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    #: What happens when it is asked: by the name of what asks.
    broken: dict[str, Exception] = field(default_factory=dict)

    def _works(self, name: str) -> None:
        if name in self.broken:
            raise self.broken[name]

    def person(self, token: str, kind: TokenKind) -> Person:
        self._works("person")
        if (kind, token) not in self.people:
            raise BadToken(f"no {kind}: {token}")
        return self.people[kind, token]

    def customer_session(self, customer: str) -> str:
        self._works("customer_session")
        self.sessions.append(customer)
        if customer in self.gone or customer.startswith("guest_"):
            raise Missing("Stripe has nothing at POST /v1/customer_sessions (resource_missing)")
        return f"cuss_secret_{customer}_{len(self.sessions)}"

    def link(self, customer: str, user_id: str) -> None:
        self._works("link")
        self.linked.append((customer, user_id))
        found = self.customers[customer]
        holder = "somebody_else" if customer in self.contested else found.user_id or user_id
        self.customers[customer] = Kept(holder, found.email, found.created, "verified_email")


@dataclass
class Lookup:
    """`functions.pages.buyer.Lookup` on a shop."""

    shop: Shop

    def find(
        self,
        *,
        user_id: str | None = None,
        customer: str | None = None,
        email: str | None = None,
        patience_seconds: float = 5,
    ) -> Customers | None:
        shop = self.shop
        shop._works("find")
        assert patience_seconds < 30, "somebody waits for the page"
        asked = {"user_id": user_id, "customer": customer, "email": email}
        asked = {name: value for name, value in asked.items() if value is not None}
        shop.looked_up.append(asked)
        if any(len(text or "") > 512 for text in asked.values()):
            raise ValueError("nobody's id or address")
        assert asked.keys() in ({"user_id"}, {"customer"}, {"email"}, {"user_id", "email"})
        if user_id is not None:
            email = None
        found = [
            each
            for each, kept in shop.customers.items()
            if each == customer
            or (user_id is not None and kept.user_id == user_id)
            or (email is not None and (kept.email or "").lower() == email.lower())
        ]
        if not found:
            return None
        real = [each for each in found if not each.startswith("guest_")]
        primary = shop.primary if shop.primary in found else (real or found)[0]
        return Customers(
            customers=tuple(found),
            primary=primary,
            user_id=None if email else shop.customers[primary].user_id,
            is_user_known=email is None,
            email=shop.customers[primary].email if customer else None,
            linked_by=shop.customers[primary].linked_by if customer else None,
            source="index",
        )


@dataclass
class Clock:
    """Stands still."""

    def now(self) -> float:
        return NOW

    def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


@dataclass
class Page:
    """The function with what it uses."""

    shop: Shop = field(default_factory=Shop)
    settings: PricingSettings = SETTINGS
    has_accounts: bool = True
    output: io.StringIO = field(default_factory=io.StringIO)

    def __call__(self, method: str = "GET", **headers: str) -> Response:
        named = Headers({name.replace("_", "-"): value for name, value in headers.items()})
        identity: IdentityProvider | None = self.shop if self.has_accounts else None
        return answer(
            Request(method, named, {}, io.BytesIO()),
            settings=self.settings,
            identity=identity,
            lookup=Lookup(self.shop),
            stripe=self.shop,
            link=self.shop.link,
            clock=Clock(),
            log=JsonLog(self.output),
        )

    def signed_in(self, person: Person = HANA, **headers: str) -> Response:
        """With a session cookie."""
        self.shop.people["session_cookie", "good"] = person
        return self(Cookie=f"{COOKIE}=good", **headers)

    def attributes(self, person: Person | None = None) -> Json:
        """What the table is told of who is there."""
        response = self() if person is None else self.signed_in(person)
        assert response.status == 200
        return told(response)

    def log(self) -> list[Json]:
        return [json.loads(line) for line in self.output.getvalue().splitlines()]


class Parts(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def told(response: Response) -> Json:
    """The attributes of the one table that are not the shop's own."""
    [table] = Parts(response.body).of("stripe-pricing-table")
    assert TABLE.items() <= table.items()
    return {name: value for name, value in table.items() if name not in TABLE}


@contextmanager
def served(source: str, directory: Path, environ: Mapping[str, str]) -> Iterator[Server]:
    """Served as Cloud Run does it: functions-framework's own command, which loads the source before gunicorn forks."""
    arguments = ("-m", "functions_framework", "--target=pricing_page", f"--source={source}", f"--host={LOOPBACK}")
    program = Program(
        name="pricing_page",
        listens=("http",),
        command=lambda ports: [sys.executable, *arguments, f"--port={ports['http']}"],
        ready_line="Booting worker",
        environ={
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "GUNICORN_LOG_LEVEL": "info",
            "THREADS": "8",
            **environ,
        },
        directory=ROOT,
    )
    server = Server(program, directory)
    try:
        # `wait_until_ready` is content with an answer, and a function that is broken has one too.
        deadline = time.monotonic() + 60
        while program.ready_line not in server.child.output():
            assert server.child.exit_status is None, server.child.output()
            assert time.monotonic() < deadline, server.child.output()
            time.sleep(0.05)
        yield server
    finally:
        server.stop()


def lines(server: Server) -> list[Json]:
    """What the function has logged."""
    return [json.loads(line) for line in server.child.output().splitlines() if line.startswith('{"severity"')]
