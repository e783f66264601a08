"""A shop to scrape: a navigation, categories with pages, products in two layouts, and what real shops have wrong.

Everything about it follows from its numbers, so a test can say what a scrape must find.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from urllib.parse import urlsplit

from tests.origins.server import Exchange, Origin

PER_PAGE = 10
CRAWL_DELAY = 0.05  # seconds, as its robots.txt asks
ROBOTS = f"User-agent: *\nDisallow: /private/\nCrawl-delay: {CRAWL_DELAY}\n"
# The selectors for its plain layout; its other one needs none.
SELECTORS = {"product": "div.grid a.tile", "name": "h1.title", "price": ".cost b", "image": "img.cover::attr(data-src)"}

GONE, FAILING, EMPTY, BUSY = "gone", "failing", "empty", "busy"


@dataclass
class Shop:
    """`with Shop(…).open() as shop`: both of its hosts answer.

    `broken` says which products are GONE (404), FAILING (500 for ever), EMPTY (a page without a product) or BUSY (503
    once). The last category and what it sells are on a slow host; the last page of the second category is gone.
    """

    categories: int
    products: int
    broken: dict[int, str] = field(default_factory=dict)
    slowness: float = 0.1  # seconds that the slow host takes to answer
    seen: dict[int, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))  # port: (when, target)

    @contextmanager
    def open(self) -> Iterator[Shop]:
        self._lock = threading.Lock()
        with Origin(self._answer) as self.main, Origin(self._answer_slowly) as self.slow:
            yield self

    # --- what there is ------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return self.main.url("/")

    def item(self, number: int) -> dict[str, str]:
        """What a scrape must find of a product, beside its URL."""
        item = {"name": f"Book № {number} & more", "price": f"{number % 90 + 1}.{number % 100:02}", "currency": "GBP"}
        return {**item, "image": self._origin_of(number).url(f"/covers/{number}.jpg")}

    def product_url(self, number: int) -> str:
        return self._origin_of(number).url(f"/product?id={number}")

    def sold_in(self, category: int) -> list[int]:
        """Its own products, and some that the one after it sells too. The last one's are on a host of their own."""
        own = self.products // self.categories
        shared = own // 4 if category < self.categories - 2 else 0
        return list(range(category * own, (category + 1) * own + shared))

    def requests(self, path: str) -> Counter[str]:
        """How often each target below that path was asked for."""
        return Counter(target for seen in self.seen.values() for _, target in seen if target.startswith(path))

    def ahead_of_pace(self, delay: float) -> float:
        """Seconds by which any run of requests to a host came closer together than one per `delay`."""
        most = 0.0
        for seen in self.seen.values():
            ahead = 0.0  # of the run that ends here and is furthest ahead
            for (before, _), (after, _) in pairwise(seen):
                ahead = max(0.0, ahead + delay - (after - before))
                most = max(most, ahead)
        return most

    def _origin_of(self, product: int) -> Origin:
        return self.slow if product in self.sold_in(self.categories - 1) else self.main

    def category_url(self, category: int, page: int = 1) -> str:
        origin = self.slow if category == self.categories - 1 else self.main
        return origin.url(f"/category?id={category}&page={page}")

    # --- how it answers -----------------------------------------------------------------------------------------------

    def _answer_slowly(self, exchange: Exchange) -> None:
        self._note(self.slow, exchange)
        exchange.stopping.wait(self.slowness)
        self._serve(exchange)

    def _answer(self, exchange: Exchange) -> None:
        self._note(self.main, exchange)
        self._serve(exchange)

    def _note(self, origin: Origin, exchange: Exchange) -> None:
        with self._lock:
            self.seen[origin.port].append((time.monotonic(), exchange.target))

    def _serve(self, exchange: Exchange) -> None:
        path = urlsplit(exchange.target).path
        query = dict(pair.split("=") for pair in urlsplit(exchange.target).query.split("&") if pair)
        if path == "/robots.txt":
            _send(exchange, 200, ROBOTS, "text/plain")
        elif path == "/":
            self._send_navigation(exchange)
        elif path == "/category":
            self._send_category(exchange, int(query["id"]), int(query["page"]))
        elif path == "/product":
            self._send_product(exchange, int(query["id"]))
        else:
            _send(exchange, 404, "<h1>Not here</h1>")

    def _send_navigation(self, exchange: Exchange) -> None:
        links = [(f"Shelf {one}", self.category_url(one)) for one in range(self.categories)]
        links += [("Basket", "/private/basket"), ("Shelf 0 again", self.category_url(0) + "&utm_source=nav"), links[1]]
        links += [("Elsewhere", "https://elsewhere.example/")]
        _send(exchange, 200, f"<nav>{_anchors(links)}</nav><a href='/imprint'>Imprint</a>")

    def _send_category(self, exchange: Exchange, category: int, page: int) -> None:
        sold = self.sold_in(category)
        shown = sold[(page - 1) * PER_PAGE : page * PER_PAGE]
        last = (len(sold) - 1) // PER_PAGE + 1
        if category == 1 and page == last + 1:
            _send(exchange, 404, "<h1>This page is gone</h1>")
            return
        more = page < last or category == 1
        head = f'<link rel="next" href="/category?id={category}&amp;page={page + 1}">' if more else ""
        if category % 2:
            links = [(f"Book {one}", self.product_url(one)) for one in shown]
            links += [("The same", f"{url}&utm_campaign=x#reviews") for _, url in links[:2]]  # as shops link twice
            _send(exchange, 200, f"{head}<div class=grid>{_anchors(links, 'tile')}</div>")
        else:
            entries = [{"@type": "ListItem", "url": self.product_url(one)} for one in shown]
            _send(exchange, 200, head + _json_ld({"@type": "ItemList", "itemListElement": entries}))

    def _send_product(self, exchange: Exchange, number: int) -> None:
        match self.broken.get(number):
            case "gone":
                _send(exchange, 410, "<h1>Sold for ever</h1>")
            case "failing":
                _send(exchange, 500, "<h1>Sorry</h1>")
            case "empty":
                _send(exchange, 200, "<h1>Welcome to our shop</h1>")
            case "busy" if self.requests("/product")[exchange.target] == 1:
                _send(exchange, 503, "<h1>Too many customers</h1>", Retry_After="1")
            case _:
                _send(exchange, 200, self._product_page(number), "text/html; charset=iso-8859-15" if number % 2 else "")

    def _product_page(self, number: int) -> str:
        item = self.item(number)
        if number % 2 == 0:
            offer = {"@type": "Offer", "price": item["price"], "priceCurrency": item["currency"]}
            stated = {"@type": "Product", "name": item["name"], "image": item["image"], "offers": offer}
            return _json_ld(stated) + "<h1 class=title>An advertisement</h1>"
        return (
            f"<h1 class=title>{escape(item['name'])}</h1><p class=cost>only <b>£{item['price']}</b></p>"
            f"<img class=cover src=spinner.gif data-src='/covers/{number}.jpg'>"
        )


def _anchors(links: Iterable[tuple[str, str]], css: str = "") -> str:
    return " ".join(f'<a class="{css}" href="{escape(url)}">{escape(name)}</a>' for name, url in links)


def _json_ld(stated: object) -> str:
    return f'<script type="application/ld+json">{json.dumps(stated)}</script>'


def _send(exchange: Exchange, status: int, page: str, content_type: str = "", **fields: object) -> None:
    charset = "iso-8859-15" if "8859" in content_type else "utf-8"
    body = page.encode(charset, "xmlcharrefreplace")
    exchange.head(status, Content_Type=content_type or "text/html; charset=utf-8", Content_Length=len(body), **fields)
    exchange.raw(body)
