"""The programs in ``examples/``, run as a newcomer runs them: beside a ``steploom dev``."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from definitions.validation.api import validate
from tests.docs import blocks
from tests.e2e.live import ROOT, environment

if TYPE_CHECKING:
    from tests.docs import Block
    from tests.e2e.live import Live


#: What the programs of the page start.
REFUND_DEFINITION = {
    "workflowId": "refund",
    "name": "Refund",
    "version": "1.0.0",
    "steps": [
        {
            "stepId": "check",
            "taskId": "core.noop",
            "next": [
                {"nextStepId": "approve", "condition": "input.amount > 1000"},
                {"nextStepId": "decline"},
            ],
        },
        {"stepId": "approve", "taskId": "core.approval", "input": {"title": "?"}, "next": []},
        {"stepId": "decline", "taskId": "core.fail", "input": {"errorType": "TooSmall"}},
    ],
}


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


@pytest.mark.parametrize("block", blocks("python", "client"), ids=lambda one: one.place)
def test_the_programs_of_the_page(live: Live, block: Block) -> None:
    """What client.md shows runs as it stands."""
    live.write("refund.json", REFUND_DEFINITION)
    live.steploom("register", "refund.json")
    (live.folder / "page.py").write_text(block.text)
    assert _run(live, "page.py")


def test_ui_by_any_client(live: Live) -> None:
    """Our command and Temporal's answer the same; a bad argument is told, and harms nothing."""
    document = json.loads((ROOT / "examples" / "purchase.json").read_text())
    given = ("--tasks", "purchase_tasks", "--input", '{"item": "ink", "amount": 3}')
    run = live.json("start", "--inline", live.write("b.json", document), *given)
    name = run["executionId"]
    live.wait_for(name, "waiting", 90)
    asked = ("workflow", "query", "--workflow-id", name, "--type", "ui", "--input")
    answer = live.temporal(*asked, '{"user": {"roles": ["reviewer"]}}')["queryResult"][0]
    ours = live.json("ui", name, "--role", "reviewer")
    # Temporal's command line writes an empty list as null.
    assert {**answer, "warnings": answer["warnings"] or []} == ours
    assert [one["componentId"] for one in answer["components"]] == ["review-form", "progress-bar"]
    assert "unusable" in live.temporal(*asked, '{"user": 7}')["error"]
    assert live.steploom("ui", name).stdout.splitlines()[1].startswith("progress-bar")
    live.steploom("ui", "nothing-of-that-name", code=3)
    live.steploom("approve", name)


def test_schedules(live: Live) -> None:
    """Made, listed, shown, paused, resumed, triggered and removed by the command line."""
    made = live.json("schedule", "create", "often", "--workflow", "order", "--every", "1h",
                     "--input", '{"amount": 5}', "--paused", "--as", "ada@example.com")  # fmt: skip
    assert (made["every"], made["paused"], made["createdBy"]) == ("PT1H", True, "ada@example.com")
    live.steploom("schedule", "trigger", "often")
    deadline = time.monotonic() + 60
    while not (recent := live.json("schedule", "show", "often")["recent"]):
        assert time.monotonic() < deadline
    assert live.wait_for(recent[0], "completed", 60)["input"] == {"amount": 5}
    assert "goes on" in live.steploom("schedule", "resume", "often").stdout
    assert "paused" in live.steploom("schedule", "pause", "often", "--reason", "enough").stdout
    assert "paused by" in live.steploom("schedule", "show", "often").stdout
    assert "often" in live.steploom("schedule", "list").stdout
    refused = live.steploom("schedule", "create", "often", "--workflow", "order", "--every", "1h",
                            "--input", '{"amount": 5}', code=5)  # fmt: skip
    assert "already" in refused.stderr
    wrong = live.steploom("schedule", "create", "x", "--workflow", "order", "--cron", "61 * * * *",
                          "--input", '{"amount": 5}', code=2)  # fmt: skip
    assert "Temporal refuses" in wrong.stderr
    live.steploom("schedule", "delete", "often")
    live.steploom("schedule", "show", "often", code=3)


def test_a_start_says_what_is_wrong_once(live: Live) -> None:
    """In our words: an empty id, a document with an error, an unusable start object."""
    empty = live.steploom("start", "order", "--id", "", "--input", '{"amount": 5}', code=2)
    assert "an execution id is" in empty.stderr
    broken = live.write("broken.json", {"workflowId": "x", "name": "X", "steps": []})
    told = live.steploom("start", "--inline", broken, code=2).stderr
    assert told.count("version is missing") == 1
    told = live.steploom("start", "Not An Id", code=2).stderr
    assert "/workflowId invalid_id workflowId must match" in told
    assert live.steploom("list", "--workflow", "nothing").stdout == ""


def test_a_program_ends_cleanly_each_time(live: Live) -> None:
    """Nothing of Temporal's threads is left to abort a process that is done (ADR 0006)."""
    for _ in range(5):
        _run(live, "start_and_approve.py")
