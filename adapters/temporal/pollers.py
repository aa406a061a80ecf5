"""Who takes tasks from a task queue: Temporal's own word on whether a worker is at work."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

if TYPE_CHECKING:
    from datetime import timedelta

    from temporalio.client import Client


async def pollers(client: Client, task_queue: str, *, within: timedelta) -> list[str]:
    """The identities of the workers that asked for a workflow task in the last while.

    Temporal remembers a worker for minutes after it is gone; a long poll lasts one minute.

    Raises:
        RPCError: The server does not answer.
    """
    answer = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=task_queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
    )
    oldest = datetime.now(UTC) - within
    return [
        poller.identity
        for poller in answer.pollers
        if poller.last_access_time.ToDatetime(tzinfo=UTC) >= oldest
    ]
