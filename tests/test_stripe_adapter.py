"""What the system asks of Stripe's API, asked of the local one by the official client."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from functions.adapters.stripe import MAX_RETRIES, StripeApi
from functions.effects import Fetch
from functions.errors import Permanent, Retry
from local import stripe_api as local
from local.account import Account, Line, thin
from tests.driving import event

CUSTOMER = Fetch("customer", "cus_1")


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
    server.put([{"id": "cus_1", "object": "customer", "email": "hana@example.com", "created": 1}])
    return server


@pytest.fixture
def clock() -> Pauses:
    return Pauses()


@pytest.fixture
def api(served: local.StripeApi, clock: Pauses) -> StripeApi:
    return StripeApi("sk_test_x", served.url, clock)


def an_event(**changes: Any) -> Any:
    account = Account(now=1_790_000_000)
    account.create_customer(email="hana@example.com")
    return replace(event(account.events[0]), **changes)


def test_an_object_is_fetched_as_plain_json(api: StripeApi) -> None:
    fetched = api.fetch(CUSTOMER, an_event())
    assert type(fetched) is dict
    assert fetched["email"] == "hana@example.com"


@pytest.mark.parametrize("count", [0, 1, 100, 101, 250])
def test_line_items_come_whole_with_one_call_per_hundred(api: StripeApi, served: local.StripeApi, count: int) -> None:
    account = Account(now=1_790_000_000)
    session = account.open_session([Line(f"Item {number}", number) for number in range(count)])
    served.put(account.api_objects())
    lines = api.fetch(Fetch("line_items", session), an_event())["data"]
    assert [line["description"] for line in lines] == [f"Item {number}" for number in range(count)]
    assert len(served.requests()) == max(1, -(-count // 100))


def test_a_connected_accounts_objects_are_fetched_from_that_account(api: StripeApi, served: local.StripeApi) -> None:
    api.fetch(CUSTOMER, an_event(account="acct_1"))
    assert [request["account"] for request in served.requests()] == ["acct_1"]


def test_the_context_of_a_thin_notification_goes_along(api: StripeApi, served: local.StripeApi) -> None:
    api.fetch(CUSTOMER, an_event(account="acct_1", is_thin=True))
    assert [request["context"] for request in served.requests()] == ["acct_1"]


def test_the_api_version_is_the_clients_own_pinned_one(api: StripeApi, served: local.StripeApi) -> None:
    import stripe

    api.fetch(CUSTOMER, an_event(api_version="2020-03-02"))
    assert served.requests()[0]["stripe_version"] == stripe.api_version


def test_an_id_cannot_leave_its_place_in_the_address(api: StripeApi, served: local.StripeApi) -> None:
    with pytest.raises(Permanent):
        api.fetch(Fetch("customer", "../charges?limit=1"), an_event())
    assert served.requests()[0]["path"].startswith("/v1/customers/")


@pytest.mark.parametrize("status", [500, 503, 409])
def test_a_passing_server_error_is_retried(api: StripeApi, served: local.StripeApi, status: int) -> None:
    served.set_faults([{"path": "/v1/customers", "status": status, "times": MAX_RETRIES}])
    assert api.fetch(CUSTOMER, an_event())["id"] == "cus_1"
    assert len(served.requests()) == MAX_RETRIES + 1


def test_a_lasting_server_error_is_for_pubsub_to_retry(api: StripeApi, served: local.StripeApi) -> None:
    served.set_faults([{"path": "/v1/customers", "status": 500}])
    with pytest.raises(Retry, match="500"):
        api.fetch(CUSTOMER, an_event())


def test_a_dropped_connection_is_retried_and_then_for_pubsub(api: StripeApi, served: local.StripeApi) -> None:
    served.set_faults([{"path": "/v1/customers", "cut": True}])
    with pytest.raises(Retry, match="APIConnectionError"):
        api.fetch(CUSTOMER, an_event())
    assert len(served.requests()) == MAX_RETRIES + 1


def test_what_stripe_says_not_to_retry_is_not_retried(api: StripeApi, served: local.StripeApi) -> None:
    served.set_faults([{"path": "/v1/customers", "status": 500, "should_retry": "false"}])
    with pytest.raises(Retry):
        api.fetch(CUSTOMER, an_event())
    assert len(served.requests()) == 1


def test_a_rate_limit_is_waited_for_with_growing_pauses(api: StripeApi, served: local.StripeApi, clock: Pauses) -> None:
    served.set_faults([{"path": "/v1/customers", "status": 429, "times": MAX_RETRIES}])
    assert api.fetch(CUSTOMER, an_event())["id"] == "cus_1"
    assert len(clock.slept) == MAX_RETRIES
    assert clock.slept[0] < clock.slept[1] <= 1.5


def test_a_lasting_rate_limit_is_for_pubsub_to_retry(api: StripeApi, served: local.StripeApi) -> None:
    served.set_faults([{"path": "/v1/customers", "status": 429}])
    with pytest.raises(Retry, match="limits our rate"):
        api.fetch(CUSTOMER, an_event())
    assert len(served.requests()) == MAX_RETRIES + 1


def test_a_rate_limit_that_says_not_to_retry_is_not_waited_for(
    api: StripeApi, served: local.StripeApi, clock: Pauses
) -> None:
    served.set_faults([{"path": "/v1/customers", "status": 429, "should_retry": "false"}])
    with pytest.raises(Retry):
        api.fetch(CUSTOMER, an_event())
    assert (clock.slept, len(served.requests())) == ([], 1)


def test_a_rate_limit_in_the_middle_of_the_pages_goes_on_where_it_was(api: StripeApi, served: local.StripeApi) -> None:
    account = Account(now=1_790_000_000)
    session = account.open_session([Line(f"Item {number}", 1) for number in range(150)])
    served.put(account.api_objects())
    served.set_faults([{"path": "/v1/checkout/sessions/[^/]+/line_items", "status": 429, "times": 1}])
    assert len(api.fetch(Fetch("line_items", session), an_event())["data"]) == 150


def test_an_object_that_does_not_exist_is_permanent_and_says_what_to_check(api: StripeApi) -> None:
    with pytest.raises(Permanent, match=r"resource_missing.*STRIPE_API_KEY"):
        api.fetch(Fetch("customer", "cus_unknown"), an_event())


def test_a_wrong_key_is_for_an_operator_and_a_retry(served: local.StripeApi, clock: Pauses) -> None:
    with pytest.raises(Retry, match="AuthenticationError"):
        StripeApi("nonsense", served.url, clock).fetch(CUSTOMER, an_event())


def test_no_reason_carries_the_key(served: local.StripeApi, clock: Pauses) -> None:
    with pytest.raises(Retry) as raised:
        StripeApi("sk_nonsense_secret", served.url, clock).fetch(CUSTOMER, an_event())
    assert "sk_nonsense_secret" not in str(raised.value)


def customers(count: int, **fields: Any) -> list[dict[str, Any]]:
    """So many Customers, the newest first."""
    made = [{"id": f"cus_X{number}", "object": "customer", "created": number, **fields} for number in range(count)]
    return made[::-1]


@pytest.mark.parametrize("count", [0, 1, 100, 101, 250])
def test_the_customers_of_an_address_come_whole_with_one_call_per_hundred(
    api: StripeApi, served: local.StripeApi, count: int
) -> None:
    made = customers(count, email="taro@example.com")
    served.put(made)
    assert api.customers_with_email("taro@example.com") == made
    assert len(served.requests()) == max(1, -(-count // 100))
    assert served.requests()[0]["query"] == {"email": "taro@example.com", "limit": "100"}


def test_an_address_is_found_as_it_is_spelled(api: StripeApi) -> None:
    assert api.customers_with_email("Hana@example.com") == []
    [found] = api.customers_with_email("hana@example.com")
    assert found["id"] == "cus_1"


@pytest.mark.parametrize("count", [0, 1, 100, 101, 250])
def test_the_customers_of_a_user_come_whole_with_one_call_per_hundred(
    api: StripeApi, served: local.StripeApi, count: int
) -> None:
    made = customers(count, metadata={"user_id": "taro"})
    served.put(made)
    assert api.customers_of_user("user_id", "taro") == made
    assert len(served.requests()) == max(1, -(-count // 100))
    assert {request["path"] for request in served.requests()} == {"/v1/customers/search"}


def test_a_user_is_found_by_case_which_stripes_search_ignores(api: StripeApi, served: local.StripeApi) -> None:
    served.put(
        {"id": f"cus_{user}", "object": "customer", "created": 1, "metadata": {"user_id": user}}
        for user in ("taro", "Taro", "TARO")
    )
    [found] = api.customers_of_user("user_id", "Taro")
    assert found["id"] == "cus_Taro"


@pytest.mark.parametrize("text", ['"', "\\", '\\"', '" OR email:"hana@example.com', "'", "a\nb", "]", '\\\\" OR "'])
def test_neither_the_key_nor_the_user_leaves_its_place_in_a_query(
    api: StripeApi, served: local.StripeApi, text: str
) -> None:
    assert api.customers_of_user("user_id", text) == []
    assert api.customers_of_user(text, "hana") == []
    served.put([{"id": "cus_2", "object": "customer", "created": 1, "metadata": {text: text}}])
    [found] = api.customers_of_user(text, text)
    assert found["id"] == "cus_2"


def test_a_search_that_is_refused_is_permanent(api: StripeApi, served: local.StripeApi) -> None:
    served.set_faults([{"path": "/v1/customers/search", "status": 400}])
    with pytest.raises(Permanent):
        api.customers_of_user("user_id", "hana")


def test_a_thin_notification_of_the_account_model_names_its_object() -> None:
    account = Account(now=1_790_000_000)
    customer = account.create_customer(email="hana@example.com")
    parsed = event(thin(account.events[0]))
    assert (parsed.type, parsed.object_id, parsed.created) == ("customer.created", customer, 1_790_000_000)
