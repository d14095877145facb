"""The page behind the link in every offer: GET asks, POST records that no more offers are wanted, whoever posts.

Programs follow the links of a mail before its reader does, so a GET changes nothing. A POST is the page's button or a
mail program's own (RFC 8058): the same deed, told at less length to a program. The link says everything that is needed;
nobody logs in, nothing expires, and doing it twice is doing it once.
"""

import random
from dataclasses import dataclass, field
from typing import Literal

from functions import paths
from functions.clock import Clock
from functions.effects import Merge
from functions.errors import Conflict, Permanent, Retry
from functions.incoming import Unreadable, read_body, trace
from functions.log import Log, Severity
from functions.mail.locales import choose
from functions.marketing.consent import refuse
from functions.marketing.links import PARAMETER, BadLink, UnsubscribeLinks
from functions.pages.http import Request, Response, languages
from functions.pages.render import headers, page
from functions.pages.settings import UnsubscribeSettings
from functions.store import Store

State = Literal["ask", "done", "bad_link", "away"]

#: The button's body is empty and a mail program's has 26 bytes; that of a multipart form is little longer.
MAX_BODY_BYTES = 64 * 1024
RETRY_AFTER_SECONDS = 120
#: How often one POST reads and decides again when others change the same customer.
ROUNDS = 6
_FIRST_PAUSE_SECONDS = 0.02
#: As it stands in a body of either encoding, multipart/form-data or application/x-www-form-urlencoded.
_ONE_CLICK = b"One-Click"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What is shown, and what is said of it in the log."""

    status: int
    state: State
    severity: Severity
    outcome: str
    reason: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body_was_read: bool = False
    one_click: bool = False


def answer(request: Request, *, settings: UnsubscribeSettings, store: Store, clock: Clock, log: Log) -> Response:
    """Answer one request. Never raises for anything the request contains."""
    started = clock.now()
    language, _ = choose(languages(request.headers), settings.mail.locale)
    found = _answer(request, settings, store, clock)
    # Neither the link nor whose it is: a guest's id is made from an address.
    log(
        found.severity,
        f"unsubscribe {found.outcome}",
        **{"logging.googleapis.com/trace": trace(request.headers, settings.project)},
        function="unsubscribe",
        outcome=found.outcome,
        status=found.status,
        reason=found.reason,
        one_click=found.one_click or None,
        milliseconds=round((clock.now() - started) * 1000, 1),
    )
    brand = settings.mail.brand
    return Response(
        found.status,
        page("unsubscribe", found.state, brand, language, is_short=found.one_click),
        {**headers(brand, language), **found.headers},
        body_was_read=found.body_was_read,
    )


def _answer(request: Request, settings: UnsubscribeSettings, store: Store, clock: Clock) -> _Answer:
    if request.method not in {"GET", "HEAD", "POST"}:
        return _refused(405, "only GET, HEAD and POST", {"Allow": "GET, HEAD, POST"})
    try:
        customer, address = UnsubscribeLinks("", settings.keys).read(request.query.get(PARAMETER, ""))
    except BadLink:
        return _refused(400, "no link of ours")
    if request.method != "POST":
        return _Answer(status=200, state="ask", severity="INFO", outcome="asked")
    try:
        one_click = _ONE_CLICK in read_body(request.headers, request.stream, MAX_BODY_BYTES)
    except Unreadable as problem:
        return _refused(problem.status, str(problem))
    try:
        outcome = _record(customer, address, store, clock)
    except (Retry, Permanent) as problem:
        return _Answer(
            status=503,
            state="away",
            severity="ERROR",
            outcome="retry",
            reason=str(problem),
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
            body_was_read=True,
            one_click=one_click,
        )
    return _Answer(status=200, state="done", severity="INFO", outcome=outcome, body_was_read=True, one_click=one_click)


def _refused(status: int, reason: str, more_headers: dict[str, str] | None = None) -> _Answer:
    return _Answer(
        status=status,
        state="bad_link",
        severity="WARNING",
        outcome="refused",
        reason=reason,
        headers=more_headers or {},
    )


def _record(customer: str, address: str, store: Store, clock: Clock) -> Literal["recorded", "repeated"]:
    """Commit the refusal, of this customer and of the address that the offer went to. Raises Retry or Permanent.

    Also of a customer who is deleted, or whom no event has told of yet: the link is ours, so they were written to, and
    whatever is heard of them later finds the refusal there.
    """
    path, address_path, now = paths.customer(customer), paths.address_by(address), clock.now()
    conflict = ""
    for round_number in range(ROUNDS):
        found = store.read([path, address_path])
        stored = (found[path].fields or {}).get("marketing")
        marketing = refuse(stored, now)
        refused_at = (found[address_path].fields or {}).get("refused_at")
        if marketing != stored or refused_at is None:
            effects = (Merge(path, {"marketing": marketing}), Merge(address_path, {"refused_at": int(now)}))
            try:
                store.commit(effects, found)
            except Conflict as problem:
                conflict = str(problem)
                # Spread, so that writers that collided once do not collide again.
                clock.sleep(_FIRST_PAUSE_SECONDS * 2**round_number * random.uniform(0.5, 1.5))  # noqa: S311 no secret
                continue
        return "repeated" if marketing == stored or marketing["at"] < int(now) else "recorded"
    raise Retry(f"the customer changed under {ROUNDS} attempts to commit: {conflict}")
