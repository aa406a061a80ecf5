"""``rehearse --on temporal``: the same report of the same cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.unit.cli import run
from tests.unit.rehearsed import BAD, GOOD, STUCK, write

if TYPE_CHECKING:
    import pytest

    from tests.unit.cli import Run

__all__ = ["run"]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "definitions" / "examples"


def _lines(text: str) -> list[str]:
    """The lines but the last, which has the real time in it."""
    return text.splitlines()[:-1]


def test_the_report_is_the_same_as_offline(run: Run) -> None:
    """Of a case that passes and of one that fails: lines, JUnit, coverage and the exit code."""
    file = write("shop.json", [GOOD, BAD])
    offline = run("rehearse", file, "--coverage")
    temporal = run("rehearse", file, "--coverage", "--on", "temporal", "--junit", "report.xml")
    assert temporal.exit_code == offline.exit_code == 1
    assert _lines(temporal.stdout) == _lines(offline.stdout)
    assert 'tests="2"' in Path("report.xml").read_text()


def test_a_run_that_waits_for_what_never_comes_fails(run: Run) -> None:
    """It says what it waits for, and the cases after it are run."""
    result = run("rehearse", write("shop.json", [STUCK, GOOD]), "--on", "temporal")
    assert result.exit_code == 1
    assert "nothing can wake the run any more: main path waits for the task" in result.stdout
    assert "✓ A small amount  PT3S" in result.stdout


def test_a_run_may_take_longer_than_its_case_lets_one_expect(run: Run) -> None:
    """A loop of many waits: there is room for a day where an hour was in sight."""
    wait = {"stepId": "wait", "taskId": "core.wait", "input": {"duration": "PT1H"}}
    count = {
        "stepId": "count",
        "taskId": "core.set",
        "input": {"n": "${variables.n + 1}"},
        "next": [{"nextStepId": "wait", "condition": "variables.n < 24"}, {"nextStepId": "end"}],
    }
    steps = [wait, count, {"stepId": "end", "taskId": "core.noop"}]
    definition = {"workflowId": "long", "name": "Long", "version": "1.0.0", "steps": steps}
    case = {"name": "long", "definition": {**definition, "variables": {"n": 0}}}
    result = run("rehearse", write("long.json", case), "--on", "temporal")
    assert result.exit_code == 0, result.stdout
    assert "✓ long  P1D" in result.stdout


def test_the_examples_pass_continued_after_every_step(run: Run) -> None:
    """With ``--restart-every-step``, which on Temporal is to continue as a new run."""
    result = run("rehearse", str(EXAMPLES), "--on", "temporal", "--restart-every-step")
    assert result.exit_code == 0, result.stdout


def test_without_a_server_it_says_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 4, as wherever Temporal does not answer."""
    monkeypatch.setenv("STEPLOOM_TEST_SERVER_JARS", "nowhere")
    result = run("rehearse", write("shop.json", GOOD), "--on", "temporal", "--output", "json")
    assert result.exit_code == 4
    told = json.loads(result.stderr)
    assert "STEPLOOM_TEST_SERVER_JARS names nowhere" in json.dumps(told)
    assert "install Java" in json.dumps(told)


def test_a_server_that_does_not_answer_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that was given is no test server's."""
    monkeypatch.setenv("STEPLOOM_TEST_SERVER_ADDRESS", "127.0.0.1:1")
    result = run("rehearse", write("shop.json", GOOD), "--on", "temporal")
    assert result.exit_code == 4
    assert "127.0.0.1:1" in result.stderr
