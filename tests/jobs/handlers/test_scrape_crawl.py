"""The kinds `scrape_navigation` and `scrape_category`: what they find, and the jobs that they submit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from jobs import lifecycle
from jobs.models import CrawledPage, Job, Priority, Reason, State
from tests.origins import Exchange
from tests.origins.shop import SELECTORS, Shop

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

    from tests.jobs.handlers.conftest import Runs

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_client")]


@pytest.fixture
def shop(settings: Settings) -> Iterator[Shop]:
    settings.SCRAPER_REQUEST_DELAY = 0
    with Shop(categories=4, products=80, slowness=0).open() as shop:
        yield shop


def options(shop: Shop, **more: Any) -> dict[str, Any]:
    return {"selectors": SELECTORS, "hosts": [f"127.0.0.1:{shop.slow.port}"], **more}


def scrape(run: Runs, kind: str, url: str, *, metadata: dict[str, Any] | None = None, **options: Any) -> Any:
    """Submit the job and run its first attempt. Returns the job as it is then."""
    job = lifecycle.submit(kind, {"target_url": url, "metadata": metadata or {}, "options": options})
    return run._run(job.id)


def children(kind: str) -> list[str]:
    return sorted(job.payload["target_url"] for job in Job.objects.filter(kind=kind))


def test_a_navigation_lists_the_categories_of_the_hosts_it_may_go_to(run: Runs, shop: Shop) -> None:
    job = scrape(run, "scrape_navigation", shop.url)

    assert job.state == State.COMPLETED
    assert (job.result["success"], job.result["errors"]) == (True, [])
    assert [item["name"] for item in job.result["items"]] == ["Shelf 0", "Shelf 1", "Shelf 2", "Basket"]
    assert Job.objects.count() == 1


def test_a_navigation_that_follows_submits_each_category_once_with_its_own_options(run: Runs, shop: Shop) -> None:
    job = scrape(run, "scrape_navigation", shop.url, metadata={"for": "ada"}, **options(shop, follow=True))

    assert job.result["children"] == 5
    categories = list(Job.objects.filter(kind="scrape_category"))
    assert len(categories) == 5
    for one in categories:
        assert one.payload["metadata"] == {"for": "ada", "crawl": str(job.id)}
        assert one.payload["options"] == options(shop, follow=True)
        assert (one.priority, one.rank) == (Priority.MEDIUM, 1)


def test_crawls_of_two_owners_may_have_one_name_and_their_jobs_belong_to_each(run: Runs, shop: Shop) -> None:
    for owner in (1, 2):
        payload = {"target_url": shop.url, "metadata": {"crawl": "monday"}, "options": options(shop, follow=True)}
        run._run(lifecycle.submit("scrape_navigation", payload, owner=owner).id)

    owners = Counter(Job.objects.filter(kind="scrape_category").values_list("owner_id", flat=True))
    assert owners == {1: 5, 2: 5}


def test_a_category_lists_its_products_over_all_its_pages(run: Runs, shop: Shop) -> None:
    job = scrape(run, "scrape_category", shop.category_url(0))

    assert (job.result["success"], job.result["itemsProcessed"]) == (True, 25)
    assert [item["url"] for item in job.result["items"]] == [shop.product_url(one) for one in shop.sold_in(0)]
    assert shop.requests("/category").total() == 3


def test_a_page_that_is_broken_ends_the_category_with_an_error_and_what_was_found(run: Runs, shop: Shop) -> None:
    job = scrape(run, "scrape_category", shop.category_url(1), **options(shop))

    assert job.state == State.COMPLETED
    assert (job.result["success"], job.result["itemsProcessed"]) == (False, 25)
    (error,) = job.result["errors"]
    assert error.startswith(f"{shop.category_url(1, 4)}: The server answered 404")


def test_a_category_that_is_broken_itself_is_a_dead_letter(run: Runs, shop: Shop) -> None:
    job = scrape(run, "scrape_category", shop.main.url("/nowhere"))

    assert (job.state, job.reason) == (State.FAILED, Reason.GAVE_UP)


def test_a_category_without_products_says_what_to_do(run: Runs, shop: Shop) -> None:
    job = scrape(run, "scrape_category", shop.category_url(1))

    assert (job.result["success"], job.result["itemsProcessed"]) == (False, 0)
    assert "say with the selector `product` where they are" in job.result["errors"][-1]


def test_no_more_pages_are_read_than_allowed_and_the_rest_is_reported(run: Runs, shop: Shop) -> None:
    job = scrape(run, "scrape_category", shop.category_url(0), max_pages=2)

    assert (job.result["success"], job.result["itemsProcessed"]) == (False, 20)
    assert job.result["errors"] == ["There are more than 2 pages; raise the option `max_pages`."]


def test_categories_that_sell_the_same_submit_each_product_once_in_a_crawl(run: Runs, shop: Shop) -> None:
    crawl = {"metadata": {"crawl": "monday"}, **options(shop, follow=True)}
    first = scrape(run, "scrape_category", shop.category_url(0), **crawl)
    second = scrape(run, "scrape_category", shop.category_url(1), **crawl)

    assert (first.result["children"], second.result["children"]) == (25, 20)
    wanted = sorted(shop.product_url(one) for one in {*shop.sold_in(0), *shop.sold_in(1)})
    assert children("scrape_product") == wanted
    assert CrawledPage.objects.filter(crawl="monday").count() == 2 + len(wanted)


def test_another_crawl_submits_them_again(run: Runs, shop: Shop) -> None:
    for crawl in ("monday", "tuesday"):
        scrape(run, "scrape_category", shop.category_url(0), metadata={"crawl": crawl}, **options(shop, follow=True))

    assert len(children("scrape_product")) == 50


def test_an_attempt_goes_on_at_the_page_where_another_had_to_stop(run: Runs, shop: Shop) -> None:
    serve = shop.main.answer

    def failing(exchange: Exchange) -> None:
        if "page=3" in exchange.target:
            exchange.head(502, Content_Length=0)
        else:
            serve(exchange)

    shop.main.answer = failing
    job = scrape(run, "scrape_category", shop.category_url(0), **options(shop, follow=True))
    assert (job.state, job.failures) == (State.RETRYING, 1)
    assert len(children("scrape_product")) == 20

    shop.main.answer = serve
    job = run.again(job)

    assert (job.state, job.result["itemsProcessed"], job.result["children"]) == (State.COMPLETED, 25, 25)
    assert shop.requests("/category").total() == 3


def test_an_attempt_that_has_lost_its_job_submits_nothing(run: Runs, shop: Shop) -> None:
    serve = shop.main.answer

    def robbing(exchange: Exchange) -> None:
        if exchange.target.startswith("/category"):  # while the page is on its way, the job is cancelled elsewhere
            Job.objects.filter(state=State.RUNNING).update(
                state=State.QUEUED, lease=None, ready_at=Job.objects.get().run_at
            )
        serve(exchange)

    shop.main.answer = robbing
    job = scrape(run, "scrape_category", shop.category_url(0), **options(shop, follow=True))

    assert job.state == State.QUEUED
    assert children("scrape_product") == []
    assert not CrawledPage.objects.exists()


def test_the_pages_of_a_crawl_are_forgotten_with_the_job_that_found_them(run: Runs, shop: Shop) -> None:
    job = scrape(run, "scrape_category", shop.category_url(0), **options(shop, follow=True))
    lifecycle.cancel(list(Job.objects.values_list("id", flat=True)))
    assert CrawledPage.objects.exists()

    job.delete()

    assert not CrawledPage.objects.exists()
