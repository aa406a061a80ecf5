"""The programs in ``examples/``, run as a newcomer runs them: beside a ``steploom dev``."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from definitions.validation.api import validate
from tests.e2e.live import ROOT, environment

if TYPE_CHECKING:
    from tests.e2e.live import Live


def _run(live: Live, program: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, program],
        cwd=live.folder,
        env=environment(USER="tester", **variables),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_definition_is_valid() -> None:
    """Without errors, and without warnings but of its task."""
    found = validate(json.loads((ROOT / "examples" / "purchase.json").read_text())).problems
    assert {one.code for one in found} <= {"unregistered_task"}


def test_start_and_approve(live: Live) -> None:
    """It tells the whole story, and its executions are on record in the name of its actor."""
    told = _run(live, "start_and_approve.py")
    for line in (
        "  review: waiting",
        "  to show: ['review-form', 'progress-bar']",
        "  review: completed, approved by ada@example.com",
        "  reserve completed 2 attempt(s)",
        "ApprovalRejected at review",
    ):
        assert line in told.splitlines()
    name = told.split()[1]
    shown = live.json("show", name)
    assert (shown["status"], shown["userId"]) == ("completed", "ada@example.com")


def test_start_and_approve_async(live: Live) -> None:
    """Three at once, each with its own output."""
    told = _run(live, "start_and_approve_async.py")
    results = [line for line in told.splitlines() if line.startswith("result ")]
    assert [line.partition("'reservation': '")[2].partition("/")[0] for line in results] == [
        "ink", "paper", "glue",
    ]  # fmt: skip


def test_a_program_ends_cleanly_each_time(live: Live) -> None:
    """Nothing of Temporal's threads is left to abort a process that is done (ADR 0006)."""
    for _ in range(5):
        _run(live, "start_and_approve.py")
