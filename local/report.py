"""What the demo prints: the story, what was received, what each function did, and what is in Firestore now."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from functions import paths
from functions.mail.table import BY_NAME
from functions.topology import SUBSCRIBERS
from local.account import Account
from local.sender import Answer
from local.story import Purchase, Story

Json = dict[str, Any]
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


def report(story: Story, result: Result) -> Iterable[Any]:
    """What there is to print, from top to bottom."""
    told = [*(purchase.told for purchase in story.purchases), *(followed.told for followed in story.followed)]
    yield Panel(
        Group(*(Text(f"{number}. {line}") for number, line in enumerate(told, 1))),
        title="The story",
        title_align="left",
        box=box.ROUNDED,
    )
    yield _received(story.account, result)
    yield _functions(result)
    yield _index(result.documents)
    yield _customers(result.documents)
    yield _orders(story.purchases, result.documents)
    yield _subscriptions(story, result.documents)
    yield _mails(result.documents)


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
    names = [row.name for row in SUBSCRIBERS]
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
        order = order_of(purchase, documents) or {}
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


def _subscriptions(story: Story, documents: dict[str, Json]) -> Table:
    table = _table(
        "subscriptions",
        "subscription",
        "status",
        "plan",
        "renews or ended",
        "invoices",
        "user",
        "has access to",
        numbers=("invoices",),
    )
    for followed in story.followed:
        for path, found in sorted(documents.items()):
            if not path.startswith(f"{paths.customer(followed.customer)}/subscriptions/"):
                continue
            day = datetime.fromtimestamp(found["ended_at"] or found["current_period_end"], UTC).date().isoformat()
            invoices = [
                each
                for other, each in documents.items()
                if "/invoices/" in other and each["subscription"] == found["id"]
            ]
            statuses = Counter(each["status"] for each in invoices)
            table.add_row(
                found["id"],
                found["status"],
                ", ".join(item["lookup_key"] for item in found["items"]),
                day,
                ", ".join(f"{count} {status}" for status, count in statuses.items()),
                followed.user_id,
                ", ".join(documents.get(paths.user(followed.user_id), {}).get("plans", ())),
            )
    return table


def _mails(documents: dict[str, Json]) -> Table:
    table = _table("mail: what the Trigger Email extension sends", "mail", "to", "subject")
    for column, width in zip(table.columns, (15, 22), strict=False):
        column.min_width = width
    order = list(BY_NAME)
    mails = [found for path, found in documents.items() if path.startswith("mail/")]
    for mail in sorted(mails, key=lambda each: (each["audience"], order.index(each["mail"]), each["to"])):
        table.add_row(mail["mail"], mail["to"][0], mail["message"]["subject"])
    return table


def _owner(order: Json, documents: dict[str, Json]) -> str | None:
    """The user of the order's customer: an order belongs to whoever its customer belongs to."""
    customer = documents.get(paths.customer(order.get("customer", "")), {})
    owner: str | None = customer.get("user_id")
    return owner


def order_of(purchase: Purchase, documents: dict[str, Json]) -> Json | None:
    """The order of a purchase, wherever its customer is."""
    return next((found for path, found in documents.items() if path.endswith(f"/orders/{purchase.session}")), None)
