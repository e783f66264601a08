from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone as django_timezone
from hypothesis import given
from hypothesis import strategies as st

from jobs import lifecycle
from jobs.models import Job, Priority
from jobs.submission import InvalidSubmission, checked
from tests.jobs.states import as_stored

if TYPE_CHECKING:
    from tests.jobs.conftest import AddKind


def _nested(depth: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return {"a": value}


def _endless() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["again"] = value
    return value


def _faults(kind: Any = "echo", payload: Any = None, **options: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidSubmission) as caught:
        checked(kind, payload, **options)
    return [(fault.pointer, fault.detail) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"a": "nul \x00"}, "must not contain NUL characters"),
        ({"nul \x00": 1}, "must not contain NUL characters"),
        ({"a": "\\\x00"}, "must not contain NUL characters"),
        ({"a": "half a pair \ud800"}, "surrogates not allowed"),
        ({"a": float("nan")}, "not JSON compliant"),
        ({"a": float("inf")}, "not JSON compliant"),
        ({"a": 10**5000}, "must be plain JSON"),
        ({"a": {1, 2}}, "not JSON serializable"),
        ({"a": b"bytes"}, "not JSON serializable"),
        ({("a", "b"): 1}, "must be plain JSON"),
        (_nested(64), "nested deeper than 64 levels"),
        (_nested(100_000), "nested deeper than 64 levels"),
        (_endless(), "nested deeper than 64 levels"),
        ({"a": "x" * 262_144}, "at most 262144 are taken"),
        ({"a": "é" * 131_072}, "at most 262144 are taken"),
        ([], "must be an object"),
        (["a"], "must be an object"),
        ("text", "must be an object"),
        (0, "must be an object"),
        (False, "must be an object"),
    ],
)
@pytest.mark.parametrize("place", ["payload", "metadata"])
def test_what_cannot_be_stored_is_refused_with_its_place(place: str, payload: Any, words: str) -> None:
    ((pointer, detail),) = _faults(**{place: payload})

    assert pointer == f"/{place}"
    assert words in detail


@pytest.mark.django_db
@pytest.mark.parametrize(
    "payload",
    [
        {},
        _nested(62),
        {"a": "x" * 262_000},
        {"a": 10**4000, "b": -1.5, "c": 5e-324},
        {"the text": "\\u0000 and \\\\u0000 are six and seven characters, no NUL"},
        {"": "", "~/": "\u2028\x7f\U0010ffff"},
    ],
)
def test_what_can_be_stored_comes_back_unchanged(payload: dict[str, Any]) -> None:
    assert as_stored(lifecycle.submit("echo", payload, metadata=payload)).payload == payload


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e15, 1e15) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.django_db
@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_any_json_is_either_refused_at_the_door_or_stored(notes: dict[str, Any]) -> None:
    before = Job.objects.count()
    try:
        job = lifecycle.submit("echo", metadata=notes)
    except InvalidSubmission:
        assert Job.objects.count() == before
    else:
        assert as_stored(job).metadata == notes


def test_an_unknown_kind_is_refused_and_the_known_ones_are_named() -> None:
    ((pointer, detail),) = _faults("ecko")

    assert pointer == "/kind"
    assert "'ecko'" in detail
    assert "echo" in detail


@pytest.mark.parametrize("kind", [None, 5, ["echo"], {}, "", "echo\x00", "ECHO"])
def test_a_kind_must_be_the_name_of_one(kind: Any) -> None:
    assert [pointer for pointer, _ in _faults(kind)] == ["/kind"]


@pytest.mark.parametrize("priority", ["urgent", "LOW", "", 4, -1, 1.0, True, [], "2"])
def test_a_priority_is_a_name_or_a_number_from_0_to_3(priority: Any) -> None:
    assert _faults(priority=priority) == [("/priority", "must be low, medium, high or critical, or 0 to 3")]


@pytest.mark.parametrize(
    ("priority", "means"),
    [(None, 1), ("low", 0), ("critical", 3), (0, 0), (2, 2), (Priority.HIGH, 2)],
)
def test_a_priority_may_be_said_in_several_ways(priority: Any, means: int) -> None:
    assert checked("echo", priority=priority).priority == means


@pytest.mark.parametrize("retries", [-1, 1001, 2.5, "3", True, [], 10**30, float("nan")])
def test_retries_are_a_whole_number_within_reason(retries: Any) -> None:
    assert _faults(max_retries=retries) == [("/max_retries", "must be a whole number from 0 to 1000")]


@pytest.mark.parametrize("timeout", [0, -1, 2_592_001, float("nan"), float("inf"), "5", True, [], 10**400])
def test_a_timeout_is_a_number_of_seconds_within_reason(timeout: Any) -> None:
    assert [pointer for pointer, _ in _faults(timeout=timeout)] == ["/timeout"]


@pytest.mark.parametrize(
    "run_at",
    [
        datetime(2030, 1, 1),  # noqa: DTZ001 - that it has no zone is the fault
        django_timezone.now() + timedelta(days=365 * 11),
        datetime.max.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
        "2030-01-01T00:00:00Z",
        1893456000,
        True,
    ],
)
def test_run_at_is_a_time_with_its_zone_within_ten_years(run_at: Any) -> None:
    assert [pointer for pointer, _ in _faults(run_at=run_at)] == ["/run_at"]


@pytest.mark.django_db
@pytest.mark.parametrize("many", [False, True])
def test_a_time_long_past_means_now(many: bool) -> None:
    """Before the year 1 in UTC there are times that Postgres stores and Python cannot read."""
    long_past = datetime.min.replace(tzinfo=timezone(timedelta(hours=12)))

    if many:
        lifecycle.submit_many([checked("echo", run_at=long_past)])
        lifecycle.promote()
    else:
        lifecycle.submit("echo", run_at=long_past)

    job = Job.objects.get()
    assert job.state == "queued"
    assert job.run_at <= job.created_at


def test_a_payload_that_does_not_fit_its_kind_is_refused_with_the_field_named(add_kind: AddKind) -> None:
    add_kind("numbered")

    assert _faults("numbered", {"n": "many"}) == [
        ("/payload/n", "Input should be a valid integer, unable to parse string as an integer")
    ]


def test_all_faults_are_named_at_once() -> None:
    faults = _faults("echo", {"sleep": "long"}, metadata=[], priority=9, max_retries=-1, timeout=0, run_at=5)

    assert [pointer for pointer, _ in faults] == [
        "/payload/sleep",
        "/metadata",
        "/run_at",
        "/max_retries",
        "/timeout",
        "/priority",
    ]


def test_what_is_not_said_comes_from_the_kind_and_then_from_the_settings(add_kind: AddKind, settings: Any) -> None:
    settings.MAX_RETRIES = 9
    add_kind("plain")
    add_kind("firm", max_retries=0, timeout=12.5)

    assert (checked("plain").max_retries, checked("plain").timeout) == (9, None)
    assert (checked("firm").max_retries, checked("firm").timeout) == (0, 12.5)
    assert (checked("firm", max_retries=2, timeout=1).max_retries, checked("firm", timeout=1).timeout) == (2, 1)


@pytest.mark.parametrize("switch", [{"crash": True}, {"hang": True}, {"ledger": "/a/file"}])
def test_switches_that_hurt_are_refused_where_diagnostics_are_off(switch: dict[str, Any], settings: Any) -> None:
    settings.ALLOW_DIAGNOSTICS = False

    ((pointer, detail),) = _faults("echo", switch)
    assert pointer == "/payload"
    assert "ALLOW_DIAGNOSTICS=1" in detail


@pytest.mark.django_db
def test_a_refused_submission_writes_nothing() -> None:
    with pytest.raises(InvalidSubmission, match="/priority: must be low"):
        lifecycle.submit("echo", priority="urgent")

    assert Job.objects.count() == 0
