"""Settings: every variable with its default, its good and its bad values, and no secret in any message."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from functions.errors import SettingsError
from functions.mail.settings import Brand, MailSettings
from functions.mail.table import MAILS
from functions.marketing.links import UnsubscribeLinks
from functions.pages.settings import UnsubscribeSettings
from functions.paths import COLLECTIONS
from functions.reminders.settings import ReminderSettings
from functions.settings.accounts import identity_settings
from functions.settings.pricing import pricing_settings
from functions.settings.reconcile import ReconcileSettings, reconcile_settings
from functions.settings.reminders import SenderSettings, sender_settings, unsubscribe_settings
from functions.settings.subscriber import SubscriberSettings, SweepSettings, subscriber_settings, sweep_settings
from functions.settings.webhook import WebhookSettings, webhook_settings
from functions.topology import FUNCTIONS, Function
from functions.variables import MAIL_VARIABLES

Settings = (
    WebhookSettings | SubscriberSettings | SweepSettings | SenderSettings | UnsubscribeSettings | ReconcileSettings
)
Read = Callable[[Mapping[str, str]], Settings]

WEBHOOK = {"GOOGLE_CLOUD_PROJECT": "my-shop", "STRIPE_WEBHOOK_SECRETS": "whsec_a"}
MAIL = {"BRAND_NAME": "My Shop", "SUPPORT_EMAIL": "support@example.com"}
SUBSCRIBER = {"GOOGLE_CLOUD_PROJECT": "my-shop", "STRIPE_API_KEY": "sk_test_a", **MAIL}
SWEEP = {"GOOGLE_CLOUD_PROJECT": "my-shop", **MAIL}
SENDER = SUBSCRIBER
RECONCILE = {"GOOGLE_CLOUD_PROJECT": "my-shop", "STRIPE_API_KEY": "sk_test_a"}
KEY, OLD_KEY = "a+B/" * 16, "0123456789abcdef" * 2
UNSUBSCRIBE = {"GOOGLE_CLOUD_PROJECT": "my-shop", "UNSUBSCRIBE_KEYS": KEY, **MAIL}
PRICING = {"PRICING_TABLE_ID": "prctbl_1", "STRIPE_PUBLISHABLE_KEY": "pk_test_a"}
PAGE = "https://shop.example/unsubscribe"
#: What a function reads its settings with. Every function that reacts to events has the same ones.
READ_BY: dict[str, Callable[[Mapping[str, str]], object]] = {
    "stripe_webhook": webhook_settings,
    "send_due_reminders": sender_settings,
    "unsubscribe": unsubscribe_settings,
    "sweep_mail": sweep_settings,
    "dead_letters": sweep_settings,
    "reconcile": reconcile_settings,
    **{row.name: subscriber_settings for row in FUNCTIONS if row.trigger == "events"},
    "provision_accounts": lambda environ: (subscriber_settings(environ), identity_settings(environ)),
    "find_customer": lambda environ: (subscriber_settings(environ), identity_settings(environ)),
    "pricing_page": lambda environ: (
        subscriber_settings(environ),
        identity_settings(environ),
        pricing_settings(environ),
    ),
}
VARIABLES = (
    "GOOGLE_CLOUD_PROJECT",
    "STRIPE_WEBHOOK_SECRETS",
    "STRIPE_LIVEMODE",
    "FORWARD_ALL",
    "FIRESTORE_DATABASE",
    "STRIPE_API_KEY",
    "STRIPE_API_BASE",
    "USER_ID_KEY",
    "PAST_DUE_GIVES_ACCESS",
    *("MARKETING_KEY", "UPGRADE_OFFER_AFTER_DAYS", "OFFERS", "OFFER_PAUSE_DAYS", "UNSUBSCRIBE_URL", "UNSUBSCRIBE_KEYS"),
    *MAIL_VARIABLES,
)
ALL = pytest.mark.parametrize(
    ("read", "environ"),
    [
        (webhook_settings, WEBHOOK),
        (subscriber_settings, SUBSCRIBER),
        (sweep_settings, SWEEP),
        (sender_settings, SENDER),
        (unsubscribe_settings, UNSUBSCRIBE),
        (reconcile_settings, RECONCILE),
    ],
    ids=["webhook", "subscriber", "sweep", "sender", "unsubscribe", "reconcile"],
)


def complaint(read: Read, environ: Mapping[str, str]) -> str:
    """What the function says instead of starting."""
    with pytest.raises(SettingsError) as refused:
        read(environ)
    return str(refused.value)


@pytest.mark.parametrize(
    ("read", "environ", "field", "value"),
    [
        (webhook_settings, WEBHOOK, "project", "my-shop"),
        (webhook_settings, WEBHOOK, "secrets", ("whsec_a",)),
        (webhook_settings, WEBHOOK, "livemode", None),
        (webhook_settings, WEBHOOK, "forward_all", False),
        (subscriber_settings, SUBSCRIBER, "project", "my-shop"),
        (subscriber_settings, SUBSCRIBER, "database", "(default)"),
        (subscriber_settings, SUBSCRIBER, "stripe_api_key", "sk_test_a"),
        (subscriber_settings, SUBSCRIBER, "stripe_api_base", None),
        (subscriber_settings, SUBSCRIBER, "user_id_key", "user_id"),
        (subscriber_settings, SUBSCRIBER, "past_due_gives_access", True),
        (subscriber_settings, SUBSCRIBER, "marketing_key", "marketing"),
        (sweep_settings, SWEEP, "project", "my-shop"),
        (sweep_settings, SWEEP, "database", "(default)"),
        (sender_settings, SENDER, "project", "my-shop"),
        (sender_settings, SENDER, "database", "(default)"),
        (sender_settings, SENDER, "stripe_api_key", "sk_test_a"),
        (sender_settings, SENDER, "stripe_api_base", None),
        (unsubscribe_settings, UNSUBSCRIBE, "project", "my-shop"),
        (unsubscribe_settings, UNSUBSCRIBE, "database", "(default)"),
        (unsubscribe_settings, UNSUBSCRIBE, "keys", (KEY,)),
        (reconcile_settings, RECONCILE, "database", "(default)"),
        (reconcile_settings, RECONCILE, "stripe_api_key", "sk_test_a"),
        (reconcile_settings, RECONCILE, "stripe_api_base", None),
    ],
)
def test_a_function_starts_with_what_it_requires_alone(
    read: Read, environ: dict[str, str], field: str, value: object
) -> None:
    assert getattr(read(environ), field) == value


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("GOOGLE_CLOUD_PROJECT", "shop-123", "project", "shop-123"),
        ("GOOGLE_CLOUD_PROJECT", "example.com:shop", "project", "example.com:shop"),
        ("GOOGLE_CLOUD_PROJECT", " shop\n", "project", "shop"),
        ("STRIPE_LIVEMODE", "", "livemode", None),
        ("STRIPE_LIVEMODE", " ", "livemode", None),
        *[("STRIPE_LIVEMODE", text, "livemode", True) for text in ("1", "true", "True", "YES", "on", " true\n")],
        *[("STRIPE_LIVEMODE", text, "livemode", False) for text in ("0", "false", "False", "NO", "off")],
        ("FORWARD_ALL", "true", "forward_all", True),
        ("FORWARD_ALL", "0", "forward_all", False),
        ("FORWARD_ALL", "", "forward_all", False),
    ],
)
def test_the_webhook_reads_a_variable(variable: str, text: str, field: str, value: object) -> None:
    assert getattr(webhook_settings(WEBHOOK | {variable: text}), field) == value
    # What Stripe could not deliver is chosen in the same way.
    assert getattr(reconcile_settings(RECONCILE | {variable: text}), field) == value


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("FIRESTORE_DATABASE", "shop", "database", "shop"),
        ("FIRESTORE_DATABASE", " ", "database", "(default)"),
        ("STRIPE_API_KEY", "sk_live_a1B2", "stripe_api_key", "sk_live_a1B2"),
        ("STRIPE_API_KEY", "rk_test_a1B2", "stripe_api_key", "rk_test_a1B2"),
        ("STRIPE_API_KEY", "sk_org_live_a1B2", "stripe_api_key", "sk_org_live_a1B2"),
        ("STRIPE_API_KEY", "sk_live_a1B2\n", "stripe_api_key", "sk_live_a1B2"),
        ("STRIPE_API_BASE", "", "stripe_api_base", None),
        ("STRIPE_API_BASE", "http://127.0.0.1:12111", "stripe_api_base", "http://127.0.0.1:12111"),
        ("STRIPE_API_BASE", "https://stripe.example/", "stripe_api_base", "https://stripe.example"),
        ("USER_ID_KEY", "line_user_id", "user_id_key", "line_user_id"),
        ("USER_ID_KEY", "", "user_id_key", "user_id"),
        ("USER_ID_KEY", "k" * 40, "user_id_key", "k" * 40),
        ("PAST_DUE_GIVES_ACCESS", "false", "past_due_gives_access", False),
        ("PAST_DUE_GIVES_ACCESS", "", "past_due_gives_access", True),
        ("MARKETING_KEY", "newsletter", "marketing_key", "newsletter"),
        ("MARKETING_KEY", "", "marketing_key", "marketing"),
        ("MARKETING_KEY", "k" * 40, "marketing_key", "k" * 40),
    ],
)
def test_a_subscriber_reads_a_variable(variable: str, text: str, field: str, value: object) -> None:
    assert getattr(subscriber_settings(SUBSCRIBER | {variable: text}), field) == value


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        *[
            (variable, text, field, value)
            for variable, field, default in (
                ("UPGRADE_OFFER_AFTER_DAYS", "upgrade_offer_after_days", 14),
                ("OFFER_PAUSE_DAYS", "offer_pause_days", 30),
            )
            for text, value in (("", default), (" ", default), ("0", 0), ("7", 7), (" 90\n", 90), ("99999", 99_999))
        ],
        ("OFFERS", "", "offers", "opt_in"),
        ("OFFERS", "opt_in", "offers", "opt_in"),
        ("OFFERS", " opt_out\n", "offers", "opt_out"),
        ("PAST_DUE_GIVES_ACCESS", "", "past_due_gives_access", True),
        ("PAST_DUE_GIVES_ACCESS", "false", "past_due_gives_access", False),
        # What mail is told, and reminders reckon with.
        ("TIMEZONE", "", "zone", ZoneInfo("Asia/Tokyo")),
        ("TIMEZONE", "Europe/Berlin", "zone", ZoneInfo("Europe/Berlin")),
        ("MAIL_MAX_AGE", "", "max_age_seconds", 3 * 86_400),
        ("MAIL_MAX_AGE", "36h", "max_age_seconds", 129_600),
    ],
)
def test_whoever_reckons_with_reminders_reads_a_variable(variable: str, text: str, field: str, value: object) -> None:
    reminders = sender_settings(SENDER | {variable: text}).reminders
    # Those who store a reminder and the one who sends it have to agree when it is due.
    assert subscriber_settings(SUBSCRIBER | {variable: text}).reminders == reminders
    assert getattr(reminders, field) == value


def test_reminders_are_sent_by_default_and_offers_only_to_who_agreed() -> None:
    reminders = ReminderSettings(zone=ZoneInfo("Asia/Tokyo"))
    assert sender_settings(SENDER).reminders == subscriber_settings(SUBSCRIBER).reminders == reminders
    assert reminders.offers == "opt_in"
    assert sender_settings(SENDER).mail.unsubscribe is None


@pytest.mark.parametrize(("read", "environ"), [(subscriber_settings, SUBSCRIBER), (sender_settings, SENDER)])
@pytest.mark.parametrize(
    ("text", "url"),
    [
        (PAGE, PAGE),
        (f" {PAGE}/\n", PAGE),
        ("https://shop.example", "https://shop.example"),
        ("https://shop.example:8443/a/b_c~d.e-f", "https://shop.example:8443/a/b_c~d.e-f"),
        ("http://127.0.0.1:8080/unsubscribe", "http://127.0.0.1:8080/unsubscribe"),
        ("http://localhost:8080/unsubscribe", "http://localhost:8080/unsubscribe"),
    ],
)
def test_whoever_makes_offers_reads_where_they_are_refused(
    read: Callable[[Mapping[str, str]], SubscriberSettings | SenderSettings],
    environ: dict[str, str],
    text: str,
    url: str,
) -> None:
    assert read(environ | {"UNSUBSCRIBE_URL": text, "UNSUBSCRIBE_KEYS": KEY}).mail.unsubscribe == UnsubscribeLinks(
        url, (KEY,)
    )


@pytest.mark.parametrize("alone", [{"UNSUBSCRIBE_URL": PAGE}, {"UNSUBSCRIBE_KEYS": KEY}])
def test_half_of_what_a_link_needs_is_no_link(alone: dict[str, str]) -> None:
    assert sender_settings(SENDER | alone).mail.unsubscribe is None
    assert subscriber_settings(SUBSCRIBER | alone).mail.unsubscribe is None


def test_the_page_needs_no_address_of_its_own() -> None:
    assert unsubscribe_settings(UNSUBSCRIBE).mail.unsubscribe is None
    assert unsubscribe_settings(UNSUBSCRIBE | {"UNSUBSCRIBE_URL": PAGE}).mail.unsubscribe == UnsubscribeLinks(
        PAGE, (KEY,)
    )


def test_mail_is_written_with_a_name_and_an_address_of_support_alone() -> None:
    mail = MailSettings(brand=Brand(name="My Shop"), support_email="support@example.com")
    assert sweep_settings(SWEEP).mail == subscriber_settings(SUBSCRIBER).mail == mail
    assert (mail.locale, mail.timezone.key, mail.max_age_seconds, mail.collection) == (
        "ja",
        "Asia/Tokyo",
        3 * 86_400,
        "mail",
    )


MAIL_READ: list[tuple[str, str, str, object]] = [
    ("BRAND_NAME", " My Shop\n", "brand.name", "My Shop"),
    ("BRAND_NAME", "株式会社\N{IDEOGRAPHIC SPACE}山田商店", "brand.name", "株式会社\N{IDEOGRAPHIC SPACE}山田商店"),
    ("BRAND_NAME", 'Hana & Sons "Ltd."', "brand.name", 'Hana & Sons "Ltd."'),
    *[
        (variable, text, field, value)
        for variable, field in (
            ("BRAND_URL", "brand.url"),
            ("BRAND_LOGO_URL", "brand.logo_url"),
            ("UPGRADE_URL", "brand.upgrade_url"),
        )
        for text, value in (
            ("https://shop.example/a?b=c#d", "https://shop.example/a?b=c#d"),
            (" https://shop.example\n", "https://shop.example"),
            ("", None),
        )
    ],
    ("BRAND_COLOR", "#AABBCC", "brand.color", "#aabbcc"),
    ("BRAND_COLOR", " ", "brand.color", "#1f6f54"),
    ("MAIL_FOOTER", "", "brand.footer", ()),
    ("MAIL_FOOTER", "My Shop K.K.", "brand.footer", ("My Shop K.K.",)),
    ("MAIL_FOOTER", "My Shop K.K. | Tokyo, Japan|", "brand.footer", ("My Shop K.K.", "Tokyo, Japan")),
    ("MAIL_FOOTER", "| |\N{IDEOGRAPHIC SPACE}| a", "brand.footer", ("a",)),
    (
        *("MAIL_FOOTER", "株式会社山田商店｜代表 山田|〒100-0001\N{IDEOGRAPHIC SPACE}東京都千代田区", "brand.footer"),
        ("株式会社山田商店｜代表 山田", "〒100-0001\N{IDEOGRAPHIC SPACE}東京都千代田区"),
    ),
    ("SUPPORT_EMAIL", "Support@Shop.Example", "support_email", "Support@shop.example"),
    *[
        (variable, text, field, value)
        for variable, field in (("MAIL_FROM", "sender"), ("MAIL_REPLY_TO", "reply_to"))
        for text, value in (
            ("", None),
            ("shop@example.com", "shop@example.com"),
            ("<shop@example.com>", "shop@example.com"),
            ("My Shop <shop@example.com>", '"My Shop" <shop@example.com>'),
            ('"My Shop, Tokyo" <shop@example.com>', '"My Shop, Tokyo" <shop@example.com>'),
            ("山田商店 <shop@example.com>", '"山田商店" <shop@example.com>'),
            (
                "山田商店\N{IDEOGRAPHIC SPACE}東京 <shop@例え.jp>",
                '"山田商店\N{IDEOGRAPHIC SPACE}東京" <shop@xn--r8jz45g.jp>',
            ),
            ('"Hana \\"H\\" Sato" <shop@example.com>', '"Hana H Sato" <shop@example.com>'),
        )
    ],
    ("LOCALE", "en", "locale", "en"),
    ("LOCALE", "en-GB", "locale", "en-GB"),
    ("LOCALE", "ja_JP", "locale", "ja_JP"),
    ("LOCALE", "", "locale", "ja"),
    ("TIMEZONE", "Europe/Berlin", "timezone", ZoneInfo("Europe/Berlin")),
    ("TIMEZONE", "UTC", "timezone", ZoneInfo("UTC")),
    ("TIMEZONE", "", "timezone", ZoneInfo("Asia/Tokyo")),
    *[
        ("MAIL_MAX_AGE", text, "max_age_seconds", seconds)
        for text, seconds in (
            *(("3d", 259_200), ("36h", 129_600), ("90m", 5_400), ("45s", 45), ("45", 45)),
            *(("0", 0), ("0d", 0), (" 1d\n", 86_400), ("", 259_200)),
        )
    ],
    ("MAIL_DISABLED", "", "disabled", frozenset()),
    ("MAIL_DISABLED", "welcome", "disabled", frozenset({"welcome"})),
    ("MAIL_DISABLED", " welcome, refund\nparked,,", "disabled", frozenset({"welcome", "refund", "parked"})),
    ("MAIL_DISABLED", ",".join(mail.name for mail in MAILS), "disabled", frozenset(mail.name for mail in MAILS)),
    ("MAIL_COLLECTION", "post_box-2", "collection", "post_box-2"),
    ("MAIL_COLLECTION", "", "collection", "mail"),
]


@pytest.mark.parametrize(("variable", "text", "field", "value"), MAIL_READ)
def test_whoever_writes_mail_reads_a_variable(variable: str, text: str, field: str, value: object) -> None:
    mail = sweep_settings(SWEEP | {variable: text}).mail
    assert subscriber_settings(SUBSCRIBER | {variable: text}).mail == mail
    assert sender_settings(SENDER | {variable: text}).mail == mail
    assert unsubscribe_settings(UNSUBSCRIBE | {variable: text}).mail == mail
    found: object = mail
    for name in field.split("."):
        found = getattr(found, name)
    assert found == value


def test_every_variable_of_mail_is_read_in_these_tests() -> None:
    assert {variable for variable, *_ in MAIL_READ} == set(MAIL_VARIABLES)
    assert {variable for variable, _ in MAIL_REFUSED} == set(MAIL_VARIABLES)


MAIL_REFUSED: list[tuple[str, str]] = [
    ("BRAND_NAME", "My\nShop"),
    ("BRAND_NAME", "My\N{LINE SEPARATOR}Shop"),
    *[
        (variable, text)
        for variable in ("BRAND_URL", "BRAND_LOGO_URL", "UPGRADE_URL")
        for text in (
            "http://shop.example",
            "shop.example",
            "https://",
            "https://shop.example/a b",
            "javascript:alert(1)",
        )
    ],
    *[("BRAND_COLOR", text) for text in ("green", "#abc", "#12345g", "1f6f54", "#1f6f5400")],
    ("MAIL_FOOTER", "My Shop\nTokyo"),
    ("MAIL_FOOTER", "My Shop | Tokyo\x07"),
    *[
        ("SUPPORT_EMAIL", text)
        for text in (
            *("support", "support@", "@example.com", "support@localhost", "My Shop <support@example.com>"),
            *("a@example.com, b@example.com", "support@example.com;b@example.com", "support@example.invalid"),
        )
    ],
    *[
        (variable, text)
        for variable in ("MAIL_FROM", "MAIL_REPLY_TO")
        for text in (
            *(
                "shop",
                "My Shop",
                "My Shop <shop>",
                "My Shop <>",
                "My Shop <shop@example.com",
                "<a@b.example> My Shop <",
            ),
            *("a@example.com, b@example.com", "A <a@example.com>, B <b@example.com>", "My\nShop <shop@example.com>"),
        )
    ],
    *[("LOCALE", text) for text in ("de", "japanese", "jp", "en-!", "ja-日本", "auto")],
    *[("TIMEZONE", text) for text in ("Tokyo", "Asia", "JST+9:00", "../Asia/Tokyo", "/etc/localtime", "+09:00")],
    *[("MAIL_MAX_AGE", text) for text in ("-1", "3 d", "3w", "1.5d", "3days", "d", "9999999999")],
    ("MAIL_DISABLED", "order_paied"),
    ("MAIL_DISABLED", "welcome;refund"),
    ("MAIL_DISABLED", "Welcome"),
    *[("MAIL_COLLECTION", text) for text in ("mail/box", "__mail__", "メール", "a" * 101, ".", *sorted(COLLECTIONS))],
]


@pytest.mark.parametrize(("variable", "text"), MAIL_REFUSED)
def test_a_malformed_variable_of_mail_is_named(variable: str, text: str) -> None:
    message = complaint(sweep_settings, SWEEP | {variable: text})
    assert message.startswith(f"{variable} ")
    assert message.endswith(". See the settings table in README.md.")
    assert complaint(subscriber_settings, SUBSCRIBER | {variable: text}) == message
    assert complaint(sender_settings, SENDER | {variable: text}) == message
    assert complaint(unsubscribe_settings, UNSUBSCRIBE | {variable: text}) == message


def test_an_unknown_mail_that_is_to_be_off_is_named_beside_those_there_are() -> None:
    message = complaint(sweep_settings, SWEEP | {"MAIL_DISABLED": "welcome, order_paied"})
    assert message.startswith("MAIL_DISABLED names no mail with order_paied; there are welcome, order_paid, ")


# A file or Secret Manager ends with a line end, and a rotation has the old and the new secret at once.
@pytest.mark.parametrize(
    "text",
    [
        "whsec_old,whsec_new",
        "whsec_old, whsec_new",
        "whsec_old\nwhsec_new\n",
        "whsec_old\r\nwhsec_new\r\n",
        "whsec_old whsec_new",
        "\n,whsec_old,,\n\n whsec_new ,",
    ],
)
def test_several_secrets_are_taken_however_they_are_separated(text: str) -> None:
    assert webhook_settings(WEBHOOK | {"STRIPE_WEBHOOK_SECRETS": text}).secrets == ("whsec_old", "whsec_new")


@pytest.mark.parametrize(
    "text",
    [
        f"{KEY},{OLD_KEY}",
        f"{KEY}, {OLD_KEY}",
        f"{KEY}\n{OLD_KEY}\n",
        f"{KEY}\r\n{OLD_KEY}\r\n",
        f"\n,{KEY},,\n\n {OLD_KEY} ,",
    ],
)
def test_several_keys_are_taken_in_their_order_however_they_are_separated(text: str) -> None:
    """The first signs: a new key is put before the old one."""
    assert unsubscribe_settings(UNSUBSCRIBE | {"UNSUBSCRIBE_KEYS": text}).keys == (KEY, OLD_KEY)
    links = sender_settings(SENDER | {"UNSUBSCRIBE_URL": PAGE, "UNSUBSCRIBE_KEYS": text}).mail.unsubscribe
    assert links == UnsubscribeLinks(PAGE, (KEY, OLD_KEY))


def test_keys_are_in_no_text_of_the_settings() -> None:
    environ = {"UNSUBSCRIBE_URL": PAGE, "UNSUBSCRIBE_KEYS": f"{KEY},{OLD_KEY}"}
    for read, required in ((unsubscribe_settings, UNSUBSCRIBE), (sweep_settings, SWEEP)):
        text = repr(read(required | environ))
        assert KEY not in text
        assert OLD_KEY not in text
    assert KEY not in repr(sender_settings(SENDER | environ).mail)


@ALL
def test_a_missing_variable_is_named(read: Read, environ: dict[str, str]) -> None:
    for variable in environ:
        message = complaint(read, {name: text for name, text in environ.items() if name != variable})
        assert message == f"{variable} is not set. See the settings table in README.md."


@ALL
@pytest.mark.parametrize("blank", ["", " ", "\n", "\t \n"])
def test_a_blank_variable_is_a_missing_one(read: Read, environ: dict[str, str], blank: str) -> None:
    for variable in environ:
        assert f"{variable} is not set" in complaint(read, environ | {variable: blank})


@pytest.mark.parametrize(
    ("read", "environ", "variable", "text"),
    [
        (webhook_settings, WEBHOOK, "GOOGLE_CLOUD_PROJECT", "My Shop"),
        (webhook_settings, WEBHOOK, "GOOGLE_CLOUD_PROJECT", "shop/topics/x"),
        (webhook_settings, WEBHOOK, "STRIPE_LIVEMODE", "live"),
        (webhook_settings, WEBHOOK, "STRIPE_LIVEMODE", "2"),
        (webhook_settings, WEBHOOK, "FORWARD_ALL", "maybe"),
        (subscriber_settings, SUBSCRIBER, "GOOGLE_CLOUD_PROJECT", "shop_1"),
        (subscriber_settings, SUBSCRIBER, "STRIPE_API_BASE", "127.0.0.1:12111"),
        (subscriber_settings, SUBSCRIBER, "STRIPE_API_BASE", "ftp://stripe.example"),
        (subscriber_settings, SUBSCRIBER, "STRIPE_API_BASE", "https://"),
        (subscriber_settings, SUBSCRIBER, "STRIPE_API_BASE", "http://[half"),
        (subscriber_settings, SUBSCRIBER, "USER_ID_KEY", "k" * 41),
        (subscriber_settings, SUBSCRIBER, "USER_ID_KEY", "user[id]"),
        (subscriber_settings, SUBSCRIBER, "PAST_DUE_GIVES_ACCESS", "maybe"),
        (subscriber_settings, SUBSCRIBER, "MARKETING_KEY", "k" * 41),
        (subscriber_settings, SUBSCRIBER, "MARKETING_KEY", "marketing[mail]"),
        *[
            (read, environ, variable, text)
            for read, environ in ((subscriber_settings, SUBSCRIBER), (sender_settings, SENDER))
            for variable, texts in (
                ("UPGRADE_OFFER_AFTER_DAYS", ("-1", "1.5", "14d", "two weeks", "100000", "1_000")),
                ("OFFER_PAUSE_DAYS", ("-1", "1.5", "30d", "a month", "100000", "1_000")),
                ("OFFERS", ("in", "opt-in", "Opt_In", "true", "opt_in,opt_out")),
                (
                    "UNSUBSCRIBE_URL",
                    (
                        *("shop.example/unsubscribe", "http://shop.example/unsubscribe", "https://", "ftp://127.0.0.1"),
                        *("https://shop.example/a b", "https://shop.example/a?b=c", "https://shop.example/a#b"),
                        *("https://shop.example/a>", "https://hana@shop.example/", "javascript:alert(1)"),
                        *("http://localhost.example/a", "https://shop.example/a\nBcc:_x"),
                    ),
                ),
            )
            for text in texts
        ],
        (sender_settings, SENDER, "GOOGLE_CLOUD_PROJECT", "shop_1"),
        (sender_settings, SENDER, "FIRESTORE_DATABASE", "Shop"),
        (sender_settings, SENDER, "STRIPE_API_BASE", "127.0.0.1:12111"),
        (sender_settings, SENDER, "PAST_DUE_GIVES_ACCESS", "maybe"),
        (unsubscribe_settings, UNSUBSCRIBE, "GOOGLE_CLOUD_PROJECT", "shop_1"),
        (unsubscribe_settings, UNSUBSCRIBE, "FIRESTORE_DATABASE", "Shop"),
        (unsubscribe_settings, UNSUBSCRIBE, "UNSUBSCRIBE_URL", "http://shop.example"),
    ],
)
def test_a_malformed_variable_is_named(read: Read, environ: dict[str, str], variable: str, text: str) -> None:
    assert complaint(read, environ | {variable: text}).startswith(f"{variable} ")


@pytest.mark.parametrize(
    ("read", "environ", "variable", "text"),
    [
        (webhook_settings, WEBHOOK, "STRIPE_WEBHOOK_SECRETS", "TOPSECRET"),
        (webhook_settings, WEBHOOK, "STRIPE_WEBHOOK_SECRETS", "sk_live_TOPSECRET"),
        (webhook_settings, WEBHOOK, "STRIPE_WEBHOOK_SECRETS", "WHSEC_TOPSECRET"),
        (webhook_settings, WEBHOOK, "STRIPE_WEBHOOK_SECRETS", '"whsec_TOPSECRET"'),
        (webhook_settings, WEBHOOK, "STRIPE_WEBHOOK_SECRETS", "whsec_TOPSECRET,TOPSECRET"),
        (webhook_settings, WEBHOOK, "STRIPE_WEBHOOK_SECRETS", "whsec_TOP;SECRET\nTOPSECRET"),
        (subscriber_settings, SUBSCRIBER, "STRIPE_API_KEY", "TOPSECRET"),
        (subscriber_settings, SUBSCRIBER, "STRIPE_API_KEY", "pk_live_TOPSECRET"),
        (subscriber_settings, SUBSCRIBER, "STRIPE_API_KEY", "whsec_TOPSECRET"),
        (subscriber_settings, SUBSCRIBER, "STRIPE_API_KEY", "sk_live_TOPSECRET sk_live_TOPSECRET"),
        (subscriber_settings, SUBSCRIBER, "STRIPE_API_KEY", "sk_live_"),
        (subscriber_settings, SUBSCRIBER, "STRIPE_API_KEY", "sk_prod_TOPSECRET"),
        (sender_settings, SENDER, "STRIPE_API_KEY", "pk_live_TOPSECRET"),
        *[
            (read, environ, "UNSUBSCRIBE_KEYS", text)
            for read, environ in (
                (unsubscribe_settings, UNSUBSCRIBE),
                (sender_settings, SENDER),
                (subscriber_settings, SUBSCRIBER),
            )
            for text in ("TOPSECRET", "TOPSECRET" * 3, f"{KEY},TOPSECRET", f"TOPSECRET\n{KEY}", f"TOP SECRET{KEY}")
        ],
    ],
)
def test_a_malformed_secret_is_named_and_not_told(
    read: Read, environ: dict[str, str], variable: str, text: str
) -> None:
    message = complaint(read, environ | {variable: text})
    assert message.startswith(f"{variable} ")
    assert "SECRET" not in message.removeprefix(variable)
    assert KEY not in message
    # Said once, also where it is read for the page and for the links.
    assert message.count(variable) == 1


@pytest.mark.parametrize("text", [",", " , ,", "\n,\n"])
def test_secrets_that_are_all_separators_are_missing(text: str) -> None:
    message = complaint(webhook_settings, WEBHOOK | {"STRIPE_WEBHOOK_SECRETS": text})
    assert message.startswith("STRIPE_WEBHOOK_SECRETS is not set")


@pytest.mark.parametrize(
    ("read", "environ", "variables"),
    [
        (webhook_settings, {}, ["GOOGLE_CLOUD_PROJECT", "STRIPE_WEBHOOK_SECRETS"]),
        (
            webhook_settings,
            {"STRIPE_WEBHOOK_SECRETS": "x", "STRIPE_LIVEMODE": "x", "FORWARD_ALL": "x"},
            ["GOOGLE_CLOUD_PROJECT", "STRIPE_WEBHOOK_SECRETS", "STRIPE_LIVEMODE", "FORWARD_ALL"],
        ),
        (subscriber_settings, {}, ["GOOGLE_CLOUD_PROJECT", "STRIPE_API_KEY", "BRAND_NAME", "SUPPORT_EMAIL"]),
        (sweep_settings, {}, ["GOOGLE_CLOUD_PROJECT", "BRAND_NAME", "SUPPORT_EMAIL"]),
        (sender_settings, {}, ["GOOGLE_CLOUD_PROJECT", "STRIPE_API_KEY", "BRAND_NAME", "SUPPORT_EMAIL"]),
        (unsubscribe_settings, {}, ["GOOGLE_CLOUD_PROJECT", "UNSUBSCRIBE_KEYS", "BRAND_NAME", "SUPPORT_EMAIL"]),
        (
            sender_settings,
            {
                **dict.fromkeys(("STRIPE_API_BASE", "PAST_DUE_GIVES_ACCESS", "UPGRADE_OFFER_AFTER_DAYS"), "x"),
                **dict.fromkeys(("OFFERS", "OFFER_PAUSE_DAYS", "UNSUBSCRIBE_URL", "UNSUBSCRIBE_KEYS"), "x"),
            },
            [
                *("GOOGLE_CLOUD_PROJECT", "STRIPE_API_KEY", "STRIPE_API_BASE", "PAST_DUE_GIVES_ACCESS"),
                *("UPGRADE_OFFER_AFTER_DAYS", "OFFERS", "OFFER_PAUSE_DAYS", "UNSUBSCRIBE_URL", "UNSUBSCRIBE_KEYS"),
                *("BRAND_NAME", "SUPPORT_EMAIL"),
            ],
        ),
        (
            reconcile_settings,
            {"STRIPE_API_BASE": "x", "STRIPE_LIVEMODE": "?", "FORWARD_ALL": "?", "FIRESTORE_DATABASE": "Shop"},
            [
                *("GOOGLE_CLOUD_PROJECT", "STRIPE_LIVEMODE", "FORWARD_ALL", "FIRESTORE_DATABASE", "STRIPE_API_KEY"),
                "STRIPE_API_BASE",
            ],
        ),
        (
            sweep_settings,
            {"FIRESTORE_DATABASE": "Shop", **dict.fromkeys(MAIL_VARIABLES, "\x07?")},
            ["GOOGLE_CLOUD_PROJECT", "FIRESTORE_DATABASE", *MAIL_VARIABLES],
        ),
        (
            subscriber_settings,
            {"GOOGLE_CLOUD_PROJECT": "X", "STRIPE_API_KEY": "x", "STRIPE_API_BASE": "x", "USER_ID_KEY": "[]"},
            [
                *("GOOGLE_CLOUD_PROJECT", "STRIPE_API_KEY", "STRIPE_API_BASE", "USER_ID_KEY"),
                *("BRAND_NAME", "SUPPORT_EMAIL"),
            ],
        ),
    ],
)
def test_everything_that_is_wrong_is_said_at_once(read: Read, environ: dict[str, str], variables: list[str]) -> None:
    message = complaint(read, environ)
    assert [variable for variable in VARIABLES if f"{variable} " in message] == variables


@ALL
def test_variables_of_others_are_none_of_its_business(read: Read, environ: dict[str, Any]) -> None:
    assert read(environ | {"PATH": "/bin", "PORT": "8080"}) == read(environ)


class Listening(Mapping[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._environ[name]

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("settings are read by name")

    def __len__(self) -> int:
        raise AssertionError("settings are read by name")


@pytest.mark.parametrize("row", FUNCTIONS, ids=lambda row: row.name)
def test_a_function_is_given_everything_it_reads_but_the_links_of_offers_that_it_does_not_make(row: Function) -> None:
    environ = Listening(WEBHOOK | SUBSCRIBER | UNSUBSCRIBE | PRICING)
    READ_BY[row.name](environ)
    given = {"GOOGLE_CLOUD_PROJECT", *row.variables, *row.secrets, *row.secrets_if}
    assert given <= environ.asked
    assert environ.asked - given <= {"UNSUBSCRIBE_URL", "UNSUBSCRIBE_KEYS"}


# Accounts.


@pytest.mark.parametrize(
    ("chosen", "create", "claims", "provider"),
    [
        pytest.param({}, False, False, "none", id="by default nobody is asked"),
        pytest.param({"IDENTITY": "firebase"}, False, False, "firebase", id="asked, and nothing made"),
        pytest.param({"ACCOUNTS": "create"}, True, False, "firebase", id="made, by Firebase"),
        pytest.param({"CLAIMS": "on"}, False, True, "firebase", id="told, to Firebase"),
        pytest.param({"ACCOUNTS": "create", "IDENTITY": "http"}, True, False, "http", id="made elsewhere"),
    ],
)
def test_accounts_are_made_and_asked_for_as_the_settings_say(
    chosen: dict[str, str], create: bool, claims: bool, provider: str
) -> None:
    accounts = subscriber_settings(SUBSCRIBER | chosen).accounts
    assert (accounts.create, accounts.claims, accounts.provider) == (create, claims, provider)


@pytest.mark.parametrize(
    ("chosen", "problem"),
    [
        ({"ACCOUNTS": "make"}, "ACCOUNTS is 'make'; say link or create"),
        ({"IDENTITY": "auth0"}, "IDENTITY is 'auth0'; say none, firebase or http"),
        ({"ACCOUNTS": "create", "IDENTITY": "none"}, "IDENTITY is 'none', but ACCOUNTS=create needs somebody"),
        ({"CLAIMS": "on", "IDENTITY": "none"}, "IDENTITY is 'none', but CLAIMS=on needs somebody"),
        ({"IDENTITY": "http"}, "IDENTITY_URL is not set; IDENTITY_TOKEN is not set"),
        (
            {"IDENTITY": "http", "IDENTITY_URL": "http://accounts.example"},
            "IDENTITY_URL is not the address of a function",
        ),
        ({"IDENTITY": "http", "IDENTITY_TOKEN": "short"}, "IDENTITY_TOKEN must be one word of 16 characters or more"),
    ],
)
def test_accounts_that_cannot_work_are_refused_by_name(chosen: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(problem)):
        identity_settings(SUBSCRIBER | chosen)


def test_the_token_of_a_provider_is_in_no_text_of_its_settings() -> None:
    token = "t0ken-that-nobody-may-see"
    settings = identity_settings(
        SUBSCRIBER | {"IDENTITY": "http", "IDENTITY_URL": "https://accounts.example/v1", "IDENTITY_TOKEN": token}
    )
    assert settings.token == token
    assert token not in repr(settings)
