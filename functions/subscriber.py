"""One message of the topic in one function: decode, react, commit; acknowledge, raise to retry, or park."""

import base64
import binascii
import random
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from functions import paths
from functions.clock import Clock
from functions.effects import Decision, Effect, Fetch, Fields, Json, Outcome, Reaction, Read
from functions.errors import Conflict, Malformed, Permanent, Retry, Unexpected
from functions.log import Log, Severity
from functions.settings import SubscriberSettings
from functions.stripe_events import StripeEvent, parse
from functions.topology import Function

#: How often one delivery reads and decides again when others change the same documents. Then Pub/Sub's backoff is
#: the better way to wait.
ROUNDS = 6
_FIRST_PAUSE_SECONDS = 0.02
_STORABLE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """A document as it was read; `fields` and `version` are None where there is none."""

    fields: Json | None
    version: Any = None


class Store(Protocol):
    """The database."""

    def read(self, paths: Sequence[str]) -> Mapping[str, Found]:
        """Read documents in one batch. Raises Retry."""

    def commit(self, effects: Iterable[Effect], found: Mapping[str, Found]) -> None:
        """Commit all or nothing, provided what was found is still so. Raises Conflict, Retry or Permanent."""

    def park(self, path: str, fields: Fields) -> None:
        """Keep an event that cannot succeed; the first reason stays. Raises Retry."""


class Stripe(Protocol):
    """Stripe's API."""

    def fetch(self, request: Fetch, event: StripeEvent) -> Json:
        """An object as it is now, of the account the event came from. Raises Retry or Permanent."""


React = Callable[[StripeEvent, SubscriberSettings], Reaction]


@dataclass(slots=True)
class Cost:
    """What one event cost, for its log line and for the tests that hold it to a budget."""

    reads: int = 0
    writes: int = 0
    stripe_calls: int = 0
    rounds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """One function of the topology with everything it uses."""

    function: Function
    react: React
    settings: SubscriberSettings
    store: Store
    stripe: Stripe
    clock: Clock
    log: Log

    def handle(self, message: Mapping[str, Any]) -> Outcome:
        """Process one Pub/Sub message: `data` (base64), `attributes`, `messageId`.

        Returns when the message may be acknowledged. Raises Retry or Unexpected, so that Pub/Sub delivers it again.
        Calling it again with the same message changes nothing.
        """
        started = self.clock.now()
        cost = Cost()
        attributes = message.get("attributes") or {}
        event: StripeEvent | None = None
        body = b""

        def say(severity: Severity, outcome: Outcome, reason: str = "") -> None:
            event_type = event.type if event else attributes.get("type")
            self.log(
                severity,
                f"{event_type} {outcome}",
                event_id=event.id if event else attributes.get("event_id"),
                type=event_type,
                function=self.function.name,
                outcome=outcome,
                reason=reason or None,
                milliseconds=round((self.clock.now() - started) * 1000, 1),
                reads=cost.reads,
                writes=cost.writes,
                stripe_calls=cost.stripe_calls,
                rounds=cost.rounds,
            )

        if attributes.get("type", "") not in {"", *self.function.event_types}:
            # The filter lets families of types through, and the emulator ignores it: not ours, without parsing it.
            say("DEBUG", "ignored", "not a type of this function")
            return "ignored"
        try:
            body = _body(message)
            event = parse(body)
            if event.type not in self.function.event_types:
                say("DEBUG", "ignored", "not a type of this function")
                return "ignored"
            decision = self._decide_and_commit(event, cost)
        except Permanent as problem:
            reason = str(problem)
            if event and isinstance(problem, Malformed):
                reason += f" (API version {event.api_version or 'unknown'})"
            try:
                self._park(message, event, body, reason, problem.detail)
            except Retry as unstored:
                say("ERROR", "retry", f"{unstored}, when it was to be parked: {reason}")
                raise
            say("ERROR", "parked", reason)
            return "parked"
        except Retry as problem:
            say("WARNING", "retry", str(problem))
            raise problem from None
        except Exception as error:
            # Only its class, here and in the traceback that the framework logs: the text of an unexpected error may
            # quote what a customer typed.
            kind = f"unexpected {type(error).__name__}"
            say("ERROR", "retry", kind)
            raise Unexpected(kind).with_traceback(error.__traceback__) from None
        say("INFO", decision.outcome, decision.reason)
        return decision.outcome

    def _decide_and_commit(self, event: StripeEvent, cost: Cost) -> Decision:
        """One batched read, one decision, one commit; again from the start when somebody else was quicker."""
        conflict = ""
        for round_number in range(ROUNDS):
            cost.rounds += 1
            found: dict[str, Found] = {}
            decision = self._drive(self.react(event, self.settings), event, found, cost)
            if not decision.effects:
                return decision
            try:
                self.store.commit(decision.effects, found)
            except Conflict as problem:
                conflict = str(problem)
                # Spread, so that deliveries that collided once do not collide again.
                self.clock.sleep(_FIRST_PAUSE_SECONDS * 2**round_number * random.uniform(0.5, 1.5))  # noqa: S311 no secret
                continue
            cost.writes += len(decision.effects)
            return decision
        raise Retry(f"the documents changed under {ROUNDS} attempts to commit: {conflict}")

    def _drive(self, reaction: Reaction, event: StripeEvent, found: dict[str, Found], cost: Cost) -> Decision:
        """Answer a reaction's requests until it decides."""
        go_on: Callable[[], Read | Fetch] = partial(reaction.send, None)
        while True:
            try:
                request = go_on()
            except StopIteration as decided:
                decision: Decision = decided.value
                return decision
            if isinstance(request, Read):
                wanted = [path for path in dict.fromkeys(request.paths) if path not in found]
                found.update(self.store.read(wanted) if wanted else {})
                cost.reads += len(wanted)
                go_on = partial(reaction.send, {path: found[path].fields for path in request.paths})
            else:
                cost.stripe_calls += 1
                try:
                    go_on = partial(reaction.send, self.stripe.fetch(request, event))
                except Permanent as problem:
                    # The reaction asked, and may know better what it means.
                    go_on = partial(reaction.throw, problem)

    def _park(
        self, message: Mapping[str, Any], event: StripeEvent | None, body: bytes, reason: str, detail: str | None
    ) -> None:
        attributes = message.get("attributes") or {}
        event_id = event.id if event else attributes.get("event_id") or message.get("messageId") or "unknown"
        self.store.park(
            paths.parked_event(event_id, self.function.name),
            {
                "event_id": event_id,
                "type": event.type if event else attributes.get("type"),
                "function": self.function.name,
                "reason": reason,
                "detail": detail,
                "attributes": dict(attributes),
                **_storable(body),
                "parked_at": self.clock.now(),
            },
        )


def _storable(body: bytes) -> Json:
    """The bytes of an event in a form that fits a Firestore document, which ends at 1 MiB with all its fields."""
    if len(body) <= _STORABLE_BYTES:
        return {"body": body, "body_encoding": None}
    compressed = zlib.compress(body, 9)
    if len(compressed) <= _STORABLE_BYTES:
        return {"body": compressed, "body_encoding": "zlib"}
    # Stripe keeps the event for 30 days; event_id says which one it is.
    return {"body": None, "body_encoding": "at Stripe"}


def _body(message: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(message.get("data") or "", validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise Malformed("the message's data is not base64") from error
