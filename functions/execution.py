"""Running a decision against the real parts: answer what it asks for, commit what it decides, and again from the start
where somebody else was quicker."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from functions.clock import Clock
from functions.effects import Decision, Effect, Fetch, Json, Reaction, Read, Request
from functions.errors import Conflict, NotYet, Permanent, Retry
from functions.forgotten import customers_of, is_forgotten
from functions.identity import Answer, IdentityProvider, Question, answer
from functions.mail.outbox import Unwritten, post
from functions.mail.settings import MailSettings
from functions.store import Found, Store, without_what_exists
from functions.stripe_events import StripeEvent

#: How often one delivery reads and decides again when others change the same documents. Then Pub/Sub's backoff is
#: the better way to wait.
ROUNDS = 6
_FIRST_PAUSE_SECONDS = 0.02
#: How often to look again for what another function is about to write: 0.1 s to 3.2 s apart. Then Pub/Sub's backoff.
LOOKS = 6
_FIRST_LOOK_SECONDS = 0.1


class Stripe(Protocol):
    """Stripe's API."""

    def fetch(self, request: Fetch, event: StripeEvent | None) -> Json:
        """An object as it is now, of the account the event came from (None: the key's own).

        Raises Retry or Permanent.
        """


@dataclass(slots=True)
class Cost:
    """What one event cost, for its log line and for the tests that hold it to a budget."""

    reads: int = 0
    writes: int = 0
    stripe_calls: int = 0
    identity_calls: int = 0
    rounds: int = 0
    mails: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """What decisions are carried out with."""

    store: Store
    stripe: Stripe
    mail: MailSettings
    clock: Clock
    #: None where nobody is to be asked: no reaction of such a function asks.
    identity: IdentityProvider | None = None

    def run(
        self, decide: Callable[[], Reaction], event: StripeEvent | None = None, cost: Cost | None = None
    ) -> tuple[Decision, tuple[Unwritten, ...]]:
        """One batched read, one decision, one commit; then what that decision says has to follow.

        The decision is the first one. Raises Retry or Permanent.
        """
        cost = cost or Cost()
        decision, unwritten = self._decide_and_commit(decide, event, cost)
        following = decision.then
        while following:
            following = self._once_it_is_time(following, event, cost).then
        return decision, unwritten

    def _once_it_is_time(self, decide: Callable[[], Reaction], event: StripeEvent | None, cost: Cost) -> Decision:
        for look in range(LOOKS):
            try:
                return self._decide_and_commit(decide, event, cost)[0]
            except NotYet:
                self.clock.sleep(_FIRST_LOOK_SECONDS * 2**look)
        return self._decide_and_commit(decide, event, cost)[0]

    def _decide_and_commit(
        self, decide: Callable[[], Reaction], event: StripeEvent | None, cost: Cost
    ) -> tuple[Decision, tuple[Unwritten, ...]]:
        conflict = ""
        for round_number in range(ROUNDS):
            cost.rounds += 1
            found: dict[str, Found] = {}
            decision = self._drive(decide(), event, found, cost)
            if not decision.effects:
                return decision, ()
            if event is not None and self._is_forgotten(decision, event, found, cost):
                return Decision("ignored", reason="its customer was forgotten"), ()
            mail = post(decision.letters, self.mail, self.clock.now())
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

    def _is_forgotten(self, decision: Decision, event: StripeEvent, found: dict[str, Found], cost: Cost) -> bool:
        """Whether what was decided is about somebody who asked to be forgotten."""
        owners = customers_of(decision)
        unread = [path for path in owners if path not in found]
        found.update(self._read(cost, unread) if unread else {})
        return any(is_forgotten(path, found[path].fields, event.created) for path in owners)

    def _read(self, cost: Cost, wanted: Sequence[str]) -> Mapping[str, Found]:
        cost.reads += len(wanted)
        return self.store.read(wanted)

    def _drive(self, reaction: Reaction, event: StripeEvent | None, found: dict[str, Found], cost: Cost) -> Decision:
        """Answer a reaction's requests until it decides."""
        go_on: Callable[[], Request] = partial(reaction.send, None)
        while True:
            try:
                request = go_on()
            except StopIteration as decided:
                decision: Decision = decided.value
                return decision
            if isinstance(request, Read):
                wanted = [path for path in dict.fromkeys(request.paths) if request.fresh or path not in found]
                now = self._read(cost, wanted) if wanted else {}
                # What the commit depends on is what was read first: a later look changes nothing about that.
                found.update({path: each for path, each in now.items() if path not in found})
                go_on = partial(reaction.send, {path: (now.get(path) or found[path]).fields for path in request.paths})
                continue
            try:
                if isinstance(request, Fetch):
                    cost.stripe_calls += 1
                    go_on = partial(reaction.send, self.stripe.fetch(request, event))
                else:
                    cost.identity_calls += 1
                    go_on = partial(reaction.send, self._ask(request))
            except Permanent as problem:
                # The reaction asked, and may know better what it means.
                go_on = partial(reaction.throw, problem)

    def _ask(self, question: Question) -> Answer:
        if self.identity is None:
            raise Permanent("nobody keeps accounts that could be asked: see IDENTITY in README.md")
        return answer(self.identity, question)
