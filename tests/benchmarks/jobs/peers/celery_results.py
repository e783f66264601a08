"""Celery with a row per task in Postgres, by django-celery-results.

As it comes, Celery closes the database connection after each task; BENCH_KEEP_CONNECTIONS=1 makes it keep it.
"""

from __future__ import annotations

import os

import django
from celery import Celery
from django.conf import settings

from tests.benchmarks.jobs import tally

if not settings.configured:
    import dj_database_url

    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django_celery_results"],
        DATABASES={"default": dj_database_url.parse(os.environ["BENCH_DATABASE"], conn_max_age=None)},
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()

app = Celery("bench", broker=os.environ["REDIS_URL"], backend="django-db")
app.conf.update(result_extended=True, worker_prefetch_multiplier=64, worker_enable_remote_control=False)
if os.environ.get("BENCH_KEEP_CONNECTIONS") == "1":
    app.conf["CELERY_DB_REUSE_MAX"] = 10**9


@app.task(name="noop")
def noop() -> None:
    tally.note()


def prepare() -> None:
    from django.core.management import call_command  # noqa: PLC0415 - needs Django

    call_command("migrate", verbosity=0)


def single(count: int) -> None:
    for _ in range(count):
        noop.delay()


def bulk(count: int) -> None:
    with app.producer_or_acquire() as producer, producer.batch(1000):
        for _ in range(count):
            noop.apply_async(producer=producer, retry=False)
