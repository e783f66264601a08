"""What a page says of itself for machines: JSON-LD, microdata and OpenGraph, read into one shape.

A Thing has types and properties, named as schema.org names them. Every property is a list of texts and Things.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobs.scraping.pages import Page, words
from jobs.scraping.tags import MOST_TAGS

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_DEEPEST = 256  # of elements, and of objects in JSON: a page that goes deeper was made to hurt
_MOST_VISITS = 4 * MOST_TAGS  # of elements: those that are pointed at are visited once more for each who does
_URL_ATTRIBUTES = {
    **dict.fromkeys(("a", "area", "link"), "href"),
    **dict.fromkeys(("audio", "embed", "iframe", "img", "source", "track", "video"), "src"),
    "object": "data",
}


@dataclass
class Thing:
    types: tuple[str, ...]
    properties: dict[str, list[str | Thing]] = field(default_factory=lambda: defaultdict(list))

    def texts(self, name: str) -> list[str]:
        """The texts of a property; of a Thing in its place, the URL or the name."""
        found = []
        for value in self.properties.get(name, ()):
            text = value if isinstance(value, str) else value.text("url") or value.text("@id") or value.text("name")
            if text:
                found.append(text)
        return found

    def text(self, name: str) -> str:
        return next(iter(self.texts(name)), "")

    def things(self, name: str) -> list[Thing]:
        return [value for value in self.properties.get(name, ()) if isinstance(value, Thing)]


def of_type(things: Iterable[Thing], *types: str) -> Iterator[Thing]:
    """All Things of these types, wherever they stand; the outermost first."""
    level = deque(things)
    while level:
        thing = level.popleft()
        if set(types) & set(thing.types):
            yield thing
        level += [inner for values in thing.properties.values() for inner in values if isinstance(inner, Thing)]


# --- JSON-LD ----------------------------------------------------------------------------------------------------------


def json_ld(page: Page) -> tuple[list[Thing], list[str]]:
    """The Things that its scripts state, and what is wrong with those that cannot be read."""
    things, faults = [], []
    for script in page.tree.css('script[type="application/ld+json"]'):
        try:
            stated = json.loads(script.text(), strict=False)
            things += [thing for thing in _from_json(stated, 0) if isinstance(thing, Thing)]
        except (ValueError, RecursionError) as error:
            faults.append(f"The page's JSON-LD cannot be read: {error}")
    return things, faults


def _from_json(value: Any, depth: int) -> list[str | Thing]:
    if depth > _DEEPEST:
        raise ValueError(f"nested deeper than {_DEEPEST} levels")
    if isinstance(value, list):
        return [thing for one in value for thing in _from_json(one, depth + 1)]
    if not isinstance(value, dict):
        return [] if value is None else [str(value).strip()]
    if "@value" in value:
        return _from_json(value["@value"], depth + 1)
    if isinstance(value.get("@graph"), list):
        return _from_json(value["@graph"], depth + 1)
    types = value.get("@type")
    thing = Thing(tuple(_local_name(str(one)) for one in (types if isinstance(types, list) else [types])))
    for name, inner in value.items():
        thing.properties[_local_name(name)] += _from_json(inner, depth + 1)
    return [thing]


def _local_name(name: str) -> str:
    """`Product`, whether it was written so, as schema:Product, or as https://schema.org/Product."""
    return name.rstrip("/").rpartition("/")[2].rpartition(":")[2]


# --- microdata --------------------------------------------------------------------------------------------------------


def microdata(page: Page) -> list[Thing]:
    """The outermost items of the page, with what they point at by itemref. One walk, whatever the page looks like."""
    found: list[Thing] = []
    elsewhere = _referred_to(page)
    left: list[tuple[LexborNode, Thing | None, int]] = [(page.tree.root, None, 0)] if page.tree.root else []
    for _ in range(_MOST_VISITS):
        if not left:
            break
        node, owner, depth = left.pop()
        names = (node.attributes.get("itemprop") or "").split()
        if owner is None and names and node.attributes.get("id") in elsewhere:
            continue  # it belongs to the item that points at it
        item = _item(node)
        if owner is None or not names:
            found += [item] if item else []
        else:
            for name in names:
                owner.properties[_local_name(name)].append(item or _value(node, page))
        if depth < _DEEPEST:
            if item:
                left += [(elsewhere[name], item, depth + 1) for name in _references(node) if name in elsewhere]
            left += [(child, item or owner, depth + 1) for child in reversed(list(node.iter()))]
    return found


def _references(node: LexborNode) -> list[str]:
    return (node.attributes.get("itemref") or "").split()


def _referred_to(page: Page) -> dict[str, LexborNode]:
    """The elements that items point at, by their ids."""
    wanted = {name for node in page.tree.css("[itemscope][itemref]") for name in _references(node)}
    found: dict[str, LexborNode] = {}
    for node in page.tree.css("[id]") if wanted else ():
        name = node.attributes.get("id") or ""
        if name in wanted:
            found.setdefault(name, node)
    return found


def _item(node: LexborNode) -> Thing | None:
    if "itemscope" not in node.attributes:
        return None
    return Thing(tuple(_local_name(one) for one in (node.attributes.get("itemtype") or "").split()))


def _value(node: LexborNode, page: Page) -> str:
    attributes = node.attributes
    if node.tag in _URL_ATTRIBUTES:
        return page.link(attributes.get(_URL_ATTRIBUTES[node.tag])) or ""
    for name in ("content", "datetime" if node.tag == "time" else "value"):
        if value := attributes.get(name):
            return value.strip()
    return words(node)


# --- OpenGraph --------------------------------------------------------------------------------------------------------


def open_graph(page: Page) -> list[Thing]:
    """The page's product, in the words of schema.org, where it says that it is about one."""
    said: dict[str, str] = {}
    for meta in page.tree.css("meta[property][content]"):
        said.setdefault(meta.attributes.get("property") or "", (meta.attributes.get("content") or "").strip())
    if not (said.get("og:type", "").startswith(("product", "og:product")) or said.get("product:price:amount")):
        return []
    product = Thing(("Product",))
    for name, key in _OPEN_GRAPH.items():
        if value := next((said[one] for one in (f"product:{key}", f"og:{key}") if said.get(one)), ""):
            product.properties[name].append(value)
    return [product]


_OPEN_GRAPH = {
    "name": "title",
    "image": "image",
    "description": "description",
    "url": "url",
    "price": "price:amount",
    "priceCurrency": "price:currency",
    "availability": "availability",
    "sku": "retailer_item_id",
    "isbn": "isbn",
}
