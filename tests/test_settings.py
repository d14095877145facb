"""Settings: every variable with its default, its good and its bad values, and no secret in any message."""

from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from functions.errors import SettingsError
from functions.mail.settings import Brand, MailSettings
from functions.mail.table import MAILS
from functions.paths import COLLECTIONS
from functions.settings.subscriber import SubscriberSettings, SweepSettings, subscriber_settings, sweep_settings
from functions.settings.webhook import WebhookSettings, webhook_settings
from functions.topology import MAIL_VARIABLES

Read = Callable[[Mapping[str, str]], WebhookSettings | SubscriberSettings | SweepSettings]

WEBHOOK = {"GOOGLE_CLOUD_PROJECT": "my-shop", "STRIPE_WEBHOOK_SECRETS": "whsec_a"}
MAIL = {"BRAND_NAME": "My Shop", "SUPPORT_EMAIL": "support@example.com"}
SUBSCRIBER = {"GOOGLE_CLOUD_PROJECT": "my-shop", "STRIPE_API_KEY": "sk_test_a", **MAIL}
SWEEP = {"GOOGLE_CLOUD_PROJECT": "my-shop", **MAIL}
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
    *MAIL_VARIABLES,
)
ALL = pytest.mark.parametrize(
    ("read", "environ"),
    [(webhook_settings, WEBHOOK), (subscriber_settings, SUBSCRIBER), (sweep_settings, SWEEP)],
    ids=["webhook", "subscriber", "sweep"],
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
        (sweep_settings, SWEEP, "project", "my-shop"),
        (sweep_settings, SWEEP, "database", "(default)"),
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
    ],
)
def test_a_subscriber_reads_a_variable(variable: str, text: str, field: str, value: object) -> None:
    assert getattr(subscriber_settings(SUBSCRIBER | {variable: text}), field) == value


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
    ],
)
def test_a_malformed_secret_is_named_and_not_told(
    read: Read, environ: dict[str, str], variable: str, text: str
) -> None:
    message = complaint(read, environ | {variable: text})
    assert message.startswith(f"{variable} ")
    assert "SECRET" not in message.removeprefix(variable)


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
