"""Visits to pages: as their site's robots.txt allows, at the pace that the host is due, over the one way out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urljoin

from django.conf import settings
from django.db import connection

from jobs import outbound
from jobs.calling import Answer, CallFailed, call, is_permanent, judge
from jobs.crawling import politeness
from jobs.crawling.request import Options
from jobs.kinds import Context, GiveUp, Snooze, TryLater
from jobs.outage import insist
from jobs.scraping import robots
from jobs.scraping.pages import Page

_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_BYTES = 4 * 1024 * 1024  # of one page
_TIMEOUT = 60.0  # seconds for one page
_CHECK_EVERY = 0.2

Found = TypeVar("Found")


class PageBroken(GiveUp):
    """A page that will not become readable by asking again. The message names it and says why."""


class Visitor:
    """One attempt's way to other people's pages."""

    def __init__(self, ctx: Context, options: Options) -> None:
        self._ctx = ctx
        self._delay = max(settings.SCRAPER_REQUEST_DELAY, options.delay)

    def open(self, url: str) -> Page:
        """Fetch a page, through its redirects.

        Raises PageBroken; CallFailed, or TryLater, where another attempt may have more luck; and Snooze where the line
        at the host is long.
        """
        asked = url
        for _ in range(_MOST_REDIRECTS + 1):
            try:
                outbound.check_url(url)
            except outbound.UrlDenied as denied:
                raise PageBroken(f"{asked}: leads to {url[:200]}. {denied}") from denied
            rules = self._rules(url)
            if not rules.allow(url):
                raise PageBroken(f"{url}: the site's robots.txt does not allow it.")
            self._wait_for_turn(url, max(self._delay, rules.delay))
            answer = self._get(url, redirects=False)
            if answer.status not in _REDIRECTS or not (target := answer.headers.get("Location")):
                return _page(url, answer)
            url = urljoin(url, target)
        raise PageBroken(f"{asked}: redirected more than {_MOST_REDIRECTS} times.")

    def _rules(self, url: str) -> robots.Rules:
        host = politeness.host_of(url)
        text = _ask(lambda: politeness.known_robots(host))
        if text is None:
            self._wait_for_turn(url, self._delay)
            text = _ask(lambda: politeness.known_robots(host))  # whoever had the turn before may have read them
        if text is None:
            text = self._read_robots(robots.location(url))
            _ask(lambda: politeness.keep_robots(host, text))
        return robots.Rules.read(text, settings.SCRAPER_USER_AGENT)

    def _read_robots(self, url: str) -> str:
        """RFC 9309: a site without the file allows everything; one that fails to give it, nothing for now."""
        try:
            return self._get(url, redirects=True).body.decode("utf-8", "replace")
        except PageBroken:
            return ""

    def _wait_for_turn(self, url: str, delay: float) -> None:
        try:
            turn = time.monotonic() + _ask(lambda: politeness.take_turn(politeness.host_of(url), delay))
        except politeness.ComeBackLater as later:
            raise Snooze(later.seconds, str(later)) from later
        while (left := turn - time.monotonic()) > 0:
            self._ctx.check()
            time.sleep(min(left, _CHECK_EVERY))
        self._ctx.check()

    def _get(self, url: str, *, redirects: bool) -> Answer:
        headers = {"User-Agent": settings.SCRAPER_USER_AGENT, "Accept": "text/html, */*;q=0.1"}
        try:
            answer = call(
                self._ctx, "GET", url, headers=headers, timeout=_TIMEOUT, redirects=redirects, max_bytes=_MOST_BYTES
            )
            judge(answer, fits=lambda status: status < 400, permanent=is_permanent)
        except GiveUp as refusal:
            raise PageBroken(f"{url}: {refusal}") from refusal
        except TryLater as plea:
            raise TryLater(plea.delay.total_seconds(), f"{url}: {plea}") from plea
        except CallFailed as failure:
            raise CallFailed(f"{url}: {failure}") from failure
        return answer


def _page(url: str, answer: Answer) -> Page:
    if answer.truncated:
        raise PageBroken(f"{url}: is larger than {_MOST_BYTES} bytes.")
    content_type = answer.headers.get("Content-Type", "text/html")
    if "html" not in content_type.lower() and "xml" not in content_type.lower():
        raise PageBroken(f"{url}: is {content_type.partition(';')[0]}, not a page.")
    try:
        return Page.read(url, answer.body, content_type, answer.headers.get("X-Robots-Tag", ""))
    except ValueError as error:
        raise PageBroken(f"{url}: {error}.") from error


def _ask(statement: Callable[[], Found]) -> Found:
    """Ask the database, and give the connection back: a thread that waits for others holds none."""
    try:
        return insist(statement)
    finally:
        if not connection.in_atomic_block:  # as it is where a test runs the job in its own transaction
            connection.close()
