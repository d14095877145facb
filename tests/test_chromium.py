"""A browser is found wherever it may be, and shows pages to the tests without ever asking the internet."""

import asyncio
import http.server
import struct
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Error, Page

from local.chromium import (
    JAPANESE_FONT,
    debian_install,
    executable,
    find_chromium,
    in_playwrights_cache,
    japanese_font,
    on_the_path,
)
from local.processes import LOOPBACK, NotStarted
from tests.browser import OpenPage, browser, internet, open_page, page

__all__ = ["browser", "internet", "open_page", "page"]  # fixtures


def program(path: Path, script: str = "echo Chromium 150") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


# Finding.


def test_the_real_one_says_its_version() -> None:
    answer = subprocess.run([executable(), "--version"], capture_output=True, text=True, check=True)
    assert "Chrom" in answer.stdout


def test_the_one_that_is_named_wins(tmp_path: Path) -> None:
    named, usual = program(tmp_path / "mine"), program(tmp_path / "bin/chromium")
    assert find_chromium({"CHROMIUM": str(named), "PATH": str(usual.parent)}) == named


@pytest.mark.parametrize("script", ["exit 1", "exit 0"])
def test_a_named_one_that_does_not_run_is_refused_by_name(tmp_path: Path, script: str) -> None:
    named = program(tmp_path / "mine", script)
    with pytest.raises(NotStarted, match=f"CHROMIUM={named}"):
        find_chromium({"CHROMIUM": str(named), "PATH": str(program(tmp_path / "bin/chromium").parent)})


def test_one_on_the_path_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    program(tmp_path / "chromium", "echo 'please install the snap' >&2; exit 1")
    chrome = program(tmp_path / "google-chrome")
    assert find_chromium({"PATH": str(tmp_path)}, [on_the_path]) == chrome


@pytest.mark.parametrize(
    "inside",
    [
        "chromium-{}/chrome-linux64/chrome",
        "chromium_headless_shell-{}/chrome-headless-shell-linux64/chrome-headless-shell",
        "chromium-{}/chrome-mac-arm64/Google Chrome for Testing.app/Contents/MacOS/Google Chrome for Testing",
    ],
)
def test_playwrights_newest_is_found(tmp_path: Path, inside: str) -> None:
    [_, newest, _] = [program(tmp_path / inside.format(revision)) for revision in (999, 1200, 1100)]
    assert find_chromium({"PLAYWRIGHT_BROWSERS_PATH": str(tmp_path)}, [in_playwrights_cache]) == newest


def test_what_installs_is_only_asked_when_nothing_was_found(tmp_path: Path) -> None:
    browser = program(tmp_path / "chromium")

    def install(_environ: Mapping[str, str]) -> Iterable[Path]:
        pytest.fail("asked to install")

    assert find_chromium({}, [lambda _: [tmp_path / "missing"], lambda _: [browser], install]) == browser


def test_nothing_found_says_what_to_type() -> None:
    with pytest.raises(NotStarted) as raised:
        find_chromium({"PATH": ""}, [on_the_path])
    assert "`apt-get install chromium fonts-noto-cjk`" in str(raised.value)
    assert "playwright install chromium`" in str(raised.value)
    assert "CHROMIUM" in str(raised.value)


# Installing.


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """Where the apt-get of `machine` writes what it was told."""
    return tmp_path / "said"


@pytest.fixture
def machine(tmp_path: Path, said: Path) -> dict[str, str]:
    """The environment of a machine with an apt-get, whose lists are locked by somebody the first time."""
    program(
        tmp_path / "apt/apt-get",
        f"""
echo "$DEBIAN_FRONTEND $*" >>{said}
case "$* $(grep -c update {said})" in *"update 1") echo 'E: Could not get lock' >&2; exit 100;; esac""",
    )
    return {"PATH": f"{tmp_path}/apt:/usr/bin:/bin"}


def test_root_installs_packages_and_waits_for_whoever_else_does(machine: dict[str, str], said: Path) -> None:
    assert debian_install(["a", "b"], machine, user_id=0)
    options = "noninteractive -qq -o DPkg::Lock::Timeout=120"
    assert said.read_text().splitlines() == [
        f"{options} update",
        f"{options} update",
        f"{options} install --yes --no-install-recommends a b",
    ]


def test_others_install_packages_by_a_sudo_that_asks_nothing(
    tmp_path: Path, machine: dict[str, str], said: Path
) -> None:
    program(tmp_path / "apt/sudo", 'test "$1" = -n && shift && exec env -i "$@"')
    assert debian_install(["a"], machine, user_id=1000)
    assert said.read_text().splitlines()[-1].endswith("install --yes --no-install-recommends a")


def test_who_may_not_install_packages_does_not_try(tmp_path: Path, machine: dict[str, str], said: Path) -> None:
    program(tmp_path / "apt/sudo", "echo 'sudo: a password is required' >&2; exit 1")
    assert not debian_install(["a"], machine, user_id=1000)
    assert not said.exists()
    assert not debian_install(["a"], {"PATH": str(program(tmp_path / "mac/brew").parent)}, user_id=0)


@pytest.mark.parametrize(
    ("fonts", "installs"), [("echo Noto Sans CJK JP", []), ("true", [JAPANESE_FONT]), (None, [JAPANESE_FONT])]
)
def test_a_japanese_font_is_installed_where_none_is_known(
    tmp_path: Path, fonts: str | None, installs: list[Sequence[str]]
) -> None:
    if fonts:
        program(tmp_path / "fc-list", fonts)
    installed: list[Sequence[str]] = []

    def install(packages: Sequence[str], _environ: Mapping[str, str]) -> bool:
        installed.append(packages)
        return True

    assert japanese_font({"PATH": str(tmp_path)}, install)
    assert installed == installs


# Looking.


def size_of(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def test_a_local_page_is_shown_as_on_a_phone(page: Page, internet: list[str], tmp_path: Path) -> None:
    file = tmp_path / "thanks.html"
    file.write_text('<meta charset="utf-8"><h1>お支払いありがとうございます</h1><p style="height: 2000px">', "utf-8")
    page.goto(file.as_uri())
    assert page.get_by_role("heading").inner_text() == "お支払いありがとうございます"
    width, height = size_of(page.screenshot(full_page=True))
    assert width == 375
    assert height > 2000
    assert page.evaluate("[navigator.language, new Date(0).getHours()]") == ["ja-JP", 9]
    assert internet == []


def test_japanese_is_shown_as_glyphs(page: Page) -> None:
    """Characters without a glyph are all the same box."""
    shots = []
    for character in "払領":
        page.set_content(f"<p>{character}</p>")
        shots.append(page.get_by_role("paragraph").screenshot())
    assert shots[0] != shots[1], "No Japanese font: apt-get install fonts-noto-cjk"


def test_a_dark_phone_is_dark(open_page: OpenPage) -> None:
    style = "<style>@media (prefers-color-scheme: dark) { body { color: rgb(1, 2, 3) } }</style>"
    colors = []
    for shown in (open_page(), open_page(color_scheme="dark")):
        shown.set_content(style)
        colors.append(shown.evaluate("getComputedStyle(document.body).color"))
    assert colors == ["rgb(0, 0, 0)", "rgb(1, 2, 3)"]


def test_what_a_page_asks_from_the_internet_is_refused_and_noted(page: Page, internet: list[str]) -> None:
    page.set_content(
        '<link rel="stylesheet" href="https://example.com/a.css"><img src="http://192.0.2.1/b.png" alt="">'
        '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" alt=""><iframe src="https://example.com/c"></iframe>'
    )
    with pytest.raises(Error, match="ERR_FAILED"):
        page.goto("https://example.com/d")
    assert sorted(internet) == [
        "http://192.0.2.1/b.png",
        *(f"https://example.com/{path}" for path in ("a.css", "c", "d")),
    ]


def test_a_socket_to_the_internet_is_refused_and_noted(page: Page, internet: list[str]) -> None:
    with page.expect_websocket() as opened:  # no page waits for its sockets before it counts as loaded
        page.set_content(
            '<script>new WebSocket("ws://example.com/").onerror = () => { document.title = "refused" }</script>'
        )
    page.wait_for_function("document.title === 'refused'")
    assert internet == [opened.value.url] == ["ws://example.com/"]


class Redirects(http.server.BaseHTTPRequestHandler):
    """Answers /, and sends whoever comes with a query to the address it is."""

    def do_GET(self) -> None:
        location = self.path.partition("?")[2]
        self.send_response(303 if location else 200)
        self.send_header("Location", location)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- http.server's name
        """Says nothing."""


@pytest.mark.parametrize("location", ["https://example.com/", "http://192.0.2.1/", "http://localhost/"])
def test_a_local_server_is_reached_and_where_it_redirects_to_is_not(
    page: Page, internet: list[str], location: str
) -> None:
    with http.server.ThreadingHTTPServer((LOOPBACK, 0), Redirects) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://{LOOPBACK}:{server.server_port}/"
        answer = page.goto(address)
        assert answer is not None
        assert answer.ok
        assert internet == []
        with pytest.raises(Error, match="ERR_NAME_NOT_RESOLVED"):
            page.goto(f"{address}?{location}")
        server.shutdown()
    assert internet == [location]


@pytest.mark.parametrize("turn", ["first", "second"])
def test_pages_and_asyncio_get_along(request: pytest.FixtureRequest, turn: str) -> None:
    """Before and after the browser is used, this thread has no loop running."""
    assert asyncio.run(asyncio.sleep(0, turn)) == turn
    request.getfixturevalue("page").set_content(turn)
