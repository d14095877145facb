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

    from functions.mail.sweeper import Sweeper
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
def sweep_mail(cloud_event: "CloudEvent") -> None:
    """The clock → another attempt for mails that did not go out, and word to support of those that never will."""
    if _is_meant("sweep_mail", cloud_event):
        _sweeper().run()


def _is_meant(name: str, cloud_event: "CloudEvent") -> bool:
    """One topic serves every clock, and the emulator, which knows no filters, shows each message to everybody."""
    return (cloud_event.data["message"].get("attributes") or {}).get("function") == name


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
    )


@cache
def _sweeper() -> "Sweeper":
    import logging
    import sys

    from google.cloud.firestore import Client

    from functions.adapters.clock import SystemClock
    from functions.adapters.mailbox import FirestoreMailbox
    from functions.errors import Retry
    from functions.log import JsonLog, OnlyUnexpected
    from functions.mail.sweeper import Sweeper
    from functions.settings.subscriber import sweep_settings

    settings = sweep_settings(os.environ)
    logging.getLogger("sweep_mail").addFilter(OnlyUnexpected(Retry))
    return Sweeper(
        settings=settings.mail,
        mailbox=FirestoreMailbox(Client(settings.project, database=settings.database), settings.mail.collection),
        clock=SystemClock(),
        log=JsonLog(sys.stdout),
    )


# An instance wires itself before it serves, so that a wrong setting stops the deployment and not the first customer.
if _target := os.environ.get("FUNCTION_TARGET"):
    {"stripe_webhook": _webhook, "sweep_mail": _sweeper}.get(_target, partial(_subscriber, _target))()
