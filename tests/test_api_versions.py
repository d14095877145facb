"""One shape from every API version: what Stripe moved since 2020-03-02 makes no difference to a fact or a document."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.effects import Create, Effect, Fetch, Fields
from functions.errors import Malformed, Permanent, Retry
from functions.reactions.track_subscriptions import react
from functions.store import Found
from functions.stripe_events import (
    Charge,
    CheckoutSession,
    Customer,
    Dispute,
    Invoice,
    LineItem,
    PaymentMethod,
    Refund,
    StripeEvent,
    Subscription,
    SubscriptionItem,
)
from functions.subscriber import Subscriber
from functions.topology import function
from local.account import API_VERSION, Line
from local.billing import MONTH, BillingAccount, Price
from tests.driving import SETTINGS, World, event
from tests.stories import deliveries, without_traces
from tests.test_billing_objects import CARD, INVOICE, ITEM, PAYMENT_METHOD, PRICE, START, SUBSCRIPTION, envelope
from tests.test_stripe_objects import CHARGE, CUSTOMER, LINE_ITEM, SESSION
from tests.test_subscriber import Clock, message
from tests.versions import NEWEST, OLDEST, UNKNOWN, VERSIONS, as_of_version, with_plan_only

Json = dict[str, Any]

OF: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "charge": Charge.of,
    "checkout.session": CheckoutSession.of,
    "customer": Customer.of,
    "dispute": Dispute.of,
    "invoice": Invoice.of,
    "item": LineItem.of,
    "payment_method": PaymentMethod.of,
    "refund": Refund.of,
    "subscription": Subscription.of,
    "subscription_item": lambda item: SubscriptionItem.of(item, {}),
    "card": PaymentMethod.of,
}


def facts(subject: Mapping[str, Any]) -> Any:
    return OF[subject["object"]](subject)


# Each move by itself


PERIOD = {"current_period_start": START + 200, "current_period_end": START + 300}
#: What an item had of its own before its subscription gave it the period.
BARE_ITEM = {key: value for key, value in ITEM.items() if key not in PERIOD}
UNNAMED_PRICE = PRICE | {"lookup_key": None}
PLAN = {
    "id": "price_1",
    "object": "plan",
    "amount": 3000,
    "currency": "jpy",
    "interval": "month",
    "interval_count": 3,
    "product": "prod_1",
}
COUPON = {"id": "coupon_1", "object": "coupon", "percent_off": 10.5}
DETAILS = {"type": "subscription_details", "subscription_details": {"subscription": "sub_1"}}


def with_items(*items: Json, **fields: Any) -> Json:
    return SUBSCRIPTION | {"items": {"object": "list", "data": list(items), "has_more": False}} | fields


def without(whole: Json, *keys: str) -> Json:
    return {key: value for key, value in whole.items() if key not in keys}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # Subscriptions
        pytest.param(with_items(BARE_ITEM, **PERIOD), with_items(ITEM), id="2025-03-31 the period moves to the items"),
        pytest.param(
            with_items(ITEM, current_period_start=1, current_period_end=2),
            with_items(ITEM),
            id="2025-03-31 the period of the item counts where both have one",
        ),
        pytest.param(
            SUBSCRIPTION | {"discount": {"id": "di_1", "object": "discount", "coupon": COUPON}},
            SUBSCRIPTION | {"discounts": ["di_1"]},
            id="2025-03-31 discount becomes discounts",
        ),
        pytest.param(
            SUBSCRIPTION | {"discounts": [{"id": "di_1", "object": "discount", "coupon": COUPON}]},
            SUBSCRIPTION | {"discounts": [{"id": "di_1", "source": {"type": "coupon", "coupon": "coupon_1"}}]},
            id="2025-09-30 the coupon moves to the source of a discount",
        ),
        pytest.param(
            with_items(ITEM), with_items(ITEM | {"quantity_decimal": "2"}), id="2026-03-25 quantity_decimal comes"
        ),
        pytest.param(
            SUBSCRIPTION, SUBSCRIPTION | {"status_details": {"active": {}}}, id="2026-10-28 status_details comes"
        ),
        pytest.param(
            with_items(ITEM | {"plan": PLAN}, plan=PLAN, quantity=2), with_items(ITEM), id="a plan beside its price"
        ),
        pytest.param(
            with_items(ITEM | {"plan": PLAN | {"id": "other", "amount": 1, "product": "prod_2", "interval": "year"}}),
            with_items(ITEM),
            id="the price counts, whatever the plan beside it says",
        ),
        pytest.param(
            with_items(without(ITEM, "price") | {"plan": PLAN}),
            with_items(ITEM | {"price": UNNAMED_PRICE}),
            id="a plan alone says what a price without a lookup key says",
        ),
        pytest.param(
            with_items(without(ITEM, "price", "quantity") | {"plan": PLAN | {"amount": None}}),
            with_items(without(ITEM, "quantity") | {"price": UNNAMED_PRICE | {"unit_amount": None}}),
            id="a metered plan alone",
        ),
        pytest.param(
            without(with_items(ITEM), "currency"), with_items(ITEM), id="the currency is said by the price alone"
        ),
        pytest.param(
            without(with_items(without(ITEM, "price") | {"plan": PLAN}), "currency"),
            with_items(ITEM | {"price": UNNAMED_PRICE}),
            id="the currency is said by the plan alone",
        ),
        pytest.param(
            SUBSCRIPTION
            | {
                "customer": {"id": "cus_1", "object": "customer", "deleted": True},
                "default_payment_method": PAYMENT_METHOD,
                "latest_invoice": INVOICE,
            },
            SUBSCRIPTION,
            id="references of a subscription expanded",
        ),
        pytest.param(
            with_items(ITEM | {"price": PRICE | {"product": {"id": "prod_1", "object": "product", "name": "Pro"}}}),
            with_items(ITEM),
            id="the product of a price expanded",
        ),
        # Invoices
        pytest.param(
            without(INVOICE, "parent") | {"subscription": "sub_1"}, INVOICE, id="2025-03-31 the subscription to parent"
        ),
        pytest.param(
            without(INVOICE, "parent") | {"subscription": None},
            INVOICE | {"parent": None},
            id="2025-03-31 an invoice of no subscription",
        ),
        pytest.param(
            INVOICE | {"charge": "ch_1", "payment_intent": "pi_1", "paid": False, "tax": 245},
            INVOICE | {"payments": {"object": "list", "data": []}, "total_taxes": [{"amount": 245}]},
            id="2025-03-31 charge, payment_intent, paid and tax go",
        ),
        pytest.param(
            INVOICE | {"lines": {"data": [{"id": "il_1", "price": PRICE, "subscription": "sub_1"}]}},
            INVOICE | {"lines": {"data": [{"id": "il_1", "pricing": {"price_details": {"price": "price_1"}}}]}},
            id="2025-03-31 the price of a line moves to pricing",
        ),
        pytest.param(
            without(INVOICE, "parent") | {"subscription": SUBSCRIPTION, "customer": CUSTOMER},
            INVOICE | {"parent": DETAILS | {"subscription_details": {"subscription": SUBSCRIPTION}}},
            id="references of an invoice expanded",
        ),
        # Checkout Sessions
        pytest.param(
            SESSION | {"display_items": [{"amount": 1400, "currency": "jpy", "quantity": 2}]},
            SESSION,
            id="2020-08-27 display_items go",
        ),
        pytest.param(without(SESSION, "customer"), SESSION | {"customer": None}, id="2022-08-01 customer may be null"),
        pytest.param(
            SESSION | {"ui_mode": "hosted"}, SESSION | {"ui_mode": "hosted_page"}, id="2026-03-25 new values of ui_mode"
        ),
        pytest.param(
            SESSION | {"customer": CUSTOMER, "subscription": SUBSCRIPTION, "invoice": INVOICE},
            SESSION,
            id="references of a session expanded",
        ),
        pytest.param(LINE_ITEM, LINE_ITEM | {"quantity_decimal": "2"}, id="2026-03-25 quantity_decimal of a line"),
        # Charges
        pytest.param(
            CHARGE | {"refunds": {"object": "list", "data": [{"id": "re_1", "amount": 500}], "has_more": False}},
            CHARGE,
            id="2022-11-15 refunds are not expanded",
        ),
        # Customers
        pytest.param(
            CUSTOMER | {"sources": {"object": "list", "data": [CARD], "has_more": False}, "default_source": "card_1"},
            CUSTOMER,
            id="2020-08-27 sources are not expanded",
        ),
        pytest.param(
            CUSTOMER | {"discount": {"id": "di_1", "coupon": COUPON}},
            CUSTOMER | {"discount": {"id": "di_1", "source": {"type": "coupon", "coupon": "coupon_1"}}},
            id="2025-09-30 the coupon of a customer moves",
        ),
    ],
)
def test_what_stripe_moved_makes_no_difference(one: Json, other: Json) -> None:
    assert facts(one) == facts(other)


def test_a_charge_that_lost_its_invoice_differs_in_nothing_else() -> None:
    """2025-03-31: what the order is found by then, `test_record_orders` says for both versions."""
    before, after = Charge.of(CHARGE | {"invoice": "in_1"}), Charge.of(CHARGE)
    assert (before.invoice, after.invoice) == ("in_1", None)
    assert replace(before, invoice=None) == after


def test_items_with_periods_of_their_own_keep_them() -> None:
    yearly = {"id": "si_2", "current_period_start": START, "current_period_end": START + 900}
    found = Subscription.of(with_items(ITEM, ITEM | yearly))
    assert [(item.current_period_start, item.current_period_end) for item in found.items] == [
        (START + 200, START + 300),
        (START, START + 900),
    ]


def test_a_metered_item_has_neither_a_quantity_nor_an_amount() -> None:
    found = SubscriptionItem.of(without(ITEM, "quantity") | {"price": PRICE | {"unit_amount": None}}, {})
    assert (found.quantity, found.unit_amount, found.interval) == (None, None, "month")


def test_a_price_made_up_for_one_subscription_gives_its_product() -> None:
    inline = UNNAMED_PRICE | {"id": "price_of_price_data", "active": False}
    found = SubscriptionItem.of(ITEM | {"price": inline}, {})
    assert (found.price, found.lookup_key, found.plan, found.unit_amount) == (
        "price_of_price_data",
        None,
        "prod_1",
        3000,
    )


@pytest.mark.parametrize("status", ["active", "a_status_of_2031"])
@pytest.mark.parametrize("whole", [SUBSCRIPTION, INVOICE], ids=["subscription", "invoice"])
def test_a_status_is_kept_also_where_nobody_knows_it_yet(whole: Json, status: str) -> None:
    assert facts(whole | {"status": status}).status == status


def test_a_subscription_of_an_unknown_status_is_recorded_and_gives_nothing() -> None:
    world = World(BillingAccount(now=START))
    subject = SUBSCRIPTION | {"status": "a_status_of_2031"}
    assert world.deliver(react, envelope("evt_1", "customer.subscription.updated", subject, START)).outcome == "applied"
    assert world.documents["customers/cus_1/subscriptions/sub_1"]["status"] == "a_status_of_2031"
    assert world.documents.get("customers/cus_1", {}).get("plans", []) == []


# A whole account, at every version


BASIC = Price("price_basic", "prod_basic", 1000, lookup_key="basic")
PRO = Price("price_pro", "prod_pro", 3000, lookup_key="pro", interval="year")
UNNAMED = Price("price_unnamed", "prod_unnamed", 500)
METERED = Price("price_metered", "prod_metered", None)
PRICES = (BASIC, PRO, UNNAMED, METERED)
DISCOUNT = {
    "id": "di_1",
    "object": "discount",
    "source": {"type": "coupon", "coupon": {"id": "coupon_1", "object": "coupon", "percent_off": 10}},
}


def story(wait: Callable[[], int] = lambda: 60, prices: tuple[Price, Price, Price, Price] = PRICES) -> BillingAccount:
    """Everything that happens to subscriptions, invoices and cards, and a bought mug. `wait` says how long between."""
    basic, pro, unnamed, metered = prices
    account = BillingAccount(now=START, prefix="V")

    def do(step: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        account.wait(wait())
        return step(*arguments, **options)

    fields = {"phone": "+81312345678", "preferred_locales": ["ja"], "discount": DISCOUNT}
    hana = do(account.create_customer, email="hana@example.com", metadata={"user_id": "u1"}, **fields)
    do(account.update_customer, hana, name="Hana")
    card = do(account.attach_card, hana)
    do(account.renew_card, card, expires=(2031, 1))

    monthly = do(account.subscribe, hana, [basic], default_payment_method=card, discounts=[DISCOUNT])
    do(account.change_price, monthly, pro)
    do(account.upcoming_invoice, monthly)
    do(account.renew, monthly, paid=False)
    do(account.fail_again, monthly)
    do(account.recover, monthly)
    do(account.change, monthly, pause_collection={"behavior": "void"}, metadata={"seat": "1"}, discounts=[])
    do(account.cancel_later, monthly)
    do(account.cancel_later, monthly, really=False)
    do(account.cancel, monthly)

    trial = do(account.subscribe, hana, [unnamed, metered], trial_days=14)
    do(account.trial_will_end, trial)
    do(account.pause, trial)
    do(account.resume, trial)
    do(account.renew, trial)

    do(account.authenticate, do(account.subscribe, hana, [pro], needs_action=True))
    do(account.give_up_first_payment, do(account.subscribe, hana, [basic], needs_action=True))
    unpaid = do(account.subscribe, hana, [metered])
    do(account.renew, unpaid, paid=False)
    do(account.write_off, unpaid)

    do(account.one_off_invoice, hana, 500)
    do(account.one_off_invoice, None, 500)
    do(account.detach_card, card)

    mug = do(account.open_session, [Line("Mug", 1400)], customer=hana)
    do(account.complete, mug, email="hana@example.com")
    do(account.fail_refund, do(account.refund, mug, 400))
    do(account.close_dispute, do(account.dispute, mug), "won")
    do(account.expire, account.open_session([Line("Mug", 1400)]))
    do(account.delete_customer, hana)
    return account


def told(data: Json) -> tuple[StripeEvent, Any]:
    """What an event says: its envelope, and the facts of its object or why there are none."""
    found = event(data)
    envelope_alone = replace(found, api_version=None, object=None, previous_attributes={})
    try:
        return envelope_alone, facts(found.snapshot())
    except Malformed as refused:
        return envelope_alone, str(refused)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_event_says_the_same_at_every_version(version: str) -> None:
    account = story()
    for data in account.events:
        assert told(as_of_version(data, version)) == told(data), data["type"]


def test_the_story_has_every_object_and_every_event_is_readable_but_the_preview_of_an_invoice() -> None:
    account = story()
    assert {data["data"]["object"]["object"] for data in account.events} == OF.keys() - {
        "item",
        "subscription_item",
        "card",
    }
    unread = {data["type"]: told(data)[1] for data in account.events if isinstance(told(data)[1], str)}
    assert unread == {"invoice.upcoming": "invoice has no id"}


def test_a_plan_alone_says_what_a_price_without_a_lookup_key_says() -> None:
    account = story(prices=(UNNAMED, METERED, UNNAMED, METERED))
    for data in account.events:
        if data["data"]["object"]["object"] == "subscription":
            assert told(with_plan_only(data)) == told(data), data["type"]


@settings(max_examples=60)
@given(data=st.data())
def test_the_documents_are_the_same_whatever_the_version_of_each_event(data: st.DataObject) -> None:
    """In any order, with repetitions in other versions: two endpoints of one account may differ in theirs."""
    account = story(lambda: data.draw(st.sampled_from((0, 0, 1, 60, MONTH))))
    handled = function("track_subscriptions").event_types
    events = data.draw(deliveries([each for each in account.events if each["type"] in handled]))
    versions = data.draw(st.lists(st.sampled_from(VERSIONS), min_size=len(events), max_size=len(events)))
    today, mixed = World(account), World(account)
    for each, version in zip(events, versions, strict=True):
        expected = today.deliver(react, each)
        decision = mixed.deliver(react, as_of_version(each, version))
        assert (decision.outcome, mixed.fetches) == (expected.outcome, today.fetches), (each["type"], version)
    assert without_traces(mixed.documents) == without_traces(today.documents)


# How far the versions reach, and that the older shapes are what they were


def test_the_newest_version_is_the_one_that_fetched_objects_come_in() -> None:
    assert (stripe.api_version, API_VERSION) == (NEWEST, NEWEST)


def test_a_version_newer_than_all_known_ones_is_taken_as_the_newest() -> None:
    [first, *_] = story().events
    assert event(as_of_version(first, UNKNOWN)) == replace(event(first), api_version=UNKNOWN)


def test_before_basil_no_subscription_had_two_periods() -> None:
    account = BillingAccount(now=START)
    account.subscribe(account.create_customer(email=None), [BASIC, UNNAMED])
    [data] = [each for each in account.events if each["type"] == "customer.subscription.created"]
    data["data"]["object"]["items"]["data"][1]["current_period_end"] += 1
    assert as_of_version(data, "2025-03-31.basil")["data"]["object"].keys() >= data["data"]["object"].keys()
    with pytest.raises(ValueError, match="all items of a subscription have one period"):
        as_of_version(data, "2024-04-10")


def test_a_renewal_before_basil_changes_the_period_of_the_subscription_and_not_its_items() -> None:
    account = BillingAccount(now=START)
    subscription = account.subscribe(account.create_customer(email=None), [BASIC])
    account.wait(MONTH)
    account.renew(subscription)
    [renewal] = [data for data in account.events if data["type"] == "customer.subscription.updated"]
    older = as_of_version(renewal, OLDEST)["data"]
    [item] = older["object"]["items"]["data"]
    assert not {"current_period_start", "current_period_end"} & item.keys()
    assert (older["object"]["current_period_start"], older["object"]["current_period_end"]) == (
        START + MONTH,
        START + 2 * MONTH,
    )
    before = older["previous_attributes"]
    assert (before["current_period_start"], before["current_period_end"]) == (START, START + MONTH)
    assert "items" not in before


def test_an_upgrade_before_basil_changes_the_items_and_not_the_period() -> None:
    account = BillingAccount(now=START)
    subscription = account.subscribe(account.create_customer(email=None), [BASIC])
    account.change_price(subscription, PRO)
    older = as_of_version(account.events[-1], OLDEST)["data"]
    before = older["previous_attributes"]
    assert before.keys() == {"items", "plan"}
    assert [part["items"]["data"][0]["plan"]["id"] for part in (older["object"], before)] == [
        "price_pro",
        "price_basic",
    ]
    assert [part["plan"]["interval"] for part in (older["object"], before)] == ["year", "month"]


def test_a_paid_invoice_before_basil_is_charged_and_names_its_subscription() -> None:
    account = BillingAccount(now=START)
    subscription = account.subscribe(account.create_customer(email=None), [BASIC])
    invoice = as_of_version(account.events[-1], "2025-03-30.before")["data"]["object"]
    assert "parent" not in invoice
    assert (invoice["subscription"], invoice["paid"], invoice["tax"]) == (subscription, True, None)
    assert {invoice["charge"][:3], invoice["payment_intent"][:3]} == {"ch_", "pi_"}


# What an event lacks is asked for once


@dataclass(frozen=True, slots=True)
class Lacking:
    """An event without something that a decision needs."""

    event_type: str
    whole: Json
    lacking: Json
    #: Why the event alone cannot be decided.
    reason: str

    def event(self, created: int = START) -> Json:
        """As an endpoint of the oldest version gets it."""
        subject = copy.deepcopy(self.lacking)
        return envelope("evt_lacking", self.event_type, subject, created) | {"api_version": OLDEST}

    @property
    def asked_for(self) -> tuple[str, str]:
        return self.whole["object"], self.whole["id"]

    def world(self, *at_stripe: Json) -> World:
        account = BillingAccount(now=START)
        account.objects = {found["id"]: dict(found) for found in at_stripe}
        return World(account)


EVERY_LACK = pytest.mark.parametrize(
    "case",
    [
        pytest.param(Lacking(event_type, whole, lacking, reason), id=reason)
        for event_type, whole, lacking, reason in (
            *(
                (
                    "customer.subscription.updated",
                    SUBSCRIPTION,
                    without(SUBSCRIPTION, key),
                    f"subscription has no {key}",
                )
                for key in ("customer", "status", "items")
            ),
            (
                "customer.subscription.created",
                SUBSCRIPTION,
                with_items(without(ITEM, "price")),
                "subscription item has no price",
            ),
            *(
                ("invoice.paid", INVOICE, without(INVOICE, key), f"invoice has no {key}")
                for key in ("status", "amount_due", "amount_paid")
            ),
            (
                "payment_method.updated",
                PAYMENT_METHOD,
                PAYMENT_METHOD | {"card": {"exp_year": "2030"}},
                "exp_year is not a whole number",
            ),
        )
    ],
)


def asked_for(world: World) -> list[tuple[str, str]]:
    """What the last event asked Stripe for."""
    return [(request.kind, request.id) for request in world.fetches]


@EVERY_LACK
def test_what_an_event_lacks_is_fetched_once_and_applied(case: Lacking) -> None:
    world, whole = case.world(case.whole), case.world(case.whole)
    assert world.deliver(react, case.event()).outcome == "applied"
    assert asked_for(world) == [case.asked_for]
    whole.deliver(react, envelope("evt_lacking", case.event_type, case.whole, START))
    assert world.documents == whole.documents


@EVERY_LACK
def test_what_stripe_does_not_say_either_is_malformed_with_what_the_event_lacks(case: Lacking) -> None:
    world = case.world(case.whole | case.lacking | {"status": None, "card": {"exp_month": []}, "items": None})
    with pytest.raises(Malformed, match=f"^{case.reason}$"):
        world.deliver(react, case.event())
    assert asked_for(world) == [case.asked_for]
    assert world.documents == {}


@EVERY_LACK
def test_of_an_object_that_stripe_does_not_know_the_event_gives_its_own_reason(case: Lacking) -> None:
    world = case.world()
    with pytest.raises(Malformed, match=f"^{case.reason}$"):
        world.deliver(react, case.event())
    assert asked_for(world) == [case.asked_for]


@EVERY_LACK
def test_an_object_without_an_id_cannot_be_asked_for(case: Lacking) -> None:
    world = case.world(case.whole)
    data = case.event()
    del data["data"]["object"]["id"]
    with pytest.raises(Malformed, match=f"^{case.whole['object']} has no id$"):
        world.deliver(react, data)
    assert world.fetches == []


@EVERY_LACK
def test_a_stripe_that_does_not_answer_is_no_reason_to_give_up(case: Lacking) -> None:
    reaction = react(event(case.event()), SETTINGS)
    request = reaction.send(None)
    assert isinstance(request, Fetch)
    assert (request.kind, request.id) == case.asked_for
    with pytest.raises(Retry):
        reaction.throw(Retry("Stripe limits our rate"))


@EVERY_LACK
def test_what_an_older_event_lacks_makes_nothing_newer_than_it_was(case: Lacking) -> None:
    world = case.world(case.whole | {"livemode": True})
    world.deliver(react, envelope("evt_1", case.event_type, case.whole, START))
    documents = copy.deepcopy(world.documents)
    assert world.deliver(react, case.event(START - 1)).outcome == "stale"
    assert world.documents == documents


@dataclass
class Parked:
    """A database that nobody has written to, and what is parked in it."""

    fields: list[Fields] = field(default_factory=list)

    def read(self, paths: Sequence[str]) -> Mapping[str, Found]:
        return {path: Found(None) for path in paths}

    def commit(self, effects: Iterable[Effect], found: object) -> None:  # noqa: ARG002 -- there is nothing
        for effect in effects:
            assert isinstance(effect, Create)
            self.fields += [effect.fields] if effect.path.startswith("parked_events/") else []


@dataclass
class Knowing:
    """An API that knows these objects."""

    objects: list[Json]

    def fetch(self, request: Fetch, event: StripeEvent | None) -> Json:  # noqa: ARG002 -- of whichever account
        for found in self.objects:
            if found["id"] == request.id:
                return found
        raise Permanent(f"Stripe has nothing of the id {request.id}")


@EVERY_LACK
@pytest.mark.parametrize("is_known", [True, False])
def test_an_event_is_parked_with_the_field_and_the_version(case: Lacking, is_known: bool) -> None:
    store = Parked()
    subscriber = Subscriber(
        function=function("track_subscriptions"),
        react=react,
        settings=SETTINGS,
        store=store,
        stripe=Knowing([case.lacking] if is_known else []),
        clock=Clock(),
        log=lambda *_, **__: None,
    )
    assert subscriber.handle(message(case.event())) == "parked"
    [parked] = store.fields
    assert parked["reason"] == f"{case.reason} (API version {OLDEST})"
