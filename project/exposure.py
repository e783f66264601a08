"""What must not be so on a server that others can reach. A process that would be open to them does not start."""

from __future__ import annotations

import sys

from django.conf import settings

_SHORTEST_KEY, _FEWEST_SIGNS = 50, 5  # as Django's own deployment checks have it


def faults() -> list[str]:
    """A line for each thing that is wrong: which variable, and what to do."""
    found: list[str] = []
    if settings.ON_LOOPBACK:
        return found
    if settings.SECRET_KEY == settings.KEY_OF_LOOPBACK:
        found.append("SECRET_KEY: set it to a random text of 50 characters or more, and keep it secret.")
    elif len(settings.SECRET_KEY) < _SHORTEST_KEY or len(set(settings.SECRET_KEY)) < _FEWEST_SIGNS:
        found.append("SECRET_KEY: it can be guessed. Set it to a random text of 50 characters or more.")
    if settings.PUBLIC and settings.DEBUG:
        found.append("DEBUG: switch it off; its pages show the settings and the code to whoever meets an error.")
    if settings.PUBLIC and settings.ALLOW_DIAGNOSTICS:
        found.append("ALLOW_DIAGNOSTICS: switch it off; it lets whoever may submit a job crash workers.")
    return found


def stop_if_unsafe() -> None:
    """Called where a process begins to serve. Ends it with a line for each fault."""
    if found := faults():
        sys.exit("\n  ".join(["Haulway does not start, for ALLOWED_HOSTS lets others in:", *found]))
