"""The limits of SECURITY.md: what is just small enough is taken, and what is larger ends as it says there."""

import inspect
import json
import random
import re
import string
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import functions_framework._http.gunicorn
import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]

from functions import paths
from functions.accounts.question import MAX_CHARACTERS
from functions.errors import Malformed
from functions.mail import text
from functions.mail.address import writable
from functions.marketing.links import BadLink, UnsubscribeLinks
from functions.pages import find_customer, unsubscribe
from functions.pages.http import languages
from functions.pages.pricing import wants_json
from functions.settings.reader import metadata_key, signing_keys, whole_number
from functions.stripe_events import Charge, Customer, event_of
from functions.topology import FUNCTIONS
from functions.webhook import MAX_BODY_BYTES, TOLERANCE_SECONDS
from local.account import thin
from tests.fuzz.firestore import is_document_path
from tests.pricing_shop import HANA, Page, Parts
from tests.test_headers import found
from tests.test_headers import unsubscribe as unsubscribed
from tests.test_webhook import BODY, NOW, Webhook, event, sign

SECURITY = (Path(__file__).resolve().parent.parent / "SECURITY.md").read_text("utf-8")


@pytest.mark.parametrize(
    "limit",
    [
        f"{MAX_BODY_BYTES >> 20} MiB",
        f"{TOLERANCE_SECONDS} s",
        f"{find_customer.MAX_BODY_BYTES >> 10} KiB",
        f"{unsubscribe.MAX_BODY_BYTES >> 10} KiB",
        f"{MAX_CHARACTERS} characters",
        *("8190 bytes", "100 headers", "255 characters", "1,500 bytes", "64 bits", "1 MiB", "1,000 characters"),
        *("200 characters", "20 languages", "30 types", "254 characters", "60 characters", "2,000 characters"),
        *("32 characters", "40 characters", "5 digits"),
    ],
)
def test_the_table_names_it(limit: str) -> None:
    [table] = re.findall(r"^## Limits\n(.*?)^## ", SECURITY, re.MULTILINE | re.DOTALL)
    assert limit in table


def test_the_tables_name_every_function_and_every_secret() -> None:
    """Whoever adds one has to say who may call it, and what its leak would give."""
    for row in FUNCTIONS:
        accounts = re.findall(r"^\| (`.+?) \| (.+ \| .*(?:datastore|no database).*)$", SECURITY, re.MULTILINE)
        [of_its_account] = [said for names, said in accounts if f"`{row.name}`" in names]
        for secret in (*row.secrets, *row.secrets_if):
            assert f"`{secret}`" in of_its_account, row.name
            assert f"\n| `{secret}` |" in SECURITY
        assert ("`stripe-events`" in of_its_account) == row.publishes, row.name
        assert ("firebaseauth." in of_its_account) == bool(row.accounts or row.tells_tokens), row.name


# The webhook, and what is read of an event


@pytest.mark.parametrize("key", ["id", "type", "api_version", "account"])
def test_a_word_of_an_event_has_255_characters(key: str) -> None:
    assert event_of(event(**{key: "x" * 255}))
    for data in (event(**{key: "x" * 256}), event(**{key: "x y"}), event(**{key: "é"}), event(**{key: "x\n"})):
        assert Webhook(forward_all=True).post(json.dumps(data).encode()).status == 400


def test_the_other_words_of_a_thin_notification_have_too() -> None:
    for key in ("snapshot_event", "context"):
        assert event_of(thin(event()) | {key: "x" * 255})
        with pytest.raises(Malformed):
            event_of(thin(event()) | {key: "x" * 256})


def test_time_ends_with_the_year_9999() -> None:
    assert event_of(event(created=253_402_300_799))
    with pytest.raises(Malformed):
        event_of(event(created=253_402_300_800))


@pytest.mark.parametrize("body", [b"[" * 500_000, b'{"a":' * 100_000, b"9" * 5_000, b'{"id": ' + b"1" * 5_000 + b"}"])
def test_json_that_is_too_deep_or_too_long_a_number_is_refused(body: bytes) -> None:
    assert Webhook().post(body).status == 400


@pytest.mark.parametrize("header", [f"t={'9' * 5_000},v1=00", f"t={NOW}" + ",v1=00" * 1_300, "," * 8_000, "t=" * 4_000])
def test_a_signature_header_as_long_as_a_header_may_be_is_refused(header: str) -> None:
    response = Webhook().post(BODY, {"Stripe-Signature": header})
    assert response.status == 400
    assert Webhook().post(BODY, {"Stripe-Signature": f"{sign(BODY)}{',v1=00' * 1_300}"}).status == 200


def test_the_server_reads_100_headers_of_8190_bytes_each() -> None:
    assert (Config().limit_request_fields, Config().limit_request_field_size) == (100, 8190)
    # functions-framework changes no more than the length of the address, of which nothing reads much.
    options = inspect.getsource(functions_framework._http.gunicorn)
    assert set(re.findall(r'"limit_[a-z_]+"', options)) == {'"limit_request_line"'}


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_a_number_has_64_bits(number: int) -> None:
    charge = {"object": "charge", "id": "ch_1", "amount": 0, "amount_refunded": 0}
    assert Charge.of(charge | {"amount": number}).amount == number
    for too_large in (2**63, -(2**63) - 1, 10**400):
        with pytest.raises(Malformed):
            Charge.of(charge | {"amount": too_large})


@pytest.mark.parametrize("key", ["id", "name", "email", "phone"])
def test_a_text_that_is_no_utf_8_is_mended(key: str) -> None:
    data = json.loads(json.dumps({"object": "customer", "id": "cus_1", key: "a\ud800b"}))
    assert getattr(Customer.of(data), key) == "a?b"


# What people name


@pytest.mark.parametrize("length", [1, 1_500, 1_501, 20_000])
@pytest.mark.parametrize("letter", ["x", "é", "/", "\0", "_", "."])
def test_an_id_of_any_length_is_the_id_of_a_document(length: int, letter: str) -> None:
    for path in (paths.customer, paths.user, paths.payment, paths.index_of_customer, paths.prices, paths.operation):
        assert is_document_path(path(letter * length))
    assert is_document_path(paths.order(letter * length, letter * length))


def test_names_of_metadata_that_firestore_reserves_are_escaped() -> None:
    assert paths.as_map({"__name__": "a", "": "b", "%": "c", "plan": "d"}).keys() == {"%5F_name__", "%", "%25", "plan"}


@pytest.mark.parametrize(
    ("length", "limit", "fits"),
    [
        (60, 60, lambda length: text.person("あ" * length) == "あ" * length),
        (200, 200, lambda length: text.clean("x" * length) == "x" * length),
        (2_000, 2_000, lambda length: text.link("https://a.example/".ljust(length, "x")) is not None),
        (254, 254, lambda length: writable(f"{'l' * 60}@{_host(length - 61)}") is not None),
        (64, 64, lambda length: writable(f"{'l' * length}@shop.example") is not None),
    ],
)
def test_what_strangers_typed_into_a_mail(length: int, limit: int, fits: Callable[[int], bool]) -> None:
    assert fits(length)
    assert not fits(limit + 1)


def _host(length: int) -> str:
    """A name of that many characters, in labels of no more than 51."""
    letters = length - len(".example")
    return "".join("." if at % 51 == 50 and at < letters - 1 else "x" for at in range(letters)) + ".example"


# find_customer


@pytest.mark.parametrize("by", ["user_id", "customer", "email"])
def test_whoever_is_asked_for_has_512_characters(by: str) -> None:
    for length, status in ((MAX_CHARACTERS, 404), (MAX_CHARACTERS + 1, 400)):
        asked = {by: "x" * length}
        assert found(query=asked).status == status
        assert found("POST", body=json.dumps(asked).encode()).status == status


def test_a_question_has_8_kib() -> None:
    asked = json.dumps({"user_id": "nobody"}).encode()
    assert found("POST", body=asked.ljust(find_customer.MAX_BODY_BYTES)).status == 404
    assert found("POST", body=asked.ljust(find_customer.MAX_BODY_BYTES + 1)).status == 413
    longest = json.dumps({"user_id": "😀" * MAX_CHARACTERS}).encode()
    assert found("POST", body=longest).status == 404, "the longest question fits, however JSON spells it"


# pricing_page


def test_stripe_takes_a_reference_of_200_characters() -> None:
    def table_of(user_id: str) -> dict[str, str | None]:
        [table] = Parts(Page().signed_in(replace(HANA, user_id=user_id)).body).of("stripe-pricing-table")
        return table

    assert table_of("x" * 200)["client-reference-id"] == "x" * 200
    assert "client-reference-id" not in table_of("x" * 201)


def test_20_languages_and_30_types_are_looked_at() -> None:
    assert len(languages({"Accept-Language": ",".join(["en"] * 1_000)})) == 20
    wanted = ["a/b"] * 29 + ["application/json"]
    assert wants_json({"Accept": ",".join(wanted)})
    assert not wants_json({"Accept": ",".join(["a/b", *wanted])})


# unsubscribe


def test_the_token_of_a_link_has_1000_characters() -> None:
    links = UnsubscribeLinks("", ("k" * 32,))

    def read(customer: str) -> Any:
        return links.read(links.url(customer, "a@b.example").partition("=")[2])

    # The longest id that Stripe takes, of what cannot be compressed.
    longest = "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=255))
    assert read(longest)[0] == longest
    with pytest.raises(BadLink):
        read(longest + "".join(random.Random(8).choices(string.printable, k=800)))


def test_a_refusal_has_64_kib() -> None:
    assert unsubscribed("POST", body=b"x" * unsubscribe.MAX_BODY_BYTES).status == 200
    assert unsubscribed("POST", body=b"x" * (unsubscribe.MAX_BODY_BYTES + 1)).status == 413


# Settings


@pytest.mark.parametrize(
    ("parse", "fits", "exceeds"),
    [
        (whole_number, "9" * 5, "9" * 6),
        (metadata_key, "k" * 40, "k" * 41),
        (signing_keys, "k" * 32, "k" * 31),
    ],
)
def test_a_setting_beyond_its_limit_stops_the_function(parse: Callable[[str], Any], fits: str, exceeds: str) -> None:
    assert parse(fits)
    with pytest.raises(ValueError, match=r"must|at most"):
        parse(exceeds)
