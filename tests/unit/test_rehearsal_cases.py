"""Case files: everything that is wrong with one at once, and results told as readable lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from definitions.errors import InvalidDocumentError
from worker.rehearsal.case import load_cases, parse_case
from worker.rehearsal.loop import Stuck
from worker.rehearsal.run import rehearse

if TYPE_CHECKING:
    from pathlib import Path

DEFINITION = {
    "workflowId": "w",
    "name": "W",
    "version": "1.0.0",
    "steps": [{"stepId": "a", "taskId": "do.a"}],
}
REFUSED = (
    "action 0 (approve at PT1S): was refused: "
    "a does not wait for a decision; no step waits for a decision"
)


def case(**more: Any) -> dict[str, Any]:
    """The JSON value of a case whose one task is ``do.a``."""
    return {"name": "one", "definition": DEFINITION, **more}


def test_every_problem_of_a_file_is_reported_with_its_place(tmp_path: Path) -> None:
    """Pointers lead into the file; the definition's own problems are among them."""
    file = tmp_path / "cases.json"
    broken = {**DEFINITION, "steps": [{"stepId": "a", "taskId": "do.a", "next": [{}]}]}
    values = [
        case(tasks={"do.a": [{"return": 1, "hang": True}]}, typo=1),
        case(definition=broken, actions=[{"at": "soon", "pause": {}}]),
        case(actions=[{"at": "PT1S"}], expect={"path": [{"fork": {}}]}),
        {"definition": "missing.json"},
    ]
    file.write_text(json.dumps(values))
    with pytest.raises(InvalidDocumentError) as caught:
        load_cases(file)
    assert {problem.pointer for problem in caught.value.problems} == {
        "/0/tasks/do.a/0", "/0/typo", "/1/definition/steps/0/next/0", "/1/actions/0/at",
        "/2/actions/0", "/2/expect/path", "/3/definition",
    }  # fmt: skip


def test_a_definition_may_stand_in_a_file_beside_the_cases(tmp_path: Path) -> None:
    """Its path is relative to the case file; one case needs no list."""
    (tmp_path / "w.json").write_text(json.dumps(DEFINITION))
    file = tmp_path / "case.json"
    file.write_text(json.dumps(case(definition="w.json", tasks={"do.a": [{"return": {"n": 1}}]})))
    (only,) = load_cases(file)
    assert rehearse(only).output == {"n": 1}


def test_each_difference_is_a_line_that_says_where() -> None:
    """Expected and actual values stand beside each other."""
    value = case(
        tasks={"do.a": [{"expectInput": {"x": 1}, "return": {"n": 1, "ok": True}}]},
        input={"x": 2},
        actions=[{"at": "PT1S", "approve": {"stepId": "a", "approver": "ann"}}],
        expect={
            "status": "failed",
            "output": {"n": 1, "ok": 1},
            "path": ["a", "b"],
            "elapsed": "PT1S",
            "attempts": {"a": 2},
            "error": {"type": "E"},
            "compensated": ["a"],
            "data": {"y": None},
        },
    )
    assert rehearse(parse_case(value)).differences == [
        "input of a (attempt 1) at /x: expected 1, got 2",
        REFUSED,
        'status: expected "failed", got "completed"',
        "output at /ok: expected 1, got true",
        'path: expected ["a", "b"], got ["a"]',
        'elapsed: expected "PT1S", got "PT0S"',
        "attempts at /a: expected 2, got 1",
        'error: expected {"type": "E"}, got null',
        'compensated: expected ["a"], got []',
        "data: y is missing, expected null",
    ]


def test_an_action_that_should_be_refused_and_is_not_is_a_difference() -> None:
    """Refusals are part of what a case expects."""
    value = case(
        tasks={"do.a": [{"return": {}, "after": "PT5S"}]},
        actions=[{"at": "PT1S", "pause": {}, "refused": True}, {"at": "PT2S", "resume": {}}],
    )
    assert rehearse(parse_case(value)).differences == [
        "action 0 (pause at PT1S): expected to be refused, was accepted"
    ]


def test_a_run_that_waits_for_what_never_comes_says_what_that_is() -> None:
    """No timeout, no answer: the rehearsal ends, and names the step."""
    with pytest.raises(Stuck, match=r"PT0S after its start: .* waits for the task do\.a"):
        rehearse(parse_case(case(tasks={"do.a": [{"hang": True}]})))
    paused = case(tasks={"do.a": [{"return": {}}]}, actions=[{"at": "PT0S", "pause": {}}])
    paused["definition"] = {
        **DEFINITION,
        "steps": [*DEFINITION["steps"], {"stepId": "b", "taskId": "core.noop"}],
    }
    with pytest.raises(Stuck, match="leave to start a step"):
        rehearse(parse_case(paused))
