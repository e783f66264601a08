"""What a site asks of robots, by its robots.txt (RFC 9309)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from protego import Protego

_LONGEST_DELAY = 24 * 3600.0
_MOST_BYTES = 500 * 1024  # of a robots.txt that are read; the RFC's own least


@dataclass(frozen=True)
class Rules:
    """A robots.txt, read for one robot. An empty one allows everything."""

    _parsed: Protego
    _agent: str

    @classmethod
    def read(cls, text: str, agent: str) -> Rules:
        return cls(_parsed(text[:_MOST_BYTES]), agent)

    def allow(self, url: str) -> bool:
        return bool(self._parsed.can_fetch(url, self._agent))

    @property
    def delay(self) -> float:
        """Seconds that it wants between two requests, up to a day; 0 where it does not say."""
        rate = self._parsed.request_rate(self._agent)
        stated = [self._parsed.crawl_delay(self._agent) or 0.0, rate.seconds / rate.requests if rate else 0.0]
        return min(max(float(one) for one in stated), _LONGEST_DELAY)


@lru_cache(maxsize=32)
def _parsed(text: str) -> Protego:
    """Kept, because a large one takes half a second to read and every visit needs it."""
    return Protego.parse(text)


def location(url: str) -> str:
    """Where the rules for that URL are."""
    return "{0.scheme}://{0.netloc}/robots.txt".format(urlsplit(url))
