"""The pages of staff, Django's admin, loaded where they are served: a worker never shows them, and they take memory."""

from __future__ import annotations

import django_stubs_ext

django_stubs_ext.monkeypatch()  # Django's classes do not take [type arguments] when run, as those of the pages use them

from django.contrib.admin import autodiscover, site  # noqa: E402 - what is above comes first

autodiscover()

__all__ = ["site"]
