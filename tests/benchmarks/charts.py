"""Bars and lines as SVG that any browser shows, small enough to live beside a README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 760
_OURS, _PEER = "#2563eb", "#9ca3af"
_LEFT, _BAR, _GAP = 190, 16, 6
_HIGH, _TOP, _BOTTOM, _RIGHT = 190, 34, 30, 30


def bars(title: str, unit: str, values: Mapping[str, float], ours: str, notes: Mapping[str, str] | None = None) -> str:
    """One bar for each name, longest first; `ours` stands out. `notes`: words behind the figure."""
    most = max(values.values(), default=0.0) or 1.0
    parts, y = [_text(0, 16, title, bold=True)], 30
    for name, value in sorted(values.items(), key=lambda item: -item[1]):
        width = max(1.0, (WIDTH - _LEFT - 210) * value / most)
        label = f"{value:,.0f} {unit}" + (f", {notes[name]}" if notes and notes.get(name) else "")
        parts.append(_text(_LEFT - 8, y + 12, name, anchor="end"))
        colour = _OURS if name == ours else _PEER
        parts.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2" fill="{colour}"/>')
        parts.append(_text(_LEFT + width + 6, y + 12, label))
        y += _BAR + _GAP
    return _svg(y + 6, parts)


def columns(title: str, unit: str, points: Sequence[tuple[str, float]]) -> str:
    """One column for each point, in the order given: how something grows, or does not."""
    most = max((value for _, value in points), default=0.0) or 1.0
    step = (WIDTH - 2 * _RIGHT) / max(1, len(points))
    parts = [_text(0, 16, title, bold=True)]
    for place, (name, value) in enumerate(points):
        high = (_HIGH - _TOP - _BOTTOM) * value / most
        x, y = _RIGHT + step * place + step * 0.2, _HIGH - _BOTTOM - high
        parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{step * 0.6:.1f}" height="{high:.1f}" fill="{_OURS}"/>')
        parts.append(_text(x + step * 0.3, y - 5, f"{value:,.4g} {unit}", anchor="middle"))
        parts.append(_text(x + step * 0.3, _HIGH - _BOTTOM + 16, name, anchor="middle"))
    return _svg(_HIGH, parts)


def _text(x: float, y: float, words: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(words)}</text>'


def _svg(height: float, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )
