"""A whole shop, by three levels of jobs, on real workers: each product once, by the rules, at the pace."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import redis
from django.conf import settings as project_settings
from django.core.management import call_command
from django.db import connection

from jobs import lifecycle
from jobs.models import FINISHED, Attempt, Job, Lock, Reason, State
from tests.jobs.fleet import Fleet, node_of
from tests.origins import Exchange, Origin
from tests.origins.shop import BUSY, CRAWL_DELAY, EMPTY, FAILING, GONE, SELECTORS, Shop
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_django.fixtures import Settings

logger = logging.getLogger(__name__)
pytestmark = pytest.mark.timeout(600)

LOCK_TTL = 30.0
ENVIRONMENT = {
    "LEASE_SECONDS": "3",
    "HEARTBEAT_SECONDS": "0.3",
    "DISPATCHER_LEASE_SECONDS": "2",
    "JOB_MANAGER_LOCK_TTL": str(int(LOCK_TTL * 1000)),
    "OUTBOUND_ALLOWED_NETWORKS": "127.0.0.0/8",
}
IO_WORKER = ("-Pthreads", "-c16", "-Qcritical.io,high.io,medium.io,low.io")


@pytest.fixture
def start(
    transactional_db: None, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Fleet]]:
    """Starts a dispatcher and workers for waiting jobs; gives the fleet when they are ready."""
    settings.OUTBOUND_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    redis.Redis.from_url(project_settings.REDIS_URL).flushdb()
    database = urlsplit(project_settings.POSTGRES_URL)._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    environment = {**os.environ, **ENVIRONMENT, "POSTGRES_URL": database, "REDIS_URL": project_settings.REDIS_URL}
    fleets: list[Fleet] = []

    def start(*workers: str, delay: float) -> Fleet:
        own = {**environment, "SCRAPER_REQUEST_DELAY": str(delay * 1000)}
        fleets.append(Fleet(tmp_path_factory.mktemp("fleet"), own))
        fleets[0].dispatcher("dispatcher")
        for name in workers:
            fleets[0].worker(name, *IO_WORKER)
        fleets[0].until_ready("dispatcher", *workers)
        return fleets[0]

    yield start
    for fleet in fleets:
        fleet.__exit__()
    call_command("flush", verbosity=0, interactive=False)


def until_all_have_ended(meanwhile: Callable[[], Any] = lambda: None) -> None:
    """Wait while jobs end; a fleet in which none does for long is stuck."""
    ended = before = 0

    def one_more_has() -> bool:
        nonlocal ended
        meanwhile()
        ended = Job.objects.filter(state__in=FINISHED).count()
        return ended > before

    while Job.objects.exclude(state__in=FINISHED).exists():
        before = ended
        eventually(one_more_has)


def result(job: Job) -> dict[str, Any]:
    assert job.result is not None
    return dict(job.result)


def check(shop: Shop) -> None:
    """The scrape of a shop is as it must be."""
    navigation = Job.objects.get(kind="scrape_navigation")
    assert (navigation.state, result(navigation)["errors"]) == (State.COMPLETED, [])
    categories = Job.objects.filter(kind="scrape_category")
    assert result(navigation)["children"] == shop.categories + 1 == categories.count()

    # The rules: what robots.txt forbids was never asked for, and is reported.
    assert not shop.requests("/private/")
    (forbidden,) = categories.filter(state=State.FAILED)
    assert forbidden.error == f"{shop.main.url('/private/basket')}: the site's robots.txt does not allow it."
    assert shop.requests("/robots.txt").total() == 2  # once for each host, whoever asked

    # The categories: all pages of each, and a page that is broken reported.
    faulty = [found["errors"] for found in map(result, categories.filter(state=State.COMPLETED)) if found["errors"]]
    assert len(faulty) == 1
    assert "The server answered 404" in faulty[0][0]

    # The products: a job for each, however often it is linked; each as it is; each broken one told of.
    jobs = {job.payload["target_url"]: job for job in Job.objects.filter(kind="scrape_product")}
    assert sorted(jobs) == sorted(shop.product_url(number) for number in range(shop.products))
    for number in range(shop.products):
        job = jobs[shop.product_url(number)]
        match shop.broken.get(number, BUSY):
            case "busy":
                assert result(job)["items"] == [{**shop.item(number), "url": shop.product_url(number)}], number
                assert result(job)["success"]
            case "gone":
                assert (job.reason, "answered 410" in job.error) == (Reason.GAVE_UP, True)
            case "failing":
                assert (job.reason, "answered 500" in job.error) == (Reason.EXHAUSTED, True)
            case "empty":
                assert (job.reason, "No product was found" in job.error) == (Reason.GAVE_UP, True)

    # The visits: one for each, but where one was not enough; never closer together than the pace.
    visits = Counter(
        int(target.partition("id=")[2].partition("&")[0]) for target in shop.requests("/product").elements()
    )
    for number in range(shop.products):
        tries = {FAILING: 1 + project_settings.MAX_RETRIES, BUSY: 2}
        assert visits[number] == tries.get(shop.broken.get(number, ""), 1), number
    assert shop.ahead_of_pace(CRAWL_DELAY) < 1.0  # what a busy machine may hold a request up on its way


def scrape(shop: Shop, fleet: Fleet) -> None:
    hosts = [f"127.0.0.1:{shop.slow.port}"]
    options = {"follow": True, "selectors": SELECTORS, "hosts": hosts}
    began = time.monotonic()
    lifecycle.submit("scrape_navigation", {"target_url": shop.url, "options": options}, priority="high")
    until_all_have_ended()
    requests = sum(len(seen) for seen in shop.seen.values())
    logger.info(
        "%d requests in %.1f s, at most %.2f s ahead of their pace; %d jobs in %d attempts",
        requests,
        time.monotonic() - began,
        shop.ahead_of_pace(CRAWL_DELAY),
        Job.objects.count(),
        Attempt.objects.count(),
    )


def test_a_shop_is_scraped_in_three_levels(start: Callable[..., Fleet]) -> None:
    broken = {3: GONE, 7: FAILING, 11: EMPTY, 16: BUSY}
    with Shop(categories=4, products=40, broken=broken).open() as shop:
        scrape(shop, start("one", "two", delay=CRAWL_DELAY))
        check(shop)


@pytest.mark.slow
def test_a_shop_of_twenty_categories_and_four_hundred_products_is_scraped_in_three_levels(
    start: Callable[..., Fleet],
) -> None:
    broken = {13: GONE, 44: GONE, 77: FAILING, 111: EMPTY, 222: EMPTY, 250: BUSY, 301: BUSY, 395: BUSY}
    with Shop(categories=20, products=400, broken=broken, slowness=1.0).open() as shop:
        scrape(shop, start("one", "two", delay=CRAWL_DELAY))
        check(shop)


class OneAtATime(Origin):
    """A page whose server counts who is there at once, and notes when each came."""

    def __init__(self) -> None:
        super().__init__(self._count_visitor)
        self.most_at_once = self._at_once = 0
        self.visits: list[float] = []
        self._count = threading.Lock()

    def _count_visitor(self, exchange: Exchange) -> None:
        if exchange.target == "/robots.txt":
            exchange.head(404, Content_Length=0)
            return
        with self._count:
            self.visits.append(time.monotonic())
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        exchange.stopping.wait(0.2)
        with self._count:
            self._at_once -= 1
        page = b"<h1>Dune</h1><b>7.50</b>"
        exchange.head(200, Content_Type="text/html", Content_Length=len(page))
        exchange.raw(page)


@pytest.mark.slow
def test_fifty_jobs_on_one_page_are_never_there_at_once_though_workers_are_killed(start: Callable[..., Fleet]) -> None:
    workers = ("one", "two", "three")
    dice = random.Random(1)
    with OneAtATime() as origin:
        fleet = start(*workers, delay=0)
        payload = {"target_url": origin.url("/dune"), "options": {"selectors": {"name": "h1", "price": "b"}}}
        for _ in range(50):
            lifecycle.submit("scrape_product", payload)
        kills = 0
        killed_at = time.monotonic()

        def kill_now_and_then() -> None:
            """The worker of the job that holds the page, most often; it is started again."""
            nonlocal kills, killed_at
            if kills < 8 and origin.visits and time.monotonic() - killed_at > 3 + dice.random():
                holder = Job.objects.filter(state=State.RUNNING, id__in=Lock.objects.values("job_id")).first()
                victim = node_of(holder) if holder else dice.choice(workers)
                fleet.kill(victim)
                fleet.worker(victim, *IO_WORKER)
                kills, killed_at = kills + 1, time.monotonic()

        until_all_have_ended(kill_now_and_then)

    jobs = Job.objects.all()
    assert {(job.state, result(job)["success"]) for job in jobs} == {(State.COMPLETED, True)}
    assert origin.most_at_once == 1
    pauses = [after - before for before, after in pairwise(origin.visits)]
    assert kills >= 3
    assert max(pauses) < LOCK_TTL
    logger.info(
        "%d jobs, %d visits, %d kills, %d losses; the page stood idle for %.1f s at most, %.1f s in all",
        len(jobs), len(origin.visits), kills, sum(job.losses for job in jobs), max(pauses),
        origin.visits[-1] - origin.visits[0],
    )  # fmt: skip
