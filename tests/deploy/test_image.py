"""The recipe of the image is one that linters take. tests/deploy/test_image_steps.py carries it out."""

from __future__ import annotations

import re

from tests.deploy.tools import DEPLOY, PROJECT, run


def test_hadolint_finds_nothing() -> None:
    assert run("hadolint", "deploy/Dockerfile") == ""


def test_shellcheck_finds_nothing_in_the_entrypoint() -> None:
    assert run("shellcheck", "deploy/entrypoint") == ""


def test_every_image_is_pinned_by_its_digest() -> None:
    for path in (DEPLOY / "Dockerfile", PROJECT / "docker-compose.yml", *DEPLOY.glob("compose.*.yml")):
        for image in re.findall(r"^\s*(?:image:|ARG PYTHON=)\s*(\S+)", path.read_text(), re.MULTILINE):
            assert "@sha256:" in image or image.startswith("${HAULWAY_IMAGE"), f"{path.name}: {image}"


def test_the_context_lets_in_what_the_recipe_copies_and_no_secret() -> None:
    let_in = re.findall(r"^!(\S+)", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert {"project", "jobs", "downloads", "templates", "deploy/entrypoint"} <= set(let_in)
    assert not {name for name in let_in if "secret" in name or name.startswith(".")}
    for name in let_in:
        assert (PROJECT / name).exists() or name == "templates", name
