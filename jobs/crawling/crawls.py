"""A crawl: the jobs of one site that submit each other, no page twice, and what each has to say at its end."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.db import connection

from jobs import lifecycle
from jobs.crawling.request import ScrapeRequest
from jobs.kinds import Context
from jobs.models import CrawledPage
from jobs.ranks import Place
from jobs.scraping.listings import Link
from jobs.scraping.pages import identity
from jobs.submission import InvalidSubmission, Submission, checked


def lock_key(payload: ScrapeRequest) -> str:
    """Held while a page is scraped: no two jobs, of whatever kind or crawl, are at one page at once."""
    return f"scrape {identity(payload.target_url)}"


def within(links: Iterable[Link], payload: ScrapeRequest) -> list[Link]:
    """Those links that stay on the hosts of the crawl."""
    hosts = {urlsplit(payload.target_url).netloc.lower(), *payload.options.hosts}
    return [link for link in links if urlsplit(link["url"]).netloc.lower() in hosts]


def submit(ctx: Context, payload: ScrapeRequest, kind: str, links: Iterable[Link], place: Place) -> list[str]:
    """Submit a job for each page that the crawl has not come across: all of them, or none if this attempt is late.

    Returns what is wrong with those that cannot be submitted.
    """
    crawl = payload.metadata.get("crawl", ctx.job_id)
    # Two owners may give their crawls the same name.
    noted_as = crawl if ctx.owner is None else str(uuid.uuid5(uuid.NAMESPACE_OID, f"{ctx.owner} {crawl}"))
    wanted: dict[str, Submission] = {}
    faults = []
    for link in links:
        child = payload.model_dump(mode="json", exclude_unset=True)
        child |= {"target_url": link["url"], "metadata": {**payload.metadata, "crawl": crawl}}
        try:
            wanted[identity(link["url"])] = checked(kind, child, owner=ctx.owner, **place._asdict())
        except InvalidSubmission as refused:
            faults.append(f"{link['url']}: {refused}")
    with ctx.held():
        _note(noted_as, [identity(payload.target_url)], ctx.job_id)
        new = _note(noted_as, wanted, ctx.job_id)
        lifecycle.submit_many([wanted[url] for url in wanted if url in new])
    return faults


def children(ctx: Context, payload: ScrapeRequest) -> int:
    """How many jobs this one has submitted, over all its attempts."""
    noted = CrawledPage.objects.filter(found_by_id=uuid.UUID(ctx.job_id))
    return noted.exclude(url=identity(payload.target_url)).count()


def _note(crawl: str, urls: Iterable[str], found_by: str) -> set[str]:
    """Note pages as submitted. Returns those that were not: of two who come upon one page, one gets it."""
    with connection.cursor() as cursor:
        # In one order for all, so that two that find the same pages never wait for each other in a circle.
        cursor.execute(_NOTE, {"crawl": crawl, "urls": sorted(urls), "job": found_by})
        return {row[0] for row in cursor.fetchall()}


_NOTE = """
INSERT INTO jobs_crawledpage (crawl, url, found_by_id) SELECT %(crawl)s, unnest(%(urls)s::text[]), %(job)s
ON CONFLICT (crawl, url) DO NOTHING RETURNING url
"""


@dataclass
class Report:
    """What a scrape gives as its result, as it comes together."""

    items: list[dict[str, str]] = field(default_factory=list)
    processed: int = 0
    errors: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def result(self, children: int | None = None) -> dict[str, Any]:
        """`success` means: without any error. `duration`: milliseconds of this attempt."""
        found = {"items": self.items} if children is None else {"children": children}
        return {
            "success": not self.errors,
            "itemsProcessed": self.processed,
            "errors": self.errors,
            "duration": int((time.monotonic() - self.began) * 1000),
            **found,
        }
