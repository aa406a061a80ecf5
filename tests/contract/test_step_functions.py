"""The provider ``step-functions`` on moto's server, which interprets state machines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

import boto3
import pytest
import pytest_asyncio
from botocore.exceptions import ClientError
from typing_extensions import override

from adapters.processes.ports import free_ports
from adapters.stepfunctions.errors import translated
from adapters.stepfunctions.opening import open_provider
from definitions.providers.errors import (
    AlreadyExistsError,
    ProviderConflictError,
    ProviderNotFoundError,
    SpecError,
    UnavailableError,
)
from definitions.providers.port import ProviderContext
from definitions.providers.types import WorkflowSpec
from steploom.testing.provider_contract import Behaviour, Feature, ProviderContract
from tests.contract.aws import running_moto
from tests.unit.test_provider_types import WORKFLOW_SPEC

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from adapters.stepfunctions.provider import StepFunctionsProvider

ROLE = "arn:aws:iam::123456789012:role/executions"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of our own, with credentials for it in the environment."""
    with (
        running_moto(tmp_path_factory.mktemp("moto") / "server.log") as url,
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("AWS_ENDPOINT_URL", url)
        environment.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        environment.setenv("AWS_ACCESS_KEY_ID", "testing")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        yield url


def context(org: str = "default", **options: str) -> ProviderContext:
    """How the provider is opened."""
    return ProviderContext(org=org, options={"role_arn": ROLE, **options})


def machine(behaviour: Behaviour) -> dict[str, Any]:
    """A state machine that behaves so."""
    states: dict[str, dict[str, Any]] = {
        "succeeds": {
            "First": {"Type": "Pass", "Next": "Last"},
            "Last": {"Type": "Succeed"},
        },
        "fails": {
            "First": {"Type": "Pass", "Next": "Charge"},
            "Charge": {"Type": "Fail", "Error": "GatewayError", "Cause": "bad gateway"},
        },
        "waits": {"First": {"Type": "Wait", "Seconds": 300, "End": True}},
    }
    return {"StartAt": "First", "States": states[behaviour]}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def provider(aws: str) -> AsyncIterator[StepFunctionsProvider]:
    """The provider of the org ``default``. To make a client of AWS takes a second or two."""
    assert aws
    async with open_provider(context()) as provider:
        yield provider


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def second(aws: str) -> AsyncIterator[StepFunctionsProvider]:
    """Another one."""
    assert aws
    async with open_provider(context()) as provider:
        yield provider


class TestStepFunctions(ProviderContract):
    """State machines, run by AWS."""

    provider_type: ClassVar[str] = "step-functions"
    supports: ClassVar[frozenset[Feature]] = frozenset({"list", "delete"})

    @override
    @pytest.fixture
    def reopened(self, second: StepFunctionsProvider) -> StepFunctionsProvider:
        """Another one, as after a restart."""
        return second

    @override
    def definition(self, behaviour: Behaviour) -> Any:
        """A state machine."""
        return machine(behaviour)


async def created(provider: StepFunctionsProvider, definition: Any, **fields: Any) -> str:
    """The id of a new workflow."""
    spec = TestStepFunctions().spec(definition=definition, **fields)
    await provider.create(spec)
    return spec.workflow_id


async def test_the_published_example_is_taken(aws: str) -> None:
    """Its timeout, its tags and its retries are AWS's to keep."""
    assert aws
    example = json.loads(WORKFLOW_SPEC) | {"workflow_id": f"tenant-{uuid4().hex[:8]}"}
    for state in example["definition"]["States"].values():
        state["Resource"] = "arn:aws:lambda:eu-central-1:123456789012:function:any"
    spec = WorkflowSpec.parse(example)
    async with open_provider(context()) as provider:
        made = await provider.create(spec)
        client = boto3.client("stepfunctions")
        kept = client.describe_state_machine(stateMachineArn=made.resource_ids["arn"])
        tags = client.list_tags_for_resource(resourceArn=made.resource_ids["arn"])["tags"]
    assert kept["name"] == spec.workflow_id
    assert kept["roleArn"] == ROLE
    machine = json.loads(kept["definition"])
    assert machine["TimeoutSeconds"] == 1800
    [retry] = machine["States"]["Attempts"]["Retry"]
    assert retry == {
        "ErrorEquals": ["States.ALL"],
        "IntervalSeconds": 1,
        "MaxAttempts": 2,
        "BackoffRate": 2.0,
        "MaxDelaySeconds": 60,
    }
    assert {tag["key"]: tag["value"] for tag in tags} == spec.tags


async def test_a_whole_execution_is_tried_again(aws: str) -> None:
    """As often as its policy says; what comes out is as without it."""
    assert aws
    suite = TestStepFunctions()
    policy = {"max_attempts": 3, "backoff_rate": 1.0, "initial_interval": "1s"}
    async with open_provider(context()) as provider:
        failing = await created(provider, machine("fails"), retry_policy=policy)
        status = await suite.ended(provider, await suite.started(provider, failing))
        assert status.error is not None
        assert (status.error.code, status.error.failed_at) == ("GatewayError", "Charge")
        assert status.error.cause == status.error.message == "bad gateway"
        states = [event.details.get("state") for event in status.history]
        assert states.count("Charge") == 3
        fine = await created(provider, machine("succeeds"), retry_policy=policy)
        execution = await suite.started(provider, fine, input={"a": 1})
        assert (await suite.ended(provider, execution)).output == {"a": 1}


async def test_a_cause_that_a_function_wrote_has_the_message_in_it(aws: str) -> None:
    """As AWS Lambda writes it; the whole of it stays the cause."""
    assert aws
    suite = TestStepFunctions()
    cause = '{"errorMessage": "no such tenant", "errorType": "KeyError"}'
    failing = machine("fails")
    failing["States"]["Charge"]["Cause"] = cause
    async with open_provider(context()) as provider:
        workflow_id = await created(provider, failing)
        status = await suite.ended(provider, await suite.started(provider, workflow_id))
    assert status.error is not None
    assert (status.error.message, status.error.cause) == ("no such tenant", cause)


async def test_an_array_is_an_input(aws: str) -> None:
    """As AWS has it."""
    assert aws
    suite = TestStepFunctions()
    async with open_provider(context()) as provider:
        workflow_id = await created(provider, machine("succeeds"))
        status = await suite.ended(
            provider, await suite.started(provider, workflow_id, input=[1, {"a": None}])
        )
        assert status.input == status.output == [1, {"a": None}]


async def test_names_are_as_long_as_aws_takes_them(aws: str) -> None:
    """80 characters, of a workflow with what an org's begin with."""
    assert aws
    suite = TestStepFunctions()
    async with open_provider(context("acme")) as provider:
        fits = "w" * (80 - len("acme_"))
        await provider.create(suite.spec(workflow_id=fits))
        with pytest.raises(SpecError) as caught:
            await provider.create(suite.spec(workflow_id=fits + "w"))
        [one] = caught.value.violations
        assert (one.field, one.limit, one.size) == ("workflow_id", 80, 81)
        await suite.started(provider, fits, execution_name="n" * 80)
        with pytest.raises(SpecError) as caught:
            await suite.started(provider, fits, execution_name="n" * 81)
        [one] = caught.value.violations
        assert (one.field, one.limit, one.size) == ("execution_name", 80, 81)


async def test_orgs_see_nothing_of_each_other(aws: str) -> None:
    """In one account: neither a workflow nor an execution, and the same names are free."""
    assert aws
    suite = TestStepFunctions()
    async with open_provider(context()) as ours, open_provider(context("acme")) as theirs:
        spec = suite.spec("waits")
        await ours.create(spec)
        running = await suite.started(ours, spec.workflow_id, execution_name="same")
        for refused in (
            theirs.status(running),
            theirs.cancel(running),
            anext(theirs.history(running)),
            suite.started(theirs, spec.workflow_id),
            theirs.list(spec.workflow_id),
            theirs.delete(spec.workflow_id),
        ):
            with pytest.raises(ProviderNotFoundError):
                await refused
        await theirs.create(spec)
        other = await suite.started(theirs, spec.workflow_id, execution_name="same", input={"n": 1})
        with pytest.raises(ProviderNotFoundError):
            await ours.status(other)
        for provider, execution in ((ours, running), (theirs, other)):
            await provider.cancel(execution)


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"role_arn": 7}, "/provider_config/role_arn"),
        ({"roleArn": ROLE}, "/provider_config/roleArn"),
        ("text", "/provider_config"),
        ({}, "/provider_config/role_arn"),
    ],
    ids=str,
)
async def test_an_unusable_configuration_is_refused(aws: str, config: Any, pointer: str) -> None:
    """With its field; a role is needed."""
    assert aws
    async with open_provider(ProviderContext()) as provider:
        with pytest.raises(SpecError) as caught:
            await provider.create(TestStepFunctions().spec(provider_config=config))
        assert [one.pointer for one in caught.value.violations] == [pointer]


async def test_another_role_is_another_workflow(aws: str) -> None:
    """Though AWS itself would take no notice of it."""
    assert aws
    async with open_provider(context()) as provider:
        spec = TestStepFunctions().spec()
        await provider.create(spec)
        other = {"role_arn": ROLE.replace("executions", "other")}
        changed = WorkflowSpec.parse(spec.to_json() | {"provider_config": other})
        with pytest.raises(AlreadyExistsError):
            await provider.create(changed)


async def test_an_aws_that_is_not_there_is_unavailable(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens, or no region is known: what to do is said."""
    assert aws
    [port] = free_ports(1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(UnavailableError, match="Step Functions"):
        async with open_provider(context(endpoint_url=f"http://127.0.0.1:{port}")):
            pass
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(UnavailableError) as caught:
        async with open_provider(context()):
            pass
    assert "AWS_REGION" in str(caught.value.hint)
    with pytest.raises(SpecError, match="/retries"):
        async with open_provider(context(retries="3")):
            pass


def test_what_aws_answers_is_one_of_ours() -> None:
    """Each of its errors, by its code."""
    expected = {
        "StateMachineDoesNotExist": ProviderNotFoundError,
        "ExecutionDoesNotExist": ProviderNotFoundError,
        "StateMachineDeleting": ProviderNotFoundError,
        "ExecutionAlreadyExists": AlreadyExistsError,
        "StateMachineAlreadyExists": AlreadyExistsError,
        "ConflictException": ProviderConflictError,
        "InvalidDefinition": SpecError,
        "InvalidExecutionInput": SpecError,
        "ValidationException": SpecError,
        "AccessDeniedException": UnavailableError,
        "ThrottlingException": UnavailableError,
        "ExecutionLimitExceeded": UnavailableError,
    }
    for code, kind in expected.items():
        answer = ClientError({"Error": {"Code": code, "Message": "why"}}, "Any")
        assert type(translated(answer, "workflow", "w")) is kind, code
