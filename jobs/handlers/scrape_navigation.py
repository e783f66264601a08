"""The kind `scrape_navigation`: the categories of a site, and a job for each when asked."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from jobs.crawling import crawls
from jobs.crawling.request import ScrapeRequest
from jobs.crawling.visits import Visitor
from jobs.kinds import Context, GiveUp, Lane, handler
from jobs.ranks import of_ten
from jobs.scraping import listings

_PLACE = of_ten(6)  # of its categories: after all entrances, before single items


@handler("scrape_navigation", lane=Lane.IO, max_retries=settings.SCRAPER_RETRIES, timeout=300)
def scrape_navigation(payload: ScrapeRequest, ctx: Context) -> dict[str, Any]:
    """Find the categories of a site. With `follow`, a scrape_category is submitted for each."""
    report = crawls.Report()
    with crawls.admitted(ctx, payload):
        page = Visitor(ctx, payload.options).open(payload.target_url)
        links, report.errors = listings.categories(page, payload.options.selectors.given())
        report.items = crawls.within(links, payload)
        report.processed = len(report.items)
        if not report.items:
            report.errors.append("No categories were found: say with the selector `category` where they are.")
        if not payload.options.follow:
            return report.result()
        if not page.follow:
            raise GiveUp(f"{page.url}: the page asks robots not to follow its links.")
        report.errors += crawls.submit(ctx, payload, "scrape_category", report.items, _PLACE)
    return report.result(crawls.children(ctx, payload))
