"""Products as shops state them: in every vocabulary, in plain HTML, and wrongly."""

from __future__ import annotations

import json

import pytest

from jobs.scraping import prices, products, selectors
from jobs.scraping.pages import Page
from jobs.scraping.structured import microdata

URL = "https://shop.example/books/dune?id=7"


def _page(body: str, content_type: str = "text/html; charset=utf-8") -> Page:
    return Page.read(URL, body.encode(), content_type)


def _json_ld(*stated: object) -> str:
    return "".join(f'<script type="application/ld+json">{json.dumps(one)}</script>' for one in stated)


DUNE = {
    "@context": "https://schema.org",
    "@type": ["Product", "Book"],
    "name": "Dune",
    "image": ["/dune.jpg", "/back.jpg"],
    "description": "Sand, and worms.",
    "sku": 4711,
    "gtin13": "9780441172719",
    "offers": {"@type": "Offer", "price": 7.5, "priceCurrency": "GBP", "availability": "https://schema.org/InStock"},
}
AS_ITEM = {
    "name": "Dune",
    "price": "7.5",
    "currency": "GBP",
    "image": "https://shop.example/dune.jpg",
    "description": "Sand, and worms.",
    "availability": "InStock",
    "sku": "4711",
    "isbn": "9780441172719",
    "url": URL,
}


@pytest.mark.parametrize(
    "stated",
    [
        DUNE,
        [{"@type": "BreadcrumbList"}, DUNE],
        {"@graph": [{"@type": "WebPage", "name": "Not it"}, DUNE]},
        {**DUNE, "@type": "https://schema.org/Product"},
        {**DUNE, "offers": [{"@type": "AggregateOffer", "lowPrice": "7.5", "priceCurrency": "GBP",
                             "availability": "InStock"}]},
        {**DUNE, "offers": {"@type": "Offer", "availability": "InStock",
                            "priceSpecification": {"price": "7.5", "priceCurrency": "GBP",
                                                   "availability": "InStock"}}},
    ],
    ids=["alone", "in a list", "in a graph", "type as URL", "aggregate", "price specification"],
)  # fmt: skip
def test_json_ld_in_its_usual_forms_gives_the_whole_product(stated: object) -> None:
    assert products.read(_page(_json_ld(stated)), {}) == (AS_ITEM, [])


def test_microdata_gives_the_whole_product_and_not_those_that_it_recommends() -> None:
    page = _page("""
      <div itemscope itemtype="https://schema.org/Product">
        <h1 itemprop="name">  Dune </h1><img itemprop="image" src="/dune.jpg">
        <p itemprop="description">Sand, and worms.</p><meta itemprop="sku" content="4711">
        <span itemprop="isbn">9780441172719</span>
        <div itemprop="offers" itemscope itemtype="http://schema.org/Offer">
          <data itemprop="price" value="7.5">£7.50</data><meta itemprop="priceCurrency" content="GBP">
          <link itemprop="availability" href="https://schema.org/InStock">
        </div>
        <div itemprop="isRelatedTo" itemscope itemtype="https://schema.org/Product">
          <b itemprop="name">Emma</b>
        </div>
      </div>
      <div itemscope itemtype="https://schema.org/Product"><b itemprop="name">Ulysses</b></div>
    """)

    assert products.read(page, {}) == (AS_ITEM, [])


def test_microdata_gives_what_its_item_points_at_elsewhere_in_the_page() -> None:
    page = _page("""
      <p id="about" itemprop="description">Sand, and worms.</p>
      <div itemscope itemtype="https://schema.org/Product" itemref="about price missing">
        <h1 itemprop="name">Dune</h1><img itemprop="image" src="/dune.jpg"><meta itemprop="sku" content="4711">
        <span itemprop="isbn">9780441172719</span>
      </div>
      <div id="price" itemprop="offers" itemscope itemtype="http://schema.org/Offer">
        <data itemprop="price" value="7.5">£7.50</data><meta itemprop="priceCurrency" content="GBP">
        <link itemprop="availability" href="https://schema.org/InStock">
      </div>
    """)

    assert products.read(page, {}) == (AS_ITEM, [])
    assert len(microdata(page)) == 1


@pytest.mark.parametrize("count", [1, 300])
def test_items_that_point_at_each_other_in_circles_are_read_to_an_end(count: int) -> None:
    refs = " ".join(f"i{number}" for number in range(count))
    items = "".join(
        f'<div id="i{number}" itemprop="p" itemscope itemref="{refs}"><b itemprop="name">x</b></div>'
        for number in range(count)
    )
    found = microdata(_page(f'<div itemscope itemtype="https://schema.org/Product" itemref="{refs}"></div>{items}'))

    assert [thing.types for thing in found] == [("Product",)]


def test_open_graph_gives_what_it_has_where_the_page_is_about_a_product() -> None:
    page = _page("""
      <meta property="og:type" content="product"><meta property="og:title" content="Dune">
      <meta property="og:image" content="/dune.jpg"><meta property="product:price:amount" content="7.5">
      <meta property="product:price:currency" content="GBP"><meta property="product:availability" content="in stock">
    """)

    wanted = {field: AS_ITEM[field] for field in ("name", "price", "currency", "image", "availability", "url")}
    assert products.read(page, {}) == (wanted, [])


def test_selectors_give_what_plain_html_shows() -> None:
    page = _page("""
      <h1>Dune</h1><p class=price>Now only £1,234.50!</p><img class=cover data-src="/dune.jpg">
      <p id=stock>Sold out</p>
    """)
    css = {"name": "h1", "price": "p.price", "image": "img.cover::attr(data-src)", "availability": "#stock::text"}

    product, faults = products.read(page, css)

    assert faults == []
    assert product == {
        "name": "Dune",
        "price": "1234.50",
        "currency": "GBP",
        "image": "https://shop.example/dune.jpg",
        "availability": "OutOfStock",
        "url": URL,
    }


def test_each_field_comes_from_the_first_that_states_it() -> None:
    page = _page(
        _json_ld({"@type": "Product", "name": "From JSON-LD"})
        + '<div itemscope itemtype="https://schema.org/Product"><b itemprop="name">From microdata</b>'
        '<i itemprop="sku">S1</i></div>'
        '<meta property="og:type" content="product"><meta property="og:title" content="Not this">'
        '<meta property="og:description" content="From OpenGraph">'
        "<p class=sku>S2</p><p class=price>3 EUR</p>"
    )

    product, _ = products.read(page, {"sku": ".sku", "price": ".price", "name": ".price"})

    assert product is not None
    assert {field: product[field] for field in ("name", "sku", "description", "price", "currency")} == {
        "name": "From JSON-LD",
        "sku": "S1",
        "description": "From OpenGraph",
        "price": "3",
        "currency": "EUR",
    }


def test_a_page_without_a_product_says_so_and_so_does_one_without_a_price() -> None:
    nothing, faults = products.read(_page("<h1>About us</h1>"), {})
    assert nothing is None
    assert faults == ["No product was found: neither structured data nor the selectors name one."]

    product, faults = products.read(_page(_json_ld({"@type": "Product", "name": "Dune"})), {})
    assert product == {"name": "Dune", "url": URL}
    assert faults == ["No price was found."]


@pytest.mark.parametrize(
    "script", ["{not json", '{"@type": "Product",}', "[" * 10_000 + "]" * 10_000], ids=["cut", "comma", "deep"]
)
def test_json_ld_that_cannot_be_read_is_reported_and_the_rest_of_the_page_is_read(script: str) -> None:
    page = _page(f'<script type="application/ld+json">{script}</script><h1>Dune</h1><b>7.50</b>')

    product, faults = products.read(page, {"name": "h1", "price": "b"})

    assert product == {"name": "Dune", "price": "7.50", "url": URL}
    assert len(faults) == 1
    assert faults[0].startswith("The page's JSON-LD cannot be read: ")


def test_a_page_that_is_nested_to_hurt_is_read_in_part_or_refused() -> None:
    nested = "<div itemscope itemtype='https://schema.org/Product' itemprop='isRelatedTo'>"

    product, _ = products.read(_page(f"{nested * 2000}<b itemprop=name>x</b>"), {})

    assert product is None
    with pytest.raises(ValueError, match="has more than 50000 tags"):
        _page(nested * 60_000)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<title>Bücher</title>".encode("cp1252"), "text/html; charset=windows-1252"),
        ('<meta charset="iso-8859-1"><title>Bücher</title>'.encode("latin-1"), "text/html"),
        ("<title>Bücher</title>".encode(), "text/html"),
        ("<title>Bücher</title>".encode("cp1252"), "text/html"),
        ("<title>Bücher</title>".encode("utf-16"), "text/html; charset=utf-8"),
    ],
    ids=["header", "meta", "valid utf-8", "not utf-8", "byte order mark"],
)
def test_text_is_decoded_by_whoever_knows_best(body: bytes, content_type: str) -> None:
    page = Page.read(URL, body, content_type)

    assert selectors.first(page, "title") == "Bücher"


@pytest.mark.parametrize(
    ("text", "wanted", "code"),
    [
        ("£7.50", "7.50", "GBP"),
        ("1.234,50 €", "1234.50", "EUR"),
        ("1,234.50 USD", "1234.50", "USD"),
        ("1 234,50 kr", "1234.50", "SEK"),
        ("CHF 1'234.50", "1234.50", "CHF"),
        ("1.234 EUR", "1234", "EUR"),
        ("1,234,567", "1234567", ""),
        ("0.123", "0.123", ""),
        ("from $5", "5", "USD"),
        ("12.", "12", ""),
        ("free", "", ""),
        ("", "", ""),
    ],
)
def test_amounts_are_read_as_people_write_them(text: str, wanted: str, code: str) -> None:
    assert (prices.amount(text), prices.currency(text)) == (wanted, code)


def test_a_point_in_a_field_for_machines_always_parts_the_fraction() -> None:
    assert prices.stated("1.234") == "1.234"
    assert prices.stated("1,234.00") == "1234.00"


@pytest.mark.parametrize("selector", ["", "a[", "::attr(href)", "..", "p::before::attr(x)"])
def test_what_is_no_selector_is_refused_with_an_example(selector: str) -> None:
    with pytest.raises(ValueError, match=r"such as \.price or img\.cover::attr"):
        selectors.checked(selector)
