"""Time and order: what an incoming event may do to a document that mirrors a Stripe object.

Stripe neither orders events nor delivers them once, and `created` has whole seconds. Each mirrored document (or each
mirrored part of one) keeps `as_of`, the `created` of the newest event it reflects in epoch seconds, and
`as_of_events`, every event id it has seen of that second.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any, TypeVar

from functions.effects import Decision, Kind, Request, fetch
from functions.errors import Malformed, Permanent
from functions.stripe_events import StripeEvent


class Verdict(Enum):
    """What to do with an event, given what is stored."""

    APPLY = "its payload is the newest there is"
    FETCH = "its payload does not settle the state: fetch the object between the read and the commit"
    DUPLICATE = "already reflected"
    STALE = "something newer is stored"


def judge(event: StripeEvent, stored: Mapping[str, Any] | None) -> Verdict:
    """Compare an event with a mirrored document (or part), which is None or lacks `as_of` where nothing is known.

    A tie within one second cannot be ordered by what the events say, so the object is fetched: dropping ties would
    lose `incomplete → active`, which happens within one second in real accounts. Thin notifications carry no data.
    """
    as_of = (stored or {}).get("as_of")
    if stored is not None and as_of is not None:
        if event.identity in stored.get("as_of_events", ()):
            return Verdict.DUPLICATE
        if event.created < as_of:
            return Verdict.STALE
        if event.created == as_of:
            return Verdict.FETCH
    return Verdict.FETCH if event.is_thin else Verdict.APPLY


Facts = TypeVar("Facts")


def whole(
    event: StripeEvent, kind: Kind, of: Callable[[Mapping[str, Any]], Facts]
) -> Generator[Request, Any, tuple[StripeEvent, Facts]]:
    """The event with its object, and the facts of that object.

    A thin notification gets the object as it is now. It has to be fetched before anything can be read, because the
    notification does not say whose it is, and somebody else may store a newer state between that fetch and our read. If
    theirs carries our second or a later one, `judge` sees it; if it carries an earlier one, then what made it newer
    happened after our event, and has an event of its own that is still to come.
    """
    if event.is_thin:
        event = replace(event, is_thin=False, object=(yield from fetch(kind, event.subject())))
        return event, of(event.snapshot())
    return event, (yield from facts(event, kind, of))


def facts(event: StripeEvent, kind: Kind, of: Callable[[Mapping[str, Any]], Facts]) -> Generator[Request, Any, Facts]:
    """What a snapshot says of its object, or, where it lacks something a decision needs, what Stripe says of it now.

    Raises Malformed, with what the event lacks, where Stripe does not say it either.
    """
    try:
        return of(event.snapshot())
    except Malformed as lacking:
        try:
            return of((yield from fetch(kind, event.subject())))
        except Permanent:
            raise lacking from None


def nothing_to_do(verdict: Verdict) -> Decision | None:
    """The decision on an event that says nothing new; None where there is something to apply."""
    if verdict is Verdict.DUPLICATE:
        return Decision("duplicate")
    return Decision("stale") if verdict is Verdict.STALE else None


def stamp(event: StripeEvent, stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """The `as_of` and `as_of_events` of a document after this event was taken into it. Never moves back."""
    as_of = (stored or {}).get("as_of")
    seen = [] if stored is None else list(stored.get("as_of_events", ()))
    if as_of is None or event.created > as_of:
        return {"as_of": event.created, "as_of_events": [event.identity]}
    if event.created == as_of:
        return {"as_of": as_of, "as_of_events": sorted({*seen, event.identity})}
    return {"as_of": as_of, "as_of_events": seen}
