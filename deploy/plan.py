"""The deployment as data: from the topology to an ordered list of commands. Nothing here runs or reads anything.

Every command may be repeated: what exists is brought to the planned state, what is there already is left alone.
"""

from collections.abc import Iterable, Iterator, Sequence

from deploy.functions import BUILD_ACCOUNT, PUSH_ACCOUNT, deployed, scheduled, subscribed
from deploy.steps import Step, Target, gcloud, role_on, role_on_project
from functions.topology import CLOCK_TOPIC, DEAD_LETTER_TOPIC, TOPIC, Function, chosen

_APIS = (
    "artifactregistry",
    "cloudbuild",
    "cloudfunctions",
    "cloudresourcemanager",
    "cloudscheduler",
    "firebaserules",
    "firestore",
    "iam",
    "pubsub",
    "run",
    "secretmanager",
)
#: https://cloud.google.com/functions/docs/securing/build-custom-sa. The default account has none of these in projects
#: made since 2024.
_BUILD_ROLES = ("artifactregistry.writer", "logging.logWriter", "storage.objectViewer")
#: https://firebase.google.com/docs/projects/iam/roles-predefined-product#auth
_ACCOUNT_ROLES = {"finds": "firebaseauth.viewer", "changes": "firebaseauth.admin"}
#: It publishes what comes in and keeps nothing, whatever else is called over http.
_WEBHOOK = "stripe_webhook"
#: Secrets that come from nowhere, and what makes them up.
_RANDOM = {"UNSUBSCRIBE_KEYS": "openssl rand -base64 48"}


def plan(target: Target, functions: Sequence[Function] | None = None) -> list[Step]:
    """Every step of the deployment, in order. Without `functions`, of those that the settings have a use for."""
    functions = chosen(target.variables) if functions is None else functions
    pages = [row for row in functions if row.trigger == "http" and row.name != _WEBHOOK]
    return [
        *_prerequisites(target, functions),
        *_accounts(target, functions),
        *_topics(target),
        *_database(target),
        *_roles(target, functions),
        # What mails link to comes before what writes them.
        *(deployed(target, row) for row in pages),
        # What takes dead letters comes before what makes some.
        *(step for row in functions if row.trigger == "dead_letters" for step in subscribed(target, row)),
        *(step for row in functions if row.trigger in {"events", "clock"} for step in subscribed(target, row)),
        # What publishes comes last: a subscription does not get what was published before it existed.
        *(deployed(target, row) for row in functions if row.name == _WEBHOOK),
        *(scheduled(target, row) for row in functions if row.trigger == "clock"),
    ]


def _prerequisites(target: Target, functions: Iterable[Function]) -> Iterator[Step]:
    apis = sorted({*_APIS, *(("identitytoolkit",) if target.accounts.provider == "firebase" else ())})
    yield Step(
        purpose="Enable the APIs.",
        command=gcloud(target, "services", "enable", *(f"{api}.googleapis.com" for api in apis)),
    )
    for secret in _secrets(functions):
        value = _RANDOM.get(secret, f'printf %s "${secret}"')
        yield Step(
            purpose=f"The secret {secret} has to exist: its value is never part of a deployment.",
            command=gcloud(target, "secrets", "versions", "describe", "latest", f"--secret={secret}"),
            hint=f"{value} | gcloud secrets create {secret} --data-file=- --project={target.project}",
        )


def _accounts(target: Target, functions: Iterable[Function]) -> Iterator[Step]:
    # First of all that is made: a new account can take a minute until roles can be granted to it.
    for service, name in (("pubsub", "Pub/Sub"), ("cloudscheduler", "Cloud Scheduler")):
        yield Step(
            purpose=f"{name}'s own identity in this project.",
            command=gcloud(target, "beta", "services", "identity", "create", f"--service={service}.googleapis.com"),
        )
    accounts = {row.name: f"runs {row.name}" for row in functions} | {
        PUSH_ACCOUNT: "calls the functions for Pub/Sub",
        BUILD_ACCOUNT: "builds the functions",
    }
    for name, task in accounts.items():
        identifier, address = target.account(name).split("@")[0], target.account(name)
        yield Step(
            purpose=f"The service account that {task}.",
            unless=gcloud(target, "iam", "service-accounts", "describe", address),
            command=gcloud(target, "iam", "service-accounts", "create", identifier, f"--display-name={task}"),
        )


def _topics(target: Target) -> Iterator[Step]:
    retention = "--message-retention-duration=7d"
    yield Step(
        purpose="The topic of every verified event. It keeps them so that a subscription can be sought back.",
        unless=gcloud(target, "pubsub", "topics", "update", TOPIC, retention),
        command=gcloud(target, "pubsub", "topics", "create", TOPIC, retention),
    )
    yield Step(
        purpose="The topic of the clock, which calls what the time of day calls.",
        unless=gcloud(target, "pubsub", "topics", "describe", CLOCK_TOPIC),
        command=gcloud(target, "pubsub", "topics", "create", CLOCK_TOPIC),
    )
    yield Step(
        purpose="The topic of what a function could not process.",
        unless=gcloud(target, "pubsub", "topics", "describe", DEAD_LETTER_TOPIC),
        command=gcloud(target, "pubsub", "topics", "create", DEAD_LETTER_TOPIC),
    )


def _database(target: Target) -> Iterator[Step]:
    databases, database = ("firestore", "databases"), f"--database={target.database}"
    location = (f"--location={target.region}", "--type=firestore-native")
    yield Step(
        purpose="The Firestore database. One that exists stays where it is.",
        unless=gcloud(target, *databases, "describe", database),
        command=gcloud(target, *databases, "create", database, *location),
    )
    yield Step(
        purpose="Security rules and indexes, as firebase.json says.",
        command=(
            *("npx", "--yes", "firebase-tools@15", "deploy"),
            *("--only=firestore", f"--project={target.project}", "--non-interactive"),
        ),
        hint="firebase-tools needs Node 20 or newer, and credentials: gcloud auth application-default login",
    )


def _roles(target: Target, functions: Iterable[Function]) -> Iterator[Step]:
    for row in functions:
        account = target.account(row.name)
        if row.publishes:
            purpose = f"{row.name} publishes events."
            yield role_on(target, "pubsub", "topics", TOPIC, account=account, role="pubsub.publisher", purpose=purpose)
        if row.name != _WEBHOOK:
            purpose = f"{row.name} reads and writes documents."
            yield role_on_project(target, account=account, role="datastore.user", purpose=purpose)
        if row.continues:
            purpose = f"{row.name} asks for its next run."
            yield role_on(
                target, "pubsub", "topics", CLOCK_TOPIC, account=account, role="pubsub.publisher", purpose=purpose
            )
        what = "changes" if row.tells_tokens and target.accounts.claims else row.accounts
        if what and target.accounts.provider == "firebase":
            purpose = f"{row.name} {what} people's accounts."
            yield role_on_project(target, account=account, role=_ACCOUNT_ROLES[what], purpose=purpose)
        for secret in row.secrets:
            purpose = f"{row.name} reads {secret}."
            yield role_on(
                target, "secrets", secret, account=account, role="secretmanager.secretAccessor", purpose=purpose
            )
    for role in _BUILD_ROLES:
        purpose = "Cloud Build builds the functions' images."
        yield role_on_project(target, account=target.account(BUILD_ACCOUNT), role=role, purpose=purpose)
    yield role_on(
        target,
        *("iam", "service-accounts", target.account(PUSH_ACCOUNT)),
        account=target.pubsub_agent,
        role="iam.serviceAccountTokenCreator",
        purpose="Pub/Sub signs its calls as the push account. In projects made since April 2021 it may already.",
    )
    yield role_on(
        target,
        *("pubsub", "topics", DEAD_LETTER_TOPIC),
        account=target.pubsub_agent,
        role="pubsub.publisher",
        purpose="Pub/Sub forwards dead letters.",
    )
    yield role_on(
        target,
        *("pubsub", "topics", CLOCK_TOPIC),
        account=target.scheduler_agent,
        role="pubsub.publisher",
        purpose="Cloud Scheduler publishes what time it is. Its own role may allow it already.",
    )


def _secrets(functions: Iterable[Function]) -> list[str]:
    return sorted({secret for row in functions for secret in row.secrets})
