"""The settings of accounts: whether they are made, who keeps them, and how that is reached."""

import re
from collections.abc import Mapping
from typing import cast

from functions.accounts.settings import AccountSettings, IdentitySettings, Provider
from functions.settings.mail import page_address
from functions.settings.reader import Reader, endpoint, optional, project, switch

_MODES = ("link", "create")
_PROVIDERS = ("none", "firebase", "http")


def account_settings(read: Reader) -> AccountSettings:
    """Read what concerns accounts. Where they are made, Firebase makes them unless another provider is named."""
    create = read("ACCOUNTS", _mode, "link")
    claims = read("CLAIMS", switch, "off")
    provider = read("IDENTITY", _provider, "firebase" if create or claims else "none")
    if provider == "none" and (create or claims):
        needs = "ACCOUNTS=create" if create else "CLAIMS=on"
        read.refuse(f"IDENTITY is 'none', but {needs} needs somebody who keeps the accounts: firebase or http")
    return AccountSettings(create=create, claims=claims, provider=provider, phone=read("ACCOUNT_PHONE", switch, "off"))


def identity_settings(environ: Mapping[str, str]) -> IdentitySettings:
    """Read and check how the accounts are reached. Raises SettingsError naming every variable that is wrong."""
    read = Reader(environ)
    provider = account_settings(read).provider
    is_http = provider == "http"
    settings = IdentitySettings(
        project=read("GOOGLE_CLOUD_PROJECT", project),
        provider=provider,
        url=read("IDENTITY_URL", endpoint if is_http else optional(endpoint), None if is_http else ""),
        token=read("IDENTITY_TOKEN", _token if is_http else optional(_token), None if is_http else ""),
        continue_url=read("BRAND_URL", optional(page_address), ""),
    )
    read.check()
    return settings


def _mode(text: str) -> bool:
    if text not in _MODES:
        raise ValueError(f"is {text!r}; say {' or '.join(_MODES)}")
    return text == "create"


def _provider(text: str) -> Provider:
    if text not in _PROVIDERS:
        raise ValueError(f"is {text!r}; say {', '.join(_PROVIDERS[:-1])} or {_PROVIDERS[-1]}")
    return cast("Provider", text)


def _token(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{16,}", text):
        raise ValueError("must be one word of 16 characters or more")
    return text
