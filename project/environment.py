"""How settings are read from the environment: secrets from files, times in words, Redis from whatever is said of it."""

from __future__ import annotations

import re
from urllib.parse import quote

from environs import FileAwareEnv

env = FileAwareEnv()


@env.parser_for("seconds")
def _seconds(given: str) -> float:
    """A time such as 90s, 1m30s or 500ms, as some older systems had it, or a bare number of seconds."""
    if re.fullmatch(r"\d+(\.\d+)?", given):
        return float(given)
    if not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", given):
        raise ValueError(f"must be a time such as 90s, 1m30s or 500ms, not {given!r}")
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", given))


def redis_url() -> str:
    """Redis as one URL, out of whichever form the environment has: REDIS_URL, REDIS_ADDR, or REDIS_HOST and friends."""
    if url := env.str("REDIS_URL", default=""):
        return url
    password = env.str("REDIS_PASSWORD", default="")
    login = f":{quote(password, safe='')}@" if password else ""
    host = f"{env.str('REDIS_HOST', default='127.0.0.1')}:{env.int('REDIS_PORT', default=6379)}"
    return f"redis://{login}{env.str('REDIS_ADDR', default=host)}/{env.int('REDIS_DB', default=0)}"
