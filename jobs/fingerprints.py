"""What makes two failures the same failure: the class of the error, and the function that it came out of.

Messages carry ids, times and addresses, and lines move with every release, so neither is part of it. Code of
libraries is passed over: where we called them says more, and does not change when they do.
"""

from __future__ import annotations

import sysconfig
import traceback
from types import FrameType

_LONGEST = 200  # characters, as the column has it
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})


def of(error: BaseException) -> str:
    """`TimeoutError at jobs.calling.call`; the class alone where no code of ours was under way."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if not frame.f_code.co_filename.startswith(_LIBRARIES)]
    where = _name(ours[-1]) if ours else ""
    text = f"{type(error).__name__} at {where}" if where else type(error).__name__
    return text[:_LONGEST]


def _name(frame: FrameType) -> str:
    return f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}"
