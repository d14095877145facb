"""What mails derive from their facts: sums that add up, numbers people can read out, colours people can read."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.mail.facts import Order, Refund
from functions.mail.settings import DEFAULT_COLOR, Brand

ORDER = Order(
    session="cs_test_a1b2c3d4e5",
    mode="payment",
    created=1_795_237_500,
    currency="jpy",
    lines=(),
    amount_subtotal=2_800,
    amount_discount=0,
    amount_shipping=0,
    amount_tax=0,
    amount_total=2_800,
    payment_intent="pi_1",
    subscription=None,
    invoice=None,
)


def sums(
    subtotal: int | None, discount: int | None, shipping: int | None, tax: int | None, total: int | None
) -> list[tuple[str, int]]:
    order = replace(
        ORDER,
        amount_subtotal=subtotal,
        amount_discount=discount,
        amount_shipping=shipping,
        amount_tax=tax,
        amount_total=total,
    )
    return list(order.sums)


@pytest.mark.parametrize(
    ("subtotal", "discount", "shipping", "tax", "total", "shown"),
    [
        (2_800, 0, 0, 0, 2_800, [("total", 2_800)]),
        (2_800, None, None, None, 2_800, [("total", 2_800)]),
        (None, None, None, None, 2_800, [("total", 2_800)]),
        (0, 0, 0, 0, 0, [("total", 0)]),
        (2_800, 300, 0, 0, 2_500, [("subtotal", 2_800), ("discount", -300), ("total", 2_500)]),
        (2_800, 2_800, 0, 0, 0, [("subtotal", 2_800), ("discount", -2_800), ("total", 0)]),
        (2_800, 0, 500, 0, 3_300, [("subtotal", 2_800), ("shipping", 500), ("total", 3_300)]),
        (2_800, 0, 0, 280, 3_080, [("subtotal", 2_800), ("tax", 280), ("total", 3_080)]),
        (2_800, 0, 0, 254, 2_800, [("subtotal", 2_800), ("tax_included", 254), ("total", 2_800)]),
        (
            2_800,
            300,
            500,
            272,
            3_000,
            [("subtotal", 2_800), ("discount", -300), ("shipping", 500), ("tax_included", 272), ("total", 3_000)],
        ),
        (
            2_800,
            300,
            500,
            300,
            3_300,
            [("subtotal", 2_800), ("discount", -300), ("shipping", 500), ("tax", 300), ("total", 3_300)],
        ),
        # Stripe does not say what stands above the total: the rest is shown as it is.
        (None, None, 500, None, 3_300, [("shipping", 500), ("total", 3_300)]),
        (2_800, 300, 500, 300, None, []),
    ],
)
def test_what_stands_under_the_lines(
    *,
    subtotal: int | None,
    discount: int | None,
    shipping: int | None,
    tax: int | None,
    total: int | None,
    shown: list[tuple[str, int]],
) -> None:
    assert sums(subtotal, discount, shipping, tax, total) == shown


AMOUNT = st.integers(min_value=0, max_value=99_999_999)


@given(subtotal=AMOUNT, discount=AMOUNT, shipping=AMOUNT, tax=AMOUNT, is_included=st.booleans())
def test_the_sums_add_up(subtotal: int, discount: int, shipping: int, tax: int, is_included: bool) -> None:
    total = subtotal - discount + shipping + (0 if is_included else tax)
    shown = sums(subtotal, discount, shipping, tax, total)
    assert shown[-1] == ("total", total)
    assert len(shown) == 1 or sum(amount for name, amount in shown[:-1] if name != "tax_included") == total
    assert [name for name, amount in shown if not amount and name not in {"subtotal", "total"}] == []


def test_nothing_to_pay_is_free_and_an_unknown_total_is_not() -> None:
    assert replace(ORDER, amount_total=0).is_free
    assert not ORDER.is_free
    assert not replace(ORDER, amount_total=None).is_free


def test_an_order_and_its_refund_have_one_number() -> None:
    refund = Refund(
        payment_intent="pi_1", amount=1, amount_refunded=1, amount_paid=1, currency="jpy", session=ORDER.session
    )
    assert ORDER.number == refund.number == "B2C3D4E5"
    assert replace(refund, session=None).number is None
    assert replace(ORDER, session="cs_1").number == "CS_1"


@pytest.mark.parametrize(
    ("color", "text"),
    [
        ("#000000", "#ffffff"),
        ("#ffffff", "#000000"),
        (DEFAULT_COLOR, "#ffffff"),
        ("#6b3f23", "#ffffff"),
        ("#FFCC00", "#000000"),
        ("#06c755", "#000000"),
        ("#0000ff", "#ffffff"),
    ],
)
def test_a_button_can_be_read(color: str, text: str) -> None:
    assert Brand(name="", color=color).text_color == text


@given(st.integers(min_value=0, max_value=0xFFFFFF))
def test_a_button_can_be_read_on_every_colour(rgb: int) -> None:
    """At least 4.5 to 1, as WCAG 2.2 asks of text (success criterion 1.4.3); computed by its definition."""
    brand = Brand(name="", color=f"#{rgb:06x}")
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (b / 255 for b in rgb.to_bytes(3))]
    luminance = sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    contrast = (luminance + 0.05) / 0.05 if brand.text_color == "#000000" else 1.05 / (luminance + 0.05)
    assert contrast >= 4.5
