"""What a year would save against twelve months, computed from the shop's real prices. Amounts in minor units.

Prices are Stripe's JSON: https://docs.stripe.com/api/prices/object, `tiers` and `currency_options` expanded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any

Price = Mapping[str, Any]

#: Enough for any quantity times twelve decimals: nothing is rounded before the end.
_EXACT = Context(prec=80)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """All items of a subscription together, by the month and by the year. The year costs less than twelve months."""

    monthly: int
    yearly: int

    @property
    def amount(self) -> int:
        return 12 * self.monthly - self.yearly

    @property
    def percent(self) -> int:
        """Of twelve months, rounded down: a promise is never larger than what is kept."""
        return 100 * self.amount // (12 * self.monthly)


def yearly_saving(items: Sequence[Mapping[str, Any]], prices: Sequence[Price], currency: str) -> Saving | None:
    """What these items (`price` and `quantity`) would save by the year.

    `prices` are those of their products, archived ones too: an item may have a price that is not sold any more. None
    where an item has no yearly price, or one that cannot be computed, and where there is nothing to save.
    """
    by_id = {price["id"]: price for price in prices}
    pairs = [_by_month_and_year(by_id.get(item["price"]), item["quantity"], prices, currency) for item in items]
    known = [pair for pair in pairs if pair is not None]
    if len(known) < len(pairs):
        return None
    saving = Saving(monthly=sum(month for month, _ in known), yearly=sum(year for _, year in known))
    return saving if saving.amount > 0 else None


def _by_month_and_year(
    own: Price | None, quantity: int | None, prices: Sequence[Price], currency: str
) -> tuple[int, int] | None:
    """What a price costs by the month, and what its plan costs by the year.

    A product may hold several plans, and no field says which yearly price belongs to which monthly one. Each yearly
    price is taken for that of the plan whose twelve months come nearest to it from above (of the dearest plan, if it is
    dearer than all), so that nobody is promised the yearly price of a smaller plan. Of several that remain the one that
    costs most: what is promised can be had at any of them.
    """
    monthly = cost(own, quantity, currency) if own is not None and _is_paid_each("month", own) else None
    if own is None or monthly is None:
        return None
    kin = [price for price in prices if price["active"] and _is_comparable(price, own)]
    rivals = [cost(price, quantity, currency) for price in kin if _is_paid_each("month", price)]
    twelve_months = sorted({12 * rival for rival in [monthly, *rivals] if rival is not None})
    years = [cost(price, quantity, currency) for price in kin if _is_paid_each("year", price)]
    fitting = [
        year
        for year in years
        if year is not None
        and next((plan for plan in twelve_months if plan >= year), twelve_months[-1]) == 12 * monthly
    ]
    return (monthly, max(fitting)) if fitting else None


def _is_paid_each(interval: str, price: Price) -> bool:
    recurring = price.get("recurring") or {}
    return (
        recurring.get("interval") == interval
        and recurring.get("interval_count", 1) == 1
        and recurring.get("usage_type", "licensed") == "licensed"
    )


def _is_comparable(price: Price, other: Price) -> bool:
    """Of one product, and both with tax or both without: amounts of another kind say nothing about each other."""
    taxes = {each.get("tax_behavior") or "unspecified" for each in (price, other)}
    return price["product"] == other["product"] and len(taxes) == 1


def cost(price: Price, quantity: int | None, currency: str) -> int | None:
    """What Stripe charges for a quantity at a price; None where the price does not say it in that currency.

    Stripe rounds the line of an invoice, a half up, after the quantity is multiplied:
    https://docs.stripe.com/billing/subscriptions/decimal-amounts and
    https://docs.stripe.com/products-prices/pricing-models.
    """
    amounts = price if price["currency"] == currency else (price.get("currency_options") or {}).get(currency)
    if amounts is None or quantity is None or quantity < 0:
        return None
    if price.get("billing_scheme") == "tiered":
        exact = _tiered(amounts.get("tiers") or (), price.get("tiers_mode"), quantity)
    else:
        unit = _amount(amounts, "unit_amount")
        exact = None if unit is None else _EXACT.multiply(unit, _transformed(quantity, price.get("transform_quantity")))
    return None if exact is None else int(exact.to_integral_value(ROUND_HALF_UP))


def _transformed(quantity: int, transform: Mapping[str, Any] | None) -> Decimal:
    """Packages instead of units."""
    if not transform:
        return Decimal(quantity)
    whole, rest = divmod(quantity, transform["divide_by"])
    return Decimal(whole + (1 if rest and transform["round"] == "up" else 0))


def _tiered(tiers: Sequence[Mapping[str, Any]], mode: str | None, quantity: int) -> Decimal | None:
    """Graduated: each unit at the price of its own tier. Volume: every unit at the price of the last one's tier.

    A tier's flat amount comes once, if the tier is reached. What none would cost, Stripe does not say.
    """
    if quantity == 0 or mode not in {"graduated", "volume"}:
        return None
    total, below = Decimal(0), 0
    for tier in tiers:
        reached = quantity if tier["up_to"] is None else min(quantity, tier["up_to"])
        flat, unit = _amount(tier, "flat_amount") or Decimal(0), _amount(tier, "unit_amount") or Decimal(0)
        if mode == "graduated":
            total = _EXACT.add(total, _EXACT.fma(unit, Decimal(reached - below), flat))
        elif reached == quantity:
            total = _EXACT.fma(unit, Decimal(quantity), flat)
        if reached == quantity:
            return total
        below = reached
    return None


def _amount(amounts: Mapping[str, Any], name: str) -> Decimal | None:
    """An amount, with its fraction of the minor unit if it has one."""
    value = amounts.get(f"{name}_decimal")
    if value is None:
        value = amounts.get(name)
    try:
        return None if value is None else Decimal(str(value))
    except InvalidOperation:
        return None
