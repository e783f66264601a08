"""The product of a page, as one flat record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from jobs.scraping import prices, selectors
from jobs.scraping.pages import Page
from jobs.scraping.structured import Thing, json_ld, microdata, of_type, open_graph

FIELDS = ("name", "price", "currency", "image", "description", "availability", "sku", "isbn", "url")
_KINDS = ("Product", "ProductGroup", "IndividualProduct", "Book")
_LONGEST_TEXT = 10_000

Product = dict[str, str]


def read(page: Page, css: Mapping[str, str]) -> tuple[Product | None, list[str]]:
    """The page's product and what is wrong with it; none if it shows none.

    Each field comes from the first that states it: JSON-LD, microdata, OpenGraph, then `css`, a selector per field.
    The amount is a decimal number as text, so that no digit is lost on its way.
    """
    things, faults = json_ld(page)
    product: Product = {}
    for source in (things, microdata(page), open_graph(page)):
        _fill(product, _stated(source, page))
    _fill(product, _selected(page, css))
    if not product.get("name"):
        return None, [*faults, "No product was found: neither structured data nor the selectors name one."]
    _fill(product, {"url": page.url})
    if not product.get("price"):
        faults.append("No price was found.")
    return {field: product[field][:_LONGEST_TEXT] for field in FIELDS if product.get(field)}, faults


def _fill(product: Product, more: Mapping[str, str]) -> None:
    for field, value in more.items():
        if value and not product.get(field):
            product[field] = value


def _stated(things: Iterable[Thing], page: Page) -> Product:
    """The first product that has a name: pages put those they recommend after their own."""
    thing = next((one for one in of_type(things, *_KINDS) if one.text("name")), None)
    if thing is None:
        return {}
    offer = next((one for one in _offers(thing) if one.text("price") or one.text("lowPrice")), thing)
    gtin = next((one for one in thing.texts("gtin13") + thing.texts("gtin") if one.startswith(("978", "979"))), "")
    return {
        "name": thing.text("name"),
        "price": prices.stated(offer.text("price") or offer.text("lowPrice")),
        "currency": offer.text("priceCurrency"),
        "image": page.link(thing.text("image")) or "",
        "description": thing.text("description"),
        "availability": _availability(offer.text("availability")),
        "sku": thing.text("sku"),
        "isbn": thing.text("isbn") or gtin,
        "url": page.link(thing.text("url")) or "",
    }


def _offers(thing: Thing) -> list[Thing]:
    """Offers, with the place where each may keep its price as well."""
    offers = [
        *thing.things("offers"),
        *(one for variant in thing.things("hasVariant") for one in variant.things("offers")),
    ]
    return [one for offer in offers for one in (offer, *offer.things("priceSpecification"), *offer.things("offers"))]


def _selected(page: Page, css: Mapping[str, str]) -> Product:
    found = {field: selectors.first(page, css[field]) for field in FIELDS if field in css}
    price = found.get("price", "")
    return {
        **found,
        "price": prices.amount(price),
        "currency": prices.currency(found.get("currency", "") or price),
        "image": page.link(found.get("image")) or "",
        "availability": _availability(found.get("availability", "")),
        "url": page.link(found.get("url")) or "",
    }


def _availability(text: str) -> str:
    """In the words of schema.org where they can be told: `InStock`, `OutOfStock`; else as the page has it."""
    text = text.strip().rstrip("/").rpartition("/")[2]
    plain = text.lower().replace(" ", "").replace("_", "").replace("-", "")
    if any(word in plain for word in ("outofstock", "soldout", "notavailable", "unavailable")):
        return "OutOfStock"
    return "InStock" if plain in ("instock", "available", "instoreonly", "onlineonly") or "instock" in plain else text
