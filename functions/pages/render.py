"""From a template and a brand to a page, and to the headers that let it do nothing but what it is for."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from functions.mail.settings import Brand

#: Where Stripe's scripts come from, and what they frame. The table's template names it once more.
STRIPE_SCRIPTS = "https://js.stripe.com"
_TEMPLATES = Path(__file__).with_name("templates")


def page(name: str, state: str, brand: Brand, language: str, *, is_short: bool = False) -> str:
    """The page `name` in one of its states; a short one is for a machine, of which somebody may look at the answer."""
    template = _environment().get_template("short.html.jinja" if is_short else "layout.html.jinja")
    text = _text(name, state, brand, language)
    return template.render(text=text, state=state, brand=brand, language=language, style=_style(brand))


def page_with_table(name: str, state: str, brand: Brand, language: str, attributes: Mapping[str, str]) -> str:
    """The page `name` in one of its states, as wide as Stripe's pricing table with these attributes needs it."""
    return (
        _environment()
        .get_template("table.html.jinja")
        .render(
            text=_text(name, state, brand, language),
            state=state,
            brand=brand,
            language=language,
            style=_style(brand, is_wide=True),
            attributes=attributes,
        )
    )


def headers(brand: Brand, language: str) -> dict[str, str]:
    """The page runs no script, is in nobody's frame or cache, and tells no other server where its reader comes from."""
    return _headers(brand, language, {}, _style(brand))


def headers_with_table(brand: Brand, language: str) -> dict[str, str]:
    """The page runs and frames what Stripe's pricing table consists of, and nothing else.

    From the table people go to Checkout by leaving the page, so that Checkout needs nothing here. Stripe's script is
    told the site and not the address of the page, as it shows no table without a site.
    Source: https://docs.stripe.com/payments/checkout/pricing-table#content-security-policy.
    """
    stripe = {"script-src": STRIPE_SCRIPTS, "frame-src": STRIPE_SCRIPTS, "form-action": "'none'"}
    return _headers(brand, language, stripe, _style(brand, is_wide=True)) | {
        "Referrer-Policy": "strict-origin-when-cross-origin"
    }


def _headers(brand: Brand, language: str, more: Mapping[str, str], style: str) -> dict[str, str]:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    # The path may hold what ends a directive; the server alone does not.
    logo = f" https://{urlsplit(brand.logo_url).netloc}" if brand.logo_url else ""
    policy = {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "img-src": f"data:{logo}",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        **more,
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in policy.items()),
        "Content-Language": language,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept-Language",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex",
    }


def _text(name: str, state: str, brand: Brand, language: str) -> Any:
    words: Any = _environment().get_template(f"{language}/{name}.jinja").make_module({"brand": brand})
    return words.states[state]


@cache
def _style(brand: Brand, *, is_wide: bool = False) -> str:
    return _environment().get_template("style.css.jinja").render(brand=brand, is_wide=is_wide)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
