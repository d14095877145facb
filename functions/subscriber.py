"""One message of the topic in one function: decode, react, commit; acknowledge, raise to retry, or park."""

import base64
import binascii
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from functions.clock import Clock
from functions.effects import Decision, Effect, Fetch, Json, Outcome, Reaction, Read
from functions.errors import Conflict, Malformed, Permanent, Retry, Unexpected
from functions.log import Log, Severity
from functions.mail.outbox import Unwritten, post
from functions.parking import park
from functions.settings.subscriber import SubscriberSettings
from functions.store import Found, Store, without_what_exists
from functions.stripe_events import StripeEvent, parse
from functions.topology import Function

#: How often one delivery reads and decides again when others change the same documents. Then Pub/Sub's backoff is
#: the better way to wait.
ROUNDS = 6
_FIRST_PAUSE_SECONDS = 0.02


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
    mails: int = 0


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
                mails=cost.mails or None,
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
            decision, unwritten = self._decide_and_commit(event, cost)
        except Permanent as problem:
            reason = str(problem)
            if event and isinstance(problem, Malformed):
                reason += f" (API version {event.api_version or 'unknown'})"
            now = self.clock.now()
            parked = park(
                self.function.name, message, event=event, body=body, reason=reason, detail=problem.detail, now=now
            )
            try:
                self._park(parked, now)
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
        for each in unwritten:
            self.log(
                each.severity,
                f"{each.mail} not written to {each.audience}: {each.reason}",
                event_id=event.id,
                type=event.type,
                function=self.function.name,
                mail=each.mail,
            )
        return decision.outcome

    def _decide_and_commit(self, event: StripeEvent, cost: Cost) -> tuple[Decision, tuple[Unwritten, ...]]:
        """One batched read, one decision, one commit; again from the start when somebody else was quicker."""
        conflict = ""
        for round_number in range(ROUNDS):
            cost.rounds += 1
            found: dict[str, Found] = {}
            decision = self._drive(self.react(event, self.settings), event, found, cost)
            if not decision.effects:
                return decision, ()
            mail = post(decision.letters, self.settings.mail, self.clock.now())
            effects: tuple[Effect, ...] = (
                *decision.effects,
                *mail.documents,
                *(decision.with_mail if mail.documents else ()),
            )
            if conflict:
                effects = without_what_exists(effects, found, partial(self._read, cost))
            try:
                self.store.commit(effects, found)
            except Conflict as problem:
                conflict = str(problem)
                # Spread, so that deliveries that collided once do not collide again.
                self.clock.sleep(_FIRST_PAUSE_SECONDS * 2**round_number * random.uniform(0.5, 1.5))  # noqa: S311 no secret
                continue
            cost.writes += len(effects)
            cost.mails += len(mail.documents)
            return decision, mail.unwritten
        raise Retry(f"the documents changed under {ROUNDS} attempts to commit: {conflict}")

    def _read(self, cost: Cost, wanted: Sequence[str]) -> Mapping[str, Found]:
        cost.reads += len(wanted)
        return self.store.read(wanted)

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
                found.update(self._read(cost, wanted) if wanted else {})
                go_on = partial(reaction.send, {path: found[path].fields for path in request.paths})
            else:
                cost.stripe_calls += 1
                try:
                    go_on = partial(reaction.send, self.stripe.fetch(request, event))
                except Permanent as problem:
                    # The reaction asked, and may know better what it means.
                    go_on = partial(reaction.throw, problem)

    def _park(self, parked: Decision, now: float) -> None:
        """Keep an event that cannot succeed, and tell support, in one commit; the first reason stays. Raises Retry."""
        effects: tuple[Effect, ...] = (*parked.effects, *post(parked.letters, self.settings.mail, now).documents)
        try:
            self.store.commit(effects, {})
        except Conflict:
            # Parked before, and support knows; or its mail alone is there, of an event that was parked, mended and
            # replayed.
            effects = without_what_exists(effects, {}, self.store.read)
            if parked.effects[0] in effects:
                self._commit_again(effects)

    def _commit_again(self, effects: tuple[Effect, ...]) -> None:
        try:
            self.store.commit(effects, {})
        except Conflict as problem:
            raise Retry(f"the event could not be parked: {problem}") from problem


def _body(message: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(message.get("data") or "", validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise Malformed("the message's data is not base64") from error
