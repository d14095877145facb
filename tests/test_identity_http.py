"""Any identity provider over HTTP: the example of the documentation, and answers that are not as documented."""

import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from functions.adapters.identity_http import HttpIdentity
from functions.errors import Permanent, Retry
from functions.identity import Account, BadToken, NewAccount, Person
from local.processes import Child, free_ports
from tests.conftest import Answering, Reply
from tests.test_emulators import eventually

DOCUMENT = Path(__file__).parent.parent / "docs" / "identity_providers.md"
EMAIL = "taro@example.com"
NEW = NewAccount(user_id="stripe_1", email=EMAIL, name="山田 太郎", phone="+819012345678")
TARO: dict[str, Any] = {"id": "stripe_1", "email": EMAIL, "email_verified": True, "unused": False}


@pytest.fixture
def identity(answering: Answering) -> Iterator[HttpIdentity]:
    identity = HttpIdentity(f"http://{answering.host}/directory/", "secret\n", "https://shop.example.com/")
    yield identity
    identity.close()


# What is asked.


def test_every_question_is_asked_as_documented(answering: Answering, identity: HttpIdentity) -> None:
    unused = TARO | {"email_verified": False, "unused": True}
    answering.say(
        Reply(body={"accounts": [TARO]}),
        Reply(body=TARO),
        Reply(201, unused),
        Reply(201, {"link": "https://id.example.com/reset?code=1"}),
        Reply(204, b""),
        Reply(body=TARO),
    )
    account = Account(user_id="stripe_1", email=EMAIL, is_verified=True, is_unused=False)
    assert identity.find("Taro+1@example.com") == account
    assert identity.get("stripe_1") == account
    assert identity.create(NEW) == Account(user_id="stripe_1", email=EMAIL, is_verified=False, is_unused=True)
    assert identity.password_link(EMAIL, "ja") == "https://id.example.com/reset?code=1"
    assert identity.set_plans("stripe_1", ("silver", "gold", "gold")) is True
    assert identity.person("a.b.c", "session_cookie") == Person(user_id="stripe_1", email=EMAIL, is_verified=True)

    assert [(each.method, each.path, each.body) for each in answering.asked] == [
        ("GET", "/directory/accounts?email=Taro%2B1%40example.com", ""),
        ("GET", "/directory/accounts/stripe_1", ""),
        ("PUT", "/directory/accounts/stripe_1", {"email": EMAIL, "name": NEW.name, "phone": NEW.phone}),
        (
            *("POST", "/directory/password_links"),
            {"email": EMAIL, "language": "ja", "continue_url": "https://shop.example.com/"},
        ),
        ("PUT", "/directory/accounts/stripe_1/plans", {"plans": ["gold", "silver"]}),
        ("POST", "/directory/tokens/verify", {"token": "a.b.c", "kind": "session_cookie"}),
    ]
    assert {each.headers["Authorization"] for each in answering.asked} == {"Bearer secret"}


@pytest.mark.parametrize("user_id", ["a/b", "a?b#c", "../accounts", "auth0|1 2", "花", "50%2F", "a\r\nHost: b"])
def test_an_id_is_one_part_of_the_path(answering: Answering, identity: HttpIdentity, user_id: str) -> None:
    answering.say(Reply(404), Reply(404))
    assert identity.get(user_id) is None
    assert identity.set_plans(user_id, ()) is False
    got, put = (each.path.removeprefix("/directory/accounts/") for each in answering.asked)
    assert unquote(got) == user_id
    assert put == f"{got}/plans"
    assert not re.search(r"[/?#\s]", got)


@pytest.mark.parametrize("user_id", ["", ".", ".."])
def test_what_no_path_can_name_is_nobodys_id(answering: Answering, identity: HttpIdentity, user_id: str) -> None:
    assert identity.get(user_id) is None
    assert identity.set_plans(user_id, ()) is False
    assert identity.create(NewAccount(user_id=user_id, email=EMAIL, name=None, phone=None)) == "refused"
    assert answering.asked == []


def test_nothing_is_logged_of_an_address(
    answering: Answering, identity: HttpIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    answering.say(Reply(body={"accounts": []}))
    with caplog.at_level("INFO"):
        identity.find(EMAIL)
    assert "taro" not in caplog.text


# What is answered.


def test_answers_that_say_no(answering: Answering, identity: HttpIdentity) -> None:
    answering.say(Reply(body={"accounts": []}), Reply(404), Reply(409), Reply(422), Reply(404))
    assert identity.find(EMAIL) is None
    assert identity.get("stripe_1") is None
    assert identity.create(NEW) == "taken"
    assert identity.create(NEW) == "refused"
    assert identity.set_plans("stripe_1", ("gold",)) is False
    for status in (401, 422):
        answering.say(Reply(status))
        with pytest.raises(BadToken):
            identity.person("a.b.c", "id_token")


def test_who_has_no_address_is_neither_verified_nor_unused(answering: Answering, identity: HttpIdentity) -> None:
    answering.say(Reply(body={"id": "U1", "email": None, "email_verified": True, "unused": True}))
    assert identity.get("U1") == Account(user_id="U1", email=None, is_verified=False, is_unused=False)
    assert identity.person("t", "id_token") == Person(user_id="U1", email=None, is_verified=False)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in TARO.items() if key != name}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"<html>Welcome", "body"),
        (b"", "body"),
        ([TARO], "body"),
        (None, "body"),
        (without("id"), "id"),
        (TARO | {"id": 1}, "id"),
        (TARO | {"id": ""}, "id"),
        (TARO | {"id": "somebody-else"}, "id"),
        (TARO | {"email": ["a@example.com"]}, "email"),
        (without("email_verified"), "email_verified"),
        (TARO | {"email_verified": "yes"}, "email_verified"),
        (TARO | {"unused": 1}, "unused"),
    ],
)
def test_an_account_that_is_not_as_documented(
    answering: Answering, identity: HttpIdentity, body: object, field: str
) -> None:
    answering.say(Reply(body=body))
    for ask in (lambda: identity.get("stripe_1"), lambda: identity.create(NEW)):
        with pytest.raises(Permanent, match=rf"identity provider: (the )?{field} ") as raised:
            ask()
        assert_no_address(raised.value)


@pytest.mark.parametrize("found", [None, TARO, [TARO, TARO], ["stripe_1"]])
def test_a_search_that_is_not_as_documented(answering: Answering, identity: HttpIdentity, found: object) -> None:
    answering.say(Reply(body={"accounts": found}))
    with pytest.raises(Permanent, match="accounts in the answer to GET /accounts "):
        identity.find(EMAIL)


@pytest.mark.parametrize("link", [None, 1, "", "javascript:alert(1)", "/reset"])
def test_a_link_that_is_none(answering: Answering, identity: HttpIdentity, link: object) -> None:
    answering.say(Reply(body={"link": link}))
    with pytest.raises(Permanent, match="link in the answer to POST /password_links "):
        identity.password_link(EMAIL, "en")


EVERY_QUESTION: dict[str, Callable[[HttpIdentity], object]] = {
    "GET /accounts": lambda identity: identity.find(EMAIL),
    "GET /accounts/{id}": lambda identity: identity.get("stripe_taro"),
    "PUT /accounts/{id}": lambda identity: identity.create(NEW),
    "POST /password_links": lambda identity: identity.password_link(EMAIL, "ja"),
    "PUT /accounts/{id}/plans": lambda identity: identity.set_plans("stripe_taro", ("gold",)),
    "POST /tokens/verify": lambda identity: identity.person("taro.taro.taro", "id_token"),
}


def assert_no_address(error: BaseException) -> None:
    assert "taro" not in str(error)
    assert EMAIL not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("question", EVERY_QUESTION)
@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (403, Retry, "is IDENTITY_TOKEN what it accepts"),
        (408, Retry, "408"),
        (429, Retry, "429"),
        (500, Retry, "500"),
        (503, Retry, "503"),
        (302, Permanent, "302 .*IDENTITY_URL"),
        (400, Permanent, "400 .*IDENTITY_URL"),
        (405, Permanent, "405 .*IDENTITY_URL"),
    ],
)
def test_each_status_says_what_to_do(
    answering: Answering, identity: HttpIdentity, *, question: str, status: int, kind: type[Exception], says: str
) -> None:
    answering.say(Reply(status, {"error": EMAIL}, {"Location": "/elsewhere"}))
    with pytest.raises(kind, match=says) as raised:
        EVERY_QUESTION[question](identity)
    assert f"for {question}" in str(raised.value)
    assert_no_address(raised.value)
    assert len(answering.asked) == 1


@pytest.mark.parametrize("question", [each for each in EVERY_QUESTION if each != "POST /tokens/verify"])
def test_a_token_of_ours_that_is_not_accepted(answering: Answering, identity: HttpIdentity, question: str) -> None:
    answering.say(Reply(401))
    with pytest.raises(Retry, match="is IDENTITY_TOKEN what it accepts"):
        EVERY_QUESTION[question](identity)


@pytest.mark.parametrize("question", EVERY_QUESTION)
def test_nobody_there(question: str) -> None:
    with pytest.raises(Retry, match=re.escape(f"ConnectError for {question}")) as raised:
        EVERY_QUESTION[question](HttpIdentity(f"http://127.0.0.1:{free_ports(1)[0]}", "secret"))
    assert_no_address(raised.value)


def test_an_answer_that_takes_too_long(answering: Answering) -> None:
    answering.say(Reply(body={"accounts": []}, wait_seconds=1))
    with pytest.raises(Retry, match="ReadTimeout for GET /accounts"):
        HttpIdentity(f"http://{answering.host}", "secret", timeout_seconds=0.1).find(EMAIL)


# The example of the documentation.


@pytest.fixture
def example(tmp_path: Path, answering: Answering) -> Iterator[HttpIdentity]:
    """The provider as it stands there, served; `answering` is LINE."""
    [code] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    (tmp_path / "provider.py").write_text(code)
    [port] = free_ports(1)
    settings = {"IDENTITY_TOKEN": "secret", "LINE_CHANNEL_ID": "1234", "LINE_API": f"http://{answering.host}"}
    command = [sys.executable, "-m", "flask", "--app", "provider", "run", "--port", str(port)]
    child = Child(command, tmp_path / "log", {**os.environ, **settings, "NO_PROXY": "127.0.0.1"}, tmp_path)
    assert eventually(lambda: "Running on" in child.output()), child.output()
    yield HttpIdentity(f"http://127.0.0.1:{port}", "secret")
    child.stop()


def test_the_example_is_a_provider(example: HttpIdentity, answering: Answering) -> None:
    taro = Account(user_id="U4af4980629", email=None, is_verified=False)
    assert example.get("U4af4980629") == taro
    assert example.get("a/b") is None
    assert example.find(EMAIL) is None
    assert example.set_plans("U4af4980629", ("gold",)) is True
    assert example.set_plans("nobody", ("gold",)) is False
    assert example.create(NewAccount(user_id="U4af4980629", email=EMAIL, name=None, phone=None)) == "taken"
    assert example.create(NEW) == "refused"
    with pytest.raises(Permanent, match="404 for POST /password_links"):
        example.password_link(EMAIL, "ja")

    answering.say(Reply(body={"sub": "U4af4980629", "aud": "1234"}))
    assert example.person("a.b.c", "id_token") == Person(user_id="U4af4980629", email=None, is_verified=False)
    with pytest.raises(BadToken):
        example.person("a.b.c", "session_cookie")
    for reply in (Reply(body={"sub": "a stranger"}), Reply(400, {"error": "invalid_request"})):
        answering.say(reply)
        with pytest.raises(BadToken):
            example.person("a.b.c", "id_token")
    answering.say(Reply(503))
    with pytest.raises(Retry, match="500 for POST /tokens/verify"):
        example.person("a.b.c", "id_token")


def test_the_example_refuses_whoever_has_no_token(example: HttpIdentity) -> None:
    stranger = HttpIdentity(example.base, "guessed")
    for question, ask in EVERY_QUESTION.items():
        with pytest.raises(Retry, match=re.escape(f"403 for {question}")):
            ask(stranger)


def test_the_example_is_short() -> None:
    [code] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 50
    checked = subprocess.run([sys.executable, "-m", "ruff", "check", "-"], input=code, text=True, check=False)
    assert checked.returncode == 0


def test_the_table_names_every_request_the_adapter_makes() -> None:
    table = set(re.findall(r"^\| `((?:GET|PUT|POST) [^`?]+)", DOCUMENT.read_text("utf-8"), re.MULTILINE))
    assert table == set(EVERY_QUESTION)
