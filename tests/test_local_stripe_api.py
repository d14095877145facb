"""The local Stripe API, as the official SDK sees it: what passes against it must pass against api.stripe.com."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe
from hypothesis import example, given, settings
from hypothesis import strategies as st

from local.stripe_api import StripeApi
from local.stripe_api.resources import BY_OBJECT, RESOURCES
from local.stripe_api.search import parse

Json = dict[str, Any]
KEY = "sk_test_abc123"


@pytest.fixture(scope="module")
def server() -> Iterator[StripeApi]:
    with StripeApi() as started:
        yield started


@pytest.fixture
def api(server: StripeApi) -> StripeApi:
    server.clear()
    return server


@pytest.fixture
def client(api: StripeApi) -> stripe.StripeClient:
    return client_of(api)


def client_of(api: StripeApi, *, key: str = KEY, retries: int = 0) -> stripe.StripeClient:
    return stripe.StripeClient(key, base_addresses={"api": api.url}, max_network_retries=retries)


def get(api: StripeApi, path: str, **parameters: str) -> requests.Response:
    """What the SDK would refuse to send, or hides of the answer."""
    return requests.get(api.url + path, params=parameters, headers={"Authorization": f"Bearer {KEY}"}, timeout=10)


def customer(number: int, **fields: Any) -> Json:
    return {"id": f"cus_{number}", "object": "customer", "created": 1000 + number, "metadata": {}} | fields


def session(number: int, **fields: Any) -> Json:
    return {"id": f"cs_test_{number}", "object": "checkout.session", "created": 1000 + number} | fields


def line(number: int, **fields: Any) -> Json:
    return {"id": f"li_{number}", "object": "item", "quantity": number} | fields


# Retrieving


def test_an_object_comes_back_as_it_was_put_in(api: StripeApi, client: stripe.StripeClient) -> None:
    put = customer(1, email="hana@example.com", address={"line1": None}, metadata={"user_id": "u1"})
    api.put([put])
    put["metadata"]["user_id"] = "changed after it was put in"
    assert client.v1.customers.retrieve("cus_1").to_dict() == put | {"metadata": {"user_id": "u1"}}


def test_putting_an_object_again_replaces_it(api: StripeApi, client: stripe.StripeClient) -> None:
    api.put([customer(1, email="old@example.com"), customer(2)])
    api.put([customer(1, email="new@example.com")])
    assert client.v1.customers.retrieve("cus_1").email == "new@example.com"
    assert [found.id for found in client.v1.customers.list().data] == ["cus_2", "cus_1"]


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.object)
def test_every_row_of_the_table_is_served(api: StripeApi, resource: Any) -> None:
    stored = {"id": "x_1", "object": resource.object, "created": 5}
    api.put([stored])
    assert get(api, f"/v1/{resource.path}/x_1").json() == stored
    missing = get(api, f"/v1/{resource.path}/x_2")
    assert missing.status_code == 404
    assert missing.json()["error"] == {
        "code": "resource_missing",
        "doc_url": "https://docs.stripe.com/error-codes/resource-missing",
        "message": f"No such {resource.object}: 'x_2'",
        "param": resource.id_param,
        "type": "invalid_request_error",
    }


def test_an_id_of_another_kind_is_missing(api: StripeApi, client: stripe.StripeClient) -> None:
    api.put([{"id": "ch_1", "object": "charge", "created": 5}])
    with pytest.raises(stripe.InvalidRequestError, match="No such customer: 'ch_1'") as raised:
        client.v1.customers.retrieve("ch_1")
    assert (raised.value.http_status, raised.value.code, raised.value.param) == (404, "resource_missing", "id")


def test_a_deleted_customer_is_retrieved_but_never_found(api: StripeApi, client: stripe.StripeClient) -> None:
    api.put([customer(number, email="same@example.com") for number in (1, 2, 3)])
    deleted = {"id": "cus_2", "object": "customer", "deleted": True}
    api.put([deleted])
    assert client.v1.customers.retrieve("cus_2").to_dict() == deleted
    assert [found.id for found in client.v1.customers.list()] == ["cus_3", "cus_1"]
    assert [found.id for found in client.v1.customers.search({"query": "-email:'x'"})] == ["cus_3", "cus_1"]
    # Whoever was on a page that ended there goes on from there.
    assert [found.id for found in client.v1.customers.list({"starting_after": "cus_2"})] == ["cus_1"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/customers/"),
        ("GET", "/v1/checkout/sessions//line_items"),
        ("GET", "/v1/refunds"),
        ("GET", "/v1/customers/cus_1/line_items"),
        ("GET", "/v2/core/events"),
        ("GET", "/"),
        ("POST", "/v1/customers"),
        ("DELETE", "/v1/customers/cus_1"),
        ("GET", "/v1/customer_sessions"),
        ("POST", "/v1/customer_sessions/"),
    ],
)
def test_any_other_url_is_unrecognized(api: StripeApi, method: str, path: str) -> None:
    api.put([customer(1)])
    answer = requests.request(method, api.url + path, auth=(KEY, ""), timeout=10)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"].startswith(f"Unrecognized request URL ({method}: {path}).")
    assert api.requests()[-1]["status"] == 404


# Customer sessions

TABLE: Json = {"pricing_table": {"enabled": True}}


def test_a_customer_session_is_for_half_an_hour_and_one_component(api: StripeApi, client: stripe.StripeClient) -> None:
    api.put([customer(1)])
    created: Any = client.v1.customer_sessions.create({"customer": "cus_1", "components": TABLE})  # type: ignore[typeddict-item]
    found = created.to_dict()
    assert found["object"] == "customer_session"
    assert found["client_secret"].startswith("cuss_secret_")
    assert found["expires_at"] - found["created"] == 1800
    assert abs(found["created"] - time.time()) < 60
    assert (found["customer"], found["livemode"]) == ("cus_1", False)
    assert {name for name, component in found["components"].items() if component["enabled"]} == {"pricing_table"}
    again: Any = client.v1.customer_sessions.create(
        {"customer": "cus_1", "components": TABLE, "expand": ["customer"]}  # type: ignore[typeddict-item]
    )
    assert again.client_secret != created.client_secret
    assert again.customer.id == "cus_1"
    assert [each["client_secret"] for each in api.customer_sessions()] == [created.client_secret, again.client_secret]
    api.clear()
    assert api.customer_sessions() == []


@pytest.mark.parametrize(
    ("parameters", "code", "param", "message"),
    [
        ({"components": TABLE}, "parameter_missing", "customer", "Missing required param: customer."),
        ({"customer": "cus_1"}, "parameter_missing", "components", "Missing required param: components."),
        ({"customer": "cus_1", "components": {"pricing_table": {"enabled": False}}}, None, "components", "component"),
        (
            {"customer": "cus_1", "components": {"pricing_table": {"enabled": "yes"}}},
            *(None, "components[pricing_table][enabled]", "Invalid boolean: yes"),
        ),
        (
            {"customer": "cus_1", "components": {"carousel": {"enabled": True}}},
            *("parameter_unknown", "components[carousel][enabled]", "Received unknown parameter"),
        ),
        ({"customer": "", "components": TABLE}, "parameter_invalid_empty", "customer", "empty string"),
        ({"customer": "cus_2", "components": TABLE}, "resource_missing", "customer", "No such customer: 'cus_2'"),
        ({"customer": "cus_gone", "components": TABLE}, "resource_missing", "customer", "No such customer"),
        ({"customer": "guest_1", "components": TABLE}, "resource_missing", "customer", "No such customer"),
        ({"customer": "price_1", "components": TABLE}, "resource_missing", "customer", "No such customer"),
        ({"customer": "cus_1", "components": TABLE, "expand": ["components"]}, None, None, "cannot be expanded"),
    ],
)
def test_a_customer_session_is_refused_as_stripe_refuses_it(
    *,
    api: StripeApi,
    client: stripe.StripeClient,
    parameters: Any,
    code: str | None,
    param: str | None,
    message: str,
) -> None:
    deleted = {"id": "cus_gone", "object": "customer", "deleted": True}
    api.put([customer(1), deleted, {"id": "price_1", "object": "price", "created": 1}])
    with pytest.raises(stripe.InvalidRequestError, match=re.escape(message)) as raised:
        client.v1.customer_sessions.create(parameters)
    assert (raised.value.http_status, raised.value.code, raised.value.param) == (400, code, param)


# Expanding


def test_ids_expand_to_their_objects(api: StripeApi, client: stripe.StripeClient) -> None:
    price = {"id": "price_1", "object": "price", "created": 1, "product": "prod_1"}
    product = {"id": "prod_1", "object": "product", "created": 1, "name": "Mug"}
    api.put([customer(1), product, session(1, customer="cus_1", invoice=None, line_items=[line(1, price=price)])])
    expand = ["customer", "invoice", "line_items.data.price.product"]
    found = client.v1.checkout.sessions.retrieve("cs_test_1", {"expand": expand}).to_dict()
    assert found["customer"] == customer(1)
    assert found["invoice"] is None
    assert found["line_items"] == {
        "object": "list",
        "data": [line(1, price=price | {"product": product})],
        "has_more": False,
        "url": "/v1/checkout/sessions/cs_test_1/line_items",
    }
    assert get(api, "/v1/checkout/sessions/cs_test_1").json()["customer"] == "cus_1"
    listed = client.v1.checkout.sessions.list({"expand": ["data.customer"]}).data[0].to_dict()
    assert listed["customer"] == customer(1)


@pytest.mark.parametrize("path", ["customer", "nothing", "status", "created", "customer.metadata.x", "line_items.x"])
def test_what_cannot_be_expanded_says_so(api: StripeApi, client: stripe.StripeClient, path: str) -> None:
    api.put([session(1, customer="cus_unknown", status="open", line_items=[line(1)])])
    with pytest.raises(stripe.InvalidRequestError, match=r"This property cannot be expanded \(" + path):
        client.v1.checkout.sessions.retrieve("cs_test_1", {"expand": [path]})


# Lists


def test_lists_are_newest_first_and_ten_long(api: StripeApi, client: stripe.StripeClient) -> None:
    api.put([customer(number) for number in (3, 1, 2, *range(4, 13))])
    page = client.v1.customers.list()
    assert [found.id for found in page.data] == [f"cus_{number}" for number in range(12, 2, -1)]
    assert page.to_dict().items() >= {"object": "list", "has_more": True, "url": "/v1/customers"}.items()


def test_250_line_items_come_in_pages_and_in_order(api: StripeApi, client: stripe.StripeClient) -> None:
    lines = [line(number) for number in range(250)]
    api.put([session(1, line_items={"object": "list", "data": lines, "has_more": False}), session(2)])
    assert "line_items" not in get(api, "/v1/checkout/sessions/cs_test_1").json()
    service = client.v1.checkout.sessions.line_items
    assert [item.to_dict() for item in service.list("cs_test_1", {"limit": 100}).auto_paging_iter()] == lines
    backwards = service.list("cs_test_1", {"limit": 100, "ending_before": "li_249"}).auto_paging_iter()
    assert [item.quantity for item in backwards] == list(range(248, -1, -1))
    assert [len(call["query"].get("starting_after", "")) > 0 for call in api.requests()[1:4]] == [False, True, True]
    assert service.list("cs_test_2").data == []
    with pytest.raises(stripe.InvalidRequestError, match=r"No such checkout\.session: 'cs_test_3'"):
        service.list("cs_test_3")


def test_a_session_put_in_again_without_line_items_keeps_them(api: StripeApi, client: stripe.StripeClient) -> None:
    api.put([session(1, status="open", line_items=[line(1)])])
    api.put([session(1, status="complete")])
    assert client.v1.checkout.sessions.retrieve("cs_test_1").status == "complete"
    assert len(client.v1.checkout.sessions.line_items.list("cs_test_1").data) == 1
    api.put([session(1, line_items=[])])
    assert client.v1.checkout.sessions.line_items.list("cs_test_1").data == []


@settings(max_examples=60)
@given(
    seconds=st.lists(st.integers(1, 4), max_size=30),
    limit=st.integers(1, 12),
    backwards=st.booleans(),
)
@example(seconds=[1] * 20, limit=10, backwards=False)
@example(seconds=[1] * 21, limit=10, backwards=True)
def test_walking_the_pages_meets_every_object_once(
    server: StripeApi, seconds: list[int], limit: int, *, backwards: bool
) -> None:
    server.clear()
    server.put([customer(number, created=created) for number, created in enumerate(seconds)])
    newest_first = sorted(range(len(seconds)), key=lambda number: (seconds[number], number), reverse=True)
    ids = [f"cus_{number}" for number in newest_first]
    service = client_of(server).v1.customers
    if backwards and ids:
        walked = service.list({"limit": limit, "ending_before": ids[-1]}).auto_paging_iter()
        assert [found.id for found in walked] == ids[-2::-1]
    else:
        assert [found.id for found in service.list({"limit": limit}).auto_paging_iter()] == ids
    # A page more is asked for only where there is one; a walk of nothing is one request.
    to_walk = len(ids) - (1 if backwards and ids else 0)
    assert len(server.requests()) == max(1, -(-to_walk // limit))


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        ({"gt": 1002}, [4, 3]),
        ({"gte": 1002}, [4, 3, 2]),
        ({"lt": 1002}, [1]),
        ({"lte": 1002}, [2, 1]),
        ({"gt": 1001, "lt": 1004}, [3, 2]),
        ({"gt": 1004}, []),
        (1003, [3]),
    ],
)
def test_created_filters(api: StripeApi, client: stripe.StripeClient, created: Any, expected: list[int]) -> None:
    api.put([customer(number) for number in (1, 2, 3, 4)])
    assert [found.id for found in client.v1.customers.list({"created": created})] == [f"cus_{n}" for n in expected]


def test_emails_are_filtered_exactly_and_across_pages(api: StripeApi, client: stripe.StripeClient) -> None:
    emails = ["a@example.com", "A@example.com", None]
    api.put([customer(number, email=emails[number % 3]) for number in range(9)])
    found = client.v1.customers.list({"email": "a@example.com", "limit": 1}).auto_paging_iter()
    assert [one.id for one in found] == ["cus_6", "cus_3", "cus_0"]
    # A cursor is a place, also one where no match is.
    assert [one.id for one in client.v1.customers.list({"email": "a@example.com", "starting_after": "cus_4"})] == [
        "cus_3",
        "cus_0",
    ]


@pytest.mark.parametrize("name", ["customer", "payment_intent", "subscription", "payment_link"])
def test_sessions_are_filtered_by_what_they_belong_to(api: StripeApi, client: stripe.StripeClient, name: Any) -> None:
    api.put([session(1, **{name: "x_1"}), session(2, **{name: "x_2"}), session(3, **{name: None}), session(4)])
    parameters: Any = {name: "x_1"}
    assert [found.id for found in client.v1.checkout.sessions.list(parameters)] == ["cs_test_1"]


def test_sessions_are_filtered_by_status(api: StripeApi, client: stripe.StripeClient) -> None:
    api.put([session(1, status="open"), session(2, status="complete", customer="cus_1"), session(3, status="complete")])
    found = client.v1.checkout.sessions.list({"status": "complete"})
    assert [one.id for one in found] == ["cs_test_3", "cs_test_2"]
    found = client.v1.checkout.sessions.list({"status": "complete", "customer": "cus_1", "created": {"gt": 1}})
    assert [one.id for one in found] == ["cs_test_2"]


# Prices and products


def price(number: int, **fields: Any) -> Json:
    return {
        "id": f"price_{number}",
        "object": "price",
        "created": 1000 + number,
        "active": True,
        "billing_scheme": "per_unit",
        "currency": "jpy",
        "lookup_key": None,
        "product": "prod_1",
        "type": "recurring",
    } | fields


TIERS = [{"up_to": 10, "unit_amount": 500}, {"up_to": None, "unit_amount": 400}]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"product": "prod_1"}, [4, 3, 2, 1]),
        ({"product": "prod_3"}, []),
        ({"active": True}, [5, 4, 3, 1]),
        ({"active": False}, [2]),
        ({"product": "prod_1", "active": True, "currency": "jpy"}, [4, 1]),
        ({"type": "one_time"}, [4]),
        ({"lookup_keys": ["basic"]}, [1]),
        ({"lookup_keys": ["basic", "large", "none"]}, [3, 1]),
        ({"lookup_keys": ["basic", "large"], "currency": "usd"}, [3]),
    ],
)
def test_prices_are_filtered(api: StripeApi, client: stripe.StripeClient, parameters: Any, expected: list[int]) -> None:
    api.put(
        [
            price(1, lookup_key="basic"),
            price(2, active=False),
            price(3, currency="usd", lookup_key="large"),
            price(4, type="one_time"),
            price(5, product="prod_2"),
        ]
    )
    assert [found.id for found in client.v1.prices.list(parameters)] == [f"price_{number}" for number in expected]


def test_tiers_and_currency_options_are_shown_where_they_are_expanded(
    api: StripeApi, client: stripe.StripeClient
) -> None:
    options = {"usd": {"unit_amount": 10, "unit_amount_decimal": "10"}}
    plain, tiered = price(1), price(2, billing_scheme="tiered", tiers_mode="volume")
    api.put([plain, tiered | {"tiers": TIERS, "currency_options": options}])
    path, read = "/v1/prices", same_from(client)
    assert read(path)["data"] == [tiered, plain]
    assert read(f"{path}/price_2") == tiered
    assert read(f"{path}?expand[]=data.tiers")["data"] == [tiered | {"tiers": TIERS}, plain | {"tiers": None}]
    both: Any = {"product": "prod_1", "expand": ["data.tiers", "data.currency_options"]}
    whole = tiered | {"tiers": TIERS, "currency_options": options}
    assert [found.to_dict() for found in client.v1.prices.list(both)] == [
        whole,
        plain | {"tiers": None, "currency_options": None},
    ]
    assert client.v1.prices.retrieve("price_2", {"expand": ["tiers", "currency_options"]}).to_dict() == whole
    # As an event brings it, without.
    api.put([tiered | {"active": False}])
    assert read(f"{path}/price_2?expand[]=tiers") == tiered | {"active": False, "tiers": TIERS}
    api.put([tiered | {"tiers": []}])
    assert read(f"{path}/price_2?expand[]=tiers")["tiers"] == []
    api.put([session(1, line_items=[line(1, price="price_2")])])
    inside = read("/v1/checkout/sessions/cs_test_1/line_items?expand[]=data.price")["data"][0]["price"]
    assert inside == tiered
    inside = read("/v1/checkout/sessions/cs_test_1/line_items?expand[]=data.price.tiers")["data"][0]["price"]
    assert inside == tiered | {"tiers": []}


def test_a_list_of_prices_expands_its_products(api: StripeApi, client: stripe.StripeClient) -> None:
    product = {"id": "prod_1", "object": "product", "created": 1, "active": True, "name": "Basic"}
    api.put([product, price(1)])
    [found] = client.v1.prices.list({"expand": ["data.product"]}).data
    assert found.to_dict() == price(1) | {"product": product}
    with pytest.raises(stripe.InvalidRequestError, match=r"This property cannot be expanded \(data\.amounts"):
        client.v1.prices.list({"expand": ["data.amounts"]})


def test_products_are_retrieved_and_listed_by_whether_they_are_sold(
    api: StripeApi, client: stripe.StripeClient
) -> None:
    api.put(
        [
            {"id": f"prod_{number}", "object": "product", "created": number, "active": number != 2, "name": "Mug"}
            for number in (1, 2, 3)
        ]
    )
    assert client.v1.products.retrieve("prod_2").active is False
    assert [found.id for found in client.v1.products.list({"active": True})] == ["prod_3", "prod_1"]
    assert [found.id for found in client.v1.products.list({"active": False})] == ["prod_2"]
    assert len(client.v1.products.list().data) == 3


# Search


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("email:'hana@example.com'", [1]),
        ('email:"HANA@example.com"', [1]),
        ("metadata['user_id']:'u2'", [2]),
        ("metadata[\"user_id\"]:'u2' AND email:'taro@example.com'", [2]),
        ("metadata['user_id']:'u2' and email:'hana@example.com'", []),
        ("metadata['user_id']:'u2' email:'hana@example.com'", []),
        ("metadata['user_id']:'u2' OR email:'hana@example.com'", [2, 1]),
        ("-metadata['user_id']:'u2'", [3, 1]),
        ("-metadata['user_id']:null", [2]),
        ("name:null", [2, 1]),
        ("name:'AND name:\"x\"'", [3]),
        ("phone:'+8190'", [3]),
    ],
)
def test_search(api: StripeApi, client: stripe.StripeClient, query: str, expected: list[int]) -> None:
    api.put(
        [
            customer(1, email="hana@example.com"),
            customer(2, email="taro@example.com", metadata={"user_id": "u2"}),
            customer(3, email=None, name='AND name:"x"', phone="+8190"),
        ]
    )
    found = client.v1.customers.search({"query": query})
    assert [one.id for one in found.data] == [f"cus_{number}" for number in expected]
    answer = found.to_dict()
    del answer["data"]
    assert answer == {"object": "search_result", "url": "/v1/customers/search", "has_more": False, "next_page": None}


def test_search_has_pages_of_its_own(api: StripeApi, client: stripe.StripeClient) -> None:
    api.put([customer(number, metadata={"user_id": "u1"}) for number in range(25)])
    first = client.v1.customers.search({"query": "metadata['user_id']:'u1'", "limit": 10})
    assert first.has_more
    assert [one.id for one in first.auto_paging_iter()] == [f"cus_{number}" for number in range(24, -1, -1)]
    assert len(api.requests()) == 3
    for token in ("nonsense", "é", "ZnJvbSAteA=="):
        with pytest.raises(stripe.InvalidRequestError, match="Invalid page token"):
            client.v1.customers.search({"query": "name:'x'", "page": token})


def quoted(text: str, quote: str) -> str:
    """As the documentation wants it: quotes inside quotes, and so backslashes too, with a backslash before them."""
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote


HOSTILE = ["' OR email:'victim@example.com", '"', "\\", "\\'", "'\\", "a\nb", "] : -", "null", "é'ü", ""]


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_escapes_its_quotes(api: StripeApi, client: stripe.StripeClient, value: str, quote: str) -> None:
    victim = customer(1, email="victim@example.com")
    api.put([victim, customer(2, metadata={"user_id": value}), customer(3, metadata={value: "x"})])
    found = client.v1.customers.search({"query": f"metadata['user_id']:{quoted(value, quote)}"})
    assert [one.id for one in found.data] == ["cus_2"]
    found = client.v1.customers.search({"query": f"metadata[{quoted(value, quote)}]:'x'"})
    assert [one.id for one in found.data] == ["cus_3"]


@given(key=st.text(), value=st.text(), quote=st.sampled_from("'\""))
def test_any_metadata_can_be_searched_for(key: str, value: str, quote: str) -> None:
    matches = parse(f"metadata[{quoted(key, quote)}]:{quoted(value, quote)}", (), "customers")
    assert matches({"metadata": {key: value}})
    assert not matches({"metadata": {key: value + "x"}})
    assert not matches({"metadata": {}})


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("hana@example.com", "unable to parse"),
        (" ", "unable to parse"),
        ("email:hana", "unable to parse"),
        ("email:'hana", "unable to parse"),
        ("email:'o'hara'", "unable to parse"),
        ("email:'a'name:'b'", "unable to parse"),
        ("email:'a' AND", "unable to parse"),
        ("email:'a' XOR name:'b'", "unable to parse"),
        ("(email:'a')", "unable to parse"),
        ("email:'a' AND name:'b' OR name:'c'", "cannot be combined"),
        ("email:'a' name:'b' OR name:'c'", "cannot be combined"),
        (" ".join(["name:'x'"] * 11), "at most 10"),
        ("description:'x'", "unsupported search field"),
        ("metadata:'x'", "unsupported search field"),
        ("email['x']:'x'", "unsupported search field"),
        ("email~'hana'", "operator `~`"),
    ],
)
def test_queries_that_mean_nothing_are_refused(client: stripe.StripeClient, query: str, message: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=message) as raised:
        client.v1.customers.search({"query": query})
    assert (raised.value.http_status, raised.value.param) == (400, "query")


# Parameters and keys


@pytest.mark.parametrize(
    ("path", "parameters", "code", "param"),
    [
        ("/v1/customers", {"limit": "0"}, "parameter_invalid_integer", "limit"),
        ("/v1/customers", {"limit": "101"}, "parameter_invalid_integer", "limit"),
        ("/v1/customers", {"limit": "ten"}, "parameter_invalid_integer", "limit"),
        ("/v1/customers", {"limit": "１０"}, "parameter_invalid_integer", "limit"),
        ("/v1/customers/search", {"query": "name:'x'", "limit": "101"}, "parameter_invalid_integer", "limit"),
        ("/v1/customers", {"created[gte]": "2026-01-01"}, "parameter_invalid_integer", "created[gte]"),
        ("/v1/customers", {"created[after]": "1"}, "parameter_unknown", "created[after]"),
        ("/v1/customers", {"foo": "1"}, "parameter_unknown", "foo"),
        ("/v1/customers", {"customer": "cus_1"}, "parameter_unknown", "customer"),
        ("/v1/customers/cus_1", {"limit": "1"}, "parameter_unknown", "limit"),
        ("/v1/checkout/sessions/cs_test_1/line_items", {"created": "1"}, "parameter_unknown", "created"),
        ("/v1/prices", {"active": "1"}, None, "active"),
        ("/v1/prices", {"lookup_keys": "basic"}, "parameter_unknown", "lookup_keys"),
        ("/v1/prices", {"lookup_keys[0]": ""}, "parameter_invalid_empty", "lookup_keys[0]"),
        ("/v1/products", {"lookup_keys[0]": "basic"}, "parameter_unknown", "lookup_keys[0]"),
        ("/v1/customers/search", {"query": "name:'x'", "starting_after": "a"}, "parameter_unknown", "starting_after"),
        ("/v1/customers/search", {}, "parameter_missing", "query"),
        ("/v1/customers", {"email": ""}, "parameter_invalid_empty", "email"),
        ("/v1/customers", {"starting_after": "cus_9"}, "resource_missing", "starting_after"),
        ("/v1/customers", {"ending_before": "cs_test_1"}, "resource_missing", "ending_before"),
        (
            "/v1/checkout/sessions/cs_test_1/line_items",
            {"starting_after": "li_9"},
            "resource_missing",
            "starting_after",
        ),
        ("/v1/customers", {"starting_after": "cus_1", "ending_before": "cus_1"}, None, None),
    ],
)
def test_parameters_are_read_strictly(
    api: StripeApi, path: str, parameters: dict[str, str], code: str | None, param: str | None
) -> None:
    api.put([customer(1), session(1, line_items=[line(1)])])
    answer = get(api, path, **parameters)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert (error.get("code"), error.get("param")) == (code, param)


def test_the_sdk_raises_for_a_foreign_parameter(client: stripe.StripeClient) -> None:
    parameters: Any = {"foo": "bar"}
    with pytest.raises(stripe.InvalidRequestError, match="Received unknown parameter: foo"):
        client.v1.customers.list(parameters)


@pytest.mark.parametrize("key", ["sk_test_a", "rk_test_a", "sk_live_a", "rk_live_a_b2"])
def test_every_kind_of_secret_key_will_do(api: StripeApi, key: str) -> None:
    assert client_of(api, key=key).v1.customers.list().data == []
    assert requests.get(f"{api.url}/v1/customers", auth=(key, ""), timeout=10).status_code == 200


@pytest.mark.parametrize("key", ["pk_test_a", "sk_a", "whsec_abcdefghijklmnop", "sk_test_", "xsk_test_a", "sk_test_a!"])
def test_other_keys_are_refused(api: StripeApi, key: str) -> None:
    with pytest.raises(stripe.AuthenticationError, match="Invalid API Key provided") as raised:
        client_of(api, key=key).v1.customers.list()
    assert raised.value.http_status == 401
    assert key not in str(raised.value)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Digest x", "Basic !", "sk_test_a"])
def test_requests_without_a_key_are_refused(api: StripeApi, header: str | None) -> None:
    answer = requests.get(
        f"{api.url}/v1/customers", headers={"Authorization": header} if header is not None else {}, timeout=10
    )
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="Stripe"')
    assert "You did not provide an API key" in answer.json()["error"]["message"]


def test_every_answer_names_its_request_and_version(api: StripeApi) -> None:
    answers = [get(api, "/v1/customers"), get(api, "/v1/customers/none"), get(api, "/v1/nothing")]
    assert len({answer.headers["Request-Id"] for answer in answers}) == 3
    for answer in answers:
        assert answer.headers["Request-Id"].startswith("req_")
        assert answer.headers["Stripe-Version"] == "2026-10-28.endive"
        assert answer.headers["Content-Type"] == "application/json"
    pinned = stripe.StripeClient(KEY, base_addresses={"api": api.url}, stripe_version="2020-03-02")
    assert pinned.raw_request("get", "/v1/customers").headers["Stripe-Version"] == "2020-03-02"


# Faults


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, stripe.InvalidRequestError),
        (401, stripe.AuthenticationError),
        (402, stripe.CardError),
        (403, stripe.PermissionError),
        (429, stripe.RateLimitError),
        (500, stripe.APIError),
        (503, stripe.APIError),
    ],
)
def test_a_fault_is_the_sdks_exception(
    api: StripeApi, client: stripe.StripeClient, status: int, expected: type[stripe.StripeError]
) -> None:
    api.set_faults([{"path": "/v1/customers", "status": status, "retry_after": 7}])
    with pytest.raises(expected) as raised:
        client.v1.customers.list()
    headers: Any = raised.value.headers
    assert (raised.value.http_status, headers["Retry-After"]) == (status, "7")
    assert headers.get("Stripe-Should-Retry") == {500: "true", 503: "true"}.get(status)
    with pytest.raises(expected):
        client.v1.customers.retrieve("cus_1")
    assert client.v1.checkout.sessions.list().data == []
    api.set_faults([])
    assert client.v1.customers.list().data == []


def test_a_fault_happens_so_many_times(api: StripeApi, client: stripe.StripeClient) -> None:
    api.set_faults([{"path": "/v1/cust", "status": 429, "times": 2}, {"path": ".*", "status": 500, "times": 1}])
    for expected in (stripe.RateLimitError, stripe.RateLimitError, stripe.APIError):
        with pytest.raises(expected):
            client.v1.customers.list()
    assert client.v1.customers.list().data == []
    assert [call["status"] for call in api.requests()] == [429, 429, 500, 200]


@pytest.mark.parametrize(
    ("fault", "calls"),
    [
        ({"status": 500}, 2),
        ({"status": 500, "should_retry": "false"}, 1),
        ({"status": 429}, 1),
        ({"status": 429, "should_retry": "true"}, 2),
        ({"status": 500, "should_retry": "none"}, 2),
        ({"status": 409}, 2),
        ({"cut": True}, 2),
    ],
    ids=str,
)
def test_the_sdk_retries_what_it_is_told_to(api: StripeApi, fault: Json, calls: int) -> None:
    api.set_faults([{"path": "/v1/customers", "times": 1} | fault])
    client = client_of(api, retries=1)
    if calls == 2:
        assert client.v1.customers.list().data == []
    else:
        with pytest.raises(stripe.StripeError):
            client.v1.customers.list()
    assert len(api.requests()) == calls


def test_a_cut_connection_has_no_answer(
    api: StripeApi, client: stripe.StripeClient, capfd: pytest.CaptureFixture[str]
) -> None:
    api.set_faults([{"path": "/v1/customers", "cut": True, "times": 1}])
    with pytest.raises(stripe.APIConnectionError):
        client.v1.customers.list()
    assert client.v1.customers.list().data == []
    assert [call["status"] for call in api.requests()] == [None, 200]
    assert capfd.readouterr() == ("", "")


def test_a_slow_answer_meets_the_clients_timeout(api: StripeApi) -> None:
    api.set_faults([{"path": "/v1/customers", "delay_seconds": 0.3}])
    for timeout, is_patient in ((0.1, False), (5, True)):
        client = stripe.StripeClient(
            KEY, base_addresses={"api": api.url}, http_client=stripe.RequestsClient(timeout=timeout)
        )
        if is_patient:
            assert client.v1.customers.list().data == []
        else:
            with pytest.raises(stripe.APIConnectionError):
                client.v1.customers.list()


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"path": "("},
        {"path": "/", "status": 200},
        {"path": "/", "status": "500"},
        {"path": "/", "status": 500, "times": 0},
        {"path": "/", "delay_seconds": -1},
        {"path": "/", "status": 500, "should_retry": True},
        {"path": "/", "status": 500, "retry_after": "soon"},
        {"path": "/", "cut": 1},
        {"path": "/", "status": 500, "time": 1},
        {"path": "/"},
        "boom",
    ],
    ids=str,
)
def test_a_fault_that_makes_no_sense_is_refused(api: StripeApi, client: stripe.StripeClient, fault: Any) -> None:
    api.set_faults([{"path": "/v1/customers", "status": 429}])
    with pytest.raises(ValueError, match=r"fault|regular expression"):
        api.set_faults([fault])
    with pytest.raises(stripe.RateLimitError):
        client.v1.customers.list()


# Control


def test_requests_are_recorded(api: StripeApi, client: stripe.StripeClient) -> None:
    client.v1.customers.list({"email": "a+b@example.com", "created": {"gt": 1}}, {"stripe_account": "acct_1"})
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.charges.retrieve("ch_1", {"expand": ["customer"]}, {"stripe_context": "acct_1/acct_2"})
    get(api, "/v1/customers")
    expected = [
        {
            "method": "GET",
            "path": "/v1/customers",
            "query": {"email": "a+b@example.com", "created[gt]": "1"},
            "status": 200,
            "stripe_version": stripe.api_version,
            "account": "acct_1",
            "context": None,
        },
        {
            "method": "GET",
            "path": "/v1/charges/ch_1",
            "query": {"expand[0]": "customer"},
            "status": 404,
            "stripe_version": stripe.api_version,
            "account": None,
            "context": "acct_1/acct_2",
        },
        {
            "method": "GET",
            "path": "/v1/customers",
            "query": {},
            "status": 200,
            "stripe_version": None,
            "account": None,
            "context": None,
        },
    ]
    api.requests()[0]["status"] = 500
    assert api.requests() == expected
    assert requests.get(f"{api.url}/_requests", timeout=10).json() == expected
    assert requests.delete(f"{api.url}/_requests", timeout=10).status_code == 200
    assert api.requests() == []
    get(api, "/v1/customers")
    api.forget_requests()
    assert api.requests() == []


def test_control_over_http(api: StripeApi, client: stripe.StripeClient) -> None:
    objects, faults = f"{api.url}/_objects", f"{api.url}/_faults"
    answer = requests.put(objects, json=[customer(1), session(1, line_items=[line(1)])], timeout=10)
    assert (answer.status_code, answer.json()) == (200, {"stored": 2})
    assert client.v1.checkout.sessions.line_items.list("cs_test_1").data[0].id == "li_1"
    assert requests.put(faults, json=[{"path": "/v1", "status": 500}], timeout=10).status_code == 200
    with pytest.raises(stripe.APIError):
        client.v1.customers.list()
    assert requests.delete(faults, timeout=10).status_code == 200
    assert len(client.v1.customers.list().data) == 1
    assert requests.delete(objects, timeout=10).status_code == 200
    assert client.v1.customers.list().data == []
    assert requests.put(faults, json=[{}], timeout=10).json() == {"error": "a fault has no path"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"id": "cus_1"}', "the body is not a JSON list"),
        ("nonsense", "the body is not a JSON list"),
        ("", "the body is not a JSON list"),
        ("[1]", "item 0 is not a JSON object"),
        ('[{"id": "coupon_1", "object": "coupon"}, {"object": "coupon"}]', "item 1 has no id"),
        ('[{"id": "prod_1"}]', "item 0 has no object"),
        ('[{"id": 5, "object": "product"}]', "item 0 has no id"),
        ('[{"id": "cus_1", "object": "customer"}]', "cus_1 has no created in epoch seconds, by which lists are sorted"),
        (
            '[{"id": "cs_1", "object": "checkout.session", "created": 1, "line_items": "li_1"}]',
            "the line_items of cs_1 are not a list of objects with an id",
        ),
        (
            '[{"id": "cs_1", "object": "checkout.session", "created": 1, "line_items": {"data": [], "has_more": 1}}]',
            "the line_items of cs_1 are only the first page of more",
        ),
    ],
)
def test_what_is_not_a_list_of_stripe_objects_is_refused(api: StripeApi, body: str, message: str) -> None:
    answer = requests.put(f"{api.url}/_objects", data=body, timeout=10)
    assert (answer.status_code, answer.json()) == (400, {"error": message})
    assert requests.post(f"{api.url}/_objects", data="[]", timeout=10).status_code == 404


def test_nothing_is_stored_where_one_object_is_bad(api: StripeApi, client: stripe.StripeClient) -> None:
    with pytest.raises(ValueError, match="item 1 has no id"):
        api.put([customer(1), {"object": "customer"}])
    assert client.v1.customers.list().data == []


def test_many_threads_at_once(api: StripeApi) -> None:
    client = client_of(api)
    api.set_faults([{"path": "/v1/charges", "status": 429, "times": 40}])

    def work(number: int) -> int:
        api.put([customer(number), session(number, line_items=[line(n) for n in range(20)])])
        assert client.v1.customers.retrieve(f"cus_{number}").id == f"cus_{number}"
        assert len(list(client.v1.checkout.sessions.line_items.list(f"cs_test_{number}").auto_paging_iter())) == 20
        try:
            client.v1.charges.retrieve("ch_1")
        except stripe.RateLimitError:
            return 1
        except stripe.InvalidRequestError:
            return 0
        raise AssertionError

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(work, range(60))) == 40
    assert len(list(client.v1.customers.list({"limit": 100}).auto_paging_iter())) == 60
    assert len(api.requests()) == 60 * 4 + 1


# The server


def test_it_stops_and_comes_back_where_it_was() -> None:
    api = StripeApi()
    with pytest.raises(RuntimeError, match="before it is started"):
        _ = api.url
    before = set(threading.enumerate())
    with api:
        url = api.start().url
        api.put([customer(1)])
    with pytest.raises(stripe.APIConnectionError):
        client_of(api).v1.customers.list()
    assert set(threading.enumerate()) <= before
    with api:
        assert api.url == url
        assert len(client_of(api).v1.customers.list().data) == 1
    api.stop()


def test_it_runs_alone() -> None:
    with StripeApi() as free:
        port = free.url.rpartition(":")[2]
    command = [sys.executable, "-m", "local.stripe_api", "--port", port]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url == f"http://127.0.0.1:{port}"
            requests.put(f"{url}/_objects", json=[customer(1)], timeout=10)
            client = stripe.StripeClient(KEY, base_addresses={"api": url})
            assert client.v1.customers.retrieve("cus_1").id == "cus_1"
        finally:
            process.terminate()
        assert process.communicate(timeout=10) == ("", "")


# Payloads that no one here wrote


@pytest.fixture(scope="module")
def stripes_own() -> list[Json]:
    """Objects as Stripe documents them and as it sent them, of every API version there is a sample of."""
    if "STRIPE_PAYLOADS" not in os.environ:
        pytest.skip("STRIPE_PAYLOADS, the folder of Stripe's own payloads, is not set")
    folder = Path(os.environ["STRIPE_PAYLOADS"])
    documented = [
        sample
        for file in sorted(folder.glob("openapi-fixtures/*.json"))
        for sample in json.loads(file.read_text())["resources"].values()
        if isinstance(sample, dict) and {"id", "object"} <= sample.keys()
    ]
    captured = [json.loads(file.read_text()) for file in sorted(folder.glob("captured-*/*.json"))]
    assert documented
    assert captured
    return documented + [event["data"]["object"] for event in captured]


def of_type(samples: list[Json], object_type: str) -> list[Json]:
    found = [sample for sample in samples if sample["object"] == object_type]
    assert found, object_type
    return found


def same_from(client: stripe.StripeClient) -> Callable[[str], Json]:
    def read(path: str) -> Json:
        # The SDK's objects hold Decimals; the body is what was served.
        answer: Json = json.loads(client.raw_request("get", path).body)
        return answer

    return read


@pytest.mark.parametrize("object_type", sorted(BY_OBJECT))
def test_stripes_own_objects_are_served_unchanged(
    api: StripeApi, client: stripe.StripeClient, stripes_own: list[Json], object_type: str
) -> None:
    resource, read = BY_OBJECT[object_type], same_from(client)
    for sample in of_type(stripes_own, object_type):
        api.clear()
        api.put([sample])
        assert read(f"/v1/{resource.path}/{sample['id']}") == sample
        if resource.filters is not None:
            # Subscriptions that have ended are only listed on request.
            is_hidden = sample.get("deleted") or (object_type == "subscription" and sample["status"] == "canceled")
            data = [] if is_hidden else [sample]
            page = {"object": "list", "data": data, "has_more": False, "url": f"/v1/{resource.path}"}
            assert read(f"/v1/{resource.path}") == page


def test_stripes_own_line_items_and_prices_are_served_unchanged(
    api: StripeApi, client: stripe.StripeClient, stripes_own: list[Json]
) -> None:
    [opened, *_] = of_type(stripes_own, "checkout.session")
    path, read = f"/v1/checkout/sessions/{opened['id']}", same_from(client)
    for item in of_type(stripes_own, "item"):
        api.put([opened | {"line_items": [item]}])
        assert read(f"{path}/line_items")["data"] == [item]
        assert read(path) == opened
    for price in of_type(stripes_own, "price"):
        api.put([price, opened | {"line_items": [line(1, price=price["id"])]}])
        assert read(f"{path}/line_items?expand[]=data.price")["data"] == [line(1, price=price)]
