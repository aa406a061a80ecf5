"""The published event envelope: fields, defaults, what is refused, and the way to JSON and back."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from workflow_events import (
    EventSource,
    EventType,
    WorkflowEvent,
    WorkflowEventMetadata,
    WorkflowEventPayload,
)
from workflow_events.schema_utils import generate_json_schema, save_json_schema

if TYPE_CHECKING:
    from pathlib import Path

EVENT_DICT: dict[str, Any] = {
    "event_id": "123e4567-e89b-12d3-a456-426614174000",
    "event_type": "workflow.completed",
    "timestamp": "2025-01-27T10:00:00",
    "source": "airflow",
    "workflow_id": "example_dag",
    "workflow_run_id": "run_123",
    "payload": {"data": {"status": "success"}},
    "metadata": {"environment": "dev", "version": "1.0"},
}


def _event(**changed: Any) -> WorkflowEvent:
    given = {
        "event_type": EventType.WORKFLOW_COMPLETED,
        "source": EventSource.AIRFLOW,
        "workflow_id": "example_dag",
        "workflow_run_id": "run_123",
        "payload": WorkflowEventPayload(data={"status": "success", "count": 100}),
        "metadata": WorkflowEventMetadata(environment="dev", version="1.0"),
    }
    return WorkflowEvent(**(given | changed))


def test_an_event_is_made_with_an_id_and_a_time() -> None:
    """The example of a completed run: the id and the time come by themselves."""
    before = datetime.now(UTC)
    event, other = _event(), _event()
    assert isinstance(event.event_id, UUID)
    assert event.event_id != other.event_id
    assert before <= event.timestamp <= datetime.now(UTC)
    assert event.payload.data == {"status": "success", "count": 100}


def test_examples_of_other_systems() -> None:
    """A completed Airflow run, a triggered LangGraph run and a failed one are written and read."""
    examples = (
        WorkflowEvent(
            event_type=EventType.WORKFLOW_COMPLETED,
            source=EventSource.AIRFLOW,
            workflow_id="example_etl_dag",
            workflow_run_id="run_2025-01-27T10:00:00",
            payload=WorkflowEventPayload(
                data={"status": "success", "tasks_completed": 5, "duration_seconds": 120}
            ),
            metadata=WorkflowEventMetadata(environment="dev", version="1.0"),
        ),
        WorkflowEvent(
            event_type=EventType.WORKFLOW_TRIGGERED,
            source=EventSource.LANGGRAPH,
            workflow_id="trading_analysis_workflow",
            workflow_run_id="run_789",
            payload=WorkflowEventPayload(
                data={
                    "input": {"symbol": "AAPL", "timeframe": "1h"},
                    "workflow_type": "analysis",
                }
            ),
            metadata=WorkflowEventMetadata(environment="prod", version="1.0"),
        ),
        WorkflowEvent(
            event_type=EventType.WORKFLOW_FAILED,
            source=EventSource.AIRFLOW,
            workflow_id="data_processing_dag",
            workflow_run_id="run_456",
            payload=WorkflowEventPayload(
                data={"error": "Task timeout", "failed_task": "extract_data", "retry_count": 3}
            ),
            metadata=WorkflowEventMetadata(environment="staging", version="1.0"),
        ),
    )
    for event in examples:
        assert WorkflowEvent.model_validate_json(event.model_dump_json()) == event
        assert WorkflowEvent.model_validate(event.model_dump()) == event


def test_enums() -> None:
    """The types and sources have the values that stand on the wire; ours is a source as well."""
    assert [str(one) for one in EventType] == [
        "workflow.triggered",
        "workflow.completed",
        "workflow.failed",
    ]
    assert [str(one) for one in EventSource] == ["airflow", "langgraph", "fastapi", "steploom"]


def test_a_dictionary_passes_through_unchanged() -> None:
    """`model_dump()` shows strings, and a time without a zone stays as it was written."""
    event = WorkflowEvent.model_validate(EVENT_DICT)
    assert event.timestamp == datetime(2025, 1, 27, 10, tzinfo=UTC)
    dumped = event.model_dump()
    assert dumped == EVENT_DICT
    assert {type(dumped[name]) for name in ("event_id", "event_type", "timestamp", "source")} == {
        str
    }
    assert json.loads(event.model_dump_json()) == EVENT_DICT
    assert list(dumped) == list(EVENT_DICT)


def test_times_have_zones() -> None:
    """A time in UTC ends with Z, another one keeps its offset."""
    utc = _event(timestamp=datetime(2025, 1, 27, 10, tzinfo=UTC))
    assert utc.model_dump()["timestamp"] == "2025-01-27T10:00:00Z"
    east = WorkflowEvent.model_validate(EVENT_DICT | {"timestamp": "2025-01-27T10:00:00+02:00"})
    assert east.timestamp.utcoffset() == timedelta(hours=2)
    assert east.model_dump()["timestamp"] == "2025-01-27T10:00:00+02:00"


def test_the_version_has_a_default() -> None:
    """The schema's version is 1.0 where none is said."""
    assert WorkflowEventMetadata(environment="dev").version == "1.0"


def test_unknown_members_are_ignored() -> None:
    """A later version of the schema may have more members."""
    event = WorkflowEvent.model_validate(EVENT_DICT | {"later": 1})
    assert event.model_dump() == EVENT_DICT


def test_an_unknown_type_is_refused() -> None:
    """The error says which field, and what it may be."""
    with pytest.raises(ValidationError) as caught:
        _event(event_type="invalid.type")
    (error,) = caught.value.errors()
    assert (error["type"], error["loc"]) == ("enum", ("event_type",))
    assert error["msg"].startswith("Input should be ")


@pytest.mark.parametrize("environment", ["test", "DEV", "", "dev\n", "xdev", "production"])
def test_an_unknown_environment_is_refused(environment: str) -> None:
    """The environment is dev, staging or prod, and nothing around it."""
    with pytest.raises(ValidationError) as caught:
        WorkflowEventMetadata(environment=environment)
    assert caught.value.errors()[0]["loc"] == ("environment",)


@pytest.mark.parametrize(
    "missing", ["event_type", "source", "workflow_id", "workflow_run_id", "payload", "metadata"]
)
def test_a_missing_field_is_refused(missing: str) -> None:
    """Everything but the id and the time is required."""
    with pytest.raises(ValidationError) as caught:
        WorkflowEvent.model_validate({k: v for k, v in EVENT_DICT.items() if k != missing})
    assert [error["loc"] for error in caught.value.errors()] == [(missing,)]


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_schemas_describe_the_event(mode: Any, tmp_path: Path) -> None:
    """Both schemas name every field with its format and values; a saved one is the same."""
    schema = generate_json_schema(mode=mode)
    assert list(schema["properties"]) == list(EVENT_DICT)
    assert schema["properties"]["event_id"]["format"] == "uuid"
    assert schema["properties"]["timestamp"]["format"] == "date-time"
    assert schema["properties"]["event_type"]["enum"] == [str(one) for one in EventType]
    file = tmp_path / "workflow_event_schema.json"
    save_json_schema(str(file), mode=mode)
    assert json.loads(file.read_text()) == schema


def test_an_unknown_schema_is_refused() -> None:
    """There are two modes."""
    with pytest.raises(ValueError, match="validation, serialization"):
        generate_json_schema(mode="both")  # type: ignore[arg-type]


def test_the_package_needs_pydantic_alone() -> None:
    """Whoever consumes events needs nothing else of ours."""
    code = (
        "import sys, workflow_events.schema_utils;"
        "ours = {'definitions', 'activities', 'worker', 'adapters', 'steploom', 'temporalio'};"
        "print(sorted(ours & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
