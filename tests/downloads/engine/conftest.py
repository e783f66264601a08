from __future__ import annotations

import ssl
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from downloads.engine import Checkpoint, Fetched, LocalGate, Order, Progress, Timeouts, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

QUICK = Timeouts(connect=3.0, head=3.0, stall=3.0, patience=15.0)

_outcomes = pytest.StashKey[dict[int, tuple[str, str, float]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "scenario(number, does): a row of the matrix of misbehaving origins")
    config.stash[_outcomes] = {}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report: pytest.TestReport = outcome.get_result()  # type: ignore[attr-defined]
    marker = item.get_closest_marker("scenario")
    if marker and (report.when == "call" or report.outcome != "passed"):
        number, does = marker.args
        table = item.config.stash[_outcomes]
        worst = max(report.outcome, table.get(number, ("", "", 0.0))[1], key=["", "passed", "skipped", "failed"].index)
        table[number] = (does, worst, report.duration)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """With -v: the matrix as a table."""
    table = config.stash[_outcomes]
    if not table or config.get_verbosity() < 1:
        return
    terminalreporter.section("origins that misbehave")
    for number, (does, outcome, seconds) in sorted(table.items()):
        terminalreporter.line(f"{number:3}  {outcome:8} {seconds:6.2f} s  {does}")
    passed = sum(outcome == "passed" for _, outcome, _ in table.values())
    terminalreporter.line(f"{passed} of {len(table)} as they must be")


class Client:
    """Fetches into one part file and remembers what was reported and saved."""

    def __init__(self, part: Path) -> None:
        self.part = part
        self.saved: list[Checkpoint] = []
        self.save: Callable[[Checkpoint], None] = self.saved.append
        self.progress: list[Progress] = []
        self.cancel: Callable[[], bool] = lambda: False
        self.resolve: Callable[[str, int], Sequence[tuple[Any, ...]]] = lambda _host, port: [("127.0.0.1", port)]
        self.gate = LocalGate()
        self.tls: ssl.SSLContext | None = None

    def fetch(self, *urls: str, resume: Checkpoint | None = None, **options: Any) -> Fetched:
        options.setdefault("timeouts", QUICK)
        return fetch(
            Order(urls=urls, **options),
            self.part,
            resume=resume,
            resolve=self.resolve,
            progress=self.progress.append,
            save=self.save,
            cancelled=self.cancel,
            gate=self.gate,
            tls=self.tls,
        )


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path / "file.part")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a self-signed certificate for file.example and proxy.example in one file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=file.example",
        "-addext",
    ]
    names = "subjectAltName=DNS:file.example,DNS:proxy.example"
    subprocess.run(
        [*command, names, "-keyout", str(path), "-out", str(path) + ".crt"],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + path.with_name("both.pem.crt").read_bytes())
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
