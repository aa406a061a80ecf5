"""The records that a run leaves behind, whatever host it ran on."""

from __future__ import annotations

from collections import Counter
from typing import Any

from definitions.records import AuditEvent, Record, StepRecord, TransitionRecord
from worker.interpreter.state import dump_state, load_state
from worker.rehearsal.case import parse_case
from worker.rehearsal.run import CaseResult, rehearse


def run(*steps: dict[str, Any], tasks: dict[str, Any] | None = None, **more: Any) -> CaseResult:
    """Rehearses a definition with these steps."""
    definition = {"workflowId": "w", "name": "W", "version": "1.0.0", "steps": list(steps)}
    given = more.pop("input", {})
    actions = more.pop("actions", [])
    case = {
        "name": "records",
        "definition": {**definition, **more},
        "input": given,
        "tasks": tasks or {},
        "actions": actions,
    }
    return rehearse(parse_case(case))


def ended(result: CaseResult) -> list[StepRecord]:
    """All records of ends of steps, superseded ones included."""
    return [one for one in result.journal.records if isinstance(one, StepRecord) if _ended(one)]


def _ended(record: Record) -> bool:
    return isinstance(record, StepRecord) and record.status.ended


EVERYTHING = (
    {"stepId": "a", "taskId": "do.a"},
    {
        "stepId": "p",
        "taskId": "core.noop",
        "parallelBranches": [
            {"branchId": "l", "steps": [{"stepId": "x", "taskId": "do.x"}]},
            {
                "branchId": "r",
                "steps": [
                    {
                        "stepId": "e",
                        "taskId": "do.e",
                        "forEach": {"items": [1, 2, 3], "toleratedFailures": 1},
                        "retryPolicy": {"maxAttempts": 1},
                    },
                    {"stepId": "w", "taskId": "core.wait", "input": {"duration": "PT5S"}},
                ],
            },
        ],
    },
    {
        "stepId": "c",
        "taskId": "core.noop",
        "next": [{"nextStepId": "d", "condition": "data.n > 0"}],
    },
    {"stepId": "d", "taskId": "core.fail", "input": {"errorType": "Told"}},
)
TASKS = {
    "do.a": [{"return": {"n": 1}, "after": "PT1S"}],
    "do.x": [{"return": {}, "after": "PT2S"}],
    "do.e": [{"return": {}}, {"throw": {"errorType": "Broken"}}, {"return": {}, "after": "PT3S"}],
}


def test_the_numbers_of_records_never_repeat_and_grow() -> None:
    """What the interpreter hands over has growing numbers; a host's own record was given one."""
    result = run(*EVERYTHING, tasks=TASKS)
    numbers = [record.seq for record in result.journal.records]
    assert len(numbers) == len(set(numbers))
    by_the_host = {one.step.seq for one in result.journal.attempts}
    own = [number for number in numbers if number not in by_the_host]
    assert own == sorted(own)


def test_each_iteration_of_a_step_ends_once() -> None:
    """One ended record for each (path, iteration), of items and branches alike."""
    records = ended(run(*EVERYTHING, tasks=TASKS))
    assert set(Counter((one.path, one.iteration) for one in records).values()) == {1}
    assert {one.path for one in records} == {
        "a", "p", "p/l/x", "p/r/e", "p/r/e#0", "p/r/e#1", "p/r/e#2", "p/r/w", "c", "d",
    }  # fmt: skip


def test_a_task_that_ended_well_whose_transition_fails_supersedes_its_own_end() -> None:
    """The activity wrote ``completed``; the record with the higher number says ``failed``."""
    step = {"stepId": "a", "taskId": "do.a", "next": [{"nextStepId": "b", "condition": "data.no"}]}
    result = run(step, {"stepId": "b", "taskId": "core.noop"}, tasks={"do.a": [{"return": {}}]})
    completed, failed = ended(result)
    assert (completed.status, failed.status) == ("completed", "failed")
    assert completed.seq < failed.seq
    assert [one.status for one in result.journal.steps()] == ["failed"]


def test_a_decision_has_the_values_that_its_conditions_read() -> None:
    """In the order asked, with the result of each; values are those of that moment."""
    result = run(
        {
            "stepId": "a",
            "taskId": "core.set",
            "input": {"n": 2},
            "next": [
                {"nextStepId": "c", "condition": "variables.n > 5 || input.x == 'no'"},
                {"nextStepId": "b", "condition": "variables.n == 2"},
            ],
        },
        {"stepId": "b", "taskId": "core.set", "input": {"n": 3}},
        {"stepId": "c", "taskId": "core.noop"},
        input={"x": "yes"},
    )
    decision = result.journal.steps()[0].decision
    assert decision is not None
    assert (decision.kind, decision.target) == ("condition", "b")
    first, second = decision.evaluated
    assert (first.values, first.result) == ({"variables.n": 2, "input.x": "yes"}, False)
    assert (second.values, second.result) == ({"variables.n": 2}, True)


def test_a_condition_that_fails_is_on_record_with_its_reason() -> None:
    """The failed step's decision shows what was asked until then."""
    result = run(
        {
            "stepId": "a",
            "taskId": "core.noop",
            "next": [
                {"nextStepId": "b", "condition": "input.x == 1"},
                {"nextStepId": "b", "condition": "input.missing == 1"},
            ],
        },
        {"stepId": "b", "taskId": "core.noop"},
        input={"x": 2},
    )
    decision = result.journal.steps()[0].decision
    assert decision is not None
    assert decision.kind == "raise"
    assert [one.result for one in decision.evaluated] == [False, None]
    assert "missing" in (decision.evaluated[1].error or "")


def test_the_decision_after_a_task_that_recorded_its_own_end_is_a_record_of_its_own() -> None:
    """Where the way on depends on data; where it does not, it stands in the step's record."""
    result = run(
        {"stepId": "a", "taskId": "do.a"},
        {
            "stepId": "b",
            "taskId": "do.a",
            "next": [{"nextStepId": "c", "condition": "data.n == 1"}],
        },
        {"stepId": "c", "taskId": "core.noop"},
        tasks={"do.a": [{"return": {"n": 1}}]},
    )
    first = result.journal.steps()[0].decision
    assert first is not None
    assert (first.kind, first.target) == ("sequence", "b")
    (own,) = [one for one in result.journal.records if isinstance(one, TransitionRecord)]
    assert (own.path, own.decision.target) == ("b", "c")


def test_a_run_ends_with_its_audit_events_and_nothing_unwritten() -> None:
    """``workflow.completed`` for every run, ``workflow.failed`` too for one that failed."""

    def events(result: CaseResult) -> list[str]:
        return [one.event_type for one in result.journal.records if isinstance(one, AuditEvent)]

    noop, fail = {"stepId": "a", "taskId": "core.noop"}, {"stepId": "a", "taskId": "core.fail"}
    assert events(run(noop)) == ["workflow.completed"]
    assert events(run(fail)) == ["workflow.completed", "workflow.failed"]
    assert run(noop).journal.records[-1].kind == "instance"


def test_a_state_is_the_same_after_json() -> None:
    """Dumped, loaded and dumped again."""
    state = run(*EVERYTHING, tasks=TASKS).state
    assert state is not None
    dumped = dump_state(state)
    assert load_state(dumped) == state
    assert dump_state(load_state(dumped)) == dumped


def test_a_step_is_on_record_while_its_child_runs() -> None:
    """Once, however often the run is taken up again meanwhile: a child may run for a month."""
    step = {"stepId": "run", "taskId": "core.workflow", "input": {"workflowId": "child"}}
    case = {
        "name": "child",
        "definition": {"workflowId": "w", "name": "W", "version": "1.0.0", "steps": [step]},
        "tasks": {"core.workflow": [{"after": "P30D", "return": {"a": 1}}]},
    }
    for restart in (False, True):
        result = rehearse(parse_case(case), restart_every_step=restart)
        records = [one for one in result.journal.records if isinstance(one, StepRecord)]
        assert [(one.path, str(one.status)) for one in records] == [
            ("run", "active"), ("run", "completed"),
        ]  # fmt: skip
