"""Events as endpoints of older API versions receive them: what each version moved, moved back.

Only moves that Stripe's changelog names and recorded payloads confirm are known here. An event that an older version
could not have said at all raises ValueError, so that no test compares with something that never existed.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

Json = dict[str, Any]

OLDEST, NEWEST, UNKNOWN = "2020-03-02", "2026-10-28.endive", "2031-01-01.zzz"
#: Each that moved something, one between them, and one that does not exist yet.
VERSIONS = (
    OLDEST,
    "2020-08-27",
    "2022-08-01",
    "2022-11-15",
    "2024-04-10",
    "2025-03-31.basil",
    "2025-09-30.clover",
    "2026-03-25.dahlia",
    NEWEST,
    UNKNOWN,
)


def as_of_version(event: Mapping[str, Any], version: str) -> Json:
    """A copy of a snapshot event of today's shape, as an endpoint of that version would receive it."""
    older: Json = copy.deepcopy(dict(event))
    older["api_version"] = version
    kind = older["data"]["object"]["object"]
    for since, moved, move_back in _MOVES:
        if version < since and kind == moved:
            move_back(older["data"])
    return older


def with_plan_only(event: Mapping[str, Any]) -> Json:
    """The event in its oldest form, from before `plan` had `price` beside it. A plan has no lookup key."""
    older = as_of_version(event, OLDEST)
    for item in _items(older["data"]):
        del item["price"]
    return older


def _plan_beside_price(data: Json) -> None:
    for item in _items(data):
        price = item["price"]
        item["plan"] = {
            "id": price["id"],
            "object": "plan",
            "active": price["active"],
            "amount": price["unit_amount"],
            "billing_scheme": price["billing_scheme"],
            "currency": price["currency"],
            "interval": price["recurring"]["interval"],
            "interval_count": price["recurring"]["interval_count"],
            "metadata": price["metadata"],
            "product": price["product"],
            "usage_type": price["recurring"]["usage_type"],
        }
    for part in _parts(data):
        if "items" in part and len(part["items"]["data"]) == 1:
            part["plan"] = copy.deepcopy(part["items"]["data"][0]["plan"])
    _drop_unchanged(data, "plan")


def _coupon_out_of_its_source(data: Json) -> None:
    for part in _parts(data):
        for discount in [*part.get("discounts", ()), part.get("discount")]:
            if isinstance(discount, dict):
                discount["coupon"] = discount.pop("source")["coupon"]


def _periods_to_the_subscription(data: Json) -> None:
    for part in _parts(data):
        if "items" in part:
            keys = ("current_period_start", "current_period_end")
            periods = {tuple(item.pop(key) for key in keys) for item in part["items"]["data"]}
            if len(periods) != 1:
                raise ValueError("before 2025-03-31.basil all items of a subscription have one period")
            part |= dict(zip(keys, periods.pop(), strict=True))
    _drop_unchanged(data, "items", "current_period_start", "current_period_end")


def _one_discount(data: Json) -> None:
    for part in _parts(data):
        if "discounts" in part:
            part["discount"] = next(iter(part.pop("discounts")), None)


def _invoice_without_parent(data: Json) -> None:
    invoice = data["object"]
    details = (invoice.pop("parent") or {}).get("subscription_details", {})
    is_paid = invoice["status"] == "paid"
    charged = invoice["id"].removeprefix("in_") if is_paid and invoice["amount_paid"] else None
    invoice |= {
        "subscription": details.get("subscription"),
        "charge": charged and f"ch_{charged}",
        "payment_intent": charged and f"pi_{charged}",
        "paid": is_paid,
        "tax": None,
    }


def _charge_with_invoice(data: Json) -> None:
    # The charges of the local account pay Checkout Sessions, which have none.
    data["object"]["invoice"] = None


def _sources_expanded(data: Json) -> None:
    url = f"/v1/customers/{data['object']['id']}/sources"
    data["object"]["sources"] = {"object": "list", "data": [], "has_more": False, "total_count": 0, "url": url}


#: The version that moved something, the object it was moved in, and how to move it back. The newest first.
_MOVES: tuple[tuple[str, str, Callable[[Json], None]], ...] = (
    # Events of the version before the newest still carry `plan`.
    (NEWEST, "subscription", _plan_beside_price),
    ("2025-09-30.clover", "subscription", _coupon_out_of_its_source),
    ("2025-09-30.clover", "customer", _coupon_out_of_its_source),
    ("2025-03-31.basil", "subscription", _periods_to_the_subscription),
    ("2025-03-31.basil", "subscription", _one_discount),
    ("2025-03-31.basil", "invoice", _invoice_without_parent),
    ("2025-03-31.basil", "charge", _charge_with_invoice),
    ("2020-08-27", "customer", _sources_expanded),
)


def _parts(data: Json) -> list[Json]:
    """Where a field can stand: the object as it is, and what is said of it as it was."""
    return [data["object"], *([data["previous_attributes"]] if data.get("previous_attributes") else [])]


def _items(data: Json) -> list[Json]:
    return [item for part in _parts(data) for item in part.get("items", {}).get("data", ())]


def _drop_unchanged(data: Json, *keys: str) -> None:
    """Among the previous attributes are only those that are different now."""
    before = data.get("previous_attributes", {})
    for key in keys:
        if key in before and before[key] == data["object"][key]:
            del before[key]
