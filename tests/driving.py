"""Drives a reaction against a dict of documents and a dict of Stripe objects: pure decisions, no network."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from functions.accounts.settings import AccountSettings
from functions.effects import Create, Decision, Delete, Fetch, Merge, Put, Reaction, Read
from functions.errors import Permanent
from functions.identity import Question, answer
from functions.letters import Letter
from functions.mail.outbox import post
from functions.mail.settings import Brand, MailSettings
from functions.reminders.settings import ReminderSettings
from functions.settings.subscriber import SubscriberSettings
from functions.stripe_events import StripeEvent, parse
from local.account import Account
from tests.directory import Directory

Json = dict[str, Any]
React = Callable[[StripeEvent, SubscriberSettings], Reaction]

SETTINGS = SubscriberSettings(
    project="test",
    database="(default)",
    stripe_api_key="sk_test_x",
    stripe_api_base=None,
    user_id_key="user_id",
    past_due_gives_access=True,
    marketing_key="marketing",
    accounts=AccountSettings(),
    reminders=ReminderSettings(zone=ZoneInfo("Asia/Tokyo")),
    mail=MailSettings(brand=Brand(name="Test Shop"), support_email="support@example.com"),
)


def event(data: Mapping[str, Any]) -> StripeEvent:
    """An event as the webhook publishes it and a subscriber reads it."""
    return parse(json.dumps(data).encode())


class World:
    """Documents and a Stripe account; remembers what every decision read, fetched and wrote."""

    def __init__(self, account: Account, settings: SubscriberSettings = SETTINGS) -> None:
        self.account = account
        self._settings = settings
        self.documents: dict[str, Json] = {}
        #: Everything that was said, in order, and when.
        self.letters: list[tuple[Letter, int]] = []
        self.reads: list[str] = []
        self.fetches: list[Fetch] = []
        self.writes: list[str] = []
        self.questions: list[Question] = []
        self.directory = Directory()
        #: How long after it happened an event is delivered.
        self.delay_seconds = 10

    def deliver(self, react: React, data: Mapping[str, Any]) -> Decision:
        """Decide on one event and apply the effects, and so with everything that has to follow."""
        self.reads, self.fetches, self.writes, self.questions = [], [], [], []
        decision = self._decide(partial(react, event(data), self._settings), event(data).created)
        following = decision.then
        while following:
            following = self._decide(following, event(data).created).then
        return decision

    def _decide(self, decide: Callable[[], Reaction], created: int) -> Decision:
        reaction = decide()
        go_on: Callable[[], Any] = partial(reaction.send, None)
        while True:
            try:
                request = go_on()
            except StopIteration as decided:
                decision: Decision = decided.value
                break
            if isinstance(request, Read):
                self.reads += [path for path in request.paths if path not in self.reads]
                go_on = partial(reaction.send, {path: self.documents.get(path) for path in request.paths})
            elif isinstance(request, Fetch):
                self.fetches.append(request)
                found = self._fetch(request)
                unknown = Permanent(f"Stripe has no {request.kind} {request.id}")
                go_on = partial(reaction.throw, unknown) if found is None else partial(reaction.send, found)
            else:
                self.questions.append(request)
                go_on = partial(reaction.send, answer(self.directory, request))
        self._apply(decision, created + self.delay_seconds)
        return decision

    def _apply(self, decision: Decision, now: int) -> None:
        self.letters += [(letter, now) for letter in decision.letters]
        for effect in (*decision.effects, *(decision.with_mail if decision.letters else ())):
            self.writes.append(effect.path)
            match effect:
                case Create():
                    self.documents.setdefault(effect.path, dict(effect.fields))
                case Put():
                    self.documents[effect.path] = dict(effect.fields)
                case Merge():
                    self.documents[effect.path] = {**self.documents.get(effect.path, {}), **effect.fields}
                case Delete():
                    self.documents.pop(effect.path, None)

    def mail(self) -> dict[str, Json]:
        """The mail collection that came of it: id -> document. The first of a fact stays."""
        written: dict[str, Json] = {}
        for letter, now in self.letters:
            for document in post([letter], self._settings.mail, now).documents:
                written.setdefault(document.path.removeprefix("mail/"), dict(document.fields))
        return written

    def deliver_all(self, react: React) -> None:
        """Everything that happened in the account, in order."""
        for data in self.account.events:
            self.deliver(react, data)

    def _fetch(self, request: Fetch) -> Json | None:
        if request.kind == "event":
            return next((event for event in self.account.events if event["id"] == request.id), None)
        if request.kind == "invoice_payments":
            things = [each for each in self.account.objects.values() if each["object"] == "invoice_payment"]
            return {"data": [each for each in things if each["payment"]["payment_intent"] == request.id]}
        found = {thing["id"]: thing for thing in self.account.api_objects()}.get(request.id)
        if found is None:
            return None
        if request.kind == "subscription_items":
            return dict(found["items"])
        if request.kind == "unpaid_session":
            listed = {"data": found["line_items"][:10], "has_more": len(found["line_items"]) > 10}
            return found | {"payment_intent": self.account.objects.get(found["payment_intent"]), "line_items": listed}
        return {"data": found["line_items"]} if request.kind == "line_items" else dict(found)
