"""The page with Stripe's pricing table, which is told who is there; and the same as JSON for single-page apps.

A user proves who they are by a Firebase ID token as bearer, or by a session cookie. A bearer that proves nothing is an
error of the app that sent it; a cookie that proves nothing is a visitor whose session has ended.
"""

import json
import re
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

from functions.clock import Clock
from functions.errors import Permanent, Retry
from functions.identity import BadToken, IdentityProvider, Person
from functions.incoming import Headers, trace
from functions.log import Log, Severity
from functions.mail.locales import choose
from functions.pages.buyer import Buyer, Link, Lookup, Stripe, buyer
from functions.pages.http import Request, Response, languages
from functions.pages.render import headers, headers_with_table, page, page_with_table
from functions.pages.settings import PricingSettings

#: The only one that Firebase Hosting passes on: https://firebase.google.com/docs/hosting/manage-cache.
COOKIE = "__session"
RETRY_AFTER_SECONDS = 30
#: How long a browser remembers what a preflight allowed.
PREFLIGHT_SECONDS = 3600
ALLOW = "GET, HEAD, OPTIONS"
VARY = "Accept-Language, Accept, Authorization, Cookie, Origin"
_BEARER = re.compile(r"bearer +([^\s,]+)", re.IGNORECASE)
_QUALITY = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)
#: Browsers send about ten.
_MOST_TYPES = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What is shown, and what is said of it in the log. `state` is one of the page's; an error's is also the JSON's."""

    status: int
    state: str
    severity: Severity
    reason: str | None = None
    buyer: Buyer | None = None
    headers: dict[str, str] = field(default_factory=dict)


def answer(
    request: Request,
    *,
    settings: PricingSettings,
    identity: IdentityProvider | None,
    lookup: Lookup,
    stripe: Stripe,
    link: Link,
    clock: Clock,
    log: Log,
) -> Response:
    """Answer one request. Never raises for anything the request contains."""
    started = clock.now()
    origin = _allowed_origin(request.headers, settings)
    if request.method == "OPTIONS":
        return Response(204, "", {**_shared(origin), "Allow": ALLOW, **(_preflight() if origin else {})})
    found = _answer(request, identity, lookup, stripe, link, is_foreign=_is_foreign(request.headers, origin))
    # Neither a token nor whose it is, and no secret.
    log(
        found.severity,
        f"pricing_page {found.state}",
        **{"logging.googleapis.com/trace": trace(request.headers, settings.project)},
        function="pricing_page",
        outcome=found.state,
        status=found.status,
        reason=found.reason,
        linked=(found.buyer.linked or None) if found.buyer else None,
        milliseconds=round((clock.now() - started) * 1000, 1),
    )
    if wants_json(request.headers):
        return _json(found, settings, origin)
    language, _ = choose(languages(request.headers), settings.mail.locale)
    brand = settings.mail.brand
    if found.buyer is None:
        body, own = page("pricing", found.state, brand, language), headers(brand, language)
    else:
        # Nobody is asked to sign in where nobody can.
        state = "plain" if found.state == "visitor" and identity is None else found.state
        body = page_with_table("pricing", state, brand, language, _attributes(found, settings))
        own = headers_with_table(brand, language)
    return Response(found.status, body, {**own, **_shared(origin), **found.headers})


def _answer(
    request: Request, identity: IdentityProvider | None, lookup: Lookup, stripe: Stripe, link: Link, *, is_foreign: bool
) -> _Answer:
    if request.method not in {"GET", "HEAD"}:
        allow = {"Allow": ALLOW}
        return _Answer(
            status=405, state="method_not_allowed", severity="WARNING", reason=f"only {ALLOW}", headers=allow
        )
    try:
        person, reason = _person(request.headers, identity, is_foreign=is_foreign)
        found = buyer(person, lookup, stripe, link)
    except BadToken:
        # Not what it says: another provider's words may be about somebody.
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        return _Answer(
            status=401, state="invalid_token", severity="WARNING", reason="the bearer proves nobody", headers=challenge
        )
    except (Retry, Permanent) as problem:
        # Without knowing whether there is a Customer, the table would make a second one.
        wait = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return _Answer(status=503, state="unavailable", severity="ERROR", reason=str(problem), headers=wait)
    severity: Severity = "WARNING" if found.warning else "INFO"
    return _Answer(status=200, state=found.kind, severity=severity, reason=found.warning or reason, buyer=found)


def _person(sent: Headers, identity: IdentityProvider | None, *, is_foreign: bool) -> tuple[Person | None, str | None]:
    """Who is asking, and what there is to say of it. Raises BadToken for a bearer, and Retry and Permanent."""
    authorization = sent.get("Authorization", "").strip()
    if authorization:
        bearer = _BEARER.fullmatch(authorization)
        if bearer is None or identity is None:
            raise BadToken("no bearer" if bearer is None else "nobody keeps accounts")
        return identity.person(bearer[1], "id_token"), None
    session = _session(sent)
    if not session or identity is None:
        return None, None
    if is_foreign:
        # It would be refused the answer, so nothing is done for it either.
        return None, "the cookie does not count for a page of that origin: see ALLOWED_ORIGINS"
    try:
        return identity.person(session, "session_cookie"), None
    except BadToken:
        return None, "the session has ended"


def _session(sent: Headers) -> str | None:
    """The session cookie, whatever stands beside it: cookies of other programs are no reason to forget it."""
    for part in sent.get("Cookie", "").split(";"):
        try:
            found = SimpleCookie(part.strip()).get(COOKIE)
        except CookieError:
            continue
        if found is not None:
            return found.value
    return None


def _allowed_origin(sent: Headers, settings: PricingSettings) -> str | None:
    origin = sent.get("Origin", "")
    return origin if origin in settings.allowed_origins else None


def _is_foreign(sent: Headers, origin: str | None) -> bool:
    """Whether a page of an origin that is not allowed asks. A browser says the origin of no GET within one's own."""
    return bool(sent.get("Origin", "")) and origin is None


def _shared(origin: str | None) -> dict[str, str]:
    """What every answer has in common: an app that is allowed may read it, errors too, and nobody else's may."""
    shared = {
        "Cache-Control": "no-store",
        "Vary": VARY,
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex",
    }
    if origin is None:
        return shared
    return shared | {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "Retry-After, WWW-Authenticate",
    }


def _preflight() -> dict[str, str]:
    return {
        "Access-Control-Allow-Methods": "GET",
        "Access-Control-Allow-Headers": "Authorization",
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }


def _attributes(found: _Answer, settings: PricingSettings) -> dict[str, str]:
    """The table's attributes. None where there is to be no table."""
    if found.buyer is None:
        return {}
    shop = {"pricing-table-id": settings.pricing_table_id, "publishable-key": settings.publishable_key}
    return shop | found.buyer.attributes


def _json(found: _Answer, settings: PricingSettings, origin: str | None) -> Response:
    attributes = _attributes(found, settings)
    body = {name.replace("-", "_"): value for name, value in attributes.items()} or {"error": found.state}
    # Neither may another site show it as a script or a picture of its own.
    own = {"Cross-Origin-Resource-Policy": "same-origin"}
    return Response(
        found.status, json.dumps(body), {**own, **_shared(origin), **found.headers}, mimetype="application/json"
    )


def wants_json(sent: Headers) -> bool:
    """Whether `Accept` names JSON, and does not rather have a page: https://www.rfc-editor.org/rfc/rfc9110#name-accept."""
    wanted: dict[str, tuple[float, int]] = {}
    for place, part in enumerate(sent.get("Accept", "").split(",")[:_MOST_TYPES]):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        qualities = [float(found[1]) for each in parameters if (found := _QUALITY.fullmatch(each))]
        wanted.setdefault(name, (qualities[0] if qualities else 1.0, -place))
    as_json, as_page = wanted.get("application/json", (0.0, 0)), wanted.get("text/html", (0.0, 0))
    return as_json[0] > 0 and as_json > as_page
