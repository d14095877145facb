"""Accounts of people, at whichever identity provider keeps them: what is asked of it, and what it answers.

Another provider is one file in `adapters` with this interface (docs/identity_providers.md). What a reaction wants to
know of it is a request, as frozen data; `answer` asks a provider.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

#: How the id of an account that we made begins.
OURS = "stripe_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One user as their provider knows them."""

    user_id: str
    email: str | None
    #: Whether the provider knows that the address is theirs.
    is_verified: bool
    #: Made by us, and nobody has signed in yet. Nobody can without reading the mail of that address, so the account is
    #: the address's own although nothing has been verified.
    is_unused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """What an account is made of. `phone` is E.164."""

    user_id: str
    email: str
    name: str | None
    phone: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who a token proves to be asking."""

    user_id: str
    email: str | None
    is_verified: bool


class BadToken(Exception):
    """It proves nothing: forged, expired, revoked, of another project, or of a user who is disabled or gone."""


#: Why an account was not made: its id or its address is taken, or the provider does not take what it is made of.
Refusal = Literal["taken", "refused"]
TokenKind = Literal["id_token", "session_cookie"]


class IdentityProvider(Protocol):
    """A directory of accounts. Every method raises Retry where it may answer later, Permanent where it never will."""

    def find(self, email: str) -> Account | None:
        """The account with this address, verified or not."""

    def get(self, user_id: str) -> Account | None:
        """The account with this id."""

    def create(self, new: NewAccount) -> Account | Refusal:
        """Make an account without a password, its address not verified. A phone that is taken is left out."""

    def password_link(self, email: str, language: str) -> str:
        """A link by which whoever reads the mail of that address sets a password, once."""

    def set_plans(self, user_id: str, plans: tuple[str, ...]) -> bool:
        """Make the claim `stripe_plans` of the user's tokens say these. Other claims stay. False: no such user.

        Says what is already so without writing. Raises Permanent where the claims would exceed what a token may hold.
        """

    def person(self, token: str, kind: TokenKind) -> Person:
        """Whom this token proves. Raises BadToken."""


@dataclass(frozen=True, slots=True)
class FindAccount:
    """Answered with `Account | None`."""

    email: str


@dataclass(frozen=True, slots=True)
class GetAccount:
    """Answered with `Account | None`."""

    user_id: str


@dataclass(frozen=True, slots=True)
class CreateAccount:
    """Answered with `Account | Refusal`."""

    new: NewAccount


@dataclass(frozen=True, slots=True)
class PasswordLink:
    """Answered with the link."""

    email: str
    language: str


@dataclass(frozen=True, slots=True)
class SetPlans:
    """Answered with whether there is such a user."""

    user_id: str
    plans: tuple[str, ...]


Question = FindAccount | GetAccount | CreateAccount | PasswordLink | SetPlans
Answer = Account | Refusal | str | bool | None


def answer(provider: IdentityProvider, question: Question) -> Answer:
    """Ask a provider. Raises Retry or Permanent."""
    match question:
        case FindAccount(email):
            return provider.find(email)
        case GetAccount(user_id):
            return provider.get(user_id)
        case CreateAccount(new):
            return provider.create(new)
        case PasswordLink(email, language):
            return provider.password_link(email, language)
        case SetPlans(user_id, plans):
            return provider.set_plans(user_id, plans)
