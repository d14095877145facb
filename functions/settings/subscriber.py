"""The settings of the functions behind the topic."""

from collections.abc import Mapping
from dataclasses import dataclass

from functions.accounts.settings import AccountSettings
from functions.mail.settings import MailSettings
from functions.reminders.settings import ReminderSettings
from functions.settings.accounts import account_settings
from functions.settings.mail import mail_settings
from functions.settings.reader import Reader, api_key, database, metadata_key, optional, project, switch, url
from functions.settings.reminders import reminder_settings


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
    #: The key under which a Customer's `metadata` may say whether they want offers.
    marketing_key: str
    accounts: AccountSettings
    reminders: ReminderSettings
    mail: MailSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSettings:
    """What `sweep_mail` and `dead_letters` need."""

    project: str
    database: str
    mail: MailSettings


def subscriber_settings(environ: Mapping[str, str]) -> SubscriberSettings:
    """Read and check a subscriber's settings. Raises SettingsError naming every variable that is wrong."""
    read = Reader(environ)
    mail = mail_settings(read)
    settings = SubscriberSettings(
        project=read("GOOGLE_CLOUD_PROJECT", project),
        database=read("FIRESTORE_DATABASE", database, "(default)"),
        stripe_api_key=read("STRIPE_API_KEY", api_key),
        stripe_api_base=read("STRIPE_API_BASE", optional(url), ""),
        user_id_key=read("USER_ID_KEY", metadata_key, "user_id"),
        past_due_gives_access=read("PAST_DUE_GIVES_ACCESS", switch, "true"),
        marketing_key=read("MARKETING_KEY", metadata_key, "marketing"),
        accounts=account_settings(read),
        reminders=reminder_settings(read, mail),
        mail=mail,
    )
    read.check()
    return settings


def sweep_settings(environ: Mapping[str, str]) -> SweepSettings:
    """Read and check the settings of `sweep_mail` and `dead_letters`. Raises SettingsError, naming what is wrong."""
    read = Reader(environ)
    settings = SweepSettings(
        project=read("GOOGLE_CLOUD_PROJECT", project),
        database=read("FIRESTORE_DATABASE", database, "(default)"),
        mail=mail_settings(read),
    )
    read.check()
    return settings
