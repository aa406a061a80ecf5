"""What commands do where a service is not there, and where the settings come from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from definitions.errors import (
    ConflictError,
    InvalidDocumentError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    SteploomError,
    UnreachableError,
)
from definitions.problems import Problem
from steploom import devinfo
from steploom.cli.errors import exit_code
from steploom.services import load_settings, resolve_settings
from tests.unit.cli import closed_port, run

if TYPE_CHECKING:
    from tests.unit.cli import Run

__all__ = ["closed_port", "run"]

NEEDS_POSTGRES = [
    ["list"],
    ["show", "something"],
    ["watch", "something"],
    ["start", "something"],
    ["approve", "something"],
    ["reject", "something"],
    ["cancel", "something"],
    ["pause", "something", "another"],
    ["resume", "something"],
    ["skip", "something", "step"],
    ["send", "something", "event"],
    ["rerun", "something", "--from", "step"],
    ["explain", "something"],
    ["definitions", "list"],
    ["definitions", "show", "something"],
    ["orgs", "list"],
    ["orgs", "create", "acme"],
    ["users", "list"],
    ["users", "create", "manager"],
    ["configs", "create", "{}"],
    ["configs", "activate", "1"],
    ["configs", "list"],
    ["channels", "set", "web"],
    ["channels", "list"],
    ["audit", "list"],
    ["audit", "verify"],
    ["audit", "seal"],
    ["migrate"],
    ["worker"],
]


@pytest.mark.parametrize("args", NEEDS_POSTGRES, ids=" ".join)
def test_without_any_service_each_command_says_so(run: Run, args: list[str]) -> None:
    """Exit code 4: one sentence that says which one is missing, and how to start it."""
    result = run(*args)
    assert result.exit_code == 4
    error, following = result.stderr.splitlines()
    assert error == "Error: no Postgres is set up, and no `steploom dev` runs in this folder"
    assert following.startswith("Next: start one with `steploom dev`")
    assert result.stdout == ""


@pytest.mark.parametrize("args", NEEDS_POSTGRES, ids=" ".join)
def test_a_postgres_that_does_not_answer(
    run: Run, monkeypatch: pytest.MonkeyPatch, closed_port: int, args: list[str]
) -> None:
    """Exit code 4, with the address and without the password; as JSON where that was asked for."""
    if args == ["worker"]:
        pytest.skip("asks Temporal first")
    url = f"postgresql://someone:secret-word@127.0.0.1:{closed_port}/nothing"
    monkeypatch.setenv("STEPLOOM_DATABASE_URL", url)
    monkeypatch.setenv("STEPLOOM_TEMPORAL_ADDRESS", f"127.0.0.1:{closed_port}")
    result = run(*args, "--output", "json")
    assert result.exit_code == 4
    assert result.stdout == ""
    error = json.loads(result.stderr)["error"]
    assert error["type"] == "UnreachableError"
    assert f"Postgres at 127.0.0.1:{closed_port}/nothing does not answer" in error["message"]
    assert "secret-word" not in result.stderr


def test_a_temporal_that_does_not_answer(
    run: Run, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    """A worker without Temporal says so and ends with exit code 4."""
    monkeypatch.setenv("STEPLOOM_DATABASE_URL", f"postgresql://u:p@127.0.0.1:{closed_port}/nothing")
    monkeypatch.setenv("STEPLOOM_TEMPORAL_ADDRESS", f"127.0.0.1:{closed_port}")
    result = run("worker")
    assert result.exit_code == 4
    assert f"Temporal does not answer at 127.0.0.1:{closed_port}" in result.stderr
    assert "Traceback" not in result.stderr


def test_settings_that_cannot_be_are_all_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2, before anything else."""
    monkeypatch.setenv("STEPLOOM_DATABASE_POOL_SIZE", "many")
    monkeypatch.setenv("STEPLOOM_SANDBOX", "perhaps")
    result = run("list")
    assert result.exit_code == 2
    assert "STEPLOOM_DATABASE_POOL_SIZE: must be a whole number; " in result.stderr
    assert "STEPLOOM_SANDBOX: must be true or false\n" in result.stderr
    assert "perhaps" not in result.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ("configs activate abc", "invalid value for 'CONFIG': must be a whole number, not 'abc'"),
        ("configs activate 0", "invalid value for 'CONFIG': must be at least 1, not '0'"),
        ("list --limit 1001", "invalid value for '--limit': must be at most 1000, not '1001'"),
        ("list --output csv", "'csv' is not one of 'table', 'json', 'jsonl', 'yaml'"),
        ("events republish abc", "must be a UUID, not 'abc'"),
        ("rehearse x --coverage-min most", "must be a number, not 'most'"),
    ],
)
def test_an_option_that_cannot_be_is_told_in_our_words(run: Run, args: str, told: str) -> None:
    """Which one, what is allowed, and what was given."""
    result = run(*args.split())
    assert result.exit_code == 2
    assert told in result.stderr
    for of_pydantic in ("Input should", "Value error"):
        assert of_pydantic not in result.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "--input is no JSON"),
        ("{" + "1" * 5000, "--input is no JSON"),
        ("[1]", "--input has to be a JSON object"),
        ('{"a": 1, "a": 2}', "--input is no JSON"),
        ('{"a": NaN}', "--input is no JSON"),
        ("@nowhere.json", "nowhere.json cannot be read"),
    ],
)
def test_an_input_that_is_none(run: Run, text: str, message: str) -> None:
    """Refused before any service is asked."""
    result = run("start", "something", "--input", text)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_start_needs_an_id_or_a_document(run: Run) -> None:
    """One of the two, not both."""
    assert run("start").exit_code == 2
    assert "--inline" in run("start").stderr
    result = run("start", "UPPER CASE")
    assert result.exit_code == 2
    assert "/workflowId" in result.stderr


def _dev_runs(folder: Path) -> devinfo.DevInfo:
    info = devinfo.DevInfo(
        temporal="127.0.0.1:1111",
        namespace="ours",
        temporal_ui="http://127.0.0.1:2222",
        database="postgresql://u:p@127.0.0.1:3333/steploom",
        pid=os.getpid(),
    )
    devinfo.write(folder, info)
    return info


def test_what_dev_runs_here_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each service on its own, after what the environment says."""
    for name in os.environ:
        if name.startswith(("STEPLOOM_", "TEMPORAL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert resolve_settings(load_settings(), tmp_path).temporal_address is None
    with devinfo.hold(tmp_path):
        info = _dev_runs(tmp_path)
        found = resolve_settings(load_settings(), tmp_path)
        assert found.temporal_address == info.temporal
        assert found.temporal_namespace == "ours"
        assert found.temporal_ui_url == info.temporal_ui
        assert found.database_url is not None
        assert found.database_url.get_secret_value() == info.database

        monkeypatch.setenv("STEPLOOM_TEMPORAL_ADDRESS", "temporal.example.com:7233")
        found = resolve_settings(load_settings(), tmp_path)
        assert found.temporal_address == "temporal.example.com:7233"
        assert found.temporal_namespace == "default"
        assert found.temporal_ui_url is None
        assert found.database_url is not None

        monkeypatch.delenv("STEPLOOM_TEMPORAL_ADDRESS")
        monkeypatch.setenv("TEMPORAL_ADDRESS", "elsewhere.example.com:7233")
        found = resolve_settings(load_settings(), tmp_path)
        assert found.temporal_address is None, "left to Temporal's own configuration"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidDocumentError([Problem(pointer="", code="empty", message="it is empty")]), 2),
        (InvalidInputError("no"), 2),
        (NotFoundError("definition", "no"), 3),
        (UnreachableError("Postgres", "no"), 4),
        (ConflictError("no"), 5),
        (RefusedError("no"), 5),
        (SteploomError("no"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_has_an_exit_code(error: SteploomError, code: int) -> None:
    """The table of the documentation."""
    assert exit_code(error) == code
