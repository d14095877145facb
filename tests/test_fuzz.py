"""A minute of the fuzzing that `python -m tests.fuzz` does for as long as one likes; what it found stays found."""

import pytest
from hypothesis import strategies as st

from functions.topology import EVENT_TYPES
from tests.fuzz.shapes import told
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_nothing_that_arrives_breaks_it(target: Target) -> None:
    # A target whose inputs are mostly thrown away again would try nothing.
    assert target.run(target.examples) >= target.examples * 0.5


def test_every_type_that_somebody_listens_to_is_meddled_with() -> None:
    assert {each.event["type"].removeprefix("v1.") for each in told()} == EVENT_TYPES


def test_everything_that_was_found_is_tried_first() -> None:
    tried: list[str] = []
    target = Target("example", st.just("new"), tried.append, examples=1, found_before=("found", "before"))
    target.run(1)
    assert set(tried[:2]) == {"found", "before"}


def test_a_finding_is_raised_as_small_as_it_gets() -> None:
    def check(number: int) -> None:
        assert number < 1000

    with pytest.raises(AssertionError) as found:
        Target("example", st.integers(0), check, examples=500).run(500, keeps=False)
    assert "case=1000" in "".join(found.value.__notes__)
