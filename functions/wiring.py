"""The look-up of customers, wired: for the functions of this project, and for any Python service beside them."""

import sys
from collections.abc import Mapping
from functools import partial

from google.cloud.firestore import Client

from functions.accounts.budget import Budget
from functions.accounts.lookup import Lookup
from functions.accounts.plans import grant_again
from functions.adapters.clock import SystemClock
from functions.adapters.firestore import FirestoreStore
from functions.adapters.identity import identity_provider
from functions.adapters.stripe import StripeApi
from functions.effects import Decision
from functions.execution import Executor
from functions.log import JsonLog
from functions.reactions import index_customers
from functions.settings.accounts import identity_settings
from functions.settings.subscriber import subscriber_settings
from functions.stripe_events import StripeEvent

#: Somebody waits for the answer.
_TIMEOUT_SECONDS = 5.0


def lookup_from(environ: Mapping[str, str]) -> Lookup:
    """A look-up with the settings of `index_customers`: one for each process. Raises SettingsError."""
    settings, clock = subscriber_settings(environ), SystemClock()
    store = FirestoreStore(Client(settings.project, database=settings.database), timeout_seconds=_TIMEOUT_SECONDS)
    # A place in the queue is good for one request. Whoever asks may ask again.
    stripe = StripeApi(settings.stripe_api_key, settings.stripe_api_base, clock, retries=0)
    identity = identity_provider(identity_settings(environ)) if settings.accounts.claims else None
    executor = Executor(store=store, stripe=stripe, mail=settings.mail, clock=clock, identity=identity)

    def apply(event: StripeEvent) -> Decision:
        decision, _ = executor.run(partial(index_customers.react, event, settings), event)
        if settings.accounts.claims:
            # No event follows that would tell the tokens of whoever has just been linked.
            executor.run(partial(grant_again, event.subject()))
        return decision

    return Lookup(
        store=store,
        stripe=stripe,
        budget=Budget(store, clock),
        clock=clock,
        log=JsonLog(sys.stdout),
        apply=apply,
        user_id_key=settings.user_id_key,
    )
