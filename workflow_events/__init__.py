"""Events of workflows as they travel over Kafka: typed, validated, versioned.

Depends on pydantic alone, so that whoever consumes the events can take this package by itself.
"""

from __future__ import annotations

from workflow_events.events import EventSource as EventSource
from workflow_events.events import EventType as EventType
from workflow_events.events import WorkflowEvent as WorkflowEvent
from workflow_events.events import WorkflowEventMetadata as WorkflowEventMetadata
from workflow_events.events import WorkflowEventPayload as WorkflowEventPayload

__all__ = [
    "EventSource",
    "EventType",
    "WorkflowEvent",
    "WorkflowEventMetadata",
    "WorkflowEventPayload",
]
