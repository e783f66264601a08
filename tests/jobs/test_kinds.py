from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from jobs import kinds
from jobs.kinds import Context, Lane, UnknownKindError, handler

if TYPE_CHECKING:
    from jobs.kinds import Context as OnlyForTypeCheckers

PROJECT = Path(__file__).resolve().parent.parent.parent


class Greeting(BaseModel):
    name: str


@pytest.fixture(autouse=True)
def _no_kind_outlives_its_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_registry", dict(kinds._registry))


def test_a_typed_function_becomes_a_kind() -> None:
    @handler("greet", lane=Lane.IO, max_retries=5, timeout=30)
    def greet(payload: Greeting, ctx: Context) -> str:
        """Say hello.

        And more.
        """
        return f"Hello {payload.name}"

    kind = kinds.get("greet")
    assert kind.function is greet
    assert (kind.payload, kind.lane, kind.max_retries, kind.timeout) == (Greeting, Lane.IO, 5, 30)
    assert kind.summary == "Say hello."
    assert kind in kinds.known()


def test_the_context_may_be_imported_for_type_checkers_alone() -> None:
    @handler("greet")
    def greet(payload: Greeting, ctx: OnlyForTypeCheckers) -> None: ...

    assert kinds.get("greet").payload is Greeting


def no_parameters() -> None: ...
def only_a_payload(payload: Greeting) -> None: ...
def one_too_many(payload: Greeting, ctx: Context, more: int) -> None: ...
def no_annotation(payload, ctx: Context) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
def payload_is_a_dict(payload: dict[str, Any], ctx: Context) -> None: ...
def payload_is_a_value(payload: int, ctx: Context) -> None: ...
def payload_is_not_there_at_run_time(payload: OnlyForTypeCheckers, ctx: Context) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (no_parameters, "must take two parameters"),
        (only_a_payload, "must take two parameters"),
        (one_too_many, "must take two parameters"),
        (no_annotation, "must be annotated with a pydantic model"),
        (payload_is_a_dict, "must be annotated with a pydantic model"),
        (payload_is_a_value, "must be annotated with a pydantic model"),
        (payload_is_not_there_at_run_time, "'OnlyForTypeCheckers' is not defined when it runs"),
    ],
)
def test_a_function_that_cannot_be_a_handler_is_refused_by_name(function: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words) as caught:
        handler("greet")(function)

    assert function.__name__ in str(caught.value)
    with pytest.raises(UnknownKindError):
        kinds.get("greet")


def test_two_handlers_of_one_kind_are_refused_and_both_are_named() -> None:
    @handler("greet")
    def one(payload: Greeting, ctx: Context) -> None: ...

    def another(payload: Greeting, ctx: Context) -> None: ...

    with pytest.raises(ValueError, match=r"Two handlers for kind 'greet': .*one, .*another\."):
        handler("greet")(another)
    assert kinds.get("greet").function is one


def test_a_module_that_is_loaded_again_replaces_its_own_handler() -> None:
    def define() -> Any:
        @handler("greet")
        def greet(payload: Greeting, ctx: Context) -> None: ...

        return greet

    define()
    again = define()

    assert kinds.get("greet").function is again


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(UnknownKindError, match=r"There is no kind 'nope' here\. Known kinds: .*echo"):
        kinds.get("nope")


HANDLER = """
from jobs.kinds import Context, handler
from pydantic import BaseModel
class Payload(BaseModel): ...
@handler("{kind}")
def {kind}(payload: Payload, ctx: Context) -> None: ...
"""
SHOW = """
import django; django.setup()
from jobs import kinds
print(*[kind.name for kind in kinds.known()])
"""


def _known_with(directory: Path, *apps: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SHOW],
        env={
            "PYTHONPATH": f"{PROJECT}:{directory}",
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "EXTRA_APPS": ",".join(apps),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_handlers_of_every_installed_app_are_found_by_themselves(tmp_path: Path) -> None:
    for name in ("flat", "deep", "none"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "flat" / "handlers.py").write_text(HANDLER.format(kind="in_a_module"))
    (tmp_path / "deep" / "handlers").mkdir()
    (tmp_path / "deep" / "handlers" / "__init__.py").touch()
    (tmp_path / "deep" / "handlers" / "one.py").write_text(HANDLER.format(kind="in_a_package"))

    shown = _known_with(tmp_path, "flat", "deep", "none")

    assert {"echo", "download", "in_a_module", "in_a_package"} <= set(shown.stdout.split()), shown.stderr


def test_a_handler_that_is_broken_stops_the_start_and_says_where(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "__init__.py").touch()
    (tmp_path / "broken" / "handlers.py").write_text("import a_module_that_is_not_there")

    shown = _known_with(tmp_path, "broken")

    assert shown.returncode != 0
    assert "broken/handlers.py" in shown.stderr
    assert "a_module_that_is_not_there" in shown.stderr
