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
