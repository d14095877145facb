"""Visits to the pages: whoever it says it is, and whatever the link was."""

import io

from hypothesis import strategies as st

from functions.identity import Person
from functions.log import JsonLog
from functions.marketing.links import PARAMETER, UnsubscribeLinks
from functions.pages import pricing, unsubscribe
from functions.pages.settings import UnsubscribeSettings
from local.passing import MovableClock
from tests.fuzz.asking import CUSTOMER, EMAIL, USER, Asked, check_answer, headers, methods, troubles
from tests.fuzz.firestore import Documents
from tests.fuzz.mutations import texts
from tests.fuzz.target import Target
from tests.pricing_shop import HANA, Kept, Lookup, Parts, Shop
from tests.pricing_shop import SETTINGS as PRICING
from tests.stories import START

KEY = "a-key-of-the-links-and-of-nothing-else"

# pricing_page

carriable = texts.map(lambda text: text.encode(errors="replace").decode())
people = st.builds(
    Person,
    user_id=st.just(USER) | carriable.filter(bool),
    email=st.sampled_from([None, EMAIL]) | carriable,
    is_verified=st.booleans(),
)
visits = st.builds(
    Asked,
    method=methods,
    headers=headers,
    query=st.dictionaries(texts, texts, max_size=2),
    body=st.binary(max_size=30),
    broken=troubles,
    person=st.just(HANA) | people,
)


def check_visit(asked: Asked) -> None:
    """A page with the one table, or one without; what a user is called changes nothing about it."""
    shop, output = Shop(customers={CUSTOMER: Kept(email=EMAIL), "guest_1": Kept(email=EMAIL)}), io.StringIO()
    for kind in ("id_token", "session_cookie"):
        shop.people[kind, "good"] = asked.person or HANA
    if asked.broken:
        shop.broken = dict.fromkeys(("find", "customer_session"), asked.broken)
    response = pricing.answer(
        asked.request,
        settings=PRICING,
        identity=shop,
        lookup=Lookup(shop),
        stripe=shop,
        link=shop.link,
        clock=MovableClock(START),
        log=JsonLog(output),
    )
    check_answer(asked, response, output)
    if response.mimetype == "text/html" and response.status == 200:
        assert len(Parts(response.body).of("stripe-pricing-table")) == 1
        assert len(Parts(response.body).of("script")) == 1
    assert PRICING.stripe_api_key not in response.body


# unsubscribe

tokens = st.one_of(
    st.builds(
        lambda customer, address: UnsubscribeLinks("", (KEY,)).url(customer, address).partition("=")[2],
        carriable.map(lambda text: text[:200]),
        texts,
    ),
    texts,
)
refusals = st.builds(
    Asked,
    method=methods,
    headers=headers,
    query=st.dictionaries(st.just(PARAMETER), tokens),
    body=st.sampled_from([b"", b"List-Unsubscribe=One-Click", b"x" * 65_537]) | st.binary(max_size=40),
)


def check_refusal(asked: Asked) -> None:
    """Recorded, shown or refused."""
    output = io.StringIO()
    settings = UnsubscribeSettings(project="shop", database="(default)", keys=(KEY,), mail=PRICING.mail)
    response = unsubscribe.answer(
        asked.request, settings=settings, store=Documents(), clock=MovableClock(START), log=JsonLog(output)
    )
    check_answer(asked, response, output)
    assert not Parts(response.body).of("script")


TARGETS = (
    Target("pricing_page", visits, check_visit, examples=600),
    Target("unsubscribe", refusals, check_refusal, examples=500),
)
