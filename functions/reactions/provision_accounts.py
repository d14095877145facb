"""Gives the people who buy an account, or finds the one they have, and tells its tokens what they have paid for.

The user whom a session or a customer names is `index_customers`' concern. What is left to this function are the
customers nobody names: an account that has their address and has proven it, or, with ACCOUNTS=create, one made for
them.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from functions import paths
from functions.accounts.phone import e164
from functions.accounts.plans import grant_plans
from functions.as_of import facts, whole
from functions.effects import Decision, Json, Reaction, Request, fetch, read
from functions.identity import OURS, Account, CreateAccount, FindAccount, GetAccount, NewAccount, PasswordLink
from functions.letters import Letter
from functions.linking import Claim, Source, link_fields, met, settle
from functions.mail import compose
from functions.mail.locales import choose
from functions.ownership import Change, claims_kept, store
from functions.settings.subscriber import SubscriberSettings
from functions.stripe_events import CheckoutSession, Customer, StripeEvent, Subscription
from functions.welcome import is_due, welcome

#: What tells of somebody new, or of somebody in a new way. The other types only change what a user has paid for.
_PEOPLE = frozenset(
    {"customer.created", "customer.updated", "checkout.session.completed", "customer.subscription.created"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """Whom an event is about, and what it says of them."""

    customer: str
    #: The user it names.
    user_id: str | None = None
    #: As `customers/{c}` has them: email, name, phone, locale, created. None where the event does not say.
    person: Mapping[str, Any] | None = None


def react(event: StripeEvent, settings: SubscriberSettings) -> Reaction:
    """React to customers, completed Checkout Sessions and subscriptions."""
    accounts = settings.accounts
    if not accounts.asks:
        return Decision("ignored", reason="nobody keeps accounts that could be asked: IDENTITY is none")
    if event.type not in _PEOPLE and not accounts.claims:
        return Decision("ignored", reason="tokens carry no plans: CLAIMS is off")
    subject = yield from _subject(event, settings)
    decision = Decision("ignored", reason="says nothing new about a person")
    if event.type in _PEOPLE:
        decision = yield from _provide(event, subject, settings)
    if accounts.claims:
        return replace(decision, then=partial(grant_plans, event, subject.customer, subject.user_id))
    return decision


def _subject(event: StripeEvent, settings: SubscriberSettings) -> Generator[Request, Any, _Subject]:
    if event.type.startswith("customer.subscription."):
        _, subscription = yield from whole(event, "subscription", Subscription.of)
        return _Subject(customer=subscription.customer)
    if event.type.startswith("checkout."):
        _, session = yield from whole(event, "checkout.session", CheckoutSession.of)
        named = session.named_user(settings.user_id_key)
        if session.customer is not None:
            return _Subject(customer=session.customer, user_id=named)
        guest = paths.guest_customer(session.email, named, session.id)
        return _Subject(customer=guest, user_id=named, person=_person(session))
    if event.is_thin or event.type == "customer.deleted":
        return _Subject(customer=event.subject())
    customer = yield from facts(event, "customer", Customer.of)
    return _Subject(
        customer=customer.id, user_id=customer.metadata.get(settings.user_id_key) or None, person=_person(customer)
    )


def _person(found: Customer | CheckoutSession) -> Json:
    """As `customers/{c}` has them."""
    names = ("email", "name", "phone", "locale", "created")
    return {name: getattr(found, name) for name in names}


def _provide(event: StripeEvent, subject: _Subject, settings: SubscriberSettings) -> Reaction:
    """Link a customer whom nobody names to an account, and say welcome where that is this function's to say."""
    path = paths.customer(subject.customer)
    documents = yield from read(path)
    stored = documents[path]
    person, named = None, subject.user_id
    if not (stored or {}).get("deleted"):
        person, named = yield from _known(subject, stored, settings)
    if person is None:
        return Decision("ignored", reason="the customer is deleted")
    fields = dict(stored or {})
    before = yield from claims_kept(subject.customer, stored)
    # An account counts from the first event that could have found it, whichever of them did.
    after = met(before, event.created)
    found = _Found(None, "the event or the customer names its user")
    if named is None and fields.get("user_id") is None:
        found = yield from _account(subject.customer, person, settings)
    if found.account is not None:
        after = settle(after, Claim(user_id=found.account.user_id, by=found.by, at=event.created))
    if after != before:
        fields |= link_fields(after)
    letters: tuple[Letter, ...] = ()
    if settings.accounts.create and is_due(subject.customer, fields, person["email"]):
        password_url = yield from _password_url(found.account, person, settings)
        origin = compose.origin(event, subject.customer, fields.get("user_id"))
        letters = welcome(fields, origin, event.created, person=person, password_url=password_url)
    if fields == (stored or {}) and after == before:
        return Decision("ignored", reason=found.reason)
    change = Change(customer=subject.customer, stored=stored, fields=fields, before=before, after=after)
    return replace((yield from store(change, documents, letters)), reason=found.reason)


def _known(
    subject: _Subject, stored: Json | None, settings: SubscriberSettings
) -> Generator[Request, Any, tuple[Mapping[str, Any] | None, str | None]]:
    """What is known of the person, and the user who is named: by what is stored, else the event, else Stripe.

    None for the person: gone.
    """
    if stored is not None and stored.get("as_of") is not None:
        return stored, subject.user_id
    if subject.person is not None:
        return subject.person, subject.user_id
    customer = Customer.of((yield from fetch("customer", subject.customer)))
    named = subject.user_id or customer.metadata.get(settings.user_id_key) or None
    return (None if customer.deleted else _person(customer)), named


@dataclass(frozen=True, slots=True)
class _Found:
    """The account that may have a customer, or why there is none."""

    account: Account | None
    reason: str
    by: Source = "account"


def _account(
    customer_id: str, person: Mapping[str, Any], settings: SubscriberSettings
) -> Generator[Request, Any, _Found]:
    email, own = person["email"], OURS + customer_id
    if not email:
        return _Found(None, "no address to know an account by")
    account = yield FindAccount(email)
    if account is None and settings.accounts.create:
        phone = e164(person["phone"], person["locale"], settings.mail.locale) if settings.accounts.phone else None
        made = yield CreateAccount(NewAccount(user_id=own, email=email, name=person["name"], phone=phone))
        if isinstance(made, Account):
            return _Found(made, "made an account")
        if made == "refused":
            return _Found(None, "the identity provider refuses such an account")
        # Somebody was quicker: another event of this customer, or another customer with this address.
        account = (yield FindAccount(email)) or (yield GetAccount(own))
    return _judged(account, email)


def _judged(account: Account | None, email: str) -> _Found:
    """Whether an account may have the customer. Whoever typed an address first need not be whose it is."""
    if account is None:
        return _Found(None, "no account has this address")
    if account.is_unused:
        return _Found(account, "linked to the account that was made")
    if account.is_verified and paths.normalise_email(account.email) == paths.normalise_email(email):
        return _Found(account, "linked to the account that has this address", "verified_email")
    return _Found(None, "an account has this address and has not verified it")


def _password_url(
    account: Account | None, person: Mapping[str, Any], settings: SubscriberSettings
) -> Generator[Request, Any, str | None]:
    """The link to set a password, where nobody has one yet, for who reads the account's own mail."""
    if account is None or not account.is_unused:
        return None
    if paths.normalise_email(account.email) != paths.normalise_email(person["email"]):
        return None
    language, _ = choose((person["locale"],), settings.mail.locale)
    url: str = yield PasswordLink(person["email"], language)
    return url
