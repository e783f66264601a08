"""Small line charts, one under the other, as one SVG file that any browser shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

_WIDTH, _HEIGHT = 860, 150  # of one chart
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 170, 28, 22
_COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#4b5563")

Line = Sequence[tuple[float, float]]  # (minute, value)


def write(path: Path, charts: Mapping[str, Mapping[str, Line]]) -> None:
    """`charts`: by title, the lines of a chart by name. Each chart has its own scale, from zero."""
    height = _HEIGHT * len(charts)
    body = "".join(_chart(title, lines, _HEIGHT * place) for place, (title, lines) in enumerate(charts.items()))
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
        f' font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>{body}</svg>\n'
    )


def _chart(title: str, lines: Mapping[str, Line], top: int) -> str:
    points = [point for line in lines.values() for point in line]
    last = max((minute for minute, _ in points), default=0) or 1
    most = max((value for _, value in points), default=0) or 1
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    base = top + _TOP + high
    parts = [f'<text x="{_LEFT}" y="{top + 18}" font-weight="bold">{escape(title)}</text>']
    for share in (0.0, 0.5, 1.0):
        y = base - share * high
        parts.append(f'<line x1="{_LEFT}" x2="{_LEFT + wide}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{most * share:,.4g}</text>')
    parts.append(f'<text x="{_LEFT + wide}" y="{base + 15}" text-anchor="end">{last:.0f} min</text>')
    for place, (name, line) in enumerate(lines.items()):
        colour = _COLOURS[place % len(_COLOURS)]
        path = " ".join(f"{_LEFT + m / last * wide:.1f},{base - v / most * high:.1f}" for m, v in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        y = top + _TOP + 8 + 13 * place
        parts.append(f'<text x="{_LEFT + wide + 10}" y="{y}" fill="{colour}">{escape(name)}</text>')
    return "".join(parts)
