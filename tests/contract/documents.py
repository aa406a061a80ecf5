"""The provider ``temporal`` for tests: opened on the tests' stack, with documents to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from typing_extensions import override

from steploom.providers.temporal import TemporalProvider
from steploom.services import Services
from steploom.testing.provider_contract import GO, Behaviour, ProviderContract
from steploom.testing.retry_contract import RetryContract

if TYPE_CHECKING:
    from definitions.ports import Organization
    from tests.workflows.stack import Stack


def services(stack: Stack) -> Services:
    """What a command would have opened."""
    settings = stack.settings(task_queue=stack.task_queue)
    return Services(settings, stack.client, stack.database)


async def provider_for(stack: Stack, org: str = "default") -> TemporalProvider:
    """The provider of an org."""
    found: Organization = await stack.store.find_org(org)
    return TemporalProvider(services(stack), found, "ann")


def document(behaviour: Behaviour) -> dict[str, Any]:
    """A document that behaves so."""
    steps: dict[str, list[dict[str, Any]]] = {
        "succeeds": [
            {"stepId": "first", "taskId": "test.echo"},
            {"stepId": "last", "taskId": "core.noop"},
        ],
        "fails": [
            {"stepId": "first", "taskId": "core.noop"},
            {
                "stepId": "charge",
                "taskId": "core.fail",
                "input": {"errorType": "GatewayError", "errorCode": "502", "message": "bad"},
            },
        ],
        "waits": [{"stepId": "wait", "taskId": "core.event", "input": {"name": GO}}],
    }
    return {"version": "1.0.0", "steps": steps[behaviour], "output": "${input}"}


class Documents(ProviderContract):
    """The contract's helpers for documents."""

    provider_type: ClassVar[str] = "temporal"

    @override
    def definition(self, behaviour: Behaviour) -> Any:
        """A document."""
        return document(behaviour)


async def created(provider: TemporalProvider, definition: Any, **fields: Any) -> str:
    """The id of a new workflow."""
    spec = Documents().spec(definition=definition, **fields)
    await provider.create(spec)
    return spec.workflow_id


def unstable(failures: int, then: Behaviour) -> dict[str, Any]:
    """A document of which so many runs of an execution fail, before it behaves as ``then``."""
    after = document(then)
    steps = [
        {"stepId": "begin", "taskId": "core.noop"},
        {
            "stepId": "charge",
            "taskId": "test.unstable",
            "input": {"times": failures},
            "retryPolicy": {"maxAttempts": 1},
        },
        *after["steps"],
    ]
    return {**after, "steps": steps}


class Retried(Documents, RetryContract):
    """The same for documents whose runs are tried again."""

    @override
    def unstable(self, failures: int, then: Literal["succeeds", "waits"]) -> Any:
        """A document."""
        return unstable(failures, then)
