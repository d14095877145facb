"""What is deployed for one row of the topology: the function, what calls it, and for clock rows the clock."""

from collections.abc import Iterator

from deploy.steps import Step, Target, gcloud, pairs, role_on
from functions.topology import CLOCK_TOPIC, DEAD_LETTER_TOPIC, Function, function

RUNTIME = "python313"
#: The identity with which Pub/Sub calls the functions, and the one with which their images are built.
PUSH_ACCOUNT = "stripe-events-push"
BUILD_ACCOUNT = "functions-build"


def deployed(target: Target, row: Function) -> Step:
    """The function itself, with the settings that are set, and the address that only a deployment knows."""
    variables = {"GOOGLE_CLOUD_PROJECT": target.project, "THREADS": str(row.concurrency)}
    known = {"UNSUBSCRIBE_URL": target.function_url(function("unsubscribe"))} | dict(target.variables)
    variables |= {name: known[name] for name in row.variables if name in known}
    secrets = pairs({name: f"{name}:latest" for name in row.secrets})
    build_account = f"projects/{target.project}/serviceAccounts/{target.account(BUILD_ACCOUNT)}"
    return Step(
        purpose=f"The function {row.name}.",
        command=gcloud(
            target,
            *("functions", "deploy", row.name, "--gen2", "--source=.", "--trigger-http"),
            *(f"--runtime={RUNTIME}", f"--entry-point={row.name}", f"--region={target.region}"),
            *(f"--memory={row.memory}", f"--cpu={row.cpu}"),
            *(f"--concurrency={row.concurrency}", f"--timeout={row.timeout_seconds}s"),
            *(f"--service-account={target.account(row.name)}", f"--build-service-account={build_account}"),
            f"--set-env-vars={pairs(variables)}",
            f"--set-secrets={secrets}" if secrets else "--clear-secrets",
            "--allow-unauthenticated" if row.public else "--no-allow-unauthenticated",
        ),
    )


def subscribed(target: Target, row: Function) -> Iterator[Step]:
    """The function, and the subscription that calls it with its events, its ticks or dead letters."""
    url = target.function_url(row)
    settings = (
        # The path tells functions-framework which topic a raw push comes from. The audience is the function's: the
        # whole endpoint, which is the default, is nothing Cloud Run knows.
        f"--push-endpoint={url}/projects/{target.project}/topics/{row.topic}",
        f"--push-auth-token-audience={url}",
        f"--push-auth-service-account={target.account(PUSH_ACCOUNT)}",
        f"--ack-deadline={row.timeout_seconds}",
        f"--min-retry-delay={row.min_backoff_seconds}s",
        f"--max-retry-delay={row.max_backoff_seconds}s",
        *(
            # Behind dead letters there is nobody: they stay for as long as Pub/Sub keeps anything.
            ("--message-retention-duration=31d",)
            if row.trigger == "dead_letters"
            else (f"--dead-letter-topic={DEAD_LETTER_TOPIC}", f"--max-delivery-attempts={row.delivery_attempts}")
        ),
        # While a function is down its ticks do not pile up: one does the work of all. Shorter is not to be had.
        *(("--message-retention-duration=10m",) if row.trigger == "clock" else ()),
    )
    yield deployed(target, row)
    yield Step(
        purpose=f"Only Pub/Sub calls {row.name}.",
        command=gcloud(
            target,
            *("functions", "add-invoker-policy-binding", row.name, f"--region={target.region}"),
            f"--member=serviceAccount:{target.account(PUSH_ACCOUNT)}",
        ),
    )
    subscriptions = ("pubsub", "subscriptions")
    what = {"clock": "Ticks", "dead_letters": "Dead letters"}.get(row.trigger, "Events")
    yield Step(
        purpose=f"{what} for {row.name}.",
        unless=gcloud(target, *subscriptions, "update", row.name, *settings),
        command=gcloud(
            target,
            *(*subscriptions, "create", row.name, f"--topic={row.topic}"),
            *((f"--message-filter={row.filter}",) if row.filter else ()),
            *(*settings, "--expiration-period=never"),
        ),
    )
    if row.trigger == "dead_letters":
        return
    delete = f"gcloud pubsub subscriptions delete {row.name} --project={target.project}"
    yield Step(
        purpose=f"They are those that {row.name} handles. The filter of a subscription cannot be changed.",
        command=gcloud(target, *subscriptions, "describe", row.name, "--format=value(filter)"),
        prints=row.filter,
        hint=(
            f"Replace it, and deploy again, which makes it anew.\n{delete}"
            if row.trigger == "clock"
            else "Replace it. Nothing is lost: the topic keeps 7 days, and an event that was seen before changes "
            f"nothing.\n{delete}\n"
            "Deploy again, which makes it anew, and then have the last day delivered once more:\n"
            f"gcloud pubsub subscriptions seek {row.name} --time=-p1d --project={target.project}"
        ),
    )
    yield role_on(
        target,
        *(*subscriptions, row.name),
        account=target.pubsub_agent,
        role="pubsub.subscriber",
        purpose=f"Pub/Sub takes dead letters off the subscription of {row.name}.",
    )


def scheduled(target: Target, row: Function) -> Step:
    """What sends a function its ticks. The filter of its subscription looks at the attribute; nobody reads the body."""
    jobs, where = ("scheduler", "jobs"), f"--location={target.region}"
    topic = f"projects/{target.project}/topics/{CLOCK_TOPIC}"
    settings = (f"--schedule={row.schedule}", "--time-zone=Etc/UTC", f"--topic={topic}", "--message-body=tick")
    attributes = f"attributes=function={row.name}"
    return Step(
        purpose=f"The clock of {row.name}.",
        unless=gcloud(target, *jobs, "update", "pubsub", row.name, where, *settings, f"--update-{attributes}"),
        command=gcloud(target, *jobs, "create", "pubsub", row.name, where, *settings, f"--{attributes}"),
    )
