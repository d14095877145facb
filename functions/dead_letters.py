"""The function `dead_letters`: what exhausted its deliveries somewhere is parked under the function it failed in.

Pub/Sub forwards the message as it was, and says in attributes where it comes from:
https://cloud.google.com/pubsub/docs/handling-failures#track-delivery-attempts
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from functions.clock import Clock
from functions.effects import Outcome
from functions.errors import Malformed, Retry, Unexpected
from functions.log import Log, Severity
from functions.mail.settings import MailSettings
from functions.message import attributes_of, body_of
from functions.parking import Parker, Unprocessed, replay_of
from functions.store import Store
from functions.stripe_events import StripeEvent, parse
from functions.topology import CLOCKED, SUBSCRIBERS

#: What Pub/Sub adds, as the name of each attribute begins.
_SOURCE = "CloudPubSubDeadLetterSource"
#: The function of a dead letter that does not say where it failed, or names a subscription that is none of ours.
UNKNOWN = "unknown"
_FUNCTIONS = frozenset(row.name for row in SUBSCRIBERS)
_CLOCKED = frozenset(row.name for row in CLOCKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetters:
    """The function with everything it uses."""

    store: Store
    settings: MailSettings
    clock: Clock
    log: Log

    def handle(self, message: Mapping[str, Any]) -> None:
        """Park one dead letter, as a permanent failure is parked; one that is parked already stays as it is.

        Returns when it may be acknowledged; raises Retry or Unexpected, so that it comes again.
        """
        attributes = attributes_of(message)
        source = attributes.get(f"{_SOURCE}Subscription", "").rpartition("/")[2]
        attempts = attributes.get(f"{_SOURCE}DeliveryCount", "")
        still = f"still failing after {attempts} deliveries" if attempts.isdecimal() else "still failing at its end"
        called = source or attributes.get("function", "")
        if called in _CLOCKED:
            # A tick is no event: the next one does its work. But somebody has to look at that function.
            self.log("ERROR", f"a tick of {called} is given up: {still}", function="dead_letters", source=called)
            return
        # One that is in no table keeps its name: two of them that failed with one event are two.
        function = source or UNKNOWN
        event, body = _read(message)
        is_ours = source in _FUNCTIONS
        failed = Unprocessed(function=function, message=message, event=event, body=body, reason=still, is_ours=is_ours)
        try:
            self._park(failed)
        except Retry as problem:
            self._say("WARNING", "retry", failed, str(problem))
            raise problem from None
        except Exception as error:
            # Only its class: the text of an unexpected error may quote what a customer typed.
            kind = f"unexpected {type(error).__name__}"
            self._say("ERROR", "retry", failed, kind)
            raise Unexpected(kind).with_traceback(error.__traceback__) from None
        self._say("ERROR", "parked", failed, still)

    def _park(self, failed: Unprocessed) -> None:
        parker = Parker(self.store, self.settings, self.clock)
        replay = replay_of(attributes_of(failed.message))
        others = _FUNCTIONS - {failed.function}
        problem = (failed.reason, None)
        # One that was replayed in vain has its document, perhaps under another name.
        if not (replay and parker.settle(replay, failed.function, "parked", others=others, problem=problem)):
            parker.park(failed)

    def _say(self, severity: Severity, outcome: Outcome, failed: Unprocessed, reason: str) -> None:
        self.log(
            severity,
            f"a dead letter of {failed.function} {outcome}",
            event_id=failed.event_id,
            type=failed.event.type if failed.event else attributes_of(failed.message).get("type"),
            function="dead_letters",
            source=failed.function,
            outcome=outcome,
            reason=reason,
        )


def _read(message: Mapping[str, Any]) -> tuple[StripeEvent | None, bytes]:
    """The event, where it can be read, and the bytes, where there are any."""
    body = b""
    with suppress(Malformed):
        body = body_of(message)
        return parse(body), body
    return None, body
