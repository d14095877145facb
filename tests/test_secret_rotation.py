"""docs/runbooks/secret-rotation.md, step by step on the local system, while Stripe goes on sending."""

import json
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from functions.marketing.links import UnsubscribeLinks
from local.account import Account, Line
from local.background import Background
from local.emulators import Emulators
from local.processes import Server, local_http
from local.sender import sign
from local.system import System, _functions, running

Json = dict[str, Any]
_OLD, _NEW = "whsec_old", "whsec_new"
_OLD_KEY, _NEW_KEY = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
_BETWEEN_EVENTS_SECONDS = 0.2


class Sending(Background):
    """Stripe: an event after the other, each signed anew with every secret that is active, until it is taken.

    The real Stripe waits longer before it tries again, and does so for three days.
    """

    def __init__(self, url: str, account: Account) -> None:
        super().__init__("stripe")
        self.signing: tuple[str, ...] = (_OLD,)
        self.customers: list[str] = []
        #: What each attempt came to: a status, or `away` where nobody answered.
        self.answers: Counter[int | str] = Counter()
        self._url, self._account = url, account

    def _run(self) -> None:
        while not self._stopping.is_set():
            customer = self._account.create_customer(email=f"{len(self.customers)}@example.com")
            deliver(self._url, self._account.events[-1], lambda: self.signing, self.answers)
            self.customers.append(customer)
            self._stopping.wait(_BETWEEN_EVENTS_SECONDS)

    def wait_for_more(self, number: int = 5) -> None:
        """Returns when so many further events have been taken."""
        wanted = len(self.customers) + number
        wait_until(lambda: len(self.customers) >= wanted, f"{number} more events")


def deliver(url: str, event: Json, signing: Callable[[], tuple[str, ...]], answers: Counter[int | str]) -> None:
    """Send an event until somebody says 200. Raises TimeoutError."""
    body = json.dumps(event).encode()
    deadline = time.monotonic() + 60
    with local_http() as session:
        while time.monotonic() < deadline:
            headers = {"Stripe-Signature": signature(body, signing()), "Content-Type": "application/json"}
            try:
                status: int | str = session.post(url, data=body, headers=headers, timeout=10).status_code
            except requests.RequestException:
                status = "away"
            answers[status] += 1
            if status == 200:
                return
            time.sleep(0.1)
    raise TimeoutError(f"{event['id']} was never taken: {dict(answers)}")


def signature(body: bytes, signing: tuple[str, ...]) -> str:
    """While a secret is being rolled Stripe signs with the old one and with the new one: several `v1` in one header."""
    now = time.time()
    first, *others = (sign(body, secret, at=now) for secret in signing)
    return ",".join([first, *(other.partition(",")[2] for other in others)])


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.05)


class Service:
    """The functions behind one address, of which a deployment makes one revision after the other."""

    def __init__(self, system: System, settings: dict[str, str], logs: Path) -> None:
        self._settings, self._logs = settings, logs
        self._port = int(system.webhook_url.split(":")[2].partition("/")[0])
        self._server = system.functions
        self._revisions = 0

    def deploy(self, **settings: str) -> None:
        """Another revision with other settings. In between nobody answers, which is worse than in the cloud."""
        self._settings |= settings
        self._server.stop()
        self._revisions += 1
        logs = self._logs / str(self._revisions)
        logs.mkdir()
        self._server = Server(_functions(self._settings), logs, choose_ports=lambda _: [self._port])
        self._server.wait_until_ready()

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture(scope="module")
def environ(emulators: Emulators) -> dict[str, str]:
    found = dict(emulators.environment()) | {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return found | {"STRIPE_WEBHOOK_SECRETS": _OLD, "UNSUBSCRIBE_KEYS": _OLD_KEY, "MAIL_MAX_AGE": "3650d"}


@pytest.fixture(scope="module")
def system(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    project = f"test-{secrets.token_hex(6)}"
    with running(environ, log_directory=tmp_path_factory.mktemp("logs"), project=project) as started:
        yield started


@pytest.fixture(scope="module")
def service(system: System, environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(system, environ | system.environment, tmp_path_factory.mktemp("revisions"))
    with ExitStack() as stack:
        stack.callback(service.stop)
        yield service


def test_no_event_is_lost_or_refused_while_the_signing_secret_is_rotated(system: System, service: Service) -> None:
    account = Account(now=1_790_000_000, prefix="Rotation")
    with Sending(system.webhook_url, account) as stripe:
        stripe.wait_for_more()
        # 1. Rolled in the Dashboard, the old one to expire in 24 hours: from now on both sign.
        stripe.signing = (_OLD, _NEW)
        stripe.wait_for_more()
        # 2. Both are configured, and a new revision has them.
        service.deploy(STRIPE_WEBHOOK_SECRETS=f"{_NEW},{_OLD}")
        stripe.wait_for_more()
        # 3. The old one has expired.
        stripe.signing = (_NEW,)
        stripe.wait_for_more()
        # 4. It is taken out.
        service.deploy(STRIPE_WEBHOOK_SECRETS=_NEW)
        stripe.wait_for_more()
    assert stripe.answers.keys() <= {200, "away"}, "nobody was ever refused"
    assert stripe.answers[200] == len(stripe.customers) >= 25
    client = system.firestore()
    wait_until(
        lambda: {each.id for each in client.collection("customers").list_documents()} >= set(stripe.customers),
        "every event to be applied",
    )
    [event] = account.events[:1]
    body = json.dumps(event).encode()
    refused = requests.post(
        system.webhook_url, data=body, headers={"Stripe-Signature": signature(body, (_OLD,))}, timeout=10
    )
    assert (refused.status_code, refused.text.strip()) == (400, "no signature matches")


def test_an_event_waits_until_an_expired_api_key_is_replaced_and_old_links_go_on(
    system: System, service: Service
) -> None:
    account = Account(now=1_790_000_000, prefix="Key")
    session = account.open_session([Line("Mug", 1400)])
    account.complete(session, email="hana@example.com")
    stripe_api = system.stripe_api
    assert stripe_api is not None
    stripe_api.put(account.api_objects())
    stripe_api.forget_requests()
    stripe_api.set_faults([{"path": "/v1", "status": 401}])
    deliver(system.webhook_url, account.events[-1], lambda: (_OLD, _NEW), Counter())
    wait_until(lambda: bool(stripe_api.requests()), "an attempt with the expired key")
    assert not orders(system, session)
    stripe_api.set_faults([])
    service.deploy(STRIPE_API_KEY="sk_test_new", UNSUBSCRIBE_KEYS=f"{_NEW_KEY},{_OLD_KEY}")
    wait_until(lambda: orders(system, session), "the event to be applied")
    assert {request["status"] for request in stripe_api.requests()} == {401, 200}
    for key in (_OLD_KEY, _NEW_KEY):
        link = UnsubscribeLinks(system.environment["UNSUBSCRIBE_URL"], (key,)).url("cus_1", "hana@example.com")
        assert requests.get(link, timeout=10).status_code == 200


def orders(system: System, session: str) -> bool:
    """Whether the order of that session is there."""
    customers = system.firestore().collection("customers").list_documents()
    return any(each.collection("orders").document(session).get().exists for each in customers if "guest" in each.id)
