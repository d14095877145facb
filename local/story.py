"""The demo's story: a few people and a small shop in Tokyo, as it would happen at Stripe."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from functions.mail.table import BY_NAME
from local.account import Account, Json, Line
from local.billing import DAY, MONTH, BillingAccount, Price

MUG = Line("ドリップマグ", 1400, price="price_DemoMug", product="prod_DemoMug")
CLUB = Price("price_DemoClub", "prod_DemoClub", 980, lookup_key="club")
CLUB_PLUS = Price("price_DemoClubPlus", "prod_DemoClubPlus", 1980, lookup_key="club_plus")
CLUB_YEARLY = Price("price_DemoClubYear", "prod_DemoClub", 9800, lookup_key="club", interval="year")
CLUB_PLUS_YEARLY = Price("price_DemoClubPlusYear", "prod_DemoClubPlus", 19800, lookup_key="club_plus", interval="year")
FREE = Price("price_DemoFree", "prod_DemoClub", 0, lookup_key="free")
_HOUR = 3_600
BEANS = Line("コーヒー豆 200g", 2000, price="price_DemoBeans", product="prod_DemoBeans")


@dataclass(frozen=True, slots=True)
class Purchase:
    """One purchase, and what the records must say of it in the end."""

    session: str
    told: str
    status: str
    amount_total: int
    lines: tuple[tuple[str, int], ...]
    user_id: str | None
    #: Every mail it causes, by the name of its row.
    mails: tuple[str, ...]
    is_guest: bool = False


@dataclass(frozen=True, slots=True)
class Followed:
    """One subscription, and what the records must say of it in the end."""

    subscription: str
    customer: str
    told: str
    status: str
    plans: tuple[str, ...]
    user_id: str
    #: Every mail it causes, by the name of its row.
    mails: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """What happens within an hour, and how everything then looks at Stripe."""

    events: list[Json]
    objects: list[Json]
    #: When it is over, in epoch seconds.
    at: int


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that happens, and what has to come of it."""

    account: BillingAccount
    chapters: tuple[Chapter, ...]
    purchases: tuple[Purchase, ...]
    followed: tuple[Followed, ...]


class _Telling(BillingAccount):
    """An account that remembers how it looked whenever nothing happened for an hour."""

    def __init__(self, *, now: int) -> None:
        super().__init__(now=now)
        self.chapters: list[Chapter] = []
        self._told = 0

    def wait(self, seconds: int) -> None:
        if seconds >= _HOUR:
            self.end_chapter()
        super().wait(seconds)

    def end_chapter(self) -> None:
        """Everything since the last one."""
        if events := self.events[self._told :]:
            self._told = len(self.events)
            self.chapters.append(Chapter(events, self.api_objects(), self.now))


def tell(now: int) -> Story:
    """The story from `now` (epoch seconds) on; it takes about a year and a half."""
    account = _Telling(now=now)
    purchases = (
        _pricing_table(account),
        _konbini(account),
        _guest(account),
        _quantity_changed(account),
        _slip_not_paid(account),
        _left_cart(account),
    )
    followed = (_recovers(account), _cancels(account), *_a_year(account))
    account.end_chapter()
    return Story(account, tuple(account.chapters), purchases, followed)


def expected_mails(story: Story) -> Counter[tuple[str, str]]:
    """How many mails of each kind, to the customer and to support, the story has to cause."""
    caused = [purchase.mails for purchase in story.purchases] + [followed.mails for followed in story.followed]
    return Counter((name, audience) for mails in caused for name in mails for audience in BY_NAME[name].to)


def _recovers(account: BillingAccount) -> Followed:
    customer = account.create_customer(email="ren@example.com", name="高橋 蓮", metadata={"user_id": "user_ren"})
    account.attach_card(customer, last4="4242")
    account.wait(20)
    subscription = account.subscribe(customer, [CLUB], trial_days=14)
    account.wait(11 * DAY)
    account.trial_will_end(subscription)
    account.wait(3 * DAY)
    account.renew(subscription)
    account.wait(2 * DAY)
    account.change_price(subscription, CLUB_PLUS)
    account.wait(MONTH)
    account.renew(subscription, paid=False)
    account.wait(3 * DAY + _HOUR)
    account.recover(subscription)
    account.wait(60)
    return Followed(
        subscription,
        customer,
        "Ren tries the club for 14 days, upgrades, and a renewal fails and recovers three days later.",
        "active",
        ("club_plus",),
        "user_ren",
        ("welcome", "trial_ending", "invoice_unpaid", "unpaid_followup"),
    )


def _cancels(account: BillingAccount) -> Followed:
    customer = account.create_customer(email="mei@example.com", name="伊藤 芽依", metadata={"user_id": "user_mei"})
    account.wait(20)
    account.subscribe(customer, [CLUB])
    account.wait(DAY)
    subscription = account.subscribe(customer, [CLUB_PLUS], needs_action=True)
    account.wait(2 * _HOUR)
    account.authenticate(subscription)
    account.wait(10 * DAY)
    account.cancel_later(subscription)
    account.wait(20 * DAY)
    account.cancel(subscription)
    account.wait(60)
    return Followed(
        subscription,
        customer,
        "Mei takes the club twice by mistake, confirms one two hours later, and cancels it: the other one stays.",
        "canceled",
        ("club",),
        "user_mei",
        ("welcome", "invoice_action", "canceled"),
    )


def _a_year(account: BillingAccount) -> tuple[Followed, ...]:
    """Three people of whom Stripe has nothing to tell for months, while time does its part."""
    for price in (CLUB, CLUB_YEARLY):
        account.sell(price)
    wants_offers = {"marketing": "opt_in"}
    aoi = account.create_customer(
        email="aoi@example.com", name="小林 葵", metadata={"user_id": "user_aoi", **wants_offers}
    )
    card = account.attach_card(aoi, last4="1881", expires=_month_in(account.now, months=8))
    monthly = account.subscribe(aoi, [CLUB], default_payment_method=card)
    account.wait(60)
    haru = account.create_customer(email="haru@example.com", name="加藤 陽", metadata={"user_id": "user_haru"})
    yearly = account.subscribe(haru, [CLUB_PLUS_YEARLY])
    account.wait(60)
    tomo = account.create_customer(
        email="tomo@example.com", name="吉田 智", metadata={"user_id": "user_tomo", **wants_offers}
    )
    free = account.subscribe(tomo, [FREE])
    for _ in range(12):
        account.wait(MONTH)
        account.renew(monthly)
    account.wait(MONTH // 2)
    account.renew(yearly)
    account.wait(60)
    return (
        Followed(
            monthly,
            aoi,
            "Aoi pays by the month for a year, wants to hear of offers, and her card expires meanwhile.",
            "active",
            ("club",),
            "user_aoi",
            ("welcome", "card_expiring", "card_expiring", "yearly_offer"),
        ),
        Followed(
            yearly,
            haru,
            "Haru pays by the year, and is told before it renews.",
            "active",
            ("club_plus",),
            "user_haru",
            ("welcome", "renewal"),
        ),
        Followed(
            free,
            tomo,
            "Tomo is on the free plan, and is shown the larger one after two weeks.",
            "active",
            ("free",),
            "user_tomo",
            ("welcome", "upgrade_offer"),
        ),
    )


def _month_in(now: int, *, months: int) -> tuple[int, int]:
    """The year and the month so many months from now."""
    at = datetime.fromtimestamp(now, UTC)
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    return year, month + 1


def _pricing_table(account: Account) -> Purchase:
    session = account.open_session([MUG], client_reference_id="user_hana", customer_creation="always")
    account.wait(40)
    account.add_line(session, BEANS)
    account.complete(session, email="hana.sato@example.com", name="佐藤 花", creates_customer=True)
    account.wait(200)
    return Purchase(
        session,
        "Hana has an account and buys through a pricing table; she takes the beans along.",
        "paid",
        3400,
        ((MUG.description, 1), (BEANS.description, 1)),
        "user_hana",
        ("welcome", "order_paid"),
    )


def _konbini(account: Account) -> Purchase:
    session = account.open_session(
        [BEANS], payment_link="plink_DemoBeans", client_reference_id="U4af4980629", customer_creation="always"
    )
    account.wait(60)
    account.complete(session, email="kenji@example.com", name="鈴木 健二", paid=False, creates_customer=True)
    account.wait(3 * 3600)
    account.pay_later(session)
    account.wait(100)
    return Purchase(
        session,
        "Kenji came by LINE Login, opens a Payment Link and pays three hours later at a konbini.",
        "paid",
        2000,
        ((BEANS.description, 1),),
        "U4af4980629",
        ("welcome", "order_pending", "order_paid"),
    )


def _guest(account: Account) -> Purchase:
    session = account.open_session([MUG])
    account.wait(30)
    account.complete(session, email="Guest@Example.com", name="Alex Doe")
    account.wait(500)
    account.refund(session, 400)
    account.wait(100)
    return Purchase(
        session,
        "A guest buys a mug without any account, and is given 400 back.",
        "partially_refunded",
        1400,
        ((MUG.description, 1),),
        None,
        ("order_paid", "refund"),
        is_guest=True,
    )


def _quantity_changed(account: Account) -> Purchase:
    customer = account.create_customer(
        email="yui@example.com", name="田中 結衣", metadata={"user_id": "user_yui"}, preferred_locales=["ja"]
    )
    account.wait(10)
    session = account.open_session([BEANS], customer=customer)
    account.change_quantity(session, 0, 3)
    account.wait(50)
    account.complete(session, email="yui@example.com", name="田中 結衣")
    account.wait(5)
    account.update_customer(customer, email="yui.tanaka@example.com")
    return Purchase(
        session,
        "Yui changes the quantity to 3 at checkout, and later her email address.",
        "paid",
        6000,
        ((BEANS.description, 3),),
        None,
        ("welcome", "order_paid"),
    )


def _slip_not_paid(account: Account) -> Purchase:
    session = account.open_session([BEANS])
    account.wait(60)
    account.complete(session, email="sora@example.com", name="中村 空", paid=False)
    account.wait(4 * DAY)
    account.fail_later(session)
    account.wait(100)
    return Purchase(
        session,
        "Sora takes a konbini slip and never pays it.",
        "failed",
        2000,
        ((BEANS.description, 1),),
        None,
        ("order_pending", "order_failed"),
        is_guest=True,
    )


def _left_cart(account: Account) -> Purchase:
    session = account.open_session(
        [MUG], locale="en", consent={"promotions": "opt_in"}, after_expiration={"recovery": {"enabled": True}}
    )
    account.objects[session]["customer_details"] = {"email": "emma@example.com", "name": "Emma Stone", "phone": None}
    account.wait(DAY)
    account.expire(session)
    account.wait(100)
    return Purchase(
        session,
        "Emma agrees to hear from the shop, and leaves the page before she pays.",
        "expired",
        1400,
        ((MUG.description, 1),),
        None,
        ("cart_recovery",),
        is_guest=True,
    )
