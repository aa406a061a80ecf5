"""steploom: durable workflows as data.

What users import: ``from steploom import task, TaskContext, TaskError``; ``WorkflowEventBuilder``
makes audit events. The names are looked up when they are asked for, so importing the package costs
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from activities.context import TaskContext as TaskContext
    from activities.registry import task as task
    from definitions.audit import AuditEventError as AuditEventError
    from definitions.audit import WorkflowEventBuilder as WorkflowEventBuilder
    from definitions.errors import SteploomError as SteploomError
    from definitions.errors import TaskError as TaskError

_HOMES = {
    "AuditEventError": "definitions.audit",
    "SteploomError": "definitions.errors",
    "TaskContext": "activities.context",
    "TaskError": "definitions.errors",
    "WorkflowEventBuilder": "definitions.audit",
    "task": "activities.registry",
}

__all__ = [
    "AuditEventError",
    "SteploomError",
    "TaskContext",
    "TaskError",
    "WorkflowEventBuilder",
    "task",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 (only when a name is asked for)

    return getattr(importlib.import_module(_HOMES[name]), name)
