"""The runbook as tests read it: what stands in its blocks is carried out as it stands."""

from __future__ import annotations

import re
from pathlib import Path

RUNBOOK = (Path(__file__).resolve().parent.parent.parent / "deploy" / "RUNBOOK.md").read_text()


def block(title: str, language: str) -> str:
    """The one block in that language in the section of that title."""
    section = RUNBOOK.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    return str(found)
