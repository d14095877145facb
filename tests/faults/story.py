"""The story that faults disturb, told without any: what once and in order makes of it."""

from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import Any

from google.cloud.firestore import Client

from functions.topology import function
from local.billing import BillingAccount
from local.soak.documents import by_path, differences, sent_again, snapshots
from local.soak.town import town
from local.system import System
from tests.driving import World
from tests.test_mail_in_any_order import REACTIONS

Json = dict[str, Any]
#: Every test tells of households that no other test has: one database serves them all.
_APART = 10_000


class Story:
    """Some households of a town, their events in the order of time, and what has to come of them."""

    def __init__(self, events: int, *, seed: int, number: int = 0) -> None:
        self.households = town(events, seed=seed, first=number * _APART)

    @property
    def events(self) -> list[Json]:
        """The first of each household, then the second of each, and so on: all of them live at the same time."""
        told = zip_longest(*(account.events for account in self.households))
        return [event for event in chain.from_iterable(told) if event]

    def objects(self) -> Iterable[Json]:
        """Everything as Stripe's API shows it in the end."""
        return chain.from_iterable(account.api_objects() for account in self.households)

    def expected(self) -> Json:
        """Every document, by the pure reactions."""
        documents: Json = {}
        for account in self.households:
            world = _told(account)
            documents |= world.documents | {f"mail/{name}": mail for name, mail in world.mail().items()}
        return documents


def _told(account: BillingAccount) -> World:
    world = World(account)
    for data in account.events:
        for name, react in REACTIONS.items():
            if data["type"] in function(name).event_types:
                world.deliver(react, data)
    return world


class Records:
    """What a system's database has gained since this was made."""

    def __init__(self, system: System) -> None:
        self._client: Client = system.firestore()
        self._before = {each.reference.path for each in snapshots(self._client)}

    def check(self, expected: Json) -> None:
        """The documents equal those of the undisturbed run, and every mail exists and was written once."""
        found = [each for each in snapshots(self._client) if each.reference.path not in self._before]
        wrong = [*differences(by_path(found), expected), *sent_again(found)]
        assert not wrong, "\n".join(wrong)
