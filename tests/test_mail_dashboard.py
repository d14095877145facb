"""Links to Stripe's Dashboard: the mode and the account of the event, and no link to what has no page there."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.letters import Origin
from functions.mail.stripe_dashboard import Links
from functions.mail.text import link


def links(*, livemode: bool = True, account: str | None = None) -> Links:
    return Links(Origin(customer="cus_1", livemode=livemode, account=account, event="evt_1"))


PAGES = [
    ("customer", "cus_1", "customers/cus_1"),
    ("payment", "pi_1", "payments/pi_1"),
    ("subscription", "sub_1", "subscriptions/sub_1"),
    ("invoice", "in_1", "invoices/in_1"),
    ("event", "evt_1", "events/evt_1"),
]


@pytest.mark.parametrize(("kind", "object_id", "page"), PAGES)
@pytest.mark.parametrize(
    ("livemode", "account", "root"),
    [
        (True, None, "https://dashboard.stripe.com"),
        (False, None, "https://dashboard.stripe.com/test"),
        (True, "acct_1Shop", "https://dashboard.stripe.com/acct_1Shop"),
        (False, "acct_1Shop", "https://dashboard.stripe.com/acct_1Shop/test"),
    ],
)
def test_an_object_has_its_page_in_its_mode_and_account(
    *, livemode: bool, account: str | None, root: str, kind: str, object_id: str, page: str
) -> None:
    assert getattr(links(livemode=livemode, account=account), kind)(object_id) == f"{root}/{page}"


@pytest.mark.parametrize("nothing", [None, ""])
@pytest.mark.parametrize("kind", [kind for kind, _, _ in PAGES])
def test_what_has_no_id_has_no_page(kind: str, nothing: str | None) -> None:
    assert getattr(links(), kind)(nothing) is None


def test_a_guest_has_no_page() -> None:
    assert links().customer("guest_5f2c9e1ab07d4433a1c2e9d8") is None


def test_an_empty_account_is_the_endpoints_own() -> None:
    assert links(account="").event("evt_1") == "https://dashboard.stripe.com/events/evt_1"


@pytest.mark.parametrize("kind", [kind for kind, _, _ in PAGES])
@given(
    odd=st.sampled_from(["../../evil", "a?b#c", "//evil.example", "@evil.example", '"><script>', "長\n"]) | st.text()
)
def test_an_odd_id_leads_nowhere_else(kind: str, odd: str) -> None:
    for account in (None, odd):
        url = getattr(links(account=account), kind)(f"x{odd}")
        segments = 2 if account else 1
        assert re.fullmatch(rf"https://dashboard\.stripe\.com(/[A-Za-z0-9._~%-]+){{{segments + 1}}}", url)
        assert len(url) > 2_000 or link(url) == url
