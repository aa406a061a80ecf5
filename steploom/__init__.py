"""steploom: durable workflows as data.

What users import: ``from steploom import task, TaskContext, TaskError`` where tasks are written,
and ``Client`` or ``AsyncClient`` where executions are started; ``new_workflow_event`` makes audit
events. The names are looked up when they are asked for, so importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from activities.context import TaskContext as TaskContext
    from activities.registry import task as task
    from definitions.audit import AuditEventError as AuditEventError
    from definitions.audit import WorkflowEventBuilder as WorkflowEventBuilder
    from definitions.errors import ConflictError as ConflictError
    from definitions.errors import InvalidDocumentError as InvalidDocumentError
    from definitions.errors import InvalidInputError as InvalidInputError
    from definitions.errors import NotFoundError as NotFoundError
    from definitions.errors import RefusedError as RefusedError
    from definitions.errors import SteploomError as SteploomError
    from definitions.errors import TaskError as TaskError
    from definitions.errors import UnreachableError as UnreachableError
    from definitions.statuses import InstanceStatus as InstanceStatus
    from definitions.ui import UiAnswer as UiAnswer
    from definitions.views import InstanceView as InstanceView
    from definitions.views import StepView as StepView
    from steploom.audit import new_workflow_event as new_workflow_event
    from steploom.client.client import AsyncClient as AsyncClient
    from steploom.client.errors import ClientClosedError as ClientClosedError
    from steploom.client.errors import ExecutionCancelledError as ExecutionCancelledError
    from steploom.client.errors import ExecutionEndedError as ExecutionEndedError
    from steploom.client.errors import ExecutionFailedError as ExecutionFailedError
    from steploom.client.errors import ExecutionTerminatedError as ExecutionTerminatedError
    from steploom.client.errors import ExecutionTimedOutError as ExecutionTimedOutError
    from steploom.client.errors import WaitTimeoutError as WaitTimeoutError
    from steploom.client.execution import AsyncExecution as AsyncExecution
    from steploom.client.sync import Client as Client
    from steploom.client.sync import Execution as Execution
    from steploom.operations.changes import Change as Change

_NAMES = {
    "activities.context": ["TaskContext"],
    "activities.registry": ["task"],
    "definitions.audit": ["AuditEventError", "WorkflowEventBuilder"],
    "definitions.errors": [
        "ConflictError",
        "InvalidDocumentError",
        "InvalidInputError",
        "NotFoundError",
        "RefusedError",
        "SteploomError",
        "TaskError",
        "UnreachableError",
    ],
    "definitions.statuses": ["InstanceStatus"],
    "definitions.ui": ["UiAnswer"],
    "definitions.views": ["InstanceView", "StepView"],
    "steploom.audit": ["new_workflow_event"],
    "steploom.client.client": ["AsyncClient"],
    "steploom.client.errors": [
        "ClientClosedError",
        "ExecutionCancelledError",
        "ExecutionEndedError",
        "ExecutionFailedError",
        "ExecutionTerminatedError",
        "ExecutionTimedOutError",
        "WaitTimeoutError",
    ],
    "steploom.client.execution": ["AsyncExecution"],
    "steploom.client.sync": ["Client", "Execution"],
    "steploom.operations.changes": ["Change"],
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = [
    "AsyncClient",
    "AsyncExecution",
    "AuditEventError",
    "Change",
    "Client",
    "ClientClosedError",
    "ConflictError",
    "Execution",
    "ExecutionCancelledError",
    "ExecutionEndedError",
    "ExecutionFailedError",
    "ExecutionTerminatedError",
    "ExecutionTimedOutError",
    "InstanceStatus",
    "InstanceView",
    "InvalidDocumentError",
    "InvalidInputError",
    "NotFoundError",
    "RefusedError",
    "StepView",
    "SteploomError",
    "TaskContext",
    "TaskError",
    "UiAnswer",
    "UnreachableError",
    "WaitTimeoutError",
    "WorkflowEventBuilder",
    "new_workflow_event",
    "task",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 (only when a name is asked for)

    return getattr(importlib.import_module(_HOMES[name]), name)
