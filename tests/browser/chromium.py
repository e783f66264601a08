"""The browser: the system's Chromium, or whichever CHROMIUM names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def find() -> str | None:
    """Path of a browser that can be driven; none where there is none."""
    named = os.environ.get("CHROMIUM", "")
    return named or next((path for name in _NAMES if (path := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # No sandbox: containers and root, where tests run, do not allow it, and it opens our own pages alone.
        started = playwright.chromium.launch(executable_path=find(), args=["--no-sandbox", "--disable-gpu"])
        try:
            yield started
        finally:
            started.close()
