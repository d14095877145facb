"""Every document the system can produce is one that the Trigger Email extension sends: its schema, as JSON Schema."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from functions.letters import Reader
from functions.mail.outbox import post
from functions.mail.settings import MailSettings
from functions.mail.table import MAILS
from local.mail_samples import SETTINGS, samples
from tests.driving import SETTINGS as BARE

Json = dict[str, Any]
SCHEMA = json.loads((Path(__file__).parent / "trigger_email.schema.json").read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
GOOD: Json = {"to": ["hana@example.com"], "message": {"subject": "Thank you", "text": "…", "html": "<p>…</p>"}}


def documents(settings: MailSettings) -> Iterator[tuple[str, Json]]:
    """Every sample in every language, to each of its readers."""
    for sample in samples():
        for locale in ("ja", "en"):
            reader = Reader(email=sample.letter.reader.email, name=sample.letter.reader.name, locales=(locale,))
            letter = type(sample.letter)(
                facts=sample.letter.facts, reader=reader, origin=sample.letter.origin, since=sample.letter.since
            )
            for each in post([letter], settings, letter.since).documents:
                yield f"{sample.name}-{locale}-{each.fields['audience']}", dict(each.fields)


def nulls(value: Any, path: str = "") -> Iterator[str]:
    if value is None:
        yield path
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from nulls(each, f"{path}/{key}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from nulls(each, f"{path}/{number}")


def check(document: Json) -> None:
    VALIDATOR.validate(document)
    assert list(nulls(document)) == [], "the extension rejects null"


@pytest.mark.parametrize(
    ("name", "document"),
    [pytest.param(name, each, id=name) for name, each in documents(SETTINGS)],
)
def test_every_document_is_one_the_extension_sends(name: str, document: Json) -> None:
    assert name
    check(document)


def test_so_is_every_document_of_a_shop_that_has_set_nothing_optional() -> None:
    for _, document in documents(BARE.mail):
        check(document)


def test_the_samples_have_every_mail_to_every_reader() -> None:
    found = {(each["mail"], each["audience"]) for _, each in documents(SETTINGS)}
    assert found == {(mail.name, audience) for mail in MAILS for audience in mail.to}


@given(email=st.text(), name=st.text())
def test_whatever_people_type_makes_a_document_that_is_sent_or_none(email: str, name: str) -> None:
    letter = samples()[0].letter
    letter = type(letter)(
        facts=letter.facts, reader=Reader(email=email, name=name), origin=letter.origin, since=letter.since
    )
    for each in post([letter], SETTINGS, letter.since).documents:
        check(dict(each.fields))


@pytest.mark.parametrize(
    "change",
    [
        {"to": None},
        {"to": []},
        {"to": ["Hana <hana@example.com>"]},
        {"to": ["a@example.com, b@example.com"]},
        {"replyTo": None},
        {"from": "Shop\n<shop@example.com>"},
        {"headers": {"List-Unsubscribe": None}},
        {"delivery": {"state": "PENDING"}},
        {"template": {"name": "x"}},
        {"message": None},
        {"message": {}},
        {"message": {"subject": "Thank you"}},
        {"message": {"subject": "", "text": "…"}},
        {"message": {"subject": "Thank\nyou", "text": "…"}},
        {"message": {"subject": "Thank you", "text": " ", "html": "\n"}},
        {"message": {"subject": "Thank you", "text": "…", "headers": {}}},
    ],
    ids=repr,
)
def test_the_schema_rejects_what_the_extension_does_not_send(change: Json) -> None:
    VALIDATOR.validate(GOOD)
    with pytest.raises((ValidationError, AssertionError)):
        check(GOOD | change)


def test_a_document_without_a_reader_is_no_mail() -> None:
    assert not VALIDATOR.is_valid({"message": GOOD["message"]})
