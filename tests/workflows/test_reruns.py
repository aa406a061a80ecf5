"""Running an execution again from one of its steps, on Temporal, from its record in Postgres."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from definitions.names import SIGNAL_EVENT, UPDATE_SKIP
from tests.workflows.documents import branch, definition, retry, step
from tests.workflows.stack import DEFAULT

if TYPE_CHECKING:
    from tests.workflows.stack import Handle, Record, Stack

RICH = definition(
    step("list", "test.echo", input=[1, 2, 3], compensation={"taskId": "test.echo"}),
    step("set", "core.set", input={"sum": "${size(steps.list.output.value)}"}),
    step(
        "count",
        "core.set",
        input={"n": "${variables.n + 1}"},
        next=[{"nextStepId": "work"}],
    ),
    step(
        "work",
        "test.echo-local",
        input={"seen": "${variables.n}", "last": "${has(data.seen) ? data.seen : 0}"},
        next=[
            {"nextStepId": "count", "condition": "variables.n < 3"},
            {"nextStepId": "each", "condition": "data.last == 2"},
        ],
    ),
    step(
        "each",
        "test.fail",
        forEach={"items": "${[0, 5, 1]}", "toleratedFailures": 1, "maxConcurrency": 3},
        input={"times": "${item}", "then": {"i": "${index}"}},
        retryPolicy=retry(2),
        output={"each": "${output}"},
    ),
    step(
        "flaky",
        "test.fail",
        input={"type": "Gone", "code": "404"},
        retryPolicy=retry(1),
        onFailure={"errorHandler": {"conditions": [{"errorCode": "404", "nextStepId": "fork"}]}},
    ),
    step("never", "core.fail"),
    step(
        "fork",
        "test.echo",
        input={"own": "${error.type}"},
        parallelBranches=[
            branch(
                "a",
                step("a1", "core.set", input={"fromA": "${data.seen}"}),
                step("a2", "test.echo", input={"a": "${variables.fromA}"}),
            ),
            branch(
                "b",
                step("b1", "core.wait", input={"duration": "PT0.3S"}),
                step("b2", "core.set", input={"fromA": "${variables.fromA + 10}"}),
                step("b3", "core.publish", input={"type": "b.done"}),
            ),
        ],
    ),
    step(
        "items",
        forEach={"items": ["x", "y"], "maxConcurrency": 1},
        parallelBranches=[
            branch("one", step("label", "test.echo", input={"label": "${item}"})),
        ],
    ),
    step("wait", "core.event", input={"name": "go"}),
    step("skipped", "core.wait", input={"duration": "P1D"}),
    step(
        "end",
        "test.echo",
        input={
            "a": "${steps.a2.output.a}",
            "failed": "${steps.each.errors.map(one, one.index)}",
            "error": "${error.stepId + ' ' + error.type}",
            "skipped": "${steps.skipped.status}",
            "of": "${input.of}",
            "data": "${data}",
        },
    ),
    variables={"n": 0, "fromA": 0},
    output={
        "end": "${steps.end.output}",
        "variables": "${variables}",
        "statuses": "${[steps.list.status, steps.flaky.status, steps.fork.status]}",
        "list": "${steps.list.output.value}",
        "items": "${steps.items.output.value}",
    },
)
MAIN = [one["stepId"] for one in RICH["steps"] if one["stepId"] != "never"]


async def helped(stack: Stack, handle: Handle, first: str) -> Any:
    """The result of a run of ``RICH`` that began with this step, given all that it waits for."""
    if MAIN.index(first) <= MAIN.index("wait"):
        await stack.waits(handle, "wait")
        await handle.signal(SIGNAL_EVENT, {"name": "go", "data": {"went": True}})
    if MAIN.index(first) <= MAIN.index("skipped"):
        await stack.waits(handle, "skipped")
        await handle.execute_update(UPDATE_SKIP, {"stepId": "skipped"})
    return await stack.result(handle)


async def rerun(stack: Stack, handle: Handle, from_step: str, **fields: Any) -> Handle:
    """Starts a run from a step of an earlier one."""
    return await stack.start_with(
        {"rerun": {"executionId": handle.id, "fromStep": from_step}, **fields}
    )


async def refusal(stack: Stack, handle: Handle, from_step: str) -> str:
    """Why a rerun is refused, which is on record too."""
    again = await rerun(stack, handle, from_step)
    error = await stack.failure(again)
    assert error.type == "InputError"
    record = await stack.record(again)
    assert record.instance.status == "failed"
    assert record.steps == []
    return error.message


def seen(record: Record) -> dict[str, Any]:
    """What the run had at its end, without times and the ids of what it published."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            left_out = {"startedAt", "completedAt", "eventId"}
            return {name: plain(one) for name, one in value.items() if name not in left_out}
        return [plain(one) for one in value] if isinstance(value, list) else value

    return dict(plain(record.instance.state or {}))


async def test_a_rerun_from_every_step_ends_as_the_run_did(stack: Stack) -> None:
    """Result, variables and all steps are the same, whichever step it goes on from."""
    first = await stack.start(RICH, {"of": "input"})
    result = await helped(stack, first, "list")
    assert result["end"]["failed"] == [1]
    assert result["end"]["error"] == "flaky Gone"
    assert result["variables"] == {"n": 3, "sum": 3, "fromA": 13}
    record = await stack.record(first)

    def without_ids(value: Any) -> Any:
        return json.loads(json.dumps(value).replace(value["end"]["data"]["b"]["eventId"], "id"))

    async def once(from_step: str) -> None:
        handle = await rerun(stack, first, from_step)
        assert without_ids(await helped(stack, handle, from_step)) == without_ids(result), from_step
        own = await stack.record(handle)
        assert seen(own) == seen(record), from_step
        assert own.instance.input == {"of": "input"}
        assert own.instance.content_hash == record.instance.content_hash
        origin = own.instance.origin
        assert origin is not None
        assert (origin.kind, origin.execution_id, origin.path) == ("rerun", first.id, from_step)
        # What was taken over has not run again.
        ran = {one.path for one in own.steps}
        assert not ran & set(MAIN[: MAIN.index(from_step)]) - {"count", "work"}
        actions = await stack.reader.actions(DEFAULT, own.instance.id)
        assert [(one.action, one.path) for one in actions if one.action == "rerun"] == [
            ("rerun", from_step)
        ]

    # From a step of a loop, it goes on with the latest iteration.
    await asyncio.gather(*(once(from_step) for from_step in MAIN if from_step != "count"))


async def test_a_rerun_in_a_loop_goes_on_with_the_latest_iteration(stack: Stack) -> None:
    """``data`` and ``variables`` are those before that iteration."""
    document = definition(
        step("count", "core.set", input={"n": "${variables.n + 1}"}),
        step(
            "work",
            "test.echo",
            input={"n": "${variables.n}"},
            next=[{"nextStepId": "count", "condition": "variables.n < 3"}, {"nextStepId": "end"}],
        ),
        step("end", "core.fail"),
        variables={"n": 0},
    )
    first = await stack.start(document)
    await stack.failure(first)
    for from_step in ("count", "work"):
        again = await rerun(stack, first, from_step)
        await stack.failure(again)
        record = await stack.record(again)
        assert (record.instance.state or {})["variables"] == {"n": 3}
        assert record.step("work").output == {"n": 3}


async def test_a_rerun_with_another_input(stack: Stack) -> None:
    """It replaces the first one, in ``data`` as well; what steps put there stays."""
    document = definition(
        step("a", "test.echo", input={"a": "${data.x}"}),
        step("b", "core.fail", input={"message": "${input.x + data.x + data.a}"}),
    )
    first = await stack.start(document, {"x": "1"})
    assert "111" in str(await stack.failure(first))
    again = await rerun(stack, first, "b", input={"x": "2"})
    assert "221" in str(await stack.failure(again))
    third = await rerun(stack, again, "b")
    assert "221" in str(await stack.failure(third))
    fourth = await rerun(stack, third, "a", input={"x": "4"})
    assert "444" in str(await stack.failure(fourth))


async def test_a_rerun_of_a_rerun(stack: Stack) -> None:
    """Also from a step that the rerun itself took over."""
    document = definition(
        step("a", "test.echo", input={"a": 1}),
        step("v", "core.set", input={"v": "${data.a + 1}"}),
        step("b", "test.echo", input={"b": "${variables.v + 1}"}),
        step("c", "test.echo", input={"c": "${data.b + 1}"}),
        step("d", "core.fail", input={"message": "${string(data)}"}),
        output="${data}",
        variables={"v": 0},
    )
    document["steps"][-1] = step("d", "test.echo", input="${[data.a, variables.v, data.b, data.c]}")
    first = await stack.start(document)
    await stack.result(first)
    expected = {"a": 1, "b": 3, "c": 4}
    second = await rerun(stack, first, "c")
    assert await stack.result(second) == expected
    for from_step in ("a", "v", "b", "c", "d"):
        third = await rerun(stack, second, from_step)
        assert await stack.result(third) == expected
        record = await stack.record(third)
        assert record.step("d").output == {"value": [1, 2, 3, 4]}


async def test_a_rerun_undoes_what_the_first_run_did(stack: Stack) -> None:
    """Steps that were taken over are compensated, with their outputs, last ones first."""
    document = definition(
        step(
            "a", "test.echo", input={"id": 1},
            compensation={"taskId": "test.echo", "input": {"undo": "${output.id}"}},
        ),
        step(
            "each", "test.echo", forEach={"items": [7, 8], "maxConcurrency": 1},
            input={"id": "${item}"}, compensation={"taskId": "test.echo"},
        ),
        step("b", "core.approval"),
        step("c", "core.fail"),
        rollback={"on": ["failed"]},
    )  # fmt: skip
    first = await stack.start(document)
    await stack.waits(first, "b")
    await first.cancel()
    await stack.end(first)
    again = await rerun(stack, first, "b")
    await stack.waits(again, "b")
    await stack.decide(again, "b")
    await stack.failure(again)
    record = await stack.record(again)
    assert record.instance.error is not None
    assert record.instance.error["rollback"]["compensated"] == ["each#1", "each#0", "a"]
    assert record.step("a@compensation").input == {"undo": 1}
    assert record.step("each#1@compensation").input == {"id": 8}
    # The first run's own record is as it was.
    assert (await stack.record(first)).step("a").compensated is None
    # Now that it has been undone, nothing can go on from it, whichever run it is asked of.
    assert f"was rolled back by {again.id}" in await refusal(stack, first, "b")
    assert f"a was rolled back by {again.id}" in await refusal(stack, again, "c")


async def test_what_cannot_be_run_again(stack: Stack) -> None:
    """Each refusal says why, and what to do."""
    document = definition(
        step("a", "test.echo", input={"id": 1}, compensation={"taskId": "test.echo"}),
        step("fork", parallelBranches=[branch("b", step("inner"))]),
        step("ask", "core.approval"),
        step("late"),
    )
    handle = await stack.start(document)
    await stack.waits(handle, "ask")
    assert "it can be run again when it has ended" in await refusal(stack, handle, "a")
    await stack.decide(handle, "ask", "rejected")
    await stack.failure(handle)
    assert "no step of the main path" in await refusal(stack, handle, "inner")
    assert "no step of the main path" in await refusal(stack, handle, "nothing")
    assert "never ran" in await refusal(stack, handle, "late")
    assert "was rolled back" in await refusal(stack, handle, "ask")
    again = await rerun(stack, handle, "a")
    await stack.waits(again, "ask")
    await stack.decide(again, "ask")
    await stack.result(again)
    never = await stack.start("no-such-workflow")
    await stack.failure(never)
    assert "never began" in await refusal(stack, never, "a")


@pytest.mark.parametrize(
    "start",
    [
        {"rerun": {"executionId": "no-such-run", "fromStep": "a"}},
        {"rerun": {"executionId": "x"}},
        {"rerun": {"executionId": "x", "fromStep": 7}},
        {"rerun": "x"},
        {"rerun": {"executionId": "x", "fromStep": "a"}, "workflowId": "w"},
        {"rerun": {"executionId": "x", "fromStep": "a"}, "version": "1.0.0"},
        {"rerun": {"executionId": "x", "fromStep": "a"}, "orgId": "no-such-org"},
        {"rerun": {"executionId": "x" * 1001, "fromStep": "a"}},
    ],
)
async def test_a_rerun_that_is_asked_for_wrongly(stack: Stack, start: dict[str, Any]) -> None:
    """An ``InputError``, as for any other start object."""
    error = await stack.failure(await stack.start_with(start))
    assert error.type == "InputError"


async def test_who_ran_it_again_and_why(stack: Stack) -> None:
    """The actor is the start object's user."""
    first = await stack.start(definition(step("a")), correlationId="c-1", tags={"t": "1"})
    await stack.result(first)
    again = await stack.start_with(
        {
            "rerun": {"executionId": first.id, "fromStep": "a", "reason": "once more"},
            "userId": "ops@example.com",
        }
    )
    await stack.result(again)
    record = await stack.record(again)
    assert (record.instance.correlation_id, record.instance.tags) == ("c-1", {"t": "1"})
    (action,) = await stack.reader.actions(DEFAULT, record.instance.id)
    assert (action.action, action.actor, action.reason, action.path) == (
        ("rerun", "ops@example.com", "once more", "a")
    )
    assert action.data == {"executionId": first.id}
