"""The model: the same pure reactions on documents in memory, every event once and in order, nothing at the same time.

No mail is composed here, only named: which facts are told to whom is what a soak can lose.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

from functions.effects import Create, Decision, Delete, Effect, Fetch, Merge, Put, Reaction, Read, Request
from functions.errors import Permanent
from functions.letters import Letter
from functions.mail.table import BY_NAME
from functions.settings.subscriber import SubscriberSettings
from functions.stripe_events import parse
from functions.topology import SUBSCRIBERS
from local.account import Json
from local.billing import BillingAccount

_REACTIONS = {row.name: import_module(f"functions.reactions.{row.name}").react for row in SUBSCRIBERS}


def foresee(account: BillingAccount, settings: SubscriberSettings) -> dict[str, Json]:
    """Every document that has to come of an account, by its path; of mails only that they exist.

    Raises Permanent where an event cannot succeed.
    """
    household = _Household(account)
    for data in account.events:
        event = parse(json.dumps(data).encode())
        for row in SUBSCRIBERS:
            if event.type in row.event_types:
                household.decide(partial(_REACTIONS[row.name], event, settings))
    return household.documents


class _Household:
    """The documents of one account, and Stripe's API as it shows the account in the end."""

    def __init__(self, account: BillingAccount) -> None:
        self.documents: dict[str, Json] = {}
        self._objects = {found["id"]: found for found in account.api_objects()}

    def decide(self, react: Callable[[], Reaction]) -> None:
        """What an event changes, and everything that has to follow."""
        following: Callable[[], Reaction] | None = react
        while following:
            decision = self._drive(following())
            for effect in (*decision.effects, *(decision.with_mail if decision.letters else ())):
                self._apply(effect)
            for letter in decision.letters:
                self.documents |= {f"mail/{name}": {} for name in _mails(letter)}
            following = decision.then

    def _drive(self, reaction: Reaction) -> Decision:
        go_on: Callable[[], Request] = partial(reaction.send, None)
        while True:
            try:
                request = go_on()
            except StopIteration as decided:
                decision: Decision = decided.value
                return decision
            try:
                go_on = partial(reaction.send, self._answer(request))
            except Permanent as problem:
                go_on = partial(reaction.throw, problem)

    def _answer(self, request: Request) -> Any:
        if isinstance(request, Read):
            return {path: self.documents.get(path) for path in request.paths}
        if not isinstance(request, Fetch):
            raise TypeError(f"nobody keeps accounts here who could be asked {request}")
        if request.kind == "invoice_payments":
            payments = [each for each in self._objects.values() if each["object"] == "invoice_payment"]
            return {"data": [each for each in payments if each["payment"]["payment_intent"] == request.id]}
        if request.id not in self._objects:
            raise Permanent(f"Stripe has no {request.kind} {request.id}")
        found = self._objects[request.id]
        match request.kind:
            case "subscription_items":
                return found["items"]
            case "line_items":
                return {"data": found["line_items"]}
            case "unpaid_session":
                listed = {"data": found["line_items"][:10], "has_more": len(found["line_items"]) > 10}
                return found | {"payment_intent": self._objects.get(found["payment_intent"]), "line_items": listed}
        return found

    def _apply(self, effect: Effect) -> None:
        match effect:
            case Create():
                self.documents.setdefault(effect.path, dict(effect.fields))
            case Put():
                self.documents[effect.path] = dict(effect.fields)
            case Merge():
                self.documents[effect.path] = {**self.documents.get(effect.path, {}), **effect.fields}
            case Delete():
                self.documents.pop(effect.path, None)


def _mails(letter: Letter) -> Iterator[str]:
    """The documents that tell a fact. Who has no address is told nothing; support gets a copy of its own."""
    to = BY_NAME[letter.facts.MAIL].to
    for audience in to:
        if audience == "support":
            yield f"{letter.facts.id}_support" if "customer" in to else letter.facts.id
        elif letter.reader.email:
            yield letter.facts.id
