"""`python -m functions.operations.link`: decide whose a customer is, where the events have it wrong or do not know.

An operator's word goes before every claim. `link` gives a customer to a user; `unlink` takes it from everybody who
claims it now, and for them for good, until somebody else claims it or it is linked again. Both move the index, and
with CLAIMS=on tell the tokens of everybody concerned.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence

from google.cloud.firestore import Client

from functions.accounts.owners import Owners
from functions.adapters.clock import SystemClock
from functions.adapters.firestore import FirestoreStore
from functions.adapters.identity import identity_provider
from functions.adapters.stripe import StripeApi
from functions.clock import Clock
from functions.errors import Permanent, Retry, SettingsError
from functions.execution import Executor
from functions.operations.environment import environment
from functions.settings.accounts import identity_settings
from functions.settings.subscriber import SubscriberSettings, subscriber_settings


def executor_of(settings: SubscriberSettings, environ: Mapping[str, str], clock: Clock) -> Executor:
    """What an operator's decisions are carried out with."""
    return Executor(
        store=FirestoreStore(Client(settings.project, database=settings.database)),
        stripe=StripeApi(settings.stripe_api_key, settings.stripe_api_base, clock),
        identity=identity_provider(identity_settings(environ)),
        mail=settings.mail,
        clock=clock,
    )


def _user(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty: to take the customer from everybody, say --unlink")
    return text


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """0: done, or so already. 1: there is nothing like that. 2: could not be done."""
    parser = argparse.ArgumentParser(
        prog="python -m functions.operations.link",
        description="Decide whose a customer is. The settings are those of provision_accounts, from the environment "
        "and from .env.",
    )
    parser.add_argument("customer", help="cus_… or guest_…, the id of its document in customers/")
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--user", type=_user, help="the user whose it is from now on")
    whose.add_argument("--unlink", action="store_true", help="nobody who claims it now is to have it")
    chosen = parser.parse_args(arguments)
    try:
        settings = subscriber_settings(environ)
        owners = Owners(executor_of(settings, environ, SystemClock()), tell_tokens=settings.accounts.claims)
        if chosen.unlink:
            decision = owners.take(chosen.customer)
        else:
            decision = owners.give(chosen.customer, chosen.user, by="operator")
    except (SettingsError, Permanent, Retry) as problem:
        print(f"Not done: {problem}", file=sys.stderr)
        return 2
    if decision.outcome == "ignored":
        print(f"Nothing done: {decision.reason}.", file=sys.stderr)
        return 1
    whose_now = "unlinked" if chosen.unlink else f"linked to {chosen.user}"
    print(f"{chosen.customer} is {whose_now}{' already' if decision.outcome == 'duplicate' else ''}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], environment()))
