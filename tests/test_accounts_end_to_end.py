"""Accounts in the whole system: Stripe's events in, users at the Auth emulator out, with a mail that lets them in."""

import base64
import json
import os
import random
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from functions.identity import OURS
from local.auth_emulator import AuthEmulator
from local.billing import BillingAccount, Price
from local.emulators import Emulators
from local.sender import send
from local.system import System, running

Json = dict[str, Any]
CLUB = Price("price_club", "prod_club", 980, lookup_key="club")
EMAIL = "hana@example.com"


@pytest.fixture(scope="module")
def system(
    emulators: Emulators, auth_emulator: AuthEmulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    environ = {**emulators.environment(), **auth_emulator.environment()}
    environ |= {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    environ |= {"ACCOUNTS": "create", "ACCOUNT_PHONE": "on", "CLAIMS": "on", "MAIL_MAX_AGE": "3650d"}
    project, logs = f"test-{secrets.token_hex(6)}", tmp_path_factory.mktemp("logs")
    with running(environ, log_directory=logs, project=project, accounts=True) as started:
        yield started


def ask(system: System, method: str, **body: Any) -> Json:
    """Firebase Auth's own API, as an application's user calls it or, with a project in the body, its operator."""
    assert system.auth is not None
    body |= {"targetProjectId": system.environment["GOOGLE_CLOUD_PROJECT"]}
    url = f"http://{system.auth.host}/identitytoolkit.googleapis.com/v1/accounts:{method}"
    answer = requests.post(url, json=body, headers={"Authorization": "Bearer owner"}, timeout=10)
    assert answer.ok, answer.text
    return dict(answer.json())


def users(system: System) -> list[Json]:
    project = system.environment["GOOGLE_CLOUD_PROJECT"]
    assert system.auth is not None
    url = f"http://{system.auth.host}/identitytoolkit.googleapis.com/v1/projects/{project}/accounts:batchGet"
    found = requests.get(url, headers={"Authorization": "Bearer owner"}, timeout=10).json()
    return list(found.get("users", []))


def deliver(system: System, account: BillingAccount, events: list[Json]) -> list[Json]:
    assert system.stripe_api is not None
    system.stripe_api.put(account.api_objects())
    before = len([line for line in system.function_log() if line.get("function") == "index_customers"])
    assert {answer.status for answer in send(system.webhook_url, system.webhook_secret, events)} == {200}
    return system.settled(before + len(events))


def test_a_buyer_gets_one_account_sets_a_password_once_and_is_told_what_was_paid_for(system: System) -> None:
    account = BillingAccount(now=1_790_000_000)
    customer = account.create_customer(email=EMAIL, name="佐藤 花", phone="03-1234-5678", preferred_locales=["ja"])
    account.subscribe(customer, [CLUB])
    deliveries = account.events * 5
    random.Random(7).shuffle(deliveries)
    deliver(system, account, deliveries)

    [user] = users(system)
    assert (user["localId"], user["email"], user["phoneNumber"]) == (OURS + customer, EMAIL, "+81312345678")
    assert json.loads(user["customAttributes"]) == {"stripe_plans": ["club"]}
    client = system.firestore()
    stored = client.document(f"customers/{customer}").get().to_dict() or {}
    assert (stored["user_id"], stored["linked_by"]) == (OURS + customer, "account")

    welcome = client.document(f"mail/welcome_{customer}").get().to_dict() or {}
    [link] = re.findall(r"http://\S+oobCode=\S+", welcome["message"]["text"])
    [code] = parse_qs(urlsplit(link).query)["oobCode"]
    ask(system, "resetPassword", oobCode=code, newPassword="correct horse")
    signed_in = ask(system, "signInWithPassword", email=EMAIL, password="correct horse", returnSecureToken=True)
    claims = signed_in["idToken"].split(".")[1]
    token = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    assert (token["user_id"], token["stripe_plans"], token["email_verified"]) == (OURS + customer, ["club"], True)

    host = system.environment["FIREBASE_AUTH_EMULATOR_HOST"]
    url = f"http://{host}/identitytoolkit.googleapis.com/v1/accounts:resetPassword?key=any"
    assert requests.post(url, json={"oobCode": code, "newPassword": "another one"}, timeout=10).status_code == 400


def test_a_subscription_that_ends_leaves_the_token(system: System) -> None:
    account = BillingAccount(now=1_790_100_000, prefix="End")
    customer = account.create_customer(email="kenji@example.com")
    subscription = account.subscribe(customer, [CLUB])
    deliver(system, account, account.events)
    begun = len(account.events)
    account.wait(3600)
    account.cancel(subscription)
    deliver(system, account, account.events[begun:])
    [user] = [each for each in users(system) if each["localId"] == OURS + customer]
    assert json.loads(user.get("customAttributes", "{}")) == {}


def test_many_customers_of_one_address_at_once_share_one_account(system: System) -> None:
    account = BillingAccount(now=1_790_200_000, prefix="Many")
    customers = [account.create_customer(email="many@example.com") for _ in range(6)]
    lines = deliver(system, account, account.events * 2)
    found = [each for each in users(system) if each["email"] == "many@example.com"]
    assert len(found) == 1
    owners = {(system.firestore().document(f"customers/{each}").get().to_dict() or {})["user_id"] for each in customers}
    assert owners == {found[0]["localId"]}
    assert not [line for line in lines if line["outcome"] == "parked"]


def test_no_log_line_says_who_it_was(system: System) -> None:
    text = Path(system.functions.child.log).read_text()
    assert EMAIL not in text
    assert "佐藤" not in text
    assert "oobCode" not in text
