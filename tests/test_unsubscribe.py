"""Refusing offers: one POST is enough, twice is once, and looking changes nothing.

Decided against documents in memory, recorded on the Firestore emulator, and served by functions-framework and gunicorn
over real sockets.
"""

import io
import json
import os
import re
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from google.cloud.firestore import Client
from werkzeug.datastructures import Headers

from functions import paths
from functions.adapters.firestore import FirestoreStore
from functions.effects import Effect, Merge
from functions.errors import Conflict, Permanent, Retry
from functions.log import JsonLog
from functions.mail.locales import LANGUAGES
from functions.mail.settings import Brand
from functions.marketing.consent import Statement, settle
from functions.marketing.links import PARAMETER, UnsubscribeLinks
from functions.pages.http import Request, Response, languages
from functions.pages.settings import UnsubscribeSettings
from functions.pages.unsubscribe import MAX_BODY_BYTES, RETRY_AFTER_SECONDS, ROUNDS, answer
from functions.store import Found, Store
from local.emulators import Emulators
from local.mail_samples import SETTINGS as MAIL
from local.processes import LOOPBACK, Program, Server, free_ports, local_http

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parent.parent
KEY = secrets.token_urlsafe(32)
CUSTOMER, ADDRESS = "cus_Q3hZkT9XcVbNmL", "hana.sato@example.com"
SETTINGS = UnsubscribeSettings(project="shop", database="(default)", keys=(KEY,), mail=MAIL)
NOW = 1_790_000_000
HOSTILE = "<script>alert('hana@example.com')</script>"

ONE_CLICK = b"List-Unsubscribe=One-Click"
BOUNDARY = "----=_Part_1"
MULTIPART = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--{BOUNDARY}--\r\n'
).encode()
FORM = "application/x-www-form-urlencoded"
MULTIPART_FORM = f'multipart/form-data; boundary="{BOUNDARY}"'
#: One-click as RFC 8058 lets a mail program say it, and the page's own button.
POSTS = [
    pytest.param(ONE_CLICK, FORM, id="one click, urlencoded"),
    pytest.param(MULTIPART, MULTIPART_FORM, id="one click, multipart"),
    pytest.param(b"", FORM, id="the button"),
]


def token(customer: str = CUSTOMER, address: str = ADDRESS) -> str:
    return UnsubscribeLinks("", (KEY,)).url(customer, address).partition(f"?{PARAMETER}=")[2]


TOKEN = token()


# What every test here uses


@dataclass
class Clock:
    """Moves when it is told to, and does not wait."""

    at: float = NOW
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@dataclass
class Documents:
    """A store in memory. `meanwhile` is what somebody else does between each read and its commit."""

    fields: dict[str, Json] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    meanwhile: Callable[["Documents"], None] | None = None
    reads: int = 0
    writes: int = 0

    def write(self, path: str, **fields: Any) -> None:
        self.fields[path] = self.fields.get(path, {}) | fields
        self.versions[path] = self.versions.get(path, 0) + 1

    def read(self, paths: Sequence[str]) -> Mapping[str, Found]:
        self.reads += 1
        return {path: Found(self.fields.get(path), self.versions.get(path)) for path in paths}

    def commit(self, effects: Iterable[Effect], found: Mapping[str, Found]) -> None:
        if self.meanwhile:
            self.meanwhile(self)
        customer, address = effects
        assert isinstance(customer, Merge)
        assert isinstance(address, Merge)
        assert list(customer.fields) == ["marketing"], "the other fields have other owners"
        assert list(address.fields) == ["refused_at"]
        for effect in (customer, address):
            if self.versions.get(effect.path) != found[effect.path].version:
                raise Conflict("FailedPrecondition")
        self.write(customer.path, **customer.fields)
        self.write(address.path, **address.fields)
        self.writes += 1


@dataclass
class Broken:
    """A store that cannot."""

    error: Exception

    def read(self, paths: Sequence[str]) -> Mapping[str, Found]:  # noqa: ARG002 -- the protocol's
        raise self.error

    def commit(self, effects: Iterable[Effect], found: Mapping[str, Found]) -> None:
        raise NotImplementedError


@dataclass
class Page:
    """The function with what it uses."""

    store: Store = field(default_factory=Documents)
    settings: UnsubscribeSettings = SETTINGS
    clock: Clock = field(default_factory=Clock)
    output: io.StringIO = field(default_factory=io.StringIO)

    def __call__(
        self, method: str = "GET", t: str | None = TOKEN, body: bytes | io.RawIOBase = b"", **headers: str
    ) -> Response:
        stream: Any = io.BytesIO(body) if isinstance(body, bytes) else body
        named = Headers({name.replace("_", "-"): value for name, value in headers.items()})
        query = {} if t is None else {PARAMETER: t}
        request = Request(method, named, query, stream)
        return answer(request, settings=self.settings, store=self.store, clock=self.clock, log=JsonLog(self.output))

    def log(self) -> list[Json]:
        return [json.loads(line) for line in self.output.getvalue().splitlines()]

    def marketing(self, customer: str = CUSTOMER) -> Any:
        assert isinstance(self.store, Documents)
        return self.store.fields.get(f"customers/{customer}", {}).get("marketing")


def refused_at(at: int) -> Json:
    return {
        "status": "opt_out",
        "at": at,
        "by": "unsubscribe",
        "said": {"unsubscribe": {"status": "opt_out", "at": at}},
    }


# What a POST records


@pytest.mark.parametrize(("body", "encoding"), POSTS)
def test_a_post_records_that_no_more_offers_are_wanted(body: bytes, encoding: str) -> None:
    page = Page()
    response = page("POST", body=body, Content_Type=encoding)
    assert response.status == 200
    assert page.marketing() == refused_at(NOW)
    assert "配信を停止いたしました" in response.body


def test_a_mail_program_is_answered_in_a_line_and_a_person_with_a_page() -> None:
    short, long = Page()("POST", body=ONE_CLICK, Content_Type=FORM), Page()("POST")
    assert len(short.body) < 250
    assert "<style>" in long.body
    assert MAIL.brand.name in long.body
    assert "<button" not in short.body + long.body


def test_doing_it_twice_is_doing_it_once() -> None:
    page = Page()
    first = page("POST")
    page.clock.at += 86_400
    again = page("POST")
    assert again == first
    assert (page.marketing()["status"], page.marketing()["at"]) == ("opt_out", NOW)
    assert [line["outcome"] for line in page.log()] == ["recorded", "repeated"]


def test_the_same_again_in_the_same_second_writes_nothing() -> None:
    store = Documents()
    page = Page(store)
    assert [page("POST").status for _ in range(3)] == [200, 200, 200]
    assert (store.reads, store.writes) == (3, 1)


def test_who_agreed_in_between_refuses_anew() -> None:
    page = Page()
    page("POST")
    agreed = settle(page.marketing(), Statement(status="opt_in", at=NOW + 50, by="checkout"))
    assert isinstance(page.store, Documents)
    page.store.write(f"customers/{CUSTOMER}", marketing=agreed)
    page.clock.at += 100
    page("POST")
    assert (page.marketing()["status"], page.marketing()["at"]) == ("opt_out", NOW + 100)
    assert page.log()[-1]["outcome"] == "recorded"


def test_an_agreement_from_a_clock_that_is_ahead_of_ours_does_not_survive() -> None:
    store = Documents()
    store.write(f"customers/{CUSTOMER}", marketing=settle(None, Statement(status="opt_in", at=NOW + 3, by="checkout")))
    page = Page(store)
    page("POST")
    assert page.marketing()["status"] == "opt_out"


@pytest.mark.parametrize("customer", [CUSTOMER, "guest_5f2c9e1ab07d4433a1c2e9d8"])
@pytest.mark.parametrize(
    "stored",
    [
        None,
        {"email": None, "deleted": True, "metadata": {}, "as_of": 5},
        {"email": "hana@example.com", "marketing": None, "plans": ["club"]},
    ],
    ids=["unknown", "deleted", "known"],
)
def test_it_is_recorded_whoever_the_customer_is_and_nothing_else_is_touched(customer: str, stored: Json | None) -> None:
    store = Documents()
    if stored:
        store.write(f"customers/{customer}", **stored)
    assert Page(store)("POST", token(customer)).status == 200
    address = f"addresses/{paths.address_hash(ADDRESS)}"
    said = {**(stored or {}), "marketing": refused_at(NOW)}
    assert store.fields == {f"customers/{customer}": said, address: {"refused_at": NOW}}


def test_whoever_changes_the_customer_at_the_same_time_loses_nothing() -> None:
    def renamed(store: Documents) -> None:
        if store.reads < 3:
            store.write(f"customers/{CUSTOMER}", name=f"Hana {store.reads}")

    store = Documents(meanwhile=renamed)
    page = Page(store)
    assert page("POST").status == 200
    assert store.fields[f"customers/{CUSTOMER}"] == {"name": "Hana 2", "marketing": refused_at(NOW)}
    assert len(page.clock.slept) == 2


def test_after_a_few_rounds_the_reader_is_asked_to_try_again() -> None:
    store = Documents(meanwhile=lambda store: store.write(f"customers/{CUSTOMER}", touched=store.reads))
    page = Page(store)
    assert page("POST").status == 503
    assert store.reads == ROUNDS
    assert "marketing" not in store.fields[f"customers/{CUSTOMER}"]


# What looking changes


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_changes_nothing_and_does_not_even_ask_the_database(method: str) -> None:
    page = Page(Broken(AssertionError("asked")))
    response = page(method)
    assert response.status == 200
    assert response.body.count("<button") == 1
    assert response == Page()("GET")
    assert page.log()[0]["outcome"] == "asked"


def test_the_form_posts_to_the_address_of_the_page_whatever_that_is() -> None:
    assert '<form method="post"><button type="submit">' in Page()().body


# What is refused


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "post"])
def test_other_methods_are_not_allowed(method: str) -> None:
    page = Page(Broken(AssertionError("asked")))
    response = page(method)
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD, POST")
    assert not response.body_was_read


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("t", [None, "", "x", TOKEN[:-1], TOKEN + "A", HOSTILE, "\0", "%", "あ" * 5_000])
def test_what_is_no_link_of_ours_is_refused_politely(method: str, t: str | None) -> None:
    page = Page(Broken(AssertionError("asked")))
    response = page(method, t, ONE_CLICK)
    assert response.status == 400
    assert "リンクを確認できませんでした" in response.body
    assert "<button" not in response.body
    assert page.log() == [
        {
            "severity": "WARNING",
            "message": "unsubscribe refused",
            "function": "unsubscribe",
            "outcome": "refused",
            "status": 400,
            "reason": "no link of ours",
            "milliseconds": 0.0,
        }
    ]


class Endless(io.RawIOBase):
    """A body that never ends, and counts what was taken of it."""

    taken = 0

    def read(self, size: int = -1) -> bytes:
        assert 0 < size <= MAX_BODY_BYTES + 1
        self.taken += size
        return b"x" * size


def test_a_body_is_read_no_further_than_the_limit() -> None:
    page, endless = Page(Broken(AssertionError("asked"))), Endless()
    response = page("POST", body=endless)
    assert (response.status, response.body_was_read) == (413, False)
    assert endless.taken == MAX_BODY_BYTES + 1
    endless = Endless()
    assert page("POST", body=endless, Content_Length=str(10**12)).status == 413
    assert endless.taken == 0
    assert Page()("POST", body=b"x" * MAX_BODY_BYTES).status == 200


class BreaksOff(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        raise ConnectionError(size)


def test_a_body_that_breaks_off_is_refused() -> None:
    page = Page(Broken(AssertionError("asked")))
    assert page("POST", body=BreaksOff()).status == 400
    assert page.log()[0]["reason"] == "the body cannot be read to its end"


# When it cannot be recorded


@pytest.mark.parametrize("error", [Retry("Firestore answered ServiceUnavailable"), Permanent("not taken", HOSTILE)])
def test_when_it_cannot_be_recorded_the_reader_is_told_so(error: Exception) -> None:
    page = Page(Broken(error))
    response = page("POST")
    assert response.status == 503
    assert response.headers["Retry-After"] == str(RETRY_AFTER_SECONDS)
    assert "まだ完了しておりません" in response.body
    assert "<button" in response.body
    assert "Firestore" not in response.body
    assert [(line["severity"], line["outcome"]) for line in page.log()] == [("ERROR", "retry")]
    assert "script" not in page.output.getvalue()


# What the reader sees


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("ja", "ja"),
        ("ja-JP,ja;q=0.9,en-US;q=0.8,en;q=0.7", "ja"),
        ("en-GB,en;q=0.9", "en"),
        ("fr-FR,fr;q=0.9,en;q=0.8", "en"),
        ("fr;q=0.9, en;q=0.5, ja;q=0.6", "ja"),
        ("en;q=0, ja;q=0.1", "ja"),
        ("en ; q=1.0", "en"),
        ("EN", "en"),
        ("fr", "ja"),
        ("*", "ja"),
        ("", "ja"),
        ("en;q=abc", "en"),
        (f"{HOSTILE}, en", "en"),
        (";;;q=,,,", "ja"),
        ("x," * 10_000 + "en", "ja"),
    ],
)
def test_the_page_speaks_the_readers_language_or_else_the_shops(accepted: str, language: str) -> None:
    response = Page()(Accept_Language=accepted)
    assert response.headers["Content-Language"] == language
    assert f'<html lang="{language}">' in response.body


def test_the_shops_language_is_its_setting() -> None:
    page = Page(settings=replace(SETTINGS, mail=replace(MAIL, locale="en_GB")))
    assert "Stop receiving offers?" in page().body
    assert "You are unsubscribed" in page("POST", body=ONE_CLICK).body


def test_the_languages_of_a_header_come_in_the_readers_order() -> None:
    assert languages(Headers({"Accept-Language": "da, en-GB;q=0.8, en;q=0.8, fr;q=0"})) == ("da", "en-GB", "en")
    assert languages(Headers()) == ()


def test_every_language_of_the_mails_has_its_pages() -> None:
    folders = [path.name for path in (ROOT / "functions/pages/templates").iterdir() if path.is_dir()]
    assert sorted(folders) == sorted(LANGUAGES)


class Parts(HTMLParser):
    """The names of the elements of a page, its texts, and every address in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.urls: list[str] = []
        self.styled: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.urls += [value or "" for name, value in attrs if name in {"href", "src", "action", "srcset", "data"}]
        self.styled += [name for name, _ in attrs if name == "style" or name.startswith("on")]


def every_page(settings: UnsubscribeSettings, accepted: str) -> Iterator[Response]:
    broken = Page(Broken(Retry("away")), settings)
    for page, method, t, body in (
        (Page(settings=settings), "GET", TOKEN, b""),
        (Page(settings=settings), "POST", TOKEN, b""),
        (Page(settings=settings), "POST", TOKEN, ONE_CLICK),
        (Page(settings=settings), "GET", "forged", b""),
        (Page(settings=settings), "DELETE", TOKEN, b""),
        (broken, "POST", TOKEN, b""),
        (broken, "POST", TOKEN, ONE_CLICK),
    ):
        yield page(method, t, body, Accept_Language=accepted)


@pytest.mark.parametrize("accepted", ["ja", "en"])
def test_no_page_runs_asks_or_gives_away_anything(accepted: str) -> None:
    for response in every_page(SETTINGS, accepted):
        parts = Parts(response.body)
        assert not {"script", "iframe", "object", "embed", "base", "input"} & set(parts.tags)
        assert set(parts.urls) <= {"data:,", MAIL.brand.url}
        assert parts.styled == []
        assert TOKEN not in response.body
        assert CUSTOMER not in response.body
        policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
        assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", policy.pop("style-src"))
        assert policy == {
            "default-src": "'none'",
            "img-src": "data:",
            "form-action": "'self'",
            "base-uri": "'none'",
            "frame-ancestors": "'none'",
        }
        expected = {
            "Content-Language": accepted,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Robots-Tag": "noindex",
            "X-Content-Type-Options": "nosniff",
        }
        assert expected.items() <= response.headers.items()


def test_a_brand_is_text_and_its_logo_the_only_picture() -> None:
    brand = Brand(
        name=f"{HOSTILE} & Co.",
        url="https://shop.example/?a=1&b=2",
        logo_url="https://cdn.shop.example/logo;v=2,dark.png?x=1",
        footer=(HOSTILE,),
    )
    for response in every_page(replace(SETTINGS, mail=replace(MAIL, brand=brand)), "en"):
        assert "<script" not in response.body
        assert set(Parts(response.body).urls) <= {"data:,", brand.url, brand.logo_url}
        policy = response.headers["Content-Security-Policy"]
        assert "img-src data: https://cdn.shop.example; form-action" in policy


# The log


def test_the_log_says_what_happened_and_to_nobody() -> None:
    page = Page()
    by_google = "0123456789abcdef0123456789abcdef"
    page("GET", X_Cloud_Trace_Context=f"{by_google}/1;o=1", Referer=HOSTILE, User_Agent=HOSTILE)
    page("POST", body=ONE_CLICK, traceparent=f"00-{by_google}-b7ad6b7169203331-01")
    page("POST", body=b"", X_Cloud_Trace_Context=HOSTILE)
    trace = {"logging.googleapis.com/trace": f"projects/shop/traces/{by_google}"}
    common = {"severity": "INFO", "function": "unsubscribe", "status": 200, "milliseconds": 0.0}
    assert page.log() == [
        {**common, **trace, "message": "unsubscribe asked", "outcome": "asked"},
        {**common, **trace, "message": "unsubscribe recorded", "outcome": "recorded", "one_click": True},
        {**common, "message": "unsubscribe repeated", "outcome": "repeated"},
    ]
    for private in (ADDRESS, "hana", TOKEN, TOKEN[:10], CUSTOMER, KEY, "script"):
        assert private not in page.output.getvalue()


def test_the_keys_do_not_show_in_a_traceback() -> None:
    assert KEY not in repr(SETTINGS)


# On Firestore


@pytest.fixture
def firestore_page(firestore_client: Client) -> Page:
    return Page(FirestoreStore(firestore_client))


def stored(client: Client, customer: str = CUSTOMER) -> Json | None:
    found: Json | None = client.document(f"customers/{customer}").get().to_dict()
    return found


def test_it_is_recorded_beside_what_others_own(firestore_page: Page, firestore_client: Client) -> None:
    reference = firestore_client.document(f"customers/{CUSTOMER}")
    agreed = settle(None, Statement(status="opt_in", at=NOW - 60, by="checkout"))
    reference.set({"email": "hana@example.com", "marketing": agreed, "plans": ["club"]})
    assert firestore_page("POST").status == 200
    found = stored(firestore_client)
    assert found is not None
    marketing = found.pop("marketing")
    assert found == {"email": "hana@example.com", "plans": ["club"]}
    assert marketing == {
        **refused_at(NOW),
        "said": {
            "checkout": {"status": "opt_in", "at": NOW - 60},
            "unsubscribe": {"status": "opt_out", "at": NOW},
        },
    }
    written = reference.get().update_time
    firestore_page("GET")
    firestore_page("POST")
    assert reference.get().update_time == written


def test_a_customer_nobody_knows_yet_is_remembered(firestore_page: Page, firestore_client: Client) -> None:
    guest = "guest_5f2c9e1ab07d4433a1c2e9d8"
    assert firestore_page("GET", token(guest)).status == 200
    assert stored(firestore_client, guest) is None
    assert firestore_page("POST", token(guest)).status == 200
    assert stored(firestore_client, guest) == {"marketing": refused_at(NOW)}


def test_many_at_once_and_somebody_who_writes_beside_them(firestore_page: Page, firestore_client: Client) -> None:
    reference = firestore_client.document(f"customers/{CUSTOMER}")
    reference.set({"count": 0})

    def count(number: int) -> int:
        reference.update({"count": number})
        return 200

    def refuse(_: int) -> int:
        return firestore_page("POST", body=ONE_CLICK).status

    with ThreadPoolExecutor(12) as pool:
        refused, counted = pool.map(refuse, range(8)), pool.map(count, range(1, 9))
        # Whoever met the others in each of a few rounds says so, and may come again.
        assert set(refused) <= {200, 503}
        assert set(counted) == {200}
    assert firestore_page("POST").status == 200
    found = stored(firestore_client)
    assert found is not None
    assert found["marketing"] == refused_at(NOW)
    assert found["count"] in range(1, 9)


def test_without_firestore_the_reader_is_asked_to_try_again() -> None:
    [port] = free_ports(1)
    page = Page(FirestoreStore(_client_of(f"{LOOPBACK}:{port}"), timeout_seconds=0.5))
    response = page("POST", Accept_Language="en")
    assert response.status == 503
    assert "not unsubscribed yet" in response.body
    assert page.log()[0]["reason"].startswith("Firestore answered")


def _client_of(address: str) -> Client:
    before = os.environ.get("FIRESTORE_EMULATOR_HOST")
    os.environ["FIRESTORE_EMULATOR_HOST"] = address
    try:
        client = Client(project="nobody")
        assert client._firestore_api is not None
    finally:
        del os.environ["FIRESTORE_EMULATOR_HOST"]
        if before is not None:
            os.environ["FIRESTORE_EMULATOR_HOST"] = before
    return client


# Served

SOURCE = f"""
import os, sys
from functools import partial
import functions_framework
from google.cloud.firestore import Client
from functions.adapters.clock import SystemClock
from functions.adapters.firestore import FirestoreStore
from functions.adapters.page import serve
from functions.log import JsonLog
from functions.pages.settings import UnsubscribeSettings
from functions.pages.unsubscribe import answer
from local.mail_samples import SETTINGS

PROJECT = os.environ["GOOGLE_CLOUD_PROJECT"]
PAGE = partial(
    serve,
    partial(
        answer,
        settings=UnsubscribeSettings(project=PROJECT, database="(default)", keys=({KEY!r},), mail=SETTINGS),
        store=FirestoreStore(Client(PROJECT)),
        clock=SystemClock(),
        log=JsonLog(sys.stdout),
    ),
)

@functions_framework.http
def unsubscribe(request):
    return PAGE(request)
"""


class Function:
    """The function in a process of its own."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.address = server.addresses["http"]

    def url(self, t: str = TOKEN) -> str:
        """With a path before it, as the cloud has one."""
        return f"http://{self.address}/unsubscribe?{PARAMETER}={t}"

    def raw(self, *pieces: bytes) -> bytes:
        """What comes back for these bytes on a connection of their own."""
        host, port = self.address.split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            for piece in pieces:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65_536), b""))

    def lines(self) -> list[Json]:
        return [json.loads(line) for line in self.server.child.output().splitlines() if line.startswith("{")]


@contextmanager
def served(project: str, directory: Path, environ: Mapping[str, str]) -> Iterator[Function]:
    """Served as Cloud Run does it: functions-framework's own command, which loads the source before gunicorn forks."""
    source = directory / "page_source.py"
    source.write_text(SOURCE, "utf-8")
    arguments = ("-m", "functions_framework", "--target=unsubscribe", f"--source={source}", f"--host={LOOPBACK}")
    program = Program(
        name="unsubscribe",
        listens=("http",),
        command=lambda ports: [sys.executable, *arguments, f"--port={ports['http']}"],
        ready_line="Booting worker",
        environ={
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "GOOGLE_CLOUD_PROJECT": project,
            "GUNICORN_LOG_LEVEL": "info",
            "THREADS": "8",
            **environ,
        },
        directory=ROOT,
    )
    server = Server(program, directory)
    try:
        # `wait_until_ready` expects a page at /, and this function has none without a link.
        deadline = time.monotonic() + 60
        while program.ready_line not in server.child.output():
            assert server.child.exit_status is None, server.child.output()
            assert time.monotonic() < deadline, server.child.output()
            time.sleep(0.05)
        yield Function(server)
    finally:
        server.stop()


@pytest.fixture(scope="module")
def shop() -> str:
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture(scope="module")
def function(emulators: Emulators, shop: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    with served(shop, tmp_path_factory.mktemp("unsubscribe"), emulators.environment()) as started:
        yield started


@pytest.fixture
def customer(shop: str, function: Function) -> tuple[str, Client]:  # noqa: ARG001 -- the client finds the emulators
    return f"cus_{secrets.token_hex(6)}", Client(project=shop)


@pytest.mark.parametrize(("body", "encoding"), POSTS)
def test_a_served_post_is_recorded(
    function: Function, customer: tuple[str, Client], body: bytes, encoding: str
) -> None:
    name, client = customer
    with local_http() as http:
        asked = http.get(function.url(token(name)), headers={"Accept-Language": "en"}, timeout=30)
        head = http.head(function.url(token(name)), headers={"Accept-Language": "en"}, timeout=30)
        assert stored(client, name) is None
        done = http.post(function.url(token(name)), body, headers={"Content-Type": encoding}, timeout=30)
    assert (asked.status_code, asked.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(asked.content))
    assert head.headers["Content-Security-Policy"] == asked.headers["Content-Security-Policy"]
    assert done.status_code == 200
    found = stored(client, name)
    assert found is not None
    assert (found["marketing"]["status"], found["marketing"]["by"]) == ("opt_out", "unsubscribe")
    assert abs(found["marketing"]["at"] - time.time()) < 60


def test_what_is_served_is_refused_in_the_same_way(function: Function) -> None:
    def status(method: str, url: str, body: bytes | Iterable[bytes] = b"") -> int:
        # On a connection of its own: the server ends one whose body nobody read.
        with local_http() as http:
            return http.request(method, url, data=body, timeout=30).status_code

    too_much = b"x" * (MAX_BODY_BYTES + 1)
    assert status("GET", function.url("forged")) == 400
    assert status("GET", f"http://{function.address}/") == 400
    assert status("POST", function.url("forged"), too_much) == 400
    assert status("DELETE", function.url()) == 405
    assert status("POST", function.url(), too_much) == 413
    assert status("POST", function.url(), iter([too_much[:-1], too_much])) == 413


def test_an_announced_body_is_refused_before_it_is_sent(function: Function) -> None:
    for line in (b"Content-Length: 1000000000000", b"Transfer-Encoding: chunked"):
        for method, status in ((b"POST", b"413"), (b"GET", b"200"), (b"PUT", b"405")):
            target = f"/unsubscribe?{PARAMETER}={TOKEN}".encode()
            sent = b"".join((b"%x\r\n" % 66_000, b"x" * 66_000, b"\r\n")) if b"chunked" in line else b""
            answered = function.raw(method + b" " + target + b" HTTP/1.1\r\nHost: shop\r\n" + line + b"\r\n\r\n" + sent)
            assert answered.split(b" ")[1] == status


def test_nothing_personal_was_logged_by_any_of_this(function: Function) -> None:
    with local_http() as http:
        http.post(function.url(), ONE_CLICK, headers={"Content-Type": FORM}, timeout=30)
    assert function.lines()[-1]["outcome"] in {"recorded", "repeated"}
    output = function.server.child.output()
    for private in (TOKEN, CUSTOMER, ADDRESS, KEY, "Traceback"):
        assert private not in output
