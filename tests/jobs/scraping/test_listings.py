"""Where pages lead: categories, products, the next page; what robots may read."""

from __future__ import annotations

import json

import pytest

from jobs.scraping import listings, robots
from jobs.scraping.pages import Page, identity

URL = "https://shop.example/books?page=1"


def _page(body: str) -> Page:
    return Page.read(URL, body.encode(), "text/html")


def _urls(found: tuple[list[listings.Link], list[str]]) -> list[str]:
    return [link["url"] for link in found[0]]


@pytest.mark.parametrize(
    ("head", "header", "follow"),
    [
        ("", "", True),
        ('<meta name="robots" content="noindex, follow">', "", True),
        ('<meta name="otherbot" content="nofollow">', "", True),
        ('<meta name="Robots" content="noindex,NOFOLLOW">', "", False),
        ('<meta name="robots" content="none">', "", False),
        ("", "noarchive, nofollow", False),
    ],
)
def test_a_page_may_ask_robots_not_to_follow_its_links(head: str, header: str, *, follow: bool) -> None:
    assert Page.read(URL, head.encode(), "text/html", header).follow is follow


def test_categories_are_the_links_of_the_navigation_each_once() -> None:
    page = _page("""
      <nav><a href="/">Home</a> <a href="/poetry">Poetry &amp; plays</a> <a href="poetry#top">again</a>
           <a href="/prose?utm_source=nav">Prose</a> <a href="/prose">Prose</a>
           <a href="mailto:us@shop.example">Write</a> <a href="javascript:void(0)">?</a> <a>none</a></nav>
      <a href="/imprint">Imprint</a>
    """)

    assert listings.categories(page, {}) == (
        [
            {"name": "Poetry & plays", "url": "https://shop.example/poetry"},
            {"name": "Prose", "url": "https://shop.example/prose?utm_source=nav"},
        ],
        [],
    )


def test_what_the_page_states_of_its_navigation_comes_before_its_looks() -> None:
    stated = {"@type": "SiteNavigationElement", "name": ["Poetry", "Prose"], "url": ["/poetry", "/prose"]}
    page = _page(f'<script type="application/ld+json">{json.dumps(stated)}</script><nav><a href="/help">Help</a></nav>')

    assert [link["name"] for link in listings.categories(page, {})[0]] == ["Poetry", "Prose"]


def test_a_selector_says_where_the_links_are_whatever_else_is_on_the_page() -> None:
    page = _page("""<nav><a href="/help">Help</a></nav>
                    <li class=c><a href="/poetry">Poetry</a></li><li class=c><b>no link</b></li>""")

    assert _urls(listings.categories(page, {"category": "li.c"})) == ["https://shop.example/poetry"]
    assert _urls(listings.products(page, {"product": "nav a"})) == ["https://shop.example/help"]


@pytest.mark.parametrize(
    "entry",
    [
        {"@type": "ListItem", "position": 1, "url": "/dune"},
        {"@type": "ListItem", "item": "/dune"},
        {"@type": "ListItem", "item": {"@type": "Product", "name": "Dune", "url": "/dune"}},
        {"@type": "ListItem", "item": {"@type": "Product", "@id": "/dune"}},
        {"@type": "Product", "url": "/dune"},
    ],
)
def test_products_are_those_of_the_item_list_in_each_of_its_forms(entry: object) -> None:
    stated = {"@type": "ItemList", "itemListElement": [entry]}
    page = _page(f'<script type="application/ld+json">{json.dumps(stated)}</script>')

    assert _urls(listings.products(page, {})) == ["https://shop.example/dune"]


def test_products_are_those_that_microdata_shows_where_there_is_no_list() -> None:
    page = _page("""<div itemscope itemtype="https://schema.org/Product">
                      <a itemprop="url" href="/dune"><span itemprop="name">Dune</span></a></div>""")

    assert listings.products(page, {}) == ([{"name": "Dune", "url": "https://shop.example/dune"}], [])


def test_the_next_page_is_the_one_that_rel_or_the_selector_names_and_never_this_one() -> None:
    assert listings.next_page(_page('<link rel="next" href="?page=2">'), {}) == "https://shop.example/books?page=2"
    assert listings.next_page(_page('<a rel="nofollow next" href="?page=2">2</a>'), {}) is not None
    assert listings.next_page(_page('<p class=n><a href="?page=2">2</a></p>'), {"next": ".n a"}) is not None
    assert listings.next_page(_page('<a rel="next" href="?page=1#list">1</a>'), {}) is None
    assert listings.next_page(_page("<a href='?page=2'>2</a>"), {}) is None


def test_links_are_resolved_against_the_base_that_the_page_states() -> None:
    page = _page('<base href="https://shop.example/de/"><nav><a href="lyrik">Lyrik</a></nav>')

    assert _urls(listings.categories(page, {})) == ["https://shop.example/de/lyrik"]


def test_one_page_has_one_identity_however_it_is_linked() -> None:
    same = {
        identity(f"https://shop.example/b{rest}")
        for rest in ("?b=2&a=1", "?a=1&b=2", "?a=1&b=2#top", "?a=1&b=2&utm_source=x&fbclid=y")
    }

    assert same == {"https://shop.example/b?a=1&b=2"}
    assert identity("https://shop.example/b?a=2") not in same


def test_robots_rules_are_those_of_our_name_else_of_everybody() -> None:
    text = "User-agent: *\nDisallow: /\nUser-agent: Haulway\nDisallow: /cart\nAllow: /cart/help\nCrawl-delay: 2.5\n"

    ours, theirs = robots.Rules.read(text, "Haulway/1.0"), robots.Rules.read(text, "Other")

    assert ours.allow("https://shop.example/books")
    assert not ours.allow("https://shop.example/cart?x=1")
    assert ours.allow("https://shop.example/cart/help")
    assert not theirs.allow("https://shop.example/books")
    assert (ours.delay, theirs.delay) == (2.5, 0)


def test_an_empty_robots_txt_allows_everything_and_a_rate_is_a_delay() -> None:
    assert robots.Rules.read("", "Haulway").allow(URL)
    assert robots.Rules.read("User-agent: *\nRequest-rate: 1/10s", "Haulway").delay == 10
    assert robots.Rules.read("User-agent: *\nCrawl-delay: 1e12", "Haulway").delay == 86_400
    assert robots.location("https://shop.example:8443/a/b?c") == "https://shop.example:8443/robots.txt"
