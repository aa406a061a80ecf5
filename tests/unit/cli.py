"""Running commands inside the test's own process, without any services."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from steploom.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result

    Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in an empty folder, with nothing in the environment that leads anywhere."""
    for name in os.environ:
        if name.startswith(("STEPLOOM_", "TEMPORAL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "100")
    folder = tmp_path / "a folder"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def invoke(*args: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, list(args), input=stdin, prog_name="steploom")

    return invoke


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
