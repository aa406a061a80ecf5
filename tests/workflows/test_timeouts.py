"""Limits of time: of an attempt, a step, a heartbeat, a run; and waiting on purpose."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.workflows.documents import branch, definition, retry, step
from tests.workflows.stack import Stack, soon
from tests.workflows.tasks import gate

STUCK = ["test.stuck", "test.stuck-local", "test.stuck-sync"]


@pytest.mark.parametrize("task_id", STUCK)
async def test_an_attempt_out_of_time_is_tried_again(stack: Stack, task_id: str) -> None:
    """``attemptTimeout`` bounds one attempt, which is on record as ``timeout``."""
    result, record = await stack.run(
        definition(
            step(
                "call",
                task_id,
                input={"times": 1, "gate": f"attempt-{task_id}"},
                attemptTimeout="PT0.3S",
                retryPolicy=retry(3),
            )
        )
    )
    assert result == {"attempt": 2}
    assert record.attempt_statuses("call") == ["timeout", "completed"]
    error = record.attempts("call")[0].error
    assert error is not None
    assert error.type == "TimeoutError"
    assert error.code is None
    assert "0.3 seconds" in error.message
    assert record.step("call").status == "completed"


@pytest.mark.parametrize("task_id", STUCK)
async def test_a_step_out_of_attempts_by_time_is_a_timeout(stack: Stack, task_id: str) -> None:
    """The run fails with ``TimeoutError``, the step's status is ``timeout``."""
    error, record = await stack.run_failing(
        definition(
            step(
                "call",
                task_id,
                input={"gate": f"spent-{task_id}"},
                attemptTimeout="PT0.2S",
                retryPolicy=retry(2),
            )
        )
    )
    assert error.type == "TimeoutError"
    assert error.details[0]["attempts"] == 2
    assert record.attempt_statuses("call") == ["timeout", "timeout"]
    assert record.step("call").status == "timeout"
    assert record.instance.status == "failed"


@pytest.mark.parametrize("task_id", STUCK)
async def test_the_steps_timeout_bounds_the_attempt_that_runs(stack: Stack, task_id: str) -> None:
    """The attempt that is running at the deadline ends there and is on record as ``timeout``."""
    error, record = await stack.run_failing(
        definition(
            step(
                "call",
                task_id,
                input={"gate": f"step-{task_id}"},
                timeout="PT1S",
                retryPolicy=retry(1),
            )
        )
    )
    assert error.type == "TimeoutError"
    call = record.step("call")
    assert call.status == "timeout"
    assert call.completed_at is not None
    (attempt,) = record.attempts("call")
    assert attempt.status == "timeout"
    assert attempt.completed_at is not None
    assert attempt.error is not None
    assert attempt.error.code is None


async def test_the_steps_timeout_bounds_all_attempts(stack: Stack) -> None:
    """An attempt that could not begin before the deadline is not waited for."""
    error, record = await stack.run_failing(
        definition(
            step("call", "test.fail", timeout="PT5S", retryPolicy=retry(5, "PT1H")),
        )
    )
    assert error.type == "GatewayError"
    assert record.attempt_statuses("call") == ["failed"]


async def test_the_steps_timeout_ends_its_branches(stack: Stack) -> None:
    """What runs inside is cancelled and awaited, then the step's handler is asked."""
    name = "branch-deadline"
    result, record = await stack.run(
        definition(
            step(
                "fork",
                parallelBranches=[branch("x", step("x1", "test.gate", input={"gate": name}))],
                timeout="PT1S",
                onFailure={
                    "errorHandler": {
                        "conditions": [{"errorType": "TimeoutError", "nextStepId": "late"}]
                    }
                },
                next=[],
            ),
            step("late", "test.echo", input={"step": "${error.stepId}"}),
        )
    )
    assert result == {"step": "fork"}
    assert gate(name).cancelled.is_set()
    assert record.step("fork").status == "timeout"
    assert record.step("fork/x/x1").status == "cancelled"
    assert record.attempt_statuses("fork/x/x1") == ["cancelled"]


async def test_a_silent_task_is_given_up(stack: Stack) -> None:
    """``heartbeatTimeout``: the attempt is closed as lost, the next one has its own chance."""
    result, record = await stack.run(
        definition(
            step(
                "call",
                "test.stuck",
                input={"times": 1, "gate": "silent"},
                heartbeatTimeout="PT1S",
                retryPolicy=retry(2),
            )
        )
    )
    assert result == {"attempt": 2}
    assert record.attempt_statuses("call") == ["timeout", "completed"]


async def test_a_task_that_gives_signs_of_life_is_not_given_up(stack: Stack) -> None:
    """However long it takes, as long as none of its silences is too long."""
    result, record = await stack.run(
        definition(
            step(
                "call",
                "test.beating",
                input={"beats": 40},
                heartbeatTimeout="PT2S",
                retryPolicy=retry(1),
            )
        )
    )
    assert result == {"attempt": 1}
    assert record.attempt_statuses("call") == ["completed"]


async def test_the_runs_timeout_fails_it(stack: Stack) -> None:
    """No handler takes ``WorkflowTimeout``; the step that ran is on record as cancelled."""
    name = "run-deadline"
    error, record = await stack.run_failing(
        definition(
            step(
                "call",
                "test.gate",
                input={"gate": name},
                onFailure={"action": "continue", "nextStepId": "after"},
            ),
            step("after"),
            timeout="PT1S",
            onFailure={"action": "continue", "nextStepId": "after"},
        )
    )
    assert error.type == "WorkflowTimeout"
    assert record.instance.status == "failed"
    assert record.statuses() == [("call", "cancelled")]
    assert record.attempt_statuses("call") == ["cancelled"]
    assert record.event("workflow.failed")["outcome"] == "failed"


async def test_waiting_for_a_while(stack: Stack) -> None:
    """``core.wait`` is a durable timer; while it runs, the record says until when."""
    handle = await stack.start(
        definition(step("wait", "core.wait", input={"duration": "PT2S"}), step("after"))
    )
    record = await stack.waits(handle, "wait")
    waiting = record.step("wait")
    assert waiting.waiting_for is not None
    due = datetime.fromisoformat(waiting.waiting_for["until"])
    assert waiting.started_at is not None
    assert due - waiting.started_at >= timedelta(seconds=2)
    assert record.instance.current_step_id == "wait"
    await stack.result(handle)
    record = await stack.record(handle)
    assert record.statuses() == [("wait", "completed"), ("after", "completed")]
    ended = record.step("wait").completed_at
    assert ended is not None
    assert ended >= due


async def test_waiting_until_a_moment(stack: Stack) -> None:
    """A moment that is past is no wait at all."""
    soon_enough = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    _, record = await stack.run(
        definition(
            step("past", "core.wait", input={"until": "2020-01-01T00:00:00Z"}),
            step("wait", "core.wait", input={"until": "${input.until}"}),
        ),
        {"until": soon_enough},
    )
    ended = record.step("wait").completed_at
    assert ended is not None
    assert ended >= datetime.fromisoformat(soon_enough)


async def test_a_wait_can_run_out_of_time(stack: Stack) -> None:
    """The step's own timeout bounds a wait as it bounds a task."""
    error, record = await stack.run_failing(
        definition(step("wait", "core.wait", input={"duration": "PT1H"}, timeout="PT0.5S"))
    )
    assert error.type == "TimeoutError"
    assert record.step("wait").status == "timeout"


async def test_a_sync_task_can_see_that_nobody_waits_for_it(stack: Stack) -> None:
    """Cancelling a run reaches a task in a thread: it asks its context and returns."""
    handle = await stack.start(
        definition(step("call", "test.stuck-sync", input={"gate": "sync-cancel"}))
    )
    await stack.recorded(handle, lambda record: record.statuses() == [("call", "active")])
    await handle.cancel()
    await stack.end(handle)
    record = await stack.record(handle)
    assert record.instance.status == "cancelled"
    assert record.attempt_statuses("call") == ["cancelled"]


async def test_a_running_step_is_on_record_while_it_runs(stack: Stack) -> None:
    """An attempt that takes a while is written at its start too, so that a lost one is missed."""
    name = "active"
    handle = await stack.start(definition(step("call", "test.gate", input={"gate": name})))
    await soon(gate(name).entered)
    record = await stack.recorded(handle, lambda record: bool(record.steps))
    assert record.statuses() == [("call", "active")]
    assert record.attempt_statuses("call") == ["active"]
    assert record.instance.status == "running"
    gate(name).open.set()
    await stack.result(handle)
    record = await stack.record(handle)
    assert record.statuses() == [("call", "completed")]
    assert record.attempt_statuses("call") == ["completed"]
