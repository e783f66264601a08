"""The reader of environment variables: secrets from files, times in words, all faults at once instead of the first."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

from environs import Env, FileAwareEnv
from environs.exceptions import EnvError, EnvValidationError


def _patient(read: Callable[..., Any]) -> Callable[..., Any]:
    """Notes a fault and goes on with the default."""

    @wraps(read)
    def reading(self: Environment, name: str, *, default: Any, **options: Any) -> Any:
        try:
            return read(self, name, default=default, **options)
        except EnvValidationError as error:
            told = error.error_messages
            self.fault(name, " ".join(map(str, told)) if isinstance(told, list) else str(told))
        except (EnvError, ValueError) as error:
            self.fault(name, str(error))
        return default

    return reading


class Environment(FileAwareEnv):
    """`NAME_FILE` may name a file that holds the value of NAME; white space around what it holds is not part of it."""

    def __init__(self) -> None:
        super().__init__(strip_whitespace=True)
        self.faults: list[str] = []

    if not TYPE_CHECKING:
        str, int, float, bool, list, dict = map(_patient, (Env.str, Env.int, Env.float, Env.bool, Env.list, Env.dict))

    def seconds(self, name: str, *, default: str) -> float:
        """A time such as 90s, 1m30s or 500ms, as some older systems had it, or a bare number of seconds."""
        try:
            return _seconds(self.str(name, default=default))
        except ValueError as error:
            self.fault(name, str(error))
            return _seconds(default)

    def fault(self, name: str, why: str) -> None:
        """Note what is wrong with a variable. Never its value: it may be a secret."""
        self.faults.append(f"{name}: {why}")

    def stop_at_faults(self) -> None:
        """End the process with a line for each fault, where there is one."""
        if self.faults:
            raise SystemExit("\n".join(["Haulway does not start, because settings are wrong:", *_lines(self.faults)]))


def _lines(faults: Sequence[str]) -> list[str]:
    return [f"  {fault}" for fault in faults]


def _seconds(given: str) -> float:
    if re.fullmatch(r"\d+(\.\d+)?", given):
        return float(given)
    if not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", given):
        raise ValueError("must be a time such as 90s, 1m30s or 500ms")
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", given))
