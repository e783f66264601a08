"""The Celery application: what `celery -A project worker`, `beat` and `flower` load."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from celery.signals import beat_init, setup_logging, worker_init, worker_process_init
from kombu import Connection, Queue
from kombu.transport import virtual
from kombu.transport.redis import Channel, QoS

from project.exposure import stop_if_unsafe

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
# Celery would run Django's system checks, which load every URL and with it the whole web side of the platform: eleven
# megabytes that no worker needs. The build runs the checks.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

# Strict order: a worker takes from a queue only when those before it are empty. A `.io` queue carries the same
# priority for kinds that wait for others; a worker started without -Q serves both lanes.
PRIORITIES = ("critical", "high", "medium", "low")
QUEUES = tuple(name + lane for name in PRIORITIES for lane in ("", ".io"))


# A worker that loses Redis gives back the messages it has in hand, by the very connection that is gone, and ends with
# an AttributeError (kombu 5.7). Ours need not be given back: the dispatcher sends again whatever was not claimed.
Channel.do_restore = False


class NoCopies(QoS):
    """Keeps no copy in Redis of a hint that a worker has taken, for the same reason.

    Kombu writes one and removes it again, in two more exchanges for every message, which a job waits for. Tasks that
    are none of the dispatcher's are kept as ever.
    """

    def append(self, message: Any, delivery_tag: str) -> None:
        keep = virtual.QoS.append if "stamp" in message.headers else QoS.append
        keep(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        message = self._delivered.get(delivery_tag) if self._delivered else None
        forget = virtual.QoS.ack if message is not None and "stamp" in message.headers else QoS.ack
        forget(self, delivery_tag)


Channel.QoS = NoCopies


class PatientConnection(Connection):
    """Looks for a lost broker every second for as long as it takes.

    Kombu's own pause grows to half a minute, so work would stand still that long after Redis is back.
    """

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        kwargs.update(interval_start=0.2, interval_step=0.2, interval_max=1.0)
        return super().ensure_connection(*args, **kwargs)


class PatientAMQP(AMQP):
    Connection = PatientConnection


app = Celery("haulway", amqp=PatientAMQP)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_queues = [Queue(name) for name in QUEUES]
app.autodiscover_tasks()


@setup_logging.connect
def keep_djangos_logging(**_: object) -> None:
    """A receiver is all that it takes for Celery to leave the log as the settings have it."""


@worker_init.connect
@beat_init.connect
def refuse_to_start_exposed(**_: object) -> None:
    stop_if_unsafe()


@worker_process_init.connect
def forget_inherited_connections(**_: object) -> None:
    """A forked pool child must not talk on its parent's database sockets, nor close them under the parent."""
    from django.db.backends.postgresql.base import DatabaseWrapper  # noqa: PLC0415 - Django is not set up on import

    DatabaseWrapper._connection_pools.clear()  # type: ignore[attr-defined]  # noqa: SLF001 - no public way to drop them
