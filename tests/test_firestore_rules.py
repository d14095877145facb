"""Who may read what, asked of the real rules engine as a browser would ask: over HTTP, with a user's token."""

import base64
import inspect
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from functions import paths
from local.emulators import EmulatorError, Emulators
from local.processes import local_http

RULES = (Path(__file__).parent.parent / "firestore.rules").read_text("utf-8")

ANONYMOUS, ITS_USER, ANOTHER_USER = "anonymous", "its_user", "another_user"
READERS = (ANONYMOUS, ITS_USER, ANOTHER_USER)
OPERATIONS = ("get", "list", "create", "update", "delete")

#: What (anonymous, its user, another user) may do. "get", "update" and "delete" are of the document, "list" and
#: "create" of the collection that it is in. What is not named must be denied.
ALLOWED = {
    "customers/cus_1": ("", "get", ""),  # to list them takes a filter: see below
    "customers/cus_1/orders/cs_1": ("", "get list", ""),
    "customers/cus_1/subscriptions/sub_1": ("", "get list", ""),
    "customers/cus_1/invoices/in_1": ("", "get list", ""),
    "customers/cus_1/payment_methods/pm_1": ("", "get list", ""),
    "users/its_user": ("", "get", ""),
    "users/another_user": ("", "", ""),  # escapes to the other one's id, but is its_user's by its field
    # The server's own.
    "customers/cus_1/private/claims": ("", "", ""),
    "budgets/stripe_reads": ("", "", ""),
    "operations/backfill": ("", "", ""),
    "addresses/a1b2": ("", "", ""),
    "prices/prod_1": ("", "", ""),
    "sweeps/mail": ("", "", ""),
    "customer_index/user:its_user": ("", "", ""),
    "customer_index/email:taro@example.com": ("", "", ""),
    "payments/pi_1": ("", "", ""),
    "mail/order_paid_cs_1": ("", "", ""),
    "parked_events/evt_1_record_orders": ("", "", ""),
    "notices/parked": ("", "", ""),
    "deliveries/evt_1:crm": ("", "", ""),
    # What nobody has thought of yet.
    "unknown/1": ("", "", ""),
    "unknown/its_user": ("", "", ""),
    "unknown/1/orders/cs_1": ("", "", ""),
    "customers/cus_1/unknown/1": ("", "", ""),
    "customers/cus_1/orders/cs_1/unknown/1": ("", "", ""),
    "users/its_user/unknown/1": ("", "", ""),
    # Belongs to nobody: not linked yet, written before there was such a field, not there at all.
    "customers/cus_null": ("", "", ""),
    "customers/cus_null/orders/cs_1": ("", "", ""),
    "customers/cus_without": ("", "", ""),
    "customers/cus_without/orders/cs_1": ("", "", ""),
    "customers/cus_missing/orders/cs_1": ("", "", ""),
}
BY_ITS_USER = {"user_id": {"stringValue": ITS_USER}}
BY_NOBODY = {"user_id": {"nullValue": None}}
#: Every other document carries its user's id too, so that no rule can pass for the wrong reason.
FIELDS = {"customers/cus_null": BY_NOBODY, "customers/cus_without": {"email": {"stringValue": "taro@example.com"}}}

Where = dict[str, Any] | None


def user_id_is(user: str) -> Where:
    return {"fieldFilter": {"field": {"fieldPath": "user_id"}, "op": "EQUAL", "value": {"stringValue": user}}}


USER_ID_IS_NULL: Where = {"unaryFilter": {"field": {"fieldPath": "user_id"}, "op": "IS_NULL"}}


def token(project: str, user: str | None) -> str:
    """An identity token as Firebase issues it, unsigned as only the emulator accepts it."""
    payload = {"aud": project, "iss": f"https://securetoken.google.com/{project}", "iat": 0, "exp": 4_102_444_800}
    payload |= {"sub": user, "user_id": user} if user else {}
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, payload))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


@dataclass(frozen=True)
class Database:
    """A project's documents over the REST API (https://firebase.google.com/docs/firestore/reference/rest)."""

    host: str
    project: str
    http: requests.Session

    def request(self, bearer: str | None, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and JSON. A path starts with "/", or with ":" for a method of the whole database."""
        url = f"http://{self.host}/v1/projects/{self.project}/databases/(default)/documents{path}"
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        response = self.http.request(method, url, headers=headers, json=body, timeout=30)
        return response.status_code, response.json()

    def allows(self, reader: str, method: str, path: str, body: object = None) -> bool:
        bearer = None if reader == ANONYMOUS else token(self.project, reader)
        status, answer = self.request(bearer, method, path, body)
        assert status in {200, 403}, f"neither allowed nor denied: {status} {answer}"
        return status == 200

    def allows_query(self, reader: str, collection: str, where: Where, *, nested: bool = False) -> bool:
        query = {"from": [{"collectionId": collection, "allDescendants": nested}], "where": where}
        return self.allows(reader, "POST", ":runQuery", {"structuredQuery": query})


@pytest.fixture(scope="module")
def database(emulators: Emulators) -> Iterator[Database]:
    """One project for this module: it is only read, as no write is ever allowed."""
    with local_http() as http:
        database = Database(emulators.firestore_host, f"test-{secrets.token_hex(6)}", http)
        emulators.put_rules(database.project, RULES)
        root = f"projects/{database.project}/databases/(default)/documents/"
        documents = [{"name": root + path, "fields": FIELDS.get(path, BY_ITS_USER)} for path in ALLOWED]
        writes = {"writes": [{"update": document} for document in documents]}
        status, answer = database.request("owner", "POST", ":commit", writes)
        assert status == 200, answer
        yield database


CASES = [
    pytest.param(document, reader, operation, operation in allowed.split(), id=f"{document}-{reader}-{operation}")
    for document, by_reader in ALLOWED.items()
    for reader, allowed in zip(READERS, by_reader, strict=True)
    for operation in OPERATIONS
]


@pytest.mark.parametrize(("document", "reader", "operation", "expected"), CASES)
def test_matrix(database: Database, document: str, reader: str, operation: str, expected: bool) -> None:
    collection = document.rpartition("/")[0]
    mine = {"fields": {"user_id": {"stringValue": reader}}}  # the write a thief would try
    allowed = {
        "get": lambda: database.allows(reader, "GET", f"/{document}"),
        "list": lambda: database.allows(reader, "GET", f"/{collection}"),
        "create": lambda: database.allows(reader, "POST", f"/{collection}?documentId=new", mine),
        "update": lambda: database.allows(reader, "PATCH", f"/{document}?currentDocument.exists=true", mine),
        "delete": lambda: database.allows(reader, "DELETE", f"/{document}"),
    }[operation]()
    assert allowed == expected


def collections() -> set[str]:
    """Every collection that `functions.paths` leads to; `*` stands for the document that another one is inside of."""
    found = {*paths.COLLECTIONS, "mail"}
    for name, function in inspect.getmembers(paths, inspect.isfunction):
        parameters = inspect.signature(function).parameters.values()
        if name.startswith("_") or any(each.annotation not in (str, str | None) for each in parameters):
            continue
        made = function(*("mail" if each.name == "collection" else "x" for each in parameters))
        for path in made if isinstance(made, tuple) else (made,):
            if isinstance(path, str) and "/" in path:
                found.add(kind_of(path))
    return found


def kind_of(document: str) -> str:
    """`customers/*/orders` of `customers/cus_1/orders/cs_1`."""
    return "/".join("*" if at % 2 else part for at, part in enumerate(document.split("/")[:-1]))


def test_the_matrix_has_a_row_of_every_collection() -> None:
    assert collections() <= {kind_of(document) for document in ALLOWED}
    assert {"customers/*/orders", "customers/*/private", "customer_index"} <= collections(), "it finds those there are"


@pytest.mark.parametrize(
    ("reader", "where", "expected"),
    [
        pytest.param(ITS_USER, user_id_is(ITS_USER), True, id="own"),
        pytest.param(ANOTHER_USER, user_id_is(ANOTHER_USER), True, id="own-though-there-are-none"),
        pytest.param(ANOTHER_USER, user_id_is(ITS_USER), False, id="someone-elses"),
        pytest.param(ANONYMOUS, user_id_is(ITS_USER), False, id="anonymous"),
        pytest.param(ITS_USER, None, False, id="without-filter"),
        pytest.param(ITS_USER, USER_ID_IS_NULL, False, id="those-of-nobody"),
        pytest.param(ANONYMOUS, USER_ID_IS_NULL, False, id="those-of-nobody-anonymous"),
    ],
)
def test_customers_are_listed_by_their_own_user(database: Database, reader: str, where: Where, expected: bool) -> None:
    assert database.allows_query(reader, "customers", where) == expected


@pytest.mark.parametrize("collection", ["orders", "subscriptions", "invoices", "payment_methods"])
def test_no_query_spans_the_customers(database: Database, collection: str) -> None:
    assert not database.allows_query(ITS_USER, collection, user_id_is(ITS_USER), nested=True)


@pytest.mark.parametrize("document", ["customers/cus_null", "customers/cus_null/orders/cs_1"])
def test_a_token_without_a_user_is_not_the_user_null(database: Database, document: str) -> None:
    status, answer = database.request(token(database.project, None), "GET", f"/{document}")
    assert status == 403, answer


def test_a_customer_that_does_not_exist_is_denied_not_missing(database: Database) -> None:
    assert not database.allows(ITS_USER, "GET", "/customers/cus_missing")


def test_users_are_not_listed_even_by_their_own_id(database: Database) -> None:
    own = f"projects/{database.project}/databases/(default)/documents/users/{ITS_USER}"
    where = {"fieldFilter": {"field": {"fieldPath": "__name__"}, "op": "EQUAL", "value": {"referenceValue": own}}}
    assert not database.allows_query(ITS_USER, "users", where)


def test_a_user_of_whom_nothing_is_known_yet_may_ask(database: Database) -> None:
    status, answer = database.request(token(database.project, "new_user"), "GET", "/users/new_user")
    assert status == 404, answer


def test_a_user_does_not_make_up_their_own_plans(database: Database) -> None:
    plans = {"fields": {"plans": {"arrayValue": {"values": [{"stringValue": "pro"}]}}}}
    assert not database.allows(ANOTHER_USER, "POST", f"/users?documentId={ANOTHER_USER}", plans)
    assert not database.allows(ITS_USER, "PATCH", f"/users/{ITS_USER}?updateMask.fieldPaths=plans", plans)


@pytest.mark.parametrize("document", ALLOWED)
def test_the_server_reads_all(database: Database, document: str) -> None:
    status, answer = database.request("owner", "GET", f"/{document}")
    assert status == 200, answer


@pytest.mark.parametrize(
    ("condition", "complaint"),
    [
        pytest.param("", r"L5:22 Missing conditional expression", id="syntax"),
        pytest.param("isOwner()", r"L5:22 Invalid function name: isOwner", id="a-function-that-does-not-exist"),
    ],
)
def test_broken_rules_are_refused(emulators: Emulators, project: str, condition: str, complaint: str) -> None:
    rules = f"""rules_version = '2';
service cloud.firestore {{
  match /databases/{{database}}/documents {{
    match /customers/{{customer}} {{
      allow read: if {condition};
    }}
  }}
}}
"""
    with pytest.raises(EmulatorError, match=complaint):
        emulators.put_rules(project, rules)
