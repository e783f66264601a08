"""A process that fetches one file and can be killed: URL, part file, file of the checkpoint, connections."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from downloads.engine import Checkpoint, Order, Timeouts, fetch


def main(url: str, part: Path, record: Path, connections: int) -> None:
    def save(checkpoint: Checkpoint) -> None:
        fresh = record.with_suffix(".new")
        fresh.write_text(json.dumps(checkpoint.to_json()))
        fresh.replace(record)

    resume = Checkpoint.from_json(json.loads(record.read_text())) if record.exists() else None
    fetched = fetch(
        Order(urls=(url,), connections=connections, timeouts=Timeouts(connect=5.0, head=5.0, stall=5.0)),
        part,
        resume=resume,
        resolve=lambda _host, port: [("127.0.0.1", port)],
        progress=lambda _: None,
        save=save,
        cancelled=lambda: False,
    )
    sys.stdout.write(json.dumps({"size": fetched.size, "notes": fetched.notes}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
