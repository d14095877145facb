"""The settings of the page with Stripe's pricing table."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from functions.pages.settings import PricingSettings
from functions.settings.mail import mail_settings
from functions.settings.reader import Reader, api_key, database, optional, project, url

#: A page on somebody's own machine may be without TLS.
_ORIGIN = re.compile(r"https://[a-z0-9.-]+(:\d{1,5})?|http://(localhost|127\.0\.0\.1)(:\d{1,5})?")
_DEFAULT_PORTS = {"https": ":443", "http": ":80"}


def pricing_settings(environ: Mapping[str, str]) -> PricingSettings:
    """Read and check the settings of `pricing_page`. Raises SettingsError naming every variable that is wrong."""
    read = Reader(environ)
    settings = PricingSettings(
        project=read("GOOGLE_CLOUD_PROJECT", project),
        database=read("FIRESTORE_DATABASE", database, "(default)"),
        stripe_api_key=read("STRIPE_API_KEY", api_key),
        stripe_api_base=read("STRIPE_API_BASE", optional(url), ""),
        pricing_table_id=read("PRICING_TABLE_ID", _pricing_table),
        publishable_key=read("STRIPE_PUBLISHABLE_KEY", _publishable_key),
        allowed_origins=read("ALLOWED_ORIGINS", _origins, ""),
        mail=mail_settings(read),
    )
    if _are_of_two_modes(settings.publishable_key, settings.stripe_api_key):
        read.refuse("STRIPE_PUBLISHABLE_KEY and STRIPE_API_KEY are not of the same mode, test or live")
    read.check()
    return settings


def _are_of_two_modes(*keys: str | None) -> bool:
    """Whether one is for live and one for test mode. What has been refused already is None here."""
    return len({"_live_" in key for key in keys if key}) > 1


def _pricing_table(text: str) -> str:
    if not re.fullmatch(r"prctbl_[A-Za-z0-9_]+", text):
        raise ValueError("is not the id of a pricing table (prctbl_…)")
    return text


def _publishable_key(text: str) -> str:
    if not re.fullmatch(r"pk_(test|live)_[A-Za-z0-9_]+", text):
        raise ValueError("is not a publishable API key (pk_…)")
    return text


def _origins(text: str) -> frozenset[str]:
    """Several origins, separated by commas, as a browser writes them in its `Origin` header."""
    return frozenset(_origin(part) for part in re.split(r"[,\s]+", text) if part)


def _origin(text: str) -> str:
    origin = text.lower().removesuffix("/")
    if not _ORIGIN.fullmatch(origin):
        raise ValueError(f"holds {text!r}, which is no origin: https://app.example, or http://localhost:5173")
    return origin.removesuffix(_DEFAULT_PORTS[urlsplit(origin).scheme])
