"""A database that a newer steploom has migrated: everything leaves it alone, and says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.postgres import as_administrator
from tests.unit.cli import closed_port, run
from tests.unit.test_cli_services import NEEDS_POSTGRES

if TYPE_CHECKING:
    from tests.unit.cli import Run

__all__ = ["closed_port", "run"]

FUTURE = "099_from_the_future"
COMMANDS = [["register", "hello.json"], *(args for args in NEEDS_POSTGRES if args != ["worker"])]


@pytest.fixture
def newer(database_url: str, closed_port: int, monkeypatch: pytest.MonkeyPatch, run: Run) -> Run:
    """Runs a command on such a database; nothing else answers."""
    as_administrator(database_url, "UPDATE alembic_version SET version_num = %s", FUTURE)
    monkeypatch.setenv("STEPLOOM_DATABASE_URL", database_url)
    monkeypatch.setenv("STEPLOOM_TEMPORAL_ADDRESS", f"127.0.0.1:{closed_port}")
    document = {"workflowId": "hello", "name": "Hello", "version": "1.0.0"}
    step = {"stepId": "greet", "taskId": "core.noop"}
    Path("hello.json").write_text(json.dumps({**document, "steps": [step]}), encoding="utf-8")
    return run


def test_every_command_refuses_it(newer: Run, database_url: str) -> None:
    """Exit code 5, one sentence with the revision, and what to do; nothing is changed."""
    for args in COMMANDS:
        result = newer(*args)
        assert result.exit_code == 5, f"{args}: {result.stderr}"
        error, following = result.stderr.splitlines()
        assert FUTURE in error, args
        assert error.endswith("which this steploom does not know: a newer one migrated it"), args
        assert following == ("Next: upgrade steploom to the version that migrated this database"), (
            args
        )
        assert result.stdout == "", args
    [row] = as_administrator(database_url, "SELECT version_num FROM alembic_version")
    assert row["version_num"] == FUTURE
