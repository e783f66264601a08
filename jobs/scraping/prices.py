"""Amounts of money as shops write them."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

_SYMBOLS = {"£": "GBP", "€": "EUR", "¥": "JPY", "₹": "INR", "zł": "PLN", "kr": "SEK", "$": "USD"}
_AMOUNT = re.compile(r"\d[\d.,'\s\u00a0\u202f]*")
_CODE = re.compile(r"(?<![A-Z])[A-Z]{3}(?![A-Z])")


def amount(text: str) -> str:
    """`1234.50` of `£1,234.50`, `1.234,50 €` or `1 234,50`; empty if there is none.

    The last mark parts the fraction, unless exactly three digits follow a mark that is the only one of its sort: so
    `1.234` is more than a thousand, as nobody prices in thousandths.
    """
    match = _AMOUNT.search(text)
    if not match:
        return ""
    digits = re.sub(r"[\s\u00a0\u202f']", "", match[0]).rstrip(".,")
    mark = max(digits.rfind("."), digits.rfind(","))
    if mark >= 0:
        whole, fraction = digits[:mark], digits[mark + 1 :]
        grouping = len(fraction) == 3 and not set(".,") - {digits[mark]} & set(whole) and whole not in ("", "0")
        digits = re.sub(r"[.,]", "", whole) + ("" if grouping else ".") + fraction
    try:
        return str(Decimal(digits))
    except InvalidOperation:
        return ""


def stated(text: str) -> str:
    """The amount of a field for machines, where a point can only part the fraction."""
    return text if re.fullmatch(r"\d+(\.\d+)?", text) else amount(text)


def currency(text: str) -> str:
    """The ISO code that the text names, or that its symbol most often means; empty if there is none."""
    if match := _CODE.search(text):
        return match[0]
    return next((code for symbol, code in _SYMBOLS.items() if symbol in text), "")
