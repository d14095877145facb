"""The demo's story: four purchases in a small shop in Tokyo, as they would happen at Stripe."""

from dataclasses import dataclass

from local.account import Account, Line

MUG = Line("ドリップマグ", 1400, price="price_DemoMug", product="prod_DemoMug")
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
    is_guest: bool = False


def tell(now: int) -> tuple[Account, list[Purchase]]:
    """Everything that happens from `now` (epoch seconds) on, and what has to come of it."""
    account = Account(now=now)
    return account, [
        _pricing_table(account),
        _konbini(account),
        _guest(account),
        _quantity_changed(account),
    ]


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
    )
