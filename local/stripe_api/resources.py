"""THE table: every resource of the local Stripe API. To serve another one, add a row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind of object: GET /v1/{path}/{id}, and what else Stripe offers for it."""

    #: The value of the field `object`.
    object: str
    path: str
    #: Query parameters of the list that compare a field of the same name. None: there is no list.
    #: `created` and its ranges come with every list.
    filters: frozenset[str] | None = None
    #: Those of the filters that are `true` or `false`.
    flags: frozenset[str] = frozenset()
    #: Flags that no field says: parameter -> what it is of an object.
    judged: Mapping[str, Callable[[Mapping[str, Any]], bool]] = field(default_factory=dict)
    #: Query parameters of the list that take several values, any of which may stand in a field: parameter -> field.
    choices: Mapping[str, str] = field(default_factory=dict)
    #: Fields besides `metadata` that /search understands. None: there is no search.
    search_fields: frozenset[str] | None = None
    #: Of a list that leaves out what has one value of a field unless that field is filtered by: field -> that value.
    #: `all` then names every value.
    hidden: Mapping[str, str] = field(default_factory=dict)
    #: Lists of other objects that name this one, at /v1/{path}/{id}/{name}: name -> (their `object`, their field).
    related: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    #: Lists that belong to the object, served page by page at /v1/{path}/{id}/{name}: name -> `object` of the items.
    sublists: Mapping[str, str] = field(default_factory=dict)
    #: Fields that Stripe leaves out unless they are expanded. Expanded, one that was never put in is null.
    on_request: frozenset[str] = frozenset()
    #: What Stripe calls the id in the `param` of a 404.
    id_param: str = "id"


RESOURCES = (
    Resource(
        object="customer",
        path="customers",
        filters=frozenset({"email"}),
        search_fields=frozenset({"email", "name", "phone"}),
        related={"payment_methods": ("payment_method", "customer")},
    ),
    Resource(
        object="checkout.session",
        path="checkout/sessions",
        filters=frozenset({"customer", "payment_intent", "subscription", "payment_link", "status"}),
        sublists={"line_items": "item"},
        id_param="session",
    ),
    Resource(object="charge", path="charges", filters=frozenset({"customer", "payment_intent"})),
    Resource(object="refund", path="refunds"),
    Resource(object="dispute", path="disputes", filters=frozenset({"charge", "payment_intent"}), id_param="dispute"),
    Resource(
        object="subscription",
        path="subscriptions",
        filters=frozenset({"customer", "status", "collection_method"}),
        hidden={"status": "canceled"},
        id_param="id",
    ),
    Resource(object="subscription_item", path="subscription_items", filters=frozenset({"subscription"})),
    Resource(
        object="invoice", path="invoices", filters=frozenset({"customer", "subscription", "status"}), id_param="invoice"
    ),
    Resource(
        object="invoice_payment",
        path="invoice_payments",
        filters=frozenset({"invoice", "status", "payment[type]", "payment[payment_intent]"}),
    ),
    Resource(object="payment_method", path="payment_methods", filters=frozenset({"customer", "type"})),
    Resource(
        object="price",
        path="prices",
        filters=frozenset({"product", "active", "currency", "type"}),
        flags=frozenset({"active"}),
        choices={"lookup_keys": "lookup_key"},
        on_request=frozenset({"tiers", "currency_options"}),
        id_param="price",
    ),
    Resource(object="product", path="products", filters=frozenset({"active"}), flags=frozenset({"active"})),
    Resource(
        object="event",
        path="events",
        filters=frozenset({"type"}),
        # Delivered is what every endpoint has taken.
        judged={"delivery_success": lambda event: not event.get("pending_webhooks")},
    ),
    Resource(object="payment_intent", path="payment_intents", id_param="intent"),
)

BY_OBJECT = {resource.object: resource for resource in RESOURCES}
