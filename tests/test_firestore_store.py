"""Reading and committing on the Firestore emulator: all or nothing, and only if nothing changed in between."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.cloud.firestore import Client

from functions.adapters.firestore import FirestoreStore
from functions.effects import Create, Delete, Effect, Merge, Put
from functions.errors import Conflict, Permanent, Retry
from local.processes import LOOPBACK, free_ports


@pytest.fixture
def store(firestore_client: Client) -> FirestoreStore:
    return FirestoreStore(firestore_client)


def fields_of(client: Client, path: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = client.document(path).get().to_dict()
    return found


def test_documents_are_read_in_one_batch_and_missing_ones_are_none(
    store: FirestoreStore, firestore_client: Client
) -> None:
    firestore_client.document("a/1").set({"x": 1})
    found = store.read(["a/1", "a/2"])
    assert (found["a/1"].fields, found["a/2"].fields) == ({"x": 1}, None)


def test_put_makes_the_document_equal_to_its_fields(store: FirestoreStore, firestore_client: Client) -> None:
    firestore_client.document("a/1").set({"x": 1, "gone": True, "map": {"old": 1}})
    found = store.read(["a/1", "a/2"])
    store.commit([Put("a/1", {"x": 2, "map": {"new": {"a.b": 1}}}), Put("a/2", {"y": 1})], found)
    assert fields_of(firestore_client, "a/1") == {"x": 2, "map": {"new": {"a.b": 1}}}
    assert fields_of(firestore_client, "a/2") == {"y": 1}


def test_merge_leaves_the_other_fields(store: FirestoreStore, firestore_client: Client) -> None:
    firestore_client.document("a/1").set({"x": 1, "theirs": 1})
    store.commit([Merge("a/1", {"x": 2}), Merge("a/2", {"y": 1})], store.read(["a/1", "a/2"]))
    assert fields_of(firestore_client, "a/1") == {"x": 2, "theirs": 1}
    assert fields_of(firestore_client, "a/2") == {"y": 1}


def test_what_was_not_read_is_merged_whether_it_exists_or_not(store: FirestoreStore, firestore_client: Client) -> None:
    firestore_client.document("a/1").set({"theirs": 1})
    store.commit([Merge("a/1", {"x": 1}), Merge("a/2", {"x": 1}), Delete("a/3")], {})
    assert fields_of(firestore_client, "a/1") == {"x": 1, "theirs": 1}
    assert fields_of(firestore_client, "a/2") == {"x": 1}


def test_delete_removes_what_was_read(store: FirestoreStore, firestore_client: Client) -> None:
    firestore_client.document("a/1").set({"x": 1})
    store.commit([Delete("a/1")], store.read(["a/1"]))
    assert fields_of(firestore_client, "a/1") is None


@pytest.mark.parametrize("effect", [Put("a/1", {"x": 2}), Merge("a/1", {"x": 2}), Delete("a/1")])
def test_a_document_that_changed_since_it_was_read_is_a_conflict(
    store: FirestoreStore, firestore_client: Client, effect: Effect
) -> None:
    firestore_client.document("a/1").set({"x": 1})
    found = store.read(["a/1"])
    firestore_client.document("a/1").update({"x": 9})
    with pytest.raises(Conflict):
        store.commit([effect], found)
    assert fields_of(firestore_client, "a/1") == {"x": 9}


@pytest.mark.parametrize("effect", [Create("a/1", {"x": 2}), Put("a/1", {"x": 2}), Merge("a/1", {"x": 2})])
def test_a_document_that_appeared_since_it_was_missing_is_a_conflict(
    store: FirestoreStore, firestore_client: Client, effect: Effect
) -> None:
    found = store.read(["a/1"])
    firestore_client.document("a/1").set({"x": 9})
    with pytest.raises(Conflict):
        store.commit([effect], found)
    assert fields_of(firestore_client, "a/1") == {"x": 9}


@pytest.mark.parametrize("effect", [Put("a/1", {"x": 2}), Merge("a/1", {"x": 2})])
def test_a_document_that_vanished_since_it_was_read_is_a_conflict(
    store: FirestoreStore, firestore_client: Client, effect: Effect
) -> None:
    firestore_client.document("a/1").set({"x": 1})
    found = store.read(["a/1"])
    firestore_client.document("a/1").delete()
    with pytest.raises(Conflict):
        store.commit([effect], found)
    assert fields_of(firestore_client, "a/1") is None


def test_a_conflict_in_one_document_leaves_all_of_them(store: FirestoreStore, firestore_client: Client) -> None:
    found = store.read(["a/1", "a/2"])
    firestore_client.document("a/2").set({"x": 9})
    with pytest.raises(Conflict):
        store.commit([Put("a/1", {"x": 1}), Put("a/2", {"x": 1}), Merge("a/3", {"x": 1})], found)
    assert fields_of(firestore_client, "a/1") is None
    assert fields_of(firestore_client, "a/3") is None


def test_a_commit_repeated_because_its_answer_was_lost_is_a_conflict(store: FirestoreStore) -> None:
    found = store.read(["a/1"])
    store.commit([Put("a/1", {"x": 1})], found)
    with pytest.raises(Conflict):
        store.commit([Put("a/1", {"x": 1})], found)


def test_eight_threads_that_count_together_lose_nothing(store: FirestoreStore, firestore_client: Client) -> None:
    def add_one(_: int) -> None:
        while True:
            found = store.read(["a/1"])
            count = (found["a/1"].fields or {"n": 0})["n"]
            try:
                store.commit([Put("a/1", {"n": count + 1})], found)
            except Conflict:
                continue
            return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add_one, range(200)))
    assert fields_of(firestore_client, "a/1") == {"n": 200}


def test_what_firestore_does_not_take_is_permanent(store: FirestoreStore) -> None:
    with pytest.raises(Permanent, match="Firestore does not take"):
        store.commit([Put("a/1", {"metadata": {"__reserved__": 1}})], store.read(["a/1"]))


def test_a_database_that_does_not_answer_is_for_a_retry(store: FirestoreStore) -> None:
    [port] = free_ports(1)
    nobody = FirestoreStore(_client_of(f"{LOOPBACK}:{port}"), timeout_seconds=0.5)
    with pytest.raises(Retry, match="Firestore answered"):
        nobody.read(["a/1"])
    with pytest.raises(Retry, match="Firestore answered"):
        nobody.commit([Put("a/1", {"x": 1})], store.read(["a/1"]))


def _client_of(address: str) -> Client:
    import os

    before = os.environ["FIRESTORE_EMULATOR_HOST"]
    os.environ["FIRESTORE_EMULATOR_HOST"] = address
    try:
        client = Client(project="nobody")
        client.document("a/1")
        assert client._firestore_api is not None
    finally:
        os.environ["FIRESTORE_EMULATOR_HOST"] = before
    return client
