"""Fetch URLs with the engine: directory, connections, certificate, URLs. Prints seconds and CPU seconds as JSON."""

from __future__ import annotations

import json
import resource
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from downloads.engine import Order, fetch, publish


def main(into: Path, connections: int, certificate: Path, urls: list[str]) -> None:
    tls = ssl.create_default_context(cafile=str(certificate))

    def one(url: str) -> None:
        part = into / f"{url.rpartition('/')[2]}.part"
        fetched = fetch(
            Order(urls=(url,), connections=connections),
            part,
            resolve=lambda _host, port: [("127.0.0.1", port)],
            progress=lambda _: None,
            save=lambda _: None,
            cancelled=lambda: False,
            tls=tls,
        )
        publish(part, part.with_suffix(""), overwrite=True, size=fetched.size)

    def cpu() -> float:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    began, spent = time.perf_counter(), cpu()
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(one, urls))
    sys.stdout.write(json.dumps({"seconds": time.perf_counter() - began, "cpu": cpu() - spent}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
