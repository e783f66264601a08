from __future__ import annotations

from django.apps import AppConfig


class DownloadsConfig(AppConfig):
    name = "downloads"

    def ready(self) -> None:
        from downloads import exports  # noqa: F401, PLC0415 - registers itself; models are not loaded before ready()
