"""One platform and one browser for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.browser.chromium import browser, find
from tests.browser.scene import Client
from tests.servers import RunningStack, running_stack

AXE = Path(__file__).parent / "vendor" / "axe-4.14.1.min.js"

expect.set_options(timeout=30_000)  # a busy machine; what is asserted is that it happens


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    if find() is None:
        pytest.skip("no browser here: install Chromium (on Debian: apt-get install chromium), or name one in CHROMIUM")
    with browser() as started:
        yield started


@pytest.fixture(scope="package")
def platform(chromium: Browser) -> Iterator[RunningStack]:  # nothing is started where no browser can look at it
    with running_stack("--ephemeral", "--port", "0") as started:
        yield started


@pytest.fixture
def client(platform: RunningStack) -> Client:
    return Client(platform.addresses)


@pytest.fixture
def page(chromium: Browser, client: Client, platform: RunningStack) -> Iterator[Page]:
    """A fresh tab. The test fails if anything is written to the console's errors meanwhile."""
    context = chromium.new_context(base_url=client.root, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(30_000)
    troubles = troubles_of(page)
    yield page
    context.close()
    log = Path(platform.addresses.data_dir) / "logs" / "web.log"
    assert troubles == [], log.read_text()[-4000:]


def troubles_of(page: Page) -> list[str]:
    """What goes wrong in a page, as it goes wrong: errors on the console, exceptions, refusals of the policy."""
    found: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            found.append(f"{page.url}: {message.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: found.append(f"{page.url}: {error}"))
    return found
