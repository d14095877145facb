"""Pub/Sub that waits two seconds at most before it delivers again: its ten minutes would be the whole test."""

from google.cloud.pubsub_v1 import SubscriberClient

from functions.topology import SUBSCRIBERS
from local.system import System

#: A process that is killed leaves some messages as if it were still at work on them.
_ACKNOWLEDGED_WITHIN_SECONDS = 20
_POLICY = {"minimum_backoff": {"seconds": 1}, "maximum_backoff": {"seconds": 2}}


def hurry(system: System) -> None:
    """From now on, for every function that reacts to events."""
    project = system.environment["GOOGLE_CLOUD_PROJECT"]
    with SubscriberClient() as subscriber:
        for row in SUBSCRIBERS:
            path = subscriber.subscription_path(project, row.name)
            subscriber.update_subscription(
                request={
                    "subscription": {
                        "name": path,
                        "ack_deadline_seconds": _ACKNOWLEDGED_WITHIN_SECONDS,
                        "retry_policy": _POLICY,
                    },
                    "update_mask": {"paths": ["ack_deadline_seconds", "retry_policy"]},
                }
            )
