"""Settings: every variable with its default, its good and its bad values, and no secret in any message."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from functions.errors import SettingsError
from functions.settings import SubscriberSettings, WebhookSettings, subscriber_settings, webhook_settings

Read = Callable[[Mapping[str, str]], WebhookSettings | SubscriberSettings]

WEBHOOK = {"GOOGLE_CLOUD_PROJECT": "my-shop", "STRIPE_WEBHOOK_SECRETS": "whsec_a"}
SUBSCRIBER = {"GOOGLE_CLOUD_PROJECT": "my-shop", "STRIPE_API_KEY": "sk_test_a"}
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
)
BOTH = pytest.mark.parametrize(
    ("read", "environ"), [(webhook_settings, WEBHOOK), (subscriber_settings, SUBSCRIBER)], ids=["webhook", "subscriber"]
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
    ],
)
def test_a_function_starts_with_a_project_and_its_secret_alone(
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


@BOTH
def test_a_missing_variable_is_named(read: Read, environ: dict[str, str]) -> None:
    for variable in environ:
        message = complaint(read, {name: text for name, text in environ.items() if name != variable})
        assert message == f"{variable} is not set. See the settings table in README.md."


@BOTH
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
        (subscriber_settings, {}, ["GOOGLE_CLOUD_PROJECT", "STRIPE_API_KEY"]),
        (
            subscriber_settings,
            {"GOOGLE_CLOUD_PROJECT": "X", "STRIPE_API_KEY": "x", "STRIPE_API_BASE": "x", "USER_ID_KEY": "[]"},
            ["GOOGLE_CLOUD_PROJECT", "STRIPE_API_KEY", "STRIPE_API_BASE", "USER_ID_KEY"],
        ),
    ],
)
def test_everything_that_is_wrong_is_said_at_once(read: Read, environ: dict[str, str], variables: list[str]) -> None:
    message = complaint(read, environ)
    assert [variable for variable in VARIABLES if f"{variable} " in message] == variables


@BOTH
def test_variables_of_others_are_none_of_its_business(read: Read, environ: dict[str, Any]) -> None:
    assert read(environ | {"PATH": "/bin", "PORT": "8080"}) == read(environ)
