"""What the person in front of `up` sees: news of the stack, and only the bad lines of its children."""

from __future__ import annotations

import re
from contextlib import suppress
from logging import Formatter, LogRecord
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from pathlib import Path

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")
ALARMING = re.compile(
    r'\b(ERROR|CRITICAL|FATAL|PANIC)\b|^Traceback|"level": ?"(error|critical)"|\[(error|critical) *\]'
)
LOG_BYTES = 10_000_000
PREFIX_WIDTH = 13


class Screen:
    def __init__(self, console: Console, *, verbose: bool = False, terse: bool = False) -> None:
        self.console = console
        self.verbose = verbose
        self._terse = terse  # a program reads along: no courtesies
        self._coloured: dict[str, str] = {}

    def say(self, message: str) -> None:
        self._print(Text(message))

    def explain(self, message: str) -> None:
        """A word to a person who waits, and to nobody else."""
        if not self._terse:
            self.say(message)

    def say_of(self, name: str, message: str) -> None:
        colour = self._coloured.setdefault(name, COLOURS[len(self._coloured) % len(COLOURS)])
        self._print(Text.assemble((f"{name:<{PREFIX_WIDTH}}", colour), message))

    def show(self, block: Text) -> None:
        self._print(block)

    def _print(self, text: Text) -> None:
        with suppress(BrokenPipeError):  # nobody looks any more; the stack runs on
            self.console.print(text, soft_wrap=True)


class Voice:
    """What one child says: all of it to its log file, the alarming part to the screen."""

    def __init__(self, name: str, logs: Path, screen: Screen, alarming: re.Pattern[str] = ALARMING) -> None:
        self.name = name
        self.path = logs / f"{name}.log"
        self.muted = False  # while the stack stops, complaints about vanishing neighbours are no news
        self.last: list[str] = []
        self._screen = screen
        self._alarming = alarming
        self._in_traceback = False
        self._file = RotatingFileHandler(self.path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
        self._file.setFormatter(Formatter("%(message)s"))

    def line(self, text: str) -> None:
        self._file.emit(LogRecord(self.name, 0, "", 0, text, None, None))
        self.last = [*self.last[-19:], text]
        if not self.muted and (self._screen.verbose or self._concerns_the_user(text)):
            self._screen.say_of(self.name, text)

    def close(self) -> None:
        self._file.close()

    def _concerns_the_user(self, text: str) -> bool:
        """An alarming line, or one of the traceback that began with one: its indented lines and the error itself."""
        if self._in_traceback:
            self._in_traceback = text.startswith((" ", "\t"))
            return True
        self._in_traceback = text.startswith("Traceback")
        return bool(self._alarming.search(text))
