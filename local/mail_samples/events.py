"""The mails that an event causes, or the system itself, in every variant."""

from dataclasses import replace

from functions.letters import Facts, Letter, Origin, Reader
from functions.mail.facts import (
    Canceled,
    CartRecovery,
    Instructions,
    Invoice,
    InvoiceAction,
    InvoiceUnpaid,
    Line,
    LinkConflict,
    MailFailed,
    Order,
    OrderFailed,
    OrderPaid,
    OrderPending,
    Parked,
    ParkedGroup,
    ParkedMore,
    Plan,
    Refund,
    Store,
    TrialEnding,
    Welcome,
)
from local.mail_samples.sample import Sample

# 21 November 2026, 14:05 in Tokyo.
_NOW = 1_795_237_500
_HOUR, _DAY = 3_600, 86_400
# A day of Japan ends at 14:59:59 UTC.
_END_OF_KONBINI = 1_795_532_399

_HANA = Reader(email="hana.sato@example.com", name="佐藤 花", locales=("ja",))
_KENJI = Reader(email="kenji@example.com", name="鈴木 健二", locales=("ja",))
_MEI = Reader(email="mei@example.com", name="伊藤 芽依", locales=("ja",))
_NOBODY = Reader()

_MUG = Line(description="ドリップマグ", quantity=2, amount_total=2_800)
_BEANS = Line(description="コーヒー豆 200g", quantity=1, amount_total=2_000)
_FILTER = Line(description="ペーパーフィルター 100枚", quantity=3, amount_total=1_320)
_CLUB = Plan(amount=980, currency="jpy", interval="month", interval_count=1)
_UNKNOWN_PLAN = Plan(amount=None, currency=None, interval=None, interval_count=None)

_ORDER = Order(
    session="cs_test_a1mUgBeAnS0nThEwAy7Q3hZkT9XcVbNmLpOiUyTrEwQaSdFgHjKlZxCvBn4K7R2M9Q",
    mode="payment",
    created=_NOW,
    currency="jpy",
    lines=(_MUG, _BEANS),
    amount_subtotal=4_800,
    amount_discount=0,
    amount_shipping=0,
    amount_tax=0,
    amount_total=4_800,
    payment_intent="pi_3DemoMugAndBeans",
    subscription=None,
    invoice=None,
)
_INVOICE = Invoice(
    id="in_1DemoClub",
    number="8D4F1B2C-0003",
    subscription="sub_1DemoClub",
    amount=980,
    currency="jpy",
    hosted_invoice_url="https://invoice.stripe.com/i/acct_1Demo/test_YWNjdF8xRGVtbyxfTXVn?s=ap",
)
_HOSTILE = (
    '<script>alert(1)</script><img src=x onerror=alert(1)> "\'><a href="https://evil.example">x</a>\r\n'
    "Bcc: everybody@example.com\u202egpj.exe\u202c \u200b\u2066☕️👩🏽‍🚀 {{ brand }} {% raw %} " + "長" * 5_000
)


def event_samples() -> tuple[Sample, ...]:
    """At least one of each; the first of a kind is the usual case."""
    return (*_orders(), *_carts(), *_invoices(), *_subscriptions(), *_others())


def _sample(name: str, note: str, facts: Facts, reader: Reader = _HANA, origin: Origin | None = None) -> Sample:
    origin = origin or Origin(customer="cus_DemoHana", user_id="user_hana", livemode=True, event="evt_1DemoOfTheMail")
    full_name = f"{facts.MAIL}-{name}" if name else facts.MAIL
    return Sample(name=full_name, letter=Letter(facts=facts, reader=reader, origin=origin, since=_NOW), note=note)


def _orders() -> tuple[Sample, ...]:
    cross_sold = replace(
        _ORDER,
        lines=(_MUG, _BEANS, _FILTER),
        amount_subtotal=6_120,
        amount_discount=620,
        amount_shipping=500,
        amount_tax=545,
        amount_total=6_000,
    )
    trial = replace(
        _ORDER,
        mode="subscription",
        lines=(Line(description="山猫クラブ（月額）", quantity=1, amount_total=0),),
        amount_subtotal=0,
        amount_total=0,
        payment_intent=None,
        subscription="sub_1DemoClub",
        invoice="in_1DemoTrial",
    )
    in_dollars = replace(
        _ORDER,
        currency="usd",
        lines=(Line(description="Drip mug", quantity=2, amount_total=3_990),),
        amount_subtotal=3_990,
        amount_shipping=1_250,
        amount_tax=419,
        amount_total=5_659,
    )
    guest = Origin(customer="guest_5f2c9e1ab07d4433a1c2e9d8", livemode=True, event="evt_1DemoGuest")
    many = tuple(replace(_BEANS, description=f"コーヒー豆 見本 {number}") for number in range(1, 1_001))
    wholesale = replace(_ORDER, lines=many, amount_subtotal=2_000_000, amount_total=2_000_000)
    return (
        _sample("", "Two lines, nothing between subtotal and total", OrderPaid(order=_ORDER)),
        _sample("cross_sold", "A cross-sold line, a discount, shipping, tax included", OrderPaid(order=cross_sold)),
        _sample("trial", "A free trial: nothing to pay today", OrderPaid(order=trial), _MEI),
        _sample(
            "guest",
            "A guest from the US who pays in dollars, with tax on top",
            OrderPaid(order=in_dollars),
            Reader(email="guest@example.com", name="Alex Doe", locales=("en-US",)),
            guest,
        ),
        _sample("unreachable", "Nobody can be written to: only support hears of it", OrderPaid(order=_ORDER), _NOBODY),
        _sample("many_lines", "1,000 lines, of which 100 are shown", OrderPaid(order=wholesale)),
        _sample(
            "hostile",
            "Markup, a header, bidi controls and 5,000 characters, where a buyer can type",
            OrderPaid(order=replace(_ORDER, lines=(replace(_MUG, description=_HOSTILE),))),
            Reader(email='"><script>@example.com', name=_HOSTILE, locales=("<b>", "ja")),
        ),
        _sample("konbini", "Four chains with their numbers", _pending(_konbini()), _KENJI),
        _sample("bank_transfer", "An account in Japan", _pending(_zengin()), _KENJI),
        _sample("iban", "An account in the euro area, with a reference", _pending_in_euros(), _KENJI),
        _sample(
            "voucher",
            "Some other slip, which Stripe's page shows",
            _pending(
                Instructions(
                    kind="voucher",
                    expires_at=_NOW + 3 * _DAY,
                    hosted_url="https://payments.stripe.com/boleto/voucher/test_YWNjdF8xRGVtbw",
                )
            ),
        ),
        _sample("no_instructions", "Stripe did not say how", _pending(None), _KENJI),
        _sample("", "The konbini's deadline passed", OrderFailed(order=_ORDER), _KENJI),
    )


def _pending(instructions: Instructions | None) -> OrderPending:
    return OrderPending(order=_ORDER, instructions=instructions)


def _konbini() -> Instructions:
    chains = ("familymart", "lawson", "ministop", "seicomart")
    return Instructions(
        kind="konbini",
        expires_at=_END_OF_KONBINI,
        hosted_url="https://payments.stripe.com/konbini/voucher/test_YWNjdF8xRGVtbyxfTXVn",
        stores=tuple(
            Store(chain=chain, payment_code=f"{12_345 + number}678901", confirmation_number="09012345678")
            for number, chain in enumerate(chains)
        ),
    )


def _zengin() -> Instructions:
    return Instructions(
        kind="bank_transfer",
        expires_at=None,
        hosted_url="https://payments.stripe.com/bank_transfers/instructions/test_YWNjdF8xRGVtbw",
        amount_remaining=4_800,
        account=(
            ("account_holder_name", "ストライプジャパン（カ"),
            ("account_number", "0123456"),
            ("account_type", "futsu"),
            ("bank_code", "0009"),
            ("bank_name", "三井住友銀行"),
            ("branch_code", "950"),
            ("branch_name", "東京第一支店"),
        ),
    )


def _pending_in_euros() -> OrderPending:
    line = Line(description="Drip mug", quantity=1, amount_total=2_450)
    return OrderPending(
        order=replace(_ORDER, currency="eur", lines=(line,), amount_subtotal=2_450, amount_total=2_450),
        instructions=Instructions(
            kind="bank_transfer",
            expires_at=None,
            hosted_url=None,
            amount_remaining=1_950,
            reference="K7R2M9Q4TX",
            account=(
                ("account_holder_name", "Yamaneko K.K."),
                ("bic", "SXPYDEHHXXX"),
                ("country", "DE"),
                ("iban", "DE89370400440532013000"),
            ),
        ),
    )


def _carts() -> tuple[Sample, ...]:
    url = "https://buy.stripe.com/r/test_YWNjdF8xRGVtbyxfUmVjb3Zlcg"
    facts = CartRecovery(order=_ORDER, recovery_url=url, expires_at=_NOW + 30 * _DAY)
    return (_sample("", "An expired checkout whose buyer agreed to hear from the shop", facts),)


def _invoices() -> tuple[Sample, ...]:
    failed = InvoiceUnpaid(invoice=_INVOICE, attempt=1, next_payment_attempt=_NOW + 3 * _DAY)
    return (
        _sample("", "The first attempt; Stripe tries again", failed, _MEI),
        _sample("last", "No further attempt", replace(failed, attempt=4, next_payment_attempt=None), _MEI),
        _sample(
            "no_page",
            "An invoice without a page to pay it, and no further attempt",
            InvoiceUnpaid(
                invoice=replace(_INVOICE, hosted_invoice_url=None, number=None, subscription=None),
                attempt=1,
                next_payment_attempt=None,
            ),
            _MEI,
        ),
        _sample("", "The bank asks for 3D Secure", InvoiceAction(invoice=_INVOICE), _MEI),
    )


def _subscriptions() -> tuple[Sample, ...]:
    ending = TrialEnding(subscription="sub_1DemoClub", trial_end=_NOW + 3 * _DAY, is_canceled=False, plan=_CLUB)
    ended = Canceled(subscription="sub_1DemoClub", ended_at=_NOW, reason="cancellation_requested", plan=_CLUB)
    every_third_month = replace(_CLUB, amount=2_700, interval_count=3)
    return (
        _sample("", "980 yen a month from then on", ending, _MEI),
        _sample("canceled", "It ends with the trial", replace(ending, is_canceled=True), _MEI),
        _sample("free", "It stays free", replace(ending, plan=replace(_CLUB, amount=0)), _MEI),
        _sample("no_price", "A price by usage", replace(ending, plan=_UNKNOWN_PLAN), _MEI),
        _sample("quarterly", "Every three months", replace(ending, plan=every_third_month), _MEI),
        _sample("", "As somebody asked", ended, _MEI),
        _sample("payment_failed", "Nobody paid", replace(ended, reason="payment_failed"), _MEI),
        _sample("payment_disputed", "The payment was disputed", replace(ended, reason="payment_disputed"), _MEI),
        _sample("no_reason", "Before 2022-11-15 Stripe says no reason", replace(ended, reason=None), _MEI),
    )


def _others() -> tuple[Sample, ...]:
    part = Refund(
        payment_intent="pi_3DemoMugAndBeans",
        amount=1_000,
        amount_refunded=2_000,
        amount_paid=4_800,
        currency="jpy",
        session=_ORDER.session,
    )
    all_of_it = replace(part, amount=4_800, amount_refunded=4_800)
    welcome = Welcome(customer="cus_DemoHana", password_url=None)
    password_url = "https://yamaneko.example/__/auth/action?mode=resetPassword&oobCode=Demo123&apiKey=Demo&lang=ja"
    event = "evt_1DemoParked"
    mail = "order_paid_cs_test_a1mUgBeAnS"
    system = Origin(customer=None, livemode=True, event=event)
    conflict = LinkConflict(customer="cus_DemoHana", held_by="hana", claimed_by="U4af4980629aaaa")
    of_hana = replace(system, customer="cus_DemoHana", user_id="hana")
    return (
        _sample("", "The second part of a payment", part),
        _sample("full", "All of it at once", all_of_it),
        _sample("no_order", "A payment outside Checkout", replace(all_of_it, session=None)),
        _sample("", "A new customer", welcome),
        _sample("password", "An account was made for them", replace(welcome, password_url=password_url)),
        _sample(
            "",
            "An event that no code here can read",
            Parked(
                event=event,
                function="record_orders",
                type="checkout.session.completed",
                reason="Malformed: checkout session has no id",
                path=f"parked_events/{event}_record_orders",
            ),
            _NOBODY,
            system,
        ),
        _sample("", "A storm, after a deployment with a mistake in it", _storm(), _NOBODY, replace(system, event="")),
        _sample(
            "",
            "An address that does not exist",
            MailFailed(
                mail=mail,
                path=f"mail/{mail}",
                to="hana.sato@exmaple.com",
                subject="【喫茶 山猫】ご注文ありがとうございます（注文番号 4K7R2M9Q）",
                error="Error: Can't send mail - all recipients were rejected: 550 5.1.1 User unknown",
                retries=5,
            ),
            _NOBODY,
            replace(system, customer="cus_DemoHana", event="evt_1DemoOfTheMail"),
        ),
        _sample("", "Another user is named for a customer", conflict, _HANA, of_hana),
        _sample("unlinked", "Named again, after somebody unlinked it", replace(conflict, held_by=None), _HANA, of_hana),
    )


def _storm() -> ParkedMore:
    unread = "Malformed: checkout session has no id (API version 2026-10-28.endive)"
    groups = (
        ParkedGroup(function="record_orders", reason=unread, count=183),
        ParkedGroup(function="index_customers", reason="still failing after 30 deliveries", count=12),
        ParkedGroup(function="unknown", reason="still failing after 30 deliveries", count=1),
    )
    return ParkedMore(count=199, since=_NOW - 840, until=_NOW - 130, told_at=_NOW, groups=groups, others=3)
