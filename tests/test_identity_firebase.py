"""Accounts at Firebase Authentication: what the adapter makes of the real emulator, and of answers nobody wants."""

import base64
import json
import secrets
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import firebase_admin  # type: ignore[import-untyped]
import pytest
import requests
from firebase_admin import auth

from functions.adapters.identity_firebase import FirebaseIdentity
from functions.errors import Permanent, Retry
from functions.identity import Account, BadToken, NewAccount, TokenKind
from local.auth_emulator import DEFAULT_PROJECT, VARIABLE, AuthEmulator
from local.processes import free_ports
from tests.conftest import Answering, Reply

EMAIL = "taro@example.com"
OURS = NewAccount(user_id="stripe_1", email=EMAIL, name="山田 太郎", phone="+819012345678")
KINDS: tuple[TokenKind, ...] = ("id_token", "session_cookie")


class Users:
    """The project as its users and its operators see it: what the adapter never does."""

    def __init__(self, emulator: AuthEmulator, project: str) -> None:
        self.emulator = emulator
        self.project = project
        self.app = firebase_admin.initialize_app(options={"projectId": project}, name=f"test-{secrets.token_hex(6)}")

    def ask(self, method: str, **body: object) -> dict[str, Any]:
        response = requests.post(
            f"http://{self.emulator.host}/identitytoolkit.googleapis.com/v1/accounts:{method}",
            headers={"Authorization": "Bearer owner"},
            json={"targetProjectId": self.project, **body},
            timeout=10,
        )
        assert response.ok, response.text
        return dict(response.json())

    def sign_in(self, email: str, password: str = "secret-1") -> str:
        token: str = self.ask("signInWithPassword", email=email, password=password, returnSecureToken=True)["idToken"]
        return token

    def follow(self, link: str, password: str) -> dict[str, Any]:
        [code] = parse_qs(urlsplit(link).query)["oobCode"]
        return self.ask("resetPassword", oobCode=code, newPassword=password)

    def token(self, kind: TokenKind, email: str = "hana@example.com", user_id: str = "user-1") -> str:
        auth.create_user(uid=user_id, email=email, password="secret-1", email_verified=True, app=self.app)
        token = self.sign_in(email)
        return token if kind == "id_token" else self.cookie(token)

    def cookie(self, id_token: str) -> str:
        cookie: str = auth.create_session_cookie(id_token, timedelta(days=1), app=self.app)
        return cookie


@pytest.fixture
def users(auth_emulator: AuthEmulator) -> Iterator[Users]:
    users = Users(auth_emulator, f"demo-{secrets.token_hex(6)}")
    yield users
    firebase_admin.delete_app(users.app)


@pytest.fixture
def identity(users: Users) -> Iterator[FirebaseIdentity]:
    identity = FirebaseIdentity(users.project, "https://shop.example.com/thanks?from=mail")
    yield identity
    identity.close()


# Making and finding.


def test_an_account_that_we_made_is_unused_and_not_verified(identity: FirebaseIdentity, users: Users) -> None:
    account = Account(user_id="stripe_1", email=EMAIL, is_verified=False, is_unused=True)
    assert identity.create(OURS) == account
    assert identity.get("stripe_1") == account
    assert identity.find("Taro@Example.com") == account
    user = auth.get_user("stripe_1", app=users.app)
    assert (user.display_name, user.phone_number) == (OURS.name, OURS.phone)


@pytest.mark.parametrize("email", ["nobody@example.com", "nobody", "a@b@c", "", "x" * 300 + "@example.com"])
def test_nobody_is_found(identity: FirebaseIdentity, email: str) -> None:
    assert identity.find(email) is None


@pytest.mark.parametrize("user_id", ["nobody", "", "x" * 129])
def test_nobody_has_the_id(identity: FirebaseIdentity, user_id: str) -> None:
    assert identity.get(user_id) is None
    assert identity.set_plans(user_id, ("gold",)) is False


def test_an_id_or_an_address_that_is_taken(identity: FirebaseIdentity) -> None:
    identity.create(OURS)
    assert identity.create(NewAccount(user_id="stripe_1", email="b@example.com", name=None, phone=None)) == "taken"
    assert identity.create(NewAccount(user_id="stripe_2", email=EMAIL.upper(), name=None, phone=None)) == "taken"


@pytest.mark.parametrize("name", [None, "", "花子"])
@pytest.mark.parametrize("phone", [None, "", OURS.phone, "090-1234-5678", "+"])
def test_a_phone_that_is_taken_or_none_is_left_out(
    identity: FirebaseIdentity, users: Users, name: str | None, phone: str | None
) -> None:
    identity.create(OURS)
    made = identity.create(NewAccount(user_id="stripe_2", email="hana@example.com", name=name, phone=phone))
    assert isinstance(made, Account)
    user = auth.get_user("stripe_2", app=users.app)
    assert (user.display_name or None, user.phone_number) == (name or None, None)


@pytest.mark.parametrize("email", ["nobody", "a@b@c", "@example.com", ""])
def test_an_address_that_is_none_is_refused(identity: FirebaseIdentity, email: str) -> None:
    assert identity.create(NewAccount(user_id="stripe_1", email=email, name="Taro", phone=OURS.phone)) == "refused"
    assert identity.get("stripe_1") is None


def test_many_at_once_make_one_user(identity: FirebaseIdentity) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: identity.create(OURS), range(8)))
    assert made.count("taken") == 7
    assert sum(isinstance(each, Account) for each in made) == 1


# Whose address it is.


def test_the_link_sets_a_password_once_and_verifies_the_address(identity: FirebaseIdentity, users: Users) -> None:
    identity.create(OURS)
    link = identity.password_link(EMAIL, "ja")
    query = parse_qs(urlsplit(link).query)
    assert query["lang"] == ["ja"]
    assert query["continueUrl"] == ["https://shop.example.com/thanks?from=mail"]
    assert identity.get("stripe_1") == Account(user_id="stripe_1", email=EMAIL, is_verified=False, is_unused=True)

    users.follow(link, "secret-1")
    assert identity.get("stripe_1") == Account(user_id="stripe_1", email=EMAIL, is_verified=True, is_unused=False)
    assert identity.person(users.sign_in(EMAIL), "id_token").user_id == "stripe_1"
    with pytest.raises(AssertionError, match="INVALID_OOB_CODE"):
        users.follow(link, "secret-2")
    users.sign_in(EMAIL, "secret-1")


def test_a_link_for_nobody_is_refused_without_their_address(identity: FirebaseIdentity) -> None:
    for email in ("mallory@example.com", "mallory"):
        with pytest.raises(Permanent) as raised:
            identity.password_link(email, "en")
        assert "mallory" not in "".join(traceback.format_exception(raised.value))


def test_a_link_without_a_page_to_lead_on_to(users: Users) -> None:
    identity = FirebaseIdentity(users.project)
    identity.create(OURS)
    assert "continueUrl" not in identity.password_link(EMAIL, "en")


def test_who_signed_up_by_themself_is_neither_verified_nor_unused(auth_emulator: AuthEmulator) -> None:
    email = f"{secrets.token_hex(6)}@example.com"
    # As a web page does it: an API key, and no account of anybody else's.
    url = f"http://{auth_emulator.host}/identitytoolkit.googleapis.com/v1/accounts:signUp?key=any"
    assert requests.post(url, json={"email": email, "password": "secret-1"}, timeout=10).ok
    account = FirebaseIdentity(DEFAULT_PROJECT).find(email)
    assert account
    assert (account.is_verified, account.is_unused) == (False, False)


def long_ago(users: Users, user_id: str) -> None:
    """Makes the account an hour older, which nothing that was done with it since is."""
    made = str(int(time.time() - 3600) * 1000)
    users.ask("update", localId=user_id, createdAt=made, lastLoginAt=made)


def by_password(users: Users) -> None:
    auth.update_user("stripe_1", password="secret-1", app=users.app)


def by_provider(users: Users) -> None:
    users.ask("update", localId="stripe_1", linkProviderUserInfo={"providerId": "google.com", "rawId": "1"})


def by_another_address(users: Users) -> None:
    auth.update_user("stripe_1", email="mallory@example.com", app=users.app)


def by_phone(users: Users) -> None:
    session = users.ask("sendVerificationCode", phoneNumber=OURS.phone)["sessionInfo"]
    url = f"http://{users.emulator.host}/emulator/v1/projects/{users.project}/verificationCodes"
    code = requests.get(url, timeout=10).json()["verificationCodes"][-1]["code"]
    users.ask("signInWithPhoneNumber", sessionInfo=session, code=code)


def by_custom_token(users: Users) -> None:
    token = auth.create_custom_token("stripe_1", app=users.app).decode()
    users.ask("signInWithCustomToken", token=token)


@pytest.mark.parametrize("touch", [by_password, by_provider, by_another_address, by_phone, by_custom_token])
def test_what_was_touched_is_neither_unused_nor_verified(
    identity: FirebaseIdentity, users: Users, touch: Callable[[Users], None]
) -> None:
    identity.create(OURS)
    long_ago(users, "stripe_1")
    account = identity.get("stripe_1")
    assert account
    assert account.is_unused
    touch(users)
    account = identity.get("stripe_1")
    assert account
    assert (account.is_verified, account.is_unused) == (False, False)


def test_an_address_changed_later_is_not_verified(identity: FirebaseIdentity, users: Users) -> None:
    identity.create(OURS)
    users.follow(identity.password_link(EMAIL, "en"), "secret-1")
    auth.update_user("stripe_1", email="mallory@example.com", app=users.app)
    assert identity.find(EMAIL) is None
    account = identity.find("mallory@example.com")
    assert account == Account(user_id="stripe_1", email="mallory@example.com", is_verified=False, is_unused=False)


def test_an_account_that_we_did_not_make_is_never_unused(identity: FirebaseIdentity, users: Users) -> None:
    auth.create_user(uid="user-1", email=EMAIL, app=users.app)
    assert identity.find(EMAIL) == Account(user_id="user-1", email=EMAIL, is_verified=False, is_unused=False)


# Plans.


def test_other_claims_survive_and_none_removes_only_ours(identity: FirebaseIdentity, users: Users) -> None:
    identity.create(OURS)
    auth.set_custom_user_claims("stripe_1", {"admin": True, "名": "値"}, app=users.app)
    for plans, claim in [
        (("silver", "gold", "gold"), {"stripe_plans": ["gold", "silver"]}),
        (("gold",), {"stripe_plans": ["gold"]}),
        ((), {}),
    ]:
        assert identity.set_plans("stripe_1", plans) is True
        assert auth.get_user("stripe_1", app=users.app).custom_claims == {"admin": True, "名": "値"} | claim


def test_plans_are_in_the_next_token(identity: FirebaseIdentity, users: Users) -> None:
    users.token("id_token")
    identity.set_plans("user-1", ("gold",))
    assert auth.verify_id_token(users.sign_in("hana@example.com"), app=users.app)["stripe_plans"] == ["gold"]


def test_claims_fill_a_thousand_bytes_and_no_more(identity: FirebaseIdentity, users: Users) -> None:
    identity.create(OURS)
    fits = 1000 - len('{"stripe_plans":[""]}')
    assert identity.set_plans("stripe_1", ("x" * fits,)) is True
    with pytest.raises(Permanent, match="1,001 bytes with 1 plans"):
        identity.set_plans("stripe_1", ("x" * (fits + 1),))
    with pytest.raises(Permanent, match=r"1,\d+ bytes"):
        identity.set_plans("stripe_1", ("金" * (fits // 3 + 1),))
    assert auth.get_user("stripe_1", app=users.app).custom_claims == {"stripe_plans": ["x" * fits]}


def test_what_is_so_already_is_not_written(answering: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, answering.host)
    user = {"localId": "u", "customAttributes": '{"a": 1, "stripe_plans": ["gold", "silver"]}'}
    answering.say(Reply(body={"users": [user]}))
    assert FirebaseIdentity("demo-x").set_plans("u", ("silver", "gold")) is True
    assert [urlsplit(each.path).path.rpartition(":")[2] for each in answering.asked] == ["lookup"]


# Tokens.


def unsigned(**claims: object) -> str:
    """As the emulator issues them: nobody signs."""
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_proves_its_user(identity: FirebaseIdentity, users: Users, kind: TokenKind) -> None:
    person = identity.person(users.token(kind), kind)
    assert (person.user_id, person.email, person.is_verified) == ("user-1", "hana@example.com", True)


def test_a_token_of_a_user_without_an_address(identity: FirebaseIdentity, users: Users) -> None:
    token = users.ask("signInWithCustomToken", token=auth.create_custom_token("line:U1", app=users.app).decode())
    person = identity.person(token["idToken"], "id_token")
    assert (person.user_id, person.email, person.is_verified) == ("line:U1", None, False)


@pytest.mark.parametrize("kind", KINDS)
def test_the_address_is_the_one_of_today(identity: FirebaseIdentity, users: Users, kind: TokenKind) -> None:
    token = users.token(kind)
    users.ask("update", localId="user-1", emailVerified=False)
    assert not identity.person(token, kind).is_verified


@pytest.mark.parametrize("kind", KINDS)
def test_a_user_who_is_disabled_or_gone_proves_nothing(
    identity: FirebaseIdentity, users: Users, kind: TokenKind
) -> None:
    token = users.token(kind)
    auth.update_user("user-1", disabled=True, app=users.app)
    with pytest.raises(BadToken, match="disabled"):
        identity.person(token, kind)
    auth.delete_user("user-1", app=users.app)
    with pytest.raises(BadToken, match="gone"):
        identity.person(token, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_from_before_the_password_was_changed_proves_nothing(
    identity: FirebaseIdentity, users: Users, kind: TokenKind
) -> None:
    token = users.token(kind)
    time.sleep(1.1)  # what a token was issued at is in whole seconds
    auth.revoke_refresh_tokens("user-1", app=users.app)
    with pytest.raises(BadToken, match="revoked"):
        identity.person(token, kind)


def test_a_token_of_another_project_or_kind_proves_nothing(
    identity: FirebaseIdentity, users: Users, auth_emulator: AuthEmulator
) -> None:
    token = users.token("id_token")
    others = Users(auth_emulator, f"{users.project}-2")
    for kind in KINDS:
        with pytest.raises(BadToken):
            identity.person(others.token(kind, user_id=f"user-{kind}", email=f"{kind}@example.com"), kind)
    with pytest.raises(BadToken):
        identity.person(token, "session_cookie")
    with pytest.raises(BadToken):
        identity.person(users.cookie(token), "id_token")


def test_an_expired_token_proves_nothing(identity: FirebaseIdentity, users: Users) -> None:
    users.token("id_token")
    now = int(time.time())
    named = {"aud": users.project, "iss": f"https://securetoken.google.com/{users.project}", "sub": "user-1"}
    assert identity.person(unsigned(**named, iat=now, exp=now + 60), "id_token").user_id == "user-1"
    for times in ({"iat": now - 3600, "exp": now - 1}, {"iat": now}, {"exp": now + 60}, {"iat": "x", "exp": now + 60}):
        with pytest.raises(BadToken):
            identity.person(unsigned(**named, **times), "id_token")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("parts", [2, 3], ids=["two", "three"])
@pytest.mark.parametrize("emulated", [True, False], ids=["emulated", "real"])
@pytest.mark.parametrize(
    "text",
    ["", "x", "é", "\ud800", "null", "[]", "1", "{}", '{"alg":"HS256"}', "[" * 20_000, '{"d":1,"v":0,"kid":7}'],
    ids=lambda text: ascii(text[:6]),
)
def test_garbage_proves_nothing(
    credentials: Path, monkeypatch: pytest.MonkeyPatch, text: str, kind: TokenKind, parts: int, *, emulated: bool
) -> None:
    assert credentials
    if emulated:
        monkeypatch.setenv(VARIABLE, f"127.0.0.1:{free_ports(1)[0]}")
    identity = FirebaseIdentity("demo-x")
    encoded = base64.urlsafe_b64encode(text.encode("utf-8", "replace")).rstrip(b"=").decode()
    hs256 = base64.urlsafe_b64encode(b'{"alg":"HS256"}').rstrip(b"=").decode()
    for token in (text, ".".join([encoded] * parts), ".".join([hs256, *([encoded] * (parts - 1))])):
        with pytest.raises(BadToken):
            identity.person(token, kind)


# What an operator mends, and what passes.


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Google's default credentials, as a user's login leaves them, and no emulator."""
    monkeypatch.delenv(VARIABLE, raising=False)
    keys = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    path = tmp_path / "credentials.json"
    path.write_text(json.dumps(keys))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    # Nothing of Google's is reached from here, wherever the tests run.
    nowhere = f"http://127.0.0.1:{free_ports(1)[0]}"
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, nowhere)
    return path


def google(status: int, message: str, state: str = "") -> Reply:
    return Reply(status, {"error": {"code": status, "message": message, "status": state}})


EVERY_QUESTION: list[Callable[[FirebaseIdentity], object]] = [
    lambda identity: identity.find(EMAIL),
    lambda identity: identity.get("stripe_1"),
    lambda identity: identity.create(OURS),
    lambda identity: identity.password_link(EMAIL, "ja"),
    lambda identity: identity.set_plans("stripe_1", ("gold",)),
]
DISABLED = (
    "Identity Toolkit API has not been used in project 1 before or it is disabled. Enable it by visiting "
    "https://console.developers.google.com/apis/api/identitytoolkit.googleapis.com/overview?project=1 then retry."
)


@pytest.mark.parametrize("ask", EVERY_QUESTION, ids=["find", "get", "create", "link", "plans"])
@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (google(403, DISABLED, "PERMISSION_DENIED"), Retry, "enable the Identity Toolkit API"),
        (google(403, "INSUFFICIENT_PERMISSION : no", "PERMISSION_DENIED"), Retry, "roles/firebaseauth.admin"),
        (google(401, "Login Required.", "UNAUTHENTICATED"), Retry, "roles/firebaseauth.admin"),
        (google(400, "CONFIGURATION_NOT_FOUND"), Retry, "not set up in this project"),
        (google(400, "OPERATION_NOT_ALLOWED : off"), Retry, "turn on the sign-in provider"),
        (google(400, f"UNAUTHORIZED_DOMAIN : {EMAIL}"), Retry, "authorized domains"),
        (google(429, "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED"), Retry, "for now"),
        (google(400, "TOO_MANY_ATTEMPTS_TRY_LATER : x"), Retry, "TOO_MANY_ATTEMPTS_TRY_LATER"),
        (google(400, "QUOTA_EXCEEDED : Exceeded daily quota"), Retry, "QUOTA_EXCEEDED"),
        (Reply(502, b"<html>Bad Gateway"), Retry, "for now"),
        (Reply(200, b"<html>Welcome"), Retry, "for now"),
        (google(400, f"INVALID_SOMETHING_ELSE : {EMAIL}"), Permanent, "INVALID_SOMETHING_ELSE"),
    ],
    ids=lambda each: each if isinstance(each, str) else None,
)
def test_each_answer_says_what_to_do(
    answering: Answering,
    monkeypatch: pytest.MonkeyPatch,
    *,
    ask: Callable[[FirebaseIdentity], object],
    reply: Reply,
    kind: type[Exception],
    says: str,
) -> None:
    monkeypatch.setenv(VARIABLE, answering.host)
    answering.say(reply)
    with pytest.raises(kind, match=says) as raised:
        ask(FirebaseIdentity("demo-x"))
    told = "".join(traceback.format_exception(raised.value))
    assert EMAIL not in told
    assert "太郎" not in told


def test_an_address_that_only_firebase_refuses(answering: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, answering.host)
    answering.say(google(400, "INVALID_EMAIL"))
    identity = FirebaseIdentity("demo-x")
    assert identity.find(EMAIL) is None
    assert identity.create(OURS) == "refused"
    assert [sorted(each.body) for each in answering.asked[1:]] == [
        ["displayName", "email", "localId", "phoneNumber"],
        ["displayName", "email", "localId"],
        ["email", "localId", "phoneNumber"],
        ["email", "localId"],
    ]


def test_a_user_who_goes_while_their_plans_are_written(answering: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, answering.host)
    answering.say(Reply(body={"users": [{"localId": "u"}]}), google(400, "USER_NOT_FOUND"))
    assert FirebaseIdentity("demo-x").set_plans("u", ("gold",)) is False


def test_firebase_unavailable_is_asked_again_later(answering: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, answering.host)
    answering.say(google(503, "UNAVAILABLE", "UNAVAILABLE"))
    with pytest.raises(Retry, match="for now"):
        FirebaseIdentity("demo-x").get("u")


@pytest.mark.parametrize("ask", EVERY_QUESTION, ids=["find", "get", "create", "link", "plans"])
def test_nobody_there(monkeypatch: pytest.MonkeyPatch, ask: Callable[[FirebaseIdentity], object]) -> None:
    monkeypatch.setenv(VARIABLE, f"127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(Retry, match="UNAVAILABLE"):
        ask(FirebaseIdentity("demo-x"))


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, credentials: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(credentials.with_name("missing.json")))
    with pytest.raises(Retry, match=r"DefaultCredentialsError.*roles/firebaseauth\.admin"):
        FirebaseIdentity("demo-x").get("u")


def test_no_access_token(credentials: Path) -> None:
    assert credentials.exists()
    with pytest.raises(Retry, match="no access token from Google"):
        FirebaseIdentity("demo-x").get("u")


def test_certificates_that_cannot_be_fetched_are_no_bad_token(credentials: Path) -> None:
    assert credentials.exists()
    now = int(time.time())
    header = base64.urlsafe_b64encode(b'{"alg":"RS256","kid":"k"}').rstrip(b"=").decode()
    claims = {"aud": "demo-x", "iss": "https://securetoken.google.com/demo-x", "sub": "u", "iat": now, "exp": now + 60}
    token = f"{header}.{unsigned(**claims).split('.')[1]}.AAAA"
    with pytest.raises(Retry, match="certificates"):
        FirebaseIdentity("demo-x").person(token, "id_token")
