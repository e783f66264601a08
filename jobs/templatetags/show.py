"""How values look on the operators' pages: states, times, sizes, JSON."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django import template
from django.template import Context
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from jobs import kinds, pauses
from jobs.dashboard.icons import ICONS, OF_STATE
from jobs.models import Gate, Lane, Priority, Reason, State
from jobs.searchable import FIELDS

register = template.Library()

NOTHING = "\N{EN DASH}"

_STEPS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_BRIEF = 90


@register.simple_tag
def icon(name: str) -> SafeString:
    """A drawing in the colour of the text around it, silent for screen readers: a word stands beside it."""
    return format_html(
        '<svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">{}</svg>',
        mark_safe(ICONS[name]),  # noqa: S308 - our own drawings
    )


@register.simple_tag(name="state")
def sign(value: str, word: str = "") -> SafeString:
    """A state as a sign and a word; never by colour alone."""
    known = value if value in OF_STATE else "queued"
    return format_html(
        '<span class="state state-{}">{}<span>{}</span></span>', known, icon(OF_STATE[known]), word or value
    )


@register.simple_tag(takes_context=True)
def live(context: Context, topics: str, every: int = 1000, address: str = "") -> SafeString:
    """Makes an element the part of the page that follows these topics, asked for again at most so often (ms)."""
    return format_html(
        'id="live" data-live="{}" data-every="{}" hx-get="{}" hx-trigger="refresh" hx-select="#live" '
        'hx-select-oob="#banners:outerMorph" hx-swap="outerMorph"',
        topics,
        every,
        address or context["request"].get_full_path(),
    )


@register.simple_tag
def acts(name: str, *args: Any) -> SafeString:
    """Makes a form post to that page and morph what comes back into this one; without scripts, an ordinary form."""
    return format_html(
        'method="post" action="{0}" hx-post="{0}" hx-target="#main" hx-select="#main" '
        'hx-select-oob="#banners:outerMorph" hx-swap="outerMorph"',
        reverse(name, args=args),
    )


@register.simple_tag
def standing_pauses() -> list[Gate]:
    """What is paused now, for the banner of every page."""
    return pauses.paused()


@register.simple_tag
def search_words() -> str:
    """What a term of a search can be, for completion."""
    values = {
        "state": State.values,
        "kind": [kind.name for kind in kinds.known()],
        "queue": Priority.labels,
        "reason": Reason.values,
        "lane": Lane.values,
    }
    words = [f"{field}:{value}" for field, found in values.items() for value in found]
    return " ".join([*words, *(f"{field}:" for field in sorted(set(FIELDS) - set(values)))])


@register.filter
def ago(value: datetime | None) -> SafeString | str:
    """A moment: relative to read, absolute to know. The browser keeps it up to date and can turn it round."""
    if value is None:
        return NOTHING
    utc = value.astimezone(timezone.get_current_timezone())
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        value.isoformat(timespec="milliseconds"),
        f"{utc:%Y-%m-%d %H:%M:%S %Z}",
        _relative((timezone.now() - value).total_seconds()),
    )


@register.filter
def lasting(value: datetime | None) -> SafeString | str:
    """How long something has gone on, since then; the browser keeps counting."""
    if value is None:
        return NOTHING
    return format_html(
        '<time datetime="{}" data-lasting>{}</time>',
        value.isoformat(timespec="milliseconds"),
        span(max(0.0, (timezone.now() - value).total_seconds())),
    )


@register.filter
def words(value: str) -> str:
    """A name of ours as people write it."""
    return value.replace("_", " ")


def _relative(seconds: float) -> str:
    if abs(seconds) < 1:
        return "now"
    words = span(abs(seconds))
    return f"{words} ago" if seconds > 0 else f"in {words}"


@register.filter
def span(value: timedelta | float | None) -> str:
    """A length of time, in the two units that matter."""
    if value is None:
        return NOTHING
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 0.0005:
        return "< 1 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for place, (size, unit) in enumerate(_STEPS):
        if seconds >= size:
            whole, rest = divmod(int(seconds), size)
            small_size, small = _STEPS[place + 1] if place + 1 < len(_STEPS) else (1, "")
            small_count = rest // small_size if small and whole < 10 else 0
            return f"{whole} {unit}" + (f" {small_count} {small}" if small_count else "")
    return f"{seconds:.0f} s"


@register.filter
def size(value: float | None) -> str:
    """Bytes in binary units."""
    if value is None:
        return NOTHING
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


@register.filter
def count(value: float | None) -> str:
    """A whole number that can be read: 12,345."""
    return NOTHING if value is None else f"{int(value):,}"


@register.filter
def rate(value: float | None) -> str:
    """So many a second."""
    if not isinstance(value, int | float):  # the template has no number to give
        return NOTHING
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}" if value >= 0.1 else f"{value:.2f}"


@register.filter
def short(value: object) -> str:
    """The end of an id: ids that were made together begin alike."""
    return str(value)[-8:]


@register.filter
def pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


@register.filter
def brief(value: Any) -> str:
    """JSON in one line that fits a row."""
    if value in (None, {}, []):
        return ""
    text = ", ".join(f"{name}: {_plain(inner)}" for name, inner in value.items()) if isinstance(value, dict) else ""
    text = text or _plain(value)
    return text if len(text) <= _BRIEF else text[: _BRIEF - 1] + "…"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@register.filter
def percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.0f} %"


@register.filter
def times(value: float | None, factor: float) -> float:
    """For drawings, whose units are not those of the value."""
    return round(float(value or 0) * factor, 2)


@register.filter
def mib(value: float) -> str:
    return f"{value / 1024**2:.3f}".rstrip("0").rstrip(".")


@register.filter
def unlocal(value: object) -> str:
    """A number as drawings and attributes want it, whatever the language."""
    return str(value)
