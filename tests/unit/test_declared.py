"""The task catalogue: tasks that workers of other languages serve, read and merged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.registry import TaskRegistrationError, TaskRegistry, task
from definitions.declared import LIMITS, read_catalogue
from definitions.errors import InvalidInputError
from definitions.problem_examples import DECLARED
from definitions.schema import catalogue_schema
from definitions.tasks import TaskSpec
from steploom.catalogue import (
    BrokenCatalogueError,
    TaskSources,
    known_tasks,
    load_registry,
)
from tests.unit.rehearsed import write
from tests.workflows.gobuild import SOURCES

CHARGE: dict[str, Any] = {
    "taskId": "charge-card",
    "activity": "ChargeCard",
    "taskQueue": "payments",
    "attemptTimeout": "PT20S",
}
SCHEMA = jsonschema_rs.validator_for(catalogue_schema(), offline=True)


def found(value: Any) -> list[tuple[str, str]]:
    """The problems of a catalogue: pointer and code."""
    return [(one.pointer, one.code) for one in read_catalogue(json.dumps(value)).problems]


def test_what_is_declared_is_what_is_known() -> None:
    """Each field comes through; what is left out is not known."""
    whole = {
        **CHARGE,
        "description": "Takes the money.",
        "inputSchema": {"type": "object"},
        "outputSchema": {"type": "string"},
        "retryPolicy": {"maxAttempts": 5},
        "timeout": "PT5M",
        "heartbeatTimeout": "PT10S",
        "x-owner": "payments",
    }
    read = read_catalogue(json.dumps({"tasks": [whole, {**CHARGE, "taskId": "other"}]}))
    assert read.problems == []
    charge, other = read.specs
    assert (charge.activity, charge.task_queue, charge.mode) == ("ChargeCard", "payments", "remote")
    assert charge.retry_policy is not None
    assert charge.retry_policy.max_attempts == 5
    assert (charge.timeout, charge.attempt_timeout, charge.heartbeat_timeout) == (
        "PT5M", "PT20S", "PT10S",
    )  # fmt: skip
    assert (charge.input_schema, charge.output_schema) == ({"type": "object"}, {"type": "string"})
    assert charge.description == "Takes the money."
    assert (other.input_schema, other.retry_policy, other.timeout) == (None, None, None)


def test_every_problem_at_once() -> None:
    """Shapes, names, limits and schemas, in the order of the file."""
    broken = {
        "tasks": [
            {**CHARGE, "activity": "", "attemptTimeout": "20s", "qeue": 1},
            {"taskId": "core.pay", "taskQueue": 7},
            {**CHARGE, "outputSchema": {"type": "strin"}, "inputSchema": {"$ref": "https://a/b"}},
            "nothing",
        ],
        "more": [],
    }
    assert sorted(found(broken)) == [
        ("/more", "unknown_field"),
        ("/tasks/0/activity", "empty"),
        ("/tasks/0/attemptTimeout", "invalid_duration"),
        ("/tasks/0/qeue", "unknown_field"),
        ("/tasks/1", "missing_field"),
        ("/tasks/1", "unbounded_task"),
        ("/tasks/1/taskId", "reserved_task_id"),
        ("/tasks/1/taskQueue", "wrong_type"),
        ("/tasks/2/inputSchema/$ref", "remote_schema_reference"),
        ("/tasks/2/outputSchema/type", "invalid_schema"),
        ("/tasks/2/taskId", "duplicate_task_id"),
        ("/tasks/3", "wrong_type"),
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "invalid_json"),
        ('{"tasks": [], "tasks": []}', "duplicate_key"),
        ('{"tasks": NaN}', "not_a_number"),
        (b"\xff", "invalid_utf8"),
        ("[]", "wrong_type"),
        ("{}", "missing_field"),
    ],
)
def test_what_is_no_catalogue(text: str | bytes, code: str) -> None:
    """The JSON gate, and the shape of the whole."""
    read = read_catalogue(text)
    assert [one.code for one in read.problems] == [code]
    assert read.specs == []


@pytest.mark.parametrize("key", ["activity", "taskQueue"])
def test_names_that_temporal_would_refuse(key: str) -> None:
    """It counts bytes, and a run would hang on such a name."""
    assert found({"tasks": [{**CHARGE, key: "é" * 127}]}) == []
    assert found({"tasks": [{**CHARGE, key: "é" * 128}]}) == [(f"/tasks/0/{key}", "too_long")]
    assert found({"tasks": [{**CHARGE, key: "x" * 256}]}) == [(f"/tasks/0/{key}", "too_long")]


@pytest.mark.parametrize("limit", LIMITS)
def test_one_limit_is_enough(limit: str) -> None:
    """Any of the three bounds a task; null is none."""
    bare = {key: value for key, value in CHARGE.items() if key != "attemptTimeout"}
    assert found({"tasks": [{**bare, limit: "PT1M"}]}) == []
    assert found({"tasks": [{**bare, limit: None}]}) == [("/tasks/0", "unbounded_task")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        [*CHARGE, "tasks", "inputSchema", "retryPolicy", "type"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.one_of(JSON, JSON.map(lambda value: {"tasks": [{**CHARGE, "inputSchema": value}]})))
def test_no_catalogue_raises_anything(value: Any) -> None:
    """However damaged; and one without problems fits the published schema."""
    read = read_catalogue(json.dumps(value))
    if not read.problems:
        assert [error.message for error in SCHEMA.iter_errors(value)] == []


@pytest.mark.parametrize("code", ["reserved_task_id", "reserved_task_queue", "unbounded_task"])
def test_an_editor_sees_it_too(code: str) -> None:
    """The published schema has the rules that a schema can have."""
    assert not SCHEMA.is_valid(DECLARED[code])
    assert SCHEMA.is_valid({"tasks": [CHARGE]})


def test_the_example_is_valid() -> None:
    """The catalogue of the docs, whose worker runs in a test."""
    text = (SOURCES / "catalogue.json").read_bytes()
    assert read_catalogue(text).problems == []
    assert SCHEMA.is_valid(json.loads(text))


@task("charge-card")
def charge_card() -> None:
    """Has the id that the catalogue has."""


def test_a_registry_refuses_an_id_that_is_taken() -> None:
    """Whichever comes first; the message names both places."""
    spec = TaskSpec(task_id="charge-card", activity="ChargeCard", task_queue="payments")
    both = r"two tasks are called charge-card: .*charge_card and a\.json:/tasks/0"
    registry = TaskRegistry()
    registry.add(charge_card)
    with pytest.raises(TaskRegistrationError, match=both):
        registry.declare(spec, "a.json:/tasks/0")
    registry = TaskRegistry()
    registry.declare(spec, "a.json:/tasks/0")
    with pytest.raises(TaskRegistrationError, match=r"a\.json:/tasks/0 and .*charge_card"):
        registry.add(charge_card)
    with pytest.raises(TaskRegistrationError, match=r"a\.json:/tasks/0 and b\.json:/tasks/7"):
        registry.declare(spec, "b.json:/tasks/7")
    with pytest.raises(TaskRegistrationError, match=r"c\.json: the prefix core\."):
        registry.declare(TaskSpec(task_id="core.pay"), "c.json")
    assert registry.specs()["charge-card"] is spec
    assert registry.get("charge-card") is None


def test_files_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several files, each once however it is named; all problems of all files at once."""
    monkeypatch.chdir(tmp_path)
    write("a.json", {"tasks": [CHARGE]})
    write("b.json", {"tasks": [{**CHARGE, "taskId": "refund"}]})
    registry = load_registry(TaskSources([], ["a.json", str(tmp_path / "a.json"), "b.json"]))
    assert {"charge-card", "refund", "core.http"} <= set(registry.specs())
    assert registry.nearest("charge-cart") == "charge-card"
    write("bad.json", {"tasks": [{}]})
    write("worse.json", "no")
    with pytest.raises(BrokenCatalogueError) as caught:
        known_tasks(TaskSources([], ["a.json", "bad.json", "worse.json"]))
    assert set(caught.value.files) == {"bad.json", "worse.json"}
    assert len(caught.value.files) == len(caught.value.problems) == 5
    with pytest.raises(InvalidInputError, match=r"none\.json cannot be read"):
        known_tasks(TaskSources([], ["none.json"]))
