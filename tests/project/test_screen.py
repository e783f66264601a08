from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from project.local.screen import Screen, Voice

TRACEBACK = (
    "Traceback (most recent call last):",
    '  File "x.py", line 1, in <module>',
    "ValueError: the reason",
)


@pytest.fixture
def shown() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def voice(shown: io.StringIO, tmp_path: Path) -> Iterator[Voice]:
    voice = Voice("web", tmp_path, Screen(Console(file=shown, width=200)))
    yield voice
    voice.close()


def test_an_ordinary_line_goes_to_the_log_file_only(voice: Voice, shown: io.StringIO) -> None:
    voice.line("INFO: all is well")
    assert voice.path.read_text() == "INFO: all is well\n"
    assert shown.getvalue() == ""


@pytest.mark.parametrize("line", ["[2026: ERROR/MainProcess] no", "FATAL:  no", '{"level": "error", "event": "no"}'])
def test_an_alarming_line_is_shown_with_the_name_of_its_process(line: str, voice: Voice, shown: io.StringIO) -> None:
    voice.line(line)
    assert shown.getvalue() == f"web          {line}\n"


def test_a_traceback_is_shown_to_its_last_line_and_no_further(voice: Voice, shown: io.StringIO) -> None:
    for line in (*TRACEBACK, "INFO: business as usual"):
        voice.line(line)
    assert "ValueError: the reason" in shown.getvalue()
    assert "business as usual" not in shown.getvalue()


def test_a_line_with_brackets_is_shown_as_it_is(voice: Voice, shown: io.StringIO) -> None:
    voice.line("ERROR [/red] [bold]")
    assert "ERROR [/red] [bold]" in shown.getvalue()


def test_while_the_stack_stops_complaints_are_for_the_log_file(voice: Voice, shown: io.StringIO) -> None:
    voice.muted = True
    voice.line("ERROR: lost the connection")
    assert (shown.getvalue(), voice.path.read_text()) == ("", "ERROR: lost the connection\n")
