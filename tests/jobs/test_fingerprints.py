from __future__ import annotations

import json
from typing import Any

import pytest

from jobs import fingerprints


def _raised_by(function: Any) -> BaseException:
    try:
        function()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError("did not raise")


def charge(amount: int) -> None:
    if amount > 10:
        raise ValueError(f"cannot charge {amount}")
    raise ValueError("cannot charge so little")


def test_the_same_error_in_the_same_function_is_the_same_failure_whatever_it_says() -> None:
    much, little = _raised_by(lambda: charge(99)), _raised_by(lambda: charge(1))
    assert fingerprints.of(much) == fingerprints.of(little) == "ValueError at tests.jobs.test_fingerprints.charge"


def test_another_class_or_another_function_is_another_failure() -> None:
    def refund() -> None:
        raise ValueError("no")

    assert len({fingerprints.of(_raised_by(f)) for f in (refund, lambda: charge(1), lambda: charge(None))}) == 3  # type: ignore[arg-type]


def test_an_error_out_of_a_library_is_placed_where_we_called_it() -> None:
    def parse() -> None:
        json.loads("{")

    where = fingerprints.of(_raised_by(parse))
    assert where.startswith("JSONDecodeError at tests.jobs.test_fingerprints.test_an_error_out_of")
    assert where.endswith("parse")


def test_an_error_that_was_never_raised_has_its_class_alone() -> None:
    assert fingerprints.of(TimeoutError("x")) == "TimeoutError"


@pytest.mark.parametrize("length", [10, 500])
def test_a_fingerprint_fits_its_column(length: int) -> None:
    error = type("E" * length, (Exception,), {})()
    assert fingerprints.of(error) == ("E" * length)[:200]
