"""Local tasks in a row are one activity, and nobody can tell from what comes out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import CancelledError

from definitions.names import UPDATE_PAUSE, UPDATE_RESUME, UPDATE_SKIP
from tests.workflows.documents import branch, definition, retry, step
from tests.workflows.stack import DEFAULT, soon, until
from tests.workflows.tasks import gate

if TYPE_CHECKING:
    from tests.workflows.stack import Handle, Record, Stack

LOCAL = "test.echo-local"
CANCEL_REQUESTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED
TASK_STARTED = EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED


def local(name: str, n: Any = "${data.n + 1}", **fields: Any) -> dict[str, Any]:
    """A step with a local task, that counts."""
    return step(name, LOCAL, input={"n": n}, **fields)


async def markers(handle: Handle) -> list[str]:
    """The types of the local activities in a run's history."""
    found = []
    async for event in handle.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED:
            details = event.marker_recorded_event_attributes.details
            assert "data" in details
            text = details["data"].payloads[0].data.decode()
            found.append(text.partition('"activity_type":"')[2].partition('"')[0])
    return found


def told(record: Record) -> list[Any]:
    """What a record says, without its times."""
    return [
        (one.path, one.iteration, str(one.status), one.input, one.output, one.error, one.attempts,
         one.decision and one.decision.model_dump(), one.wrapped,
         [(each.attempt, str(each.status), each.input, each.output, each.error)
          for each in one.attempt_records])
        for one in record.steps
    ]  # fmt: skip


RICH = definition(
    local("first", "${data.n}"),
    step("set", "core.set", input={"round": "${variables.round + 1}", "seen": "${data.n}"}),
    local(
        "again",
        next=[
            {"nextStepId": "set", "condition": "variables.round < 3"},
            {"nextStepId": "tell", "condition": "steps.again.output.n > 2"},
            {"nextStepId": "never"},
        ],
    ),
    step("never", "core.fail"),
    step(
        "tell",
        "core.publish",
        input={"type": "test.told", "data": {"n": "${data.n}"}},
        # The event's id is another one in each run.
        output={"told": True},
    ),
    local("text", "${string(data.n)}", output="${output.n}"),
    step(
        "flaky",
        "test.fail-local",
        input={"times": 2, "then": {"n": 7}},
        retryPolicy=retry(5, "PT0.1S"),
    ),
    local("mapped", output={"n": "${output.n * 10}", "startedBefore": "${output.n < 100}"}),
    step(
        "fails",
        "test.fail-local",
        input={"type": "Gone", "code": "404", "details": {"why": 1}},
        retryPolicy=retry(1),
        onFailure={"errorHandler": {"conditions": [{"errorCode": "404", "nextStepId": "rescue"}]}},
    ),
    step("skipped"),
    local("rescue", "${size(error.type)}"),
    step("remote", "test.echo", input={"r": "${data.n}"}),
    local("bounded", timeout="PT1M"),
    local("b", compensation={"taskId": "test.echo-local"}),
    step("fork", LOCAL, parallelBranches=[branch("x", local("x1"), local("x2"))]),
    local("c"),
    local("d"),
    variables={"round": 0},
    timeout="PT1H",
    output={"data": "${data}", "variables": "${variables}"},
)


async def test_ten_in_a_row_are_one_activity(stack: Stack) -> None:
    """The history has one entry for all of them; each has its row and its attempt."""
    handle = await stack.start(definition(*(local(f"s{n}") for n in range(10))), {"n": 0})
    assert (await stack.result(handle))["n"] == 10
    assert await markers(handle) == ["steploom.resolve", "steploom.segment"]
    record = await stack.record(handle)
    assert record.statuses() == [(f"s{n}", "completed") for n in range(10)]
    for n in range(10):
        [attempt] = record.attempts(f"s{n}")
        assert (attempt.input, attempt.output) == ({"n": n + 1}, {"n": n + 1})


@pytest.mark.parametrize(
    "changes", [{}, {"history_limit": 1}, {"max_cached_workflows": 0}], ids=str
)
async def test_the_same_comes_out_without_segments(stack: Stack, changes: dict[str, Any]) -> None:
    """Loops, conditions, retries, a handler, mappings, branches, remote tasks in between."""
    async with stack.worker(segments=False) as single, stack.worker(**changes) as joined:
        (alone, apart), (together, whole) = await asyncio.gather(
            single.run(RICH, {"n": 1}), joined.run(RICH, {"n": 1})
        )
    assert together == alone
    assert told(whole) == told(apart)
    for record in (apart, whole):
        published = await stack.reader.outbox(DEFAULT, record.instance.id)
        assert [one.envelope["data"] for one in published] == [{"n": 4}]
        for one in record.steps:
            assert one.started_at is not None
            assert one.completed_at is not None
            assert one.started_at <= one.completed_at


async def test_time_goes_on_in_a_segment(stack: Stack) -> None:
    """Steps begin one after the other, by the run's own time, and what follows is later."""
    _, record = await stack.run(
        definition(local("a"), local("b"), local("c"), step("end", "test.echo")), {"n": 1}
    )
    begun = [one.started_at for one in record.steps]
    assert begun == sorted(begun, key=str)
    assert len(set(begun)) == len(begun)


async def test_a_segment_that_is_cancelled(stack: Stack) -> None:
    """What was done stays done, the task that ran is cancelled, and nothing is begun after it."""
    here = gate("segment-cancel")
    handle = await stack.start(
        definition(
            local("before"),
            step("slow", "test.gate-local", input={"gate": "segment-cancel"}),
            local("never"),
        ),
        {"n": 1},
    )
    await soon(here.entered)
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, CancelledError)
    record = await stack.record(handle)
    assert record.statuses() == [("before", "completed"), ("slow", "cancelled")]
    assert record.attempt_statuses("slow") == ["cancelled"]
    assert record.instance.status == "cancelled"


async def cancelled_while_written(stack: Stack, name: str, *then: dict[str, Any]) -> Handle:
    """A run that is cancelled after the last task of its segment, before that is on record."""
    here = gate(name)
    first = step("first", "test.gate-local", input={"gate": name, "n": 5})
    handle = await stack.start(definition(first, *then))
    await soon(here.entered)
    async with await psycopg.AsyncConnection.connect(stack.url) as locking:
        await locking.execute("LOCK TABLE workflow_steps IN ACCESS EXCLUSIVE MODE")
        here.open.set()
        await handle.cancel()

        async def heard() -> bool:
            told = False
            async for event in handle.fetch_history_events():
                told = told or event.event_type == CANCEL_REQUESTED
                if told and event.event_type == TASK_STARTED:
                    return True
            return False

        await until(heard)
        # Until the worker has told the activity, too; were it later, the test would be easier.
        await asyncio.sleep(0.5)
    return handle


async def test_the_end_that_a_segment_has_written_counts(stack: Stack) -> None:
    """A run that is cancelled while its end is being written has ended well, and says so."""
    handle = await cancelled_while_written(stack, "segment-end", local("last"))
    assert (await stack.result(handle))["n"] == 6
    record = await stack.record(handle)
    assert record.instance.status == "completed"
    assert record.statuses() == [("first", "completed"), ("last", "completed")]
    assert record.event("workflow.completed")["outcome"] == "success"
    acted = await stack.reader.actions(DEFAULT, record.instance.id)
    assert [one.action for one in acted] == ["cancel"]


async def test_a_cancelled_run_makes_no_further_attempt(stack: Stack) -> None:
    """A task that fails while its run is cancelled is not tried again; what came before counts."""
    failing = step("bad", "test.fail-local", retryPolicy=retry(5, "PT1H"))
    handle = await cancelled_while_written(stack, "segment-again", failing, local("never"))
    assert isinstance(await stack.end(handle), CancelledError)
    record = await stack.record(handle)
    assert record.statuses() == [("first", "completed"), ("bad", "cancelled")]
    assert record.attempt_statuses("bad") == ["failed"]


async def test_a_run_that_is_paused_in_its_last_step(stack: Stack) -> None:
    """It ends all the same, and the record says that it has ended."""
    here = gate("segment-last")
    handle = await stack.start(
        definition(
            local("before", "${input.n}"),
            step("last", "test.gate-local", input={"gate": "segment-last", "n": 5}),
        ),
        {"n": 1},
    )
    await soon(here.entered)
    assert await handle.execute_update(UPDATE_PAUSE)
    here.open.set()
    assert (await stack.result(handle))["n"] == 5
    record = await stack.record(handle)
    assert record.instance.status == "completed"
    acted = await stack.reader.actions(DEFAULT, record.instance.id)
    assert [one.action for one in acted] == ["pause"]


async def test_a_run_that_fails_in_a_segment(stack: Stack) -> None:
    """Its end is written with its last task: the failure, both audit events."""
    document = definition(
        local("a"), step("b", "test.fail-local", retryPolicy=retry(1)), local("c")
    )
    handle = await stack.start(document, {"n": 1})
    assert (await stack.failure(handle)).type == "GatewayError"
    assert await markers(handle) == ["steploom.resolve", "steploom.segment"]
    record = await stack.record(handle)
    assert record.instance.status == "failed"
    assert record.event("workflow.completed")["outcome"] == "failed"
    assert record.event("workflow.failed")["outcome"] == "failed"


async def test_a_run_that_is_out_of_time_in_a_segment(stack: Stack) -> None:
    """The run's own timeout ends the task under way; what was done is on record."""
    error, record = await stack.run_failing(
        definition(
            local("before"),
            step("slow", "test.gate-local", input={"gate": "segment-timeout"}),
            local("never"),
            timeout="PT2S",
        ),
        {"n": 1},
    )
    assert error.type == "WorkflowTimeout"
    assert record.statuses() == [("before", "completed"), ("slow", "cancelled")]


async def test_a_pause_takes_hold_behind_a_segment(stack: Stack) -> None:
    """The task under way ends; after ``resume`` the run goes on from there."""
    here = gate("segment-pause")
    handle = await stack.start(
        definition(
            local("before"),
            step("slow", "test.gate-local", input={"gate": "segment-pause", "n": 5}),
            local("then"),
            step("end", "test.echo", input={"n": "${data.n}"}),
        ),
        {"n": 1},
    )
    await soon(here.entered)
    assert await handle.execute_update(UPDATE_PAUSE)
    here.open.set()
    paused = await stack.recorded(handle, lambda one: ("slow", "completed") in one.statuses())
    assert ("end", "completed") not in paused.statuses()
    assert await handle.execute_update(UPDATE_RESUME)
    assert (await stack.result(handle))["n"] == 6
    record = await stack.record(handle)
    assert [status for _, status in record.statuses()] == ["completed"] * 4
    acted = await stack.reader.actions(DEFAULT, record.instance.id)
    assert [one.action for one in acted] == ["pause", "resume"]


async def test_the_first_step_of_a_segment_is_skipped(stack: Stack) -> None:
    """Its task is told to stop, and the run goes on behind it."""
    here = gate("segment-skip")
    handle = await stack.start(
        definition(
            step("slow", "test.gate-local", input={"gate": "segment-skip"}),
            local("then", "${input.n}"),
            local("end"),
        ),
        {"n": 1},
    )
    await soon(here.entered)
    await handle.execute_update(UPDATE_SKIP, {"stepId": "slow"})
    assert (await stack.result(handle))["n"] == 2
    record = await stack.record(handle)
    assert record.statuses() == [("slow", "skipped"), ("then", "completed"), ("end", "completed")]


async def test_an_operator_skips_what_the_segment_has_passed(stack: Stack) -> None:
    """The step that the run still shows was done, so its answer counts.

    A later task that was told to stop for it is run again.
    """
    here = gate("segment-skip-late")
    handle = await stack.start(
        definition(
            local("done", "${input.n}"),
            step("slow", "test.gate-local", input={"gate": "segment-skip-late", "n": 3}),
            local("end"),
        ),
        {"n": 1},
    )
    await soon(here.entered)
    await handle.execute_update(UPDATE_SKIP, {"stepId": "done"})

    async def entered_again() -> bool:
        return here.entries > 1

    await until(entered_again)
    here.open.set()
    assert (await stack.result(handle))["n"] == 4
    record = await stack.record(handle)
    assert record.statuses() == [("done", "completed"), ("slow", "completed"), ("end", "completed")]
    assert record.attempt_statuses("slow") == ["cancelled", "completed"]


async def test_retries_are_waited_for_by_the_run(stack: Stack) -> None:
    """Three attempts of a step in the middle, with their numbers, and one of every other."""
    handle = await stack.start(
        definition(
            local("a"),
            step(
                "b", "test.fail-local", input={"times": 2, "then": {"n": 1}}, retryPolicy=retry(4)
            ),
            local("c"),
        ),
        {"n": 1},
    )
    await stack.result(handle)
    record = await stack.record(handle)
    assert record.attempt_statuses("b") == ["failed", "failed", "completed"]
    assert [one.attempt for one in record.attempts("b")] == [1, 2, 3]
    assert record.step("b").attempts == 3
    assert (record.step("a").attempts, record.step("c").attempts) == (1, 1)


async def test_all_attempts_fail(stack: Stack) -> None:
    """The run fails with the task's own error and the count of the attempts."""
    error, record = await stack.run_failing(
        definition(local("a"), step("b", "test.fail-local", retryPolicy=retry(3)), local("c")),
        {"n": 1},
    )
    assert error.type == "GatewayError"
    assert record.attempt_statuses("b") == ["failed"] * 3
    failed = record.step("b").error
    assert failed is not None
    assert failed.attempts == 3


async def test_more_than_one_segment_holds(stack: Stack) -> None:
    """A loop of 250 steps: a few segments, and every step once on record."""
    document = definition(
        step("up", "core.set", input={"n": "${variables.n + 1}"}),
        step(
            "work",
            LOCAL,
            input={"n": "${variables.n}"},
            next=[{"nextStepId": "up", "condition": "variables.n < 250"}, {"nextStepId": "end"}],
        ),
        step("end"),
        variables={"n": 0},
        output={"n": "${variables.n}"},
    )
    handle = await stack.start(document)
    assert await stack.result(handle) == {"n": 250}
    record = await stack.record(handle)
    work = [one for one in record.steps if one.path == "work"]
    assert [one.iteration for one in work] == list(range(1, 251))
    assert all(len(one.attempt_records) == 1 for one in work)
    assert (await markers(handle)).count("steploom.segment") < 50


async def test_big_outputs_end_a_segment(stack: Stack) -> None:
    """What a segment answers is bounded; big values pass from one to the next all the same."""
    sizes = [120_000] * 6
    _, record = await stack.run(
        definition(
            *(
                step(f"s{n}", "test.bytes-local", input={"count": size}, output={"ok": True})
                for n, size in enumerate(sizes)
            )
        )
    )
    assert [status for _, status in record.statuses()] == ["completed"] * 6
    for n, size in enumerate(sizes):
        [attempt] = record.attempts(f"s{n}")
        assert attempt.output == {"text": "x" * size}
