"""Whose customers are asked for, under which document they are known, and what that document says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from functions import paths
from functions.accounts.customers import Customers
from functions.effects import Json
from functions.store import Found

#: Longer than any address or id that somebody has.
MAX_CHARACTERS = 512
#: https://docs.stripe.com/api/metadata
_LONGEST_METADATA = 500
#: The ids that Stripe makes. A seller may have chosen others, which can be addresses: they are found where they are
#: known, and not sent about in the path of a request.
_STRIPE_ID = re.compile(r"cus_[A-Za-z0-9_]{1,250}")

By = Literal["user_id", "customer", "email"]


@dataclass(frozen=True, slots=True)
class Question:
    """One identity, as it was typed."""

    by: By
    text: str

    @property
    def path(self) -> str:
        """The one document that knows the customers."""
        if self.by == "customer":
            return paths.customer(self.text)
        [path] = paths.index_of_user(self.text) if self.by == "user_id" else paths.index_of_email(self.text)
        return path

    @property
    def miss_path(self) -> str:
        """The document that remembers that Stripe has nobody: the same, but nobody's customer is no customer."""
        return paths.index_of_customer(self.text) if self.by == "customer" else self.path

    @property
    def paths(self) -> tuple[str, ...]:
        """Both, each once."""
        return tuple(dict.fromkeys((self.path, self.miss_path)))

    @property
    def spellings(self) -> tuple[str, ...]:
        """An address as Stripe may have it, whose lists do not ignore case."""
        return tuple(dict.fromkeys((self.text.strip(), paths.normalise_email(self.text) or "")))

    def answered(self, documents: Mapping[str, Found], source: Literal["index", "stripe"]) -> Customers | None:
        """The customers, where the documents know any. What is only known in part, or deleted, is none."""
        fields: Json = documents[self.path].fields or {}
        if self.by == "customer":
            if fields.get("as_of") is None or fields.get("deleted"):
                return None
            return Customers(
                customers=(self.text,),
                primary=self.text,
                user_id=fields["user_id"],
                email=fields.get("email"),
                linked_by=fields.get("linked_by"),
                source=source,
            )
        if not fields.get("customers"):
            return None
        return Customers(
            customers=tuple(fields["customers"]),
            primary=fields["primary"],
            user_id=self.text if self.by == "user_id" else None,
            is_user_known=self.by == "user_id",
            source=source,
        )

    def is_whole(self, documents: Mapping[str, Found], since: float) -> bool:
        """Whether what is known is all there is: of somebody who is only known as a guest, Stripe may know more."""
        known = (documents[self.path].fields or {}).get("customers", ())
        is_real = self.by == "customer" or any(not paths.is_guest(each) for each in known)
        return is_real or self.is_settled(documents, since)

    def is_settled(self, documents: Mapping[str, Found], since: float) -> bool:
        """Whether there is nothing to ask Stripe: it said so after `since` (epoch seconds), or cannot know."""
        if self.by == "customer":
            if (documents[self.path].fields or {}).get("deleted") or not _STRIPE_ID.fullmatch(self.text):
                return True
        elif self.by == "user_id" and len(self.text) > _LONGEST_METADATA:
            return True
        miss = documents.get(self.miss_path)
        asked_at: float = ((miss and miss.fields) or {}).get("asked_at", 0)
        return asked_at > since


def question(*, user_id: str | None, customer: str | None, email: str | None) -> Question:
    """The one that is asked. Raises ValueError where it is not exactly one, or no text that somebody's can be."""
    given: dict[By, str | None] = {"user_id": user_id, "customer": customer, "email": email}
    texts = [(by, text) for by, text in given.items() if text is not None]
    if len(texts) != 1:
        raise ValueError("give one of user_id, customer and email")
    [(by, text)] = texts
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{by} has more than {MAX_CHARACTERS} characters")
    if not text or (by == "email" and paths.normalise_email(text) is None):
        raise ValueError(f"{by} is empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{by} is no text: it holds half a character") from None
    return Question(by, text)
