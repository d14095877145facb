"""The settings of the webhook. Apart from the others, so that its cold start loads nothing about mail."""

from collections.abc import Mapping
from dataclasses import dataclass

from functions.settings.reader import Reader, optional, project, secrets, switch


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """What `stripe_webhook` needs."""

    project: str
    secrets: tuple[str, ...]
    #: None: events of both modes are published.
    livemode: bool | None
    forward_all: bool


def webhook_settings(environ: Mapping[str, str]) -> WebhookSettings:
    """Read and check the webhook's settings. Raises SettingsError naming every variable that is wrong."""
    read = Reader(environ)
    settings = WebhookSettings(
        project=read("GOOGLE_CLOUD_PROJECT", project),
        secrets=read("STRIPE_WEBHOOK_SECRETS", secrets),
        livemode=read("STRIPE_LIVEMODE", optional(switch), ""),
        forward_all=read("FORWARD_ALL", switch, "0"),
    )
    read.check()
    return settings
