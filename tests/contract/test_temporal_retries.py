"""The provider ``temporal`` with documents whose runs are tried again as a whole."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from typing_extensions import override

from definitions.providers.errors import ProviderConflictError, ProviderNotFoundError, SpecError
from definitions.providers.types import STATE_ENTERED, ExecutionInput, ExecutionState
from steploom.operations import acting
from steploom.providers.temporal import TemporalProvider
from steploom.providers.temporal_results import describe
from steploom.services import Services
from steploom.testing.provider_contract import GO
from steploom.testing.retry_contract import PATIENT, POLICY
from tests.contract.documents import Retried, document, provider_for, services, unstable
from tests.workflows.stack import DEFAULT
from tests.workflows.tasks import REMEMBERED

if TYPE_CHECKING:
    from tests.workflows.stack import Stack


class TestTemporalRetries(Retried):
    """Documents, run by the interpreter, each by one that tries it again."""

    @pytest.fixture
    async def provider(self, stack: Stack) -> TemporalProvider:
        """The provider of the org ``default``."""
        return await provider_for(stack)

    @override
    @pytest.fixture
    async def reopened(self, stack: Stack) -> TemporalProvider:
        """Another one, as after a restart."""
        return await provider_for(stack)


async def created(provider: TemporalProvider, definition: Any, **fields: Any) -> str:
    """The id of a new workflow whose executions are tried again."""
    return await Retried().created(provider, definition=definition, **fields)


async def entered(provider: TemporalProvider, execution_id: str) -> list[tuple[int, str]]:
    """The states that an execution has entered, each with the number of its try."""
    return [
        (one.details["attempt"], one.details["state"])
        async for one in provider.history(execution_id)
        if one.type == STATE_ENTERED
    ]


async def test_each_try_is_a_run_of_its_own(stack: Stack) -> None:
    """With idempotency keys and ids of events of its own; what it publishes says what it is."""
    provider, suite = await provider_for(stack), Retried()
    steps = unstable(2, "succeeds")["steps"]
    publish = {"stepId": "tell", "taskId": "core.publish", "input": {"type": "order.tried"}}
    workflow_id = await created(provider, {"version": "1.0.0", "steps": [publish, *steps]})
    execution = await suite.started(provider, workflow_id, execution_name="one")
    status = await suite.ended(provider, execution)
    assert status.state is ExecutionState.SUCCEEDED
    keys = {key for _, key in REMEMBERED[execution]}
    assert (len(REMEMBERED[execution]), len(keys)) == (3, 3)

    names = [f"{execution}/attempt", f"{execution}/attempt!2", f"{execution}/attempt!3"]
    supervisor = await stack.reader.find_instance(DEFAULT, execution)
    tries = [await stack.reader.find_instance(DEFAULT, name) for name in names]
    assert [one.origin and one.origin.execution_id for one in tries] == [execution] * 3
    assert {key.split(":")[0] for key in keys} == {one.first_run_id for one in tries}
    events = [event for one in tries for event in await stack.reader.outbox(DEFAULT, one.id)]
    assert [one.event_type for one in events] == ["order.tried"] * 3
    assert len({one.event_id for one in events}) == 3
    since = supervisor.started_at - timedelta(hours=1)
    for name, parent in ((execution, None), *((one, execution) for one in names)):
        told = await stack.reader.outbox_page(DEFAULT, since=since, execution_id=name)
        ends = [one.envelope["payload"]["data"] for one in told if not one.path]
        assert len(ends) == 2
        assert [(one["parent"] or {}).get("workflow_run_id") for one in ends] == [parent] * 2
        assert {one["correlation_id"] for one in ends} == {execution if parent else None}


async def test_a_history_says_which_try(stack: Stack) -> None:
    """Every state of every try, in order of time."""
    provider, suite = await provider_for(stack), Retried()
    workflow_id = await created(provider, unstable(1, "succeeds"))
    execution = await suite.started(provider, workflow_id)
    status = await suite.ended(provider, execution)
    details = [one.details if isinstance(one.details, dict) else {} for one in status.history]
    told = [
        (one.type, detail.get("attempt"), detail.get("state"))
        for one, detail in zip(status.history, details, strict=True)
    ]
    assert told == [
        ("ExecutionStarted", None, None),
        ("StateEntered", 1, "begin"),
        ("StateExited", 1, "begin"),
        ("StateEntered", 1, "charge"),
        ("StateFailed", 1, "charge"),
        *(
            (kind, 2, state)
            for state in ("begin", "charge", "first", "last")
            for kind in ("StateEntered", "StateExited")
        ),
        ("ExecutionSucceeded", None, None),
    ]
    assert status.metadata["version"] == "1.0.0"
    assert [one.details for one in (await provider.status(execution)).history] == []


async def test_the_try_under_way_is_named(stack: Stack) -> None:
    """Approvals and pauses concern it; the execution's tags and its list do not."""
    provider, suite = await provider_for(stack), Retried()
    approval = {"stepId": "ok", "taskId": "core.approval", "input": {"approvers": ["ann"]}}
    steps = [*unstable(1, "succeeds")["steps"][:2], approval]
    workflow_id = await created(provider, {"version": "1.0.0", "steps": steps})
    execution = await suite.started(provider, workflow_id, tags={"team": "a"})
    status = await suite.in_try(provider, execution, 2)
    attempt = status.metadata["try"]
    assert attempt == f"{execution}/attempt!2"
    assert status.metadata["tag:team"] == "a"

    async def waits() -> bool:
        return (2, "ok") in await entered(provider, execution)

    await suite.until(waits, bool)
    await stack.waits(stack.client.get_workflow_handle(attempt), "ok")
    org = await stack.store.find_org("default")
    await acting.decide(services(stack), org, attempt, decision="approved", approver="ann")
    assert (await suite.ended(provider, execution)).state is ExecutionState.SUCCEEDED
    [one] = (await provider.list(workflow_id, tags={"team": "a"})).items
    assert one.execution_id == execution


async def test_the_runs_of_others_stay_in_the_list(stack: Stack) -> None:
    """Those that somebody starts past the provider, alone or as a part of another document."""
    provider, suite = await provider_for(stack), Retried()
    workflow_id = await created(provider, document("succeeds"))
    part = {"stepId": "attempt", "taskId": "core.workflow", "input": {"workflowId": workflow_id}}
    outer = await created(provider, {"version": "1.0.0", "steps": [part]}, retry_policy=None)
    execution = await suite.started(provider, workflow_id)
    other = await suite.started(provider, outer, execution_name="outer")
    for one in (execution, other):
        await suite.ended(provider, one)
    items = (await provider.list(workflow_id)).items
    assert {one.execution_id for one in items} == {execution, f"{other}/attempt"}


async def test_an_input_that_does_not_fit_starts_nothing(stack: Stack) -> None:
    """It is refused with the same words as without retries."""
    provider = await provider_for(stack)
    schema = {"type": "object", "required": ["amount"]}
    said = []
    for policy in (None, POLICY):
        definition = {**document("succeeds"), "inputSchema": schema}
        workflow_id = await created(provider, definition, retry_policy=policy)
        with pytest.raises(SpecError) as caught:
            await provider.start(workflow_id, ExecutionInput(input={}))
        said.append((str(caught.value), caught.value.hint, caught.value.violations))
        assert (await provider.list(workflow_id)).items == []
    assert said[0] == said[1]


@pytest.mark.parametrize("given", [[1, {"a": None}], "text", None, {"result": {"result": 1}}, 0])
async def test_an_output_comes_out_as_it_is(stack: Stack, given: Any) -> None:
    """Whatever JSON the document gives."""
    provider, suite = await provider_for(stack), Retried()
    definition = {**document("succeeds"), "output": "${input.given}"}
    workflow_id = await created(provider, definition)
    execution = await suite.started(provider, workflow_id, input={"given": given})
    status = await suite.ended(provider, execution)
    assert (status.state, status.to_json()["output"]) == (ExecutionState.SUCCEEDED, given)


async def test_the_largest_input_comes_out_again(stack: Stack) -> None:
    """Though the run above it has it, too."""
    provider, suite = await provider_for(stack), Retried()
    workflow_id = await created(provider, unstable(1, "succeeds"))
    given = {"text": "x" * (256 * 1024 - len('{"text":""}'))}
    status = await suite.ended(provider, await suite.started(provider, workflow_id, input=given))
    assert status.output == given


async def test_what_is_never_retried_ends_at_once(stack: Stack) -> None:
    """With the error of the one try."""
    provider, suite = await provider_for(stack), Retried()
    fails = {"stepId": "a", "taskId": "core.fail", "input": {"errorType": "ValidationError"}}
    workflow_id = await created(
        provider, {"version": "1.0.0", "steps": [fails]}, retry_policy=PATIENT
    )
    execution = await suite.started(provider, workflow_id)
    status = await suite.ended(provider, execution)
    assert status.error is not None
    assert (status.error.code, status.error.failed_at) == ("ValidationError", "a")
    assert await entered(provider, execution) == [(1, "a")]


async def test_an_output_that_is_too_large_fails_as_without_retries(stack: Stack) -> None:
    """In no state, for the whole is too large; which another try would not change."""
    provider, suite = await provider_for(stack), Retried()
    steps = [{"stepId": "b", "taskId": "test.bytes", "input": {"count": 300_000}}]
    errors = []
    for policy in (None, PATIENT):
        definition = {"version": "1.0.0", "steps": steps}
        workflow_id = await created(provider, definition, retry_policy=policy)
        status = await suite.ended(provider, await suite.started(provider, workflow_id))
        assert status.error is not None
        errors.append(status.error)
        await suite.listed(provider, status)
    assert errors[0] == errors[1]
    assert (errors[0].code, errors[0].failed_at) == ("PayloadTooLarge", "")


async def test_a_timeout_of_the_spec_is_that_of_all_tries(stack: Stack) -> None:
    """It ends the execution where the last one was; one of the document's own ends a try."""
    provider, suite = await provider_for(stack), Retried()
    workflow_id = await created(provider, document("waits"), timeout="3s", description="Why")
    registered = await stack.store.get(DEFAULT, workflow_id, None)
    assert "timeout" not in registered.document
    execution = await suite.started(provider, workflow_id)
    status = await suite.ended(provider, execution)
    assert status.state is ExecutionState.TIMED_OUT
    assert status.error is not None
    assert "timeout of PT3S" in status.error.message
    reached = await entered(provider, execution)
    assert status.error.failed_at in ({"wait"} if reached else {"wait", ""})
    await suite.listed(provider, status)

    own = {**document("waits"), "timeout": "PT1S"}
    workflow_id = await created(provider, own, timeout="1h")
    status = await suite.ended(provider, await suite.started(provider, workflow_id))
    assert status.state is ExecutionState.TIMED_OUT
    assert status.error is not None
    assert "timeout of PT1S" in status.error.message
    await suite.listed(provider, status)


async def test_a_try_that_was_terminated_has_failed(stack: Stack) -> None:
    """And another one follows; an execution that was terminated is over."""
    provider, suite = await provider_for(stack), Retried()
    workflow_id = await created(provider, document("waits"))
    execution = await suite.started(provider, workflow_id)
    for number in (1, 2):
        status = await suite.in_try(provider, execution, number)
        handle = stack.client.get_workflow_handle(status.metadata["try"])
        await handle.terminate(reason="enough")
    status = await suite.in_try(provider, execution, 3)
    await stack.client.get_workflow_handle(execution).terminate(reason="more than enough")
    status = await suite.ended(provider, execution)
    assert status.state is ExecutionState.FAILED
    assert status.error is not None
    assert (status.error.code, status.error.message) == ("WorkflowTerminated", "more than enough")


async def test_tries_that_temporal_has_forgotten_are_on_record(stack: Stack) -> None:
    """How an execution went outlives Temporal's retention."""
    provider, suite = await provider_for(stack), Retried()
    workflow_id = await created(provider, unstable(9, "succeeds"))
    given = {"n": 1}
    execution = await suite.started(provider, workflow_id, execution_name="x", input=given)
    before = await suite.ended(provider, execution)
    for name in (execution, f"{execution}/attempt", f"{execution}/attempt!2"):
        await stack.client.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(
                namespace=stack.client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=name),
            )
        )

    async def forgotten() -> bool:
        return await describe(stack.client, execution) is None

    await suite.until(forgotten, bool)
    after = await provider.status(execution, history=True)
    assert (after.state, after.input, after.error) == (ExecutionState.FAILED, given, before.error)
    assert [one.details for one in after.history] == [one.details for one in before.history]
    assert await suite.started(provider, workflow_id, execution_name="x", input=given) == execution


async def test_an_execution_that_nobody_has_taken_up(stack: Stack) -> None:
    """It is pending, and takes no event yet; terminated, it has failed."""
    bare = services(stack)
    settings = bare.settings.model_copy(update={"task_queue": f"idle-{uuid4().hex}"})
    idle = Services(settings, stack.client, stack.database)
    provider = TemporalProvider(idle, await stack.store.find_org("default"), "ann")
    workflow_id = await created(provider, document("waits"))
    given = ExecutionInput(input={"n": 1}, execution_name="x")
    execution = (await provider.start(workflow_id, given)).execution_id
    status = await provider.status(execution, history=True)
    assert (status.state, status.input) == (ExecutionState.PENDING, given.input)
    assert (await provider.start(workflow_id, given)).execution_id == execution
    with pytest.raises(ProviderConflictError, match="no try of"):
        await provider.signal(execution, GO)
    await stack.client.get_workflow_handle(execution).terminate(reason="enough")
    status = await provider.status(execution)
    assert status.error is not None
    assert (status.state, status.error.code) == (ExecutionState.FAILED, "WorkflowTerminated")


async def test_the_document_that_tries_again_is_not_listed(stack: Stack) -> None:
    """The highest version is the user's, whatever its build metadata; the same spec is no other."""
    provider, suite = await provider_for(stack), Retried()
    for version in ("1.0.0", "1.0.0+a.b", "2.0.0-rc.1", "1.0.0+retried"):
        spec = suite.spec(definition={**document("succeeds"), "version": version})
        await provider.create(spec)
        await provider.create(spec)
        listed = await stack.store.versions(DEFAULT, spec.workflow_id)
        assert [one.version for one in listed] == [version]
        execution = await suite.started(provider, spec.workflow_id)
        status = await suite.ended(provider, execution)
        assert (status.state, status.metadata["version"]) == (ExecutionState.SUCCEEDED, version)
        instance = await stack.reader.find_instance(DEFAULT, execution)
        assert instance.definition_version_id is not None
        kept = await stack.store.get_version(DEFAULT, instance.definition_version_id)
        assert (kept.listed, kept.created_by) == (False, "ann")
        # It was there from the creation on.
        assert kept.created_at < instance.started_at


@pytest.mark.parametrize(
    ("policy", "fields", "pointer"),
    [
        ({"max_attempts": 101}, {}, "/retry_policy/max_attempts"),
        ({"backoff_rate": 1000.5}, {}, "/retry_policy/backoff_rate"),
        ({"initial_interval": "2000000h"}, {}, "/retry_policy/initial_interval"),
        ({"max_interval": "2000000h"}, {}, "/retry_policy/max_interval"),
        ({}, {"timeout": "2000000h"}, "/timeout"),
        ({}, {"definition": {**document("succeeds"), "version": "1.0.0-" + "x" * 40}},
         "/definition/version"),
    ],
    ids=str,
)  # fmt: skip
async def test_what_cannot_be_tried_so_is_refused(
    stack: Stack, policy: dict[str, Any], fields: dict[str, Any], pointer: str
) -> None:
    """With the place in the spec, and nothing is registered."""
    provider = await provider_for(stack)
    spec = Retried().spec(**{"retry_policy": {**POLICY, **policy}, **fields})
    with pytest.raises(SpecError) as caught:
        await provider.create(spec)
    assert [one.pointer for one in caught.value.violations] == [pointer]
    assert await stack.store.versions(DEFAULT, spec.workflow_id) == []


async def test_tries_are_their_orgs_alone(stack: Stack) -> None:
    """Neither an execution nor its tries are found by another org."""
    slug = f"acme-{uuid4().hex[:6]}"
    await stack.store.create_org(slug)
    ours, theirs, suite = await provider_for(stack), await provider_for(stack, slug), Retried()
    spec = suite.spec("waits")
    for provider in (ours, theirs):
        await provider.create(spec)
    mine = await suite.started(ours, spec.workflow_id, execution_name="same")
    other = await suite.started(theirs, spec.workflow_id, execution_name="same")
    await suite.in_try(ours, mine, 1)
    await suite.in_try(theirs, other, 1)
    for name in (mine, f"{mine}/attempt"):
        with pytest.raises(ProviderNotFoundError):
            await theirs.status(name)
    assert [one.execution_id for one in (await theirs.list(spec.workflow_id)).items] == [other]
    await theirs.signal(other, GO)
    assert (await suite.ended(theirs, other)).state is ExecutionState.SUCCEEDED
    await ours.cancel(mine)
    assert (await suite.ended(ours, mine)).state is ExecutionState.CANCELLED
