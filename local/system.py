"""The whole system on one machine: emulators, topic and push subscriptions, every function, a local Stripe API."""

import json
import os
import re
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.api_core.exceptions import AlreadyExists, NotFound
from google.cloud.firestore import Client
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

from functions.topology import CLOCK_TOPIC, CLOCKED, DEAD_LETTER_TOPIC, DEAD_LETTERED, FUNCTIONS, SUBSCRIBERS, TOPIC
from local.auth_emulator import AuthEmulator
from local.emulators import Emulators
from local.processes import NotStarted, Program, Server
from local.stripe_api import StripeApi

ROOT = Path(__file__).resolve().parent.parent
#: The real backoff begins at 10 s, which nobody waits for at a desk.
_MIN_BACKOFF_SECONDS = 1
#: What has no default in the cloud, where nobody can guess it.
_SHOP = {
    "BRAND_NAME": "Demo Shop",
    "SUPPORT_EMAIL": "support@example.com",
    "MAIL_FOOTER": "Demo Shop | 1-1 Example, Tokyo",
    "PRICING_TABLE_ID": "prctbl_local",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_local",
}
#: What another program has to know, where it is set, to find its way in what the system writes.
_TOLD = ("FIRESTORE_DATABASE", "USER_ID_KEY", "MAIL_COLLECTION")


@dataclass(frozen=True, slots=True)
class System:
    """A running system. `environment` is all another program needs to use it."""

    environment: dict[str, str]
    emulators: Emulators
    functions: Server
    #: None where a real test key makes Stripe itself answer.
    stripe_api: StripeApi | None
    webhook_url: str
    webhook_secret: str
    #: Where people have accounts; None where nobody asked for it.
    auth: AuthEmulator | None = None

    def settled(self, deliveries: int, *, patience_seconds: float = 60) -> list[dict[str, Any]]:
        """Wait until every subscriber has dealt with so many deliveries; then what each said of each.

        The emulator does not filter: every subscriber is shown every event, and says so. Raises TimeoutError.
        """
        subscribers = {row.name for row in SUBSCRIBERS}
        deadline = time.monotonic() + patience_seconds
        while True:
            lines = [line for line in self.function_log() if line.get("function") in subscribers and "outcome" in line]
            done = Counter(line["function"] for line in lines if line["outcome"] != "retry")
            if all(done[name] >= deliveries for name in subscribers):
                return lines
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"only {dict(done)} of {deliveries} deliveries were dealt with; see {self.functions.child.log}"
                )
            time.sleep(0.05)

    def tick(self, name: str) -> None:
        """What Cloud Scheduler does when it is time for a function. Raises LookupError for one that no clock calls."""
        if name not in {row.name for row in CLOCKED}:
            raise LookupError(f"no clock calls {name!r}, but: {', '.join(row.name for row in CLOCKED)}")
        with PublisherClient() as publisher:
            topic = publisher.topic_path(self.environment["GOOGLE_CLOUD_PROJECT"], CLOCK_TOPIC)
            publisher.publish(topic, b"tick", function=name).result(timeout=10)

    def function_log(self) -> list[dict[str, Any]]:
        """Every line the functions have logged so far."""
        lines = self.functions.child.output().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith('{"severity"') and line.endswith("\n")]

    def firestore(self) -> Client:
        """The system's database."""
        database = self.environment.get("FIRESTORE_DATABASE", "(default)")
        return Client(project=self.environment["GOOGLE_CLOUD_PROJECT"], database=database)


@contextmanager
def running(
    environ: Mapping[str, str],
    *,
    log_directory: Path,
    project: str = "demo-local",
    rules: Path = ROOT / "firestore.rules",
    accounts: bool = False,
    hosts_of_functions: Mapping[str, str] = {},
) -> Iterator[System]:
    """Start everything, and stop what was started whichever way the block ends.

    With `accounts` people have accounts too, in Firebase's Auth emulator, which takes longer to start than the rest.
    `environ` may carry the settings of the README's table. With STRIPE_API_KEY Stripe itself answers, else the local
    Stripe API. `hosts_of_functions` is for something between the functions and what they talk to: settings that the
    functions alone have instead. Raises NotStarted.
    """
    key = environ.get("STRIPE_API_KEY", "")
    if "_live_" in key:
        raise NotStarted(
            "STRIPE_API_KEY is a live key. The local system only takes a test key (sk_test_… or rk_test_…)."
        )
    with ExitStack() as stack:
        log_directory.mkdir(parents=True, exist_ok=True)
        emulators = stack.enter_context(Emulators.start(environ, log_directory=log_directory))
        auth = stack.enter_context(AuthEmulator.start(environ, log_directory, project=project)) if accounts else None
        stripe_api = None if key else stack.enter_context(StripeApi())
        secret = ",".join(re.split(r"[,\s]+", environ.get("STRIPE_WEBHOOK_SECRETS", "").strip())) or (
            f"whsec_{secrets.token_hex(16)}"
        )
        settings = {
            "GOOGLE_CLOUD_PROJECT": project,
            "STRIPE_WEBHOOK_SECRETS": secret,
            "STRIPE_API_KEY": key or "sk_test_local",
            **({"STRIPE_API_BASE": stripe_api.url} if stripe_api else {}),
            **emulators.environment(),
            **({"IDENTITY": environ.get("IDENTITY") or "firebase", **auth.environment()} if auth else {}),
        }
        settings["UNSUBSCRIBE_KEYS"] = environ.get("UNSUBSCRIBE_KEYS", "").strip() or secrets.token_urlsafe(32)
        settings |= {name: environ.get(name, "").strip() or default for name, default in _SHOP.items()}
        functions = Server(_functions({**environ, **settings, **hosts_of_functions}), log_directory)
        stack.callback(functions.stop)
        functions.wait_until_ready()
        url = f"http://{functions.addresses['functions']}"
        # Google's clients, here as in any program that reads the environment below, find the emulators by these.
        os.environ.update(emulators.environment())
        emulators.put_rules(project, rules.read_text("utf-8"))
        _create_topology(project, url)
        stack.callback(_delete_subscriptions, project)
        chosen = {name: environ[name] for name in _TOLD if environ.get(name)}
        yield System(
            environment={
                "WEBHOOK_URL": f"{url}/stripe_webhook",
                "UNSUBSCRIBE_URL": f"{url}/unsubscribe",
                "PRICING_PAGE_URL": f"{url}/pricing_page",
                "FIND_CUSTOMER_URL": f"{url}/find_customer",
                **settings,
                **chosen,
            },
            emulators=emulators,
            functions=functions,
            stripe_api=stripe_api,
            webhook_url=f"{url}/stripe_webhook",
            webhook_secret=secret.split(",")[0],
            auth=auth,
        )


def _functions(environ: Mapping[str, str]) -> Program:
    threads = sum(row.concurrency for row in FUNCTIONS)
    return Program(
        name="functions",
        listens=("functions",),
        command=lambda ports: [
            # Where offers are refused is only known with the port.
            *("env", f"UNSUBSCRIBE_URL=http://127.0.0.1:{ports['functions']}/unsubscribe"),
            *(sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{ports['functions']}"),
            *("--threads", str(threads), "--timeout", "0", "--graceful-timeout", "5", "--no-control-socket"),
            "local.functions_server:application()",
        ],
        ready_line="Booting worker",
        environ=environ,
        directory=ROOT,
    )


def _create_topology(project: str, url: str) -> None:
    """The topics, and a push subscription for each row that has one: what `deploy` does in the cloud."""
    with PublisherClient() as publisher:
        topics = {name: publisher.topic_path(project, name) for name in (TOPIC, CLOCK_TOPIC, DEAD_LETTER_TOPIC)}
        for topic in topics.values():
            # An emulator that ran before may have them from an earlier run.
            with suppress(AlreadyExists):
                publisher.create_topic(name=topic)
    _delete_subscriptions(project)
    with SubscriberClient() as subscriber:
        for row in (*SUBSCRIBERS, *CLOCKED, *DEAD_LETTERED):
            given_up = {
                "dead_letter_policy": {
                    "dead_letter_topic": topics[DEAD_LETTER_TOPIC],
                    "max_delivery_attempts": row.delivery_attempts,
                }
            }
            subscriber.create_subscription(
                request={
                    "name": subscriber.subscription_path(project, row.name),
                    "topic": topics[row.topic],
                    "filter": row.filter,
                    "ack_deadline_seconds": row.timeout_seconds,
                    # The path tells functions-framework which topic a raw push comes from.
                    "push_config": {"push_endpoint": f"{url}/{row.name}/{topics[row.topic]}"},
                    "retry_policy": {
                        "minimum_backoff": {"seconds": _MIN_BACKOFF_SECONDS},
                        "maximum_backoff": {"seconds": row.max_backoff_seconds},
                    },
                    **({} if row in DEAD_LETTERED else given_up),
                }
            )


def _delete_subscriptions(project: str) -> None:
    """None may stay behind in an emulator that goes on: it would push to a port that is somebody else's by then."""
    with SubscriberClient() as subscriber:
        for row in (*SUBSCRIBERS, *CLOCKED, *DEAD_LETTERED):
            with suppress(NotFound):
                subscriber.delete_subscription(subscription=subscriber.subscription_path(project, row.name))
