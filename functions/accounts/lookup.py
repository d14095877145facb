"""Whose customer: from a user, an address or a customer id to the customers behind it. One read where that is known.

What is not known is asked of Stripe, within the budget that all instances share, and written back the way events are,
so that it is known from then on; that Stripe has nobody is remembered for an hour. The function `find_customer` answers
with it over HTTP. A Python service of the same project, with the settings of `index_customers` in its environment,
does without HTTP:

    from functions.wiring import lookup_from

    lookup = lookup_from(os.environ)  # once for each process; any number of threads may use it
    found = lookup.find(user_id="user-1")
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from functions.accounts.budget import Budget
from functions.accounts.customers import Customers
from functions.accounts.question import Question, question
from functions.clock import Clock
from functions.effects import Decision, Fetch, Json, Merge, Put
from functions.errors import Conflict, Permanent, Retry
from functions.log import Log
from functions.store import Store
from functions.stripe_events import StripeEvent, seen

#: Long enough for a few hundred look-ups at once, short enough for one HTTP request.
PATIENCE_SECONDS = 20.0
#: How old what Stripe says may be: its search lags behind by up to a minute (https://docs.stripe.com/search#data-freshness),
#: and its clock and ours are not the same. What is newer has events of its own, which must count as newer.
STALE_SECONDS = 60
#: For how long nobody asks again for what Stripe does not have. Its events end that earlier.
MISS_SECONDS = 3_600


class Stripe(Protocol):
    """Stripe's API. Every method raises Retry where it may answer later, Permanent where it never will."""

    def fetch(self, request: Fetch, event: StripeEvent | None) -> Json:
        """An object as it is now."""

    def customers_with_email(self, email: str) -> list[Json]:
        """The Customers with exactly this address, as it is spelled."""

    def customers_of_user(self, key: str, user_id: str) -> list[Json]:
        """The Customers whose metadata name this user under that key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Everything a look-up uses. For any number of threads."""

    store: Store
    stripe: Stripe
    budget: Budget
    clock: Clock
    log: Log
    #: Takes a Customer into the documents: what `index_customers` does with an event.
    apply: Callable[[StripeEvent], Decision]
    #: The key under which a Customer's metadata may carry the id of your user.
    user_id_key: str
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    #: Those who are being asked for at this moment.
    _flights: "dict[tuple[Question, ...], Future[Customers | None]]" = field(
        default_factory=dict, init=False, repr=False
    )

    def find(
        self,
        *,
        user_id: str | None = None,
        customer: str | None = None,
        email: str | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> Customers | None:
        """The customers of one user, address or customer id; None where Stripe has nobody either.

        `user_id` and `email` together ask for the user's customers; an address that leads to somebody is no proof that
        they are this user, so it only helps to find customers whose metadata say so, and its customers are known then
        too. Waits for the budget for `patience_seconds` at most. Raises ValueError where not exactly that is given, or
        a text that nobody's id or address can be; Retry where Stripe or Firestore cannot say, or the budget is used up
        for now; Permanent where Stripe refuses the question as such.
        """
        both = user_id is not None and email is not None
        asked = question(user_id=user_id, customer=customer, email=None if both else email)
        also = (question(user_id=None, customer=None, email=email),) if both else ()
        known = self.store.read([asked.path])
        since = self.clock.now() - MISS_SECONDS
        found = asked.answered(known, "index")
        if asked.is_settled(known, since) or (found and asked.is_whole(known, since)):
            return found
        return self._together((asked, *also), patience_seconds)

    def _together(self, questions: tuple[Question, ...], patience_seconds: float) -> Customers | None:
        """One answer for everybody who asks the same at the same time, be it that there is none."""
        flight: Future[Customers | None] = Future()
        with self._lock:
            first = self._flights.setdefault(questions, flight)
        if first is not flight:
            try:
                return first.result(patience_seconds)
            except TimeoutError:
                raise Retry("somebody else is asking for the same customer, and has no answer yet") from None
        try:
            flight.set_result(self._find_out(questions, self.clock.now() + patience_seconds))
        except BaseException as error:
            flight.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._flights[questions]
        return flight.result()

    def _find_out(self, questions: tuple[Question, ...], deadline: float) -> Customers | None:
        """Ask Stripe, and write back what it says; of several questions the first one is answered, and asked last."""
        # Again: whoever asked the same until a moment ago has been answered meanwhile.
        known = self.store.read([path for each in questions for path in each.paths])
        since = self.clock.now() - MISS_SECONDS
        answer = questions[0].answered(known, "index")
        if questions[0].is_settled(known, since) or (answer and questions[0].is_whole(known, since)):
            return answer
        for asked in reversed(questions):
            is_whole = asked.answered(known, "index") is not None and asked.is_whole(known, since)
            if is_whole or asked.is_settled(known, since):
                continue
            for each in self._ask_stripe(asked, deadline):
                at = int(self.clock.now()) - STALE_SECONDS
                self.apply(seen("customer.updated", each, at, each.get("livemode") is True))
            answer = self._learned(asked)
        return answer

    def _ask_stripe(self, asked: Question, deadline: float) -> list[Json]:
        """The Customers Stripe has, each once. Raises Retry or Permanent."""
        found: dict[str, Json] = {}
        calls = 0
        for call in self._calls(asked):
            self.budget.take(deadline - self.clock.now())
            found.update((each["id"], each) for each in call() if not each.get("deleted"))
            calls += 1
        self.log("INFO", "asked Stripe for customers", by=asked.by, stripe_calls=calls, found=len(found))
        return list(found.values())

    def _calls(self, asked: Question) -> Iterator[Callable[[], list[Json]]]:
        """The calls to Stripe that answer a question."""
        if asked.by == "email":
            for spelling in asked.spellings:
                yield partial(_unless_refused, partial(self.stripe.customers_with_email, spelling))
        elif asked.by == "user_id":
            # Nobody's id can make a query that Stripe refuses: where it does, that is not about this user.
            yield partial(self.stripe.customers_of_user, self.user_id_key, asked.text)
        else:
            yield partial(_unless_refused, lambda: [self.stripe.fetch(Fetch("customer", asked.text), None)])

    def _learned(self, asked: Question) -> Customers | None:
        """What is known now. Where it is nothing, that is remembered, unless somebody has just learned better."""
        known = self.store.read(asked.paths)
        found = asked.answered(known, "stripe")
        now = int(self.clock.now())
        if found and asked.is_whole(known, now - MISS_SECONDS):
            return found
        # Of the form of an entry, which is what it becomes as soon as a customer arrives.
        nobody: Json = {"customers": [], "primary": None, "entries": {}}
        remembered: Json = {"asked_at": now, "expires_at": datetime.fromtimestamp(now + MISS_SECONDS, UTC)}
        # An entry with guests is no miss, and does not expire.
        learned = Merge(asked.path, {"asked_at": now}) if found else Put(asked.miss_path, nobody | remembered)
        try:
            self.store.commit([learned], known)
        except Conflict:
            return asked.answered(self.store.read(asked.paths), "stripe")
        return found


def _unless_refused(call: Callable[[], list[Json]]) -> list[Json]:
    """What Stripe answers; nothing where it says that there can be no such customer or address."""
    try:
        return call()
    except Permanent:
        return []
