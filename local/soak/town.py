"""A town: households that buy, subscribe, pay late, cancel and are refunded. As many events as asked for, from a seed.

Each household has a Stripe account of its own, so that what has to come of one can be worked out without the others;
their ids, addresses and users differ, so that all of them are one account to the system.
"""

import random
from collections.abc import Callable, Iterator
from itertools import count

from local.account import Line
from local.billing import DAY, MONTH, BillingAccount, Price

START = 1_780_000_000
CLUB = Price("price_TownClub", "prod_TownClub", 980, lookup_key="club")
CLUB_PLUS = Price("price_TownClubPlus", "prod_TownClubPlus", 1980, lookup_key="club_plus")


def town(events: int, *, seed: int, first: int = 0) -> list[BillingAccount]:
    """Households with at least so many events between them, numbered from `first`."""
    return list(_until(events, (household(number, seed=seed) for number in count(first))))


def _until(events: int, households: Iterator[BillingAccount]) -> Iterator[BillingAccount]:
    for account in households:
        yield account
        events -= len(account.events)
        if events <= 0:
            return


def household(number: int, *, seed: int) -> BillingAccount:
    """One household: the same number and seed are the same household."""
    chance = random.Random(f"{seed}:{number}")
    account = BillingAccount(now=START + chance.randrange(DAY), prefix=f"Town{number}x")
    # In turn, so that few events have every kind too.
    _WAYS[number % len(_WAYS)](_Household(account, number, chance))
    return account


class _Household:
    """Somebody with an account at the shop, who does something there."""

    def __init__(self, account: BillingAccount, number: int, chance: random.Random) -> None:
        self.account = account
        self.chance = chance
        self.email = f"person{number}@example.com"
        self.name = f"町田 {number}"
        self.user = f"user-{number}"

    def arrive(self) -> str:
        """A Customer."""
        customer = self.account.create_customer(
            email=self.email, name=self.name, metadata={"user_id": self.user}, preferred_locales=["ja"]
        )
        self.wait()
        return customer

    def lines(self, most: int = 3) -> list[Line]:
        """Something in the cart."""
        number = self.chance.randint(1, most)
        return [Line(f"Item {each}", self.chance.randrange(100, 5000, 10)) for each in range(number)]

    def wait(self, seconds: int = DAY) -> None:
        """Some time, and sometimes none at all: ties within one second are what Stripe does too."""
        self.account.wait(self.chance.choice((0, 1, self.chance.randint(2, seconds))))


def _shopper(who: _Household) -> None:
    account, customer = who.account, who.arrive()
    for _ in range(who.chance.randint(1, 3)):
        session = account.open_session(who.lines(), customer=customer, client_reference_id=who.user)
        account.change_quantity(session, 0, who.chance.randint(1, 4))
        account.complete(session, email=who.email, name=who.name)
        who.wait()
    account.update_customer(customer, phone="+819012345678")
    who.wait()
    account.refund(session, account.objects[session]["amount_total"])


def _at_the_konbini(who: _Household) -> None:
    account = who.account
    session = account.open_session(who.lines(), client_reference_id=who.user, customer_creation="always")
    account.complete(session, email=who.email, name=who.name, paid=False, creates_customer=True)
    account.wait(3_600)
    if who.chance.random() < 0.7:
        account.pay_later(session)
    else:
        account.fail_later(session)


def _guest(who: _Household) -> None:
    account = who.account
    session = account.open_session(who.lines())
    account.complete(session, email=who.email, name=who.name)
    account.wait(60)
    account.refund(session, 50)
    account.wait(60)
    dispute = account.dispute(session)
    account.wait(DAY)
    account.close_dispute(dispute, who.chance.choice(("won", "lost")))


def _member(who: _Household) -> None:
    account, customer = who.account, who.arrive()
    card = account.attach_card(customer)
    subscription = account.subscribe(customer, [CLUB], trial_days=14, default_payment_method=card)
    account.wait(11 * DAY)
    account.trial_will_end(subscription)
    account.wait(3 * DAY)
    account.renew(subscription)
    account.wait(DAY)
    account.change_price(subscription, CLUB_PLUS)
    account.wait(MONTH)
    account.renew(subscription, paid=False)
    account.wait(3 * DAY)
    if who.chance.random() < 0.5:
        account.fail_again(subscription)
        account.wait(3 * DAY)
    account.recover(subscription)
    account.renew_card(card, expires=(2031, 9))


def _leaves(who: _Household) -> None:
    account, customer = who.account, who.arrive()
    kept = account.subscribe(customer, [CLUB])
    subscription = account.subscribe(customer, [CLUB_PLUS], needs_action=True)
    account.wait(7_200)
    account.authenticate(subscription)
    account.wait(DAY)
    account.cancel_later(subscription)
    who.wait(MONTH)
    account.cancel(subscription)
    account.wait(DAY)
    account.renew(kept)


def _thinks_about_it(who: _Household) -> None:
    account = who.account
    account.expire(account.open_session(who.lines()))
    forgotten = who.arrive()
    session = account.open_session(who.lines(most=130), client_reference_id=who.user)
    account.complete(session, email=who.email, name=who.name, creates_customer=True)
    who.wait()
    # Who has nothing to be told of any more: to whom a mail goes must not depend on what arrives first.
    account.delete_customer(forgotten)


_WAYS: tuple[Callable[[_Household], None], ...] = (
    _shopper,
    _at_the_konbini,
    _guest,
    _member,
    _leaves,
    _thinks_about_it,
)
