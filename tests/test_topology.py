"""The table of functions, and the filters that decide which events reach them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.message_filter import MAX_FILTER_BYTES, message_filter
from functions.topology import (
    CLOCK_TOPIC,
    CLOCKED,
    DEAD_LETTER_TOPIC,
    DEAD_LETTERED,
    EVENT_TYPES,
    FUNCTIONS,
    SUBSCRIBERS,
    TOPIC,
    Function,
    function,
)
from functions.variables import MAIL_VARIABLES

ROWS = pytest.mark.parametrize("row", [row for row in FUNCTIONS if row.trigger == "events"], ids=lambda row: row.name)
CLOCKS = pytest.mark.parametrize("row", CLOCKED, ids=lambda row: row.name)

#: Neighbours of the types in the table, which a filter should keep out where it can.
OTHER_TYPES = (
    "checkout.session.created",
    "customer.subscription.created",
    "customer.createdx",
    "charge.refund.updated",
    "charge.succeeded",
    "invoice.paid",
    "",
)


def passes(expression: str, event_type: str) -> bool:
    """What Pub/Sub makes of the expressions used here: equality and prefixes, joined by OR."""
    for term in expression.split(" OR "):
        if equal := re.fullmatch(r'attributes\.type = "([^"]*)"', term):
            if event_type == equal[1]:
                return True
        elif prefix := re.fullmatch(r'hasPrefix\(attributes\.type, "([^"]*)"\)', term):
            if event_type.startswith(prefix[1]):
                return True
        else:
            raise AssertionError(f"no term of a filter as Pub/Sub knows it: {term}")
    return False


def exact_filter(event_types: tuple[str, ...]) -> str:
    return " OR ".join(f'attributes.type = "{event_type}"' for event_type in event_types)


def test_every_function_has_a_name_of_its_own() -> None:
    assert len({row.name for row in FUNCTIONS}) == len(FUNCTIONS)


def test_a_function_is_found_by_its_name() -> None:
    assert [function(row.name) for row in FUNCTIONS] == list(FUNCTIONS)


def test_an_unknown_function_is_answered_with_those_there_are() -> None:
    with pytest.raises(LookupError, match=r"no function 'send_mail' in the topology; there are: .*record_orders"):
        function("send_mail")


def test_what_somebody_listens_to_is_what_the_rows_say() -> None:
    assert {event_type for row in FUNCTIONS for event_type in row.event_types} == EVENT_TYPES


@ROWS
def test_a_row_that_listens_says_to_what_and_each_type_once(row: Function) -> None:
    assert row.event_types
    assert len(set(row.event_types)) == len(row.event_types)


def test_a_row_that_is_called_listens_to_nothing() -> None:
    assert {row.event_types for row in FUNCTIONS if row.trigger != "events"} == {()}


def test_every_row_but_those_called_over_http_has_a_subscription() -> None:
    called = {row.name for row in (*SUBSCRIBERS, *CLOCKED, *DEAD_LETTERED)}
    assert {row.name for row in FUNCTIONS if row.trigger != "http"} == called
    assert {row.topic for row in SUBSCRIBERS} == {TOPIC}
    assert {row.topic for row in DEAD_LETTERED} == {DEAD_LETTER_TOPIC}
    assert {row.topic for row in CLOCKED} == {CLOCK_TOPIC}


def test_only_a_row_of_the_clock_has_a_schedule() -> None:
    assert [row for row in FUNCTIONS if row.schedule] == list(CLOCKED)


@CLOCKS
def test_a_row_of_the_clock_is_shown_its_own_ticks_alone(row: Function) -> None:
    assert row.filter == f'attributes.function = "{row.name}"'
    assert len(row.filter.encode()) <= MAX_FILTER_BYTES


@CLOCKS
def test_a_row_of_the_clock_has_a_schedule_that_the_local_scheduler_knows(row: Function) -> None:
    from local.scheduler import Cadence

    assert Cadence.of(row.schedule).minutes


def test_only_a_row_of_the_clock_can_ask_for_another_run() -> None:
    assert [row.name for row in FUNCTIONS if row.continues] == ["send_due_reminders", "reconcile"]
    assert {row.trigger for row in FUNCTIONS if row.continues} == {"clock"}


@CLOCKS
def test_what_a_row_of_the_clock_could_not_do_is_left_to_the_next_tick(row: Function) -> None:
    # A tick that comes back for hours would do what later ones have done.
    assert row.delivery_attempts == 5
    assert row.concurrency == 1
    assert row.timeout_seconds <= 600


def test_only_what_is_called_over_http_is_public() -> None:
    assert [row.name for row in FUNCTIONS if row.public] == ["stripe_webhook", "unsubscribe", "pricing_page"]
    assert {row.trigger for row in FUNCTIONS if row.public} == {"http"}


def test_whoever_makes_offers_can_say_where_they_are_refused() -> None:
    """The link, and what it is signed with: without one of the two no offer is written."""
    linking = {row.name for row in FUNCTIONS if "UNSUBSCRIBE_URL" in row.variables}
    assert linking == {"record_orders", "send_due_reminders"}
    signing = {row.name for row in FUNCTIONS if "UNSUBSCRIBE_KEYS" in row.secrets}
    # The page itself reads links and makes none.
    assert signing == linking | {"unsubscribe"}


def test_whoever_reckons_with_reminders_is_told_when_to_remind() -> None:
    """The rows that store them and the one that sends them have to come to the same dates."""
    told = {
        "UPGRADE_OFFER_AFTER_DAYS",
        "OFFERS",
        "OFFER_PAUSE_DAYS",
        "PAST_DUE_GIVES_ACCESS",
        "TIMEZONE",
        "MAIL_MAX_AGE",
    }
    reckoning = {row.name for row in FUNCTIONS if told <= set(row.variables)}
    # Two more react to what they find at Stripe.
    others = {"send_due_reminders", "find_customer", "pricing_page"}
    assert reckoning == {row.name for row in SUBSCRIBERS} | others


def test_every_function_that_writes_mail_is_told_how() -> None:
    silent = {"stripe_webhook", "reconcile"}
    # The page that stops offers looks like the mail that leads to it.
    for row in (*SUBSCRIBERS, *CLOCKED, function("unsubscribe"), function("dead_letters")):
        assert (set(MAIL_VARIABLES) <= set(row.variables)) is (row.name not in silent)
        assert "FIRESTORE_DATABASE" in row.variables
        assert len(set(row.variables)) == len(row.variables)
    for name in silent:
        assert not set(MAIL_VARIABLES) & set(function(name).variables)


def test_whoever_publishes_events_knows_which_ones() -> None:
    """What Stripe could not deliver is chosen as the webhook would have chosen it."""
    publishing = [row for row in FUNCTIONS if row.publishes]
    assert [row.name for row in publishing] == ["stripe_webhook", "reconcile"]
    for row in publishing:
        assert {"STRIPE_LIVEMODE", "FORWARD_ALL"} <= set(row.variables)


@ROWS
def test_the_filter_of_a_row_fits(row: Function) -> None:
    assert len(row.filter.encode()) <= MAX_FILTER_BYTES


@ROWS
def test_the_filter_of_a_row_passes_every_type_it_handles(row: Function) -> None:
    assert [event_type for event_type in row.event_types if not passes(row.filter, event_type)] == []


@ROWS
@pytest.mark.parametrize("event_type", ["payout.paid", "v1.customer.created", ""])
def test_the_filter_of_a_row_keeps_other_families_out(row: Function, event_type: str) -> None:
    assert not passes(row.filter, event_type)


def test_a_filter_that_fits_is_exact() -> None:
    types = ("customer.created", "customer.updated", "checkout.session.completed", "charge.refunded")
    assert message_filter(types) == exact_filter(types)
    assert [other for other in OTHER_TYPES if passes(message_filter(types), other)] == []


def test_a_filter_is_exact_up_to_the_last_byte() -> None:
    longest = "x." + "y" * (MAX_FILTER_BYTES - len(exact_filter(("x.",))))
    assert message_filter((longest,)) == exact_filter((longest,))
    assert message_filter((longest + "y",)) == 'hasPrefix(attributes.type, "x.")'


def test_the_largest_family_is_passed_by_its_prefix() -> None:
    sessions = tuple(f"checkout.session.{word}" for word in ("completed", "expired", "async_payment_failed"))
    subscriptions = tuple(f"customer.subscription.{word}" for word in ("created", "updated", "paused", "deleted"))
    expression = message_filter((*sessions, *subscriptions))
    assert passes(expression, "customer.subscription.resumed")
    assert not passes(expression, "checkout.session.created")


WORDS = st.sampled_from(["account", "charge", "checkout", "customer", "invoice", "session", "subscription", "updated"])
EVENT_TYPE = st.lists(WORDS | st.from_regex("[a-z][a-z_]{0,30}", fullmatch=True), min_size=2, max_size=4).map(".".join)


TYPES = st.lists(EVENT_TYPE, min_size=1, max_size=16, unique=True).map(tuple)


@given(TYPES)
def test_a_filter_passes_all_its_types_or_is_refused(event_types: tuple[str, ...]) -> None:
    try:
        expression = message_filter(event_types)
    except ValueError:
        return
    assert len(expression.encode()) <= MAX_FILTER_BYTES
    assert [event_type for event_type in event_types if not passes(expression, event_type)] == []


@given(TYPES)
def test_a_filter_is_refused_only_where_the_prefixes_of_all_families_do_not_fit(event_types: tuple[str, ...]) -> None:
    families = {event_type.rpartition(".")[0] + "." for event_type in event_types}
    widest = [one for one in families if not any(one.startswith(other) for other in families - {one})]
    if len(" OR ".join(f'hasPrefix(attributes.type, "{family}")' for family in widest)) <= MAX_FILTER_BYTES:
        message_filter(event_types)


@given(st.lists(EVENT_TYPE, min_size=1, max_size=6, unique=True).map(tuple))
def test_a_prefix_is_only_used_where_the_types_do_not_fit(event_types: tuple[str, ...]) -> None:
    if len(exact_filter(event_types)) <= MAX_FILTER_BYTES:
        assert message_filter(event_types) == exact_filter(event_types)


def test_types_that_no_filter_can_pass_are_refused() -> None:
    with pytest.raises(ValueError, match="no Pub/Sub filter of 256 bytes passes"):
        message_filter(tuple(f"family_number_{n}.created" for n in range(20)))
