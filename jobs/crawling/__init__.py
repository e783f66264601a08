"""How the scrape kinds go about it: polite visits over the whole fleet, and crawls that submit no page twice."""
