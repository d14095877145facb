"""The page as people meet it: on a phone and on a desk, in their language, by day and by night, without a mouse."""

import os
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from google.cloud.firestore import Client
from playwright.sync_api import ConsoleMessage, Page, expect

from functions.errors import Retry
from functions.mail.settings import Brand
from functions.pages.http import Response
from local.emulators import Emulators
from local.mail_samples import SETTINGS as MAIL
from tests.browser import OpenPage, browser, internet, open_page, page
from tests.test_unsubscribe import SETTINGS, TOKEN, Broken, Function, Json, served, token
from tests.test_unsubscribe import Page as Answers

__all__ = ["browser", "internet", "open_page", "page"]  # fixtures

Scheme = Literal["light", "dark"]
#: Where to keep what the pages look like, for whoever wants to see them.
PICTURES = os.environ.get("PICTURES")

WORDS: dict[str, Json] = {
    "ja-JP": {
        "ask": "ご案内メールの配信を停止しますか？",
        "button": "配信を停止する",
        "done": "配信を停止いたしました",
        "bad_link": "リンクを確認できませんでした",
        "away": "ただいま手続きを完了できませんでした",
    },
    "en-US": {
        "ask": "Stop receiving offers?",
        "button": "Unsubscribe",
        "done": "You are unsubscribed",
        "bad_link": "This link does not work",
        "away": "Please try again in a moment",
    },
}
BRANDS = {
    "coffee": MAIL.brand,
    "night": Brand(name="NIGHT & Co.", color="#16181a", url="https://night.example"),
    "snow": Brand(name="Snow", color="#ffffff"),
    "sun": Brand(name="Sonnenblumenverkaufsgenossenschaftsverwaltung", color="#ffd400", footer=("x" * 200,)),
}


@pytest.fixture(scope="module")
def shop() -> str:
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture(scope="module")
def function(emulators: Emulators, shop: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    with served(shop, tmp_path_factory.mktemp("unsubscribe_page"), emulators.environment()) as started:
        yield started


@pytest.fixture
def customer() -> str:
    return f"cus_{secrets.token_hex(6)}"


@pytest.fixture
def marketing(shop: str, function: Function, customer: str) -> Callable[[], Any]:  # noqa: ARG001 -- it finds the emulators
    """What the customer's document says about offers, now."""
    client = Client(project=shop)
    return lambda: (client.document(f"customers/{customer}").get().to_dict() or {}).get("marketing")


def watched(shown: Page) -> list[str]:
    """What goes wrong in the page from now on, such as a part that its own policy forbids."""
    problems: list[str] = []

    def note(said: ConsoleMessage) -> None:
        # Of a status that is no success the browser itself says so.
        if "responded with a status" not in said.text:
            problems.append(said.text)

    shown.on("console", note)
    shown.on("pageerror", lambda error: problems.append(str(error)))
    return problems


def picture(shown: Page, name: str) -> None:
    if PICTURES:
        shown.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def fits(shown: Page) -> bool:
    return bool(shown.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


CONTRASTS = """() => {
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number)
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    return 0.2126 * x + 0.7152 * y + 0.0722 * z
  }
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = parse(getComputedStyle(element).backgroundColor)
      if (color.length === 3 || color[3] === 1) return color
    }
    return [255, 255, 255]
  }
  return [...document.querySelectorAll('main *, footer *')].filter(e => e.innerText && !e.children.length).map(e => {
    const [text, ground] = [luminance(parse(getComputedStyle(e).color)), luminance(behind(e))]
    return [e.innerText, (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05)]
  })
}"""


def unreadable(shown: Page) -> list[Any]:
    """Texts whose contrast is less than people need: https://www.w3.org/TR/WCAG22/#contrast-minimum."""
    measured = shown.evaluate(CONTRASTS)
    assert measured
    return [each for each in measured if each[1] < 4.5]


# One reader's way


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 800])
@pytest.mark.parametrize("locale", WORDS)
def test_a_reader_stops_the_offers(
    *,
    function: Function,
    customer: str,
    marketing: Callable[[], Any],
    open_page: OpenPage,
    internet: list[str],
    locale: str,
    width: int,
    scheme: Scheme,
) -> None:
    words, name = WORDS[locale], f"{locale[:2]}-{width}-{scheme}"
    shown = open_page(width=width, height=667, color_scheme=scheme, locale=locale)
    problems = watched(shown)
    asked = shown.goto(function.url(token(customer)))
    assert asked is not None
    assert asked.status == 200
    expect(shown.get_by_role("heading", level=1)).to_have_text(words["ask"])
    expect(shown.get_by_role("button")).to_have_text(words["button"])
    expect(shown).to_have_title(f"{words['ask']} – {MAIL.brand.name}")
    assert shown.evaluate("document.documentElement.lang") == locale[:2]
    assert fits(shown)
    assert unreadable(shown) == []
    picture(shown, f"ask-{name}")
    assert marketing() is None

    with shown.expect_response(lambda response: response.request.method == "POST") as answered:
        shown.get_by_role("button").click()
    assert answered.value.status == 200
    expect(shown.get_by_role("heading", level=1)).to_have_text(words["done"])
    expect(shown.get_by_role("button")).to_have_count(0)
    assert fits(shown)
    assert unreadable(shown) == []
    picture(shown, f"done-{name}")
    first = marketing()
    assert (first["status"], first["by"]) == ("opt_out", "unsubscribe")

    shown.reload()
    expect(shown.get_by_role("heading", level=1)).to_have_text(words["done"])
    assert marketing()["at"] == first["at"]
    assert problems == []
    assert internet == []


def test_without_a_mouse(
    function: Function, customer: str, marketing: Callable[[], Any], page: Page, internet: list[str]
) -> None:
    page.goto(function.url(token(customer)))
    page.keyboard.press("Tab")
    expect(page.get_by_role("button")).to_be_focused()
    outline = page.get_by_role("button").evaluate(
        "e => [getComputedStyle(e).outlineStyle, getComputedStyle(e).outlineWidth]"
    )
    assert outline == ["solid", "3px"]
    picture(page, "focus")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(WORDS["ja-JP"]["done"])
    assert marketing()["status"] == "opt_out"
    assert internet == []


def test_a_finger_finds_the_button(function: Function, page: Page) -> None:
    page.goto(function.url())
    box = page.get_by_role("button").bounding_box()
    assert box is not None
    assert box["height"] >= 48
    assert box["y"] + box["height"] < 667, "on the first screen of a small phone"


def test_a_screen_reader_hears_a_heading_and_a_button(function: Function, page: Page) -> None:
    page.goto(function.url())
    expect(page.get_by_role("main")).to_match_aria_snapshot(
        """
        - main:
          - paragraph: 喫茶 山猫
          - heading "ご案内メールの配信を停止しますか？" [level=1]
          - paragraph
          - button "配信を停止する"
          - paragraph
        """
    )
    expect(page.get_by_role("contentinfo")).to_contain_text("株式会社山猫")


@pytest.mark.parametrize("locale", WORDS)
def test_a_link_that_was_cut_off(function: Function, open_page: OpenPage, locale: str) -> None:
    shown = open_page(locale=locale)
    answered = shown.goto(function.url(TOKEN[:-5]))
    assert answered is not None
    assert answered.status == 400
    expect(shown.get_by_role("heading", level=1)).to_have_text(WORDS[locale]["bad_link"])
    expect(shown.get_by_role("button")).to_have_count(0)
    assert fits(shown)
    picture(shown, f"bad_link-{locale[:2]}")


def test_whoever_reads_no_language_of_ours_reads_the_shops(function: Function, open_page: OpenPage) -> None:
    shown = open_page(locale="fr-FR")
    shown.goto(function.url())
    expect(shown.get_by_role("heading", level=1)).to_have_text(WORDS["ja-JP"]["ask"])


def test_the_page_is_in_nobodys_frame(function: Function, page: Page, tmp_path: Path) -> None:
    frame = tmp_path / "frame.html"
    frame.write_text(f'<meta charset="utf-8"><iframe src="{function.url()}"></iframe>', "utf-8")
    page.goto(frame.as_uri())
    page.wait_for_load_state()
    assert page.frames[1].query_selector("button") is None


# Every brand's page, without a server


def show(shown: Page, response: Response) -> list[str]:
    """The page with its headers, as a server would send it."""
    address = "http://127.0.0.1:1/unsubscribe"
    headers = {"Content-Type": "text/html; charset=utf-8", **response.headers}
    shown.unroute_all()
    shown.route(address, lambda route: route.fulfill(status=response.status, body=response.body, headers=headers))
    problems = watched(shown)
    shown.goto(address)
    return problems


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("brand", BRANDS)
def test_every_brand_can_be_read(open_page: OpenPage, internet: list[str], brand: str, scheme: Scheme) -> None:
    settings = replace(SETTINGS, mail=replace(MAIL, brand=BRANDS[brand]))
    shown = open_page(width=320, color_scheme=scheme)
    for name, answers, method, t in (
        ("ask", Answers(settings=settings), "GET", TOKEN),
        ("done", Answers(settings=settings), "POST", TOKEN),
        ("away", Answers(Broken(Retry("away")), settings), "POST", TOKEN),
        ("bad_link", Answers(settings=settings), "GET", ""),
    ):
        assert show(shown, answers(method, t, Accept_Language="ja")) == []
        expect(shown.get_by_role("heading", level=1)).to_have_text(WORDS["ja-JP"][name])
        assert fits(shown)
        assert unreadable(shown) == []
        picture(shown, f"{brand}-{name}-{scheme}")
    assert internet == []


def test_a_logo_is_shown_and_nothing_else_is_asked_for(page: Page, internet: list[str]) -> None:
    brand = replace(MAIL.brand, logo_url="https://cdn.shop.example/logo.png")
    response = Answers(settings=replace(SETTINGS, mail=replace(MAIL, brand=brand)))()
    asked: list[str | None] = []
    page.on("request", lambda request: asked.append(request.headers.get("referer")))
    # The test's own wall stands between the page and the logo; the page's policy does not.
    assert [re.sub(r".*: ", "", each) for each in show(page, response)] == ["net::ERR_FAILED"]
    assert internet == [brand.logo_url]
    assert asked == [None, None]
    expect(page.get_by_role("img", name=brand.name)).to_be_visible()


def test_markup_that_somebody_got_into_the_page_is_not_obeyed(page: Page) -> None:
    """The policy stands behind the escaping, and holds on its own."""
    response = Answers()()
    evil = (
        '<script>document.title = "evil"</script><img src="https://evil.example/a.png" onerror="document.title = 1">'
        '<style>h1 { display: none }</style><p style="display: none">hidden</p>'
        '<form action="https://evil.example/" id="evil"></form></main>'
    )
    failed: list[str | None] = []
    page.on("requestfailed", lambda request: failed.append(request.failure))
    problems = show(page, replace(response, body=response.body.replace("</main>", evil)))
    expect(page).to_have_title(re.compile("停止しますか"))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_text("hidden")).to_be_visible()
    with page.expect_event("console") as refused:
        page.evaluate("document.getElementById('evil').requestSubmit()")
    assert "form-action 'self'" in refused.value.text
    assert page.url.startswith("http://127.0.0.1:1/")
    assert failed == ["csp"]
    directives = {name for each in problems for name in re.findall(r"directive:? ['\"]([a-z-]+)", each)}
    assert directives == {"default-src", "img-src", "style-src", "form-action"}, problems
