"""What the nursery loads before it forks; imported there and nowhere else."""

from __future__ import annotations

import gc
import importlib

import django

django.setup()
for module in (
    "celery.bin.celery",
    "celery.apps.beat",
    "celery.apps.worker",
    "celery.concurrency.prefork",
    "django.core.handlers.asgi",
    "jobs.dispatcher",
    "jobs.tasks",
    "project.urls",
    "uvicorn.main",
):
    importlib.import_module(module)
gc.freeze()  # what is loaded stays, and is shared with the children for as long as nobody touches it
