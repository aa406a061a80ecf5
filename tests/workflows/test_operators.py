"""What operators do to a run: skip, pause, resume and cancel, with who did it and why on record."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.exceptions import CancelledError

from definitions.names import (
    SIGNAL_EVENT,
    UPDATE_DECIDE,
    UPDATE_PAUSE,
    UPDATE_RESUME,
    UPDATE_SKIP,
)
from tests.workflows.documents import branch, definition, retry, step
from tests.workflows.stack import DEFAULT, Stack, soon, until
from tests.workflows.tasks import gate

if TYPE_CHECKING:
    from tests.workflows.stack import Handle


async def skip(handle: Handle, step_id: str, **fields: Any) -> None:
    """Skips a step."""
    answer = await handle.execute_update(UPDATE_SKIP, {"stepId": step_id, **fields})
    assert answer["accepted"] is True


async def refused(handle: Handle, step_id: str) -> str:
    """Tries to skip a step; returns why that is not possible."""
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await handle.execute_update(UPDATE_SKIP, {"stepId": step_id})
    return str(caught.value.cause)


async def actions(stack: Stack, handle: Handle) -> list[tuple[str, str | None, str | None]]:
    """Kind, actor and reason of each action on record."""
    record = await stack.record(handle)
    found = await stack.reader.actions(DEFAULT, record.instance.id)
    assert len({one.seq for one in found}) == len(found)
    return [(one.action, one.actor, one.reason) for one in found]


@pytest.mark.parametrize("task_id", ["test.fail", "test.fail-local", "core.fail"])
async def test_skipping_a_step_that_is_retried(stack: Stack, task_id: str) -> None:
    """The next attempt does not come; those that were made stay on record."""
    handle = await stack.start(
        definition(
            step(
                "call",
                task_id,
                retryPolicy=retry(5, "PT1H"),
                compensation={"taskId": "test.echo"},
                output={"never": "${output.applied}"},
            ),
            step("after", "test.echo", input="${steps.call}"),
            step("late", "core.fail"),
        )
    )
    if task_id == "core.fail":

        async def retrying() -> bool:
            return (await stack.state(handle)).get("currentStepId") == "call"

        await until(retrying)
    else:
        await stack.recorded(
            handle,
            lambda record: bool(record.steps) and record.attempt_statuses("call") == ["failed"],
        )
    await skip(handle, "call", actor="ops@example.com", reason="the partner is down")
    await stack.failure(handle)
    record = await stack.record(handle)
    assert record.statuses() == [("call", "skipped"), ("after", "completed"), ("late", "failed")]
    one = record.step("call")
    assert one.output == {}
    assert one.decision is not None
    assert (one.decision.kind, one.decision.target) == ("skip", "after")
    assert one.compensated is None
    seen = record.step("after").output
    assert seen is not None
    assert (seen["status"], seen["output"]) == ("skipped", {})
    if task_id != "core.fail":
        assert record.attempt_statuses("call") == ["failed"]
    assert await actions(stack, handle) == [("skip", "ops@example.com", "the partner is down")]


@pytest.mark.parametrize("task_id", ["test.gate", "test.stuck-local"])
async def test_skipping_a_step_whose_task_runs(stack: Stack, task_id: str) -> None:
    """The task is told and awaited; its attempt is on record as cancelled."""
    name = f"skip-{uuid4().hex[:8]}"
    handle = await stack.start(
        definition(step("call", task_id, input={"gate": name}), step("after", "test.echo"))
    )
    await soon(gate(name).entered)
    await skip(handle, "call")
    await stack.result(handle)
    record = await stack.record(handle)
    assert record.statuses() == [("call", "skipped"), ("after", "completed")]
    assert record.attempt_statuses("call") == ["cancelled"]


@pytest.mark.parametrize(
    ("task_id", "given"),
    [
        ("core.wait", {"duration": "P30D"}),
        ("core.approval", {}),
        ("core.event", {"name": "n"}),
    ],
)
async def test_skipping_a_step_that_waits(stack: Stack, task_id: str, given: Any) -> None:
    """The run goes on at once."""
    handle = await stack.start(definition(step("w", task_id, input=given), step("z")))
    await stack.waits(handle, "w")
    await skip(handle, "w")
    await stack.result(handle)
    record = await stack.record(handle)
    assert record.statuses() == [("w", "skipped"), ("z", "completed")]


async def test_skipping_in_branches_and_items(stack: Stack) -> None:
    """By its path; by its id where only one of that id is under way."""
    handle = await stack.start(
        definition(
            step(
                "fork",
                parallelBranches=[
                    branch("a", step("x", "core.approval"), step("x2", "test.echo")),
                    branch(
                        "b",
                        step(
                            "each",
                            "core.approval",
                            forEach={"items": [1, 2, 3], "maxConcurrency": 2},
                        ),
                    ),
                ],
            ),
            output="${steps.each.output.value}",
        )
    )
    await stack.waits(handle, "fork/b/each#1")
    assert "name one by its path" in await refused(handle, "each")
    assert "the task of fork is done" in await refused(handle, "fork")
    assert "neither waits nor runs" in await refused(handle, "fork/b/each#2")
    await skip(handle, "fork/b/each#0")
    await skip(handle, "x")
    await stack.waits(handle, "fork/b/each#2")
    await stack.decide(handle, "fork/b/each#1")
    await skip(handle, "fork/b/each#2")
    result = await stack.result(handle)
    assert [result[0], result[2]] == [{}, {}]
    assert result[1]["decision"] == "approved"
    record = await stack.record(handle)
    assert record.step("fork/b/each#0").status == "skipped"
    assert record.step("fork/b/each#1").status == "completed"
    assert record.step("fork/b/each").status == "completed"


async def test_what_cannot_be_skipped(stack: Stack) -> None:
    """A refusal says what could be, and leaves nothing on record."""
    handle = await stack.start(definition(step("a"), step("ask", "core.approval"), step("z")))
    await stack.waits(handle, "ask")
    for name in ("a", "z", "nothing"):
        assert "ask" in await refused(handle, name)
    for wrong in ({}, {"stepId": 7}, {"stepId": ""}, {"stepId": "ask", "who": "me"}, "ask", None):
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update(UPDATE_SKIP, wrong)
    await stack.decide(handle, "ask")
    await stack.result(handle)
    assert await actions(stack, handle) == []


async def test_updates_with_any_arguments_break_nothing(stack: Stack) -> None:
    """Each is refused or taken; the run goes on all the same."""
    handle = await stack.start(definition(step("ask", "core.approval"), step("z")))
    await stack.waits(handle, "ask")
    broken = RawValue(Payload(metadata={"encoding": b"nonsense"}, data=b"\xff"))
    wrong: list[list[Any]] = [[], [{}, {}], [broken], [broken, broken], ["text"], [[1]], [{"x": 1}]]
    for update in (UPDATE_DECIDE, UPDATE_SKIP, UPDATE_PAUSE, UPDATE_RESUME, "nonsense"):
        for arguments in wrong:
            if update in {UPDATE_PAUSE, UPDATE_RESUME} and not arguments:
                continue
            with pytest.raises(WorkflowUpdateFailedError):
                await handle.execute_update(update, args=arguments)
    long = {"actor": "a" * 256}
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update(UPDATE_PAUSE, long)
    await stack.decide(handle, "ask")
    await stack.result(handle)


async def test_who_did_what_and_why_is_on_record(stack: Stack) -> None:
    """Pause, resume and cancel, each once, in their order."""
    handle = await stack.start(definition(step("ask", "core.approval"), step("z")))
    await stack.waits(handle, "ask")
    await handle.execute_update(UPDATE_PAUSE, {"actor": "ops@example.com", "reason": "a freeze"})
    await handle.execute_update(UPDATE_PAUSE, {"actor": "other@example.com"})
    await handle.execute_update(UPDATE_RESUME, {"actor": "ops@example.com"})
    await handle.execute_update(UPDATE_PAUSE)
    await handle.cancel(reason="not wanted any more (really) (by boss@example.com)")
    assert isinstance(await stack.end(handle), CancelledError)
    assert await actions(stack, handle) == [
        ("pause", "ops@example.com", "a freeze"),
        ("resume", "ops@example.com", None),
        ("pause", None, None),
        ("cancel", "boss@example.com", "not wanted any more (really)"),
    ]


@pytest.mark.parametrize(
    "reason",
    ["", "plain", " " * 900, "(by ", "(by )", "(by a(b)", "by nobody)", "x" * 900, "(by \x01)"],
)
async def test_a_cancellation_may_say_anything(stack: Stack, reason: str) -> None:
    """Whatever the reason looks like, the run ends."""
    handle = await stack.start(definition(step("ask", "core.approval")))
    await stack.waits(handle, "ask")
    await handle.cancel(reason=reason)
    assert isinstance(await stack.end(handle), CancelledError)
    (only,) = await actions(stack, handle)
    assert only[0] == "cancel"


async def test_skipping_during_a_pause(stack: Stack) -> None:
    """The step is over, and what follows waits for ``resume``."""
    handle = await stack.start(definition(step("ask", "core.approval"), step("z", "core.approval")))
    await stack.waits(handle, "ask")
    await handle.execute_update(UPDATE_PAUSE)
    await skip(handle, "ask")
    state = await stack.state(handle)
    assert state["status"] == "suspended"
    assert state["steps"]["ask"]["status"] == "skipped"
    assert "does not run" in await refused(handle, "z")
    await handle.execute_update(UPDATE_RESUME)
    await stack.waits(handle, "z")
    await skip(handle, "z")
    await stack.result(handle)
    assert [kind for kind, _, _ in await actions(stack, handle)] == [
        "pause", "skip", "resume", "skip",
    ]  # fmt: skip


async def test_everything_at_once(stack: Stack) -> None:
    """All that can be done to a run comes in one workflow task, and all of it is answered.

    No worker is there while it is sent. A decision and a skip of one step exclude each other.
    """
    queue = f"late-{uuid4().hex[:8]}"
    late = Stack(stack.client, stack.database, stack.url, queue)
    document = definition(
        step("ask", "core.approval"),
        step("e", "core.event", input={"name": "n"}, timeout="PT30S"),
        output="${[steps.ask.status, steps.e.output.n]}",
    )
    async with stack.worker(task_queue=queue):
        handle = await late.start(document)
        await late.waits(handle, "ask")
    requests = [
        asyncio.create_task(handle.execute_update(name, request))
        for name, request in (
            (UPDATE_PAUSE, {"actor": "a"}),
            (UPDATE_SKIP, {"stepId": "ask"}),
            (UPDATE_DECIDE, {"stepId": "ask", "decision": "approved", "approver": "ann"}),
            (UPDATE_SKIP, {"stepId": "ask"}),
            (UPDATE_RESUME, {"actor": "b"}),
            (UPDATE_DECIDE, {"stepId": "ask", "decision": "approved", "approver": "bob"}),
        )
    ]
    await handle.signal(SIGNAL_EVENT, {"name": "n", "data": {"n": 1}})
    await asyncio.sleep(0.5)
    async with stack.worker(task_queue=queue):
        answers = await asyncio.gather(*requests, return_exceptions=True)
        if (await stack.state(handle))["status"] == "suspended":
            await handle.execute_update(UPDATE_RESUME)
        result = await stack.result(handle)
    taken = [
        one
        for one, request in zip(answers, ("p", "s", "d", "s", "r", "d"), strict=True)
        if request in "sd" and not isinstance(one, BaseException)
    ]
    assert len(taken) == 1, answers
    assert result[0] == ("completed" if "verdict" in taken[0] else "skipped")
    assert result[1] == 1
    done = [kind for kind, _, _ in await actions(stack, handle)]
    assert done.count("skip") == (0 if "verdict" in taken[0] else 1)


async def test_an_update_in_the_last_workflow_task_of_a_run(stack: Stack) -> None:
    """Answered or refused, and what was answered is on record; the run ends either way."""

    async def once(number: int) -> None:
        handle = await stack.start(definition(step("a"), step("b"), step("c", "test.echo-local")))
        await asyncio.sleep(0.02 * number)
        try:
            changed = await handle.execute_update(UPDATE_PAUSE, {"actor": "a"})
        except Exception:  # noqa: BLE001 (not begun yet, or ended already)
            changed = False
        if changed:
            try:
                await handle.execute_update(UPDATE_RESUME, {"actor": "b"})
            except Exception as error:  # noqa: BLE001
                assert "already" in str(error)  # noqa: PT017
        await stack.result(handle)
        assert ("pause", "a", None) in await actions(stack, handle) if changed else True

    await asyncio.gather(*(once(number) for number in range(12)))


@pytest.mark.parametrize("mode", ["always-continued", "uncached"])
async def test_skips_survive_whatever_a_worker_does(stack: Stack, mode: str) -> None:
    """Between two runs of a chain, and when every workflow task replays the whole history."""
    changes: dict[str, Any] = (
        {"history_limit": 1} if mode == "always-continued" else {"max_cached_workflows": 0}
    )
    async with stack.worker(**changes) as served:
        handle = await served.start(
            definition(
                step("one", "core.approval"),
                step("two", "test.fail", retryPolicy=retry(5, "PT1H")),
                step("three", "core.wait", input={"duration": "P1D"}),
                step("four", "core.event", input={"name": "n"}),
                output="${[steps.one.status, steps.two.status, steps.three.status]}",
            )
        )

        async def skipped(name: str) -> None:
            async def accepted() -> bool:
                try:
                    await skip(handle, name, actor=name)
                except WorkflowUpdateFailedError:
                    return False
                return True

            await until(accepted)

        for name in ("one", "two", "three", "four"):
            await skipped(name)
        assert await served.result(handle) == ["skipped"] * 3
        found = [(kind, actor) for kind, actor, _ in await actions(served, handle)]
        assert found == [("skip", name) for name in ("one", "two", "three", "four")]
