"""`make demo`: the story through the real system, and what came of it, printed."""

import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from functions import paths
from functions.topology import FUNCTIONS
from local.account import Account
from local.processes import NotStarted
from local.sender import Answer, send
from local.story import Purchase, tell
from local.system import System, running
from local.up import LOCAL, settings

Json = dict[str, Any]
_SUBSCRIBERS = [row for row in FUNCTIONS if row.trigger == "events"]
_OUTCOMES = {
    "applied": "applied",
    "duplicate": "duplicate: already reflected",
    "stale": "stale: something newer was there",
    "ignored": "ignored: not its type, or nothing new",
    "retry": "failed for now, came again",
    "parked": "parked",
}


@dataclass(frozen=True, slots=True)
class Result:
    """What the story left behind."""

    answers: list[Answer]
    done: list[Json]
    documents: dict[str, Json]
    seconds: float


def main() -> int:
    """Tell the story, print what came of it. Returns 0, or 1 with the reason."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    account, purchases = tell(now=int(time.time()) - 86_400)
    try:
        console.print("Starting Google's Firestore and Pub/Sub emulators, every function and a local Stripe API …")
        started = time.perf_counter()
        # The demo is the same for everybody: a key in .env does not make it talk to Stripe.
        environ = {key: value for key, value in settings().items() if not key.startswith("STRIPE_")}
        with running(environ, log_directory=LOCAL / "logs") as system:
            console.print(f"Up after {time.perf_counter() - started:.1f} s.\n")
            result = _deliver(system, account)
    except KeyboardInterrupt:
        return 130
    except (NotStarted, TimeoutError) as problem:
        console.print(f"[bold red]The demo failed.[/] {problem}", soft_wrap=True)
        return 1
    console.print(*_report(account, purchases, result), sep="\n")
    if reasons := list(_wrong(account, purchases, result)):
        console.print("[bold red]Not as it should be:[/]", *reasons, sep="\n  ")
        return 1
    console.print(
        f"[bold green]Every event of the story is where it belongs[/]: {len(account.events)} events, each delivered "
        f"twice and shuffled, in {result.seconds:.1f} s.\nNext: [bold]make up[/] keeps the system running, "
        "[bold]README.md[/] says how to send it your own events."
    )
    return 0


def _deliver(system: System, account: Account) -> Result:
    """Every event twice, in any order, over real HTTP; returns when every function has dealt with all of them."""
    assert system.stripe_api is not None  # noqa: S101 the demo runs without a key
    system.stripe_api.put(account.api_objects())
    deliveries = account.events * 2
    random.shuffle(deliveries)
    started = time.perf_counter()
    answers = send(system.webhook_url, system.webhook_secret, deliveries)
    done = system.settled(sum(answer.status == 200 for answer in answers))
    seconds = time.perf_counter() - started
    return Result(answers, done, dict(_all_documents(system)), seconds)


def _all_documents(system: System) -> Iterable[tuple[str, Json]]:
    client = system.firestore()
    for name in ("customers", "customer_index", "users", "payments", "parked_events"):
        for document in client.collection(name).stream():
            yield f"{name}/{document.id}", document.to_dict() or {}
    for order in client.collection_group("orders").stream():
        yield order.reference.path, order.to_dict() or {}


def _report(account: Account, purchases: Sequence[Purchase], result: Result) -> Iterable[Any]:
    yield Panel(
        Group(*(Text(f"{number}. {purchase.told}") for number, purchase in enumerate(purchases, 1))),
        title="The story",
        title_align="left",
        box=box.ROUNDED,
    )
    yield _received(account, result)
    yield _functions(result)
    yield _index(result.documents)
    yield _customers(result.documents)
    yield _orders(purchases, result.documents)


def _table(title: str, *columns: str, numbers: Sequence[str] = ()) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", no_wrap=column != "bought")
    return table


def _received(account: Account, result: Result) -> Table:
    table = _table("Received by stripe_webhook", "event type", "events", "deliveries", numbers=("events", "deliveries"))
    for event_type, count in sorted(Counter(event["type"] for event in account.events).items()):
        table.add_row(event_type, str(count), str(2 * count))
    statuses = Counter(answer.status for answer in result.answers)
    slowest = max(answer.seconds for answer in result.answers) * 1000
    table.caption = "answered " + ", ".join(f"{n} × {status}" for status, n in statuses.items())
    table.caption += f", the slowest after {slowest:.0f} ms"
    table.caption_justify = "left"
    return table


def _functions(result: Result) -> Table:
    names = [row.name for row in _SUBSCRIBERS]
    table = _table("What each function did with them", "deliveries", *names, numbers=names)
    by_function = [[line for line in result.done if line["function"] == name] for name in names]
    for outcome, told in _OUTCOMES.items():
        counts = [sum(line["outcome"] == outcome for line in lines) for lines in by_function]
        if any(counts) or outcome == "parked":
            table.add_row(told, *map(str, counts))
    table.add_section()
    for key, told in (
        ("reads", "documents read"),
        ("writes", "documents written"),
        ("stripe_calls", "calls to Stripe"),
    ):
        table.add_row(told, *(str(sum(line[key] for line in lines)) for lines in by_function))
    applied = [sorted(line["milliseconds"] for line in lines if line["outcome"] == "applied") for lines in by_function]
    table.add_row("median ms to apply", *(f"{times[len(times) // 2]:.0f}" if times else "–" for times in applied))
    return table


def _index(documents: dict[str, Json]) -> Table:
    table = _table(
        "customer_index: one read from any identity to its customer", "key", "primary", "of", numbers=("of",)
    )
    for path, entry in sorted(documents.items()):
        if path.startswith("customer_index/"):
            table.add_row(path.removeprefix("customer_index/"), entry["primary"], str(len(entry["customers"])))
    return table


def _customers(documents: dict[str, Json]) -> Table:
    table = _table("customers", "id", "name", "email", "user", "linked by")
    for path, customer in sorted(documents.items()):
        if path.startswith("customers/") and path.count("/") == 1:
            user = customer["user_id"] or "not linked"
            table.add_row(
                path.removeprefix("customers/"), customer["name"], customer["email"], user, customer["linked_by"] or "–"
            )
    return table


def _orders(purchases: Sequence[Purchase], documents: dict[str, Json]) -> Table:
    table = _table(
        "orders", "order", "status", "bought", "total", "refunded", "user", "via", numbers=("total", "refunded")
    )
    for purchase in purchases:
        order = _order(purchase, documents) or {}
        lines = "\n".join(f"{line['quantity']} × {line['description']}" for line in order.get("line_items", ()))
        table.add_row(
            purchase.session,
            order.get("status", "missing"),
            lines,
            f"¥{order.get('amount_total', 0):,}",
            f"¥{order.get('amount_refunded', 0):,}",
            _owner(order, documents) or "–",
            order.get("source"),
        )
    return table


def _owner(order: Json, documents: dict[str, Json]) -> str | None:
    """The user of the order's customer: an order belongs to whoever its customer belongs to."""
    customer = documents.get(paths.customer(order.get("customer", "")), {})
    owner: str | None = customer.get("user_id")
    return owner


def _order(purchase: Purchase, documents: dict[str, Json]) -> Json | None:
    return next((found for path, found in documents.items() if path.endswith(f"/orders/{purchase.session}")), None)


def _wrong(account: Account, purchases: Sequence[Purchase], result: Result) -> Iterable[str]:
    """Everything that is not as the story has to end; nothing when all is well."""
    for answer in {(answer.status, answer.body) for answer in result.answers if answer.status != 200}:
        yield f"the webhook answered {answer[0]}: {answer[1]}"
    for path, parked in result.documents.items():
        if path.startswith("parked_events/"):
            yield f"{path}: {parked['reason']}"
    for purchase in purchases:
        order = _order(purchase, result.documents)
        if order is None:
            yield f"{purchase.session} has no order"
            continue
        lines = tuple((line["description"], line["quantity"]) for line in order["line_items"])
        found = (order["status"], order["amount_total"], lines, order["user_id"])
        if found != (purchase.status, purchase.amount_total, purchase.lines, purchase.user_id):
            yield f"{purchase.session} is {found}"
        if result.documents[paths.customer(order["customer"])]["email"] is None:
            yield f"{order['customer']} has no email"
    for user in filter(None, (purchase.user_id for purchase in purchases)):
        if not result.documents.get(paths.user(user), {}).get("customers"):
            yield f"{user} has no customer"
    for thing in account.objects.values():
        if thing["object"] == "customer" and paths.customer(thing["id"]) not in result.documents:
            yield f"{thing['id']} is not recorded"


if __name__ == "__main__":
    sys.exit(main())
