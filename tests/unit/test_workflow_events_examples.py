"""The published examples of the event envelope run as they stand (`workflow_events_examples.txt`).

Two of them leave something out, written as ``...``; it is put in, and nothing else is changed.
"""

from __future__ import annotations

import ast
import json
import re
from contextlib import redirect_stdout
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import pytest
from pydantic import ValidationError

from workflow_events import EventSource, EventType, WorkflowEvent
from workflow_events.schema_utils import generate_json_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILE = Path(__file__).with_name("workflow_events_examples.txt")
_BLOCKS = re.findall(r"^```python\n(.*?)\n```$", _FILE.read_text(), re.MULTILINE | re.DOTALL)
_SHORT_JSON = '{"event_id":"...","event_type":"workflow.completed",...}'
_SHORT_CALL = "WorkflowEvent(\n    ...,\n"
_JSON = (
    '{"event_id":"123e4567-e89b-12d3-a456-426614174000","event_type":"workflow.completed",'
    '"timestamp":"2025-01-27T10:00:00","source":"airflow","workflow_id":"example_dag",'
    '"workflow_run_id":"run_123","payload":{"data":{"status":"success"}},'
    '"metadata":{"environment":"dev","version":"1.0"}}'
)
_CALL = """WorkflowEvent(
    event_type=EventType.WORKFLOW_COMPLETED,
    source=EventSource.AIRFLOW,
    workflow_id="example_dag",
    workflow_run_id="run_123",
    payload=WorkflowEventPayload(data={}),
"""


class Ran(NamedTuple):
    """An example that has run: its text, the names afterwards, and what it printed."""

    text: str
    names: dict[str, Any]
    printed: str


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Ran]]:
    """All of them, run one after the other in one program."""
    names: dict[str, Any] = {}
    ran = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("examples"))
        for text in _BLOCKS:
            printed = StringIO()
            completed = text.replace(_SHORT_JSON, _JSON).replace(_SHORT_CALL, _CALL)
            with redirect_stdout(printed):
                exec(compile(completed, str(_FILE), "exec"), names)  # noqa: S102
            ran.append(Ran(text, dict(names), printed.getvalue()))
        yield ran


def the(examples: list[Ran], mark: str) -> Ran:
    """The one example that has this in its text."""
    [found] = [one for one in examples if mark in one.text]
    return found


def test_all_of_them_run(examples: list[Ran]) -> None:
    """Fifteen, each of which that makes an event makes one that comes back from its JSON."""
    assert len(examples) == 15
    made = [one.names["event"] for one in examples if "event = WorkflowEvent(" in one.text]
    events = [one for one in made if isinstance(one, WorkflowEvent)]
    assert len(events) == len(made) == 6
    for event in events:
        assert WorkflowEvent.model_validate_json(event.model_dump_json()) == event
        assert WorkflowEvent.model_validate(event.model_dump()) == event


def test_the_first_has_its_defaults(examples: list[Ran]) -> None:
    """An id and a time of its own."""
    event = examples[0].names["event"]
    assert isinstance(event.event_id, UUID)
    assert event.timestamp.tzinfo is not None
    assert event.payload.data == {"status": "success", "count": 100}


@pytest.mark.parametrize(("mark", "count"), [("# All event types", 3), ("# All event sources", 3)])
def test_enums_have_the_values_in_the_comments(examples: list[Ran], mark: str, count: int) -> None:
    """Each member, as its line says."""
    ran = the(examples, mark)
    told = re.findall(r'^(Event\w+\.\w+) +# "(.*)"$', ran.text, re.MULTILINE)
    assert len(told) == count
    for member, value in told:
        assert eval(member, ran.names) == value  # noqa: S307
    assert {value for _, value in told} <= {*EventType, *EventSource}


def test_parts_keep_what_they_are_given(examples: list[Ran]) -> None:
    """A payload that is nested, and the metadata."""
    payload = the(examples, '"tasks": [').names["payload"]
    assert payload.data["tasks"][1] == {"id": 2, "status": "running"}
    metadata = the(examples, "# Must be:").names["metadata"]
    assert (metadata.environment, metadata.version) == ("dev", "1.0")


def test_serialized_it_has_strings(examples: list[Ran]) -> None:
    """In the order of the comments: a dictionary's members, and the beginning of the JSON."""
    ran = the(examples, "event_dict = event.model_dump()")
    told = re.findall(r'^# +"(\w+)": "', ran.text, re.MULTILINE)
    assert told == ["event_id", "event_type", "timestamp"]
    dumped = ran.names["event_dict"]
    assert list(dumped)[:3] == told
    assert {type(dumped[name]) for name in (*told, "source")} == {str}
    assert str(UUID(dumped["event_id"])) == dumped["event_id"]
    assert datetime.fromisoformat(dumped["timestamp"]).tzinfo is not None
    text = the(examples, "# Returns: '{").names["json_str"]
    assert text.startswith(f'{{"event_id":"{dumped["event_id"]}","event_type":"workflow.completed"')


def test_deserialized_it_is_what_was_written(examples: list[Ran]) -> None:
    """From JSON and from a dictionary; unchanged when it is written again."""
    from_json = the(examples, "model_validate_json(json_data)").names["event"]
    assert from_json.model_dump_json() == _JSON
    ran = the(examples, "WorkflowEvent.model_validate(event_dict)")
    assert ran.names["event"] == from_json
    assert ran.names["event"].model_dump() == ran.names["event_dict"] == json.loads(_JSON)


def test_what_is_left_out_in_an_example_is_no_event() -> None:
    """The three dots are the reader's to fill."""
    with pytest.raises(ValidationError):
        WorkflowEvent.model_validate_json(_SHORT_JSON)


def test_schemas_are_made_and_saved(examples: list[Ran]) -> None:
    """One for each way, and a file."""
    names = the(examples, "save_json_schema(").names
    assert names["validation_schema"] == generate_json_schema("validation")
    assert names["serialization_schema"] == generate_json_schema("serialization")
    assert json.loads(Path("workflow_event_schema.json").read_text()) == names["validation_schema"]


def test_an_invalid_event_says_what_is_wrong(examples: list[Ran]) -> None:
    """As the comment has it: one error, its type, its place, and what would do."""
    printed = the(examples, "print(e.errors())").printed
    # Its context is no literal.
    [told] = re.findall(r"^\[\{'type': '(\w+)', 'loc': (\(.*?\)), 'msg': \"?'?(.*?)['\"],", printed)
    assert (told[0], ast.literal_eval(told[1])) == ("enum", ("event_type",))
    assert told[2].startswith("Input should be ")
