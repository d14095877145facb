"""From a template and a brand to a page, and to the headers that let it do nothing but what it is for."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from functions.mail.settings import Brand

_TEMPLATES = Path(__file__).with_name("templates")


def page(name: str, state: str, brand: Brand, language: str, *, is_short: bool = False) -> str:
    """The page `name` in one of its states; a short one is for a machine, of which somebody may look at the answer."""
    words: Any = _environment().get_template(f"{language}/{name}.jinja").make_module({"brand": brand})
    template = _environment().get_template("short.html.jinja" if is_short else "layout.html.jinja")
    return template.render(text=words.states[state], state=state, brand=brand, language=language, style=_style(brand))


def headers(brand: Brand, language: str) -> dict[str, str]:
    """The page runs no script, is in nobody's frame or cache, and tells no other server where its reader comes from."""
    digest = base64.b64encode(hashlib.sha256(_style(brand).encode()).digest()).decode()
    # The path may hold what ends a directive; the server alone does not.
    logo = f" https://{urlsplit(brand.logo_url).netloc}" if brand.logo_url else ""
    policy = {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "img-src": f"data:{logo}",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
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


@cache
def _style(brand: Brand) -> str:
    return _environment().get_template("style.css.jinja").render(brand=brand)


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
