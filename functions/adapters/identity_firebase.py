"""Accounts at Firebase Authentication (Identity Platform), through Google's Admin SDK."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import uuid4

# Neither has type information, so that whatever comes from them is Any until it is put into our own classes.
import firebase_admin  # type: ignore[import-untyped]
from firebase_admin import auth, exceptions
from google.auth.exceptions import GoogleAuthError

from functions.errors import Permanent, Retry
from functions.identity import OURS, Account, BadToken, NewAccount, Person, Refusal, TokenKind

TIMEOUT_SECONDS = 10
PLANS_CLAIM = "stripe_plans"
#: What Firebase lets the custom claims of one user be, as JSON.
MAX_CLAIMS_BYTES = 1000

#: By the backend's own codes: what is mended in the console, after which the same event succeeds.
_MENDED = {
    "CONFIGURATION_NOT_FOUND": "Authentication is not set up in this project: Firebase console, Authentication",
    "OPERATION_NOT_ALLOWED": "turn on the sign-in provider Email/Password: Firebase console, Authentication",
    "UNAUTHORIZED_DOMAIN": "add the domain of BRAND_URL to the authorized domains: Firebase console, Authentication",
    "UNAUTHORIZED_CONTINUE_URI": (
        "add the domain of BRAND_URL to the authorized domains: Firebase console, Authentication"
    ),
}
_DENIED = (
    "enable the Identity Toolkit API (identitytoolkit.googleapis.com) and give this function's service account the "
    "role roles/firebaseauth.admin"
)
_TAKEN = (auth.UidAlreadyExistsError, auth.EmailAlreadyExistsError)
#: Quotas come back as a bad request.
_PASSING = {"QUOTA_EXCEEDED"}
#: It answers the same however often it is asked. Everything else may be over in a moment.
_LASTING = (
    *(exceptions.InvalidArgumentError, exceptions.NotFoundError, exceptions.AlreadyExistsError),
    *(exceptions.FailedPreconditionError, exceptions.OutOfRangeError),
)


class FirebaseIdentity:
    """`functions.identity.IdentityProvider` on one project.

    With FIREBASE_AUTH_EMULATOR_HOST in the environment it talks to that emulator, without credentials; else it uses
    Google's default credentials. `continue_url` is where the page that sets a password leads on to; its domain must be
    among the project's authorized domains.
    """

    def __init__(self, project: str, continue_url: str | None = None) -> None:
        options = {"projectId": project, "httpTimeout": TIMEOUT_SECONDS}
        # A name of its own: the SDK keeps its apps in one place, and there may be several projects in one process.
        self._app = firebase_admin.initialize_app(options=options, name=f"identity-{project}-{uuid4()}")
        self._action = auth.ActionCodeSettings(url=continue_url) if continue_url else None

    def close(self) -> None:
        """Forget the app in the SDK's list."""
        firebase_admin.delete_app(self._app)

    def find(self, email: str) -> Account | None:
        """The account with this address, verified or not. Capitals make no difference."""
        try:
            with _asking(auth.UserNotFoundError, exceptions.InvalidArgumentError):
                user = auth.get_user_by_email(email, app=self._app)
        except (auth.UserNotFoundError, ValueError):
            # What the SDK takes for no address belongs to nobody.
            return None
        except exceptions.InvalidArgumentError as error:
            if "EMAIL" in _code(error):
                return None
            raise _failure(error) from None
        return _account(user)

    def get(self, user_id: str) -> Account | None:
        """The account with this id."""
        user = self._user(user_id)
        return None if user is None else _account(user)

    def _user(self, user_id: str) -> Any:
        try:
            with _asking(auth.UserNotFoundError):
                return auth.get_user(user_id, app=self._app)
        except (auth.UserNotFoundError, ValueError):
            return None

    def create(self, new: NewAccount) -> Account | Refusal:
        """Make an account without a password, its address not verified.

        A phone that is taken is left out, and so is a phone or a name that Firebase does not take: somebody typed them.
        """
        named = {"display_name": new.name} if new.name else {}
        reached = {"phone_number": new.phone} if new.phone else {}
        attempts = [named | reached, named, reached, {}] if named and reached else [named | reached, {}]
        refusal: Exception | None = None
        for details in attempts:
            try:
                with _asking(*_TAKEN, auth.PhoneNumberAlreadyExistsError, exceptions.InvalidArgumentError):
                    user = auth.create_user(uid=new.user_id, email=new.email, app=self._app, **details)
            except _TAKEN:
                return "taken"
            except (auth.PhoneNumberAlreadyExistsError, exceptions.InvalidArgumentError, ValueError) as error:
                refusal = error
            else:
                return _account(user)
        # The last one was without both.
        if isinstance(refusal, exceptions.FirebaseError) and "EMAIL" not in _code(refusal):
            raise _failure(refusal) from None
        return "refused"

    def password_link(self, email: str, language: str) -> str:
        """A link by which whoever reads the mail of that address sets a password, once. That verifies the address."""
        try:
            with _asking(auth.EmailNotFoundError, auth.UserNotFoundError):
                link = self._link(email)
        except (auth.EmailNotFoundError, auth.UserNotFoundError, ValueError):
            raise Permanent("Firebase Authentication has no account with the address to set a password for") from None
        # The API takes no language, and the page that Firebase serves reads it here.
        parts = urlsplit(link)
        query = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if key != "lang"]
        return urlunsplit(parts._replace(query=urlencode([*query, ("lang", language)])))

    def _link(self, email: str) -> str:
        try:
            found: str = auth.generate_password_reset_link(email, self._action, app=self._app)
        except exceptions.FirebaseError as error:
            # A page that Firebase may not lead to is no reason to let nobody in: they find it by themselves.
            if self._action is None or not _code(error).startswith("UNAUTHORIZED"):
                raise
            found = auth.generate_password_reset_link(email, app=self._app)
        return found

    def set_plans(self, user_id: str, plans: tuple[str, ...]) -> bool:
        """Make the claim `stripe_plans` say these, sorted; none removes it. Other claims stay. False: no such user.

        Firebase has no precondition for this: of what somebody else writes to the claims between our reading and our
        writing, a moment later, the last one stays.
        """
        user = self._user(user_id)
        if user is None:
            return False
        current: dict[str, Any] = dict(user.custom_claims or {})
        claims = {key: value for key, value in current.items() if key != PLANS_CLAIM}
        if plans:
            claims[PLANS_CLAIM] = sorted(set(plans))
        if claims == current:
            return True
        text = json.dumps(claims, ensure_ascii=False, separators=(",", ":"))
        if (size := len(text.encode())) > MAX_CLAIMS_BYTES:
            raise Permanent(
                f"the claims of the user would be {size:,} bytes with {len(plans)} plans, and Firebase Authentication "
                f"takes {MAX_CLAIMS_BYTES:,}"
            )
        try:
            with _asking(auth.UserNotFoundError):
                auth.set_custom_user_claims(user_id, text, app=self._app)
        except auth.UserNotFoundError:
            return False
        return True

    def person(self, token: str, kind: TokenKind) -> Person:
        """Whom this token proves, with the address as it is now: a session cookie may be two weeks old."""
        claims = self._claims(token, kind)
        user = self._user(claims["uid"])
        if user is None:
            raise BadToken("its user is gone")
        if user.disabled:
            raise BadToken("its user is disabled")
        if claims["iat"] * 1000 < user.tokens_valid_after_timestamp:
            raise BadToken("it was revoked")
        return Person(user_id=user.uid, email=user.email, is_verified=bool(user.email and user.email_verified))

    def _claims(self, token: str, kind: TokenKind) -> dict[str, Any]:
        verify = auth.verify_id_token if kind == "id_token" else auth.verify_session_cookie
        try:
            with _asking(auth.InvalidIdTokenError, auth.InvalidSessionCookieError):
                # Not `check_revoked`: that reads the user too, and keeps the address it finds to itself.
                claims: dict[str, Any] = verify(token, app=self._app)
        except (auth.InvalidIdTokenError, auth.InvalidSessionCookieError):
            raise BadToken("it is not valid") from None
        except (ValueError, TypeError, RecursionError):
            # What the SDK lets through of tokens that are no tokens: it reads them before it checks who signed them.
            raise BadToken("it is no token") from None
        # The SDK checks neither for what the emulator issues.
        if not all(isinstance(claims.get(key), int) for key in ("iat", "exp")) or claims["exp"] <= time.time():
            raise BadToken("it has expired")
        return claims


def _account(user: Any) -> Account:
    verified = bool(user.email and user.email_verified)
    return Account(user_id=user.uid, email=user.email, is_verified=verified, is_unused=_is_unused(user))


def _is_unused(user: Any) -> bool:
    """Whether the account is as `create` left it, so that only a mail to its address leads into it.

    A password shows as a provider, and so does everything else one can sign in with; a phone number does from the
    start. A sign-in leaves the time of the last refresh. A new address or a new password ends all sessions before it.
    """
    made = user.user_metadata.creation_timestamp or 0
    return bool(
        user.uid.startswith(OURS)
        and user.email
        and all(each.provider_id == "phone" for each in user.provider_data)
        and not user.user_metadata.last_refresh_timestamp
        # The emulator counts the making as a sign-in, Firebase has none then.
        and (user.user_metadata.last_sign_in_timestamp or 0) <= made
        # Whole seconds, the other in milliseconds.
        and user.tokens_valid_after_timestamp <= made + 1000
    )


@contextmanager
def _asking(*answers: type[exceptions.FirebaseError]) -> Iterator[None]:
    """Makes what Google's libraries raise into Retry or Permanent, but for these, which are answers.

    Nothing of their text is kept, and no cause: both quote addresses.
    """
    try:
        yield
    except auth.CertificateFetchError:
        raise Retry("Google's certificates could not be fetched, so no token can be checked") from None
    except exceptions.FirebaseError as error:
        if isinstance(error, answers) and _code(error) not in {*_MENDED, *_PASSING}:
            raise
        raise _failure(error) from None
    except GoogleAuthError as error:
        kind = type(error).__name__
        raise Retry(f"Firebase Authentication: no access token from Google ({kind}); {_DENIED}") from None


def _failure(error: exceptions.FirebaseError) -> Retry | Permanent:
    code = _code(error)
    if code in _MENDED:
        return Retry(f"Firebase Authentication ({code}): {_MENDED[code]}")
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        return Retry(f"Firebase Authentication denies us access ({code}): {_DENIED}")
    if isinstance(error, _LASTING) and code not in _PASSING:
        return Permanent(f"Firebase Authentication does not take it ({code})")
    return Retry(f"Firebase Authentication does not answer for now ({code})")


def _code(error: Exception) -> str:
    """The backend's code such as INVALID_EMAIL, else Google's such as UNAVAILABLE. Never what it was about."""
    response = getattr(error, "http_response", None)
    found = re.search(r'"message":\s*"([A-Z]+(?:_[A-Z]+)+)\b', response.text) if response is not None else None
    return found[1] if found else str(getattr(error, "code", "refused"))
