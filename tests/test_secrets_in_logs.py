"""No log says a secret, or who somebody is: the story in the whole system, and what can go wrong beside it.

gunicorn, Flask, functions-framework and every client library write to the same log as the functions do.
"""

import base64
import json
import os
import random
import re
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import pytest
import requests

from functions.marketing.links import UnsubscribeLinks
from functions.topology import CLOCKED, SUBSCRIBERS
from local.emulators import Emulators
from local.sender import send, sign
from local.story import tell
from local.system import System, running

Json = dict[str, Any]
TOKEN, KEY, GOOD, BAD, CODE = (f"{name}-{secrets.token_hex(16)}" for name in ("identity", "key", "good", "bad", "code"))
EMAIL, NAME, PHONE, STREET = "chiyo.mori@example.com", "森 千代", "+819087654321", "丸の内9-9-9"
WHO: Json = {"email": EMAIL, "name": NAME, "phone": PHONE, "address": {"line1": STREET, "city": "千代田区"}}
#: Under these names Stripe's objects say who somebody is.
PERSONAL = {"email", "name", "phone", "customer_email", "receipt_email", "line1", "city", "user_id"}


class Directory(BaseHTTPRequestHandler):
    """An identity provider of docs/identity_providers.md, which quotes people when it is asked to fail."""

    accounts: dict[str, Json] = {}  # noqa: RUF012 -- one for all requests, as the standard library makes handlers
    failures = 3

    def answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        status, answered = self.answered(urlsplit(self.path), body)
        content = json.dumps(answered).encode() if status != 204 else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def answered(self, path: SplitResult, body: Json) -> tuple[int, Json]:
        found: Json = {}
        user_id = unquote(path.path.split("/")[2]) if path.path.count("/") > 1 else ""
        if "accounts" in path.path and Directory.failures:
            Directory.failures -= 1
            status, found = 500, {"error": f"no account for {unquote(self.path)} {body} {TOKEN}"}
        elif path.path.endswith("/plans"):
            status, found = 204 if user_id in self.accounts else 404, {}
        elif path.path == "/password_links":
            status, found = 201, {"link": f"https://id.example.com/set?oobCode={CODE}"}
        elif path.path == "/tokens/verify":
            hana = {"id": "user_hana", "email": "hana.sato@example.com", "email_verified": True}
            status, found = (200, hana) if body["token"] == GOOD else (422, {"error": str(body)})
        elif self.command == "PUT":
            found = {"id": user_id, "email": body["email"], "email_verified": False, "unused": True}
            status, self.accounts[user_id] = 201, found
        elif user_id:
            status, found = (200, self.accounts[user_id]) if user_id in self.accounts else (404, {})
        else:
            asked = unquote(path.query.removeprefix("email="))
            status, found = 200, {"accounts": [each for each in self.accounts.values() if each["email"] == asked]}
        return status, found

    do_GET = do_PUT = do_POST = answer  # noqa: N815 -- their names are the standard library's

    def log_message(self, format: str, *_args: object) -> None:  # noqa: A002 -- as the class has it
        pass


@dataclass
class Told:
    """What was told to the system, all of which is nobody's business, and everything that it then wrote to its logs."""

    private: set[str] = field(default_factory=set)
    said: str = ""
    outcomes: set[tuple[str, str]] = field(default_factory=set)
    #: The headers and the body of every answer that was no success.
    refusals: list[str] = field(default_factory=list)


def readable(log: str) -> str:
    """The log as a person reads it: JSON has its own way to write what is not ASCII."""
    return re.sub(r"\\u([0-9a-f]{4})", lambda code: chr(int(code[1], 16)), log)


def personal(value: object, name: str = "") -> Iterator[str]:
    """Everything inside that says who somebody is."""
    if isinstance(value, dict):
        for key, inside in value.items():
            yield from personal(inside, key)
    elif isinstance(value, list):
        for inside in value:
            yield from personal(inside, name)
    elif isinstance(value, str) and value and name in PERSONAL:
        yield value


@pytest.fixture(scope="module")
def told(emulators: Emulators, tmp_path_factory: pytest.TempPathFactory) -> Told:
    directory = ThreadingHTTPServer(("127.0.0.1", 0), Directory)
    threading.Thread(target=directory.serve_forever, args=(0.02,), daemon=True).start()
    environ = dict(emulators.environment()) | {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    environ |= {"MAIL_MAX_AGE": "3650d", "ACCOUNTS": "create", "CLAIMS": "on", "UNSUBSCRIBE_KEYS": KEY}
    environ |= {
        "IDENTITY": "http",
        "IDENTITY_TOKEN": TOKEN,
        "IDENTITY_URL": f"http://127.0.0.1:{directory.server_port}",
    }
    logs, result = tmp_path_factory.mktemp("logs"), Told()
    with running(environ, log_directory=logs, project=f"test-{secrets.token_hex(6)}") as system:
        tell_everything(system, result)
        provoke(system, result)
        for row in CLOCKED:
            system.tick(row.name)
        system.settled(1)
    directory.shutdown()
    directory.server_close()
    result.said = readable("\n".join(path.read_text("utf-8", "replace") for path in Path(logs).rglob("*.log")))
    lines = [json.loads(line) for line in system.functions.child.output().splitlines() if line.startswith('{"sev')]
    result.outcomes = {(line["function"], line["outcome"]) for line in lines if "outcome" in line}
    return result


def tell_everything(system: System, result: Told) -> None:
    """The story and a few people more, in any order, while Stripe fails now and then."""
    assert system.stripe_api is not None
    account = tell(now=1_790_000_000).account
    account.create_customer(**WHO)
    account.create_customer(email="mori@example.com", name="Unreadable", preferred_locales=[NAME])
    broken = account.events[-1]["data"]["object"]
    broken |= {"phone": {"number": PHONE, "of": NAME}, "address": WHO["address"]}
    del account.objects[broken["id"]]
    system.stripe_api.put(account.api_objects())
    faults = [{"path": "/v1", "status": status, "should_retry": "false", "times": 3} for status in (401, 500)]
    system.stripe_api.set_faults(faults)
    deliveries = random.Random(7).sample(account.events, len(account.events))
    assert {answer.status for answer in send(system.webhook_url, system.webhook_secret, deliveries)} == {200}
    system.settled(len(deliveries))
    stored = [each.to_dict() for each in system.firestore().collection("mail").stream()]
    assert CODE in str(stored), "no account was made"
    private = {*personal(account.events), *personal(account.api_objects()), EMAIL, NAME, PHONE, STREET, "Unreadable"}
    # As the API has it, and so has whoever looks at the log to find an event.
    result.private = {*private, *(name for name in NAME.split()), "@example.com"} - {"card", "konbini"}


def provoke(system: System, result: Told) -> None:
    """Everything that is refused, with what is private in every place that the sender fills."""
    root = system.webhook_url.removesuffix("/stripe_webhook")
    body = json.dumps(WHO).encode()
    headers = {"User-Agent": EMAIL, "Referer": f"https://shop.example/?email={EMAIL}", "Cookie": f"__session={BAD}"}

    def ask(method: str, name: str, query: str = "", data: bytes | None = None, **more: str) -> int:
        named = headers | {key.replace("_", "-"): value for key, value in more.items()}
        answer = requests.request(method, f"{root}/{name}{query}", data=data, headers=named, timeout=20)
        # What Pub/Sub alone may call is answered by the framework where it is no push, in words of its own.
        if answer.status_code >= 400 and name not in {row.name for row in SUBSCRIBERS}:
            result.refusals.append(f"{answer.headers} {answer.text}")
        return answer.status_code

    for header in (
        "",
        EMAIL,
        f"t=1,v1={system.webhook_secret}",
        sign(body, "whsec_another"),
        sign(body, system.webhook_secret),
    ):
        assert ask("POST", "stripe_webhook", f"?email={EMAIL}", body, Stripe_Signature=header) == 400
    for bearer in (BAD, GOOD, EMAIL, f"{BAD} {EMAIL}"):
        for accept in ("application/json", "text/html"):
            status = ask("GET", "pricing_page", f"?email={EMAIL}", Authorization=f"Bearer {bearer}", Accept=accept)
            assert status in ({200} if bearer == GOOD else {401})
    assert system.stripe_api is not None
    for status in (200, 401, 500):
        system.stripe_api.set_faults([{"path": "/v1", "status": status, "times": 4}] if status > 200 else [])
        for asked in (
            {"email": EMAIL},
            {"email": f"{status}.{EMAIL}"},
            {"user_id": f"{status}.{EMAIL}"},
            WHO | {"user_id": "a"},
        ):
            ask("POST", "find_customer", data=json.dumps(asked).encode())
            ask("GET", "find_customer", "?" + "&".join(f"{key}={value}" for key, value in asked.items()))
    system.stripe_api.set_faults([])
    link = UnsubscribeLinks("", (KEY,)).url("cus_1", EMAIL)
    for query in (link, f"?t={EMAIL}", f"?email={EMAIL}", f"{link}x"):
        for method in ("GET", "POST", "DELETE"):
            ask(method, "unsubscribe", query, body)
    encoded = base64.b64encode(body).decode()
    for row in SUBSCRIBERS:
        for message in ({"data": encoded}, {"data": EMAIL}, {"attributes": [EMAIL]}, {"attributes": WHO}):
            push = {"message": message | {"messageId": "1"}, "subscription": f"projects/p/subscriptions/{EMAIL}"}
            ask("POST", row.name, "/projects/p/topics/t", json.dumps(push).encode(), Content_Type="application/json")
        ask("POST", row.name, f"/projects/p/topics/{EMAIL}", body)
    result.private |= {link.partition("=")[2], STREET}


def test_no_log_says_who_anybody_is(told: Told) -> None:
    assert len(told.private) > 30
    for private in told.private:
        assert private not in told.said, private


@pytest.mark.parametrize("shape", ["whsec_", "sk_test_", "cuss_", "oobCode", "Bearer ", "v1="])
def test_no_log_has_anything_of_the_shape_of_a_secret(told: Told, shape: str) -> None:
    assert shape not in told.said


@pytest.mark.parametrize("secret", [TOKEN, KEY, GOOD, BAD, CODE], ids=["identity", "key", "good", "bad", "code"])
def test_no_log_says_a_secret(told: Told, secret: str) -> None:
    assert secret not in told.said


def test_no_refusal_repeats_what_was_sent_or_says_how_it_is_made(told: Told) -> None:
    assert len(told.refusals) > 30
    for refusal in map(readable, told.refusals):
        for word in (EMAIL, NAME, STREET, BAD, GOOD, KEY, TOKEN, "Traceback", ".py", "Flask", "Werkzeug", "Python"):
            assert word not in refusal, (word, refusal)
        assert not re.search(r"(?i)(gunicorn|werkzeug|python|flask)/[0-9]", refusal), refusal


def test_the_logs_say_everything_that_was_to_go_wrong(told: Told) -> None:
    """What is silent keeps every secret."""
    for row in SUBSCRIBERS:
        assert (row.name, "applied") in told.outcomes
        assert (row.name, "parked") in told.outcomes
    assert {("provision_accounts", "retry"), ("record_orders", "retry"), ("stripe_webhook", "refused")} <= told.outcomes
    assert {
        ("pricing_page", "invalid_token"),
        ("pricing_page", "customer"),
        ("unsubscribe", "refused"),
    } <= told.outcomes
    assert {("find_customer", each) for each in ("found", "not_found", "refused", "retry")} <= told.outcomes


def test_what_json_escapes_is_read_all_the_same() -> None:
    assert NAME in readable(json.dumps({"name": NAME}))
