"""`python -m functions.operations.backfill`: what a Stripe account had before its events came here, into Firestore.

Customers, payment methods, subscriptions, invoices, paid Checkout Sessions, refunds and disputes go through the very
same reactions that events go through; nobody is written to, and nobody is made an account. Run it after the webhook
is connected: what happens meanwhile comes as events. It may be broken off at any time and goes on where it was.
"""

import argparse
import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from importlib import import_module

from functions.accounts.budget import Budget
from functions.adapters.clock import SystemClock
from functions.adapters.stripe import StripeApi
from functions.clock import Clock
from functions.errors import Permanent, Retry, SettingsError, Unexpected
from functions.identity import IdentityProvider
from functions.log import JsonLog
from functions.operations.ahead import ReadAhead
from functions.operations.backfilling import Backfill, Progress, Reacting, Result
from functions.operations.book import Refused
from functions.operations.budgeted import Budgeted
from functions.operations.environment import environment
from functions.operations.lists import LISTS, Stripe
from functions.operations.quiet import quiet, without_the_past
from functions.operations.rehearsal import Rehearsal
from functions.operations.showing import Bars, Lines, as_json, as_lines, has_rich, show
from functions.settings.accounts import identity_settings
from functions.settings.subscriber import SubscriberSettings, subscriber_settings
from functions.store import Store
from functions.subscriber import Subscriber
from functions.topology import function

#: In the order in which an object goes through them: accounts are looked for once the others know the customer.
FUNCTIONS = ("index_customers", "record_orders", "track_subscriptions", "provision_accounts")


def subscribers(
    settings: SubscriberSettings, store: Store, stripe: Stripe, clock: Clock, identity: IdentityProvider | None
) -> list[Reacting]:
    """The functions that a back-fill goes through, in silence."""
    names = [name for name in FUNCTIONS if name != "provision_accounts" or settings.accounts.asks]
    return [
        Subscriber(
            function=function(name),
            react=without_the_past(import_module(f"functions.reactions.{name}").react, clock),
            settings=quiet(settings, name),
            store=store,
            stripe=stripe,
            clock=clock,
            log=JsonLog(sys.stderr),
            identity=identity if name == "provision_accounts" else None,
        )
        for name in names
    ]


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """0: done. 1: something could not be taken, and is in the report. 2: broken off, to be run again."""
    chosen = _parser().parse_args(arguments)
    try:
        result = _run(chosen, environ)
    except (Retry, Unexpected) as problem:
        return _broken_off(f"{problem}\nWhat is done is kept: the next run goes on from there.")
    except KeyboardInterrupt:
        return _broken_off("Interrupted. What is done is kept: the next run goes on from there.")
    except Permanent as problem:
        return _broken_off(f"{problem}\nIs this the account of the last run? To begin a list anew: --restart --only …")
    except (Refused, SettingsError) as problem:
        return _broken_off(str(problem))
    if chosen.json:
        sys.stdout.write(json.dumps(as_json(result), indent=2) + "\n")
    elif has_rich():
        show(result)
    else:
        sys.stdout.write("\n".join(as_lines(result)) + "\n")
    return 1 if any(place.failed for place in result.places.values()) else 0


def _broken_off(message: str) -> int:
    sys.stderr.write(f"Broken off: {message}\n")
    return 2


def _run(chosen: argparse.Namespace, environ: Mapping[str, str]) -> Result:
    # Read when grpc is first imported: a batched read otherwise starts a thread for each call.
    os.environ.setdefault("GRPC_SINGLE_THREADED_UNARY_STREAM", "1")
    from google.cloud.firestore import Client  # noqa: PLC0415

    from functions.adapters.firestore import FirestoreStore  # noqa: PLC0415 -- imports grpc
    from functions.adapters.identity import identity_provider  # noqa: PLC0415

    settings, clock = subscriber_settings(environ), SystemClock()
    database: Store = FirestoreStore(Client(settings.project, database=settings.database))
    # The budget is everybody's, also in a rehearsal; a slot is for one request, and the back-fill tries again itself.
    api = StripeApi(settings.stripe_api_key, settings.stripe_api_base, clock, retries=0)
    stripe = Budgeted(api, Budget(database, clock))
    identity = identity_provider(identity_settings(environ))
    if chosen.dry_run:
        database = Rehearsal(database)
        # Tokens are no documents: they are told nothing.
        settings = replace(settings, accounts=replace(settings.accounts, claims=False))
    store = ReadAhead(database)
    with _progress() as progress:
        backfill = Backfill(
            stripe=stripe,
            functions=subscribers(settings, store, stripe, clock, identity),
            store=store,
            clock=clock,
            progress=progress,
            mark=secrets.token_hex(8),
            user_id_key=settings.user_id_key,
            livemode="_live_" in settings.stripe_api_key,
            concurrency=chosen.concurrency,
        )
        return backfill.run(chosen.only or (), restart=chosen.restart or chosen.dry_run)


def _progress() -> AbstractContextManager[Progress]:
    return Bars() if has_rich() and sys.stderr.isatty() else nullcontext(Lines())


def _threads(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 64:
        raise ValueError
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m functions.operations.backfill",
        description="Bring what a Stripe account had before its events came here into Firestore, through the same "
        "reactions and without a mail. Broken off, it goes on where it was. Settings come from the environment and "
        "from .env, as for the functions; from a checkout with requirements-dev.txt it shows bars and tables.",
        epilog="Stripe's rate budget is shared with the functions: 10,000 customers take about a quarter of an hour. "
        "Of two at once the later one goes on and the earlier one stops.",
    )
    names = [each.name for each in LISTS]
    parser.add_argument("--only", action="append", choices=names, help="this list only; may be repeated")
    parser.add_argument("--restart", action="store_true", help="begin the lists anew; what is stored stays")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="read and decide everything from the start, keep it in memory, write none",
    )
    parser.add_argument("--concurrency", type=_threads, default=8, metavar="N", help="threads, 1 to 64; 8 unless said")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], environment()))
