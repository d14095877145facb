"""Accounts at any identity provider that speaks a small JSON contract over HTTP: docs/identity_providers.md."""

import logging
from dataclasses import dataclass, replace
from types import NoneType
from typing import Any, Self
from urllib.parse import quote

import httpx

from functions.errors import Permanent, Retry
from functions.identity import Account, BadToken, NewAccount, Person, Refusal, TokenKind

TIMEOUT_SECONDS = 10
#: In a path these mean a place and not a name, so no account can have them.
_NO_IDS = {"", ".", ".."}
#: No answer to what was asked, and another day there may be one.
_LATER = {408, 425, 429}


class HttpIdentity:
    """`functions.identity.IdentityProvider` over HTTP.

    `base` is the URL before `/accounts`; `token` is sent as `Authorization: Bearer`. `continue_url` is where the page
    that sets a password leads on to.
    """

    def __init__(
        self, base: str, token: str, continue_url: str | None = None, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self.base = base.rstrip("/")
        self._continue_url = continue_url
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {token.strip()}", "Accept": "application/json"},
            timeout=timeout_seconds,
            # A redirect would take the token, and an address, to where nobody meant them to go.
            follow_redirects=False,
        )
        # It writes every URL to the log, and one of them has an address in it.
        logging.getLogger("httpx").setLevel(logging.WARNING)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def find(self, email: str) -> Account | None:
        """The account with this address, verified or not."""
        answer = _Answer.of("GET /accounts", self._send("GET", "/accounts", "/accounts", params={"email": email}))
        match answer.field("accounts", list):
            case []:
                return None
            case [dict() as only]:
                return replace(answer, body=only).account()
            case _:
                raise answer.malformed("accounts")

    def get(self, user_id: str) -> Account | None:
        """The account with this id."""
        if user_id in _NO_IDS:
            return None
        response = self._send("GET", f"/accounts/{_in_path(user_id)}", "/accounts/{id}", 404)
        if response.status_code == 404:
            return None
        return _Answer.of("GET /accounts/{id}", response).account(user_id)

    def create(self, new: NewAccount) -> Account | Refusal:
        """Make an account without a password, its address not verified. The provider leaves out a phone it has."""
        if new.user_id in _NO_IDS:
            return "refused"
        body = {"email": new.email, "name": new.name, "phone": new.phone}
        path = f"/accounts/{_in_path(new.user_id)}"
        response = self._send("PUT", path, "/accounts/{id}", 409, 422, json=body)
        if response.status_code == 409:
            return "taken"
        if response.status_code == 422:
            return "refused"
        return _Answer.of("PUT /accounts/{id}", response).account(new.user_id)

    def password_link(self, email: str, language: str) -> str:
        """A link by which whoever reads the mail of that address sets a password, once."""
        body = {"email": email, "language": language, "continue_url": self._continue_url}
        answer = _Answer.of("POST /password_links", self._send("POST", "/password_links", "/password_links", json=body))
        link: str = answer.field("link", str)
        if not link.startswith(("https://", "http://")):
            raise answer.malformed("link")
        return link

    def set_plans(self, user_id: str, plans: tuple[str, ...]) -> bool:
        """Make the claim `stripe_plans` of the user's tokens say these, sorted. False: no such user."""
        if user_id in _NO_IDS:
            return False
        path = f"/accounts/{_in_path(user_id)}/plans"
        body = {"plans": sorted(set(plans))}
        return self._send("PUT", path, "/accounts/{id}/plans", 404, json=body).status_code != 404

    def person(self, token: str, kind: TokenKind) -> Person:
        """Whom this token proves. Raises BadToken."""
        body = {"token": token, "kind": kind}
        response = self._send("POST", "/tokens/verify", "/tokens/verify", 401, 422, json=body)
        if response.status_code in {401, 422}:
            raise BadToken("the identity provider does not take it")
        account = _Answer.of("POST /tokens/verify", response).account()
        return Person(user_id=account.user_id, email=account.email, is_verified=account.is_verified)

    def _send(self, method: str, path: str, shown: str, *answers: int, **content: Any) -> httpx.Response:
        """A response of 2xx, or of one of these. `shown` is the path for messages, with nobody's id in it."""
        what = f"{method} {shown}"
        try:
            response = self._client.request(method, f"{self.base}{path}", **content)
        except httpx.HTTPError as error:
            # Without its cause, which holds the request: an address, or a token.
            raise Retry(f"identity provider: {type(error).__name__} for {what}") from None
        status = response.status_code
        if response.is_success or status in answers:
            return response
        if status in {401, 403}:
            raise Retry(f"identity provider: {status} for {what}: is IDENTITY_TOKEN what it accepts?")
        if status in _LATER or status >= 500:
            raise Retry(f"identity provider: {status} for {what}")
        raise Permanent(
            f"identity provider: {status} for {what}: does IDENTITY_URL lead to docs/identity_providers.md?"
        )


def _in_path(user_id: str) -> str:
    return quote(user_id, safe="")


@dataclass(frozen=True, slots=True)
class _Answer:
    """A JSON object that a response holds. `what` was asked for it, for messages, which never quote it."""

    what: str
    body: dict[str, Any]

    @classmethod
    def of(cls, what: str, response: httpx.Response) -> Self:
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Permanent(f"identity provider: the body of the answer to {what} is no JSON object")
        return cls(what, body)

    def account(self, user_id: str | None = None) -> Account:
        """The account that it is, of this id where one was asked for."""
        found = self.field("id", str)
        if not found or user_id not in {None, found}:
            raise self.malformed("id")
        email = self.field("email", str, NoneType) or None
        verified = self.field("email_verified", bool)
        return Account(
            user_id=found,
            email=email,
            is_verified=bool(email and verified),
            is_unused=bool(email and self.field("unused", bool, NoneType)),
        )

    def field(self, name: str, *kinds: type) -> Any:
        """What stands there, of one of these types; where none need stand there, None."""
        value = self.body.get(name)
        if not isinstance(value, kinds):
            raise self.malformed(name)
        return value

    def malformed(self, name: str) -> Permanent:
        """What is wrong is the field of this name."""
        return Permanent(f"identity provider: {name} in the answer to {self.what} is not as documented")
