"""Pages that lead on: a site's categories, a category's products, and the page after this one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from jobs.scraping import selectors
from jobs.scraping.pages import Page, identity
from jobs.scraping.structured import Thing, json_ld, microdata, of_type

Link = dict[str, str]


def categories(page: Page, css: Mapping[str, str]) -> tuple[list[Link], list[str]]:
    """(links, faults): what the selector `category` finds, else the navigation that the page states, else its <nav>."""
    if found := _links(selectors.links(page, css.get("category")), page):
        return found, []
    things, faults = json_ld(page)
    stated = _stated(of_type([*things, *microdata(page)], "SiteNavigationElement"), page)
    return _links(stated or selectors.links(page, "nav a[href]"), page), faults


def products(page: Page, css: Mapping[str, str]) -> tuple[list[Link], list[str]]:
    """(links, faults): what the selector `product` finds, else the page's ItemList, else the products it shows."""
    if found := _links(selectors.links(page, css.get("product")), page):
        return found, []
    things, faults = json_ld(page)
    things += microdata(page)
    entries = [entry for one in of_type(things, "ItemList") for entry in one.things("itemListElement")]
    listed = [inner for entry in entries for inner in (entry.things("item") or [entry])]
    return _links(_stated(listed or of_type(things, "Product", "Book"), page), page), faults


def next_page(page: Page, css: Mapping[str, str]) -> str | None:
    """The page after this one, by the selector `next` or as rel=next."""
    found = selectors.links(page, css.get("next", "link[rel~=next], a[rel~=next]"))
    return found[0][1] if found and identity(found[0][1]) != identity(page.url) else None


def _stated(things: Iterable[Thing], page: Page) -> list[tuple[str, str]]:
    """Name and URL of each: a Thing may stand for several, with as many names as URLs."""
    found = []
    for thing in things:
        urls = thing.texts("url") or thing.texts("@id") or thing.texts("item")
        names = thing.texts("name")
        for place, href in enumerate(urls):
            if url := page.link(href):
                found.append((names[place] if place < len(names) else "", url))
    return found


def _links(found: Iterable[tuple[str, str]], page: Page) -> list[Link]:
    """Each page once, by the first link to it; not the page itself, nor the site's entrance."""
    seen = {identity(page.url), identity("{0.scheme}://{0.netloc}/".format(urlsplit(page.url)))}
    links = []
    for name, url in found:
        if identity(url) not in seen:
            seen.add(identity(url))
            links.append({"name": name[:500], "url": url})
    return links
