from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from downloads import storage

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django.fixtures import Settings

HOSTILE = [
    "/etc/passwd",
    "../up",
    "a/../../up",
    "..",
    ".",
    "",
    "   ",
    "a/",
    "a\\b",
    "C:\\x",
    "a\x00b",
    "a\nb",
    ".parts/x",
    "x" * 256,
    "\ud800",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_an_output_that_leaves_the_root_or_is_no_file_is_refused(name: str) -> None:
    with pytest.raises(storage.EscapesRoot):
        storage.checked_output(name)


@pytest.mark.parametrize(("name", "simplest"), [("a.zip", "a.zip"), ("./b/c.bin", "b/c.bin"), ("Grüße 1.txt",) * 2])
def test_a_plain_output_is_kept_in_its_simplest_form(name: str, simplest: str) -> None:
    assert storage.checked_output(name) == simplest


def test_a_link_that_leads_outside_is_noticed_before_anything_is_published(tmp_path: Path, settings: Settings) -> None:
    settings.DOWNLOAD_ROOT = tmp_path / "root"
    outside = tmp_path / "outside"
    outside.mkdir()
    settings.DOWNLOAD_ROOT.mkdir()
    (settings.DOWNLOAD_ROOT / "link").symlink_to(outside)
    with pytest.raises(storage.EscapesRoot):
        storage.destination("link/file")
    with pytest.raises(storage.EscapesRoot):
        storage.destination("link/deeper/file")
    assert list(outside.iterdir()) == []


def test_taken_names_get_a_number_before_the_suffix() -> None:
    names = storage.alternatives("a/b.tar.gz")
    assert [next(names) for _ in range(3)] == ["a/b.tar.gz", "a/b.tar (1).gz", "a/b.tar (2).gz"]
