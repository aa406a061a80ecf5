"""The query ``ui`` on a real run, what it says to bad arguments, and the record behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from definitions.names import QUERY_UI
from steploom import AsyncClient, ExecutionFailedError, NotFoundError
from tests.workflows.documents import definition, step
from tests.workflows.stack import until

if TYPE_CHECKING:
    from tests.workflows.stack import Handle, Stack

COMPONENTS = [
    {"componentId": "last", "priority": 9},
    {
        "componentId": "form",
        "priority": 1,
        "condition": "currentStep.stepId == 'ask' && currentStep.status == 'waiting'"
        " && 'manager' in user.roles",
        "context": {"title": "Decide", "nested": {"a": [1]}},
    },
    {"componentId": "bar", "priority": 2, "condition": "status == 'running' && progress < 1.0"},
    {"componentId": "paused", "condition": "status == 'suspended'"},
    {"componentId": "done", "condition": "status == 'completed' && data.approver == 'ann'"},
    {"componentId": "failed", "condition": "status == 'failed' && error.code == '502'"},
    {"componentId": "broken", "condition": "data.nothing == 1"},
]
DOCUMENT = definition(
    step("begin"), step("ask", "core.approval", input={"title": "?"}), uiComponents=COMPONENTS
)


async def ask(handle: Handle, **user: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await handle.query(QUERY_UI, {"user": user})
    return answer


def ids(answer: dict[str, Any]) -> list[str]:
    return [one["componentId"] for one in answer["components"]]


async def test_a_run_says_what_to_show(stack: Stack) -> None:
    """By its status, where it stands, and who asks; also after its end."""
    handle = await stack.start(DOCUMENT)
    await stack.waits(handle, "ask")
    answer = await ask(handle, roles=["manager"])
    assert ids(answer) == ["form", "bar", "last"]
    assert answer["components"][0]["context"] == {"title": "Decide", "nested": {"a": [1]}}
    assert (answer["status"], answer["progress"]) == ("running", 0.5)
    assert [one["componentId"] for one in answer["warnings"]] == ["broken"]
    assert ids(await ask(handle)) == ["bar", "last"]
    assert ids(await handle.query(QUERY_UI)) == ["bar", "last"]
    await handle.execute_update("pause")
    assert ids(await ask(handle)) == ["paused", "last"]
    await handle.execute_update("resume")
    await stack.decide(handle, "ask")
    await stack.result(handle)
    ended = await ask(handle)
    assert ids(ended) == ["done", "last"]
    assert (ended["status"], ended["progress"]) == ("completed", 1.0)


async def test_a_failed_run(stack: Stack) -> None:
    """Its error is in scope."""
    failing = step("charge", "core.fail", input={"errorType": "E", "errorCode": "502"})
    handle = await stack.start(definition(failing, step("end"), uiComponents=COMPONENTS))
    await stack.failure(handle)
    answer = await ask(handle)
    assert ids(answer) == ["failed", "last"]
    assert answer["progress"] == 0.5


async def test_a_run_that_never_began(stack: Stack) -> None:
    """It has no definition, so there is nothing to show."""
    handle = await stack.start("no-such-definition")
    await stack.failure(handle)
    answer = await ask(handle)
    assert (answer["status"], answer["components"], answer["warnings"]) == ("pending", [], [])


@pytest.mark.parametrize(
    "argument",
    [7, [], {"who": 1}, {"user": "ann"}, {"user": {"roles": "manager"}}, {"user": {"roles": [""]}}],
)
async def test_a_bad_argument_is_the_query_s_error(stack: Stack, argument: Any) -> None:
    """Told to who asks; the run goes on as if nobody had."""
    handle = await stack.start(DOCUMENT)
    await stack.waits(handle, "ask")
    with pytest.raises(WorkflowQueryFailedError, match="the request is unusable"):
        await handle.query(QUERY_UI, argument)
    with pytest.raises(WorkflowQueryFailedError):
        await handle.query(QUERY_UI, args=[{}, {}])
    await stack.decide(handle, "ask")
    await stack.result(handle)


async def test_the_record_answers_when_temporal_has_forgotten(stack: Stack) -> None:
    """As the run did; so does its result. What never had a record is not found."""
    done = await stack.start(DOCUMENT)
    await stack.waits(done, "ask")
    await stack.decide(done, "ask")
    output = await stack.result(done)
    failing = step("charge", "core.fail", input={"errorType": "E", "errorCode": "502"})
    failed = await stack.start(definition(failing, uiComponents=COMPONENTS))
    await stack.failure(failed)
    said = {one.id: await ask(one) for one in (done, failed)}
    for one in (done, failed):
        await _forget(stack, one)
    address = stack.client.service_client.config.target_host
    async with AsyncClient.connect(address=address, database=stack.url) as client:
        for name, before in said.items():
            assert (await client.get(name).ui()).to_json() == before
        assert await client.get(done.id).result(1) == output
        with pytest.raises(ExecutionFailedError) as caught:
            await client.get(failed.id).result(1)
        assert (caught.value.type, caught.value.code) == ("E", "502")
    async with AsyncClient.connect(address=address, database=False) as client:
        for asked in (client.get(done.id).ui, client.get(done.id).result):
            with pytest.raises(NotFoundError):
                await asked()


async def _forget(stack: Stack, handle: Handle) -> None:
    """Returns when Temporal knows a run no more."""
    request = DeleteWorkflowExecutionRequest(
        namespace=stack.client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=handle.id),
    )
    await stack.client.workflow_service.delete_workflow_execution(request)

    async def gone() -> bool:
        try:
            await stack.client.get_workflow_handle(handle.id).describe()
        except RPCError as error:
            return error.status is RPCStatusCode.NOT_FOUND
        return False

    await until(gone)
