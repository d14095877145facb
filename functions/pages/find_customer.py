"""`find_customer` over HTTP, for services of yours that are not written in Python: whose customer is this?

    POST {"user_id": "user-1"}, {"customer": "cus_…"} or {"email": "hana@example.com"}
    GET ?user_id=…, ?customer=… or ?email=…

Prefer POST: what stands in an address also stands in access logs. Only who may invoke the function gets here; IAM
decides that before any of this runs.
"""

import json
from dataclasses import dataclass, field, replace
from typing import Any

from functions.accounts.customers import Customers
from functions.accounts.lookup import Lookup
from functions.accounts.question import question
from functions.clock import Clock
from functions.errors import Permanent, Retry
from functions.incoming import Unreadable, read_body, trace
from functions.log import Log, Severity
from functions.pages.http import Request, Response

#: 512 characters, each as long as JSON can write it, and what stands around them.
MAX_BODY_BYTES = 8 * 1024
RETRY_AFTER_SECONDS = 10
_NAMES = ("user_id", "customer", "email")
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What is answered, and what is said of it in the log."""

    status: int
    body: dict[str, Any]
    outcome: str
    severity: Severity = "INFO"
    by: str | None = None
    source: str | None = None
    #: More for the log than the asker needs to know.
    reason: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body_was_read: bool = False


def answer(request: Request, *, lookup: Lookup, project: str, clock: Clock, log: Log) -> Response:
    """Answer one request. Never raises for anything the request contains."""
    started = clock.now()
    found = _answer(request, lookup)
    # Neither who was asked for nor who was found: a user's id may be an address.
    log(
        found.severity,
        f"find_customer {found.outcome}",
        **{"logging.googleapis.com/trace": trace(request.headers, project)},
        function="find_customer",
        outcome=found.outcome,
        status=found.status,
        by=found.by,
        source=found.source,
        reason=found.reason,
        milliseconds=round((clock.now() - started) * 1000, 1),
    )
    return Response(
        found.status,
        json.dumps(found.body) + "\n",
        {**_HEADERS, **found.headers},
        mimetype="application/json",
        body_was_read=found.body_was_read,
    )


def _answer(request: Request, lookup: Lookup) -> _Answer:
    if request.method not in {"GET", "HEAD", "POST"}:
        return _refused(405, "only GET, HEAD and POST", {"Allow": "GET, HEAD, POST"})
    if request.method != "POST":
        return _found(lookup, {name: request.query[name] for name in _NAMES if name in request.query})
    try:
        body = read_body(request.headers, request.stream, MAX_BODY_BYTES)
    except Unreadable as problem:
        return _refused(problem.status, str(problem))
    try:
        asked = _asked(body)
    except ValueError as problem:
        return replace(_refused(400, str(problem)), body_was_read=True)
    return replace(_found(lookup, asked), body_was_read=True)


def _refused(status: int, reason: str, headers: dict[str, str] | None = None) -> _Answer:
    return _Answer(
        status=status,
        body={"error": reason},
        outcome="refused",
        severity="WARNING",
        reason=reason,
        headers=headers or {},
    )


def _asked(body: bytes) -> dict[str, str]:
    """What a body asks for. Raises ValueError with one line that quotes nothing of it."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the body is not JSON") from None
    if not isinstance(asked, dict) or not all(isinstance(asked[name], str) for name in _NAMES if name in asked):
        raise ValueError("the body is not a JSON object of texts")
    return {name: asked[name] for name in _NAMES if name in asked}


def _found(lookup: Lookup, asked: dict[str, str]) -> _Answer:
    user_id, customer, email = (asked.get(name) for name in _NAMES)
    try:
        by = question(user_id=user_id, customer=customer, email=email).by
    except ValueError as problem:
        return _refused(400, str(problem))
    try:
        found = lookup.find(user_id=user_id, customer=customer, email=email)
    except (Retry, Permanent) as problem:
        return _Answer(
            status=503,
            body={"error": "nobody can say now; ask again later"},
            outcome="retry",
            severity="ERROR",
            by=by,
            reason=str(problem),
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        )
    if found is None:
        return _Answer(status=404, body={"error": f"no customer with this {by}"}, outcome="not_found", by=by)
    return _Answer(status=200, body=_told(found), outcome="found", by=by, source=found.source)


def _told(found: Customers) -> dict[str, Any]:
    """Of a customer this says whose it is, and nothing that somebody typed."""
    kept = ("customers", "primary", "user_id", "is_user_known", "source")
    return {name: getattr(found, name) for name in kept}
