"""An identity provider in memory, for what is decided on its answers. Firebase's has its own tests, at its emulator."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from functions.identity import OURS, Account, BadToken, NewAccount, Person, Refusal, TokenKind


@dataclass
class Directory:
    """Keeps accounts as Firebase does: an id and an address belong to one of them."""

    accounts: dict[str, Account] = field(default_factory=dict)
    created: dict[str, NewAccount] = field(default_factory=dict)
    plans: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: Whether it takes no new accounts.
    refuses: bool = False
    #: What happens elsewhere while it is being told of plans.
    meanwhile: Callable[[tuple[str, ...]], None] = lambda _: None

    def sign_up(self, user_id: str, email: str | None, *, verified: bool = False) -> None:
        """What a user does in the application."""
        self.accounts[user_id] = Account(user_id=user_id, email=email, is_verified=verified)

    def set_password(self, user_id: str) -> None:
        """What the reader of a welcome does."""
        self.accounts[user_id] = replace(self.accounts[user_id], is_verified=True, is_unused=False)

    def find(self, email: str) -> Account | None:
        return next((each for each in self.accounts.values() if (each.email or "").lower() == email.lower()), None)

    def get(self, user_id: str) -> Account | None:
        return self.accounts.get(user_id)

    def create(self, new: NewAccount) -> Account | Refusal:
        if self.refuses:
            return "refused"
        if new.user_id in self.accounts or self.find(new.email):
            return "taken"
        self.created[new.user_id] = new
        account = Account(
            user_id=new.user_id, email=new.email, is_verified=False, is_unused=new.user_id.startswith(OURS)
        )
        self.accounts[new.user_id] = account
        return account

    def password_link(self, email: str, language: str) -> str:
        return f"https://accounts.example/set?for={email}&lang={language}"

    def set_plans(self, user_id: str, plans: tuple[str, ...]) -> bool:
        if user_id not in self.accounts:
            return False
        self.meanwhile(plans)
        self.plans[user_id] = plans
        return True

    def person(self, token: str, kind: TokenKind) -> Person:
        raise BadToken(f"{kind} {token}")
