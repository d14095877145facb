"""Settings from the environment, typed and checked when a function starts.

Every field of every class is one variable, described in the README's table. What is missing or malformed is collected
and raised at once, by name, so that a deployment fails before it serves and says everything that is wrong with it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

from functions.errors import SettingsError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """What `stripe_webhook` needs."""

    project: str
    secrets: tuple[str, ...]
    #: None: events of both modes are published.
    livemode: bool | None
    forward_all: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberSettings:
    """What a function that reacts to events needs."""

    project: str
    database: str
    stripe_api_key: str
    #: None: api.stripe.com.
    stripe_api_base: str | None
    #: The key under which `metadata` of Stripe's objects may carry the id of your user.
    user_id_key: str
    #: Whether a subscription whose renewal has failed still gives access while Stripe tries again.
    past_due_gives_access: bool


def webhook_settings(environ: Mapping[str, str]) -> WebhookSettings:
    """Read and check the webhook's settings. Raises SettingsError naming every variable that is wrong."""
    read = _Reader(environ)
    settings = WebhookSettings(
        project=read("GOOGLE_CLOUD_PROJECT", _project),
        secrets=read("STRIPE_WEBHOOK_SECRETS", _secrets),
        livemode=read("STRIPE_LIVEMODE", lambda text: _switch(text) if text else None, ""),
        forward_all=read("FORWARD_ALL", _switch, "0"),
    )
    read.check()
    return settings


def subscriber_settings(environ: Mapping[str, str]) -> SubscriberSettings:
    """Read and check a subscriber's settings. Raises SettingsError naming every variable that is wrong."""
    read = _Reader(environ)
    settings = SubscriberSettings(
        project=read("GOOGLE_CLOUD_PROJECT", _project),
        database=read("FIRESTORE_DATABASE", _database, "(default)"),
        stripe_api_key=read("STRIPE_API_KEY", _api_key),
        stripe_api_base=read("STRIPE_API_BASE", lambda text: _url(text) if text else None, ""),
        user_id_key=read("USER_ID_KEY", _metadata_key, "user_id"),
        past_due_gives_access=read("PAST_DUE_GIVES_ACCESS", _switch, "true"),
    )
    read.check()
    return settings


class _Reader:
    """Reads one variable after the other and remembers what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._problems: list[str] = []

    def __call__(self, name: str, parse: Callable[[str], T], default: str | None = None) -> T:
        text = self._environ.get(name, "").strip() or default
        try:
            return parse(_present(text))
        except ValueError as problem:
            self._problems.append(f"{name} {problem}")
            # Never used: `check` raises before the settings reach anybody.
            return cast("T", None)

    def check(self) -> None:
        if self._problems:
            raise SettingsError("; ".join(self._problems) + ". See the settings table in README.md.")


def _present(text: str | None) -> str:
    if text is None:
        raise ValueError("is not set")
    return text


def _switch(text: str) -> bool:
    if text.lower() in {"1", "true", "yes", "on"}:
        return True
    if text.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError(f"is {text!r}; say true or false")


def _secrets(text: str) -> tuple[str, ...]:
    """Several endpoints, or the old and the new secret while one is rotated, separated by commas or line ends."""
    secrets = tuple(part for part in re.split(r"[,\s]+", text) if part)
    if not secrets:
        raise ValueError("is not set")
    if any(not re.fullmatch(r"whsec_\S+", secret) for secret in secrets):
        raise ValueError("holds something that is not a signing secret (whsec_…)")
    return secrets


def _api_key(text: str) -> str:
    if not re.fullmatch(r"(sk|rk)_(org_)?(test|live)_\S+", text):
        raise ValueError("is not a secret or restricted API key (sk_… or rk_…)")
    return text


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(:\d+)?/?", text):
        raise ValueError("is not the address of a server: http:// or https://, a name, perhaps a port")
    return text.rstrip("/")


def _database(text: str) -> str:
    if not re.fullmatch(r"\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9]", text):
        raise ValueError(f"is {text!r}; it must be (default) or a Firestore database id")
    return text


def _project(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9.:-]+", text):
        raise ValueError(f"is {text!r}; it must be a Google Cloud project id")
    return text


def _metadata_key(text: str) -> str:
    if len(text) > 40 or "[" in text or "]" in text:
        raise ValueError("is not a key Stripe allows in metadata: at most 40 characters, no brackets")
    return text
