"""Whether the record of a run agrees with Temporal's own history of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from temporalio.api.enums.v1 import EventType

if TYPE_CHECKING:
    from temporalio.api.history.v1 import HistoryEvent

    from tests.workflows.stack import Handle, Record

_ENDS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: "completed",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: "failed",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: "cancelled",
}
_OUTCOMES = {
    EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: "completed",
    EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED: "failed",
    EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: "timeout",
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED: "cancelled",
}
_OPEN = {"pending", "active", "waiting"}
#: What is not told exactly once, by the events of runs that have ended, or told as it is not.
UNTOLD = """
WITH told AS (
    SELECT trace_id, coalesce(path, '') AS path, coalesce(iteration, 0) AS iteration,
        coalesce(attempt, 0) AS attempt, event_type, split_part(event_type, '.', 1) AS kind
    FROM workflow_events
), facts AS (
    SELECT id AS trace_id, '' AS path, 0 AS iteration, 0 AS attempt, 'workflow' AS kind,
        ARRAY['workflow.started', 'workflow.' || status] AS events
    FROM workflow_trace
    UNION ALL
    SELECT trace_id, path, iteration, 0, 'step', ARRAY['step.started', 'step.' || status]
    FROM workflow_steps
    UNION ALL
    SELECT trace_id, path, iteration, attempt, 'attempt',
        -- That the first one completed is told by its step.
        CASE WHEN attempt > 1 OR status <> 'completed' THEN ARRAY['attempt.' || status]
            ELSE '{}' END
    FROM workflow_step_attempts
)
SELECT f.*, t.events AS told
FROM facts AS f
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(t.event_type::text ORDER BY t.event_type), '{}') AS events
    FROM told AS t
    WHERE t.trace_id = f.trace_id AND t.path = f.path AND t.iteration = f.iteration
        AND t.attempt = f.attempt AND t.kind = f.kind AND t.event_type <> 'step.waiting'
) AS t
WHERE t.events <> ARRAY(SELECT unnest(f.events) ORDER BY 1)
"""
#: Runs of which the world is not told exactly once how they ended.
UNPUBLISHED = """
SELECT i.execution_id, count(o.id) AS told
FROM workflow_instances AS i
LEFT JOIN outbox_events AS o
    ON o.instance_id = i.id AND o.path = '' AND o.event_type = 'workflow.' || i.status
GROUP BY i.id HAVING count(o.id) <> 1
"""


@dataclass(slots=True)
class _Task:
    """A step's task as the history has it. ``attempt``: the one that answered."""

    path: str
    iteration: int
    attempt: int = 0
    outcome: str | None = None


@dataclass(slots=True)
class _Told:
    """What a history tells."""

    end: str | None = None
    tasks: dict[int, _Task] = field(default_factory=dict)


async def disagreements(handle: Handle, record: Record, inline: set[str]) -> list[str]:
    """Every place in which a run's record and its history differ; none where they agree.

    Args:
        handle: The run, which has ended and never continued as a new one.
        record: What is on record of it.
        inline: Paths of steps that leave no event in the history.
    """
    told = _Told()
    async for event in handle.fetch_history_events():
        _read(event, told)
    found: list[str] = []
    if str(record.instance.status) != told.end:
        found.append(f"the run is {record.instance.status}, in the history {told.end}")
    kinds = sorted(event.event_type for event in record.events)
    wanted = ["workflow.completed", "workflow.started"]
    if told.end == "failed":
        wanted.insert(1, "workflow.failed")
    if kinds != wanted:
        found.append(f"audit events {kinds}, wanted {wanted}")
    tasks = {(task.path, task.iteration): task for task in told.tasks.values()}
    for (path, iteration), task in tasks.items():
        found += _compare(record, path, iteration, task)
    for step in record.steps:
        if (step.path, step.iteration) not in tasks and step.path not in inline:
            found.append(f"{step.path} {step.iteration} is on record, and not in the history")
        if step.status in _OPEN:
            found.append(f"{step.path} {step.iteration} is still {step.status}")
    seen = [(step.path, step.iteration) for step in record.steps]
    if len(seen) != len(set(seen)):
        found.append("a step is there twice")
    missing = inline - {path for path, _ in seen}
    if missing and told.end == "completed":
        found.append(f"not on record: {sorted(missing)}")
    return found


def _compare(record: Record, path: str, iteration: int, task: _Task) -> list[str]:
    place = f"{path} {iteration}"
    steps = [one for one in record.steps if (one.path, one.iteration) == (path, iteration)]
    if len(steps) != 1:
        return [f"{place} is on record {len(steps)} times"]
    step, found = steps[0], list[str]()
    if str(step.status) != task.outcome:
        found.append(f"{place} is {step.status}, in the history {task.outcome}")
    numbers = [one.attempt for one in step.attempt_records]
    if numbers != list(range(1, task.attempt + 1)):
        found.append(f"{place} has attempts {numbers}, in the history the last is {task.attempt}")
    for one in step.attempt_records:
        last = one.attempt == task.attempt
        lost = one.error is not None and one.error.code == "AttemptLost"
        if one.status in _OPEN:
            found.append(f"{place} attempt {one.attempt} is still {one.status}")
        elif last and str(one.status) != task.outcome:
            found.append(f"{place} attempt {one.attempt} is {one.status}, wanted {task.outcome}")
        elif not last and one.status == "timeout" and not lost:
            found.append(f"{place} attempt {one.attempt} timed out, and is not AttemptLost")
    return found


def _read(event: HistoryEvent, told: _Told) -> None:
    if event.event_type in _ENDS:
        told.end = _ENDS[event.event_type]
    elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
        scheduled = event.activity_task_scheduled_event_attributes
        if not scheduled.activity_type.name.startswith("steploom."):
            envelope: dict[str, Any] = json.loads(scheduled.input.payloads[1].data)
            step = envelope["record"]
            told.tasks[event.event_id] = _Task(step["path"], step["iteration"])
    elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
        started = event.activity_task_started_event_attributes
        if started.scheduled_event_id in told.tasks:
            told.tasks[started.scheduled_event_id].attempt = started.attempt
    elif event.event_type in _OUTCOMES:
        name = event.WhichOneof("attributes")
        scheduled_id = getattr(event, str(name)).scheduled_event_id
        if scheduled_id in told.tasks:
            told.tasks[scheduled_id].outcome = _OUTCOMES[event.event_type]
