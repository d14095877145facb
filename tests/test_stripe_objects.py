"""Stripe's objects as facts: the same from every API version, and Malformed by the field's name where impossible."""

import json
import os
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.errors import Malformed
from functions.stripe_events import Charge, CheckoutSession, Customer, Dispute, LineItem, Payer, Refund

Json = dict[str, Any]
Facts = Customer | CheckoutSession | LineItem | Charge | Refund | Dispute

INT64 = 2**63

CUSTOMER: Json = {
    "id": "cus_1",
    "object": "customer",
    "invoice_settings": {"default_payment_method": "pm_1"},
    "email": "hana@example.com",
    "name": "山田 花",
    "phone": "+81312345678",
    "preferred_locales": ["ja", "en"],
    "metadata": {"user_id": "U4af4980629"},
    "created": 1_793_000_000,
}
SESSION: Json = {
    "id": "cs_1",
    "object": "checkout.session",
    "mode": "payment",
    "payment_status": "paid",
    "customer": "cus_1",
    "customer_details": {"email": "hana@example.com", "name": "Hana", "phone": "+81312345678"},
    "customer_email": "typed@example.com",
    "locale": "ja",
    "client_reference_id": "user-1",
    "amount_total": 2800,
    "amount_subtotal": 2900,
    "currency": "jpy",
    "total_details": {"amount_discount": 100, "amount_shipping": 0, "amount_tax": 0},
    "payment_intent": "pi_1",
    "subscription": "sub_1",
    "invoice": "in_1",
    "payment_link": "plink_1",
    "consent": {"promotions": "opt_in", "terms_of_service": None},
    "after_expiration": {"recovery": {"expires_at": 1_794_000_000, "url": "https://buy.stripe.com/r/1"}},
    "metadata": {"user_id": "user-2"},
    "created": 1_793_000_000,
}
LINE_ITEM: Json = {
    "id": "li_1",
    "object": "item",
    "description": "Mug",
    "price": {"id": "price_1", "object": "price", "product": "prod_1"},
    "quantity": 2,
    "amount_subtotal": 2800,
    "amount_discount": 100,
    "amount_tax": 245,
    "amount_total": 2700,
    "currency": "jpy",
}
CHARGE: Json = {
    "id": "ch_1",
    "object": "charge",
    "payment_intent": "pi_1",
    "amount": 2800,
    "amount_captured": 2800,
    "amount_refunded": 500,
    "currency": "jpy",
}
PAID_CHARGE: Json = CHARGE | {
    "customer": "cus_1",
    "receipt_email": None,
    "billing_details": {"email": "hana@example.com", "name": "Hana", "phone": None, "address": None},
}
REFUND: Json = {"id": "re_1", "object": "refund", "charge": "ch_1", "payment_intent": "pi_1"}
DISPUTE: Json = {
    "id": "dp_1",
    "object": "dispute",
    "payment_intent": "pi_1",
    "status": "needs_response",
    "reason": "fraudulent",
    "amount": 2800,
    "currency": "jpy",
}

OF: Mapping[str, Callable[[Mapping[str, Any]], Facts]] = {
    "customer": Customer.of,
    "checkout.session": CheckoutSession.of,
    "item": LineItem.of,
    "charge": Charge.of,
    "refund": Refund.of,
    "dispute": Dispute.of,
}
WHOLE = (CUSTOMER, SESSION, LINE_ITEM, CHARGE, REFUND, DISPUTE)
#: Before there was `customer_details` and `amount_captured`; every field that these have is a field that counts.
EARLY_SESSION = {key: value for key, value in SESSION.items() if key != "customer_details"}
EARLY_CHARGE = {key: value for key, value in CHARGE.items() if key != "amount_captured"}
REFERENCES = ("customer", "payment_intent", "subscription", "invoice", "payment_link", "price", "product", "charge")
EARLY = (CUSTOMER, EARLY_SESSION, LINE_ITEM, EARLY_CHARGE, REFUND, DISPUTE)
EVERY_KIND = pytest.mark.parametrize("whole", WHOLE, ids=list(OF))


def read(whole: Json, **changes: object) -> Facts:
    return OF[whole["object"]](whole | changes)


def minimal(whole: Json) -> Json:
    """Only what nothing can be decided without."""
    required = {"id", "object", "mode", "status"}
    if whole["object"] == "charge":
        required |= {"amount", "amount_refunded"}
    return {key: value for key, value in whole.items() if key in required}


def fields_of(*kinds: Json, of_type: type) -> list[tuple[Json, str]]:
    """Each field of these objects that holds a value of that type."""
    return [
        (whole, key)
        for whole in kinds
        for key, value in whole.items()
        if isinstance(value, of_type) and key not in {"object", *REFERENCES}
    ]


@pytest.mark.parametrize(
    ("whole", "facts"),
    [
        (
            CUSTOMER,
            Customer(
                id="cus_1",
                email="hana@example.com",
                name="山田 花",
                phone="+81312345678",
                locale="ja",
                default_payment_method="pm_1",
                metadata={"user_id": "U4af4980629"},
                created=1_793_000_000,
                deleted=False,
            ),
        ),
        (
            SESSION,
            CheckoutSession(
                id="cs_1",
                mode="payment",
                payment_status="paid",
                customer="cus_1",
                email="hana@example.com",
                name="Hana",
                phone="+81312345678",
                locale="ja",
                client_reference_id="user-1",
                amount_total=2800,
                amount_subtotal=2900,
                currency="jpy",
                total_details={"amount_discount": 100, "amount_shipping": 0, "amount_tax": 0},
                payment_intent="pi_1",
                subscription="sub_1",
                invoice="in_1",
                payment_link="plink_1",
                promotions="opt_in",
                recovery_url="https://buy.stripe.com/r/1",
                recovery_expires_at=1_794_000_000,
                metadata={"user_id": "user-2"},
                created=1_793_000_000,
            ),
        ),
        (
            LINE_ITEM,
            LineItem(
                id="li_1",
                description="Mug",
                price="price_1",
                product="prod_1",
                quantity=2,
                amount_subtotal=2800,
                amount_discount=100,
                amount_tax=245,
                amount_total=2700,
                currency="jpy",
            ),
        ),
        (
            CHARGE,
            Charge(id="ch_1", payment_intent="pi_1", invoice=None, amount=2800, amount_refunded=500, currency="jpy"),
        ),
        (REFUND, Refund(id="re_1", charge="ch_1", payment_intent="pi_1")),
        (
            DISPUTE,
            Dispute(
                id="dp_1",
                payment_intent="pi_1",
                status="needs_response",
                reason="fraudulent",
                amount=2800,
                currency="jpy",
            ),
        ),
    ],
    ids=list(OF),
)
def test_an_object_is_read_whole(whole: Json, facts: Facts) -> None:
    assert read(whole) == facts


# What can be missing


@EVERY_KIND
def test_an_optional_field_may_be_missing_or_null(whole: Json) -> None:
    of, bare = OF[whole["object"]], minimal(whole)
    assert of(bare) == of(dict.fromkeys(whole) | bare)


@pytest.mark.parametrize(
    ("whole", "key"), [(whole, key) for whole in EARLY for key in minimal(whole) if key != "object"]
)
def test_a_required_field_that_is_missing_is_named(whole: Json, key: str) -> None:
    with pytest.raises(Malformed, match=f"^{whole['object']} has no {key}$"):
        read(whole, **{key: None})


@EVERY_KIND
def test_an_empty_id_is_a_missing_one(whole: Json) -> None:
    with pytest.raises(Malformed, match=r"has no id$"):
        read(whole, id="")


# References


EACH_REFERENCE = pytest.mark.parametrize(
    ("whole", "key"),
    [(whole, key) for whole in (SESSION, CHARGE, REFUND, DISPUTE) for key in REFERENCES if key in whole],
)


@EACH_REFERENCE
def test_an_expanded_reference_reads_like_its_id(whole: Json, key: str) -> None:
    assert read(whole, **{key: {"id": whole[key], "object": key, "metadata": {}}}) == read(whole)


@EACH_REFERENCE
@pytest.mark.parametrize("value", [None, "", {}, {"id": None}, {"id": ""}])
def test_a_reference_to_nothing_is_none(whole: Json, key: str, value: object) -> None:
    assert getattr(read(whole, **{key: value}), key) is None


@EACH_REFERENCE
@pytest.mark.parametrize("value", [5, True, 1.5, ["a"], {"id": 5}, {"id": ["a"]}])
def test_a_reference_that_is_no_id_is_named(whole: Json, key: str, value: object) -> None:
    with pytest.raises(Malformed, match=f"^{key} is not an id$"):
        read(whole, **{key: value})


def test_a_line_items_product_may_be_expanded() -> None:
    price = {"id": "price_1", "product": {"id": "prod_1", "object": "product", "name": "Mug"}}
    assert read(LINE_ITEM, price=price) == read(LINE_ITEM)


def test_a_line_items_price_may_come_as_an_id_or_not_at_all() -> None:
    assert LineItem.of(LINE_ITEM | {"price": "price_1"}).price == "price_1"
    assert LineItem.of(LINE_ITEM | {"price": None}).product is None


# Impossible values


@pytest.mark.parametrize("value", [5, True, 1.5, ["a"]])
@pytest.mark.parametrize(("whole", "key"), fields_of(*EARLY, of_type=str))
def test_a_text_that_is_none_is_named(whole: Json, key: str, value: object) -> None:
    with pytest.raises(Malformed, match=f"^{key} is not a text$"):
        read(whole, **{key: value})


@pytest.mark.parametrize("key", ["email", "name", "phone"])
def test_a_text_of_the_customer_details_that_is_none_is_named(key: str) -> None:
    with pytest.raises(Malformed, match=f"^{key} is not a text$"):
        read(SESSION, customer_details={key: 5})


@pytest.mark.parametrize("value", ["5", 1.0, True, False, INT64, -INT64 - 1, 10**30, float("nan"), [5], {}])
@pytest.mark.parametrize(("whole", "key"), [*fields_of(*EARLY, of_type=int), (CHARGE, "amount_captured")])
def test_a_number_that_is_not_whole_or_beyond_64_bits_is_named(whole: Json, key: str, value: object) -> None:
    with pytest.raises(Malformed, match=f"^{key} is not a whole number$"):
        read(whole, **{key: value})


@pytest.mark.parametrize("key", ["amount_discount", "amount_shipping", "amount_tax"])
def test_a_total_that_is_no_number_is_named(key: str) -> None:
    with pytest.raises(Malformed, match=f"^{key} is not a whole number$"):
        read(SESSION, total_details={key: "5"})


@pytest.mark.parametrize("value", [INT64 - 1, -INT64])
@pytest.mark.parametrize(("whole", "key"), fields_of(CUSTOMER, SESSION, LINE_ITEM, DISPUTE, of_type=int))
def test_every_64_bit_number_is_taken(whole: Json, key: str, value: int) -> None:
    assert getattr(read(whole, **{key: value}), key) == value


@pytest.mark.parametrize("value", [[5], [None, "ja"], {"a": "ja"}, {}, "ja", 5, 0, True, False])
def test_preferred_locales_that_are_no_list_of_texts_are_named(value: object) -> None:
    with pytest.raises(Malformed, match=r"^preferred_locales is not a list of texts$"):
        read(CUSTOMER, preferred_locales=value)


@pytest.mark.parametrize("value", [5, True, {}, ["gold"]])
def test_metadata_that_is_no_text_is_named(value: object) -> None:
    with pytest.raises(Malformed, match=r"^metadata holds something that is not a text$"):
        read(CUSTOMER, metadata={"a": "text", "tier": value})


@pytest.mark.parametrize(
    "wrong",
    [
        {"metadata": {"a\nb": 5}},
        {"id": None, "object": "a\nb"},
        {"id": None, "object": "\ud800"},
        {"id": None, "object": ["a\nb"]},
    ],
)
def test_the_message_is_one_line_whatever_the_object_says(wrong: Json) -> None:
    with pytest.raises(Malformed) as refused:
        Customer.of(CUSTOMER | wrong)
    assert str(refused.value).isprintable()


# Texts no service takes


HALF = "Hana \ud83d"


@pytest.mark.parametrize(("whole", "key"), fields_of(*EARLY, of_type=str))
def test_half_a_surrogate_pair_becomes_a_question_mark(whole: Json, key: str) -> None:
    fact = {"customer_email": "email"}.get(key, key)
    assert getattr(read(whole, **{key: HALF}), fact) == "Hana ?"


def test_half_a_surrogate_pair_in_nested_texts_becomes_a_question_mark() -> None:
    customer = Customer.of(CUSTOMER | {"metadata": {HALF: HALF}, "preferred_locales": [HALF]})
    session = CheckoutSession.of(SESSION | {"customer_details": {"name": HALF}, "customer": {"id": HALF}})
    assert (customer.metadata, customer.locale) == ({"Hana ?": "Hana ?"}, "Hana ?")
    assert (session.name, session.customer) == ("Hana ?", "Hana ?")


@given(st.text())
def test_every_other_text_stays_as_it_is(name: str) -> None:
    assert Customer.of(CUSTOMER | {"name": name}).name == name


# Customers


def test_a_deleted_customer_has_only_its_id() -> None:
    assert Customer.of({"id": "cus_1", "object": "customer", "deleted": True}) == Customer(
        id="cus_1",
        email=None,
        name=None,
        phone=None,
        locale=None,
        default_payment_method=None,
        metadata={},
        created=None,
        deleted=True,
    )


@pytest.mark.parametrize("deleted", [None, False, "true", 1])
def test_only_true_means_deleted(deleted: object) -> None:
    assert not Customer.of(CUSTOMER | {"deleted": deleted}).deleted


@pytest.mark.parametrize("locales", [None, []])
def test_a_customer_may_prefer_no_locale(locales: object) -> None:
    assert Customer.of(CUSTOMER | {"preferred_locales": locales}).locale is None


def test_metadata_without_a_value_is_an_empty_text() -> None:
    assert Customer.of(CUSTOMER | {"metadata": {"tier": None}}).metadata == {"tier": ""}


# Sessions


@pytest.mark.parametrize("details", [None, {}, {"email": None}, {"email": ""}])
def test_a_session_of_an_early_version_has_its_address_in_customer_email(details: object) -> None:
    assert CheckoutSession.of(SESSION | {"customer_details": details}).email == "typed@example.com"


def test_an_empty_client_reference_id_is_a_missing_one() -> None:
    assert CheckoutSession.of(SESSION | {"client_reference_id": ""}).client_reference_id is None


def test_a_session_without_totals_has_the_same_ones_unknown() -> None:
    totals = CheckoutSession.of(SESSION | {"total_details": None}).total_details
    assert totals == {"amount_discount": None, "amount_shipping": None, "amount_tax": None}


def test_a_total_that_is_missing_is_unknown_and_not_zero() -> None:
    session = CheckoutSession.of(SESSION | {"total_details": {"amount_tax": 65}})
    assert session.total_details == {"amount_discount": None, "amount_shipping": None, "amount_tax": 65}


@pytest.mark.parametrize(
    ("client_reference_id", "metadata", "user"),
    [
        ("user-1", {"user_id": "user-2"}, "user-1"),
        (None, {"user_id": "user-2"}, "user-2"),
        ("", {"user_id": "user-2"}, "user-2"),
        (None, {"user_id": ""}, None),
        (None, {"other": "user-2"}, None),
        (None, None, None),
    ],
)
def test_a_session_names_its_user(client_reference_id: str | None, metadata: Json | None, user: str | None) -> None:
    session = CheckoutSession.of(SESSION | {"client_reference_id": client_reference_id, "metadata": metadata})
    assert session.named_user("user_id") == user


# Charges


# Capturing 20300 of 20675 counts the rest in `amount_refunded`, although the buyer never paid it:
# https://github.com/woocommerce/woocommerce-gateway-stripe/issues/1073 shows such a charge.
@pytest.mark.parametrize(
    ("charge", "amount", "amount_refunded"),
    [
        pytest.param({"amount": 2800, "amount_captured": 2800, "amount_refunded": 0}, 2800, 0, id="paid"),
        pytest.param(
            {"amount": 2800, "amount_captured": 2800, "amount_refunded": 500}, 2800, 500, id="part given back"
        ),
        pytest.param({"amount": 2800, "amount_captured": 2800, "amount_refunded": 2800}, 2800, 2800, id="given back"),
        pytest.param({"amount": 20675, "amount_captured": 20300, "amount_refunded": 375}, 20300, 0, id="part captured"),
        pytest.param(
            {"amount": 20675, "amount_captured": 20300, "amount_refunded": 475}, 20300, 100, id="and given back"
        ),
        pytest.param({"amount": 2800, "amount_captured": 0, "amount_refunded": 0}, 0, 0, id="authorised"),
        pytest.param({"amount": 2800, "amount_captured": 0, "amount_refunded": 2800}, 0, 0, id="canceled"),
        pytest.param({"amount": 2800, "amount_refunded": 500}, 2800, 500, id="early version"),
    ],
)
def test_only_what_was_captured_was_paid_and_can_go_back(charge: Json, amount: int, amount_refunded: int) -> None:
    read_charge = Charge.of(EARLY_CHARGE | charge)
    assert (read_charge.amount, read_charge.amount_refunded) == (amount, amount_refunded)


def test_capturing_more_than_was_authorised_gives_nothing_back() -> None:
    charge = Charge.of(CHARGE | {"amount": 1000, "amount_captured": 1200, "amount_refunded": 0})
    assert (charge.amount, charge.amount_refunded) == (1200, 0)


# Stripe's own sample objects, as its API served them at four dates


PAYLOADS = os.environ.get("STRIPE_PAYLOADS")
SAMPLES = sorted(Path(PAYLOADS).glob("openapi-fixtures/fixtures3.*.json")) if PAYLOADS else []

#: Where a sample says what a fact says, if not under the same name.
SAID_IN: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("checkout.session", "email"): ("customer_details", "email"),
    ("checkout.session", "name"): ("customer_details", "name"),
    ("checkout.session", "phone"): ("customer_details", "phone"),
    ("customer", "locale"): ("preferred_locales",),
    ("item", "price"): ("price", "id"),
    ("item", "product"): ("price", "product"),
}


def said_by(sample: Json, kind: str, fact: str) -> tuple[bool, Any]:
    """Whether a sample says anything about a fact, and what."""
    said: Any = sample
    for key in SAID_IN.get((kind, fact), (fact,)):
        if not isinstance(said, Mapping) or key not in said:
            return False, None
        said = said[key]
    return True, said


@pytest.mark.skipif(PAYLOADS is None, reason="STRIPE_PAYLOADS does not name a folder of Stripe's samples")
@pytest.mark.parametrize("kind", OF)
def test_facts_that_stripe_says_alike_at_two_dates_are_alike(kind: str) -> None:
    samples = [json.loads(path.read_text())["resources"][kind] for path in SAMPLES]
    assert len(samples) == 4
    compared = set()
    for one, other in combinations(samples, 2):
        facts, others = OF[kind](one), OF[kind](other)
        for fact in type(facts).__dataclass_fields__:
            said, also_said = said_by(one, kind, fact), said_by(other, kind, fact)
            if said == also_said and said[0]:
                assert getattr(facts, fact) == getattr(others, fact), fact
                compared.add(fact)
    assert "id" in compared


# Who paid


def test_a_charge_says_who_paid_as_the_card_holder_typed_it() -> None:
    assert Payer.of(PAID_CHARGE) == Payer(customer="cus_1", email="hana@example.com", name="Hana")


def test_the_address_for_the_receipt_counts_before_that_of_the_card() -> None:
    assert Payer.of(PAID_CHARGE | {"receipt_email": "shop@example.com"}).email == "shop@example.com"


def test_a_charge_may_say_nothing_of_who_paid() -> None:
    assert Payer.of({"billing_details": None}) == Payer(customer=None, email=None, name=None)
