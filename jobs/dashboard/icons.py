"""The drawings of the dashboard: strokes on a grid of 16, so that they need no file and no licence."""

from __future__ import annotations

ICONS: dict[str, str] = {
    "overview": '<path d="M2 9h4V2H2zM10 14h4V7h-4zM2 14h4v-2H2zM10 4h4V2h-4z"/>',
    "jobs": '<path d="M5.5 4H14M5.5 8H14M5.5 12H14M2 4h.5M2 8h.5M2 12h.5"/>',
    "downloads": '<path d="M8 2v8M4.5 7 8 10.5 11.5 7M2.5 13.5h11"/>',
    "dead": '<path d="M2 5.5h12v8H2zM2 5.5 4 2.5h8l2 3M6 9l4 2.5M10 9l-4 2.5"/>',
    "schedules": '<path d="M2.5 4h11v9.5h-11zM2.5 7h11M5.5 2v3M10.5 2v3"/>',
    "queues": '<path d="M2 3h12M2 6.5h12M4 10h8M6 13.5h4"/>',
    "workers": '<path d="M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.5M5 11h.5"/>',
    "audit": '<path d="M4 2h6l2.5 2.5V14H4zM6.5 7h3.5M6.5 9.5h3.5M6.5 12h2"/>',
    "doctor": '<path d="M2 8h3l1.5-4 3 8L11 8h3"/>',
    "admin": '<path d="M8 2 3 4v4c0 3 2 5 5 6 3-1 5-3 5-6V4z"/>',
    "search": '<circle cx="7" cy="7" r="4.5"/><path d="m10.5 10.5 3.5 3.5"/>',
    "theme": '<path d="M13 9.5A5.5 5.5 0 0 1 6.5 3 5.5 5.5 0 1 0 13 9.5z"/>',
    "help": '<circle cx="8" cy="8" r="6"/><path d="M6.2 6.3c.2-2 3.6-1.9 3.6.1 0 1.3-1.8 1.5-1.8 2.8M8 11.5v.2"/>',
    "menu": '<path d="M2 4h12M2 8h12M2 12h12"/>',
    "warning": '<path d="M8 2.5 14 13.5H2zM8 6.5v3.5M8 11.7v.2"/>',
    "plus": '<path d="M8 3v10M3 8h10"/>',
    "copy": '<path d="M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3"/>',
    "edit": '<path d="m3 13 .7-3L10.5 3l2.5 2.5-7 7z"/>',
    "up": '<path d="M8 13V3M4 7l4-4 4 4"/>',
    "file": '<path d="M4 2h5l3 3v9H4zM9 2v3h3"/>',
    "clock": '<circle cx="8" cy="8" r="6"/><path d="M8 4.5V8l2.5 2"/>',
    "list": '<circle cx="8" cy="8" r="6"/><circle cx="8" cy="8" r="1"/>',
    "play": '<path d="M4.5 3 12.5 8l-8 5z"/>',
    "check": '<path d="m3 8.5 3.5 3.5L13 4.5"/>',
    "cross": '<path d="m4 4 8 8M12 4l-8 8"/>',
    "again": '<path d="M13 8a5 5 0 1 1-1.5-3.5L13 6M13 2.5V6H9.5"/>',
    "pause": '<path d="M5.5 3.5v9M10.5 3.5v9"/>',
    "stop": '<circle cx="8" cy="8" r="6"/><path d="m4 12 8-8"/>',
    "submitted": '<path d="M2 8h10M8.5 4.5 12 8l-3.5 3.5"/>',
}

# Which of them stands for a state, of jobs and of workers.
OF_STATE: dict[str, str] = {
    "submitted": "submitted",
    "scheduled": "clock",
    "queued": "list",
    "running": "play",
    "retrying": "again",
    "paused": "pause",
    "completed": "check",
    "failed": "cross",
    "cancelled": "stop",
    "idle": "list",
    "busy": "play",
    "draining": "pause",
    "lost": "cross",
    "ok": "check",
    "warning": "warning",
}
