"""`make demo`: the story through the real system, and what came of it, printed."""

import os
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping

from rich.console import Console

from functions import paths
from functions.topology import FUNCTIONS
from local.billing import DAY
from local.passing import Passing
from local.processes import NotStarted
from local.report import Json, Result, order_of, report
from local.sender import Answer, send
from local.story import Purchase, Story, expected_mails, tell
from local.system import System, running
from local.up import LOCAL


def main() -> int:
    """Tell the story, print what came of it. Returns 0, or 1 with the reason."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    story = tell(now=int(time.time()) - 600 * DAY)
    try:
        console.print("Starting Google's Firestore and Pub/Sub emulators, every function and a local Stripe API …")
        started = time.perf_counter()
        # The demo is the same for everybody: no setting of .env changes it, and no earlier run is in its way.
        own = {name for row in FUNCTIONS for name in (*row.variables, *row.secrets)}
        environ = {key: value for key, value in os.environ.items() if key not in own}
        # The story lies months back, when its mails were not late.
        environ |= {"BRAND_NAME": "喫茶 山猫", "SUPPORT_EMAIL": "support@example.com", "MAIL_MAX_AGE": "3650d"}
        environ |= {"MAIL_FOOTER": "株式会社山猫 | 東京都台東区松が谷9-9-9"}
        project = f"demo-{secrets.token_hex(4)}"
        with running(environ, log_directory=LOCAL / "logs" / "demo", project=project) as system:
            console.print(f"Up after {time.perf_counter() - started:.1f} s.\n")
            result = _deliver(system, story, system.environment | environ)
    except KeyboardInterrupt:
        return 130
    except (NotStarted, TimeoutError) as problem:
        console.print(f"[bold red]The demo failed.[/] {problem}", soft_wrap=True)
        return 1
    console.print(*report(story, result), sep="\n")
    if reasons := list(_wrong(story, result)):
        console.print("[bold red]Not as it should be:[/]", *reasons, sep="\n  ")
        return 1
    console.print(
        f"[bold green]Every event of the story is where it belongs[/]: {len(story.account.events)} events, each "
        f"delivered twice and in any order within its hour, in {result.seconds:.1f} s.\n"
        "Next: [bold]make up[/] keeps the system running, [bold]make mail[/] shows every mail, "
        "[bold]README.md[/] says how to send it your own events."
    )
    return 0


def _deliver(system: System, story: Story, environ: Mapping[str, str]) -> Result:
    """Chapter by chapter, with the time between them: every event twice and in any order, over real HTTP.

    Returns when every function has dealt with all of them.
    """
    assert system.stripe_api is not None  # noqa: S101 the demo runs without a key
    answers: list[Answer] = []
    started = time.perf_counter()
    done: list[Json] = []
    passing = Passing({**os.environ, **environ}, system.firestore(), lambda *_, **__: None)
    for chapter in story.chapters:
        # First what became due before it, then what happened.
        passing.until(min(event["created"] for event in chapter.events))
        system.stripe_api.put(chapter.objects)
        deliveries = chapter.events * 2
        random.shuffle(deliveries)
        answers += send(system.webhook_url, system.webhook_secret, deliveries)
        done = system.settled(sum(answer.status == 200 for answer in answers))
    return Result(answers, done, dict(_all_documents(system)), time.perf_counter() - started)


def _all_documents(system: System) -> Iterable[tuple[str, Json]]:
    client = system.firestore()
    for name in ("customers", "customer_index", "users", "payments", "parked_events", "mail"):
        for document in client.collection(name).stream():
            yield f"{name}/{document.id}", document.to_dict() or {}
    for name in ("orders", "subscriptions", "invoices", "payment_methods"):
        for nested in client.collection_group(name).stream():
            yield nested.reference.path, nested.to_dict() or {}


def _wrong(story: Story, result: Result) -> Iterable[str]:
    """Everything that is not as the story has to end; nothing when all is well."""
    for status, body in {(answer.status, answer.body) for answer in result.answers if answer.status != 200}:
        yield f"the webhook answered {status}: {body}"
    for path, document in result.documents.items():
        if path.startswith("parked_events/"):
            yield f"{path}: {document['reason']}"
    for thing in story.account.objects.values():
        if thing["object"] == "customer" and paths.customer(thing["id"]) not in result.documents:
            yield f"{thing['id']} is not recorded"
    for purchase in story.purchases:
        yield from _wrong_order(purchase, result.documents)
    for followed in story.followed:
        found = result.documents.get(paths.subscription(followed.customer, followed.subscription), {})
        plans = result.documents.get(paths.user(followed.user_id), {}).get("plans")
        if (found.get("status"), plans) != (followed.status, list(followed.plans)):
            yield f"{followed.subscription} is {found.get('status')}, and {followed.user_id} has {plans}"
    expected = expected_mails(story)
    found_mails = Counter(
        (mail["mail"], mail["audience"]) for path, mail in result.documents.items() if path.startswith("mail/")
    )
    for (name, audience), count in sorted(((expected - found_mails) + (found_mails - expected)).items()):
        yield f"{count} mails too few or too many: {name} to {audience}"


def _wrong_order(purchase: Purchase, documents: dict[str, Json]) -> Iterable[str]:
    order = order_of(purchase, documents)
    if order is None:
        yield f"{purchase.session} has no order"
        return
    lines = tuple((line["description"], line["quantity"]) for line in order["line_items"])
    found = (order["status"], order["amount_total"], lines, order["user_id"])
    if found != (purchase.status, purchase.amount_total, purchase.lines, purchase.user_id):
        yield f"{purchase.session} is {found}"
    # Whoever never completed a purchase is not recorded.
    if order["status"] != "expired" and documents[paths.customer(order["customer"])]["email"] is None:
        yield f"{order['customer']} has no email"
    if purchase.user_id and not documents.get(paths.user(purchase.user_id), {}).get("customers"):
        yield f"{purchase.user_id} has no customer"


if __name__ == "__main__":
    sys.exit(main())
