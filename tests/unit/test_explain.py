"""Why a run went where it went, told from its record. The records are those of rehearsed runs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from definitions.errors import NotFoundError
from definitions.explain import Explanation, StepStory, explain
from definitions.explain_text import as_text
from definitions.statuses import InstanceStatus, StepStatus
from tests.rehearsals.documents import cases
from tests.unit.recorded import run_case

Object = dict[str, Any]


def document(*steps: Object, **members: Any) -> Object:
    made = [{"taskId": "core.noop", **step} for step in steps]
    return {"workflowId": "told", "name": "Told", "version": "1.0.0", "steps": made, **members}


def tell(*steps: Object, step: str | None = None, **case: Any) -> Explanation:
    members = case.pop("members", {})
    return explain(*run_case({"definition": document(*steps, **members), **case}), step)


def story(told: Explanation, path: str, iteration: int = 1) -> StepStory:
    return next(one for one in told.steps if (one.path, one.iteration) == (path, iteration))


ROUTE = {
    "stepId": "route",
    "next": [
        {"nextStepId": "manager-approval", "condition": "data.amount > 1000"},
        {"nextStepId": "automatic"},
    ],
}
APPROVAL = {
    "stepId": "manager-approval",
    "taskId": "core.approval",
    "input": {"title": "May we?", "approvers": ["manager", "lead"], "approvalsRequired": 2},
    "next": [],
}


def test_a_condition_with_the_values_that_it_read() -> None:
    """The sentence that an auditor asks for."""
    told = tell(ROUTE, {"stepId": "automatic"}, {"stepId": "manager-approval"}, input={"amount": 5})
    assert story(told, "route").because == (
        "route → automatic because data.amount > 1000 was false (data.amount = 5);"
        " the next entry has no condition"
    )
    told = tell(
        ROUTE, {"stepId": "automatic"}, {"stepId": "manager-approval"}, input={"amount": 1500}
    )
    assert story(told, "route").because == (
        "route → manager-approval because data.amount > 1000 was true (data.amount = 1500)"
    )
    assert story(told, "manager-approval").reached == story(told, "route").because
    assert told.ending.startswith("the run completed at 2026-01-01 00:00:00 UTC, after 0 ms")


def test_a_condition_that_cannot_be_evaluated() -> None:
    """What went wrong is said, and where the failure went."""
    told = tell(ROUTE, {"stepId": "automatic"}, {"stepId": "manager-approval"}, input={})
    because = story(told, "route").because or ""
    assert because.startswith("route: nothing in it handled ExpressionError: ")
    assert "data.amount > 1000 could not be evaluated: " in because
    assert because.endswith(", so the run failed")
    assert told.ending.startswith("the run failed at step route at ")


def test_each_attempt_and_how_long_until_the_next() -> None:
    """Errors, lengths and waits of a step that was tried again."""
    step = {"stepId": "charge", "taskId": "charge", "retryPolicy": {"delay": "PT2S"}}
    failed = {"throw": {"errorType": "GatewayError", "errorCode": "502", "message": "bad"}}
    answers = [{"after": "PT1S", **failed}, failed, {"return": {"id": "c-1"}}]
    told = tell(step, tasks={"charge": answers}, input={"amount": 3})
    attempts = story(told, "charge").attempts
    assert [(one.status, one.took, one.next_after) for one in attempts] == [
        ("failed", "PT1S", "PT2S"), ("failed", "PT0S", "PT4S"), ("completed", "PT0S", None),
    ]  # fmt: skip
    assert as_text(told).splitlines() == [
        "rehearsal  told 1.0.0  completed",
        'began at 2026-01-01 00:00:00 UTC, given {"amount": 3}',
        "",
        "charge: completed after 7 s",
        '    given: {"amount": 3}',
        "    attempt 1 failed after 1 s with GatewayError 502: bad; the next one began 2 s later",
        "    attempt 2 failed after 0 ms with GatewayError 502: bad; the next one began 4 s later",
        "    attempt 3 completed after 0 ms",
        '    result: {"id": "c-1"}',
        "    charge → the end of the run because nothing comes after it",
        "",
        'the run completed at 2026-01-01 00:00:07 UTC, after 7 s, with {"id": "c-1"}',
    ]


def test_tries_of_a_task_without_records() -> None:
    """The interpreter's own tasks leave the number of their attempts alone."""
    step = {"stepId": "f", "taskId": "core.fail", "retryPolicy": {"maxAttempts": 2}}
    told = tell(step)
    assert story(told, "f").tries == 2
    assert "    tried 2 times; the last error is the one on record" in as_text(told)


def test_an_error_handler_that_matched() -> None:
    """The handler, the error, and where it led."""
    conditions = [{"errorType": "CardDeclined", "nextStepId": "tell"}]
    step = {
        "stepId": "charge",
        "taskId": "core.fail",
        "input": {"errorType": "CardDeclined", "errorCode": "51", "message": "no funds"},
        "onFailure": {"errorHandler": {"conditions": conditions}},
    }
    told = tell(step, {"stepId": "ok", "next": []}, {"stepId": "tell"})
    assert story(told, "charge").because == (
        "charge → tell because its error handler matched CardDeclined 51: no funds:"
        " error.type == 'CardDeclined' was true"
        ' (error.type = "CardDeclined", error.code = "51")'
    )
    assert story(told, "tell").reached == story(told, "charge").because


def test_continue_and_the_documents_own_on_failure() -> None:
    """Each way to go on after a failure has its own words."""
    fails = {"stepId": "f", "taskId": "core.fail", "input": {"errorType": "E", "message": "m"}}
    goes_on = {**fails, "onFailure": {"action": "continue"}}
    assert story(tell(goes_on, {"stepId": "b"}), "f").because == (
        "f → b although it failed with E: m: its onFailure says continue"
    )
    members = {"onFailure": {"action": "continue", "nextStepId": "b"}}
    told = tell(fails, {"stepId": "b"}, members=members)
    assert story(told, "f").because == ("f → b because the document's own onFailure handled E: m")
    assert story(told, "b").reached == story(told, "f").because


def test_decisions_by_people() -> None:
    """Who, when, with what comment; and what was waited for."""
    actions = [
        {"at": "PT1M", "approve": {"stepId": "manager-approval", "approver": "manager"}},
        {
            "at": "PT2H",
            "reject": {"stepId": "manager-approval", "approver": "lead", "comment": "no receipt"},
        },
    ]
    told = tell(APPROVAL, actions=actions)
    asked = story(told, "manager-approval")
    assert asked.waited == "waited 2 h for 2 approvals of “May we?” by manager, lead"
    assert asked.voted == [
        "approved by manager at 2026-01-01 00:01:00 UTC",
        "rejected by lead at 2026-01-01 02:00:00 UTC, saying “no receipt”",
    ]
    assert "lead rejected it: no receipt" in told.ending


def test_a_run_that_waits() -> None:
    """Where it stands, and for what it waits."""
    cancel = [{"at": "PT1H", "cancel": {}}]
    instance, steps = run_case({"definition": document(APPROVAL), "actions": cancel})
    # The record as it was before the cancellation.
    running = instance.model_copy(update={"status": InstanceStatus.RUNNING, "completed_at": None})
    waiting = steps[0].model_copy(update={"status": StepStatus.WAITING, "completed_at": None})
    told = explain(running, [waiting])
    assert told.ending == (
        "the run stands at step manager-approval: manager-approval waits for 2 approvals of"
        " “May we?” by manager, lead"
    )
    assert told.steps[0].because is None
    assert explain(instance, steps).steps[0].because == (
        "manager-approval was cancelled with the run"
    )


def test_what_a_failure_beside_it_cancelled() -> None:
    """A cancelled step names the failure that stopped it, and no way on."""
    slow = {"branchId": "slow", "steps": [{"stepId": "s", "taskId": "slow"}]}
    bad = {"branchId": "bad", "steps": [{"stepId": "f", "taskId": "core.fail"}]}
    told = tell(
        {"stepId": "a", "parallelBranches": [slow, bad]},
        tasks={"slow": [{"after": "PT1H", "return": {}}]},
    )
    because = story(told, "a/slow/s").because or ""
    assert because.startswith("a/slow/s was cancelled because a failed with TaskError: ")
    assert because.endswith(" (from f)")
    assert story(told, "a/slow/s").reached == "branch slow of a began here"
    assert story(told, "a/bad/f").because == (
        "a/bad/f: nothing in it handled TaskError: the step was told to fail, so a failed"
    )


def test_the_runs_own_timeout() -> None:
    """A step that was under way is told to have been out of the run's time."""
    told = tell({"stepId": "w", "taskId": "core.wait", "input": {"duration": "P1D"}},
                members={"timeout": "PT1H"})  # fmt: skip
    assert story(told, "w").because == "w was cancelled because the run's time was up"
    assert "WorkflowTimeout" in told.ending


def test_items_and_tolerated_failures() -> None:
    """Each item is told; one that failed and was tolerated says so."""
    step = {
        "stepId": "each",
        "taskId": "work",
        "forEach": {"items": [1, 2], "toleratedFailures": 1},
    }
    told = tell(step, tasks={"work": [{"throw": {"retryable": False}}, {"return": {}}]})
    failed = story(told, "each#0")
    assert (failed.kind, failed.status) == ("item", "failed")
    assert failed.because == "each went on because it tolerates failures of some items"


def test_a_rollback_in_its_order() -> None:
    """What was undone, what could not be, and why it was undone at all."""
    undo = {"taskId": "undo", "retryPolicy": {"maxAttempts": 1}}
    told = tell(
        {"stepId": "a", "compensation": undo},
        {"stepId": "b", "compensation": undo},
        {"stepId": "c", "taskId": "core.fail"},
        tasks={"undo": [{"return": {}}, {"throw": {"message": "stuck"}}]},
    )
    assert (told.compensated, told.not_compensated) == (["b"], ["a"])
    assert story(told, "b@compensation").reached == "the run was rolled back, and b had completed"
    text = as_text(told)
    assert "b  (core.noop): completed after 0 ms; rolled back later\n" in text
    assert "a  (core.noop): completed after 0 ms; its rollback failed\n" in text
    assert text.endswith("rolled back, in this order: b\ncould not be rolled back: a\n")


LOOP = (
    {"stepId": "count", "taskId": "core.set", "input": {"n": "${variables.n + 1}"}},
    {"stepId": "more", "next": [
        {"nextStepId": "count", "condition": "variables.n < 3"}, {"nextStepId": "done"}]},
    {"stepId": "done"},
)  # fmt: skip


def test_one_step_with_all_its_iterations() -> None:
    """Only that step, by its id; each iteration tells how the run came to it."""
    told = tell(*LOOP, step="count", members={"variables": {"n": 0}})
    assert [(one.path, one.iteration) for one in told.steps] == [("count", n) for n in (1, 2, 3)]
    assert [one.reached for one in told.steps] == [
        "the run began here",
        "more → count because variables.n < 3 was true (variables.n = 1)",
        "more → count because variables.n < 3 was true (variables.n = 2)",
    ]
    assert "    reached: the run began here\n" in as_text(told)


def test_one_step_by_its_path() -> None:
    """A path names a step in one branch, or one item; a step's path stands for all its items."""
    inner = {"stepId": "i", "taskId": "core.noop"}
    each = {
        "stepId": "a",
        "forEach": {"items": [1, 2]},
        "parallelBranches": [{"branchId": "b", "steps": [inner]}],
        "compensation": {"taskId": "core.noop"},
    }
    fail = {"stepId": "f", "taskId": "core.fail"}

    def paths(name: str) -> list[str]:
        return sorted(one.path for one in tell(each, fail, step=name).steps)

    assert paths("a/b#1/i") == ["a/b#1/i"]
    assert paths("i") == ["a/b#0/i", "a/b#1/i"]
    assert paths("a#1") == ["a#1", "a#1@compensation"]
    assert paths("a") == ["a", "a#0", "a#0@compensation", "a#1", "a#1@compensation"]


def test_a_step_that_the_run_never_came_to() -> None:
    """Not found, with those that are on record."""
    with pytest.raises(NotFoundError) as caught:
        tell({"stepId": "a", "next": []}, {"stepId": "b"}, step="b")
    assert caught.value.hint == "the run has not come to it; on record: a"


def test_nothing_from_a_record_reaches_the_terminal_as_a_command() -> None:
    """Comments, messages and values were written by others."""
    vote = {"stepId": "manager-approval", "approver": "manager\x1b[2J", "comment": "a\nb\x07"}
    step = {**APPROVAL, "input": {"title": "\x1b]0;x"}}
    told = tell(step, actions=[{"at": "PT1S", "approve": vote}])
    text = as_text(told)
    assert all(line.isprintable() for line in text.split("\n"))
    assert "approved by manager\ufffd[2J at 2026-01-01 00:00:01 UTC, saying “a b\ufffd”" in text


@settings(max_examples=50, deadline=None)
@given(cases())
def test_every_run_can_be_told(case: Object) -> None:
    """Whatever happens in a run: every record is told, every step says how it was reached."""
    instance, steps = run_case(case)
    told = explain(instance, steps)
    assert [(one.path, one.iteration) for one in told.steps] == [
        (view.path, view.iteration) for view in steps
    ]
    for one in told.steps:
        assert one.reached is not None, one.path
        if one.kind == "step":
            assert one.because is not None, one.path
    assert Explanation.model_validate(told.to_json()).ending == told.ending
    assert told.ending in as_text(told)
