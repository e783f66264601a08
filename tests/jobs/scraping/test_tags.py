"""Pages that would take minutes to read, and keep everything else in the process waiting, are refused before."""

from __future__ import annotations

import pytest

from jobs.scraping.pages import Page

MANY = 100_000
NAMES = [f"a{number}" for number in range(MANY)]
HOSTILE = {
    "with values": f"<p {'=1 '.join(NAMES)}>",
    "without values": f"<p {' '.join(NAMES)}>",
    "by slashes": f"<p/{'/'.join(NAMES)}>",
    "without an end": f"<p {' '.join(NAMES)}",
    "with ends of tags in quotes": "<p " + "".join(f"{name}='>'" for name in NAMES) + ">",
    "after a quote in a comment": f'<!-- <p a=" --> <p {" ".join(NAMES)}>',
    "after a quote in a script": f"<script>'<p a='</script><p {' '.join(NAMES)}>",
    "in a script that is none": f"<svg><script><p {' '.join(NAMES)}></script></svg>",
    "over many tags": f"<p {' '.join(NAMES[:2000])}>" * 200,
    "of tags in tags": "<a " * 49_000 + ">",
    "of quotes in quotes": "<a b=\"<a b='" * 20_000,
    "of very many tags": "<p>" * 60_000,
}


def _read(html: str) -> Page:
    return Page.read("https://shop.example/", html.encode(), "text/html")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_page_that_was_made_to_take_long_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"has (tags with too many attributes|more than 50000 tags)"):
        _read(HOSTILE[name])


@pytest.mark.parametrize(
    "html",
    [
        """<div class="a b" id=x data-k='1' hidden><a href=/x?a=1&b=2 title="it's > that">x</a></div>""" * 12_000,
        f"<script>{'for(var i=0;i<n;i++){a[i]=b[i]*c;if(x>y){z=1}}' * 20_000}</script>",
        f"<style>{'a > b { color: red } ' * 20_000}</style>",
        f'<img src="data:image/png;base64,{"A" * 2_000_000}">',
        f"<p {' '.join(NAMES[:1000])}>",
        "a < b, <3, < p, </p, <!doctype>, <",
    ],
)
def test_a_large_page_that_is_one_is_read(html: str) -> None:
    assert _read(html).tree.body is not None
