"""The image without an engine: its recipe is carried out, line by line as it stands, into an empty directory.

Then every role runs from there as a user who owns nothing of it and can write to its temporary directory alone.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from project.local.datadir import make_scratch
from project.local.ports import LOOPBACK, Port
from tests.deploy.tools import DEPLOY, PROJECT
from tests.project.test_up_platform import outcome, submit
from tests.servers import running_stack
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(400)
NOBODY = 65534
RECIPE = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
BUILD = RECIPE.split("\nFROM ")[1]


def interpreter() -> str:
    """A Python that everybody may execute; one below the home of root is not."""
    for found in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        real = str(Path(found).resolve())
        if Path(real).exists() and (os.geteuid() or _runs_for_nobody(real)):
            return real
    pytest.fail("no Python interpreter here can be executed by an unprivileged user")


def _runs_for_nobody(program: str) -> bool:
    check = "import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))"
    try:
        return subprocess.run([program, "-c", check], user=NOBODY, group=NOBODY, check=False).returncode == 0
    except PermissionError:
        return False


@dataclass
class Image:
    """What the recipe has made, and the processes that run out of it."""

    root: Path
    environment: dict[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, role: str, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a role as nobody, in a temporary directory of its own."""
        runtime = self.root.parent / f"tmp-{role}-{len(self.processes)}"
        runtime.mkdir()
        if os.geteuid() == 0:
            os.chown(runtime, NOBODY, NOBODY)
        who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        with (self.root.parent / f"{role}.log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                [self.root / "deploy" / "entrypoint", role, *words],
                cwd=runtime,
                env={**self.environment, "RUNTIME_DIRECTORY": str(runtime), "TMPDIR": str(runtime), **environment},
                stdout=log,
                stderr=log,
                **who,  # type: ignore[call-overload]
            )
        process.runtime = runtime  # type: ignore[attr-defined]
        self.processes.append(process)
        return process

    def said(self, role: str) -> str:
        return (self.root.parent / f"{role}.log").read_text()[-4000:]

    def healthy(self, process: subprocess.Popen[bytes], **environment: str) -> bool:
        """What the health check of its container would say."""
        runtime = str(process.runtime)  # type: ignore[attr-defined]
        told = {**self.environment, "RUNTIME_DIRECTORY": runtime, **environment}
        command = [str(self.root / "deploy" / "entrypoint"), "healthy"]
        return subprocess.run(command, env=told, capture_output=True, check=False, timeout=30).returncode == 0


def context(destination: Path) -> None:
    """What the build is given, by the file that says so."""
    for name in re.findall(r"^!(\S+)", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE):
        source, target = PROJECT / name, destination / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, target)


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    scratch = make_scratch()
    root = scratch / "app"
    root.mkdir(mode=0o755)
    places = {"/app": str(root), "/tools": str(scratch / "tools"), "/cache/uv": _cache(), "/cache/pip": _pip_cache()}
    python = interpreter()
    environment = {"PATH": os.environ["PATH"], "HOME": str(scratch), **_proxies()}
    try:
        for line in BUILD.splitlines():
            word, _, rest = line.partition(" ")
            for place, ours in places.items():
                rest = rest.replace(place, ours)
            if word == "ENV":
                environment |= dict(re.findall(r"(\w+)=(\S+)", rest))
            elif word == "COPY":
                context(root)
            elif word == "RUN":
                for lock in re.findall(r"type=bind,source=(\S+),target", rest):
                    shutil.copy2(PROJECT / lock, root / lock)
                command = re.sub(r"--mount=\S+\s*", "", rest).replace("python -m venv", f"{python} -m venv")
                subprocess.run(["sh", "-euc", command], cwd=root, env=environment, check=True, timeout=300)
        subprocess.run(["chmod", "-R", "a-w,a+rX", str(root)], check=True)
        built = Image(root, {"PATH": f"{root}/.venv/bin:/usr/bin:/bin", "HOME": "/nonexistent"})
        built.environment |= {"PYTHONDONTWRITEBYTECODE": "1", "STATIC_ROOT": str(root / "staticfiles")}
        yield built
        for process in built.processes:
            process.kill()
            process.wait()
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(scratch)], check=False)
        shutil.rmtree(scratch, ignore_errors=True)


def _cache() -> str:
    """The machine's own cache of packages: what is tested are the steps, not the network."""
    return os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv"))


def _pip_cache() -> str:
    return os.environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip"))


def _proxies() -> dict[str, str]:
    """How this machine reaches its package index."""
    known = ("PIP_", "UV_", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "SSL_CERT", "REQUESTS_CA")
    return {name: value for name, value in os.environ.items() if name.startswith(known)} | _pip_configuration()


def _pip_configuration() -> dict[str, str]:
    found = [path for path in (Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf") if path.exists()]
    uv = Path.home() / ".config/uv/uv.toml"
    return ({"PIP_CONFIG_FILE": str(found[0])} if found else {}) | ({"UV_CONFIG_FILE": str(uv)} if uv.exists() else {})


def test_every_role_runs_unprivileged_from_a_tree_that_it_cannot_write_to(image: Image) -> None:
    port, flower_port = Port(), Port()
    with ExitStack() as kept, running_stack("--ephemeral", "--servers-only") as stack:
        kept.callback(port.release)
        kept.callback(flower_port.release)
        files = image.root.parent / "data"
        files.mkdir()
        files.chmod(0o777)
        image.environment |= {
            "POSTGRES_URL": stack.addresses.postgres_url,
            "REDIS_URL": stack.addresses.redis_url,
            "DOWNLOAD_ROOT": str(files / "downloads"),
            "SECRET_KEY": "for-this-test-alone-and-long-enough-to-be-taken-seriously-0123456789",
            "OPEN_ON_LOOPBACK": "1",
            "HOST": LOOPBACK,
            "PORT": str(port.number),
            "FLOWER_PORT": str(flower_port.number),
        }
        assert image.run("migrate").wait(120) == 0, image.said("migrate")
        web = image.run("web")
        workers = [image.run("worker", "-P", pool, "-c", "2", "-Q", queues) for pool, queues in LANES.items()]
        beat, flower = image.run("beat"), image.run("flower")
        roles = [web, *workers, beat, flower]
        eventually(lambda: all(image.healthy(role) for role in roles))
        api = f"http://{LOOPBACK}:{port.number}"
        assert outcome(api, submit(api, payload={"word": "hello"})) == "completed"
        assert requests.get(f"{api}/static/admin/css/base.css", timeout=10).ok, "static files were collected"
        assert not image.healthy(workers[0], HEARTBEAT_FILE=str(files / "none")), "no heartbeat, not healthy"
        for role in roles:
            role.send_signal(signal.SIGTERM)
        ends = [role.wait(60) for role in roles]
        assert ends[1:] == [0] * (len(roles) - 1)
        assert ends[0] in (0, -signal.SIGTERM), "uvicorn stops in order, then ends as if by the signal"


LANES = {"prefork": "critical,high,medium,low", "threads": "critical.io,high.io,medium.io,low.io"}


def test_the_entrypoint_lists_its_roles_and_refuses_others(image: Image) -> None:
    entrypoint = image.root / "deploy" / "entrypoint"
    for words, code in (([], 0), (["help"], 0), (["wobrek"], 64)):
        done = subprocess.run([entrypoint, *words], env=image.environment, capture_output=True, text=True, check=False)
        assert done.returncode == code
        for role in ("web", "worker", "beat", "flower", "migrate", "healthy"):
            assert re.search(rf"^  {role} ", done.stdout, re.MULTILINE)
