"""What the pages need to be told. Read from the environment elsewhere."""

from dataclasses import dataclass, field

from functions.mail.settings import MailSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsubscribeSettings:
    """What `unsubscribe` needs."""

    project: str
    database: str
    #: The keys of the links, the newest first. An old one goes on working for as long as it is listed.
    keys: tuple[str, ...] = field(repr=False)
    #: The page looks like the mail that leads to it.
    mail: MailSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class PricingSettings:
    """What `pricing_page` needs, besides who keeps the accounts."""

    project: str
    database: str
    stripe_api_key: str = field(repr=False)
    #: None: api.stripe.com.
    stripe_api_base: str | None
    #: `prctbl_…` and `pk_…`: both are for everybody to see.
    pricing_table_id: str
    publishable_key: str
    #: The origins, as browsers write them, whose pages may ask with their users' tokens and read the answer.
    allowed_origins: frozenset[str]
    #: The page looks like the mail.
    mail: MailSettings
