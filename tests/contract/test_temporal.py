"""The provider ``temporal`` on a real Temporal and a real Postgres, with a worker of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from pydantic import SecretStr
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from typing_extensions import override

from adapters.processes.ports import free_ports
from definitions.providers.errors import (
    AlreadyExistsError,
    ProviderNotFoundError,
    SpecError,
    UnavailableError,
)
from definitions.providers.port import ProviderContext
from definitions.providers.types import ExecutionInput, ExecutionState
from definitions.references import KEY
from steploom.providers.temporal import TemporalProvider, open_provider
from steploom.providers.temporal_results import describe
from steploom.providers.temporal_specs import document_of
from steploom.services import Services
from steploom.testing.provider_contract import GO
from tests.contract.documents import Documents, created, document, provider_for, services
from tests.workflows.stack import DEFAULT

if TYPE_CHECKING:
    from tests.workflows.stack import Stack


class TestTemporal(Documents):
    """Documents, run by the interpreter."""

    @pytest.fixture
    async def provider(self, stack: Stack) -> TemporalProvider:
        """The provider of the org ``default``."""
        return await provider_for(stack)

    @override
    @pytest.fixture
    async def reopened(self, stack: Stack) -> TemporalProvider:
        """Another one, as after a restart."""
        return await provider_for(stack)


async def test_an_array_is_no_input(stack: Stack) -> None:
    """A run's input is an object."""
    provider = await provider_for(stack)
    workflow_id = await created(provider, document("succeeds"))
    with pytest.raises(SpecError, match="takes no array"):
        await provider.start(workflow_id, ExecutionInput(input=[1, 2]))


async def test_the_reserved_member_is_no_input(stack: Stack) -> None:
    """It is refused before anything is started."""
    provider = await provider_for(stack)
    workflow_id = await created(provider, document("succeeds"))
    forged = {"x": {KEY: {"sha256": "0" * 64, "size": 5}}}
    with pytest.raises(SpecError, match="which is reserved"):
        await provider.start(workflow_id, ExecutionInput(input=forged))
    found = await stack.reader.list_instances(DEFAULT, workflow_id=workflow_id)
    assert found.items == []


async def test_orgs_see_nothing_of_each_other(stack: Stack) -> None:
    """Not a workflow, not an execution, and the same names are free for each."""
    slug = f"acme-{uuid4().hex[:6]}"
    await stack.store.create_org(slug)
    ours, theirs, suite = await provider_for(stack), await provider_for(stack, slug), Documents()
    spec = suite.spec("waits")
    await ours.create(spec)
    running = await suite.started(ours, spec.workflow_id, execution_name="same")
    # Nobody has it on record yet, perhaps; it is not theirs all the same.
    for _ in range(2):
        for refused in (
            theirs.status(running),
            theirs.cancel(running),
            theirs.signal(running, GO),
            anext(theirs.history(running)),
            suite.started(theirs, spec.workflow_id),
            theirs.list(spec.workflow_id),
            theirs.delete(spec.workflow_id),
        ):
            with pytest.raises(ProviderNotFoundError):
                await refused
        await suite.running(ours, running)
    await theirs.create(spec)
    other = await suite.started(theirs, spec.workflow_id, execution_name="same", input={"n": 1})
    assert other != running
    assert (await suite.running(theirs, other)).input == {"n": 1}
    with pytest.raises(ProviderNotFoundError):
        await ours.status(other)
    assert [one.execution_id for one in (await theirs.list(spec.workflow_id)).items] == [other]
    await ours.cancel(running)
    await theirs.signal(other, GO)
    assert (await suite.ended(ours, running)).state is ExecutionState.CANCELLED
    assert (await suite.ended(theirs, other)).state is ExecutionState.SUCCEEDED


async def test_what_temporal_knows_needs_no_record(stack: Stack) -> None:
    """A run that no worker has taken is pending; one that was killed has failed, at once."""
    bare = services(stack)
    idle = Services(
        bare.settings.model_copy(update={"task_queue": f"idle-{uuid4().hex}"}),
        stack.client,
        stack.database,
    )
    provider = TemporalProvider(idle, await stack.store.find_org("default"), "ann")
    suite = Documents()
    workflow_id = await created(provider, document("waits"))
    given = {"n": 1}
    result = await provider.start(workflow_id, ExecutionInput(input=given, execution_name="x"))
    assert result.state is ExecutionState.PENDING
    assert "no worker" in result.message
    status = await provider.status(result.execution_id, history=True)
    assert (status.state, status.input) == (ExecutionState.PENDING, given)
    assert status.workflow_id == workflow_id
    assert [event.type for event in status.history] == ["ExecutionStarted"]
    again = await provider.start(workflow_id, ExecutionInput(input=given, execution_name="x"))
    assert (again.execution_id, again.state) == (result.execution_id, ExecutionState.PENDING)
    with pytest.raises(AlreadyExistsError):
        await suite.started(provider, workflow_id, execution_name="x", input={"n": 2})

    await stack.client.get_workflow_handle(result.execution_id).terminate(reason="enough")
    status = await provider.status(result.execution_id, history=True)
    assert status.state is ExecutionState.FAILED
    assert status.error is not None
    assert (status.error.code, status.error.message) == ("WorkflowTerminated", "enough")
    assert [event.type for event in status.history] == ["ExecutionStarted", "ExecutionFailed"]


async def test_temporal_is_believed_before_the_record(stack: Stack) -> None:
    """A run that is on record as running, and was terminated, has failed at once."""
    provider, suite = await provider_for(stack), Documents()
    workflow_id = await created(provider, document("waits"))
    execution = await suite.started(provider, workflow_id)
    await suite.running(provider, execution)
    await stack.client.get_workflow_handle(execution).terminate(reason="enough")
    status = await provider.status(execution, history=True)
    assert status.state is ExecutionState.FAILED
    assert status.error is not None
    assert status.error.code == "WorkflowTerminated"
    kinds = [event.type for event in status.history]
    assert (kinds[:2], kinds[-1]) == (["ExecutionStarted", "StateEntered"], "ExecutionFailed")


async def test_what_temporal_has_forgotten_is_on_record(stack: Stack) -> None:
    """Status, history and the name of an execution outlive Temporal's retention."""
    provider, suite = await provider_for(stack), Documents()
    workflow_id = await created(provider, document("succeeds"))
    given = {"n": 1}
    execution = await suite.started(provider, workflow_id, execution_name="x", input=given)
    before = await suite.ended(provider, execution)
    await stack.client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace=stack.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=execution),
        )
    )

    async def forgotten() -> bool:
        return await describe(stack.client, execution) is None

    await suite.until(forgotten, bool)
    after = await provider.status(execution, history=True)
    assert (after.state, after.input, after.output) == (before.state, given, given)
    kinds = [event.type for event in after.history]
    assert kinds == [event.type for event in before.history]
    assert await suite.started(provider, workflow_id, execution_name="x", input=given) == execution
    with pytest.raises(AlreadyExistsError):
        await suite.started(provider, workflow_id, execution_name="x", input={"n": 2})


async def test_the_history_tells_of_branches_and_failures(stack: Stack) -> None:
    """A step is left after those inside of it; one that failed says with what."""
    provider, suite = await provider_for(stack), Documents()
    inner = [{"stepId": "inner", "taskId": "core.noop"}]
    steps = [
        {
            "stepId": "fork",
            "taskId": "core.noop",
            "parallelBranches": [{"branchId": "one", "steps": inner}],
        },
        {"stepId": "charge", "taskId": "test.fail", "input": {"retryable": False, "code": "502"}},
    ]
    workflow_id = await created(provider, {"version": "1.0.0", "steps": steps})
    status = await suite.ended(provider, await suite.started(provider, workflow_id))
    told = [(one.type, (one.details or {}).get("state")) for one in status.history]
    assert told == [
        ("ExecutionStarted", None),
        ("StateEntered", "fork"),
        ("StateEntered", "fork/one/inner"),
        ("StateExited", "fork/one/inner"),
        ("StateExited", "fork"),
        ("StateEntered", "charge"),
        ("StateFailed", "charge"),
        ("ExecutionFailed", None),
    ]
    last = status.history[-2].details
    assert isinstance(last, dict)
    assert (last["error"], last["message"]) == ("GatewayError", "bad gateway")
    assert status.error is not None
    assert (status.error.code, status.error.failed_at) == ("GatewayError", "charge")


async def test_a_spec_completes_its_document(stack: Stack) -> None:
    """Id, name, description and timeout; where both have one, they agree or are refused."""
    provider, suite = await provider_for(stack), Documents()
    spec = suite.spec("succeeds", description="Why", timeout="90m")
    made = await provider.create(spec)
    assert made.resource_ids == {"namespace": "default", "workflow_type": "DefinitionWorkflow"}
    stored = await stack.store.get(DEFAULT, spec.workflow_id, None)
    named = ("workflowId", "name", "description", "timeout")
    assert [stored.document[name] for name in named] == [
        spec.workflow_id,
        spec.name,
        "Why",
        "PT1H30M",
    ]
    agreeing = {**document("succeeds"), "timeout": "PT90M"}
    await provider.create(suite.spec(definition=agreeing, timeout="1h30m"))
    wrong = {**agreeing, "workflowId": "other"}
    with pytest.raises(SpecError) as caught:
        await provider.create(suite.spec(definition=wrong, timeout="1h"))
    pointers = [one.pointer for one in caught.value.violations]
    assert pointers == ["/definition/workflowId", "/definition/timeout"]


async def test_a_broken_document_is_refused_with_its_problems(stack: Stack) -> None:
    """Each with its place in the spec."""
    broken = {
        "version": "1.0.0",
        "steps": [{"stepId": "a", "taskId": "core.noop", "next": [{"nextStepId": "b"}]}],
    }
    with pytest.raises(SpecError) as caught:
        await (await provider_for(stack)).create(Documents().spec(definition=broken))
    pointers = [one.pointer for one in caught.value.violations]
    assert "/definition/steps/0/next/0/nextStepId" in pointers


async def test_an_input_that_does_not_fit_is_refused(stack: Stack) -> None:
    """By the document's own schema, before anything is started."""
    provider = await provider_for(stack)
    schema = {"type": "object", "required": ["amount"]}
    workflow_id = await created(provider, {**document("succeeds"), "inputSchema": schema})
    with pytest.raises(SpecError, match="amount"):
        await provider.start(workflow_id, ExecutionInput(input={}))
    assert (await provider.list(workflow_id)).items == []


async def test_the_largest_input_comes_out_again(stack: Stack) -> None:
    """A run's result may be as large as its input."""
    provider, suite = await provider_for(stack), Documents()
    workflow_id = await created(provider, document("succeeds"))
    given = {"text": "x" * (256 * 1024 - len('{"text":""}'))}
    status = await suite.ended(provider, await suite.started(provider, workflow_id, input=given))
    assert status.output == given


async def test_it_opens_what_its_settings_name(stack: Stack) -> None:
    """With connections of its own, for an org that there is."""
    settings = stack.settings(task_queue=stack.task_queue)
    async with open_provider(ProviderContext(settings=settings)) as provider:
        workflow_id = await created(provider, document("succeeds"))
        execution = await Documents().started(provider, workflow_id)
        status = await Documents().ended(provider, execution)
    assert status.state is ExecutionState.SUCCEEDED
    [port] = free_ports(1)
    nowhere = f"127.0.0.1:{port}"
    expected: list[tuple[ProviderContext, type[Exception]]] = [
        (ProviderContext(settings=settings, org="nobody"), ProviderNotFoundError),
        (ProviderContext(settings=settings, options={"no": "such"}), SpecError),
        (
            ProviderContext(settings=settings.model_copy(update={"temporal_address": nowhere})),
            UnavailableError,
        ),
        (
            ProviderContext(
                settings=settings.model_copy(
                    update={"database_url": SecretStr(f"postgresql://x@{nowhere}/x")}
                )
            ),
            UnavailableError,
        ),
    ]
    for context, kind in expected:
        with pytest.raises(kind):
            async with open_provider(context):
                pass


async def test_what_an_operator_says_is_bounded(stack: Stack) -> None:
    """Reasons, names and data of signals, and the tags that are looked for."""
    provider, suite = await provider_for(stack), Documents()
    workflow_id = await created(provider, document("waits"))
    execution = await suite.started(provider, workflow_id)
    for refused, field in (
        (provider.cancel(execution, reason="x" * 1025), "reason"),
        (provider.signal(execution, ""), "name"),
        (provider.signal(execution, "a\0b"), "name"),
        (provider.signal(execution, GO, float("nan")), "data"),
        (provider.list(workflow_id, tags={"a": "\0"}), "tags"),
    ):
        with pytest.raises(SpecError) as caught:
            await refused
        assert [one.field for one in caught.value.violations] == [field]
    await provider.cancel(execution, reason="é" * 512)
    assert (await suite.ended(provider, execution)).state is ExecutionState.CANCELLED


async def test_a_run_that_goes_on_in_a_new_one_is_never_pending_again(stack: Stack) -> None:
    """Nor is it another execution."""
    async with stack.worker(history_limit=20) as brief:
        provider, suite = await provider_for(brief), Documents()
        loop = {
            "version": "1.0.0",
            "variables": {"n": 0},
            "steps": [
                {"stepId": "count", "taskId": "core.set", "input": {"n": "${variables.n + 1}"}},
                {
                    "stepId": "echo",
                    "taskId": "test.echo",
                    "next": [
                        {"nextStepId": "count", "condition": "variables.n < 20"},
                        {"nextStepId": "last"},
                    ],
                },
                {"stepId": "last", "taskId": "core.noop"},
            ],
        }
        workflow_id = await created(provider, loop)
        execution = await suite.started(provider, workflow_id, input={"a": 1})
        status = await suite.ended(provider, execution)
        described = await describe(stack.client, execution)
    assert described is not None
    assert described.raw_info.first_run_id != described.run_id, "it did not go on in a new one"
    assert (status.state, status.input) == (ExecutionState.SUCCEEDED, {"a": 1})
    entered = [one for one in status.history if one.type == "StateEntered"]
    assert len(entered) == 41


async def test_a_create_that_broke_off_is_made_good(stack: Stack) -> None:
    """Its document was registered, and then the process ended: the same spec goes on from there."""
    provider, suite = await provider_for(stack), Documents()
    spec = suite.spec("succeeds")
    await stack.register(document_of(spec))
    with pytest.raises(ProviderNotFoundError):
        await suite.started(provider, spec.workflow_id)
    await provider.create(spec)
    status = await suite.ended(provider, await suite.started(provider, spec.workflow_id))
    assert status.state is ExecutionState.SUCCEEDED
