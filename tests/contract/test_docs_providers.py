"""The page on providers: its example runs, and its provider of one's own holds the contract."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.docs import ROOT, blocks

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.workflows.stack import Stack


def text(mark: str) -> str:
    """The one block of Python with this mark."""
    [block] = blocks("python", mark)
    return block.text


async def test_the_example_runs(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And prints what the page says that it prints."""
    settings = stack.settings()
    monkeypatch.setenv("STEPLOOM_TEMPORAL_ADDRESS", settings.temporal_address or "")
    monkeypatch.setenv("STEPLOOM_DATABASE_URL", stack.url)
    monkeypatch.setenv("STEPLOOM_TASK_QUEUE", stack.task_queue)
    names: dict[str, Any] = {}
    exec(compile(text("example"), "docs/providers.md", "exec"), names)  # noqa: S102
    await names["main"]()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "succeeded {'tenant': 'tenant-123'}"
    assert [line.split()[0] for line in lines[1:]] == [
        "ExecutionStarted",
        "StateEntered",
        "StateExited",
        "ExecutionSucceeded",
    ]


def test_a_provider_of_ones_own_holds_the_contract(tmp_path: Path) -> None:
    """Run by pytest as a project of its own, which has nothing of this repository's tests."""
    (tmp_path / "memory_provider.py").write_text(text("provider"))
    (tmp_path / "test_memory.py").write_text(text("contract"))
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout
    assert "skipped" not in ran.stdout
