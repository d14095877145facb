"""The settings of reminders, of who is sent them, and of the page where offers are refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from functions.mail.settings import MailSettings
from functions.pages.settings import UnsubscribeSettings
from functions.reminders.settings import ReminderSettings
from functions.settings.mail import mail_settings
from functions.settings.reader import (
    Reader,
    api_key,
    database,
    optional,
    project,
    signing_keys,
    switch,
    url,
    whole_number,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderSettings:
    """What `send_due_reminders` needs."""

    project: str
    database: str
    stripe_api_key: str
    #: None: api.stripe.com.
    stripe_api_base: str | None
    reminders: ReminderSettings
    mail: MailSettings


def reminder_settings(read: Reader, mail: MailSettings) -> ReminderSettings:
    """Read when to remind whom. What mail and reminders have in common is said once."""
    return ReminderSettings(
        zone=mail.timezone,
        upgrade_offer_after_days=read("UPGRADE_OFFER_AFTER_DAYS", whole_number, "14"),
        offers=read("OFFERS", _policy, "opt_in"),
        offer_pause_days=read("OFFER_PAUSE_DAYS", whole_number, "30"),
        past_due_gives_access=read("PAST_DUE_GIVES_ACCESS", switch, "true"),
        max_age_seconds=mail.max_age_seconds,
    )


def sender_settings(environ: Mapping[str, str]) -> SenderSettings:
    """Read and check the settings of `send_due_reminders`. Raises SettingsError naming every variable that is wrong."""
    read = Reader(environ)
    mail = mail_settings(read)
    settings = SenderSettings(
        project=read("GOOGLE_CLOUD_PROJECT", project),
        database=read("FIRESTORE_DATABASE", database, "(default)"),
        stripe_api_key=read("STRIPE_API_KEY", api_key),
        stripe_api_base=read("STRIPE_API_BASE", optional(url), ""),
        reminders=reminder_settings(read, mail),
        mail=mail,
    )
    read.check()
    return settings


def unsubscribe_settings(environ: Mapping[str, str]) -> UnsubscribeSettings:
    """Read and check the settings of `unsubscribe`. Raises SettingsError naming every variable that is wrong."""
    read = Reader(environ)
    settings = UnsubscribeSettings(
        project=read("GOOGLE_CLOUD_PROJECT", project),
        database=read("FIRESTORE_DATABASE", database, "(default)"),
        keys=read("UNSUBSCRIBE_KEYS", signing_keys),
        mail=mail_settings(read),
    )
    read.check()
    return settings


def _policy(text: str) -> Literal["opt_in", "opt_out"]:
    if text not in {"opt_in", "opt_out"}:
        raise ValueError(f"is {text!r}; say opt_in or opt_out")
    return cast("Literal['opt_in', 'opt_out']", text)
