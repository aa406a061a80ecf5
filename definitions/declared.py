"""The task catalogue: a JSON file that declares the tasks that workers of other languages serve.

::

    {"tasks": [{"taskId": "charge-card", "activity": "ChargeCard", "taskQueue": "payments",
                "attemptTimeout": "PT20S"}]}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, JsonValue

from definitions.document import Description, Duration, RetryPolicy, _Part
from definitions.jsongate import JsonGateError, loads
from definitions.problems import Problem, has_errors
from definitions.schemas import InvalidSchemaError, compile_schema
from definitions.tasks import TaskSpec
from definitions.validation.findings import Findings
from definitions.validation.structure import check_shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from definitions.jsontypes import Json, JsonObject

#: What begins the ids of built-in tasks alone.
RESERVED = "core."
#: What begins the names of Temporal's own task queues.
RESERVED_QUEUE = "/_sys/"
#: What bounds a task: an activity without any of them would never be given up.
LIMITS = ("timeout", "attemptTimeout", "heartbeatTimeout")

#: Temporal counts the bytes of names. One that it refuses would stop a run for good.
_MAX_BYTES = 255
_Text = Annotated[str, Field(min_length=1, max_length=255)]


class DeclaredTask(_Part):
    """A task that is a Temporal activity of somebody else's worker."""

    task_id: _Text
    activity: _Text
    task_queue: _Text
    description: Description | None = None
    input_schema: dict[str, JsonValue] | None = None
    output_schema: dict[str, JsonValue] | None = None
    retry_policy: RetryPolicy | None = None
    timeout: Duration | None = None
    attempt_timeout: Duration | None = None
    heartbeat_timeout: Duration | None = None

    def spec(self) -> TaskSpec:
        """The task as the registry keeps it."""
        return TaskSpec(
            task_id=self.task_id,
            description=self.description,
            mode="remote",
            retry_policy=self.retry_policy,
            timeout=self.timeout,
            attempt_timeout=self.attempt_timeout,
            heartbeat_timeout=self.heartbeat_timeout,
            input_schema=self.input_schema,
            output_schema=self.output_schema,
            activity=self.activity,
            task_queue=self.task_queue,
        )


class TaskCatalogue(_Part):
    """The whole file."""

    tasks: list[DeclaredTask]


@dataclass(frozen=True, slots=True)
class ReadCatalogue:
    """What was read. ``specs`` are there exactly when there is no problem, in the file's order."""

    problems: list[Problem]
    specs: list[TaskSpec]


def read_catalogue(text: str | bytes) -> ReadCatalogue:
    """Every problem of a catalogue, or its tasks. Nothing is raised, whatever the text is."""
    try:
        return check_catalogue(loads(text))
    except JsonGateError as error:
        problem = Problem(pointer=error.pointer, code=error.code, message=error.message)
        return ReadCatalogue([problem], [])


def check_catalogue(value: Json) -> ReadCatalogue:
    """As ``read_catalogue``, of a value that has passed the JSON gate."""
    findings = Findings(value)
    catalogue = check_shape(TaskCatalogue, value, findings)
    _check_ids(value, findings)
    for index, task in _tasks(value):
        _check_names(index, task, findings)
        _check_limits(index, task, findings)
        for key in ("inputSchema", "outputSchema"):
            _check_schema(index, key, task.get(key), findings)
    problems = findings.sorted()
    if catalogue is None or has_errors(problems):
        return ReadCatalogue(problems, [])
    return ReadCatalogue(problems, [task.spec() for task in catalogue.tasks])


def _tasks(value: Json) -> Iterator[tuple[int, JsonObject]]:
    """The tasks that are objects, however damaged the rest is."""
    tasks: Any = value.get("tasks") if isinstance(value, dict) else None
    if isinstance(tasks, list):
        for index, task in enumerate(tasks):
            if isinstance(task, dict):
                yield index, task


def _check_ids(value: Json, findings: Findings) -> None:
    first: dict[str, int] = {}
    for index, task in _tasks(value):
        task_id = task.get("taskId")
        if not isinstance(task_id, str):
            continue
        where = ("tasks", index, "taskId")
        if task_id.startswith(RESERVED):
            message = f"{task_id!r:.270}: the prefix {RESERVED} is for built-in tasks"
            findings.add(where, "reserved_task_id", message)
        if (before := first.setdefault(task_id, index)) != index:
            message = f"{task_id!r:.270} is declared at /tasks/{before} already"
            findings.add(where, "duplicate_task_id", message)


def _check_names(index: int, task: JsonObject, findings: Findings) -> None:
    for key in ("activity", "taskQueue"):
        name, where = task.get(key), ("tasks", index, key)
        if not isinstance(name, str):
            continue
        if len(name) <= _MAX_BYTES < len(name.encode()):
            findings.add(where, "too_long", f"{key} has more than {_MAX_BYTES} bytes")
        if key == "taskQueue" and name.startswith(RESERVED_QUEUE):
            message = f"{name!r:.270}: the prefix {RESERVED_QUEUE} is for Temporal's own queues"
            findings.add(where, "reserved_task_queue", message)


def _check_limits(index: int, task: JsonObject, findings: Findings) -> None:
    if all(task.get(limit) is None for limit in LIMITS):
        findings.add(
            ("tasks", index),
            "unbounded_task",
            f"give {', '.join(LIMITS[:-1])} or {LIMITS[-1]}: without any of them nobody notices "
            "when its worker dies",
        )


def _check_schema(index: int, key: str, schema: Json, findings: Findings) -> None:
    if not isinstance(schema, dict):
        return
    try:
        compile_schema(schema)
    except InvalidSchemaError as error:
        for problem in error.problems:
            findings.add(("tasks", index, key, *problem.where), problem.code, problem.message)
