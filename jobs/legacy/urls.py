from __future__ import annotations

from django.urls import path

from jobs.legacy import downloader, reliable_queue, scheduler, scraper, task_queue

urlpatterns = [
    # 000
    path("health", downloader.Health.as_view()),
    path("queue/stats", downloader.QueueStats.as_view()),
    path("workers/stats", downloader.WorkerStats.as_view()),
    # 001
    path("jobs", scheduler.JobMessages.as_view()),
    path("health/queue", scheduler.PartHealth.as_view(part="queue")),
    path("health/workers", scheduler.PartHealth.as_view(part="workers")),
    path("health/redis", scheduler.PartHealth.as_view(part="redis")),
    # 002
    path("api/v1/tasks", task_queue.Tasks.as_view()),
    path("api/v1/tasks/<uuid:pk>", task_queue.TaskStatus.as_view()),
    path("api/v1/stats", task_queue.Stats.as_view()),
    # 003
    path("task", reliable_queue.Producer.as_view()),
    path("monitor", reliable_queue.Monitor.as_view()),
    # 004
    path("api/queue/jobs", scraper.Jobs.as_view()),
    path("api/queue/stats", scraper.Stats.as_view()),
    path("api/queue/dead-letter", scraper.DeadLetters.as_view()),
    path("api/queue/dead-letter/requeue", scraper.Requeue.as_view()),
]
