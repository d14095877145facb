"""The entry points: one Cloud Run function each, a line or two, wired with what they use.

functions-framework runs this whole file for whichever function an instance serves, so every import stands inside the
function that needs it: a cold start loads nothing else. A setting that is missing is said when the instance starts.
"""

import os
from functools import cache, partial
from typing import TYPE_CHECKING

import functions_framework

# Firestore's batched read otherwise starts a thread for each call; read when grpc is first imported.
os.environ.setdefault("GRPC_SINGLE_THREADED_UNARY_STREAM", "1")

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudevents.http import CloudEvent
    from flask import Request, Response

    from functions.accounts.lookup import Lookup
    from functions.dead_letters import DeadLetters
    from functions.identity import IdentityProvider
    from functions.subscriber import Subscriber


@functions_framework.http
def stripe_webhook(request: "Request") -> "Response":
    """Stripe → the topic."""
    return _webhook()(request)


@functions_framework.cloud_event
def index_customers(cloud_event: "CloudEvent") -> None:
    """The topic → customers, the index, users."""
    _subscriber("index_customers").handle(cloud_event.data["message"])


@functions_framework.cloud_event
def record_orders(cloud_event: "CloudEvent") -> None:
    """The topic → orders and payments."""
    _subscriber("record_orders").handle(cloud_event.data["message"])


@functions_framework.cloud_event
def track_subscriptions(cloud_event: "CloudEvent") -> None:
    """The topic → subscriptions, plans, invoices, payment methods."""
    _subscriber("track_subscriptions").handle(cloud_event.data["message"])


@functions_framework.cloud_event
def provision_accounts(cloud_event: "CloudEvent") -> None:
    """The topic → accounts at the identity provider, and what their tokens say."""
    _subscriber("provision_accounts").handle(cloud_event.data["message"])


@functions_framework.cloud_event
def sweep_mail(cloud_event: "CloudEvent") -> None:
    """The clock → another attempt for mails that did not go out; word to support of those, and of parked events."""
    if _is_meant("sweep_mail", cloud_event):
        _sweeper()()


@functions_framework.cloud_event
def dead_letters(cloud_event: "CloudEvent") -> None:
    """The dead-letter topic → parked events."""
    _dead_letters().handle(cloud_event.data["message"])


def _is_meant(name: str, cloud_event: "CloudEvent") -> bool:
    """One topic serves every clock, and the emulator, which knows no filters, shows each message to everybody."""
    return (cloud_event.data["message"].get("attributes") or {}).get("function") == name


@functions_framework.cloud_event
def send_due_reminders(cloud_event: "CloudEvent") -> None:
    """The clock → what has become due → mail; more of it than one run can do: the clock again."""
    if _is_meant("send_due_reminders", cloud_event):
        _sender()()


@functions_framework.cloud_event
def reconcile(cloud_event: "CloudEvent") -> None:
    """The clock → what Stripe could not deliver → the topic; more of it than one run can do: the clock again."""
    if _is_meant("reconcile", cloud_event):
        _reconciler()()


@functions_framework.http
def unsubscribe(request: "Request") -> "Response":
    """A reader of offers → none any more."""
    return _unsubscribe()(request)


@functions_framework.http
def find_customer(request: "Request") -> "Response":
    """A user, an address or a customer id → the customers behind it."""
    return _find_customer()(request)


@functions_framework.http
def pricing_page(request: "Request") -> "Response":
    """Whoever wants to buy → Stripe's pricing table, which knows who they are."""
    return _pricing()(request)


@cache
def _webhook() -> "Callable[[Request], Response]":
    import sys

    from google.cloud.pubsub_v1 import PublisherClient

    from functions.adapters.clock import SystemClock
    from functions.adapters.http import serve
    from functions.adapters.pubsub import PubSubTopic
    from functions.log import JsonLog
    from functions.settings.webhook import webhook_settings
    from functions.topology import TOPIC
    from functions.webhook import receive

    settings, clock = webhook_settings(os.environ), SystemClock()
    publisher = PubSubTopic(PublisherClient, settings.project, TOPIC, clock)
    log = JsonLog(sys.stdout)
    return partial(serve, partial(receive, settings=settings, publisher=publisher, clock=clock, log=log))


@cache
def _subscriber(name: str) -> "Subscriber":
    import logging
    import sys
    from importlib import import_module

    from google.cloud.firestore import Client

    from functions.adapters.clock import SystemClock
    from functions.adapters.firestore import FirestoreStore
    from functions.adapters.stripe import StripeApi
    from functions.errors import Retry
    from functions.log import JsonLog, OnlyUnexpected
    from functions.settings.subscriber import subscriber_settings
    from functions.subscriber import Subscriber
    from functions.topology import function

    settings, clock = subscriber_settings(os.environ), SystemClock()
    # Flask's logger has the name of the function.
    logging.getLogger(name).addFilter(OnlyUnexpected(Retry))
    return Subscriber(
        function=function(name),
        react=import_module(f"functions.reactions.{name}").react,
        settings=settings,
        store=FirestoreStore(Client(settings.project, database=settings.database)),
        stripe=StripeApi(settings.stripe_api_key, settings.stripe_api_base, clock),
        clock=clock,
        log=JsonLog(sys.stdout),
        identity=_identity() if name == "provision_accounts" else None,
    )


def _identity() -> "IdentityProvider | None":
    """Whoever keeps the accounts. None where nobody does who could be asked."""
    from functions.adapters.identity import identity_provider
    from functions.settings.accounts import identity_settings

    return identity_provider(identity_settings(os.environ))


@cache
def _sweeper() -> "Callable[[], None]":
    import logging
    import sys

    from google.cloud.firestore import Client

    from functions.adapters.clock import SystemClock
    from functions.adapters.firestore import FirestoreStore
    from functions.adapters.mailbox import FirestoreMailbox
    from functions.adapters.parked import FirestoreParkedEvents
    from functions.errors import Retry
    from functions.log import JsonLog, OnlyUnexpected
    from functions.mail.sweeper import Sweeper, each_in_turn
    from functions.parking import Rest
    from functions.settings.subscriber import sweep_settings

    settings, clock, log = sweep_settings(os.environ), SystemClock(), JsonLog(sys.stdout)
    logging.getLogger("sweep_mail").addFilter(OnlyUnexpected(Retry))
    client = Client(settings.project, database=settings.database)
    rest = Rest(
        store=FirestoreStore(client),
        parked=FirestoreParkedEvents(client),
        settings=settings.mail,
        clock=clock,
        log=log,
    )
    mailbox = FirestoreMailbox(client, settings.mail.collection)
    sweeper = Sweeper(settings=settings.mail, mailbox=mailbox, clock=clock, log=log)
    return partial(each_in_turn, (rest.run, sweeper.run))


@cache
def _dead_letters() -> "DeadLetters":
    import logging
    import sys

    from google.cloud.firestore import Client

    from functions.adapters.clock import SystemClock
    from functions.adapters.firestore import FirestoreStore
    from functions.dead_letters import DeadLetters
    from functions.errors import Retry
    from functions.log import JsonLog, OnlyUnexpected
    from functions.settings.subscriber import sweep_settings

    settings = sweep_settings(os.environ)
    logging.getLogger("dead_letters").addFilter(OnlyUnexpected(Retry))
    return DeadLetters(
        store=FirestoreStore(Client(settings.project, database=settings.database)),
        settings=settings.mail,
        clock=SystemClock(),
        log=JsonLog(sys.stdout),
    )


@cache
def _sender() -> "Callable[[], None]":
    import logging
    import sys

    from google.cloud.firestore import Client
    from google.cloud.pubsub_v1 import PublisherClient

    from functions.adapters.clock import SystemClock
    from functions.adapters.diary import FirestoreDiary
    from functions.adapters.prices import StripePrices
    from functions.adapters.pubsub import PubSubTopic
    from functions.adapters.stripe import StripeApi
    from functions.errors import Retry
    from functions.log import JsonLog, OnlyUnexpected
    from functions.reminders.sender import Sender, go_on
    from functions.settings.reminders import sender_settings
    from functions.topology import CLOCK_TOPIC

    settings, clock = sender_settings(os.environ), SystemClock()
    logging.getLogger("send_due_reminders").addFilter(OnlyUnexpected(Retry))
    client = Client(settings.project, database=settings.database)
    sender = Sender(
        settings=settings.reminders,
        mail=settings.mail,
        diary=FirestoreDiary(client),
        stripe=StripePrices(StripeApi(settings.stripe_api_key, settings.stripe_api_base, clock), client, clock),
        clock=clock,
        log=JsonLog(sys.stdout),
    )
    return partial(go_on, sender, PubSubTopic(PublisherClient, settings.project, CLOCK_TOPIC, clock))


@cache
def _reconciler() -> "Callable[[], None]":
    import logging
    import sys

    from google.cloud.firestore import Client
    from google.cloud.pubsub_v1 import PublisherClient

    from functions.accounts.budget import Budget
    from functions.adapters.clock import SystemClock
    from functions.adapters.firestore import FirestoreStore
    from functions.adapters.pubsub import PubSubTopic
    from functions.adapters.stripe import StripeApi
    from functions.errors import Retry
    from functions.log import JsonLog, OnlyUnexpected
    from functions.reconcile.reconciler import Reconciler, go_on
    from functions.settings.reconcile import reconcile_settings
    from functions.topology import CLOCK_TOPIC, TOPIC

    settings, clock = reconcile_settings(os.environ), SystemClock()
    logging.getLogger("reconcile").addFilter(OnlyUnexpected(Retry))
    store = FirestoreStore(Client(settings.project, database=settings.database))
    reconciler = Reconciler(
        livemode=settings.livemode,
        forward_all=settings.forward_all,
        # A place in the queue is good for one request.
        stripe=StripeApi(settings.stripe_api_key, settings.stripe_api_base, clock, retries=0),
        budget=Budget(store, clock),
        publisher=PubSubTopic(PublisherClient, settings.project, TOPIC, clock),
        store=store,
        clock=clock,
        log=JsonLog(sys.stdout),
    )
    return partial(go_on, reconciler, PubSubTopic(PublisherClient, settings.project, CLOCK_TOPIC, clock))


@cache
def _unsubscribe() -> "Callable[[Request], Response]":
    import sys

    from google.cloud.firestore import Client

    from functions.adapters.clock import SystemClock
    from functions.adapters.firestore import FirestoreStore
    from functions.adapters.page import serve
    from functions.log import JsonLog
    from functions.pages.unsubscribe import answer
    from functions.settings.reminders import unsubscribe_settings

    settings, log = unsubscribe_settings(os.environ), JsonLog(sys.stdout)
    # Whoever waits for the page waits for this.
    store = FirestoreStore(Client(settings.project, database=settings.database), timeout_seconds=5)
    return partial(serve, partial(answer, settings=settings, store=store, clock=SystemClock(), log=log))


@cache
def _lookup() -> "Lookup":
    from functions.wiring import lookup_from

    return lookup_from(os.environ)


@cache
def _find_customer() -> "Callable[[Request], Response]":
    import sys

    from functions.adapters.clock import SystemClock
    from functions.adapters.page import serve
    from functions.log import JsonLog
    from functions.pages.find_customer import answer

    lookup, project, log = _lookup(), os.environ["GOOGLE_CLOUD_PROJECT"], JsonLog(sys.stdout)
    return partial(serve, partial(answer, lookup=lookup, project=project, clock=SystemClock(), log=log))


@cache
def _pricing() -> "Callable[[Request], Response]":
    import sys

    from google.cloud.firestore import Client

    from functions.accounts.owners import Owners
    from functions.adapters.clock import SystemClock
    from functions.adapters.firestore import FirestoreStore
    from functions.adapters.page import serve
    from functions.adapters.stripe import StripeApi
    from functions.execution import Executor
    from functions.log import JsonLog
    from functions.pages.pricing import answer
    from functions.settings.accounts import account_settings
    from functions.settings.pricing import pricing_settings
    from functions.settings.reader import Reader

    settings, clock, log, identity = pricing_settings(os.environ), SystemClock(), JsonLog(sys.stdout), _identity()
    # Whoever waits for the page waits for this.
    store = FirestoreStore(Client(settings.project, database=settings.database), timeout_seconds=5)
    stripe = StripeApi(settings.stripe_api_key, settings.stripe_api_base, clock)
    executor = Executor(store=store, stripe=stripe, mail=settings.mail, clock=clock, identity=identity)
    owners = Owners(executor, tell_tokens=account_settings(Reader(os.environ)).claims)
    return partial(
        serve,
        partial(
            answer,
            settings=settings,
            identity=identity,
            lookup=_lookup(),
            stripe=stripe,
            link=partial(owners.give, by="verified_email"),
            clock=clock,
            log=log,
        ),
    )


# An instance wires itself before it serves, so that a wrong setting stops the deployment and not the first customer.
_WIRED = {
    "stripe_webhook": _webhook,
    "sweep_mail": _sweeper,
    "dead_letters": _dead_letters,
    "send_due_reminders": _sender,
    "reconcile": _reconciler,
    "unsubscribe": _unsubscribe,
    "find_customer": _find_customer,
    "pricing_page": _pricing,
}
if _target := os.environ.get("FUNCTION_TARGET"):
    _WIRED.get(_target, partial(_subscriber, _target))()
