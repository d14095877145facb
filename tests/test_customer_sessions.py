"""Customer sessions, asked of the local Stripe API by the adapter that the page with the pricing table uses."""

from collections.abc import Iterator
from typing import Any

import pytest

from functions.adapters.stripe import MAX_RETRIES, StripeApi
from functions.errors import Permanent, Retry
from local import stripe_api as local

PATH = "/v1/customer_sessions"


class Pauses:
    """A clock that only remembers how long it was asked to wait."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture(scope="module")
def server() -> Iterator[local.StripeApi]:
    with local.StripeApi() as running:
        yield running


@pytest.fixture
def served(server: local.StripeApi) -> local.StripeApi:
    server.clear()
    gone = {"id": "cus_gone", "object": "customer", "deleted": True}
    server.put([{"id": "cus_1", "object": "customer", "created": 1}, gone])
    return server


@pytest.fixture
def clock() -> Pauses:
    return Pauses()


@pytest.fixture
def api(served: local.StripeApi, clock: Pauses) -> StripeApi:
    return StripeApi("sk_test_x", served.url, clock)


def test_the_secret_is_of_that_customer_and_for_a_pricing_table(api: StripeApi, served: local.StripeApi) -> None:
    secret = api.customer_session("cus_1")
    [session] = served.customer_sessions()
    assert (session["client_secret"], session["customer"]) == (secret, "cus_1")
    assert [name for name, each in session["components"].items() if each["enabled"]] == ["pricing_table"]
    assert [(request["method"], request["path"]) for request in served.requests()] == [("POST", PATH)]


def test_each_page_has_its_own(api: StripeApi) -> None:
    assert api.customer_session("cus_1") != api.customer_session("cus_1")


@pytest.mark.parametrize("customer", ["cus_gone", "cus_unknown", "guest_5f2c9e1ab07d4433a1c2e9d8", "", "../charges"])
def test_whom_stripe_does_not_have_is_permanent(api: StripeApi, served: local.StripeApi, customer: str) -> None:
    with pytest.raises(Permanent, match=f"POST {PATH}") as raised:
        api.customer_session(customer)
    assert not customer or customer not in str(raised.value)
    assert served.customer_sessions() == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"status": 500}, "answered 500"),
        ({"status": 429}, "limits our rate"),
        ({"status": 403}, "PermissionError"),
        ({"cut": True}, "APIConnectionError"),
    ],
)
def test_when_stripe_cannot_say_it_may_later(
    api: StripeApi, served: local.StripeApi, fault: dict[str, Any], reason: str
) -> None:
    served.set_faults([{"path": PATH, **fault}])
    with pytest.raises(Retry, match=reason):
        api.customer_session("cus_1")


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 409}, {"status": 429}, {"cut": True}])
def test_a_passing_fault_costs_nobody_the_page(api: StripeApi, served: local.StripeApi, fault: dict[str, Any]) -> None:
    served.set_faults([{"path": PATH, "times": MAX_RETRIES, **fault}])
    assert api.customer_session("cus_1") == served.customer_sessions()[-1]["client_secret"]


def test_a_wrong_key_is_for_an_operator(served: local.StripeApi, clock: Pauses) -> None:
    with pytest.raises(Retry, match="AuthenticationError") as raised:
        StripeApi("sk_nonsense_secret", served.url, clock).customer_session("cus_1")
    assert "nonsense" not in str(raised.value)
