"""Deciding whose a customer is where no event says so: an operator does, or a user who has just proven an address."""

from dataclasses import dataclass
from functools import partial

from functions.accounts.plans import grant_again
from functions.effects import Decision
from functions.execution import Executor
from functions.linking import Claim, Source
from functions.ownership import link, unlink


@dataclass(frozen=True, slots=True)
class Owners:
    """Gives customers to users and takes them, and tells the tokens of everybody concerned."""

    executor: Executor
    #: Whether tokens say what is paid for.
    tell_tokens: bool

    def give(self, customer: str, user_id: str, *, by: Source) -> Decision:
        """Let this claim count from now on. Raises Retry or Permanent."""
        claim = Claim(user_id=user_id, by=by, at=int(self.executor.clock.now()))
        return self._told(customer, self.executor.run(partial(link, customer, claim))[0])

    def take(self, customer: str) -> Decision:
        """Bar whoever claims the customer now. Raises Retry or Permanent."""
        at = int(self.executor.clock.now())
        return self._told(customer, self.executor.run(partial(unlink, customer, at))[0])

    def _told(self, customer: str, decision: Decision) -> Decision:
        # Also where nothing changed: the last attempt may have ended between the two.
        if self.tell_tokens and decision.outcome != "ignored":
            self.executor.run(partial(grant_again, customer))
        return decision
