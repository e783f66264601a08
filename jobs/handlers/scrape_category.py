"""The kind `scrape_category`: the products of a category over all its pages, and a job for each when asked."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from jobs.crawling import crawls
from jobs.crawling.request import ScrapeRequest
from jobs.crawling.visits import PageBroken, Visitor
from jobs.kinds import Context, Lane, handler
from jobs.ranks import of_ten
from jobs.scraping import listings
from jobs.scraping.pages import Page, identity

_PLACE = of_ten(3)  # of its products
_MOST_ITEMS = 5_000  # in one result


@handler("scrape_category", lane=Lane.IO, max_retries=settings.SCRAPER_RETRIES, timeout=3600)
def scrape_category(payload: ScrapeRequest, ctx: Context) -> dict[str, Any]:
    """Find the products of a category, page by page. With `follow`, a scrape_product is submitted for each."""
    with crawls.admitted(ctx, payload):
        walk = _Walk(payload, ctx)
        visitor = Visitor(ctx, payload.options)
        while walk.next:
            try:
                walk.take(visitor.open(walk.next))
            except PageBroken as broken:
                if not walk.seen:
                    raise  # the category itself
                walk.end(str(broken))
            ctx.save_checkpoint(walk.kept())
            ctx.progress(note=f"{len(walk.seen)} pages, {walk.report.processed} products")
        if not walk.report.processed:
            walk.report.errors.append("No products were found: say with the selector `product` where they are.")
    return walk.report.result(crawls.children(ctx, payload) if payload.options.follow else None)


class _Walk:
    """The way through the pages: what was found, and where to go on. An attempt goes on where another had to stop."""

    def __init__(self, payload: ScrapeRequest, ctx: Context) -> None:
        self._payload = payload
        self._ctx = ctx
        self._css = payload.options.selectors.given()
        kept = ctx.checkpoint or {"next": payload.target_url, "seen": [], "items": [], "products": [], "errors": []}
        self.next: str | None = kept["next"]
        self.seen: list[str] = kept["seen"]
        self._products: list[str] = kept["products"]
        self.report = crawls.Report(kept["items"], len(self._products), kept["errors"])

    def kept(self) -> dict[str, Any]:
        report = self.report
        return {
            "next": self.next,
            "seen": self.seen,
            "products": self._products,
            "items": report.items,
            "errors": report.errors,
        }

    def take(self, page: Page) -> None:
        """Take the products of a page: submit their jobs, or keep them for the result."""
        assert self.next is not None
        self.seen.append(identity(self.next))
        links, faults = listings.products(page, self._css)
        known = set(self._products)
        new = [link for link in crawls.within(links, self._payload) if identity(link["url"]) not in known]
        self.report.errors += faults
        if self._payload.options.follow and page.follow:
            self.report.errors += crawls.submit(self._ctx, self._payload, "scrape_product", new, _PLACE)
        else:
            self.report.items += new
        self._products += [identity(link["url"]) for link in new]
        self.report.processed = len(self._products)
        if not page.follow:
            self.end(f"{page.url}: the page asks robots not to follow its links.")
            return
        self._turn_to(listings.next_page(page, self._css))

    def end(self, error: str) -> None:
        self.report.errors.append(error)
        self.next = None

    def _turn_to(self, url: str | None) -> None:
        self.next = None
        if url is None or identity(url) in self.seen:
            return
        if not crawls.within([{"url": url}], self._payload):
            self.end(f"{url}: the next page is on another host; allow it with the option `hosts`.")
        elif len(self.seen) >= self._payload.options.max_pages:
            self.end(f"There are more than {self._payload.options.max_pages} pages; raise the option `max_pages`.")
        elif self.report.processed >= _MOST_ITEMS:
            self.end(f"There are more than {_MOST_ITEMS} products; the rest was left out.")
        else:
            self.next = url
