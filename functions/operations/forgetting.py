"""Erasing a person: what leads to something goes after it, and each step is a commit.

However a run ends, the next one finds what is left: first goes what only the person's customers lead to, then what is
beneath them, at last each customer together with the index entries by which it is found, guests before the Customers
that lead to them. What is left of a customer is a tombstone that says nothing of anybody: to `index_customers` it is
deleted, and nothing brings such a one back.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from functions import paths
from functions.clock import Clock
from functions.customer_index import keys_to_change, membership, move
from functions.effects import Delete, Effect, Json, Merge, Put
from functions.errors import Conflict, Retry
from functions.linking import link_fields
from functions.operations.forget_parked import is_about
from functions.operations.forget_person import Asked, Person, Traces, find
from functions.store import Found, Store

#: Documents in one commit: a Firestore request ends at 10 MiB, and what is deleted counts little.
_BATCH = 100
_ROUNDS = 6
_PAUSE_SECONDS = 0.05
_BACKFILL = paths.operation("backfill")


@dataclass(slots=True)
class Forgotten:
    """What came of it. `erased` counts documents by collection; those that were only changed are in it too."""

    person: Person
    erased: Counter[str] = field(default_factory=Counter)
    #: Parked events of whose bytes nothing is kept here, so that nobody can tell whose they are.
    untold: int = 0
    #: Users whose document an application has put fields of its own into.
    applications: tuple[str, ...] = ()
    #: Whether an entry stays that says that an address wants no offers.
    is_refusal_kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgetting:
    """Everything it takes. `store` may be a rehearsal, which changes nothing."""

    store: Store
    traces: Traces
    clock: Clock
    #: The collection of mails.
    mail: str
    #: The key in metadata that names a user.
    user_id_key: str

    def run(self, asked: Asked) -> Forgotten:
        """Erase everything of this person. Raises Retry: run again, it goes on from there."""
        person = find(asked, self.store, self.traces)
        done = Forgotten(person)
        now = int(self.clock.now())
        # Of whom only something beneath is known would not be found again without it.
        self._tombs([each for each, fields in person.customers.items() if fields is None], now, done)
        self._delete(self._about(person, done), done)
        self._delete_misses(person, done)
        self._forget_failures(person, done)
        self._keep_refusals(person, done)
        claims = {paths.claims(each) for each in person.customers}
        # Guests first, and each whole: what a Customer has bought is what leads to its guests.
        for customer, fields in person.customers.items():
            own = f"{paths.customer(customer)}/"
            self._delete([path for path in person.beneath if path.startswith(own) and path not in claims], done)
            if fields is not None:
                self._tomb(customer, now, done)
        users = [paths.user(each) for each in person.users]
        left = self.store.read(users) if users else {}
        fields = {each: left[paths.user(each)].fields or {} for each in person.users}
        done.applications = tuple(each for each in person.users if fields[each] and "customers" not in fields[each])
        return done

    def _about(self, person: Person, done: Forgotten) -> list[str]:
        """What lies elsewhere: mails, payments, parked events, what was handed on."""
        names = sorted(person.names)
        found = set(self._payments(person)) | self.traces.deliveries(names).keys()
        told: set[str] = set()
        for path, parked in self.traces.parked_events().items():
            theirs = is_about(parked, person, self.user_id_key)
            done.untold += theirs is None
            if theirs:
                found.add(path)
                told.add(f"parked_{parked.get('event_id')}_{parked.get('function')}")
        for path, mail in self.traces.mails(names, person.emails).items():
            # Of two customers of one address each has mails of its own.
            if mail.get("customer") is None or mail["customer"] in person.names:
                found.add(path)
                told |= {f"mail_failed_{path.rpartition('/')[2]}"}
        found |= self._there([paths.mail(self.mail, each) for each in sorted(told)]).keys()
        return sorted(found)

    def _delete_misses(self, person: Person, done: Forgotten) -> None:
        """That nobody was found under their address or id; unless somebody has been, a moment ago."""
        keys = [key for email in person.emails for key in paths.index_of_email(email)]
        keys += [key for user in person.users for key in paths.index_of_user(user)]
        keys += [paths.index_of_customer(each) for each in person.names]
        for key in sorted(set(keys)):
            found = self.store.read([key])
            fields = found[key].fields
            if fields is not None and not fields.get("entries"):
                with suppress(Conflict):
                    self._commit([Delete(key)], found, done)

    def _payments(self, person: Person) -> list[str]:
        orders = tuple(f"{paths.customer(each)}/" for each in person.names)
        found = self._there([paths.payment(each) for each in person.payments]) | self.traces.payments(person.invoices)
        return [path for path, each in found.items() if each.get("order") is None or each["order"].startswith(orders)]

    def _forget_failures(self, person: Person, done: Forgotten) -> None:
        """The report of a back-fill names what could not be taken."""
        found = self.store.read([_BACKFILL])
        failures = (found[_BACKFILL].fields or {}).get("failures", [])
        left = [each for each in failures if each["id"] not in person.ids]
        if left != failures:
            self._commit([Merge(_BACKFILL, {"failures": left})], found, done)

    def _keep_refusals(self, person: Person, done: Forgotten) -> None:
        """`addresses/{hash}` says that somebody wants no offers, whatever said it before, and nothing else."""
        for address in sorted({paths.address_by(paths.address_hash(each)) for each in self._addresses(person)}):
            emails = [each for each in self._addresses(person) if address in paths.address(each)]
            keys = sorted({key for each in emails for key in paths.index_of_email(each)})
            found = self.store.read([address, *keys])
            stored = found[address].fields or {}
            said = [_refused_at(each) for each in person.customers.values() if each and each.get("email") in emails]
            refused = max([at for at in (*said, stored.get("refused_at")) if at is not None], default=None)
            shared = any(set((found[key].fields or {}).get("customers", ())) - person.names for key in keys)
            kept = dict(stored) if shared else {}
            kept |= {"refused_at": refused} if refused is not None else {}
            done.is_refusal_kept |= refused is not None
            if kept != stored:
                effect = Put(address, kept) if kept else Delete(address)
                self._commit([effect], {address: found[address]}, done)

    @staticmethod
    def _addresses(person: Person) -> set[str]:
        stored = {each["email"] for each in person.customers.values() if each and each.get("email")}
        return {each for each in (*person.emails, *stored) if paths.normalise_email(each)}

    def _tombs(self, customers: Iterable[str], now: int, done: Forgotten) -> None:
        for customer in customers:
            self._tomb(customer, now, done)

    def _tomb(self, customer: str, now: int, done: Forgotten) -> None:
        """Nothing is left of a customer but that it was forgotten, and nothing leads to it, in one commit."""
        path, claims = paths.customer(customer), paths.claims(customer)
        for _ in range(_ROUNDS):
            found = dict(self.store.read([path, claims]))
            stored = found[path].fields
            before, after = membership(stored), membership(None)
            keys = sorted(keys_to_change(before, after))
            found |= self.store.read(keys) if keys else {}
            index = {key: found[key].fields for key in keys}
            effects: list[Effect] = [] if _is_tombstone(stored) else [Put(path, tombstone(now))]
            effects += [Delete(claims)] if found[claims].fields is not None else []
            effects += move(customer, before, after, index)
            try:
                self._commit(effects, found, done)
            except Conflict:
                self.clock.sleep(_PAUSE_SECONDS)
                continue
            return
        raise Retry(f"{customer} changed under {_ROUNDS} attempts to erase it")

    def _there(self, wanted: Sequence[str]) -> dict[str, Json]:
        """Those of these documents that there are."""
        found: dict[str, Json] = {}
        unique = sorted(set(wanted))
        for start in range(0, len(unique), _BATCH):
            some = self.store.read(unique[start : start + _BATCH])
            found |= {path: each.fields for path, each in some.items() if each.fields is not None}
        return found

    def _delete(self, documents: Sequence[str], done: Forgotten) -> None:
        for start in range(0, len(documents), _BATCH):
            self._commit([Delete(path) for path in documents[start : start + _BATCH]], {}, done)

    def _commit(self, effects: Sequence[Effect], found: Mapping[str, Found], done: Forgotten) -> None:
        if not effects:
            return
        self.store.commit(effects, found)
        done.erased.update(each.path.split("/")[-2] for each in effects)


def tombstone(now: int) -> Json:
    """What is left of a customer, from `now` (epoch seconds) on. It has what others read of any customer.

    `as_of` makes everything that happened before stale also for a guest, who may come back and buy again.
    """
    return {"deleted": True, "forgotten_at": now, "as_of": now, "as_of_events": ["forgotten"]} | link_fields(())


def _is_tombstone(stored: Json | None) -> bool:
    return stored is not None and stored == tombstone(stored.get("forgotten_at", 0))


def _refused_at(customer: Json) -> int | None:
    marketing = customer.get("marketing") or {}
    return marketing["at"] if marketing.get("status") == "opt_out" else None
