"""Fixtures for what people look at: pages in a real Chromium, as on a phone, with the internet out of reach.

A test module imports them by name, and says so: `__all__ = ["browser", "internet", "open_page", "page"]  # fixtures`.
"""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from local.chromium import executable
from local.processes import LOOPBACK, NotStarted

__all__ = ["OpenPage", "browser", "internet", "open_page", "page"]

FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A second wall behind the routing below, which does not see everything: redirects and preconnects, for example.
    "--no-proxy-server",
    f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {LOOPBACK}",
)


@dataclass(frozen=True)
class _Running:
    browser: Browser
    loop: asyncio.AbstractEventLoop


# Kept by pytest's run and not by a session fixture: those exist once per module that imports them, and Playwright
# refuses to be started twice.
_RUNNING = pytest.StashKey[_Running | NotStarted]()


def _launch(config: pytest.Config) -> _Running:
    path = executable()
    with ExitStack() as opened:
        playwright = opened.enter_context(sync_playwright())
        loop = asyncio.get_running_loop()
        started = playwright.chromium.launch(executable_path=path, args=FLAGS)
        opened.callback(started.close)
        opened.callback(asyncio._set_running_loop, loop)  # first of all, because closing too takes a running loop
        config.add_cleanup(opened.pop_all().close)
    return _Running(started, loop)


def _running(config: pytest.Config) -> _Running:
    if _RUNNING not in config.stash:
        try:
            config.stash[_RUNNING] = _launch(config)
        except NotStarted as error:
            config.stash[_RUNNING] = error  # so that not every test tries to install one in vain
    running = config.stash[_RUNNING]
    if isinstance(running, NotStarted):
        raise running
    return running


@pytest.fixture
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """The run's one Chromium, launched for the first test that asks and closed when pytest ends.

    What its own pages ask for is refused too, but not noted: take `open_page`, unless the browser itself is the point.
    """
    running = _running(request.config)
    # Playwright's loop counts as running in this thread from its first call to its last, so that a later test's
    # asyncio.run() would be refused. It is only needed while a test uses the browser. (The call is asyncio's own for
    # those who run loops by other means, as Playwright does, and what Playwright itself calls.)
    asyncio._set_running_loop(running.loop)
    yield running.browser
    asyncio._set_running_loop(None)


@pytest.fixture
def internet() -> list[str]:
    """The addresses outside this machine that the test's pages have asked for, in vain.

    A loaded page has asked for all of its parts; only a WebSocket may be noted later (`page.expect_websocket` waits).
    """
    return []


def is_local(url: str) -> bool:
    """Whether it stays on this machine. The name localhost does not count: what runs here listens on 127.0.0.1."""
    parts = urlsplit(url)
    return parts.scheme in {"about", "blob", "data", "file"} or parts.hostname == LOOPBACK


class OpenPage:
    """Opens pages that share nothing, not even cookies, and reach nothing but this machine."""

    def __init__(self, browser: Browser, internet: list[str], opened: ExitStack) -> None:
        self._browser = browser
        self._internet = internet
        self._opened = opened

    def __call__(
        self,
        *,
        width: int = 375,
        height: int = 667,
        color_scheme: Literal["light", "dark"] = "light",
        locale: str = "ja-JP",
    ) -> Page:
        """An empty page in a window of this size, in CSS pixels, each of which is one pixel of a screenshot."""
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=color_scheme,
            locale=locale,
            timezone_id="Asia/Tokyo",
            service_workers="block",  # their requests would pass by the routing
        )
        self._opened.callback(context.close)
        context.route(lambda url: not is_local(url), _abort)
        # Noted by the event and not by the routing, which is not asked about where a redirect leads.
        context.on("request", lambda request: self._note(request.url))
        page = context.new_page()
        page.on("websocket", lambda socket: self._note(socket.url))
        return page

    def _note(self, url: str) -> None:
        if not is_local(url):
            self._internet.append(url)


def _abort(route: Route) -> None:
    route.abort()


@pytest.fixture
def open_page(browser: Browser, internet: list[str]) -> Iterator[OpenPage]:
    """For a test that chooses the window, or needs several."""
    with ExitStack() as opened:
        yield OpenPage(browser, internet, opened)


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """An empty page on a light phone, 375 CSS pixels wide."""
    return open_page()
