"""``core.workflow``: runs that are started by a step of another run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.exceptions import CancelledError

from definitions.errors import NotFoundError
from definitions.names import SIGNAL_EVENT, UPDATE_SKIP, WORKFLOW_TYPE
from tests.workflows.documents import branch, definition, retry, step
from tests.workflows.stack import DEFAULT, soon, until
from tests.workflows.tasks import gate

if TYPE_CHECKING:
    from definitions.views import InstanceView
    from tests.workflows.stack import Handle, Record, Stack


async def registered(stack: Stack, *steps: dict[str, Any], **fields: Any) -> str:
    """Registers a definition; returns its id."""
    document = definition(*steps, **fields)
    await stack.register(document)
    return str(document["workflowId"])


def child(step_id: str, workflow_id: str, given: Any = None, **fields: Any) -> dict[str, Any]:
    """A step that runs another definition."""
    wanted = {"workflowId": workflow_id, "input": {} if given is None else given}
    return step(step_id, "core.workflow", input=wanted, **fields)


async def child_of(stack: Stack, handle: Handle, path: str) -> tuple[Handle, Record]:
    """A child run, as soon as it is on record."""
    other = stack.client.get_workflow_handle(f"{handle.id}/{path}")

    async def there() -> Record | None:
        try:
            return await stack.record(other)
        except NotFoundError:
            return None

    return other, await until(there)


async def test_a_child_is_a_run_of_its_own(stack: Stack) -> None:
    """With a record, a correlation, an origin; its result is the step's output."""
    inner = await registered(stack, step("double", "test.echo", input={"n": "${input.n * 2}"}))
    handle = await stack.start(definition(child("c", inner, {"n": "${data.n}"})), {"n": 21})
    assert await stack.result(handle) == {"n": 42}
    record = await stack.record(handle)
    one = record.step("c")
    assert (one.status, one.input, one.output) == (
        "completed",
        {"workflowId": inner, "input": {"n": 21}},
        {"n": 42},
    )
    assert list(one.attempt_records) == []
    _, own = await child_of(stack, handle, "c")
    assert own.instance.workflow_id == inner
    assert own.instance.correlation_id == handle.id
    origin = own.instance.origin
    assert origin is not None
    assert (origin.kind, origin.execution_id, origin.path, origin.iteration) == (
        ("child", handle.id, "c", 1)
    )
    assert origin.instance_id == record.instance.id
    assert own.statuses() == [("double", "completed")]


async def test_a_step_is_on_record_while_its_child_runs(stack: Stack) -> None:
    """And so is everything before it: children can take long."""
    here = gate("child-shown")
    inner = await registered(stack, step("g", "test.gate", input={"gate": "child-shown"}))
    handle = await stack.start(definition(step("s", "core.set"), child("c", inner)))
    await soon(here.entered)
    record = await stack.record(handle)
    assert record.statuses() == [("s", "completed"), ("c", "active")]
    assert record.step("c").input == {"workflowId": inner, "input": {}}
    assert record.instance.current_step_id == "c"
    here.open.set()
    await stack.result(handle)


async def test_a_childs_failure_is_its_steps(stack: Stack) -> None:
    """Its type and code are the child's; its details are all of the child's error."""
    inner = await registered(
        stack,
        step("ok", "test.echo", input={"id": 1}, compensation={"taskId": "test.echo"}),
        step("bad", "core.fail", input={"errorType": "Gone", "errorCode": "404", "message": "no"}),
    )
    error, record = await stack.run_failing(definition(child("c", inner)))
    assert error.type == "Gone"
    info = record.step("c").error
    assert info is not None
    assert (info.type, info.code, info.step_id, info.attempts) == ("Gone", "404", "c", 1)
    assert isinstance(info.details, dict)
    assert info.details["stepId"] == "bad"
    assert info.details["rollback"] == {"compensated": ["ok"], "failed": []}
    assert inner in info.message

    handled = child(
        "c",
        inner,
        onFailure={"errorHandler": {"conditions": [{"errorCode": "404", "nextStepId": "rescue"}]}},
    )
    rescue = step("rescue", "test.echo", input={"where": "${error.details.stepId}"})
    result, _ = await stack.run(definition(handled, rescue))
    assert result == {"where": "bad"}


async def test_a_child_that_nobody_knows(stack: Stack) -> None:
    """``DefinitionNotFound``, and no policy makes it known."""
    error, record = await stack.run_failing(definition(child("c", "no-such-thing")))
    assert error.type == "DefinitionNotFound"
    assert record.statuses() == [("c", "failed")]


@pytest.mark.parametrize(
    "wanted",
    [
        {"workflowId": "${input.nothing}"},
        {"workflowId": "NOT AN ID"},
        {"workflowId": "x", "input": "${input.list}"},
        {"workflowId": "x", "version": "${input.list}"},
        {"workflowId": "x", "orgId": "other"},
        "${input.list}",
    ],
)
async def test_a_child_that_is_asked_for_wrongly(stack: Stack, wanted: Any) -> None:
    """An error of the step, or of the child; never a run that does not end."""
    document = definition(step("c", "core.workflow", input=wanted))
    handle = await stack.start_with(
        {"definition": document, "input": {"nothing": None, "list": []}},
    )
    error = await stack.failure(handle)
    assert error.type in {"InputError", "ValidationError"}, error


async def test_a_child_of_another_version(stack: Stack) -> None:
    """The one that is named; else the highest."""
    document = definition(step("s", "test.echo", input={"is": "1.0.0"}))
    await stack.register(document)
    other = {**document, "version": "1.2.0", "steps": [step("s", "test.echo", input={"is": "new"})]}
    await stack.register(other)
    inner = str(document["workflowId"])
    old = {"workflowId": inner, "version": "1.0.0"}
    result, _ = await stack.run(
        definition(step("old", "core.workflow", input=old), child("new", inner), output="${steps}")
    )
    assert result["old"]["output"] == {"is": "1.0.0"}
    assert result["new"]["output"] == {"is": "new"}


async def test_a_child_that_is_tried_again_is_another_run(stack: Stack) -> None:
    """By its step's own policy, and only by that."""
    inner = await registered(stack, step("f", "core.fail", input={"errorType": "Busy"}))
    error, record = await stack.run_failing(definition(child("c", inner)))
    assert error.type == "Busy"
    handle = await stack.start(definition(child("c", inner, retryPolicy=retry(3))))
    await stack.failure(handle)
    record = await stack.record(handle)
    info = record.step("c").error
    assert info is not None
    assert info.attempts == 3
    runs = [await child_of(stack, handle, name) for name in ("c", "c!2", "c!3")]
    assert len({own.instance.id for _, own in runs}) == 3
    assert all(own.instance.status == "failed" for _, own in runs)


async def test_a_policy_can_name_what_is_not_tried_again(stack: Stack) -> None:
    """``nonRetryableErrors`` are those of the child's run."""
    inner = await registered(stack, step("f", "core.fail", input={"errorType": "Busy"}))
    policy = retry(3, nonRetryableErrors=["Busy"])
    _, record = await stack.run_failing(definition(child("c", inner, retryPolicy=policy)))
    info = record.step("c").error
    assert info is not None
    assert info.attempts == 1


async def test_children_in_branches_items_and_loops(stack: Stack) -> None:
    """Each has an id of its own, and an origin that says where it came from."""
    inner = await registered(stack, step("s", "test.echo", input={"of": "${input.of}"}))
    document = definition(
        step(
            "fork",
            parallelBranches=[
                branch("l", child("a", inner, {"of": "a"})),
                branch(
                    "r",
                    child("each", inner, {"of": "${item}"}, forEach={"items": ["x", "y"]}),
                ),
            ],
        ),
        step("count", "core.set", input={"n": "${variables.n + 1}"}),
        child(
            "again",
            inner,
            {"of": "${variables.n}"},
            next=[{"nextStepId": "count", "condition": "variables.n < 2"}, {"nextStepId": "z"}],
        ),
        step("z"),
        variables={"n": 0},
        output={"a": "${steps.a.output.of}", "each": "${steps.each.output.value}"},
    )
    handle = await stack.start(document)
    assert await stack.result(handle) == {"a": "a", "each": [{"of": "x"}, {"of": "y"}]}
    places = {
        "fork/l/a": ("fork/l/a", 1),
        "fork/r/each#0": ("fork/r/each#0", 1),
        "fork/r/each#1": ("fork/r/each#1", 1),
        "again": ("again", 1),
        "again@2": ("again", 2),
    }
    for name, place in places.items():
        _, own = await child_of(stack, handle, name)
        origin = own.instance.origin
        assert origin is not None
        assert (origin.path, origin.iteration) == place


async def cancelled_child(stack: Stack, name: str) -> tuple[Handle, str]:
    """A run whose child is in a task, with the child's definition."""
    inner = await registered(
        stack,
        step("book", "test.echo", input={"id": 1}, compensation={"taskId": "test.echo"}),
        step("g", "test.gate", input={"gate": name}),
        rollback={"on": ["failed", "cancelled"]},
    )
    handle = await stack.start(definition(child("c", inner), step("never")))
    await soon(gate(name).entered)
    return handle, inner


async def test_a_cancel_goes_down_and_is_awaited(stack: Stack) -> None:
    """The child has rolled back when its parent's end is on record."""
    handle, _ = await cancelled_child(stack, "child-cancelled")
    await handle.cancel(reason="enough (by ops@example.com)")
    assert isinstance(await stack.end(handle), CancelledError)
    assert gate("child-cancelled").cancelled.is_set()
    record = await stack.record(handle)
    assert record.statuses() == [("c", "cancelled")]
    (action,) = await stack.reader.actions(DEFAULT, record.instance.id)
    assert (action.action, action.actor, action.reason) == ("cancel", "ops@example.com", "enough")
    other, own = await child_of(stack, handle, "c")
    assert own.instance.status == "cancelled"
    assert own.step("book").compensated is True
    assert (await other.describe()).status is WorkflowExecutionStatus.CANCELED
    assert own.instance.completed_at is not None
    assert record.instance.completed_at is not None
    assert own.instance.completed_at <= record.instance.completed_at


async def test_cancelling_while_a_child_is_being_started(stack: Stack) -> None:
    """In whatever moment the cancellation comes, both end."""
    inner = await registered(stack, step("w", "core.wait", input={"duration": "PT1H"}))
    handles = []
    for number in range(6):
        handle = await stack.start(definition(child("c", inner)))
        handles.append(handle)
        await asyncio.sleep(0.03 * number)
        await handle.cancel()
    for handle in handles:
        assert isinstance(await stack.end(handle), CancelledError)
        record = await stack.record(handle)
        assert record.instance.status == "cancelled"

        async def ended(of: Handle = handle) -> bool:
            query = f"WorkflowId = '{of.id}/c' AND ExecutionStatus = 'Running'"
            return [one.id async for one in stack.client.list_workflows(query)] == []

        await until(ended)


async def test_a_child_that_is_cancelled_by_itself_fails_its_step(stack: Stack) -> None:
    """``WorkflowCancelled``; the parent goes on by its handlers. A terminated one likewise."""
    inner = await registered(stack, step("w", "core.approval"))
    for end, kind in (("cancel", "WorkflowCancelled"), ("terminate", "WorkflowTerminated")):
        handle = await stack.start(definition(child("c", inner)))
        other, _ = await child_of(stack, handle, "c")
        await stack.waits(other, "w")
        await getattr(other, end)()
        error = await stack.failure(handle)
        assert error.type == kind


async def test_a_steps_timeout_ends_its_child(stack: Stack) -> None:
    """It is cancelled and awaited."""
    inner = await registered(stack, step("w", "core.wait", input={"duration": "PT1H"}))
    handle = await stack.start(definition(child("c", inner, timeout="PT1S")))
    error = await stack.failure(handle)
    assert error.type == "TimeoutError"
    record = await stack.record(handle)
    assert record.statuses() == [("c", "timeout")]
    _, own = await child_of(stack, handle, "c")
    assert own.instance.status == "cancelled"


async def test_a_child_that_undoes_a_step_is_bounded_too(stack: Stack) -> None:
    """A compensation that is a child ends with the compensation's timeout."""
    inner = await registered(stack, step("w", "core.wait", input={"duration": "PT1H"}))
    undo = {"taskId": "core.workflow", "input": {"workflowId": inner}, "timeout": "PT1S"}
    good = await registered(stack, step("s", "test.echo", input={"of": "${input.of}"}))
    undone = {
        "taskId": "core.workflow",
        "input": {"workflowId": good, "input": {"of": "${output.id}"}},
    }
    handle = await stack.start(
        definition(
            step("a", "test.echo", input={"id": 7}, compensation=undone),
            step("b", compensation=undo),
            step("f", "core.fail"),
        )
    )
    await stack.failure(handle)
    record = await stack.record(handle)
    assert record.instance.error is not None
    assert record.instance.error["rollback"] == {"compensated": ["a"], "failed": ["b"]}
    _, own = await child_of(stack, handle, "a@compensation")
    assert own.instance.output == {"of": 7}
    _, late = await child_of(stack, handle, "b@compensation")
    assert late.instance.status == "cancelled"


async def test_skipping_a_child_cancels_it(stack: Stack) -> None:
    """The parent goes on; nobody is left behind."""
    handle, _ = await cancelled_child(stack, "child-skipped")
    await handle.execute_update(UPDATE_SKIP, {"stepId": "c", "actor": "ops@example.com"})
    await stack.result(handle)
    record = await stack.record(handle)
    assert record.statuses() == [("c", "skipped"), ("never", "completed")]
    _, own = await child_of(stack, handle, "c")
    assert own.instance.status == "cancelled"


async def test_a_cycle_of_definitions_ends(stack: Stack) -> None:
    """A definition that runs itself by way of another fails at a depth, however long its ids."""
    one, two = f"cycle-{uuid4().hex[:8]}", f"cycle-{uuid4().hex[:8]}"
    long = "c" * 120
    for name, other in ((one, two), (two, one)):
        document = {**definition(child(long, other)), "workflowId": name}
        await stack.register(document)
    handle = await stack.start(one)
    error = await stack.failure(handle)
    assert error.type == "WorkflowDepthExceeded"
    found: list[InstanceView] = []
    current: Any = await stack.record(handle)
    below = {
        view.origin.instance_id: view
        for name in (one, two)
        for view in (await stack.reader.list_instances(DEFAULT, workflow_id=name)).items
        if view.origin is not None
    }
    view: InstanceView | None = current.instance
    while view is not None:
        found.append(view)
        view = below.get(view.id)
    assert len(found) == 11
    assert all(len(view.execution_id.encode()) <= 1000 for view in found)


@pytest.mark.parametrize("limit", [1, 12])
async def test_parent_and_child_continue_as_new(stack: Stack, limit: int) -> None:
    """The parent waits for its child before it goes on; the child's origin outlives its runs."""
    inner = await registered(
        stack,
        step("count", "core.set", input={"n": "${variables.n + 1}"}),
        step(
            "work",
            "test.echo",
            input={"n": "${variables.n}"},
            next=[{"nextStepId": "count", "condition": "variables.n < 6"}, {"nextStepId": "deep"}],
        ),
        child("deep", "no-such-thing", onFailure={"action": "continue"}),
        step("z", "test.echo", input={"n": "${variables.n}", "error": "${error.type}"}),
        variables={"n": 0},
    )
    async with stack.worker(history_limit=limit) as short:
        handle = await short.start(
            definition(
                step(
                    "fork",
                    parallelBranches=[
                        branch("c", child("c", inner)),
                        branch("w", *(step(f"e{n}", "test.echo") for n in range(8))),
                    ],
                ),
                child("again", inner),
                output=["${steps.c.output.n}", "${steps.again.output.error}"],
            )
        )
        assert await short.result(handle) == [6, "DefinitionNotFound"]
        other, own = await child_of(short, handle, "again")
        assert own.instance.origin is not None
        assert own.instance.origin.execution_id == handle.id
        history = await other.fetch_history()
        begun = history.events[0].workflow_execution_started_event_attributes
        assert begun.continued_execution_run_id
        # What it started after it had continued still names it, and is below it.
        grandchild = short.client.get_workflow_handle(f"{handle.id}/again/deep")
        deep = await short.record(grandchild)
        assert deep.instance.status == "failed"
        assert (await grandchild.describe()).parent_id == other.id


async def test_a_run_with_a_foreign_parent_came_from_nowhere(stack: Stack) -> None:
    """A memo that is not ours breaks nothing."""
    handle = await stack.client.start_workflow(
        WORKFLOW_TYPE,
        {"definition": definition(step("a"))},
        id=f"x-{uuid4().hex}",
        task_queue=stack.task_queue,
        memo={"steploom": {"depth": "deep", "origin": 7}},
    )
    await stack.result(handle)
    assert (await stack.record(handle)).instance.origin is None


async def test_a_cancellation_that_meets_a_child_which_fails_by_itself(stack: Stack) -> None:
    """No further attempt is waited for, although the child never heard of it."""
    queue = f"test-{uuid4().hex[:12]}"
    async with stack.worker(task_queue=queue) as served:
        inner = await registered(
            served, step("told", "core.event", input={"name": "fail"}), step("bad", "core.fail")
        )
        handle = await served.start(definition(child("c", inner, retryPolicy=retry(2, "PT1H"))))
        other, _ = await child_of(served, handle, "c")
        await served.waits(other, "told")
    # Nobody serves the two now: both will hear what was said at the same time.
    await other.signal(SIGNAL_EVENT, {"name": "fail"})
    await handle.cancel()
    async with stack.worker(task_queue=queue) as served:
        cause = await served.end(handle)
        assert isinstance(cause, CancelledError)
        record = await served.record(handle)
        assert record.instance.status == "cancelled"
        assert record.statuses() == [("c", "cancelled")]
