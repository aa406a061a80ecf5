"""The event's envelope: what happened to which run of which workflow, where and when."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import UUID, uuid4

from pydantic import (
    BaseModel,
    Field,
    PlainSerializer,
    PrivateAttr,
    WithJsonSchema,
    field_serializer,
    model_validator,
)

#: The version of the schema that this package writes.
SCHEMA_VERSION = "1.0"


class EventType(StrEnum):
    """What happened."""

    WORKFLOW_TRIGGERED = "workflow.triggered"
    WORKFLOW_COMPLETED = "workflow.completed"
    WORKFLOW_FAILED = "workflow.failed"


class EventSource(StrEnum):
    """The system that tells of it."""

    AIRFLOW = "airflow"
    LANGGRAPH = "langgraph"
    FASTAPI = "fastapi"
    STEPLOOM = "steploom"


class WorkflowEventPayload(BaseModel):
    """What the workflow has to say; its members depend on the type of the event."""

    data: dict[str, Any]


class WorkflowEventMetadata(BaseModel):
    """Where the event comes from, and how it is to be read."""

    environment: Annotated[str, Field(pattern=r"^(dev|staging|prod)$")]
    version: str = SCHEMA_VERSION


def _now() -> datetime:
    return datetime.now(UTC)


def _value(member: StrEnum) -> str:
    return member.value


# A serializer would hide these from the schema of what is written.
_TYPE_SCHEMA: dict[str, Any] = {"enum": [*EventType], "type": "string"}
_SOURCE_SCHEMA: dict[str, Any] = {"enum": [*EventSource], "type": "string"}


class WorkflowEvent(BaseModel):
    """One event. ``timestamp`` has a zone: one that is given without is in UTC.

    ``model_dump()`` gives strings for the id, the time and the enums, just as the JSON does. A time
    that was given without a zone is written without one again, so that an event passes through
    unchanged. Unknown members are ignored.

    Raises:
        pydantic.ValidationError: A field is missing, or has a value that it cannot have.
    """

    event_id: Annotated[
        UUID,
        PlainSerializer(str, return_type=str),
        WithJsonSchema({"type": "string", "format": "uuid"}),
    ] = Field(default_factory=uuid4, description="Unique identifier of the event.")
    event_type: Annotated[EventType, PlainSerializer(_value), WithJsonSchema(_TYPE_SCHEMA)] = Field(
        description="Type of the event."
    )
    timestamp: datetime = Field(
        default_factory=_now,
        description="When the event was made, ISO 8601.",
        json_schema_extra={"format": "date-time"},
    )
    source: Annotated[EventSource, PlainSerializer(_value), WithJsonSchema(_SOURCE_SCHEMA)] = Field(
        description="System that made the event."
    )
    workflow_id: str = Field(description="Identifier of the workflow.")
    workflow_run_id: str = Field(description="Identifier of the run of the workflow.")
    payload: WorkflowEventPayload = Field(description="What the workflow has to say.")
    metadata: WorkflowEventMetadata = Field(description="Environment and version.")

    _zoneless: bool = PrivateAttr(default=False)

    @model_validator(mode="after")
    def _give_a_zone(self) -> Self:
        if self.timestamp.tzinfo is None:
            self.timestamp = self.timestamp.replace(tzinfo=UTC)
            self._zoneless = True
        return self

    @field_serializer("timestamp")
    def _write_timestamp(self, timestamp: datetime) -> str:
        if self._zoneless:
            return timestamp.replace(tzinfo=None).isoformat()
        text = timestamp.isoformat()
        return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text
