"""Runs that anybody could start, with anything at all: each ends at once and says why on record.

Nothing that a client sends may leave a run whose workflow task fails for ever.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowUpdateFailedError
from temporalio.common import RawValue

from definitions.calls import ResolvedRun
from definitions.names import UPDATE_DECIDE, UPDATE_PAUSE, UPDATE_RESUME, UPDATE_SKIP
from tests.workflows.documents import definition, step
from worker.interpreter.state import Frame, RunState, dump_state

if TYPE_CHECKING:
    from temporalio.exceptions import ApplicationError

    from tests.workflows.stack import Handle, Record, Stack


def raw(data: bytes, encoding: str | None = "json/plain") -> RawValue:
    """A payload as any client could send it."""
    metadata = {} if encoding is None else {"encoding": encoding.encode()}
    return RawValue(Payload(metadata=metadata, data=data))


async def refused(stack: Stack, handle: Handle, kind: str) -> tuple[ApplicationError, Record]:
    """A run that fails before its first step, and has that on record."""
    error = await stack.failure(handle)
    assert error.type == kind, error.message
    history = await handle.fetch_history()
    assert not any(
        event.HasField("workflow_task_failed_event_attributes") for event in history.events
    )
    record = await stack.record(handle)
    assert record.instance.execution_id == handle.id
    assert record.instance.status == "failed"
    assert record.instance.error is not None
    assert record.instance.error["type"] == kind
    assert record.instance.error["message"] == error.message
    assert record.instance.completed_at is not None
    assert record.steps == []
    assert [one.event_type for one in record.events] == [
        "workflow.started",
        "workflow.completed",
        "workflow.failed",
    ]
    assert record.event("workflow.completed")["outcome"] == "failed"
    assert record.event("workflow.failed")["error_message"] == error.message
    return error, record


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(raw(b"\x00\x01\x02", "binary/plain"), "binary/plain", id="bytes"),
        pytest.param(raw(b"", "binary/null"), "there is none", id="null-encoding"),
        pytest.param(raw(b"{}", None), "unknown", id="no-encoding"),
        pytest.param(raw(b"{}", "json/encrypted"), "json/encrypted", id="encrypted"),
        pytest.param(raw(b"{"), "JSON", id="broken"),
        pytest.param(raw(b""), "JSON", id="empty"),
        pytest.param(raw(b"\xff\xfe"), "", id="no-utf8"),
        pytest.param(raw(b'{"workflowId": "a", "workflowId": "b"}'), "workflowId", id="duplicate"),
        pytest.param(raw(b'{"workflowId": "a", "input": {"x": NaN}}'), "NaN", id="nan"),
        pytest.param(raw(b'{"workflowId": "a", "input": {"x": 1e999}}'), "", id="exponent"),
        pytest.param(raw(b'{"workflowId": "a", "input": {"x": "\\u0000"}}'), "", id="nul"),
        pytest.param(raw(b'{"workflowId": "a", "input": {"x": "\\ud800"}}'), "", id="surrogate"),
        pytest.param(raw(b"[" * 5000 + b"]" * 5000), "", id="deep"),
    ],
)
async def test_an_argument_that_cannot_be_decoded(
    stack: Stack, payload: RawValue, reason: str
) -> None:
    """``InputError`` with the reason."""
    error, _ = await refused(stack, await stack.start_with(payload), "InputError")
    assert reason in error.message
    assert "the start object is unusable" in error.message


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        pytest.param(None, "", id="null"),
        pytest.param([], "", id="list"),
        pytest.param("order", "", id="text"),
        pytest.param(7, "", id="number"),
        pytest.param({}, "one of workflowId, definition and rerun", id="nothing"),
        pytest.param({"workflowId": 7}, "/workflowId", id="wrong-type"),
        pytest.param({"workflowId": "Not An Id"}, "/workflowId", id="no-id"),
        pytest.param({"workflowId": "a", "input": []}, "/input", id="input-list"),
        pytest.param({"workflowId": "a", "inptu": {}}, "/inptu", id="unknown-field"),
        pytest.param({"workflow_id": "a"}, "/workflow_id", id="snake-case"),
        pytest.param({"workflowId": "a", "definition": {}}, "give one of", id="both"),
        pytest.param({"workflowId": "a", "version": "latest"}, "/version", id="version"),
        pytest.param({"workflowId": "a", "tags": {"a": 1}}, "/tags/a", id="tags"),
        pytest.param({"workflowId": "a", "orgId": "x" * 300}, "/orgId", id="long"),
        pytest.param({"workflowId": "a" * 5000}, "/workflowId", id="very-long"),
    ],
)
async def test_a_start_object_of_a_wrong_shape(stack: Stack, start: Any, reason: str) -> None:
    """``InputError``, naming the member."""
    error, _ = await refused(stack, await stack.start_with(start), "InputError")
    assert reason in error.message


async def test_no_argument_at_all(stack: Stack) -> None:
    """``InputError``: there is none."""
    error, _ = await refused(stack, await stack.start_with(), "InputError")
    assert "there is none" in error.message


@pytest.mark.parametrize(
    "more",
    [
        pytest.param([2], id="two"),
        pytest.param([2, 3], id="three"),
        pytest.param([{"state": {}, "run": {}}], id="like-ours"),
        pytest.param([{"state": {"stage": "main"}, "run": {"orgId": "x"}}], id="more-like-ours"),
        pytest.param([raw(b"{")], id="broken"),
    ],
)
async def test_more_than_one_argument(stack: Stack, more: list[Any]) -> None:
    """The second one is ours, for runs that continue; nobody else's is taken for it."""
    start = {"definition": definition(step("only"))}
    error, _ = await refused(stack, await stack.start_with(start, *more), "InputError")
    assert "takes one argument" in error.message


async def test_a_state_that_somebody_else_made_is_not_taken_up(stack: Stack) -> None:
    """However well made: it could name another org, or a definition that was never checked."""
    document = definition(step("only"))
    instance = (await stack.run(document))[1].instance
    now = instance.started_at
    state = RunState(
        org_id=instance.org_id,
        instance_id=instance.id,
        execution_id=instance.execution_id,
        first_run_id=instance.first_run_id,
        workflow_id=instance.workflow_id,
        version=instance.version,
        started_at=now,
        input={},
        variables={},
        main=Frame(prefix="", position="only", data={}),
    )
    run = ResolvedRun(org_id=instance.org_id, instance_id=instance.id, document=document)
    carried = {"run": run.to_json(), "state": dump_state(state), "records": []}
    handle = await stack.start_with({"definition": document}, carried)
    error, _ = await refused(stack, handle, "InputError")
    assert "takes one argument" in error.message


async def test_a_misspelt_workflow_type_ends_at_once(stack: Stack) -> None:
    """With the right one in the message."""
    start = {"definition": definition(step("only"))}
    handle = await stack.start_with(start, workflow_type="DefinitonWorkflow")
    error = await stack.failure(handle)
    assert error.type == "UnknownWorkflowType"
    assert "DefinitionWorkflow" in error.message


async def test_an_unknown_definition(stack: Stack) -> None:
    """``DefinitionNotFound``, and the record names what was asked for."""
    handle = await stack.start("nobody-made-this")
    error, record = await refused(stack, handle, "DefinitionNotFound")
    assert "nobody-made-this" in error.message
    assert record.instance.workflow_id == "nobody-made-this"
    assert record.event("workflow.failed")["workflow_id"] == "nobody-made-this"


async def test_an_unknown_version(stack: Stack) -> None:
    """The same for a version that is not there."""
    document = definition(step("only"))
    await stack.register(document)
    handle = await stack.start(document["workflowId"], version="2.0.0")
    error, _ = await refused(stack, handle, "DefinitionNotFound")
    assert "2.0.0" in error.message


async def test_an_unknown_org(stack: Stack) -> None:
    """``InputError``."""
    handle = await stack.start(definition(step("only")), orgId="nobody")
    error, _ = await refused(stack, handle, "InputError")
    assert "nobody" in error.message


async def test_input_that_does_not_fit_the_schema(stack: Stack) -> None:
    """``InputError`` before the first step, every problem with its pointer."""
    document = definition(
        step("only"),
        inputSchema={
            "type": "object",
            "properties": {"amount": {"type": "number", "minimum": 0}, "who": {"type": "string"}},
            "required": ["amount", "who"],
        },
    )
    await stack.register(document)
    handle = await stack.start(document["workflowId"], {"amount": -5})
    error, record = await refused(stack, handle, "InputError")
    details = error.details[0]["details"]
    assert sorted(one["pointer"] for one in details) == ["", "/amount"]
    assert record.instance.workflow_id == document["workflowId"]
    assert record.instance.version == "1.0.0"
    assert record.instance.definition_version_id is not None
    assert record.instance.input == {"amount": -5}
    assert record.event("workflow.started")["total_steps"] == 1


async def test_an_input_that_is_too_large(stack: Stack) -> None:
    """``InputError`` above 256 KB."""
    handle = await stack.start(definition(step("only")), {"text": "x" * 300_000})
    error, _ = await refused(stack, handle, "InputError")
    assert "at most" in error.message


async def test_a_broken_inline_definition(stack: Stack) -> None:
    """``ValidationError`` with every problem, each with its pointer and code."""
    document = definition(
        step("a", "test.ecko", next=[{"nextStepId": "nowhere"}]),
        step("a", "core.noop", timeout="5 minutes"),
    )
    error, record = await refused(stack, await stack.start(document), "ValidationError")
    details = error.details[0]["details"]
    pointers = {one["pointer"] for one in details}
    assert {
        "/steps/0/taskId",
        "/steps/0/next/0/nextStepId",
        "/steps/1/stepId",
        "/steps/1/timeout",
    } <= pointers
    assert all(one["code"] and one["message"] for one in details)
    assert any("test.echo" in one["message"] for one in details)
    assert record.instance.workflow_id == document["workflowId"]


@pytest.mark.parametrize("document", [{}, {"workflowId": "x"}, {"workflowId": 7, "steps": {}}])
async def test_an_inline_definition_that_is_none(stack: Stack, document: dict[str, Any]) -> None:
    """However little of it there is."""
    await refused(stack, await stack.start(document), "ValidationError")


@pytest.mark.parametrize("update", [UPDATE_PAUSE, UPDATE_RESUME])
async def test_updates_take_anything_or_refuse_it_and_the_run_goes_on(
    stack: Stack, update: str
) -> None:
    """``pause`` and ``resume`` need no argument; what cannot be read is refused."""
    handle = await stack.start(definition(step("ask", "core.approval")))
    await stack.waits(handle, "ask")
    for arguments in ([], [None], [{"actor": "ann", "reason": "b"}]):
        await handle.execute_update(update, args=arguments)
    for unusable in (raw(b"{"), raw(b"\x00", "binary/plain"), 7, {"who": "ann"}):
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await handle.execute_update(update, unusable)
        assert "the request is unusable" in str(caught.value.cause)
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("no-such-update", {})
    for name in (UPDATE_DECIDE, UPDATE_SKIP):
        with pytest.raises(WorkflowUpdateFailedError) as without:
            await handle.execute_update(name)
        assert "is unusable" in str(without.value.cause)
    await handle.execute_update(UPDATE_RESUME)
    await stack.decide(handle, "ask")
    await stack.result(handle)


async def test_signals_that_nobody_knows_do_no_harm(stack: Stack) -> None:
    """They are kept by Temporal and change nothing."""
    handle = await stack.start(definition(step("ask", "core.approval")))
    await stack.waits(handle, "ask")
    await handle.signal("no-such-signal", raw(b"{"))
    await stack.decide(handle, "ask")
    await stack.result(handle)


async def test_protobuf_json_is_json(stack: Stack) -> None:
    """Clients that label their JSON so are understood."""
    start = json.dumps({"definition": definition(step("only", "test.echo")), "input": {"a": 1}})
    handle = await stack.start_with(raw(start.encode(), "json/protobuf"))
    assert await stack.result(handle) == {"a": 1}
