"""The command line as a newcomer meets it: help, usage errors, and how soon it answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

from steploom.cli.app import app
from tests.unit.cli import run

if TYPE_CHECKING:
    from tests.unit.cli import Run

__all__ = ["run"]

ROOT = Path(__file__).parents[2]


def _commands(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = getattr(command, "commands", {})
    return [path] + [one for name, sub in inner.items() for one in _commands(sub, (*path, name))]


ALL = _commands(get_command(app))
LEAVES = [path for path in ALL if path and not any(other[:-1] == path for other in ALL)]


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_help(run: Run, path: tuple[str, ...]) -> None:
    """``--help`` works everywhere, on stdout, with exit code 0."""
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert "Usage: steploom" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_teaches(path: tuple[str, ...]) -> None:
    """Each has a purpose, an example that names it, and a word on every option."""
    command: Any = get_command(app)
    for name in path:
        command = command.commands[name]
    purpose = (command.help or "").splitlines()[0]
    assert 10 < len(purpose) < 100
    assert purpose.endswith((".", "here, until Ctrl-C."))
    assert f"steploom {' '.join(path)}" in command.epilog
    for parameter in command.params:
        assert parameter.help, f"{parameter.name} of {path} has no help"


def test_what_the_issue_names_is_there() -> None:
    """No command is missing, and each that prints a result has ``--output``."""
    names = {" ".join(path) for path in LEAVES}
    wanted = {
        "dev", "demo", "worker", "migrate", "validate", "register", "definitions list",
        "definitions show", "start", "list", "show", "watch", "approve", "reject", "cancel",
        "pause", "resume", "skip", "rerun", "send", "explain", "definitions graph",
        "schema", "tasks list", "orgs create", "orgs list", "users create", "users list",
        "configs create", "configs activate", "configs list", "channels set", "channels list",
    }  # fmt: skip
    assert wanted <= names
    for path in LEAVES:
        command: Any = get_command(app)
        for name in path:
            command = command.commands[name]
        if path != ("worker",):
            assert any("--output" in parameter.opts for parameter in command.params), path


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    """Who types the name alone learns what there is."""
    result = run()
    assert result.exit_code == 0
    assert "steploom demo" in result.stdout


def test_version(run: Run) -> None:
    """One line."""
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("steploom")
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    "args",
    [
        ["frobnicate"],
        ["list", "--frobnicate"],
        ["show"],
        ["list", "--limit", "0"],
        ["orgs"],
        ["pause"],
        ["skip", "an-execution"],
        ["send", "an-execution"],
        ["rerun", "an-execution"],
        ["configs", "create"],
        ["configs", "activate", "seven"],
        ["configs", "activate", "0"],
        ["channels", "set"],
        ["channels", "set", "web", "--webhook", "https://a.example", "--no-webhook"],
    ],
)
def test_wrong_usage_is_exit_code_2(run: Run, args: list[str]) -> None:
    """One sentence and where the help is; nothing on stdout but help."""
    result = run(*args)
    assert result.exit_code == 2
    error, following = result.stderr.splitlines()
    assert error.startswith("Error: ")
    assert following.startswith("Next: `steploom")
    assert "--help" in following


def test_an_unexpected_error_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback unless ``--debug`` or STEPLOOM_DEBUG asks for it."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("it went wrong")

    monkeypatch.setattr("definitions.schema.definition_schema", broken)
    result = run("schema")
    assert result.exit_code == 1
    assert "ZeroDivisionError: it went wrong" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Traceback" in run("schema", "--debug").stderr
    monkeypatch.setenv("STEPLOOM_DEBUG", "1")
    assert "Traceback" in run("schema").stderr


def test_an_interrupt_is_exit_code_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell expects it, without a word."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("definitions.schema.definition_schema", interrupted)
    result = run("schema")
    assert result.exit_code == 130
    assert "Error" not in result.stderr


@pytest.mark.parametrize("args", [["--help"], ["validate", "definitions/examples"], ["schema"]])
def test_what_needs_no_service_loads_none(args: list[str]) -> None:
    """Help and offline commands start at once: no Temporal, no database, no HTTP client."""
    script = (
        "import sys\n"
        "from steploom.cli.app import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'temporalio', 'sqlalchemy', 'psycopg', 'alembic', 'httpx'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *args], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_command_line_itself_loads_next_to_nothing() -> None:
    """What a command needs is loaded when it runs: every command pays for what all of them load."""
    script = (
        "import sys, steploom.cli.app\n"
        "heavy = {'pydantic', 'cel_expr_python', 'rich', 'structlog', 'aiokafka', 'boto3'}\n"
        "heavy |= {'temporalio', 'sqlalchemy', 'psycopg', 'alembic', 'httpx', 'jsonschema_rs'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
