from __future__ import annotations

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        from jobs import kinds  # noqa: PLC0415 - models are not loaded before ready()

        kinds.discover()
