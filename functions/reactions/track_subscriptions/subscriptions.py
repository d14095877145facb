"""Keeps `customers/{c}/subscriptions/{sub}`, and the plans that a customer and a user have through all of theirs."""

from collections.abc import Generator
from dataclasses import asdict, replace
from typing import Any

from functions import paths
from functions.as_of import Verdict, judge, stamp, whole
from functions.customer_index import keys_to_change, membership, move
from functions.effects import Decision, Documents, Effect, Json, Merge, Put, Reaction, Request, fetch, read
from functions.errors import Malformed
from functions.letters import Facts
from functions.mail import compose
from functions.mail.facts import Canceled, TrialEnding
from functions.reactions.track_subscriptions.telling import Telling, tell
from functions.reminders import rules
from functions.reminders.subscriptions import ends_by
from functions.settings.subscriber import SubscriberSettings
from functions.stripe_events import StripeEvent, Subscription, SubscriptionItem

#: Stripe never takes a subscription back from these.
TERMINAL = frozenset({"canceled", "incomplete_expired"})


def react(event: StripeEvent, settings: SubscriberSettings) -> Reaction:
    """React to anything that happened to a subscription; every event carries, or stands for, the whole of it."""
    event, subscription = yield from whole(event, "subscription", Subscription.of)
    customer = subscription.customer
    path, customer_path = paths.subscription(customer, subscription.id), paths.customer(customer)
    documents = yield from read(path, customer_path)
    stored = documents[path]
    verdict = judge(event, stored)
    has_ended = stored is not None and stored["status"] in TERMINAL
    ends = subscription.status in TERMINAL and not has_ended
    if verdict is Verdict.DUPLICATE:
        return Decision("duplicate")
    # The end is the end, wherever it stands in time: it comes through late, and nothing undoes it.
    if stored and ((has_ended and subscription.status not in TERMINAL) or (verdict is Verdict.STALE and not ends)):
        return (yield from _overtaken(event, subscription, path, stored, settings))
    if verdict is Verdict.FETCH and not ends:
        subscription = Subscription.of((yield from fetch("subscription", subscription.id)))
        if subscription.customer != customer:
            raise Malformed("subscription is another customer's than the event says")
    if subscription.has_more_items:
        listed = (yield from fetch("subscription_items", subscription.id))["data"]
        subscription = replace(subscription, items=tuple(SubscriptionItem.of(item, {}) for item in listed))
    effects = yield from _plans_changed(subscription, documents, settings)
    fields = _fields(subscription, event)
    telling = yield from _tell(event, subscription, fields, stored)
    kept = fields | stamp(event, stored) | {"mails": telling.mails}
    kept |= rules.fields(rules.schedule_subscription(kept, settings.reminders))
    return Decision("applied", (Put(path, kept), *effects), letters=telling.letters)


def _overtaken(
    event: StripeEvent, subscription: Subscription, path: str, stored: Json, settings: SubscriberSettings
) -> Reaction:
    """An event that something newer has overtaken changes nothing. What it tells may still be true, though."""
    telling = yield from _tell(event, subscription, stored, stored)
    if not telling.letters:
        return Decision("stale")
    mails = {"mails": telling.mails}
    schedule = rules.schedule_subscription(stored | mails, settings.reminders)
    effects = (Merge(path, mails | rules.fields(schedule)),)
    return Decision("applied", effects, "stale, and what it tells is still true", telling.letters)


def _tell(
    event: StripeEvent, subscription: Subscription, now: Json, stored: Json | None
) -> Generator[Request, Any, Telling]:
    """What this event tells of the subscription as it is now."""
    facts: Facts | None = None
    since = event.created
    if now["status"] == "canceled":
        since = now["ended_at"] or now["canceled_at"] or event.created
        plan, reason = compose.plan(now["items"], now["currency"]), now.get("cancellation_reason")
        facts = Canceled(subscription=now["id"], ended_at=since, reason=reason, plan=plan)
    elif _is_announced(event, subscription, now):
        is_canceled = now["cancel_at_period_end"] or ends_by(now, now["trial_end"]) is not None
        facts = TrialEnding(
            subscription=now["id"],
            trial_end=now["trial_end"],
            is_canceled=is_canceled,
            plan=compose.plan(now["items"], now["currency"]),
        )
    return (yield from tell(event, now["customer"], stored, facts, since))


def _is_announced(event: StripeEvent, subscription: Subscription, now: Json) -> bool:
    """The end of a trial that still runs. Stripe says so too when one is ended at once, and when it has moved since."""
    is_running = now["status"] == "trialing" and now["trial_end"] is not None
    is_its_end = subscription.trial_end == now["trial_end"]
    return event.type == "customer.subscription.trial_will_end" and is_running and is_its_end


def _fields(subscription: Subscription, event: StripeEvent) -> Json:
    # Items of one subscription may renew at different times: the period is that of the item that renews next.
    ends = [item for item in subscription.items if item.current_period_end is not None]
    next_item = min(ends, key=lambda item: item.current_period_end or 0, default=None)
    kept = asdict(replace(subscription, items=(), metadata=paths.as_map(subscription.metadata)))
    del kept["has_more_items"]
    return kept | {
        "items": [asdict(item) for item in subscription.items],
        "current_period_start": next_item and next_item.current_period_start,
        "current_period_end": next_item and next_item.current_period_end,
        "livemode": event.livemode,
    }


def plans_of(subscription: Subscription, settings: SubscriberSettings) -> list[str]:
    """What this subscription gives access to now: lookup keys, or products where a price has none."""
    gives_access = subscription.status in {"active", "trialing"} or (
        subscription.status == "past_due" and settings.past_due_gives_access
    )
    return sorted({item.plan for item in subscription.items if item.plan}) if gives_access else []


def _plans_changed(
    subscription: Subscription, documents: Documents, settings: SubscriberSettings
) -> Generator[Request, Any, tuple[Effect, ...]]:
    """The effects on the customer and its user, none where the plans are as they were.

    The customer remembers what each of its subscriptions gives, so that all of them count without reading them, and
    so that one ending never takes what another one gives. Its document is in the commit whenever that changes:
    concurrent events of two subscriptions cannot both go through.
    """
    path = paths.customer(subscription.customer)
    stored = documents[path] or {}
    given = dict(stored.get("plans_by_subscription", {}))
    if plans := plans_of(subscription, settings):
        given[subscription.id] = plans
    else:
        given.pop(subscription.id, None)
    if given == stored.get("plans_by_subscription", {}):
        return ()
    change = {
        "plans_by_subscription": given,
        "plans": sorted({plan for plans in given.values() for plan in plans}),
    }
    before, after = membership(documents[path]), membership(stored | change)
    keys = keys_to_change(before, after)
    index = (yield from read(*sorted(keys))) if keys else {}
    return Merge(path, change), *move(subscription.customer, before, after, index)
