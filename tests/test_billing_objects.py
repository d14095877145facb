"""Subscriptions, invoices and payment methods as facts: what may be missing, and Malformed by name where it may not."""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.errors import Malformed
from functions.reactions import track_subscriptions
from functions.stripe_events import Invoice, PaymentMethod, Subscription, SubscriptionItem
from local.billing import BillingAccount
from tests.driving import World

Json = dict[str, Any]
T = TypeVar("T")
Facts = Subscription | SubscriptionItem | Invoice | PaymentMethod

INT64 = 2**63
START = 1_790_000_000

PRICE: Json = {
    "id": "price_1",
    "object": "price",
    "active": True,
    "currency": "jpy",
    "lookup_key": "pro",
    "product": "prod_1",
    "recurring": {"interval": "month", "interval_count": 3, "usage_type": "licensed"},
    "unit_amount": 3000,
}
ITEM: Json = {
    "id": "si_1",
    "object": "subscription_item",
    "current_period_end": START + 300,
    "current_period_start": START + 200,
    "price": PRICE,
    "quantity": 2,
    "subscription": "sub_1",
}
SUBSCRIPTION: Json = {
    "id": "sub_1",
    "object": "subscription",
    "cancel_at": START + 900,
    "cancel_at_period_end": True,
    "canceled_at": START + 100,
    "collection_method": "charge_automatically",
    "created": START,
    "currency": "jpy",
    "customer": "cus_1",
    "default_payment_method": "pm_1",
    "default_source": "card_1",
    "ended_at": START + 901,
    "cancellation_details": {"comment": None, "feedback": None, "reason": "payment_failed"},
    "items": {"object": "list", "data": [ITEM], "has_more": False, "url": "/v1/subscription_items"},
    "latest_invoice": "in_1",
    "livemode": False,
    "metadata": {"seat": "1"},
    "pause_collection": {"behavior": "void", "resumes_at": None},
    "start_date": START + 1,
    "status": "active",
    "trial_end": START + 200,
    "trial_start": START + 2,
}
INVOICE: Json = {
    "id": "in_1",
    "object": "invoice",
    "amount_due": 6000,
    "amount_paid": 5000,
    "amount_remaining": 1000,
    "attempt_count": 2,
    "billing_reason": "subscription_cycle",
    "collection_method": "send_invoice",
    "created": START,
    "currency": "jpy",
    "customer": "cus_1",
    "due_date": START + 1,
    "hosted_invoice_url": "https://invoice.stripe.com/i/1",
    "invoice_pdf": "https://pay.stripe.com/i/1/pdf",
    "livemode": False,
    "next_payment_attempt": START + 2,
    "number": "N-0001",
    "parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_1", "metadata": {}}},
    "period_end": START + 4,
    "period_start": START + 3,
    "status": "open",
    "status_transitions": {"finalized_at": START, "paid_at": START + 5, "voided_at": None},
    "subtotal": 5900,
    "total": 6100,
}
PAYMENT_METHOD: Json = {
    "id": "pm_1",
    "object": "payment_method",
    "billing_details": {"email": "hana@example.com", "name": "Hana"},
    "card": {"brand": "visa", "last4": "4242", "exp_month": 8, "exp_year": 2030, "country": "JP"},
    "created": START,
    "customer": "cus_1",
    "livemode": False,
    "type": "card",
}
#: A card of the Sources API, as `customer.source.expiring` brings it.
CARD: Json = {
    "id": "card_1",
    "object": "card",
    "brand": "Visa",
    "customer": "cus_1",
    "exp_month": 8,
    "exp_year": 2030,
    "last4": "4242",
}

OF: Mapping[str, Callable[[Mapping[str, Any]], Facts]] = {
    "subscription": Subscription.of,
    "subscription_item": lambda item: SubscriptionItem.of(item, {}),
    "invoice": Invoice.of,
    "payment_method": PaymentMethod.of,
    "card": PaymentMethod.of,
}
WHOLE = (SUBSCRIPTION, ITEM, INVOICE, PAYMENT_METHOD, CARD)
EVERY_KIND = pytest.mark.parametrize("whole", WHOLE, ids=list(OF))
#: What nothing can be decided without.
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "subscription": ("id", "customer", "status", "items"),
    "subscription_item": ("id", "price"),
    "invoice": ("id", "status", "amount_due", "amount_paid"),
    "payment_method": ("id",),
    "card": ("id",),
}
#: Where a fact is found: the object, and the way to the field.
Place = tuple[Json, tuple[str, ...]]
TEXTS: tuple[Place, ...] = (
    *((SUBSCRIPTION, (key,)) for key in ("id", "status", "collection_method", "currency")),
    (SUBSCRIPTION, ("pause_collection", "behavior")),
    (ITEM, ("id",)),
    *((ITEM, ("price", key)) for key in ("id", "lookup_key", "currency")),
    (ITEM, ("price", "recurring", "interval")),
    *((INVOICE, (key,)) for key in ("id", "status", "number", "billing_reason", "collection_method", "currency")),
    *((INVOICE, (key,)) for key in ("hosted_invoice_url", "invoice_pdf")),
    *((PAYMENT_METHOD, (key,)) for key in ("id", "type")),
    *((PAYMENT_METHOD, ("card", key)) for key in ("brand", "last4")),
    *((CARD, (key,)) for key in ("id", "brand", "last4")),
)
NUMBERS: tuple[Place, ...] = (
    *((SUBSCRIPTION, (key,)) for key in ("trial_start", "trial_end", "cancel_at", "canceled_at", "ended_at")),
    *((SUBSCRIPTION, (key,)) for key in ("start_date", "created")),
    *((ITEM, (key,)) for key in ("quantity", "current_period_start", "current_period_end")),
    (ITEM, ("price", "unit_amount")),
    (ITEM, ("price", "recurring", "interval_count")),
    *((INVOICE, (key,)) for key in ("amount_due", "amount_paid", "amount_remaining", "subtotal", "total")),
    *((INVOICE, (key,)) for key in ("attempt_count", "next_payment_attempt", "due_date", "created")),
    *((INVOICE, (key,)) for key in ("period_start", "period_end")),
    (INVOICE, ("status_transitions", "paid_at")),
    (PAYMENT_METHOD, ("created",)),
    *((PAYMENT_METHOD, ("card", key)) for key in ("exp_month", "exp_year")),
    *((CARD, (key,)) for key in ("exp_month", "exp_year", "created")),
)
REFERENCES: tuple[Place, ...] = (
    *((SUBSCRIPTION, (key,)) for key in ("customer", "default_payment_method", "latest_invoice")),
    (ITEM, ("price", "product")),
    (INVOICE, ("customer",)),
    (INVOICE, ("parent", "subscription_details", "subscription")),
    (PAYMENT_METHOD, ("customer",)),
    (CARD, ("customer",)),
)


def with_value(whole: Json, way: tuple[str, ...], value: object) -> Json:
    """A copy with another value at that place."""
    key, *rest = way
    return whole | {key: with_value(whole.get(key) or {}, tuple(rest), value) if rest else value}


def at(whole: Any, way: tuple[Any, ...]) -> Any:
    for key in way:
        whole = whole[key]
    return whole


def read(whole: Json) -> Facts:
    return OF[whole["object"]](whole)


def read_or_refusal(of: Callable[[Json], T], whole: Json) -> T | str:
    """The facts, or why there are none."""
    try:
        return of(whole)
    except Malformed as refused:
        return str(refused)


def each(places: tuple[Place, ...]) -> pytest.MarkDecorator:
    ids = [".".join((whole["object"], *way)) for whole, way in places]
    return pytest.mark.parametrize(("whole", "way"), places, ids=ids)


ITEM_FACTS = SubscriptionItem(
    id="si_1",
    price="price_1",
    product="prod_1",
    lookup_key="pro",
    unit_amount=3000,
    currency="jpy",
    interval="month",
    interval_count=3,
    quantity=2,
    current_period_start=START + 200,
    current_period_end=START + 300,
)


@pytest.mark.parametrize(
    ("whole", "facts"),
    [
        (
            SUBSCRIPTION,
            Subscription(
                id="sub_1",
                customer="cus_1",
                status="active",
                items=(ITEM_FACTS,),
                has_more_items=False,
                trial_start=START + 2,
                trial_end=START + 200,
                cancel_at=START + 900,
                cancel_at_period_end=True,
                canceled_at=START + 100,
                ended_at=START + 901,
                cancellation_reason="payment_failed",
                default_payment_method="pm_1",
                latest_invoice="in_1",
                collection_method="charge_automatically",
                pause_collection="void",
                currency="jpy",
                metadata={"seat": "1"},
                start_date=START + 1,
                created=START,
            ),
        ),
        (ITEM, ITEM_FACTS),
        (
            INVOICE,
            Invoice(
                id="in_1",
                customer="cus_1",
                subscription="sub_1",
                status="open",
                number="N-0001",
                billing_reason="subscription_cycle",
                collection_method="send_invoice",
                currency="jpy",
                amount_due=6000,
                amount_paid=5000,
                amount_remaining=1000,
                subtotal=5900,
                total=6100,
                attempt_count=2,
                next_payment_attempt=START + 2,
                due_date=START + 1,
                hosted_invoice_url="https://invoice.stripe.com/i/1",
                invoice_pdf="https://pay.stripe.com/i/1/pdf",
                period_start=START + 3,
                period_end=START + 4,
                paid_at=START + 5,
                created=START,
            ),
        ),
        (
            PAYMENT_METHOD,
            PaymentMethod(
                id="pm_1",
                customer="cus_1",
                type="card",
                brand="visa",
                last4="4242",
                exp_month=8,
                exp_year=2030,
                created=START,
            ),
        ),
    ],
    ids=["subscription", "subscription_item", "invoice", "payment_method"],
)
def test_an_object_is_read_whole(whole: Json, facts: Facts) -> None:
    assert read(whole) == facts


#: How the Sources API writes a brand, and how payment methods do: the docstrings of `brand` in the SDK's two classes.
BRANDS = {
    "American Express": "amex",
    "Cartes Bancaires": "cartes_bancaires",
    "Diners Club": "diners",
    "Discover": "discover",
    "Eftpos Australia": "eftpos_au",
    "JCB": "jcb",
    "MasterCard": "mastercard",
    "UnionPay": "unionpay",
    "Visa": "visa",
    "Unknown": "unknown",
}


# Both APIs know the same card: `customer.source.expiring` brings the older form, `payment_method.automatically_updated`
# and every fetch the newer one.
def test_a_card_is_of_the_same_brand_in_both_apis() -> None:
    assert {name: PaymentMethod.of(CARD | {"brand": name}).brand for name in BRANDS} == BRANDS


def test_a_card_of_the_sources_api_has_everything_else_alike() -> None:
    older, newer = PaymentMethod.of(CARD | {"id": "pm_1", "created": START}), PaymentMethod.of(PAYMENT_METHOD)
    assert asdict(older) | {"brand": None} == asdict(newer) | {"brand": None}


def test_a_source_of_type_card_is_read_like_a_payment_method() -> None:
    source = PAYMENT_METHOD | {"object": "source"}
    assert PaymentMethod.of(source) == PaymentMethod.of(PAYMENT_METHOD)


def test_a_payment_method_that_is_no_card_has_no_expiry() -> None:
    konbini = {"id": "pm_1", "object": "payment_method", "type": "konbini", "konbini": {}, "customer": "cus_1"}
    found = PaymentMethod.of(konbini)
    assert (found.type, found.brand, found.last4, found.exp_month, found.exp_year) == ("konbini", *[None] * 4)


# What can be missing


@EVERY_KIND
def test_an_optional_field_may_be_missing_or_null(whole: Json) -> None:
    bare = {key: value for key, value in whole.items() if key in {"object", *REQUIRED[whole["object"]]}}
    assert read(bare) == read(dict.fromkeys(whole) | bare)


@pytest.mark.parametrize("missing", [None, "absent"])
@pytest.mark.parametrize(("whole", "key"), [(whole, key) for whole in WHOLE for key in REQUIRED[whole["object"]]])
def test_a_required_field_that_is_missing_is_named(whole: Json, key: str, missing: str | None) -> None:
    lacking = {name: value for name, value in whole.items() if name != key} if missing else whole | {key: None}
    with pytest.raises(Malformed, match=rf"^{whole['object'].replace('_', '.')} has no {key}$"):
        read(lacking)


@pytest.mark.parametrize("price", [{}, {"id": None}, {"id": ""}, ""])
def test_an_item_whose_price_has_no_id_has_no_price(price: object) -> None:
    with pytest.raises(Malformed, match=r"^subscription item has no price$"):
        read(ITEM | {"price": price})


@pytest.mark.parametrize("key", ["customer", "status", "id"])
def test_an_empty_text_is_a_missing_one(key: str) -> None:
    with pytest.raises(Malformed, match=f"^subscription has no {key}$"):
        read(SUBSCRIPTION | {key: ""})


@pytest.mark.parametrize("data", [None, {}, 5, [None], [ITEM, "si_2"]])
def test_items_that_are_no_list_of_objects_are_named(data: object) -> None:
    with pytest.raises(Malformed, match=r"^subscription has no items$"):
        read(SUBSCRIPTION | {"items": {"object": "list", "data": data}})


def test_a_subscription_may_have_no_items() -> None:
    assert Subscription.of(with_value(SUBSCRIPTION, ("items", "data"), [])).items == ()


def test_an_item_of_a_subscription_is_refused_like_one_of_its_own() -> None:
    lacking = with_value(SUBSCRIPTION, ("items", "data"), [ITEM, ITEM | {"id": None}])
    with pytest.raises(Malformed, match=r"^subscription_item has no id$"):
        read(lacking)


def test_the_card_on_file_of_an_early_subscription_is_its_default_source() -> None:
    assert Subscription.of(SUBSCRIPTION | {"default_payment_method": None}).default_payment_method == "card_1"


@pytest.mark.parametrize("currency", [None, "absent"])
def test_the_currency_of_an_early_subscription_is_that_of_its_price(currency: str | None) -> None:
    early = {key: value for key, value in SUBSCRIPTION.items() if key != "currency"}
    assert Subscription.of(early | ({} if currency else {"currency": None})).currency == "jpy"


def test_a_subscription_says_whether_it_has_more_items_than_it_brings() -> None:
    assert Subscription.of(with_value(SUBSCRIPTION, ("items", "has_more"), True)).has_more_items


@pytest.mark.parametrize(
    ("lookup_key", "product", "plan"), [("pro", "prod_1", "pro"), (None, "prod_1", "prod_1"), (None, None, None)]
)
def test_an_item_gives_the_name_of_its_price_else_its_product(
    lookup_key: str | None, product: str | None, plan: str | None
) -> None:
    price = PRICE | {"lookup_key": lookup_key, "product": product}
    assert SubscriptionItem.of(ITEM | {"price": price}, {}).plan == plan


# References


@each(REFERENCES)
def test_an_expanded_reference_reads_like_its_id(whole: Json, way: tuple[str, ...]) -> None:
    expanded = {"id": at(whole, way), "object": way[-1], "deleted": True, "metadata": {}}
    assert read(with_value(whole, way, expanded)) == read(whole)


@each(REFERENCES)
@pytest.mark.parametrize("value", [5, True, 1.5, ["a"], {"id": 5}, {"id": ["a"]}])
def test_a_reference_that_is_no_id_is_named(whole: Json, way: tuple[str, ...], value: object) -> None:
    with pytest.raises(Malformed, match=f"^{way[-1]} is not an id$"):
        read(with_value(whole, way, value))


# Impossible values


@each(TEXTS)
@pytest.mark.parametrize("value", [5, True, 1.5, ["a"], {}])
def test_a_text_that_is_none_is_named(whole: Json, way: tuple[str, ...], value: object) -> None:
    with pytest.raises(Malformed, match=f"^{way[-1]} is not a text$"):
        read(with_value(whole, way, value))


@each(NUMBERS)
@pytest.mark.parametrize("value", ["5", 1.0, True, False, INT64, -INT64 - 1, 10**30, float("nan"), [5], {}])
def test_a_number_that_is_not_whole_or_beyond_64_bits_is_named(
    whole: Json, way: tuple[str, ...], value: object
) -> None:
    with pytest.raises(Malformed, match=f"^{way[-1]} is not a whole number$"):
        read(with_value(whole, way, value))


@each(NUMBERS)
@pytest.mark.parametrize("value", [INT64 - 1, -INT64, 0])
def test_every_64_bit_number_is_taken(whole: Json, way: tuple[str, ...], value: int) -> None:
    assert getattr(read(with_value(whole, way, value)), way[-1]) == value


@pytest.mark.parametrize("value", ["true", 1, 0, [], {}])
@pytest.mark.parametrize("way", [("cancel_at_period_end",), ("items", "has_more")], ids=".".join)
def test_a_switch_that_is_none_is_named(way: tuple[str, ...], value: object) -> None:
    with pytest.raises(Malformed, match=f"^{way[-1]} is not true or false$"):
        read(with_value(SUBSCRIPTION, way, value))


@pytest.mark.parametrize("value", [5, True, {}, ["gold"]])
def test_metadata_that_is_no_text_is_named(value: object) -> None:
    with pytest.raises(Malformed, match=r"^metadata holds something that is not a text$"):
        read(SUBSCRIPTION | {"metadata": {"seat": value}})


@each(
    (
        *((SUBSCRIPTION, (key,)) for key in ("items", "metadata", "pause_collection")),
        *((ITEM, way) for way in (("price",), ("price", "recurring"))),
        *((INVOICE, way) for way in (("parent",), ("parent", "subscription_details"), ("status_transitions",))),
        (PAYMENT_METHOD, ("card",)),
    )
)
@pytest.mark.parametrize("value", [5, 0, True, False, 1.5, [], ["a"]])
def test_an_object_inside_that_is_none_is_named(whole: Json, way: tuple[str, ...], value: object) -> None:
    with pytest.raises(Malformed, match=f"^{way[-1]} is not an object$"):
        read(with_value(whole, way, value))


def test_the_message_is_one_line_whatever_the_type_of_a_payment_method_says() -> None:
    said = read_or_refusal(read, PAYMENT_METHOD | {"type": "a\nb", "a\nb": 5})
    assert isinstance(said, str)
    assert is_one_line(said)


# The type of a payment method is also the name of the field with its details.
@each(tuple(place for place in TEXTS if place[1] != ("type",)))
def test_half_a_surrogate_pair_becomes_a_question_mark(whole: Json, way: tuple[str, ...]) -> None:
    fact = {"price.id": "price", "pause_collection.behavior": "pause_collection"}.get(".".join(way), way[-1])
    assert getattr(read(with_value(whole, way, "hana\ud83d")), fact) == "hana?"


# Whatever a payload says


#: Texts with half surrogate pairs and control characters, and numbers beyond 64 bits: JSON can say all of them.
TEXT = st.text(st.characters(exclude_categories=()), max_size=5) | st.sampled_from(["", "card", "a\nb", "\ud800"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([INT64, -INT64 - 1]) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT | st.just("id"), inner, max_size=2),
    max_leaves=4,
)


def places(value: object, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, found in inside:
        yield (*way, key)
        yield from places(found, (*way, key))


@st.composite
def damaged(draw: st.DrawFn, whole: Json) -> Json:
    """An object with up to four values replaced, moved to where others were, or taken away."""
    whole = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 4))):
        if not (ways := list(places(whole))):
            break
        *way, last = draw(st.sampled_from(ways))
        parent = at(whole, tuple(way))
        match draw(st.sampled_from(("replaced", "moved", "gone"))):
            case "replaced":
                parent[last] = draw(VALUES)
            case "moved":
                parent[last] = copy.deepcopy(at(whole, draw(st.sampled_from(ways))))
            case "gone":
                del parent[last]
    return whole


def is_one_line(said: str) -> bool:
    return said != "" and said.isprintable()


def is_storable(value: object) -> bool:
    """Whether Firestore takes it: whole numbers of 64 bits, texts that UTF-8 can carry."""
    match value:
        case dict():
            return all(is_storable(found) for pair in value.items() for found in pair)
        case list() | tuple():
            return all(is_storable(found) for found in value)
        case bool() | None:
            return True
        case int():
            return -INT64 <= value < INT64
        case str():
            return value.encode("utf-8", "ignore").decode() == value
        case _:
            return False


@EVERY_KIND
@settings(max_examples=200)
@given(data=st.data())
def test_a_damaged_object_is_read_or_refused_in_one_line(whole: Json, data: st.DataObject) -> None:
    said = read_or_refusal(OF[whole["object"]], data.draw(damaged(whole)))
    assert is_one_line(said) if isinstance(said, str) else is_storable(asdict(said))


@EVERY_KIND
@given(json=st.dictionaries(st.sampled_from(["id", "object", "items", "price", "card"]) | TEXT, VALUES, max_size=4))
def test_anything_at_all_is_read_or_refused_in_one_line(whole: Json, json: Json) -> None:
    said = read_or_refusal(OF[whole["object"]], json)
    assert is_one_line(said) if isinstance(said, str) else is_storable(asdict(said))


@pytest.mark.parametrize(
    ("event_type", "whole"),
    [
        ("customer.subscription.updated", SUBSCRIPTION),
        ("invoice.paid", INVOICE),
        ("payment_method.updated", PAYMENT_METHOD),
        ("payment_method.detached", PAYMENT_METHOD),
        ("customer.source.expiring", CARD),
    ],
)
@given(data=st.data(), seconds=st.sampled_from([-1, 0, 1]))
def test_a_damaged_event_after_a_whole_one_is_decided_or_refused(
    event_type: str, whole: Json, data: st.DataObject, seconds: int
) -> None:
    account = BillingAccount(now=START)
    account.objects = {found["id"]: dict(found) for found in (SUBSCRIPTION, INVOICE, PAYMENT_METHOD, CARD)}
    world = World(account)
    react = partial(world.deliver, track_subscriptions.react)
    react(envelope("evt_whole", event_type, whole, START))
    said = read_or_refusal(react, envelope("evt_damaged", event_type, data.draw(damaged(whole)), START + seconds))
    assert is_one_line(said) if isinstance(said, str) else said.outcome in {"applied", "duplicate", "stale", "ignored"}
    assert is_storable(list(world.documents.items()))


def envelope(event_id: str, event_type: str, subject: Json, created: int) -> Json:
    """A snapshot event about an object of that customer."""
    return {
        "id": event_id,
        "object": "event",
        "api_version": None,
        "created": created,
        "data": {"object": subject, "previous_attributes": {"customer": "cus_1"}},
        "livemode": False,
        "type": event_type,
    }
