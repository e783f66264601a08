"""Messages in Redis: how a hint is written, and what is kept of one that a worker has taken."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from celery import current_app

from jobs import broker

_COPIES = ("unacked", "unacked_index")


def test_a_hint_is_what_celery_itself_would_write(redis_client: redis.Redis) -> None:
    job = uuid.uuid4()
    broker.send([broker.Hint("high", [job], 7, frozenset({"echo"}))])
    options: dict[str, Any] = {"headers": {"stamp": 7}, "shadow": "echo", "argsrepr": str(job), "ignore_result": True}
    current_app.send_task(broker.TASK, args=[[str(job)]], queue="high", **options)

    ours, celerys = (_read(redis_client.rpop("high")) for _ in range(2))

    assert ours == celerys


@contextmanager
def _channel() -> Iterator[Any]:
    """Of Kombu, as a worker has one. Its types do not know what it can do."""
    with current_app.connection_for_read() as connection:
        yield connection.default_channel


def _read(raw: Any) -> dict[str, Any]:
    """A message without what names just this one, and without an address for answers, which a hint has none of."""
    message: dict[str, Any] = json.loads(raw)
    for part, names in {
        "headers": ("id", "root_id"),
        "properties": ("correlation_id", "delivery_tag", "reply_to", "argsrepr"),
    }.items():
        for name in names:
            message[part].pop(name, None)
    return message | {"body": json.loads(base64.b64decode(message["body"]))}


def test_of_a_hint_that_a_worker_has_taken_redis_keeps_nothing(redis_client: redis.Redis) -> None:
    broker.send([broker.Hint("high", [uuid.uuid4()], time.time_ns())])
    with _channel() as channel:
        message = channel.basic_get("high")
        assert message.headers["task"] == broker.TASK
        assert not redis_client.exists(*_COPIES)
        message.ack()
    assert not redis_client.exists("high", *_COPIES)


@pytest.mark.parametrize("requeued", [False, True])
def test_of_somebody_elses_task_redis_keeps_a_copy_until_it_is_done(requeued: bool, redis_client: redis.Redis) -> None:
    current_app.send_task("somebody.elses", queue="high", ignore_result=True)
    with _channel() as channel:
        message = channel.basic_get("high")
        assert redis_client.exists(*_COPIES) == len(_COPIES)
        message.requeue() if requeued else message.ack()
    assert not redis_client.exists(*_COPIES)
    assert redis_client.llen("high") == int(requeued)
