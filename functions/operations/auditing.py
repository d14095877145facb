"""Stripe's customers, subscriptions and paid sessions, each held against what is stored: what is missing, stale, extra.

Everything is looked at once, a page at a time; whatever differs is fetched and looked at again a moment later, so that
an event that was on its way is no difference. Nothing is changed unless asked for, and then by the very reactions.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from functions import paths
from functions.clock import Clock
from functions.effects import Fetch, Json, Kind
from functions.errors import Permanent, Retry
from functions.operations.audit_compare import (
    AUDITED,
    Difference,
    Lookup,
    ahead,
    compare,
    concerns,
    events_of,
    own_path,
)
from functions.operations.backfilling import PAUSES_SECONDS, Reacting
from functions.operations.lists import BEHIND_SECONDS, Listed, Stripe
from functions.settings.subscriber import SubscriberSettings
from functions.store import Store

#: How long an event that was on its way may take until a difference is one.
MOMENT_SECONDS = 5.0
_MOST_PATHS = 300
_KINDS: dict[str, Kind] = {"customers": "customer", "subscriptions": "subscription", "sessions": "checkout.session"}
#: Where the documents of a list are, and what has to be known of them.
_COLLECTIONS = {
    "customers": ("customers", ("livemode", "deleted")),
    "subscriptions": ("subscriptions", ("livemode",)),
    "sessions": ("orders", ("livemode", "status")),
}
_PAID = {"paid", "partially_refunded", "refunded"}

_T = TypeVar("_T")
#: A list, and how many objects of it have been looked at and how many of them differ.
Told = Callable[[str, int, int], None]


class Walk(Protocol):
    """The database, as far as it has to be gone through."""

    def documents(self, collection: str, fields: Sequence[str]) -> Iterator[list[tuple[str, Json]]]:
        """Pages of (path, these fields) of `customers`, or of a collection inside each customer. Raises Retry."""


@dataclass(slots=True)
class Report:
    """What an audit found."""

    looked_at: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    #: Objects that say nothing that can be stored: list, id, why.
    unreadable: list[tuple[str, str, str]] = field(default_factory=list)
    #: Those differences that a repair has left; None where none was asked for.
    remaining: list[Difference] | None = None

    @property
    def is_right(self) -> bool:
        """Whether everything is now as Stripe has it."""
        left = self.differences if self.remaining is None else self.remaining
        return not left and not self.unreadable


@dataclass(frozen=True, slots=True)
class _Suspect:
    listed: Listed
    id: str
    #: Where it is stored, of one that Stripe does not list.
    document: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """One audit with everything it uses. Raises Retry where something does not answer for long."""

    stripe: Stripe
    store: Store
    #: None: what is stored and not listed at Stripe is not looked for.
    walk: Walk | None
    clock: Clock
    settings: SubscriberSettings
    #: What a repair goes through, as a back-fill does: in silence.
    functions: Sequence[Reacting] = ()
    #: The mode of the key: documents of the other mode are nothing it could know.
    livemode: bool
    told: Told = lambda _, __, ___: None

    def run(self, *, repair: bool = False) -> Report:
        """Look at everything, and with `repair` apply what is missing or stale. What is extra stays."""
        report = Report()
        suspects = [suspect for listed in AUDITED for suspect in self._look_at(listed, report)]
        report.differences = self._look_again(suspects, report)
        if repair:
            wrong = {(each.list, each.id) for each in report.differences if each.kind != "extra"}
            chosen = [each for each in suspects if (each.listed.name, each.id) in wrong]
            for suspect in chosen:
                self._repair(suspect, report)
            extra = [each for each in report.differences if each.kind == "extra"]
            report.remaining = sorted([*self._look_again(chosen, report), *extra])
        return report

    def _look_at(self, listed: Listed, report: Report) -> list[_Suspect]:
        """One list of Stripe's to its end, and then the documents that are not in it."""
        suspects: list[_Suspect] = []
        seen: set[str] = set()
        after, has_more = None, True
        while has_more:
            at = self._now()
            page = partial(self.stripe.page, listed.path, {**listed.filters}, after)
            listing, has_more = self._patiently(page)
            has_more = has_more and bool(listing)
            after = str(listing[-1]["id"]) if listing else None
            seen |= {str(each["id"]) for each in listing}
            found = [each for each in listing if concerns(listed, each)]
            lookup = self._lookup(found)
            self._patiently(partial(self._read_ahead, listed, found, lookup))
            suspects += [
                _Suspect(listed, str(each["id"])) for each in found if self._compare(listed, each, at, lookup, report)
            ]
            report.looked_at[listed.name] += len(found)
            self.told(listed.name, report.looked_at[listed.name], len(suspects))
        return suspects + list(self._unlisted(listed, seen))

    def _unlisted(self, listed: Listed, seen: set[str]) -> Iterator[_Suspect]:
        if self.walk is None:
            return
        collection, fields = _COLLECTIONS[listed.name]
        for page in self.walk.documents(collection, fields):
            for path, document in page:
                object_id = path.rpartition("/")[2]
                if object_id not in seen and self._has_to_be_there(listed, object_id, document):
                    yield _Suspect(listed, object_id, path)

    def _has_to_be_there(self, listed: Listed, object_id: str, document: Mapping[str, object]) -> bool:
        if document.get("livemode", self.livemode) is not self.livemode:
            return False
        if listed.name == "customers":
            return not paths.is_guest(object_id) and not document.get("deleted")
        return listed.name != "sessions" or document.get("status") in _PAID

    def _look_again(self, suspects: Sequence[_Suspect], report: Report) -> list[Difference]:
        """A moment later, each by itself, as it is then."""
        if suspects:
            self.clock.sleep(MOMENT_SECONDS)
        differences: dict[Difference, None] = {}
        for number, suspect in enumerate(suspects, 1):
            differences |= dict.fromkeys(self._difference_of(suspect, report))
            self.told("differences", number, len(differences))
        return sorted(differences)

    def _difference_of(self, suspect: _Suspect, report: Report) -> list[Difference]:
        listed, at = suspect.listed, self._now()
        found = self._fetch(suspect)
        if found is not None and (listed.name == "customers" or concerns(listed, found)):
            return self._compare(listed, found, at, self._lookup([found]), report)
        if found is None and suspect.document is not None:
            return [Difference(list=listed.name, id=suspect.id, kind="extra", document=suspect.document)]
        # Deleted since it was listed, which has an event of its own.
        return []

    def _repair(self, suspect: _Suspect, report: Report) -> None:
        at, found = self._now(), self._fetch(suspect)
        if found is None:
            return
        try:
            own = own_path(suspect.listed, found, self.settings.user_id_key)
            is_stored = self._lookup([]).documents([own])[own] is not None
            events = list(events_of(suspect.listed, found, at, is_stored=is_stored))
            by_name = {each.function.name: each for each in self.functions}
            for name, event in events:
                self._patiently(partial(by_name[name].apply, event))
            # Accounts are told what the others have come to.
            if accounts := by_name.get("provision_accounts"):
                self._patiently(partial(accounts.apply, events[-1][1]))
        except Permanent as problem:
            report.unreadable.append((suspect.listed.name, suspect.id, str(problem)))

    def _compare(self, listed: Listed, found: Json, at: int, lookup: Lookup, report: Report) -> list[Difference]:
        try:
            return self._patiently(partial(compare, listed, found, at, lookup, self.settings))
        except Permanent as problem:
            report.unreadable.append((listed.name, str(found.get("id")), str(problem)))
            return []

    def _fetch(self, suspect: _Suspect) -> Json | None:
        """An object as it is now; None where Stripe has none."""
        try:
            return self._patiently(
                partial(self.stripe.fetch, Fetch(_KINDS[suspect.listed.name], suspect.id), None),
            )
        except Permanent:
            return None

    def _lookup(self, found: Sequence[Json]) -> Lookup:
        return Lookup(self._read, lambda request: self.stripe.fetch(request, None), found)

    def _read_ahead(self, listed: Listed, found: Sequence[Json], lookup: Lookup) -> None:
        wanted: list[str] = []
        for each in found:
            try:
                wanted += ahead(listed, each, self.settings.user_id_key)
            except Permanent:
                # The comparison says so.
                continue
        if wanted:
            lookup.documents(wanted)

    def _read(self, wanted: Sequence[str]) -> dict[str, Json | None]:
        found: dict[str, Json | None] = {}
        for start in range(0, len(wanted), _MOST_PATHS):
            read = self.store.read(wanted[start : start + _MOST_PATHS])
            found |= {path: each.fields for path, each in read.items()}
        return found

    def _now(self) -> int:
        return int(self.clock.now()) - BEHIND_SECONDS

    def _patiently(self, act: Callable[[], _T]) -> _T:
        """Try again what fails for now. Raises Retry where it goes on failing."""
        for pause in PAUSES_SECONDS:
            try:
                return act()
            except Retry:
                self.clock.sleep(pause)
        return act()
