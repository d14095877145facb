"""What a buyer has to do to pay what is not paid yet, as the payment intent of a delayed payment says it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from functions.stripe_events.fields import integer, mapping, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Konbini:
    """A convenience store chain, and what to type or show there."""

    chain: str
    payment_code: str | None
    confirmation_number: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NextAction:
    """`payment_intent.next_action`: https://docs.stripe.com/api/payment_intents/object#payment_intent_object-next_action."""

    #: `konbini_display_details`, `display_bank_transfer_instructions`, `boleto_display_details`, …
    type: str
    expires_at: int | None
    #: Stripe's own page with the slip or the account.
    hosted_url: str | None
    stores: tuple[Konbini, ...]
    amount_remaining: int | None
    reference: str | None
    #: The first account to transfer to: Stripe's field names and their values.
    account: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> Self | None:
        """Read what a payment intent asks for; None where it asks for nothing."""
        action = mapping(json, "next_action")
        kind = text(action, "type")
        if kind is None:
            return None
        details = mapping(action, kind)
        stores = mapping(details, "stores")
        addresses = details.get("financial_addresses")
        first = addresses[0] if isinstance(addresses, list) and addresses and isinstance(addresses[0], Mapping) else {}
        account = mapping(first, text(first, "type") or "")
        return cls(
            type=kind,
            expires_at=integer(details, "expires_at"),
            hosted_url=next((url for name in _PAGES if (url := text(details, name))), None),
            stores=tuple(
                Konbini(
                    chain=chain,
                    payment_code=text(mapping(stores, chain), "payment_code"),
                    confirmation_number=text(mapping(stores, chain), "confirmation_number"),
                )
                for chain in stores
                if stores[chain]
            ),
            amount_remaining=integer(details, "amount_remaining"),
            reference=text(details, "reference"),
            # Addresses of the bank and the holder are objects, and nothing one types into a transfer.
            account=tuple((name, value) for name, value in account.items() if isinstance(value, str) and value),
        )


#: What the kinds of vouchers call their page.
_PAGES = ("hosted_voucher_url", "hosted_instructions_url")
