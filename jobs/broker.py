"""The one producer of Celery messages, and what the dispatcher needs to know of those that still lie in Redis."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis
from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError

from jobs import redis_primary

# What a broken Redis looks like from here.
BrokerDown = (OperationalError, redis.RedisError, OSError)

TASK = "jobs.run"  # what all messages of ours ask Celery for
_client: redis.Redis | None = None


@dataclass(frozen=True)
class Hint:
    """One message: whoever takes it from `queue` shall try to claim these jobs.

    `stamp` grows from message to message, so that the age of the oldest one in Redis can be told.
    """

    queue: str
    ids: Sequence[uuid.UUID]
    stamp: int
    kinds: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """What it is called in Flower and in the worker's log: the kind of its jobs, where they have one in common."""
        return next(iter(self.kinds)) if len(self.kinds) == 1 else TASK

    @property
    def words(self) -> str:
        """Its jobs, as they are shown there: the first by its id, the others by their number."""
        first, *others = self.ids
        return f"{first} and {len(others)} more" if others else str(first)


def send(hints: Sequence[Hint]) -> None:
    """Send messages, in one round trip to Redis. Raises one of BrokerDown; then any part of them may have arrived."""
    if not hints:
        return
    pipe = _redis().pipeline(transaction=False)
    for hint in hints:
        pipe.lpush(hint.queue, _message(hint))
    pipe.execute()


def _message(hint: Hint) -> str:
    """As Celery and Kombu write one. To have them do it took two milliseconds, which every job waited for."""
    one = str(uuid.uuid4())
    ids = [str(job_id) for job_id in hint.ids]
    task = current_app.amqp.as_task_v2(
        one, TASK, (ids,), {}, shadow=hint.name, argsrepr=hint.words, kwargsrepr="{}", ignore_result=True
    )
    return json.dumps(
        {
            "body": base64.b64encode(json.dumps(task.body).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {**task.headers, "stamp": hint.stamp},
            "properties": {
                **task.properties,
                "body_encoding": "base64",
                "delivery_info": {"exchange": "", "routing_key": hint.queue},
                "delivery_mode": 2,
                "delivery_tag": one,
                "priority": 0,
            },
        }
    )


def oldest_stamps(queues: Sequence[str]) -> dict[str, int | None]:
    """The stamp of the oldest message in each queue, in one round trip; none where a queue is empty."""
    return {queue: _stamp(raw) for queue, raw in _oldest(queues).items()}


def take(queues: Sequence[str]) -> tuple[str, list[uuid.UUID]] | None:
    """Take the next message of the first of these queues that has one, past Celery: its queue and its jobs. None: there
    is none, it is not ours, or somebody was quicker. Raises one of BrokerDown.
    """
    for queue, raw in _oldest(queues).items():
        if raw is not None:
            # Looked at before it is taken: what is not ours could not be put back safely.
            ids = _jobs_of(raw)
            return (queue, ids) if ids and _redis().lrem(queue, -1, raw) else None
    return None


def _oldest(queues: Sequence[str]) -> dict[str, Any]:
    """The bytes of the message that is next in each queue, in one round trip; None where there is none."""
    pipe = _redis().pipeline(transaction=False)
    for queue in queues:
        pipe.lindex(queue, -1)  # messages are pushed on the left and taken from the right
    return dict(zip(queues, pipe.execute(), strict=True))


def _jobs_of(raw: bytes) -> list[uuid.UUID]:
    """None in what is not ours, or makes no sense: Celery knows what to do with it."""
    try:
        message = json.loads(raw)
        if message["headers"]["task"] != TASK:
            return []
        (ids,), *_ = json.loads(base64.b64decode(message["body"]))
        return [uuid.UUID(one) for one in ids]
    except (ValueError, LookupError, TypeError, AttributeError):
        return []


def holds_any(queues: Sequence[str]) -> bool:
    """Whether a message lies in one of these queues. Raises one of BrokerDown."""
    return bool(_redis().exists(*queues))  # an empty list is none to Redis


def _redis() -> redis.Redis:
    global _client  # noqa: PLW0603 - one pool of connections for the process
    if _client is None:
        _client = redis_primary.connect(
            socket_timeout=settings.REDIS_TIMEOUT, socket_connect_timeout=settings.REDIS_TIMEOUT
        )
    return _client


def _stamp(raw: bytes | None) -> int | None:
    if raw is None:
        return None
    # Somebody else's Celery task carries no stamp: as the oldest, it says only that ours are behind it.
    return int(json.loads(raw)["headers"].get("stamp") or 0)
