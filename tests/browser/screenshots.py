"""`make screenshots`: every page in both themes and on a phone, of a platform that is at work."""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser
from rich.console import Console

from tests.browser.chromium import browser
from tests.browser.scene import Client, lively
from tests.servers import running_stack

OUT = Path("deploy/screenshots")
DESKTOP, PHONE = (1360, 850), (390, 844)
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SETTLE = 75.0  # seconds for the curve to have something to show

PAGES = {
    "overview": "",
    "jobs": "jobs?queue=medium",
    "downloads": "downloads",
    "workers": "workers",
    "submit": "jobs/new",
    "schedules": "schedules",
    "doctor": "doctor",
}


def shoot(chromium: Browser, client: Client, out: Path) -> None:
    """Every page in both themes and sizes, into `out`."""
    failed = next(iter(client.get("jobs?state=failed&kind=echo&limit=1")["results"]))
    running = next(iter(client.get("jobs?state=running&kind=echo&limit=1")["results"]), failed)
    pages = {**PAGES, "job-failed": f"jobs/{failed['id']}", "job-running": f"jobs/{running['id']}"}
    for theme in THEMES:
        for width, height in (DESKTOP, PHONE):
            context = chromium.new_context(
                viewport={"width": width, "height": height}, color_scheme=theme, device_scale_factor=1
            )
            page = context.new_page()
            for name, path in pages.items():
                page.goto(f"{client.root}/dashboard/{path}", wait_until="load")
                page.wait_for_function("document.fonts.status === 'loaded'")
                page.wait_for_timeout(500)  # a stream opens, a curve is drawn
                suffix = "-phone" if width == PHONE[0] else ""
                _save(page.screenshot(), out / f"{name}-{theme}{suffix}.webp")
            context.close()


def _save(png: bytes, path: Path) -> None:
    Image.open(io.BytesIO(png)).convert("RGB").save(path, quality=82, method=6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console()
    with running_stack("--ephemeral", "--port", "0") as stack, lively(stack.addresses) as client, browser() as chromium:
        console.print(f"Platform at {client.root}; it works for a moment.")
        time.sleep(SETTLE)
        shoot(chromium, client, options.out)
    for file in sorted(options.out.glob("*.webp")):
        console.print(f"{file}  {file.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
