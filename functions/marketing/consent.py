"""What a person has said about being sent offers, and which of it counts. Pure.

The latest statement counts, by the time at which it was made and not by the order of arrival; within one second a
refusal goes before an agreement. `customers/{c}.marketing` is None, or `{status, at, by, said}`: what counts, since
when in epoch seconds, from where, and the newest statement of each source. The latter is also the record of consent
that a sender of advertising has to keep (特定電子メール法 第3条第2項, GDPR Art. 7(1)).

A Customer's metadata is no statement but a place where one stands, and goes on standing there after its author has
said something else. An event that shows the value changing dates it. Any other sight of it cannot be dated: a
notification without data, a Customer fetched as it is now, an event in which only the address changed. Such an
agreement counts for those alone who have said nothing else, so that it never overrides a refusal, whichever came first.
Such a refusal counts from the newest event that shows it, unless a dated change accounts for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from functions.stripe_events import CheckoutSession, Customer, StripeEvent

Json = dict[str, Any]
Status = Literal["opt_in", "opt_out"]
Source = Literal["checkout", "metadata", "unsubscribe"]
#: Who may be sent offers: those who agreed, or everybody who has not refused.
Policy = Literal["opt_in", "opt_out"]

_SOURCES: tuple[Source, ...] = get_args(Source)
#: Where in `said` the newest sight of the metadata is kept that could not be dated.
_SEEN = "seen"

_MEANINGS: dict[str, Status] = {
    **dict.fromkeys(("opt_in", "true", "yes"), "opt_in"),
    **dict.fromkeys(("opt_out", "false", "no"), "opt_out"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Somebody's word about offers. `at` is when it was said, in epoch seconds, or if not `dated` when it was seen."""

    status: Status
    at: int
    by: Source
    dated: bool = True


def said_at_checkout(session: CheckoutSession, at: int) -> Statement | None:
    """The box on the checkout page; None where there was none. `at` is when the session was completed."""
    status = _meaning(session.promotions)
    return Statement(status=status, at=at, by="checkout") if status else None


def said_in_metadata(metadata: Mapping[str, str], key: str, at: int, *, dated: bool = True) -> Statement | None:
    """`metadata[key]`: opt_in, true, yes, opt_out, false or no, in any case. Anything else says nothing."""
    status = _meaning(metadata.get(key))
    return Statement(status=status, at=at, by="metadata", dated=dated) if status else None


def said_by_session(event: StripeEvent, session: CheckoutSession) -> Statement | None:
    """What an event of a session says.

    Only its completion: the event of a delayed payment shows the same box again, days later, and must not take back
    what was said in between.
    """
    return said_at_checkout(session, event.created) if event.type == "checkout.session.completed" else None


def said_by_customer(event: StripeEvent, customer: Customer, key: str) -> Statement | None:
    """What a Customer's metadata says: of a snapshot event as the event shows it, of any other one as it was fetched.

    To take a refusal back, the value has to change: what stands there already is never said again.
    """
    return said_in_metadata(customer.metadata, key, event.created, dated=_shows_a_change(event, customer, key))


def settle(stored: Mapping[str, Any] | None, said: Statement | None) -> Json | None:
    """`marketing` after this statement. The order in which statements come, and how often, makes no difference.

    Unsubscribing again keeps the first time, unless an agreement stands between the two.
    """
    if said is None:
        return dict(stored) if stored else None
    return _settled(stored, said)


def refuse(stored: Mapping[str, Any] | None, now: float) -> Json:
    """`marketing` of somebody who unsubscribes now, in epoch seconds.

    Whatever is stored was said before, also where Stripe's clock is ahead of ours.
    """
    latest = max(map(_last, _heard(stored).values()), default=0)
    return _settled(stored, Statement(status="opt_out", at=max(int(now), latest), by="unsubscribe"))


def may_be_offered(marketing: Mapping[str, Any] | None, policy: Policy) -> bool:
    """Whether somebody who has said this may be sent offers."""
    status = (marketing or {}).get("status")
    return status == "opt_in" or (status is None and policy == "opt_out")


def _settled(stored: Mapping[str, Any] | None, said: Statement) -> Json:
    heard = _heard(stored)
    place = said.by if said.dated else _SEEN
    heard[place] = _later(heard.get(place), said)
    if _accounted_for(heard):
        del heard[_SEEN]
    return {**_counting(heard), "said": heard}


def _meaning(text: object) -> Status | None:
    return _MEANINGS.get(text.strip().lower()) if isinstance(text, str) else None


def _shows_a_change(event: StripeEvent, customer: Customer, key: str) -> bool:
    """Whether the event dates what the metadata means. `yes` instead of `opt_in` is somebody tidying up."""
    if event.is_thin or not event.type.startswith("customer."):
        return False
    if event.type == "customer.created":
        return True
    # Stripe names the keys that changed, a new one with null. None at all: there was no metadata before.
    before = event.previous_attributes.get("metadata")
    if not isinstance(before, Mapping) or (before and key not in before):
        return False
    return _meaning(before.get(key)) != _meaning(customer.metadata.get(key))


def _heard(stored: Mapping[str, Any] | None) -> dict[str, Json]:
    """What is kept of each source. What nobody can read is passed over: it must not keep a refusal from counting."""
    if not isinstance(stored, Mapping):
        return {}
    said = stored.get("said")
    kept = said if isinstance(said, Mapping) else {stored.get("by"): stored}
    return {
        place: {name: each[name] for name in ("status", "at", "again") if name in each}
        for place, each in kept.items()
        if place in {*_SOURCES, _SEEN} and isinstance(each, Mapping) and _is_readable(each)
    }


def _is_readable(kept: Mapping[str, Any]) -> bool:
    at = kept.get("at")
    return kept.get("status") in get_args(Status) and isinstance(at, int) and isinstance(kept.get("again", at), int)


def _later(known: Json | None, said: Statement) -> Json:
    new: Json = {"status": said.status, "at": said.at}
    if known is None:
        return new
    if said.by != "unsubscribe":
        return max(known, new, key=_rank)
    # Both ends: the first is the one that people are told, and the last is the one that others have to be later than.
    times = {known["at"], _last(known), said.at}
    return {**new, "at": min(times)} | ({"again": max(times)} if len(times) > 1 else {})


def _last(statement: Json) -> int:
    last: int = statement["again"] if "again" in statement else statement["at"]
    return last


def _rank(statement: Json) -> tuple[int, bool]:
    return _last(statement), statement["status"] == "opt_out"


def _accounted_for(heard: Mapping[str, Json]) -> bool:
    """Whether a dated change says why the metadata was seen as it was, or is newer than that."""
    seen, changed = heard.get(_SEEN), heard.get("metadata")
    return bool(seen and changed and (changed["status"] == seen["status"] or changed["at"] > seen["at"]))


def _counting(heard: Mapping[str, Json]) -> Json:
    """The statement that counts."""
    dated = {source: heard[source] for source in _SOURCES if source in heard}
    source = max(dated, key=lambda each: (_rank(dated[each]), _SOURCES.index(each)), default=None)
    seen = heard.get(_SEEN)
    if source is None:
        return {**heard[_SEEN], "by": "metadata"}
    latest = dated[source]
    if seen and seen["status"] == "opt_out" and latest["status"] == "opt_in" and seen["at"] > latest["at"]:
        return {**seen, "by": "metadata"}
    agreed_since = any(each["status"] == "opt_in" and each["at"] > latest["at"] for each in dated.values())
    at = _last(latest) if agreed_since else latest["at"]
    return {"status": latest["status"], "at": at, "by": source}
