"""What is told to support where the system itself cannot go on."""

from dataclasses import dataclass
from typing import ClassVar

from functions.letters import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked(Facts):
    """An event could not be processed and never will be as it is."""

    MAIL: ClassVar[str] = "parked"
    event: str
    function: str
    type: str | None
    reason: str
    #: Where it is kept.
    path: str
    #: Whether such a function is known, so that the event can be replayed to it.
    is_ours: bool = True

    def fact(self) -> str:
        return f"{self.event}_{self.function}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedGroup:
    """Events that one function could not process for one reason."""

    function: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedMore(Facts):
    """More events were parked than there are mails about: all of them since the last mail, in one."""

    MAIL: ClassVar[str] = "parked_more"
    count: int
    #: When the first and the last of them were parked.
    since: int
    until: int
    #: When this is told.
    told_at: int
    #: The most frequent first, and how many events are in none of them.
    groups: tuple[ParkedGroup, ...]
    others: int

    def fact(self) -> str:
        return str(self.told_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFailed(Facts):
    """A mail could not be delivered, and is not tried again."""

    MAIL: ClassVar[str] = "mail_failed"
    #: Its document.
    mail: str
    path: str
    to: str | None
    subject: str | None
    error: str | None
    retries: int

    def fact(self) -> str:
        return self.mail


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConflict(Facts):
    """A second user claims a customer who is somebody's. Nothing has been taken from anybody."""

    MAIL: ClassVar[str] = "link_conflict"
    customer: str
    #: Whose it is and stays; None where an operator has decided that it is nobody's.
    held_by: str | None
    #: The other user. Whoever opened a payment link may have typed it.
    claimed_by: str

    def fact(self) -> str:
        return f"{self.customer}_{self.claimed_by}"
