"""A job can be followed from submission to end, in logs and in traces, and no secret is written on the way."""

from __future__ import annotations

import gzip
import io
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.db import connection
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from pytest_django.fixtures import Settings

from jobs import endings, lifecycle, tracing, trail
from jobs.models import Job
from project import logs
from tests.jobs.fleet import Fleet, until
from tests.waiting import eventually


@pytest.fixture
def said() -> io.StringIO:
    """What a process without a terminal would have written."""
    # Into memory, not to a stream that pytest swaps between a test's setup and its call.
    return io.StringIO()


@pytest.fixture
def written(said: io.StringIO) -> Iterator[logging.Logger]:
    formatter = logs.configuration("INFO", "json")["formatters"]["ours"]
    handler = logging.StreamHandler(said)
    handler.setFormatter(formatter.pop("()")(**formatter))
    logger = logging.getLogger("test.trail")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield logger
    logger.removeHandler(handler)


def lines(said: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in said.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_time_level_and_logger(written: logging.Logger, said: io.StringIO) -> None:
    written.warning("Redis is away: %s", "timed out\nsecond line")
    (line,) = lines(said)
    assert line["event"] == "Redis is away: timed out\nsecond line"
    assert (line["level"], line["logger"]) == ("warning", "test.trail")
    assert str(line["timestamp"]).endswith("Z")


def test_within_a_job_every_line_names_it_and_the_request_that_submitted_it(
    written: logging.Logger, said: io.StringIO
) -> None:
    job = Job(kind="echo", attempt=2, request_id="abc")
    with trail.of(job):
        written.info("from a library, deep down")
    written.info("afterwards")
    within, after = lines(said)
    assert (within["job_id"], within["kind"], within["attempt"]) == (str(job.id), "echo", 2)
    assert within["request_id"] == "abc"
    assert "job_id" not in after


@pytest.mark.parametrize(
    "words",
    [
        "cannot reach redis://:hunter2hunter2@host:6379/0",
        "postgres://user:hunter2hunter2@host/db is away",
        "sent Authorization: Bearer hunter2hunter2",
        "signed with whsec_hunter2hunter2",
    ],
)
def test_what_looks_like_a_secret_is_not_written(words: str, written: logging.Logger, said: io.StringIO) -> None:
    try:
        int(words)
    except ValueError:
        written.exception("failed: %s", words, extra={"password": "hunter2hunter2"})
    assert "failed: " in said.getvalue()
    assert "hunter2" not in said.getvalue()


def test_at_a_terminal_people_read_words() -> None:
    formatter = logs.configuration("INFO", "console")["formatters"]["ours"]
    record = logging.LogRecord("haulway", logging.INFO, "", 0, "all is %s", ("well",), None)
    said = formatter.pop("()")(**formatter).format(record)
    assert "all is well" in said
    assert not said.startswith("{")


@pytest.mark.django_db
def test_submission_dispatch_and_end_leave_a_line_each_with_the_jobs_id(caplog: pytest.LogCaptureFixture) -> None:
    token = trail.request_id.set("request-1")
    job = lifecycle.submit("echo", {})
    trail.request_id.reset(token)
    trail.sent("medium", [job.id])
    (claimed,) = lifecycle.claim([job.id], node=uuid.uuid4(), lease=uuid.uuid4(), kinds=["echo"])
    assert claimed.request_id == "request-1", "it has come to the worker"
    ending = endings.failed(claimed, "ValueError: no")
    ending.seconds = 0.01
    lifecycle.record([ending])
    told = [record for record in caplog.records if record.name == "haulway.jobs"]
    assert [record.msg for record in told] == ["submitted", "sent", "ended"]
    assert [getattr(record, "job_id", str(job.id)) for record in told] == [str(job.id)] * 3


@pytest.mark.django_db
def test_short_jobs_that_go_well_cost_no_lines_unless_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    job = lifecycle.submit("echo", {})
    (claimed,) = lifecycle.claim([job.id], node=uuid.uuid4(), lease=uuid.uuid4(), kinds=["echo"])
    ending = endings.completed(claimed, {})
    ending.seconds = 0.001
    with caplog.at_level(logging.INFO):
        trail.sent("medium", [job.id, job.id])
        lifecycle.record([ending])
    assert [record.msg for record in caplog.records if record.name == "haulway.jobs"] == ["submitted"]
    with caplog.at_level(logging.DEBUG):
        trail.ended([ending])
        trail.sent("medium", [job.id, job.id])
    assert [record.msg for record in caplog.records if record.name == "haulway.jobs"][1:] == ["ended", "sent"]


class Collector(ThreadingHTTPServer):
    """A receiver of traces, as OpenTelemetry's own: OTLP over HTTP, protobuf."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receiving)
        self.spans: list[Span] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Receiving(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        found = ExportTraceServiceRequest.FromString(body)
        self.server.spans += [
            span for resource in found.resource_spans for scope in resource.scope_spans for span in scope.spans
        ]
        assert self.path == "/v1/traces"
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def attributes(span: Span) -> dict[str, object]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


@pytest.mark.django_db(transaction=True)
def test_a_job_is_one_trace_from_its_submission_to_its_last_attempt(
    collector: Collector, settings: Settings, tmp_path: Path
) -> None:
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = collector.url
    tracing._provider.cache_clear()
    job = lifecycle.submit("echo", {"fail_times": 1}, max_retries=1)
    tracing.flush()
    found = connection.settings_dict
    environment = os.environ | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "POSTGRES_URL": f"postgres://{found['USER']}:{found['PASSWORD']}@{found['HOST']}:{found['PORT']}/{found['NAME']}",
    }
    with Fleet(tmp_path, environment) as fleet:
        fleet.worker("traced")
        fleet.dispatcher("traced-dispatcher")
        until(job, "failed", "completed")
        eventually(lambda: len([span for span in collector.spans if span.name == "run echo"]) == 2)
    submitted = next(span for span in collector.spans if span.name == "submit echo")
    runs = sorted(
        (span for span in collector.spans if span.name == "run echo"), key=lambda one: one.start_time_unix_nano
    )
    assert {span.trace_id for span in (submitted, *runs)} == {submitted.trace_id}
    assert {span.parent_span_id for span in runs} == {submitted.span_id}
    assert [attributes(span)["haulway.attempt"] for span in runs] == [1, 2]
    assert {attributes(span)["haulway.job_id"] for span in runs} == {str(job.id)}


@pytest.mark.django_db
def test_where_nobody_traces_nothing_of_it_is_in_the_row(settings: Settings) -> None:
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = ""
    assert lifecycle.submit("echo", {}).traceparent == ""


@pytest.mark.django_db
def test_a_collector_that_is_away_holds_up_nobody(settings: Settings) -> None:
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:1"
    tracing._provider.cache_clear()
    began = time.monotonic()
    job = lifecycle.submit("echo", {})
    assert job.traceparent
    assert time.monotonic() - began < 30, "it is sent by a thread of its own"
