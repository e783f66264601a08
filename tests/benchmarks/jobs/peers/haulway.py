"""Haulway, through the functions that an application in the same Django project calls."""

from __future__ import annotations

import django
from django.conf import settings

if not settings.configured:
    django.setup()

from jobs import lifecycle
from jobs.submission import checked

_AT_ONCE = 10_000


def single(count: int) -> None:
    for _ in range(count):
        lifecycle.submit("bench.noop")


def bulk(count: int) -> None:
    for start in range(0, count, _AT_ONCE):
        lifecycle.submit_many([checked("bench.noop") for _ in range(min(_AT_ONCE, count - start))])
