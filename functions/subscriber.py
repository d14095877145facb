"""One message of the topic in one function: decode, react, commit; acknowledge, raise to retry, or park."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from functions.clock import Clock
from functions.effects import Decision, Outcome, Reaction
from functions.errors import Malformed, Permanent, Retry, Unexpected
from functions.execution import Cost, Executor, Stripe
from functions.identity import IdentityProvider
from functions.log import Log, Severity
from functions.mail.outbox import Unwritten
from functions.message import attributes_of, body_of
from functions.parking import ONLY, Parker, Replay, Unprocessed, replay_of
from functions.settings.subscriber import SubscriberSettings
from functions.store import Store
from functions.stripe_events import StripeEvent, parse
from functions.topology import SUBSCRIBERS, Function

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
        Calling it again with the same message changes nothing. One that is replayed for another function is ignored;
        for this one, what comes of it is written into the document of the parked event.
        """
        attributes = attributes_of(message)
        only = attributes.get(ONLY)
        if only is not None and only != self.function.name:
            self._log_line("DEBUG", "ignored", None, attributes, reason="replayed for another function")
            return "ignored"
        replay = replay_of(attributes) if only else None
        outcome = self._handle(message, attributes, replay)
        if replay and outcome != "parked":
            try:
                self._settle(replay, outcome)
            except Retry as problem:
                # What it changed stays so; the next delivery says what it finds.
                self._log_line("WARNING", "retry", None, attributes, reason=str(problem))
                raise
        return outcome

    def _handle(self, message: Mapping[str, Any], attributes: Mapping[str, str], replay: Replay | None) -> Outcome:
        started = self.clock.now()
        cost = Cost()
        event: StripeEvent | None = None
        body = b""

        def say(severity: Severity, outcome: Outcome, reason: str = "") -> None:
            self._log_line(
                severity,
                outcome,
                event,
                attributes,
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
            body = body_of(message)
            event = parse(body)
            if event.type not in self.function.event_types:
                say("DEBUG", "ignored", "not a type of this function")
                return "ignored"
            decision, unwritten = self.apply(event, cost)
        except Permanent as problem:
            reason = str(problem)
            if event and isinstance(problem, Malformed):
                reason += f" (API version {event.api_version or 'unknown'})"
            failed = Unprocessed(
                function=self.function.name,
                message=message,
                event=event,
                body=body,
                reason=reason,
                detail=problem.detail,
            )
            try:
                if not (replay and self._settle(replay, "parked", (reason, problem.detail))):
                    self._parker.park(failed)
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

    @property
    def _parker(self) -> Parker:
        return Parker(self.store, self.settings.mail, self.clock)

    def _settle(self, replay: Replay, outcome: Outcome, problem: tuple[str, str | None] | None = None) -> bool:
        """Write what came of a replayed event into its document, if it is one that is ours. Raises Retry."""
        others = {row.name for row in SUBSCRIBERS} - {self.function.name}
        if self._parker.settle(replay, self.function.name, outcome, others=others, problem=problem):
            return True
        self.log("WARNING", "a replayed event has no document here", function=self.function.name, outcome=outcome)
        return False

    def _log_line(
        self,
        severity: Severity,
        outcome: Outcome,
        event: StripeEvent | None,
        attributes: Mapping[str, str],
        **more: Any,
    ) -> None:
        event_type = event.type if event else attributes.get("type")
        self.log(
            severity,
            f"{event_type} {outcome}",
            event_id=event.id if event else attributes.get("event_id"),
            type=event_type,
            function=self.function.name,
            outcome=outcome,
            **more,
        )
