"""Limits and pauses over real workers and dispatchers, killed meanwhile; what ran when is told by the handlers."""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from jobs import kinds, lifecycle, limits, pauses
from jobs.explain import explain
from jobs.limits import Limits
from jobs.models import Attempt, Job, Outcome, State
from jobs.submission import checked
from tests.jobs.fleet import ENVIRONMENT, Fleet, fleet_at_the_tests_database, until
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

pytestmark = pytest.mark.timeout(300)

APPS = "tests.jobs.stranger"


@pytest.fixture(scope="module")
def processes(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    with fleet_at_the_tests_database(tmp_path_factory.mktemp("fleet"), django_db_blocker) as fleet:
        yield fleet


@pytest.fixture
def fleet(processes: Fleet, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """Two workers and a dispatcher, and their kinds known here too."""
    monkeypatch.setattr(kinds, "_registry", dict(kinds._registry))
    from tests.jobs.stranger import handlers  # noqa: PLC0415

    kinds.handler("sampled")(handlers.sampled)
    _start(processes)
    return processes


def _start(fleet: Fleet) -> None:
    fleet.dispatcher("first")
    for name in ("one", "two"):
        fleet.worker(name, apps=APPS)
    fleet.until_ready("first", "one", "two")


def _submit(ledger: Path, count: int, key: str = "", seconds: float = 0.0, **options: Any) -> list[UUID]:
    payload = {"ledger": str(ledger), "key": key, "seconds": seconds}
    return lifecycle.submit_many([checked("sampled", payload, limit_key=key, **options)] * count)


def _all_completed(ids: list[UUID]) -> bool:
    return not Job.objects.filter(id__in=ids).exclude(state=State.COMPLETED).exists()


def _lines(ledger: Path) -> list[tuple[str, int, float, str]]:
    parts = [line.split(" ") for line in ledger.read_text().splitlines()] if ledger.exists() else []
    return [(key, int(pid), float(at), what) for key, pid, at, what in parts]


def _most_at_once(ledger: Path, killed: dict[int, float]) -> Counter[str]:
    """Per key, how many ran at the same time; a run whose process was killed ended then."""
    began: dict[tuple[str, int], float] = {}
    changes: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for key, pid, at, what in sorted(_lines(ledger), key=lambda line: line[2]):
        if what == "began":
            began[key, pid] = at
        else:
            changes[key] += [(began.pop((key, pid)), 1), (at, -1)]
    for (key, pid), at in began.items():
        changes[key] += [(at, 1), (killed[pid], -1)]
    most = Counter[str]()
    for key, found in changes.items():
        running = 0
        for _, change in sorted(found):
            running += change
            most[key] = max(most[key], running)
    return most


def _under_kills(fleet: Fleet, ledger: Path, each: int) -> tuple[Counter[str], list[float]]:
    """Per key, how many ran at the same time; and the seconds until each place of a killed worker was free again."""
    limits.set("key", "customer:*", Limits(concurrency=3), by="ann")
    ids = [one for n in range(10) for one in _submit(ledger, each, f"customer:{n}", 0.05, max_retries=0)]
    killed: dict[int, float] = {}
    killed_at: dict[str, datetime] = {}
    for name, part in (("one", 0.2), ("two", 0.5)):
        eventually(lambda part=part: len(_lines(ledger)) > part * 2 * len(ids))  # type: ignore[misc]
        pids = [process.pid for process in fleet.pool_of(name)]
        fleet.kill(name)
        killed |= dict.fromkeys(pids, time.time())
        killed_at[name] = timezone.now()
        fleet.worker(name, apps=APPS)
    eventually(lambda: _all_completed(ids))
    limits.clear("key", "customer:*")
    lost = Attempt.objects.filter(job_id__in=ids, outcome=Outcome.LOST)
    back = [(attempt.finished_at - killed_at[attempt.node]).total_seconds() for attempt in lost]
    return _most_at_once(ledger, killed), back


def test_no_key_has_more_at_once_than_its_limit_while_workers_are_killed(fleet: Fleet, tmp_path: Path) -> None:
    most, _ = _under_kills(fleet, tmp_path / "ledger", each=8)
    assert set(most) == {f"customer:{n}" for n in range(10)}
    assert max(most.values()) <= 3


@pytest.mark.slow
def test_five_hundred_jobs_over_ten_keys_keep_their_limit_while_workers_are_killed(
    fleet: Fleet, tmp_path: Path, capsys: Any
) -> None:
    """Prints how soon the places of the killed workers were free again."""
    for name in ("three", "four"):
        fleet.worker(name, "-Pprefork", "-c8", apps=APPS)
    most, back = _under_kills(fleet, tmp_path / "ledger", each=50)
    assert max(most.values()) == 3
    assert back
    with capsys.disabled():
        sys.stdout.write(
            f"\nnever more than 3 at once; {len(back)} places of killed workers were free again after "
            f"{min(back):.1f} to {max(back):.1f} s, with a lease of {ENVIRONMENT['LEASE_SECONDS']} s\n"
        )
    for name in ("three", "four"):
        fleet.kill(name)


def _starts_in_a_window(ledger: Path, seconds: float) -> int:
    starts = sorted(at for _, _, at, what in _lines(ledger) if what == "began")
    return max(sum(first <= at < first + seconds for at in starts) for first in starts)


def _at_a_rate(ledger: Path, count: int, rate: int, per: float) -> int:
    limits.set("key", "bank", Limits(rate=rate, per=per), by="ann")
    ids = _submit(ledger, count, "bank")
    eventually(lambda: _all_completed(ids))
    limits.clear("key", "bank")
    return _starts_in_a_window(ledger, per)


@pytest.mark.usefixtures("fleet")
def test_no_window_has_more_starts_than_the_rate_over_two_workers(tmp_path: Path) -> None:
    assert _at_a_rate(tmp_path / "ledger", 75, rate=30, per=2.0) <= 30


@pytest.mark.slow
@pytest.mark.usefixtures("fleet")
def test_a_hundred_in_ten_seconds_are_never_more_over_two_workers(tmp_path: Path) -> None:
    assert 90 <= _at_a_rate(tmp_path / "ledger", 350, rate=100, per=10.0) <= 100


def test_a_paused_queue_starts_nothing_over_a_restart_of_everything(fleet: Fleet, tmp_path: Path) -> None:
    ids = _submit(tmp_path / "ledger", 400, seconds=0.02)
    eventually(lambda: len(_lines(tmp_path / "ledger")) > 50)

    gate = pauses.pause("queue", "medium", by="ann", reason="trouble")
    eventually(lambda: not Job.objects.filter(id__in=ids, state=State.RUNNING).exists())
    done = Job.objects.filter(id__in=ids, state=State.COMPLETED).count()
    assert 0 < done < 400

    for name in ("first", "one", "two"):
        fleet.kill(name)
    _start(fleet)
    until(lifecycle.submit("echo", priority="low"), State.COMPLETED)  # others are served, and the queue is not
    assert Job.objects.filter(id__in=ids, state=State.COMPLETED).count() == done
    assert gate.paused_at is not None
    late = Job.objects.filter(id__in=ids, started_at__gt=gate.paused_at + timedelta(seconds=1))
    assert not late.exists()

    assert pauses.resume("queue", "medium")
    eventually(lambda: _all_completed(ids))


@pytest.mark.slow
@pytest.mark.usefixtures("fleet")
def test_the_forecast_of_a_start_is_true_at_steady_load(tmp_path: Path, capsys: Any) -> None:
    """Prints how far it was off."""
    for seconds, count in ((0.02, 1000), (0.3, 120)):
        ledger = tmp_path / f"ledger {seconds}".replace(" ", "-")
        before = _submit(tmp_path / "before", count // 3, seconds=seconds)  # until all know how long they take
        eventually(lambda before=before: _all_completed(before))  # type: ignore[misc]
        ids = _submit(ledger, count, seconds=seconds)
        eventually(lambda ledger=ledger, count=count: len(_lines(ledger)) > count // 2)  # type: ignore[misc]
        job = Job.objects.get(id=ids[count - count // 10])
        asked = timezone.now()
        reason = explain(job).reason
        eventually(lambda ids=ids: _all_completed(ids))  # type: ignore[misc]
        job.refresh_from_db()
        assert job.started_at is not None
        took = (job.started_at - asked).total_seconds()
        with capsys.disabled():
            sys.stdout.write(f"\njobs of {seconds} s: forecast {reason.facts['starts_in']:.1f} s, was {took:.1f} s\n")
        assert reason.facts["starts_in"] == pytest.approx(took, rel=0.3)
