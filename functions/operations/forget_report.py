"""What an operator is told of a person who was forgotten: what went, what stays and why, and what is elsewhere."""

from typing import Any

from functions import paths
from functions.accounts.settings import Provider
from functions.letters import Origin
from functions.mail.stripe_dashboard import Links
from functions.operations.forgetting import Forgotten

_ELSEWHERE = (
    "Pub/Sub keeps the events for 7 days, and dead letters for 31.",
    "Firestore keeps what was erased for 7 days where point-in-time recovery is on, and in its backups.",
    "Mails that were sent, and what your application or an export (BigQuery) has taken from here.",
    "The logs of the functions say nothing personal: ids of events, and no address.",
)


def erased(done: Forgotten) -> dict[str, int]:
    """How many documents of each collection, the most first; those of shared ones were only changed."""
    return dict(sorted(done.erased.items(), key=lambda each: (-each[1], each[0])))


def kept(done: Forgotten) -> list[str]:
    """What stays here, and why."""
    person, found = done.person, []
    if person.customers:
        found.append(
            f"customers/{{{', '.join(person.customers)}}}: that each was forgotten and when, and nothing else, "
            "so that an event that comes late does not make them anew."
        )
    if done.is_refusal_kept:
        found.append("addresses: a hash of the address and since when it refuses offers, so that none is sent again.")
    found += [f"users/{each}: what your application has put there; delete it there." for each in done.applications]
    if person.others:
        found.append(
            f"{', '.join(person.others)}: of the same address or user, and not asked for. --customer forgets them too."
        )
    if done.untold:
        found.append(
            f"{done.untold} parked events whose bytes only Stripe has: nobody can tell from here whose they are."
        )
    if person.users:
        found.append(
            "The user's id where it stands in orders and claims on customers of other people, which are theirs."
        )
    return found


def remains(done: Forgotten, *, livemode: bool, provider: Provider, project: str, claims: bool) -> list[str]:
    """What is not here, and what to do about it."""
    person = done.person
    links = Links(Origin(customer=None, livemode=livemode, event=""))
    found = [
        f"Stripe has {each}: {links.customer(each)}, Delete customer. That ends its subscriptions"
        f"{' (there are live ones)' if person.live_subscriptions else ''}; payments and invoices stay there as the law "
        "wants it. What else can be removed: https://docs.stripe.com/privacy/deletion-requests"
        for each in person.customers
        if not paths.is_guest(each)
    ]
    if any(paths.is_guest(each) for each in person.customers):
        found.append(
            "Stripe has the guest's payments, without a Customer: a redaction job removes what they say of them."
        )
    if person.users and provider == "firebase":
        console = f"https://console.firebase.google.com/project/{project}/authentication/users"
        found.append(f"Firebase has the account of {', '.join(person.users)}: {console}, Delete account.")
    elif person.users:
        found.append(f"Whoever keeps your accounts may have that of {', '.join(person.users)}: delete it there.")
    if claims and person.users and any((each or {}).get("plans") for each in person.customers.values()):
        found.append("The account's tokens say the plans until it is deleted, or another customer of the user changes.")
    return [*found, *_ELSEWHERE]


def again(done: Forgotten) -> list[str]:
    """What to run when the last events of this person have come: one may have been on its way at that very moment."""
    return [f"python -m functions.operations.forget --customer {each} --yes" for each in done.person.customers]


def as_json(done: Forgotten, elsewhere: list[str], *, dry_run: bool) -> dict[str, Any]:
    """The report, for programs."""
    person = done.person
    return {
        "dry_run": dry_run,
        "customers": list(person.customers),
        "users": list(person.users),
        "erased": erased(done),
        "kept": kept(done),
        "remains": elsewhere,
        "again": again(done),
    }


def as_lines(done: Forgotten, elsewhere: list[str], *, dry_run: bool) -> list[str]:
    """The report, for people."""
    person = done.person
    users = {each: (fields or {}).get("user_id") for each, fields in person.customers.items()}
    whose = [f"  {each}{f', of user {user}' if user else ''}" for each, user in users.items()]
    counted = [f"  {number:>5} {collection}" for collection, number in erased(done).items()] or ["  nothing"]
    return [
        *(["Customers:", *whose] if whose else []),
        "Would be erased:" if dry_run else "Erased:",
        *counted,
        *_list("Stays here:", kept(done)),
        *_list("Is elsewhere:", elsewhere),
        *_list(
            "Again once they are deleted at Stripe, and after 31 days (docs/runbooks/forget-a-person.md):", again(done)
        ),
    ]


def _list(title: str, found: list[str]) -> list[str]:
    return [title, *(f"  - {each}" for each in found)] if found else []
