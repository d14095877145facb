"""The soak counts right, draws its graph, and ends with 1 when anything is lost."""

from collections.abc import Callable
from pathlib import Path

import pytest

from functions.topology import function
from local.emulators import Emulators
from local.soak import documents
from local.soak.__main__ import main
from local.soak.model import foresee
from local.soak.tally import Tally
from local.soak.town import household, town
from local.system import System
from tests import stories, test_mail_in_any_order
from tests.driving import SETTINGS, World

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def soak(
    emulators: Emulators,  # noqa: ARG001 -- found by the environment
    tmp_path: Path,
) -> Callable[..., int]:
    """A small one. So short a run is not warm, and says nothing about memory."""
    arguments = ["--events", "20", "--connections", "4", "--seed", "7", "--max-memory-growth", "10"]
    arguments += ["--graph", str(tmp_path / "soak.png")]
    return lambda **more: main(arguments, logs=tmp_path / "logs", **more)


def test_it_ends_with_0_and_says_what_happened(
    soak: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert soak() == 0
    said = capsys.readouterr().out
    for row in ("received", "published", "applied", "duplicates", "stale", "parked", "p50", "p99", "events/s", "MiB"):
        assert row in said
    assert "Nothing is lost" in said
    assert (tmp_path / "soak.png").read_bytes().startswith(PNG)


def test_it_ends_with_1_when_something_is_lost_or_changed_or_told_again(
    soak: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    customer = next(each for each in household(0, seed=7).objects.values() if each["object"] == "customer")["id"]

    def lose(system: System) -> None:
        client = system.firestore()
        client.document(f"customers/{customer}").update({"name": "Somebody else"})
        [order, *_] = client.collection(f"customers/{customer}/orders").stream()
        order.reference.delete()
        client.document(f"mail/order_paid_{order.id}").update({"to": ["again@example.com"]})

    assert soak(before_comparing=lose) == 1
    said = capsys.readouterr().out
    for line in (" is missing", f"customers/{customer} differs in name", "was written more than once", "--seed 7"):
        assert line in said


def test_its_model_is_that_of_the_other_tests() -> None:
    for account in town(60, seed=3):
        world = World(account)
        for event in account.events:
            for name, react in test_mail_in_any_order.REACTIONS.items():
                if event["type"] in function(name).event_types:
                    world.deliver(react, event)
        foreseen = foresee(account, SETTINGS)
        assert {path: found for path, found in foreseen.items() if not path.startswith("mail/")} == world.documents
        assert {path.removeprefix("mail/") for path in foreseen if path.startswith("mail/")} == set(world.mail())
    assert set(documents.PASSING) == set(test_mail_in_any_order.PASSING)
    assert documents.without_traces(dict.fromkeys(stories._TRACES)) == {}


def test_a_town_has_every_kind_of_household_and_is_the_same_for_the_same_seed() -> None:
    assert [each.events for each in town(50, seed=1)] == [each.events for each in town(50, seed=1)]
    assert [each.events for each in town(50, seed=1)] != [each.events for each in town(50, seed=2)]
    types = {event["type"] for each in town(60, seed=1) for event in each.events}
    assert {"checkout.session.expired", "charge.dispute.closed", "customer.subscription.deleted"} <= types
    assert sum(len(each.events) for each in town(1000, seed=1)) >= 1000


def test_what_is_still_missing_is_known_while_a_line_is_being_written(tmp_path: Path) -> None:
    log = tmp_path / "functions.log"
    line = '{"severity":"INFO","function":"record_orders","event_id":"evt_1","outcome":"%s"}\n'
    log.write_text("starting\n" + line % "retry" + (line % "applied")[:30])
    tally = Tally(log)
    tally.read()
    assert tally.missing({"evt_1": 1})["record_orders", "evt_1"] == 1
    log.write_text("starting\n" + line % "retry" + line % "applied")
    tally.read()
    assert tally.missing({"evt_1": 1})["record_orders", "evt_1"] == 0
    assert tally.missing({"evt_1": 2})["record_orders", "evt_1"] == 1
    assert (tally.of("applied"), tally.of("retry")) == (1, 1)
