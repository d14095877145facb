"""One message of the topic in one function: decode, react, commit; acknowledge, raise to retry, or park."""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from functions.clock import Clock
from functions.effects import Decision, Effect, Outcome, Reaction
from functions.errors import Conflict, Malformed, Permanent, Retry, Unexpected
from functions.execution import Cost, Executor, Stripe
from functions.identity import IdentityProvider
from functions.log import Log, Severity
from functions.mail.outbox import Unwritten, post
from functions.parking import park
from functions.settings.subscriber import SubscriberSettings
from functions.store import Store, without_what_exists
from functions.stripe_events import StripeEvent, parse
from functions.topology import Function

React = Callable[[StripeEvent, SubscriberSettings], Reaction]


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
    #: Only where the function asks it.
    identity: IdentityProvider | None = None

    def apply(self, event: StripeEvent, cost: Cost | None = None) -> tuple[Decision, tuple[Unwritten, ...]]:
        """Decide on one event and commit what comes of it. Raises Retry or Permanent; nothing is parked."""
        executor = Executor(
            store=self.store, stripe=self.stripe, mail=self.settings.mail, clock=self.clock, identity=self.identity
        )
        return executor.run(partial(self.react, event, self.settings), event, cost)

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
                identity_calls=cost.identity_calls or None,
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
            decision, unwritten = self.apply(event, cost)
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
