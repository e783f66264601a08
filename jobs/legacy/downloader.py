"""The doors of the older downloader (seed 000) that are not about downloads: statistics and health."""

from __future__ import annotations

from typing import Any

from django.db.models.functions import Now
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import health
from jobs.api.openapi import door
from jobs.legacy.shown import HealthShown, QueueStatsShown, WorkerStatsShown
from jobs.legacy.words import TAG, timestamp, totals
from jobs.models import Job, Node, State


class QueueStats(APIView):
    """How many jobs are in which of its states."""

    @door("How many downloads and jobs are in which state", name="queue_stats", tag=TAG, gives={200: QueueStatsShown})
    def get(self, request: Request) -> Response:  # noqa: ARG002
        return Response({"queue_stats": totals(), "timestamp": timestamp()})


class WorkerStats(APIView):
    """Which workers are alive, and what they are doing."""

    @door("Which workers are alive", name="worker_stats", tag=TAG, gives={200: WorkerStatsShown})
    def get(self, request: Request) -> Response:  # noqa: ARG002
        alive = Node.objects.filter(expires_at__gt=Now()).order_by("name")
        running: dict[Any, int] = {}
        for node_id in Job.objects.filter(state=State.RUNNING).values_list("node_id", flat=True):
            running[node_id] = running.get(node_id, 0) + 1
        workers = [
            {
                "id": str(node.id),
                "name": node.name,
                "status": "draining" if node.draining else "busy" if node.id in running else "idle",
                "active_jobs": running.get(node.id, 0),
                "slots": node.slots,
                "queues": node.queues,
                "memory_bytes": node.memory_bytes,
                "started_at": node.started_at,
                "last_seen": node.seen_at,
            }
            for node in alive
        ]
        active = sum(1 for worker in workers if worker["status"] == "busy")
        return Response({"workers": workers, "total": len(workers), "active": active, "timestamp": timestamp()})


class Health(APIView):
    """Whether all that is needed is up: 200, or 503. Open to probes: it names no host and no user."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @door("Whether all that is needed is up", name="health", tag=TAG, gives={200: HealthShown, 503: HealthShown})
    def get(self, request: Request) -> Response:  # noqa: ARG002
        found = health.check()
        body = health.report(found) | {"timestamp": timestamp()}
        return Response(body, status=200 if all(one.ok for one in found.values()) else 503)
