from __future__ import annotations

import time

from pydantic import BaseModel

from jobs.kinds import Context, Lane, handler


class Nothing(BaseModel):
    pass


@handler("stranger")
def stranger(payload: Nothing, ctx: Context) -> str:
    """Known where this app is installed."""
    return "known here"


@handler("stubborn", lane=Lane.IO, timeout=1, max_retries=0)
def stubborn(payload: Nothing, ctx: Context) -> None:
    """Waits for others and hears nothing: no cancel, no timeout, no drain."""
    time.sleep(3600)
