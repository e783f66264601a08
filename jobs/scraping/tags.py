"""Whether a page can be read in a bounded time, judged before it is.

To read HTML as browsers do takes time that grows with the square of the nesting, and with the square of the attributes
of one tag; and nothing else in the process runs meanwhile. Real pages are far from where that hurts.
"""

from __future__ import annotations

import re

MOST_TAGS = 50_000
_MOST_WORK = 2 * 10**8  # squares of attributes, summed over all tags: about a second
_SHORT = 256  # characters of a tag that cannot have enough attributes to matter
_MOST_READING = 20  # times its own length that a page may take to be judged

_START = re.compile(r"<[a-zA-Z]")
# The rules by which a browser reads a tag, from its name to its end. They are the same wherever it stands: so to judge
# all that could be one needs no knowledge of comments and scripts, in which it is none.
_NAME = r"(?:=[^\t\n\f\r />=]*+|[^\t\n\f\r />=]++)"
_VALUE = r"""(?:"[^"]*+"?|'[^']*+'?|[^\t\n\f\r >]*+)"""
_ATTRIBUTE = re.compile(rf"{_NAME}(?:[\t\n\f\r ]*+=[\t\n\f\r ]*+{_VALUE})?+")
_TAG = re.compile(rf"<[a-zA-Z][^\t\n\f\r />]*+((?:[\t\n\f\r /]++|{_ATTRIBUTE.pattern})*+)")


def check(text: str) -> None:
    """Raises ValueError, which says why, for a page that would take too long to read."""
    if text.count("<") > MOST_TAGS:
        raise ValueError(f"has more than {MOST_TAGS} tags")
    work = reading = 0
    for start in _START.finditer(text):
        tag = _TAG.match(text, start.start())
        assert tag is not None
        reading += len(tag[0])
        if len(tag[1]) > _SHORT:
            work += sum(1 for _ in _ATTRIBUTE.finditer(tag[1])) ** 2
        if work > _MOST_WORK or reading > _MOST_READING * len(text):
            raise ValueError("has tags with too many attributes")
