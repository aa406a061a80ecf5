"""What a resumed run does when it is told to stop, or is late, before it has begun to go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from definitions.identity import instance_id, org_id
from definitions.statuses import InstanceStatus
from worker.interpreter.begin import new_state
from worker.interpreter.people import DecisionRequest
from worker.interpreter.plan import Plan, make_plan
from worker.interpreter.state import dump_state, load_state
from worker.rehearsal.host import START, RehearsalHost
from worker.rehearsal.journal import Journal

ROOT = Path(__file__).parents[2]
DOCUMENT = {
    "workflowId": "w",
    "name": "W",
    "version": "1.0.0",
    "timeout": "PT1H",
    "steps": [
        {
            "stepId": "p",
            "taskId": "core.noop",
            "parallelBranches": [
                {"branchId": "l", "steps": [{"stepId": "x", "taskId": "core.approval"}]},
                {
                    "branchId": "r",
                    "steps": [
                        {
                            "stepId": "e",
                            "taskId": "core.wait",
                            "input": {"duration": "PT10M"},
                            "forEach": {"items": [1, 2]},
                        }
                    ],
                },
            ],
        }
    ],
}
INNER = {"p", "p/l/x", "p/r/e", "p/r/e#0", "p/r/e#1"}


def _snapshot() -> tuple[Plan, dict[str, Any]]:
    """A run's state after a minute, with an approval and two items that wait."""
    plan = make_plan(DOCUMENT, {})
    state = new_state(
        plan,
        org_id=org_id("default"),
        instance_id=instance_id("f"),
        execution_id="e",
        first_run_id="f",
        started_at=START,
        input={},
    )
    host = RehearsalHost(plan, state, {})
    taken: list[dict[str, Any]] = []
    host.from_outside(timedelta(minutes=1), lambda: taken.append(dump_state(state)))
    host.run()
    return plan, json.loads(json.dumps(taken[0]))


def _statuses(journal: Journal) -> dict[str, str]:
    return {step.path: str(step.status) for step in journal.steps()}


def test_a_cancel_before_a_resumed_run_goes_on_ends_every_step_on_record() -> None:
    """Coroutines that never came to their first line leave no step behind as if it still waited."""
    plan, dumped = _snapshot()
    host = RehearsalHost(plan, load_state(dumped), {})
    host.interpreter.cancel()
    ended = host.run()
    assert ended.status is InstanceStatus.CANCELLED
    assert _statuses(host.journal) == dict.fromkeys(INNER, "cancelled")


def test_a_run_whose_time_was_up_while_it_was_handed_on_ends_every_step_on_record() -> None:
    """Its timer ends at once when it is taken up, before its branches have begun to go on."""
    plan, dumped = _snapshot()
    dumped["deadline"] = (START - timedelta(seconds=1)).isoformat()
    host = RehearsalHost(plan, load_state(dumped), {})
    ended = host.run()
    assert ended.failure is not None
    assert ended.failure["type"] == "WorkflowTimeout"
    assert _statuses(host.journal) == dict.fromkeys(INNER, "cancelled")


def test_a_decision_that_comes_before_a_resumed_run_goes_on_is_taken() -> None:
    """It changes the state alone, and the step that waits sees it there."""
    plan, dumped = _snapshot()
    host = RehearsalHost(plan, load_state(dumped), {})
    vote = {"stepId": "x", "decision": "approved", "approver": "ann"}
    host.interpreter.decide(DecisionRequest.model_validate(vote))
    ended = host.run()
    assert ended.status is InstanceStatus.COMPLETED
    assert _statuses(host.journal)["p/l/x"] == "completed"


def test_records_are_the_same_under_every_hash_seed() -> None:
    """Nothing depends on the order of a set: three interpreters of Python, one trace."""
    script = (
        "import hashlib, json, pathlib\n"
        "from tests.rehearsals.traces import trace\n"
        "from worker.rehearsal.case import load_cases\n"
        "from worker.rehearsal.run import rehearse\n"
        "digest = hashlib.sha256()\n"
        "for file in sorted(pathlib.Path('tests/rehearsals').glob('*.json')):\n"
        "    for case in load_cases(file):\n"
        "        result = rehearse(case)\n"
        "        if result.state is not None:\n"
        "            digest.update(json.dumps(trace(result), default=str).encode())\n"
        "print(digest.hexdigest())\n"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "12345")
    }
    assert len(digests) == 1
