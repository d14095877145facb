"""Payments that come later: what Stripe tells a buyer who still has to go to a konbini."""

from typing import Any

Json = dict[str, Any]

_DAYS = 3
_CHAINS = ("familymart", "lawson", "ministop", "seicomart")


def konbini_intent(intent: str, amount: int, currency: str, now: int) -> Json:
    """A payment intent that waits at the konbini for three days: https://docs.stripe.com/payments/konbini."""
    # Made from the id, so that every run says the same.
    digits = f"{int.from_bytes(intent.encode()) % 10**11:011d}"
    numbers = {"confirmation_number": digits, "payment_code": digits[:6]}
    return {
        "id": intent,
        "object": "payment_intent",
        "amount": amount,
        "created": now,
        "currency": currency,
        "next_action": {
            "type": "konbini_display_details",
            "konbini_display_details": {
                "expires_at": now + _DAYS * 86_400,
                "hosted_voucher_url": f"https://payments.stripe.com/konbini/voucher/{intent}",
                "stores": {chain: dict(numbers) for chain in _CHAINS},
            },
        },
        "payment_method_types": ["konbini"],
        "status": "requires_action",
    }
