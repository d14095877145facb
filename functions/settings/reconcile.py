"""The settings of `reconcile`: whose events, and which of them the webhook publishes."""

from collections.abc import Mapping
from dataclasses import dataclass

from functions.settings.reader import Reader, api_key, database, optional, project, switch, url


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileSettings:
    """What `reconcile` needs."""

    project: str
    database: str
    stripe_api_key: str
    #: None: api.stripe.com.
    stripe_api_base: str | None
    #: None: events of both modes are published.
    livemode: bool | None
    forward_all: bool


def reconcile_settings(environ: Mapping[str, str]) -> ReconcileSettings:
    """Read and check the settings of `reconcile`. Raises SettingsError naming every variable that is wrong."""
    read = Reader(environ)
    settings = ReconcileSettings(
        project=read("GOOGLE_CLOUD_PROJECT", project),
        database=read("FIRESTORE_DATABASE", database, "(default)"),
        stripe_api_key=read("STRIPE_API_KEY", api_key),
        stripe_api_base=read("STRIPE_API_BASE", optional(url), ""),
        livemode=read("STRIPE_LIVEMODE", optional(switch), ""),
        forward_all=read("FORWARD_ALL", switch, "0"),
    )
    read.check()
    return settings
