"""Asking Temporal about queues and runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

from definitions.errors import UnreachableError
from definitions.jsongate import JsonGateError, loads
from definitions.names import SEARCH_ORG, WORKFLOW_TYPE
from definitions.start import DEFAULT_ORG

if TYPE_CHECKING:
    from temporalio.client import Client, WorkflowExecutionDescription, WorkflowHandle

    from definitions.ports import Organization


async def has_pollers(client: Client, task_queue: str) -> bool:
    """Whether a worker serves this queue; True where Temporal does not say."""
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    try:
        return bool((await client.workflow_service.describe_task_queue(request)).pollers)
    except RPCError:
        return True


async def find_run(
    client: Client, execution_id: str, org: Organization
) -> WorkflowExecutionDescription | None:
    """The run of this org that Temporal has under this id, whether or not it is on record yet."""
    handle = client.get_workflow_handle(execution_id)
    try:
        found = await handle.describe()
        if found.workflow_type != WORKFLOW_TYPE:
            return None
        owner = found.typed_search_attributes.get(SearchAttributeKey.for_keyword(SEARCH_ORG))
        if owner is None:
            # It was started by other means, or this Temporal does not know our search attributes.
            owner = await _owner_by_history(handle)
    except RPCError as error:
        if error.status in {RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT}:
            return None
        raise unreachable(error) from error
    return found if owner in {org.slug, str(org.id)} else None


async def _owner_by_history(handle: WorkflowHandle[Any, Any]) -> str | None:
    """The org that a run's start object names, as its slug or its id."""
    async for event in handle.fetch_history_events(page_size=1):
        given = event.workflow_execution_started_event_attributes.input.payloads
        try:
            start = loads(given[0].data) if given else None
        except JsonGateError:
            return None
        named = start.get("orgId", DEFAULT_ORG) if isinstance(start, dict) else DEFAULT_ORG
        return named if isinstance(named, str) else None
    return None


def unreachable(error: RPCError) -> UnreachableError:
    """The error for a server that stopped to answer."""
    return UnreachableError(
        "Temporal",
        f"Temporal does not answer ({error.message or error.status.name})",
        hint="start it with `steploom dev`, or set STEPLOOM_TEMPORAL_ADDRESS",
    )
