"""The payload of the three scrape kinds."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator

from jobs.calling import Url
from jobs.scraping import selectors
from jobs.scraping.pages import LONGEST_URL

LONGEST_CRAWL = 100
_LONGEST_DELAY = 3600.0

Selector = Annotated[str, StringConstraints(max_length=500), AfterValidator(selectors.checked)]


class Selectors(BaseModel):
    """CSS selectors for pages that do not say it for machines: `.price`, or `img.cover::attr(src)`."""

    model_config = ConfigDict(extra="forbid")

    category: Selector | None = Field(default=None, description="Links to categories; before what a page states.")
    product: Selector | None = Field(default=None, description="Links to products; before what a page states.")
    next: Selector | None = Field(default=None, description="The link to the next page of a category.")
    name: Selector | None = None
    price: Selector | None = None
    currency: Selector | None = None
    image: Selector | None = None
    description: Selector | None = None
    availability: Selector | None = None
    sku: Selector | None = None
    isbn: Selector | None = None
    url: Selector | None = None

    def given(self) -> dict[str, str]:
        return self.model_dump(exclude_none=True)


class Options(BaseModel):
    """How to go about it. Jobs that a scrape submits get the same."""

    model_config = ConfigDict(extra="forbid")

    follow: bool = Field(default=False, description="Submit a job for each category, or product, that is found.")
    selectors: Selectors = Selectors()
    max_pages: int = Field(default=50, ge=1, le=1000, description="Pages of one category, at most.")
    delay: float = Field(
        default=0,
        ge=0,
        le=_LONGEST_DELAY,
        description="Seconds between two requests to a host; what the operator and the site ask for is the least.",
    )
    hosts: list[Annotated[str, StringConstraints(max_length=300, to_lower=True)]] = Field(
        default_factory=list, max_length=100, description="Hosts beside its own that links may lead to."
    )


class ScrapeRequest(BaseModel):
    """One page to scrape."""

    model_config = ConfigDict(extra="forbid")

    target_url: Annotated[Url, StringConstraints(max_length=LONGEST_URL)]
    metadata: dict[str, Any] = Field(
        default_factory=dict,
        description="Notes that the submitted jobs get as well. `crawl` names the crawl, in which no page comes twice.",
    )
    options: Options = Options()

    @field_validator("metadata")
    @classmethod
    def _crawl_is_a_name(cls, metadata: dict[str, Any]) -> dict[str, Any]:
        crawl = metadata.get("crawl", "-")
        if not (isinstance(crawl, str) and 0 < len(crawl) <= LONGEST_CRAWL):
            raise ValueError(f"crawl must be a text of at most {LONGEST_CRAWL} characters")
        return metadata
