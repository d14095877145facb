"""What Stripe charges for a quantity at a price, and what a year saves."""

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.reminders.savings import Saving, cost, yearly_saving

Json = dict[str, Any]


def price(price_id: str, amount: int | str | None, interval: str = "year", **more: Any) -> Json:
    """A price as Stripe's API sends it; a text is an amount with a fraction."""
    recurring = {"interval": interval, "interval_count": 1, "usage_type": "licensed", "meter": None}
    return {
        "id": price_id,
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": 1_790_000_000,
        "currency": "jpy",
        "product": "prod_basic",
        "recurring": recurring | more.pop("recurring", {}),
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring",
        "unit_amount": amount if isinstance(amount, int) else None,
        "unit_amount_decimal": None if amount is None else str(amount),
    } | more


def tier(up_to: int | None, unit: int | str | None, flat: int | str | None = None) -> Json:
    return {
        "up_to": up_to,
        "unit_amount": unit if isinstance(unit, int) else None,
        "unit_amount_decimal": None if unit is None else str(unit),
        "flat_amount": flat if isinstance(flat, int) else None,
        "flat_amount_decimal": None if flat is None else str(flat),
    }


def tiered(price_id: str, mode: str, tiers: list[Json], interval: str = "year", **more: Any) -> Json:
    return price(price_id, None, interval, billing_scheme="tiered", tiers_mode=mode, tiers=tiers, **more)


def item(price_id: str, quantity: int | None = 1) -> Json:
    return {"price": price_id, "quantity": quantity}


#: The example of https://docs.stripe.com/subscriptions/pricing-models/tiered-pricing.
FONTS = [tier(5, 700), tier(10, 650), tier(None, 600)]
FLAT = [tier(5, 700, 1000), tier(10, 650, 2000), tier(None, 600, 3000)]
MONTHLY = price("price_m", 1000, "month")
YEARLY = price("price_y", 10_000)


@pytest.mark.parametrize(
    ("of", "quantity", "expected"),
    [
        (price("p", 999), 1, 999),
        (price("p", 999), 3, 2997),
        (price("p", 999), 0, 0),
        (price("p", 0), 7, 0),
        # Rounded once, after the quantity: 0.05 × 30 is 1.5, which is charged as 2.
        (price("p", "0.05"), 30, 2),
        (price("p", "0.05"), 29, 1),
        (price("p", "105.5"), 1, 106),
        (price("p", "2.5"), 1, 3),
        (price("p", "0.000000000001"), 2**62, 4_611_686),
        (price("p", "123456789.123456789012"), 10**12, 123_456_789_123_456_789_012),
        (tiered("p", "volume", FONTS), 1, 700),
        (tiered("p", "volume", FONTS), 5, 3500),
        (tiered("p", "volume", FONTS), 6, 3900),
        (tiered("p", "volume", FONTS), 20, 12_000),
        (tiered("p", "volume", FONTS), 25, 15_000),
        (tiered("p", "graduated", FONTS), 5, 3500),
        (tiered("p", "graduated", FONTS), 6, 4150),
        (tiered("p", "graduated", FONTS), 20, 12_750),
        (tiered("p", "graduated", FONTS), 25, 15_750),
        (tiered("p", "volume", FLAT), 6, 5900),
        (tiered("p", "graduated", FLAT), 5, 4500),
        (tiered("p", "graduated", FLAT), 6, 7150),
        (tiered("p", "graduated", FLAT), 11, 13_350),
        (tiered("p", "graduated", [tier(None, None, "99.5")]), 4, 100),
        (tiered("p", "graduated", [tier(1, "0.4"), tier(None, "0.4")]), 2, 1),
        (price("p", 1000, transform_quantity={"divide_by": 5, "round": "up"}), 5, 1000),
        (price("p", 1000, transform_quantity={"divide_by": 5, "round": "up"}), 6, 2000),
        (price("p", 1000, transform_quantity={"divide_by": 5, "round": "down"}), 9, 1000),
        (price("p", 1000, transform_quantity={"divide_by": 5, "round": "down"}), 4, 0),
        # What the price does not say.
        (price("p", 999), None, None),
        (price("p", 999), -1, None),
        (price("p", None), 1, None),
        (price("p", "a lot"), 1, None),
        (price("p", 999, currency="usd"), 1, None),
        (tiered("p", "graduated", FONTS), 0, None),
        (tiered("p", "graduated", [tier(5, 700)]), 6, None),
        (tiered("p", "graduated", []), 1, None),
        (tiered("p", "by the moon", FONTS), 1, None),
        (price("p", None, billing_scheme="tiered", tiers_mode="volume"), 1, None),
    ],
)
def test_a_quantity_costs_what_stripe_charges(of: Json, quantity: int | None, expected: int | None) -> None:
    assert cost(of, quantity, "jpy") == expected


def test_a_price_in_several_currencies_is_read_in_the_one_that_is_paid() -> None:
    options = {"jpy": {"unit_amount": 150, "unit_amount_decimal": "150"}}
    assert cost(price("p", 1, currency="usd", currency_options=options), 3, "jpy") == 450
    assert cost(price("p", 1, currency="usd", currency_options=options), 3, "eur") is None
    of_tiers = {"jpy": {"tiers": FONTS}}
    assert cost(tiered("p", "volume", [], currency="usd", currency_options=of_tiers), 6, "jpy") == 3900
    assert cost(tiered("p", "volume", FONTS, currency="usd", currency_options={"jpy": {}}), 6, "jpy") is None


amounts = st.decimals("0", "99999", allow_nan=False, places=12).map(str) | st.integers(0, 10**9)


@st.composite
def tier_lists(draw: st.DrawFn) -> list[Json]:
    bounds = sorted(draw(st.sets(st.integers(1, 60), max_size=5)))
    maybe = st.none() | amounts
    return [tier(up_to, draw(maybe), draw(maybe)) for up_to in [*bounds, None]]


def exact(of: Json, name: str) -> Fraction:
    return Fraction(of[f"{name}_decimal"] or 0)


@given(tier_lists(), st.integers(1, 80))
def test_graduated_is_the_sum_over_every_unit_and_volume_is_all_units_at_the_last_price(
    tiers: list[Json], quantity: int
) -> None:
    def tier_of(unit: int) -> Json:
        return next(each for each in tiers if each["up_to"] is None or unit <= each["up_to"])

    def rounded(total: Fraction) -> int:
        return int((total + Fraction(1, 2)) // 1)

    units = [tier_of(unit) for unit in range(1, quantity + 1)]
    reached = list({id(each): each for each in units}.values())
    graduated = sum(exact(each, "unit_amount") for each in units) + sum(exact(each, "flat_amount") for each in reached)
    assert cost(tiered("p", "graduated", tiers), quantity, "jpy") == rounded(Fraction(graduated))
    volume = exact(units[-1], "unit_amount") * quantity + exact(units[-1], "flat_amount")
    assert cost(tiered("p", "volume", tiers), quantity, "jpy") == rounded(volume)


@given(amounts, st.integers(0, 10**6), st.integers(1, 50), st.sampled_from(("up", "down")))
def test_packages_are_whole(amount: int | str, quantity: int, size: int, direction: str) -> None:
    of = price("p", amount, transform_quantity={"divide_by": size, "round": direction})
    packages = -(-quantity // size) if direction == "up" else quantity // size
    assert cost(of, quantity, "jpy") == int((Decimal(str(amount)) * packages).to_integral_value(ROUND_HALF_UP))


# What a year saves


def test_a_year_is_held_against_twelve_months_of_all_items_together() -> None:
    seats = [price("seat_m", 300, "month", product="prod_seat"), price("seat_y", 3200, product="prod_seat")]
    found = yearly_saving([item("price_m"), item("seat_m", 3)], [MONTHLY, YEARLY, *seats], "jpy")
    assert found == Saving(monthly=1900, yearly=19_600)
    assert (found.amount, found.percent) == (3200, 14)


def test_one_item_may_cost_more_by_the_year_if_all_together_cost_less() -> None:
    seats = [price("seat_m", 300, "month", product="prod_seat"), price("seat_y", 3800, product="prod_seat")]
    found = yearly_saving([item("price_m"), item("seat_m")], [MONTHLY, YEARLY, *seats], "jpy")
    assert found == Saving(monthly=1300, yearly=13_800)


def test_a_fraction_of_a_percent_is_rounded_down() -> None:
    assert yearly_saving([item("price_m")], [MONTHLY, price("y", 11_999)], "jpy") == Saving(monthly=1000, yearly=11_999)
    assert Saving(monthly=1000, yearly=11_999).percent == 0
    assert Saving(monthly=1000, yearly=0).percent == 100


@pytest.mark.parametrize(
    ("prices", "why"),
    [
        ([MONTHLY], "there is no yearly price"),
        ([YEARLY], "the item's own price is unknown"),
        ([MONTHLY, price("y", 12_000)], "it costs the same"),
        ([MONTHLY, price("y", 12_001)], "it costs more"),
        ([MONTHLY, price("y", 10_000, active=False)], "it is not sold any more"),
        ([MONTHLY, price("y", 10_000, currency="usd")], "it is in another currency"),
        ([MONTHLY, price("y", 10_000, product="prod_other")], "it is another product's"),
        ([MONTHLY, price("y", 10_000, tax_behavior="exclusive")], "tax may come on top"),
        ([MONTHLY, price("y", 10_000, recurring={"usage_type": "metered"})], "it is metered"),
        ([MONTHLY, price("y", 10_000, recurring={"interval_count": 2})], "it is for two years"),
        ([MONTHLY, price("y", None)], "it has no amount"),
        ([MONTHLY, price("y", 10_000) | {"recurring": None}], "it is paid once"),
        ([price("price_m", 1000, "month", recurring={"usage_type": "metered"}), YEARLY], "the use is metered"),
        ([price("price_m", 3000, "month", recurring={"interval_count": 3}), YEARLY], "it is paid each quarter"),
        ([price("price_m", None, "month"), YEARLY], "what it costs now is unknown"),
        ([price("price_m", 0, "month"), YEARLY], "it is free"),
    ],
)
def test_nothing_is_promised_where(prices: list[Json], why: str) -> None:
    assert yearly_saving([item("price_m")], prices, "jpy") is None, why


def test_an_item_of_an_unknown_quantity_saves_nothing() -> None:
    assert yearly_saving([item("price_m", None)], [MONTHLY, YEARLY], "jpy") is None


def test_one_item_without_a_yearly_price_is_enough() -> None:
    other = price("other_m", 100, "month", product="prod_other")
    assert yearly_saving([item("price_m"), item("other_m")], [MONTHLY, YEARLY, other], "jpy") is None


def test_who_pays_an_old_price_is_told_what_a_year_saves_against_that() -> None:
    old = price("price_old", 900, "month", active=False)
    assert yearly_saving([item("price_old")], [old, MONTHLY, YEARLY], "jpy") == Saving(monthly=900, yearly=10_000)


BASIC_AND_PRO = [
    price("basic_m", 500, "month"),
    price("basic_y", 5000),
    price("pro_m", 3000, "month"),
    price("pro_y", 30_000),
]


@pytest.mark.parametrize(
    ("own", "without", "expected"),
    [
        ("basic_m", "", Saving(monthly=500, yearly=5000)),
        ("pro_m", "", Saving(monthly=3000, yearly=30_000)),
        # The year of another plan of the same product is not this plan's.
        ("basic_m", "basic_y", None),
        ("pro_m", "pro_y", None),
    ],
)
def test_several_plans_of_one_product_are_told_apart(own: str, without: str, expected: Saving | None) -> None:
    prices = [each for each in BASIC_AND_PRO if each["id"] != without]
    assert yearly_saving([item(own)], prices, "jpy") == expected


def test_of_several_yearly_prices_of_one_plan_the_dearest_is_the_promise() -> None:
    prices = [MONTHLY, price("y1", 9000), price("y2", 11_000), price("y3", 10_000)]
    assert yearly_saving([item("price_m")], prices, "jpy") == Saving(monthly=1000, yearly=11_000)


def test_tiers_are_compared_at_the_quantity_that_is_bought() -> None:
    by_month = tiered("price_m", "graduated", FONTS, "month")
    by_year = tiered("price_y", "volume", [tier(None, 7000)])
    assert yearly_saving([item("price_m", 6)], [by_month, by_year], "jpy") == Saving(monthly=4150, yearly=42_000)
    assert yearly_saving([item("price_m", 100)], [by_month, by_year], "jpy") == Saving(monthly=60_750, yearly=700_000)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=4), st.lists(st.integers(1, 10**7), max_size=4))
def test_a_saving_is_one_and_can_be_had(months: list[int], years: list[int]) -> None:
    prices = [price(f"m{n}", amount, "month") for n, amount in enumerate(months)]
    prices += [price(f"y{n}", amount) for n, amount in enumerate(years)]
    for n, amount in enumerate(months):
        found = yearly_saving([item(f"m{n}")], prices, "jpy")
        if found is not None:
            assert found.monthly == amount
            assert found.yearly in years
            assert found.amount == 12 * amount - found.yearly > 0
            assert 0 <= found.percent < 100
            # Nobody who pays less each month is promised the same year.
            assert not any(12 * other >= found.yearly for other in months if other < amount)


@given(st.permutations([MONTHLY, YEARLY, *BASIC_AND_PRO, price("y9", 11_000)]))
def test_the_order_of_the_prices_does_not_matter(prices: list[Json]) -> None:
    assert yearly_saving([item("price_m")], prices, "jpy") == Saving(monthly=1000, yearly=11_000)
