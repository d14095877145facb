"""What the functions need to be told about accounts. Read from the environment elsewhere."""

from dataclasses import dataclass, field
from typing import Literal

#: Who keeps the accounts: nobody that can be asked, Firebase Auth (Identity Platform), or a provider over HTTP.
Provider = Literal["none", "firebase", "http"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSettings:
    """Whether accounts are made after a purchase or are there before, and who keeps them."""

    create: bool = False
    #: Whether the tokens of a user carry their plans.
    claims: bool = False
    provider: Provider = "none"
    #: Whether accounts get the phone number that was typed. Nobody has verified it, and where people may sign in by
    #: phone it is a key to the account.
    phone: bool = False

    @property
    def asks(self) -> bool:
        """Whether there is anybody who can be asked for an account."""
        return self.provider != "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySettings:
    """How whoever keeps the accounts is reached, by the functions that ask."""

    project: str
    provider: Provider
    #: The address and the key of a provider over HTTP.
    url: str | None
    token: str | None = field(repr=False)
    #: Where somebody goes who has just set a password.
    continue_url: str | None
