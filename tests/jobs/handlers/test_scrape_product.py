"""The kind `scrape_product`, and what all three scrape kinds share: visits, rules, pace and the lock on a page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db.models.functions import Now

from jobs import lifecycle, locks
from jobs.crawling import politeness
from jobs.models import Job, Outcome, Reason, State, WebHost
from tests.jobs.states import as_stored, claimed, live_node, outcomes, submitted
from tests.origins import Exchange, Origin

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

    from tests.jobs.handlers.conftest import Runs

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_client")]

DUNE = '<meta property="og:type" content="product"><meta property="og:title" content="Dune">'
PRICED = f'{DUNE}<meta property="product:price:amount" content="7.50">'


@pytest.fixture(autouse=True)
def _no_delay(settings: Settings) -> None:
    settings.SCRAPER_REQUEST_DELAY = 0


def site(pages: dict[str, str | tuple[int, dict[str, str]]], robots: str = "") -> Callable[[Exchange], None]:
    """Answers with HTML, or with a status and headers."""

    def answer(exchange: Exchange) -> None:
        page = robots if exchange.target == "/robots.txt" else pages.get(exchange.target, (404, {}))
        status, fields, body = (200, {}, page.encode()) if isinstance(page, str) else (*page, b"")
        fields = {"Content-Type": "text/html", **fields}
        exchange.head(status, **{"Content-Length": len(body), **fields})
        exchange.raw(body)

    return answer


def targets(origin: Origin) -> list[str]:
    return [exchange.target for exchange in origin.seen]


def test_a_product_is_one_structured_item(run: Runs) -> None:
    with Origin(site({"/dune": PRICED})) as origin:
        job = run("scrape_product", target_url=origin.url("/dune"), metadata={"category": "books"})

    assert job.state == State.COMPLETED
    assert job.result.pop("duration") >= 0
    assert job.result == {
        "success": True,
        "itemsProcessed": 1,
        "errors": [],
        "items": [{"name": "Dune", "price": "7.50", "url": origin.url("/dune")}],
    }
    assert origin.seen[-1].headers["user-agent"] == "Haulway"


def test_what_is_missing_is_an_error_in_the_result(run: Runs) -> None:
    with Origin(site({"/dune": DUNE})) as origin:
        job = run("scrape_product", target_url=origin.url("/dune"))

    assert (job.state, job.result["success"], job.result["itemsProcessed"]) == (State.COMPLETED, False, 1)
    assert job.result["errors"] == ["No price was found."]


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("<h1>About us</h1>", "No product was found"),
        ((404, {}), "answered 404"),
        ((200, {"Content-Type": "image/png"}), "is image/png, not a page"),
        ((302, {"Location": "/dune"}), "redirected more than 5 times"),
        ((302, {"Location": "file:///etc/passwd"}), "This URL cannot be used"),
        ("<b>" * 50_001, "has more than 50000 tags"),
        ("x" * (4 * 1024 * 1024 + 1), "is larger than 4194304 bytes"),
    ],
    ids=["no product", "gone", "no page", "circle", "not http", "too many tags", "too large"],
)
def test_a_page_that_will_never_do_is_a_dead_letter_that_names_it(run: Runs, page: Any, words: str) -> None:
    with Origin(site({"/dune": page})) as origin:
        job = run("scrape_product", target_url=origin.url("/dune"))

    assert (job.state, job.reason) == (State.FAILED, Reason.GAVE_UP)
    assert words in job.error
    assert "://" in job.error


def test_trouble_that_may_pass_is_tried_again_after_the_pause_that_the_server_asks_for(run: Runs) -> None:
    pages: dict[str, Any] = {"/dune": (503, {"Retry-After": "120"})}
    with Origin(site(pages)) as origin:
        job = run("scrape_product", target_url=origin.url("/dune"))
        assert (job.state, job.failures) == (State.RETRYING, 1)
        assert Job.objects.filter(id=job.id, run_at__gt=Now() + timedelta(seconds=100)).exists()
        pages["/dune"] = PRICED
        job = run.again(job)

    assert (job.state, job.result["success"]) == (State.COMPLETED, True)


def test_redirects_are_followed_under_the_rules_of_where_they_lead(run: Runs) -> None:
    robots = "User-agent: *\nDisallow: /private/"
    pages: dict[str, Any] = {"/a": (301, {"Location": "/b"}), "/b": PRICED, "/c": (301, {"Location": "/private/b"})}
    with Origin(site(pages, robots)) as origin:
        found = run("scrape_product", target_url=origin.url("/a"))
        forbidden = run("scrape_product", target_url=origin.url("/c"))

    assert found.result["items"][0]["url"] == origin.url("/b")
    assert forbidden.error == f"{origin.url('/private/b')}: the site's robots.txt does not allow it."
    assert "/private/b" not in targets(origin)


def test_robots_txt_is_read_once_for_all_and_obeyed(run: Runs) -> None:
    with Origin(site({"/dune": PRICED}, "User-agent: haulway\nDisallow: /secret")) as origin:
        for _ in range(3):
            assert run("scrape_product", target_url=origin.url("/dune")).state == State.COMPLETED
        assert run("scrape_product", target_url=origin.url("/secret")).reason == Reason.GAVE_UP

    assert targets(origin) == ["/robots.txt", "/dune", "/dune", "/dune"]


def test_a_site_that_fails_to_give_its_rules_is_left_alone_for_now(run: Runs) -> None:
    with Origin(lambda exchange: exchange.head(500, Content_Length=0)) as origin:
        job = run("scrape_product", target_url=origin.url("/dune"))

    assert (job.state, job.failures) == (State.RETRYING, 1)
    assert targets(origin) == ["/robots.txt"]


def test_rules_are_read_again_when_they_are_a_day_old(run: Runs) -> None:
    with Origin(site({"/dune": PRICED})) as origin:
        run("scrape_product", target_url=origin.url("/dune"))
        WebHost.objects.update(robots_at=Now() - timedelta(hours=25))
        run("scrape_product", target_url=origin.url("/dune"))

    assert targets(origin).count("/robots.txt") == 2


def test_hosts_that_nobody_visits_any_more_are_forgotten(run: Runs) -> None:
    politeness.take_turn("old.example", 0)
    politeness.take_turn("new.example", 0)
    WebHost.objects.filter(name="old.example").update(free_at=Now() - timedelta(days=31))

    with Origin(site({"/dune": PRICED})) as origin:
        run("scrape_product", target_url=origin.url("/dune"))

    assert set(WebHost.objects.values_list("name", flat=True)) == {"new.example", f"127.0.0.1:{origin.port}"}


def test_a_job_that_would_wait_long_for_its_turn_comes_back_for_it_at_no_cost(run: Runs) -> None:
    robots = "User-agent: *\nCrawl-delay: 600"
    with Origin(site({"/dune": PRICED, "/emma": PRICED}, robots)) as origin:
        assert run("scrape_product", target_url=origin.url("/dune")).state == State.COMPLETED
        waiting = run("scrape_product", target_url=origin.url("/emma"))
        behind = run("scrape_product", target_url=origin.url("/emma"))

    assert (waiting.state, waiting.failures, outcomes(waiting)) == (State.SCHEDULED, 0, [(1, Outcome.SNOOZED)])
    assert "Others are in line for 127.0.0.1" in waiting.error
    assert behind.run_at - waiting.run_at > timedelta(seconds=500)
    assert "/emma" not in targets(origin)


def test_turns_at_one_host_are_a_delay_apart_and_other_hosts_have_their_own() -> None:
    waits = [politeness.take_turn("shop.example", 0.5) for _ in range(3)]

    assert waits[0] == 0
    assert waits == sorted(waits)
    assert waits[2] <= 1.0
    assert politeness.take_turn("other.example", 0.5) == 0
    politeness.take_turn("shop.example", 600)
    with pytest.raises(politeness.ComeBackLater):
        politeness.take_turn("shop.example", 0.5)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Shop.example/a", "shop.example"),
        ("http://shop.example:80/", "shop.example"),
        ("http://shop.example:8080/", "shop.example:8080"),
    ],
)
def test_a_host_is_one_whatever_the_scheme(url: str, host: str) -> None:
    assert politeness.host_of(url) == host


def test_no_two_jobs_are_at_one_page_at_once(run: Runs) -> None:
    with Origin(site({"/dune?a=1&b=2": PRICED})) as origin:
        (other,) = claimed(*submitted(1), node=live_node("other"))
        assert locks.Claim(other, f"scrape {origin.url('/dune?a=1&b=2')}", 60).acquire()
        job = run("scrape_product", target_url=origin.url("/dune?b=2&a=1"))

    assert (job.state, outcomes(job)) == (State.SCHEDULED, [(1, Outcome.SNOOZED)])
    assert targets(origin) == []


def test_a_cancel_ends_a_visit_to_a_server_that_does_not_answer(run: Runs) -> None:
    def answer(exchange: Exchange) -> None:
        if exchange.target == "/robots.txt":
            exchange.head(404, Content_Length=0)
        else:
            lifecycle.cancel(list(Job.objects.values_list("id", flat=True)))
            run.cancel_what_runs()
            exchange.stall()

    with Origin(answer) as origin:
        job = run("scrape_product", target_url=origin.url("/dune"))

    assert as_stored(job).state == State.CANCELLED


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        ({}, "/payload/target_url"),
        ({"target_url": "ftp://shop.example/"}, "/payload/target_url"),
        ({"target_url": "http://10.0.0.1/"}, "/payload/target_url"),
        ({"target_url": "http://shop.example/" + "x" * 2000}, "/payload/target_url"),
        ({"target_url": "http://shop.example/", "metadata": {"crawl": ""}}, "/payload/metadata"),
        ({"target_url": "http://shop.example/", "metadata": {"crawl": 7}}, "/payload/metadata"),
        ({"target_url": "http://shop.example/", "options": {"max_pages": 0}}, "/payload/options/max_pages"),
        ({"target_url": "http://shop.example/", "options": {"delay": -1}}, "/payload/options/delay"),
        ({"target_url": "http://shop.example/", "options": {"folow": True}}, "/payload/options/folow"),
        (
            {"target_url": "http://shop.example/", "options": {"selectors": {"name": "h1["}}},
            "/payload/options/selectors/name",
        ),
    ],
)
def test_a_bad_payload_is_refused_at_the_door(run: Runs, payload: dict[str, Any], pointer: str) -> None:
    assert run.refused("scrape_product", **payload) == [pointer]
