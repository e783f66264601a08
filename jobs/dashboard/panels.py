"""Places on the overview for other apps: each registers a template and what it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string

_panels: dict[str, Callable[[], dict[str, Any] | None]] = {}


def register(template: str, look: Callable[[], dict[str, Any] | None]) -> None:
    """Show this template on the overview, with what `look` returns; none: nothing to show now."""
    _panels[template] = look


def of(request: HttpRequest) -> list[str]:
    """The panels that have something to show, as HTML."""
    shown = [(template, found) for template, look in _panels.items() if (found := look()) is not None]
    return [render_to_string(template, found, request) for template, found in shown]
