from __future__ import annotations

from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import AXE, troubles_of
from tests.browser.scene import Client

PHONE = {"width": 390, "height": 844}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@pytest.fixture(scope="package")
def pages(platform: Any) -> dict[str, str]:
    """Every page, with something on it."""
    client = Client(platform.addresses)
    failed = client.job(payload={"fail_times": 9, "long": "word" * 200}, max_retries=1)
    running = client.job(payload={"sleep": 600})
    client.job(payload={"later": True}, run_at="2031-01-01T00:00:00Z")
    client.post("downloads", url="http://127.0.0.1:9/a-file-with-a-rather-long-name-" + "x" * 60 + ".bin")
    client.until(failed, "failed")
    client.until(running, "running")
    paths = {
        "overview": "",
        "jobs": "jobs",
        "no jobs": "jobs?kind=nothing-has-this-kind",
        "failed job": f"jobs/{failed}",
        "running job": f"jobs/{running}",
        "submit": "jobs/new",
        "downloads": "downloads",
        "workers": "workers",
        "audit": "audit",
        "doctor": "doctor",
        "schedules": "schedules",
        "new schedule": "schedules/new?preset=Daily%20at%208:00",
        "missing": "jobs/00000000-0000-0000-0000-000000000000",
    }
    return {name: f"/dashboard/{path}" for name, path in paths.items()} | {"sign in": "/login"}


def test_axe_finds_nothing_on_any_page_in_either_theme(
    chromium: Browser, pages: dict[str, str], client: Client
) -> None:
    context = chromium.new_context(base_url=client.root, bypass_csp=True)  # only axe needs that
    page = context.new_page()
    found: dict[str, list[str]] = {}
    for name, path in pages.items():
        page.goto(path)
        _open_all(page)
        page.add_script_tag(path=AXE)
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            for violation in page.evaluate("axe.run().then(found => found.violations)"):
                where = [node["html"][:160] for node in violation["nodes"]][:4]
                found.setdefault(f"{name}, {theme}: {violation['id']}", []).extend(where)
    context.close()

    assert found == {}


def test_no_page_writes_an_error_to_the_console(chromium: Browser, pages: dict[str, str], client: Client) -> None:
    context = chromium.new_context(base_url=client.root)
    page = context.new_page()
    troubles = troubles_of(page)
    for name, path in pages.items():
        page.goto(path, wait_until="load")
        page.keyboard.press("?")
        page.keyboard.press("Escape")
        if name == "missing":
            troubles[:] = [one for one in troubles if "404" not in one]  # the browser reports the page itself
    context.close()

    assert troubles == []


def test_every_page_fits_a_phone(chromium: Browser, pages: dict[str, str], client: Client) -> None:
    context = chromium.new_context(base_url=client.root, viewport=PHONE, has_touch=True)  # type: ignore[arg-type]
    page = context.new_page()
    too_wide = {}
    for name, path in pages.items():
        page.goto(path)
        _open_all(page)
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > PHONE["width"]:
            too_wide[name] = width
    context.close()

    assert too_wide == {}


def test_pages_can_be_read_without_scripts(chromium: Browser, pages: dict[str, str], client: Client) -> None:
    context = chromium.new_context(base_url=client.root, java_script_enabled=False)
    page = context.new_page()
    blank = []
    for name, path in pages.items():
        page.goto(path)
        if not page.locator("h1").first.inner_text():
            blank.append(name)
    context.close()

    assert blank == []


def _open_all(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details:not(.more)').forEach(one => one.open = true)")
