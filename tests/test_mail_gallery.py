"""Every mail as people see it, on a phone and beside other windows, by day and by night; and the page that shows them.

The pictures that are left in .local/mail/screenshots are for people to look at.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from functions.mail.locales import LANGUAGES
from functions.mail.table import MAILS
from local.mail_gallery import FOLDER, Written, write, written
from local.mail_samples import SETTINGS, samples
from tests.browser import OpenPage, browser, internet, open_page, page

__all__ = ["browser", "internet", "open_page", "page"]  # fixtures

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SCREENSHOTS = FOLDER / "screenshots"
LOGO = "https://yamaneko.example/logo.png"
ALL = list(written())
#: The first of each sample and of each kind of mail: in Japanese, to the customer where one gets it.
OF_EACH_SAMPLE = {mail.sample.name: mail for mail in reversed(ALL)}
OF_EACH_KIND = {mail.kind: mail for mail in reversed(ALL)}

#: What is wrong with the mail that is open, as sentences. Contrast is that of https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio.
PROBLEMS = """() => {
  const problems = [];
  const width = innerWidth;
  const rgba = color => {
    const [red, green, blue, alpha = 1] = color.match(/[\\d.]+/g).map(Number);
    return {red, green, blue, alpha};
  };
  const luminance = ({red, green, blue}) => {
    const linear = c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = [red, green, blue].map(channel => linear(channel / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const color = rgba(getComputedStyle(each).backgroundColor);
      if (color.alpha === 1) return color;
      if (color.alpha > 0) problems.push(`a half transparent background: ${each.tagName}`);
    }
    problems.push("no background");
    return rgba("rgb(255, 255, 255)");
  };
  const has = (condition, problem) => { if (!condition) problems.push(problem); };

  has(document.documentElement.scrollWidth <= width, `wider than the window: ${document.documentElement.scrollWidth}`);
  const card = document.querySelector(".card").getBoundingClientRect();
  has(card.width <= 600, `a card of ${card.width}`);
  has(card.width >= Math.min(600, width - 32), `a narrow card: ${card.width}`);
  has(Math.abs(card.left - (document.documentElement.clientWidth - card.right)) <= 1, "the card is off centre");

  let texts = 0;
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!own.length || !element.checkVisibility()) continue;
    texts += 1;
    const style = getComputedStyle(element);
    const told = `in ${JSON.stringify(element.textContent.trim().slice(0, 30))}`;
    const ratio = contrast(rgba(style.color), behind(element));
    has(ratio >= 4.5, `contrast ${ratio.toFixed(2)} ${told}`);
    has(parseFloat(style.fontSize) >= 12, `${style.fontSize} ${told}`);
    for (const node of own) {
      const range = document.createRange();
      range.selectNodeContents(node);
      const {left, right} = range.getBoundingClientRect();
      has(left >= card.left && right <= card.right, `over the edge of the card ${told}`);
    }
  }
  has(texts > 5, `only ${texts} texts`);
  for (const link of document.querySelectorAll("a")) {
    const isButton = rgba(getComputedStyle(link).backgroundColor).alpha > 0;
    const height = link.getBoundingClientRect().height;
    has(!isButton || height >= 44, `a button ${height} high`);
  }
  for (const image of document.images) has(image.alt, `no alternative to ${image.src}`);
  return problems;
}"""


def problems_of(shown: Page) -> list[str]:
    found: list[str] = shown.evaluate(PROBLEMS)
    return found


def html_of(mail: Written) -> str:
    html: str = mail.document["message"]["html"]
    return html


# The mails.


def test_every_mail_is_there_and_once_more_with_little_in_it() -> None:
    names = {mail.sample.name for mail in ALL}
    assert names >= {sample.name for sample in samples()} | {f"{mail.name}-bare" for mail in MAILS}


@pytest.mark.parametrize("width", [375, 800])
def test_every_mail_can_be_read(open_page: OpenPage, internet: list[str], width: int) -> None:
    page = open_page(width=width)
    problems = {}
    for mail in ALL:
        page.set_content(html_of(mail))
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            if found := problems_of(page):
                problems[mail.name, scheme] = found
            # A picture takes longer than everything else; `make mail` shows those that are not taken.
            if mail in (OF_EACH_SAMPLE if scheme == "light" else OF_EACH_KIND).values():
                page.screenshot(full_page=True, path=SCREENSHOTS / f"{mail.name}.{width}.{scheme}.jpeg", quality=90)
    assert problems == {}
    assert internet == []


@pytest.fixture(scope="module", autouse=True)
def empty_screenshots() -> None:
    """Of a sample that has another name now, none stays."""
    for left in SCREENSHOTS.glob("*.jpeg"):
        left.unlink()


def test_without_its_logo_a_mail_is_whole(page: Page, internet: list[str]) -> None:
    """Most mail programs load no picture until they are told to."""
    settings = replace(SETTINGS, brand=replace(SETTINGS.brand, logo_url=LOGO))
    page.set_content(html_of(next(written(settings))))
    assert problems_of(page) == []
    logo = page.get_by_role("img", name=SETTINGS.brand.name)
    expect(logo).to_be_visible()
    assert logo.evaluate("image => image.complete && !image.naturalWidth")
    assert internet == [LOGO]


def test_a_button_can_be_read_in_any_color(page: Page) -> None:
    for color in ("#000000", "#ffffff", "#767676", "#ff0000"):
        settings = replace(SETTINGS, brand=replace(SETTINGS.brand, color=color))
        page.set_content(html_of(next(mail for mail in written(settings) if mail.kind == "welcome")))
        expect(page.get_by_role("link", name="サイトを開く")).to_be_visible()
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            assert problems_of(page) == []


SPOILT = [
    ("</body>", '<p style="width: 400px">.', "wider than the window: 400"),
    ("max-width:600px;background", "max-width:300px;background", "a narrow card: 300"),
    ("max-width:600px;background", "position:relative;left:2px;background", "the card is off centre"),
    ("color:#1c2024", "color:#8a8a8a", 'contrast 3.45 in "佐藤 花 様"'),
    ("font-size:15px", "font-size:11px", '11px in "佐藤 花 様"'),
    ("padding:13px 28px", "padding:2px 28px", "a button 25 high"),
    ("佐藤 花", '<span style="white-space: nowrap">' + "長い名前" * 7 + "</span>", "over the edge of the card in"),
    ("background-color:#ffffff", "background-color:#ffffff80", "a half transparent background: TABLE"),
    ("</body>", f'<img src="{LOGO}" width="10">', f"no alternative to {LOGO}"),
]


def test_what_cannot_be_read_is_found(page: Page) -> None:
    good = html_of(OF_EACH_KIND["cart_recovery"])
    for part, by, problem in SPOILT:
        assert part in good
        page.set_content(good.replace(part, by))
        assert any(found.startswith(problem) for found in problems_of(page)), problem


def test_what_cannot_be_read_by_night_is_found(page: Page) -> None:
    page.set_content(html_of(OF_EACH_KIND["cart_recovery"]).replace("color: #eceff1", "color: #333333"))
    assert problems_of(page) == []
    page.emulate_media(color_scheme="dark")
    problems = problems_of(page)
    assert problems
    assert all(problem.startswith("contrast 1.2") for problem in problems)


# The page that shows them.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mail")
    write(folder)
    return folder


@pytest.fixture
def index(open_page: OpenPage, internet: list[str], folder: Path) -> Iterator[Page]:
    """The page as it opens from its file. It complains of nothing and asks for nothing, whatever is done with it."""
    page = open_page(width=1400, height=900)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((folder / "index.html").as_uri())
    yield page
    assert complaints == []
    assert internet == []


def shown(index: Page) -> list[str]:
    """The names of the mails that are open."""
    names: list[str] = index.locator("article").evaluate_all("all => all.map(each => each.dataset.name)")
    return names


def choose(index: Page, sample: str) -> None:
    index.locator(f"nav a[data-sample='{sample}']").click()
    # A page hears of its new address a moment later.
    expect(index.get_by_role("main")).to_contain_text(f"{sample}:")


def listed(index: Page) -> list[str]:
    """The kinds of mails that can be chosen."""
    headings = index.get_by_role("navigation").get_by_role("heading")
    return [heading.inner_text().split()[0] for heading in headings.all()]


def test_every_mail_can_be_opened_in_every_language(index: Page) -> None:
    assert listed(index) == [mail.name for mail in MAILS]
    by_sample: dict[str, list[str]] = {}
    for mail in ALL:
        by_sample.setdefault(mail.sample.name, []).append(mail.name)
    assert set(index.locator("nav a").evaluate_all("all => all.map(each => each.dataset.sample)")) == by_sample.keys()
    for name in (mail.sample.name for mail in OF_EACH_KIND.values()):
        choose(index, name)
        assert shown(index) == by_sample[name]
        assert {name.split(".")[1] for name in shown(index)} == set(LANGUAGES)


def test_a_mail_is_shown_with_its_text_and_its_headers(index: Page, folder: Path) -> None:
    mail = next(mail for mail in ALL if mail.name == "order_paid.en.support")
    message = mail.document["message"]
    index.goto((folder / "index.html").as_uri() + f"#{mail.sample.name}")
    article = index.locator(f"article[data-name='{mail.name}']")
    expect(article.get_by_role("heading")).to_have_text(message["subject"])
    assert article.locator("pre").text_content() == message["text"]
    above = article.locator("dl").inner_text()
    for told in (*mail.document["to"], mail.document["replyTo"], mail.path, "Auto-Submitted"):
        assert told in above
    expect(article.frame_locator("iframe").get_by_text("hana.sato@example.com")).to_be_visible()
    for form, name in (("html", "html"), ("text", "text")):
        file = article.get_by_role("link", name=name, exact=True).get_attribute("href")
        assert file
        assert (folder / file).read_text("utf-8") == message[form]


def test_the_list_follows_what_is_asked_for(index: Page) -> None:
    assert shown(index)[0] == "welcome.ja.customer"
    index.get_by_role("radio", name="support").check()
    assert listed(index) == [mail.name for mail in MAILS if "support" in mail.to]
    # The welcome goes to the customer only, so the next mail is open.
    assert shown(index) == ["order_paid.ja.support", "order_paid.en.support"]
    index.get_by_role("radio", name="English").check()
    assert shown(index) == ["order_paid.en.support"]
    choose(index, "canceled-payment_failed")
    assert shown(index) == ["canceled-payment_failed.en.support"]
    index.get_by_role("radio", name="customer").check()
    assert shown(index) == ["canceled-payment_failed.en.customer"]
    expect(index.locator("nav a[aria-current]")).to_have_text("Nobody paid")


def test_a_mail_is_shown_as_wide_and_as_dark_as_asked_for(index: Page) -> None:
    inside = "frame => getComputedStyle(frame.contentDocument.body).backgroundColor"
    is_whole = "frame => frame.contentDocument.documentElement.scrollHeight <= frame.clientHeight"
    seen = set()
    for width in (375, 600, 800):
        index.get_by_role("radio", name=f"{width} px").check()
        for scheme in SCHEMES:
            index.get_by_role("radio", name=scheme).check()
            frame = index.locator("iframe").first
            expect(frame.content_frame.locator(".card")).to_be_visible()
            assert frame.evaluate("frame => frame.clientWidth") == width
            assert frame.evaluate(is_whole)
            seen.add((scheme, frame.evaluate(inside)))
    assert seen == {("light", "rgb(243, 244, 244)"), ("dark", "rgb(22, 24, 26)")}
