"""CSS selectors as people write them for scrapers: `.price`, or `img.cover::attr(src)` for an attribute."""

from __future__ import annotations

import re

from jobs.scraping.pages import Page, words

_SELECTOR = re.compile(r"(?P<css>.*?)(?:::attr\((?P<attribute>[\w:-]+)\)|::text)?", re.DOTALL)


def checked(selector: str) -> str:
    """The selector, if it is one. Raises ValueError."""
    from selectolax.lexbor import LexborHTMLParser, SelectolaxError  # noqa: PLC0415 - see pages

    try:
        LexborHTMLParser("<p>").css(_parts(selector)[0])
    except SelectolaxError as error:
        raise ValueError("must be a CSS selector, such as .price or img.cover::attr(src)") from error
    return selector


def links(page: Page, selector: str | None) -> list[tuple[str, str]]:
    """(name, URL) of what the selector finds: links, or elements with one in them. No selector finds nothing."""
    found = []
    for node in page.tree.css(_parts(selector)[0]) if selector else ():
        anchor = node if node.attributes.get("href") else node.css_first("[href]")
        if anchor and (url := page.link(anchor.attributes.get("href"))):
            found.append((words(node), url))
    return found


def first(page: Page, selector: str) -> str:
    """The first text, or attribute, that the selector finds and that is not empty; else empty."""
    css, attribute = _parts(selector)
    for node in page.tree.css(css):
        value = node.attributes.get(attribute) if attribute else node.attributes.get("content") or words(node)
        if value and value.strip():
            return value.strip()
    return ""


def _parts(selector: str) -> tuple[str, str | None]:
    match = _SELECTOR.fullmatch(selector.strip())
    assert match is not None, "the pattern takes everything"
    return match["css"], match["attribute"]
