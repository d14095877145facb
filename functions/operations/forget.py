"""`python -m functions.operations.forget`: erase a person everywhere here, and say what remains, here and elsewhere.

By a customer, an address or a user. Done twice it is done once; broken off at any moment, the next run goes on. The
steps around it are in docs/runbooks/forget-a-person.md.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence

from google.cloud.firestore import Client

from functions import paths
from functions.adapters.clock import SystemClock
from functions.adapters.erasing import FirestoreTraces
from functions.adapters.firestore import FirestoreStore
from functions.errors import Conflict, Permanent, Retry, SettingsError
from functions.operations.environment import environment
from functions.operations.forget_person import Asked
from functions.operations.forget_report import as_json, as_lines, remains
from functions.operations.forgetting import Forgetting, Forgotten
from functions.operations.rehearsal import Rehearsal
from functions.settings.subscriber import SubscriberSettings, subscriber_settings
from functions.store import Store

#: Asks a person, and returns what they type.
Ask = Callable[[str], str]


def forgetting(settings: SubscriberSettings, *, dry_run: bool) -> Forgetting:
    """Everything it takes, on the real database."""
    client = Client(settings.project, database=settings.database)
    store: Store = FirestoreStore(client)
    return Forgetting(
        store=Rehearsal(store) if dry_run else store,
        traces=FirestoreTraces(client, settings.mail.collection),
        clock=SystemClock(),
        mail=settings.mail.collection,
        user_id_key=settings.user_id_key,
    )


def main(arguments: Sequence[str], environ: Mapping[str, str], ask: Ask | None = None) -> int:
    """0: done, or so already. 1: nobody like that is here. 2: not done to the end. `ask` is None in a script."""
    chosen = _parser().parse_args(arguments)
    asked = _asked(chosen)
    try:
        settings = subscriber_settings(environ)
        found = forgetting(settings, dry_run=True).run(asked)
        if not found.erased:
            _report(found, settings, chosen, dry_run=chosen.dry_run)
            return 0 if found.person.customers else 1
        if chosen.dry_run:
            _report(found, settings, chosen, dry_run=True)
            return 0
        if not chosen.yes and not _agreed(found, settings, ask):
            return 2
        done = forgetting(settings, dry_run=False).run(asked)
    except (Conflict, Permanent, Retry) as problem:
        print(f"Not done to the end: {problem}\nRun it again: it goes on from there.", file=sys.stderr)
        return 2
    except SettingsError as problem:
        print(f"Not done: {problem}", file=sys.stderr)
        return 2
    _report(done, settings, chosen, dry_run=False)
    return 0


def _asked(chosen: argparse.Namespace) -> Asked:
    if chosen.customer:
        return Asked("customer", chosen.customer)
    return Asked("email", chosen.email) if chosen.email else Asked("user", chosen.user)


def _agreed(found: Forgotten, settings: SubscriberSettings, ask: Ask | None) -> bool:
    if ask is None:
        print("Nothing done: there is nobody to ask. To erase without being asked: --yes.", file=sys.stderr)
        return False
    print("\n".join(as_lines(found, _elsewhere(found, settings), dry_run=True)), file=sys.stderr)
    if ask("Nothing brings this back. Type yes to erase it: ").strip().lower() == "yes":
        return True
    print("Nothing done.", file=sys.stderr)
    return False


def _elsewhere(done: Forgotten, settings: SubscriberSettings) -> list[str]:
    accounts, livemode = settings.accounts, "_live_" in settings.stripe_api_key
    return remains(
        done, livemode=livemode, provider=accounts.provider, project=settings.project, claims=accounts.claims
    )


def _report(done: Forgotten, settings: SubscriberSettings, chosen: argparse.Namespace, *, dry_run: bool) -> None:
    elsewhere = _elsewhere(done, settings)
    if chosen.json:
        print(json.dumps(as_json(done, elsewhere, dry_run=dry_run), indent=2, ensure_ascii=False))
    else:
        print("\n".join(as_lines(done, elsewhere, dry_run=dry_run)))


def _email(text: str) -> str:
    if "@" not in text or paths.normalise_email(text) is None:
        raise ValueError
    return text


def _id(text: str) -> str:
    if not text.strip():
        raise ValueError
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m functions.operations.forget",
        description="Erase a person everywhere here: customers with all that is beneath them, guests of their address, "
        "index, mails, payments, parked events. Says what stays and why, and what is elsewhere. The settings are those "
        "of provision_accounts, from the environment and from .env.",
    )
    whom = parser.add_mutually_exclusive_group(required=True)
    whom.add_argument("--customer", type=_id, metavar="ID", help="cus_… or guest_…, and the guests of its address")
    whom.add_argument("--email", type=_email, metavar="ADDRESS", help="every customer with this address")
    whom.add_argument("--user", type=_id, metavar="ID", help="every customer of this user, and the guests of theirs")
    parser.add_argument("--dry-run", action="store_true", help="say what would be erased, and erase nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], environment(), input if sys.stdin.isatty() else None))
