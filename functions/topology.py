"""THE table: every function with its trigger, event types or schedule, size and retry policy.

`make up`, the deployment, the webhook and the architecture test read this table and nothing else. To add a reaction:
one row here, one file in `reactions`, one entry point in `main.py`, one fixture, one test.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from functions.event_types import SUBSCRIPTION_TYPES
from functions.message_filter import message_filter
from functions.variables import MAIL_VARIABLES, SUBSCRIBER_VARIABLES

#: Every verified event. Messages are kept for 7 days, so that a subscription can be sought back.
TOPIC = "stripe-events"
#: One topic for every function that the time of day calls; a message's attribute `function` says which one.
CLOCK_TOPIC = "stripe-clock"
#: What a function could not process within its delivery attempts.
DEAD_LETTER_TOPIC = "stripe-events-dead-letters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One row: one Cloud Run function and, unless it is called over http, its own push subscription to a topic."""

    #: The entry point in `main.py` and the name of everything deployed for it.
    name: str
    trigger: Literal["http", "events", "clock", "dead_letters"]
    #: Stripe's event types, without the `v1.` of thin notifications.
    event_types: tuple[str, ...] = ()
    #: For `clock`: when, as cron says it, in UTC.
    schedule: str = ""
    #: Settings from the environment, and secrets from Secret Manager, that this function reads.
    variables: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    #: Secrets that exist only where another variable has a certain value: name -> (variable, value).
    secrets_if: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    #: The variable without which there is no use for the function, and it is not deployed.
    only_with: str = ""
    #: What it does with the accounts of people, where Firebase keeps them; and whether it changes them too where
    #: tokens say what is paid for.
    accounts: Literal["", "finds", "changes"] = ""
    tells_tokens: bool = False
    public: bool = False
    #: Whether it publishes events, to every function that listens to them.
    publishes: bool = False
    #: Whether a run that has more to do than it can asks the clock's topic for another one.
    continues: bool = False
    memory: str = "512Mi"
    cpu: str = "1"
    #: Requests one instance serves at once, and so its threads.
    concurrency: int = 8
    #: Also the acknowledgement deadline of the subscription.
    timeout_seconds: int = 60
    min_backoff_seconds: int = 10
    max_backoff_seconds: int = 600
    #: 30 deliveries with that backoff are about four hours, after which the event is a dead letter and can be replayed.
    delivery_attempts: int = 30

    @property
    def topic(self) -> str:
        """What the subscription is to."""
        return {"clock": CLOCK_TOPIC, "dead_letters": DEAD_LETTER_TOPIC}.get(self.trigger, TOPIC)

    @property
    def filter(self) -> str:
        """The Pub/Sub filter of the subscription.

        Passes every handled type, and as few others as fit its length; of the clock, what is meant for this function;
        every dead letter, which is no filter at all.
        """
        if self.trigger == "dead_letters":
            return ""
        if self.trigger == "clock":
            return f'attributes.function = "{self.name}"'
        return message_filter(self.event_types)


FUNCTIONS: tuple[Function, ...] = (
    Function(
        name="stripe_webhook",
        trigger="http",
        public=True,
        timeout_seconds=30,
        variables=("STRIPE_LIVEMODE", "FORWARD_ALL"),
        secrets=("STRIPE_WEBHOOK_SECRETS",),
        publishes=True,
    ),
    Function(
        name="index_customers",
        trigger="events",
        event_types=(
            "customer.created",
            "customer.updated",
            "customer.deleted",
            "checkout.session.completed",
            "checkout.session.async_payment_succeeded",
        ),
        variables=SUBSCRIBER_VARIABLES,
        secrets=("STRIPE_API_KEY",),
    ),
    Function(
        name="record_orders",
        trigger="events",
        event_types=(
            "checkout.session.completed",
            "checkout.session.async_payment_succeeded",
            "checkout.session.async_payment_failed",
            "checkout.session.expired",
            "charge.refunded",
            "refund.failed",
            "charge.dispute.created",
            "charge.dispute.closed",
        ),
        variables=(*SUBSCRIBER_VARIABLES, "UNSUBSCRIBE_URL"),
        # It makes offers: of carts that were left.
        secrets=("STRIPE_API_KEY", "UNSUBSCRIBE_KEYS"),
    ),
    Function(
        name="track_subscriptions",
        trigger="events",
        event_types=(
            *SUBSCRIPTION_TYPES,
            *(
                f"invoice.{what}"
                for what in (
                    *("created", "finalized", "paid", "payment_failed", "payment_action_required"),
                    *("voided", "marked_uncollectible", "upcoming", "overdue"),
                )
            ),
            "payment_method.attached",
            "payment_method.updated",
            "payment_method.automatically_updated",
            "payment_method.detached",
            "customer.source.expiring",
        ),
        variables=SUBSCRIBER_VARIABLES,
        secrets=("STRIPE_API_KEY",),
    ),
    Function(
        name="provision_accounts",
        trigger="events",
        event_types=(
            *("customer.created", "customer.updated", "customer.deleted"),
            "checkout.session.completed",
            *SUBSCRIPTION_TYPES,
        ),
        variables=(*SUBSCRIBER_VARIABLES, "IDENTITY_URL"),
        secrets=("STRIPE_API_KEY",),
        secrets_if={"IDENTITY_TOKEN": ("IDENTITY", "http")},
        accounts="changes",
    ),
    Function(
        name="send_due_reminders",
        trigger="clock",
        schedule="*/15 * * * *",
        variables=(
            *("STRIPE_API_BASE", "FIRESTORE_DATABASE", "PAST_DUE_GIVES_ACCESS"),
            *("UPGRADE_OFFER_AFTER_DAYS", "OFFERS", "OFFER_PAUSE_DAYS", "UNSUBSCRIBE_URL"),
            *MAIL_VARIABLES,
        ),
        secrets=("STRIPE_API_KEY", "UNSUBSCRIBE_KEYS"),
        concurrency=1,
        timeout_seconds=120,
        # The next tick does the same work.
        delivery_attempts=5,
        continues=True,
    ),
    Function(
        name="unsubscribe",
        trigger="http",
        public=True,
        timeout_seconds=30,
        variables=("FIRESTORE_DATABASE", *MAIL_VARIABLES),
        secrets=("UNSUBSCRIBE_KEYS",),
    ),
    Function(
        name="find_customer",
        trigger="http",
        timeout_seconds=60,
        variables=(*SUBSCRIBER_VARIABLES, "IDENTITY_URL"),
        secrets=("STRIPE_API_KEY",),
        secrets_if={"IDENTITY_TOKEN": ("IDENTITY", "http")},
        tells_tokens=True,
        # Whoever waits for the budget does nothing meanwhile.
        concurrency=32,
    ),
    Function(
        name="pricing_page",
        trigger="http",
        public=True,
        timeout_seconds=30,
        only_with="PRICING_TABLE_ID",
        variables=(
            *SUBSCRIBER_VARIABLES,
            *("IDENTITY_URL", "PRICING_TABLE_ID", "STRIPE_PUBLISHABLE_KEY", "ALLOWED_ORIGINS"),
        ),
        secrets=("STRIPE_API_KEY",),
        secrets_if={"IDENTITY_TOKEN": ("IDENTITY", "http")},
        accounts="finds",
        # Whoever is linked here has their plans in their tokens at once.
        tells_tokens=True,
    ),
    Function(
        name="sweep_mail",
        trigger="clock",
        schedule="*/5 * * * *",
        variables=("FIRESTORE_DATABASE", *MAIL_VARIABLES),
        # A second run beside the first does no harm and no good.
        concurrency=1,
        # The mails, and before them what was parked without one.
        timeout_seconds=180,
        # The next tick does the same work: these attempts fill the minutes until then.
        delivery_attempts=5,
    ),
    Function(
        name="dead_letters",
        trigger="dead_letters",
        variables=("FIRESTORE_DATABASE", *MAIL_VARIABLES),
    ),
    Function(
        name="reconcile",
        trigger="clock",
        # Not on the hour, when everybody's clocks ask Stripe something.
        schedule="17 * * * *",
        variables=("STRIPE_API_BASE", "FIRESTORE_DATABASE", "STRIPE_LIVEMODE", "FORWARD_ALL"),
        secrets=("STRIPE_API_KEY",),
        publishes=True,
        continues=True,
        concurrency=1,
        # A run asks for another one after 60 s, and may wait for Stripe and for Pub/Sub then.
        timeout_seconds=180,
        # The next tick does the same work.
        delivery_attempts=5,
    ),
)

#: The rows that react to events, and those that the time of day calls: each with a subscription of its own.
SUBSCRIBERS: tuple[Function, ...] = tuple(row for row in FUNCTIONS if row.trigger == "events")
CLOCKED: tuple[Function, ...] = tuple(row for row in FUNCTIONS if row.trigger == "clock")
#: The row that takes what the others could not process; behind it there is nobody.
DEAD_LETTERED: tuple[Function, ...] = tuple(row for row in FUNCTIONS if row.trigger == "dead_letters")

#: Every type that somebody listens to; the webhook acknowledges the others without publishing them.
EVENT_TYPES: frozenset[str] = frozenset(t for function in FUNCTIONS for t in function.event_types)


def chosen(variables: Mapping[str, str]) -> tuple[Function, ...]:
    """The rows that these settings have a use for, each with the secrets it then reads."""
    return tuple(
        replace(
            row,
            secrets=(
                *row.secrets,
                *(name for name, (variable, value) in row.secrets_if.items() if variables.get(variable) == value),
            ),
        )
        for row in FUNCTIONS
        if not row.only_with or variables.get(row.only_with)
    )


def function(name: str) -> Function:
    """The row of that name. Raises LookupError naming the rows there are."""
    for row in FUNCTIONS:
        if row.name == name:
            return row
    raise LookupError(f"no function {name!r} in the topology; there are: {', '.join(r.name for r in FUNCTIONS)}")
