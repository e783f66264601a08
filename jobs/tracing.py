"""OpenTelemetry: one trace of a job, from its submission over its waits to the end of its last attempt.

Off until OTEL_EXPORTER_OTLP_ENDPOINT names a collector; until then nothing of it is even imported. The row carries
the trace from the submitter to whoever runs the job, days and restarts later.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

    from jobs.endings import Ending
    from jobs.models import Job


def enabled() -> bool:
    return bool(settings.OTEL_EXPORTER_OTLP_ENDPOINT)


# Of the submission that is being written; empty where nobody traces.
traceparent: ContextVar[str] = ContextVar("traceparent", default="")


@contextmanager
def submission(what: str) -> Iterator[None]:
    """Around the writing of jobs: their rows take the trace along."""
    if not enabled():
        yield
        return
    from opentelemetry.trace import SpanKind  # noqa: PLC0415 - only where somebody traces

    with _tracer().start_as_current_span(f"submit {what}", kind=SpanKind.PRODUCER) as span:
        token = traceparent.set(_traceparent(span))
        try:
            yield
        finally:
            traceparent.reset(token)


def ended(ending: Ending) -> None:
    """An attempt has just ended, and its end was accepted."""
    if not enabled():
        return
    from opentelemetry.trace import SpanKind, Status, StatusCode  # noqa: PLC0415

    job, now = ending.job, time.time()
    span = _tracer().start_span(
        f"run {job.kind}",
        context=_context(job.traceparent),
        kind=SpanKind.CONSUMER,
        start_time=int((now - (ending.seconds or 0.0)) * 1e9),
        attributes=_attributes(job) | {"haulway.outcome": str(ending.outcome), "haulway.state": str(ending.state)},
    )
    if ending.error:
        span.set_status(Status(StatusCode.ERROR, ending.error))
    span.end(end_time=int(now * 1e9))


def flush() -> None:
    """Before the process ends: what was collected is sent, for at most two seconds."""
    if enabled():
        _provider(os.getpid()).force_flush(2000)


def _attributes(job: Job) -> dict[str, Any]:
    return {"haulway.job_id": str(job.id), "haulway.kind": job.kind, "haulway.attempt": job.attempt}


def _tracer() -> Tracer:
    return _provider(os.getpid()).get_tracer("haulway")


@cache
def _provider(pid: int) -> TracerProvider:  # noqa: ARG001 - a forked process has a sender of its own
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    resource = Resource.create({"service.name": settings.APPLICATION_NAME, "service.version": settings.RELEASE})
    provider = TracerProvider(resource=resource)
    endpoint = settings.OTEL_EXPORTER_OTLP_ENDPOINT.rstrip("/") + "/v1/traces"
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
    return provider


def _context(parent: str) -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    return TraceContextTextMapPropagator().extract({"traceparent": parent}) if parent else None


def _traceparent(span: Span) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
