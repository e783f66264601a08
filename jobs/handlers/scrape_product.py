"""The kind `scrape_product`: one product as a structured item."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from jobs.crawling import crawls
from jobs.crawling.request import ScrapeRequest
from jobs.crawling.visits import Visitor
from jobs.kinds import Context, GiveUp, Lane, handler
from jobs.scraping import products


@handler("scrape_product", lane=Lane.IO, max_retries=settings.SCRAPER_RETRIES, timeout=300)
def scrape_product(payload: ScrapeRequest, ctx: Context) -> dict[str, Any]:
    """Read a product: name, price, currency, image, description, availability, sku, isbn and url."""
    report = crawls.Report()
    with crawls.admitted(ctx, payload):
        page = Visitor(ctx, payload.options).open(payload.target_url)
        product, report.errors = products.read(page, payload.options.selectors.given())
        if product is None:
            raise GiveUp(f"{page.url}: {' '.join(report.errors)}")
        report.items, report.processed = [product], 1
    return report.result()
