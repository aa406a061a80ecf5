"""Asking Temporal about queues and runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

from definitions.errors import UnreachableError
from definitions.names import SEARCH_ORG, WORKFLOW_TYPE

if TYPE_CHECKING:
    from temporalio.client import Client, WorkflowExecutionDescription


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
    client: Client, execution_id: str, org: str
) -> WorkflowExecutionDescription | None:
    """The run of this org that Temporal has under this id, whether or not it is on record yet."""
    try:
        found = await client.get_workflow_handle(execution_id).describe()
    except RPCError as error:
        if error.status in {RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT}:
            return None
        raise unreachable(error) from error
    owner = found.typed_search_attributes.get(SearchAttributeKey.for_keyword(SEARCH_ORG))
    return found if found.workflow_type == WORKFLOW_TYPE and owner == org else None


def unreachable(error: RPCError) -> UnreachableError:
    """The error for a server that stopped to answer."""
    return UnreachableError(
        "Temporal",
        f"Temporal does not answer ({error.message or error.status.name})",
        hint="start it with `steploom dev`, or set STEPLOOM_TEMPORAL_ADDRESS",
    )
