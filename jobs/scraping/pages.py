"""A page as it was fetched: its text, its elements, and where its links lead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from w3lib.encoding import html_to_unicode
from w3lib.url import canonicalize_url, safe_url_string

from jobs.scraping import tags

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

LONGEST_URL = 2000
_FORBIDS_TO_FOLLOW = frozenset({"nofollow", "none"})
# Parameters by which shops follow their visitors: the page is the same without.
_TRACKING = ("utm_", "fbclid", "gclid", "msclkid", "mc_eid")


@dataclass(frozen=True)
class Page:
    """`url` is where it was found, after redirects."""

    url: str
    tree: LexborHTMLParser
    base: str
    follow: bool = True  # False: it asks robots not to follow its links

    @classmethod
    def read(cls, url: str, body: bytes, content_type: str, robots_tag: str = "") -> Page:
        """Decode by byte order mark, header, what the page says of itself, and at last by what fits.

        Raises ValueError for a page that would take too long to read.
        """
        _, text = html_to_unicode(content_type, body, auto_detect_fun=_guessed)
        tags.check(text)
        from selectolax.lexbor import LexborHTMLParser  # noqa: PLC0415 - 2 MB, for processes that do scrape

        tree = LexborHTMLParser(text)
        stated = tree.css_first("base[href]")
        base = urljoin(url, (stated.attributes.get("href") or "") if stated else "")
        return cls(url, tree, base, follow=_FORBIDS_TO_FOLLOW.isdisjoint(_asked_of_robots(tree, robots_tag)))

    def link(self, href: str | None) -> str | None:
        """Where a link leads, without its fragment; none if to no page that could be fetched."""
        try:
            url = safe_url_string(urljoin(self.base, (href or "").strip())).partition("#")[0]
            parts = urlsplit(url)
            leads_out = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            return None
        return url if href and leads_out and len(url) <= LONGEST_URL else None


def identity(url: str) -> str:
    """The same for addresses that mean the same page: order of parameters, tracking and fragment do not count."""
    parts = urlsplit(url)
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if not pair[0].startswith(_TRACKING)]
    return canonicalize_url(parts._replace(query=urlencode(kept)).geturl())[:LONGEST_URL]


def words(node: LexborNode) -> str:
    """What people read there, in one line."""
    return " ".join(node.text(separator=" ").split())


def _asked_of_robots(tree: LexborHTMLParser, header: str) -> set[str]:
    """What the page asks of all robots, in its head or in its X-Robots-Tag. (What it asks of some is not for us.)"""
    metas = (meta.attributes for meta in tree.css("meta[name][content]"))
    said = [meta["content"] or "" for meta in metas if (meta["name"] or "").strip().lower() == "robots"]
    return {word.strip().lower() for one in (header, *said) for word in one.split(",")}


def _guessed(body: bytes) -> str:
    """Text that is valid UTF-8 is UTF-8; what is not is read as browsers read it."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"
