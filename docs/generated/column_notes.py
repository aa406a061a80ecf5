"""What each column of the record means, in one sentence. ``generate.py`` lists them.

Keyed by table and column. ``generate.py`` refuses to run where one is missing or is no more.
"""

from __future__ import annotations

from generated.execution_notes import EXECUTION_COLUMNS, EXECUTION_TABLES

_STARTED = "When it began."
_INSTANCE = "The run: `workflow_instances.id`."
_ORG = "The org: `organizations.id`."
_ITERATION = "How often the path had been entered in this run, from 1."
_PATH = "Where the step stands in the run (see [paths](#paths))."
_CREATED_BY = "Who made it."
_CREATED_AT = "When it was made."
_OCCURRED = "When it happened, in the run's own time."
_SEQ = "The order within the run."
_FIELD = "The document's field of that name."

TABLES: dict[str, str] = {
    "organizations": "The tenants. `steploom migrate` makes the org `default`.",
    "users": "The users of an org.",
    "workflow_definitions": (
        "One row for each business id of an org, with the top-level fields of its highest "
        "registered version."
    ),
    "workflow_definition_versions": (
        "Every version with its whole document. A row never changes (a trigger refuses it), save "
        "that an unlisted one becomes listed when somebody registers it."
    ),
    "workflow_instances": "One row for each run.",
    "step_records": (
        "One row for each iteration of a step, of an item of a `forEach`, and of a compensation."
    ),
    "step_attempts": "One row for each attempt of a step's task.",
    "run_actions": "What was done to a run from outside, and by whom.",
    "outbox_events": (
        "Events on their way to a broker. They stay when their run is cleaned away, and are "
        "delivered in the order of `seq` within a run; `id` does not tell which came first."
    ),
    "audit_events": (
        "What auditors read. Append-only: triggers refuse `UPDATE`, `DELETE` and `TRUNCATE`."
    ),
    **EXECUTION_TABLES,
}

COLUMNS: dict[str, dict[str, str]] = {
    "organizations": {
        "id": "A UUIDv5 of the slug.",
        "slug": "Its name in commands and start objects.",
        "name": "The name that people read.",
        "created_by": _CREATED_BY,
        "created_at": _CREATED_AT,
    },
    "users": {
        "id": "A UUIDv5 of org and name.",
        "org_id": _ORG,
        "name": "What `--as` takes.",
        "created_by": _CREATED_BY,
        "created_at": _CREATED_AT,
    },
    "workflow_definitions": {
        "id": "A UUIDv5 of org and business id.",
        "org_id": _ORG,
        "workflow_id": "The business id, unique in its org.",
        "name": _FIELD,
        "description": _FIELD,
        "version": "The highest registered version.",
        "input_schema": _FIELD,
        "triggers": _FIELD,
        "steps": _FIELD,
        "ui_components": _FIELD,
        "execution_log": _FIELD,
        "metadata": _FIELD,
        "variables": _FIELD,
        "timeout": _FIELD,
        "output": _FIELD,
        "on_failure": _FIELD,
        "rollback": _FIELD,
        "content_hash": "The SHA-256 of the version's canonical JSON.",
        "listed": "False while only inline documents have used the id.",
        "created_by": "Who registered it first.",
        "created_at": "When it was registered first.",
        "updated_at": "When its highest version last changed.",
    },
    "workflow_definition_versions": {
        "id": "A UUIDv5 of org, business id, version and hash.",
        "definition_id": "`workflow_definitions.id`.",
        "org_id": _ORG,
        "workflow_id": "The business id.",
        "version": "The version.",
        "content_hash": "The SHA-256 of the document's canonical JSON, in hexadecimal.",
        "document": "The document as it was registered.",
        "listed": "False for a document that a start brought along.",
        "created_by": "Who registered it.",
        "created_at": "When it was registered.",
    },
    "workflow_instances": {
        "id": "A UUIDv5 of `first_run_id`.",
        "org_id": _ORG,
        "workflow_definition_id": "`workflow_definitions.id`; null where none was found.",
        "definition_version_id": "`workflow_definition_versions.id`: what the run is pinned to.",
        "workflow_id": "The business id that was asked for.",
        "version": "The version that runs; `unknown` where none was found.",
        "content_hash": "The hash of the document that runs.",
        "execution_id": "The execution id: Temporal's workflow id.",
        "first_run_id": "Temporal's run id of the first run of the chain.",
        "status": "`running`, `suspended`, `completed`, `failed` or `cancelled`.",
        "current_step_id": "The step of the main path that was entered last.",
        "input": "The run's input.",
        "state": "`input`, `steps` (those that ended, by id) and `variables`.",
        "output": "The run's result.",
        "error": "`type`, `code`, `message`, `details`, `stepId`, `attempts`, `rollback`.",
        "trigger_event_id": "The event that started the run; always null today.",
        "correlation_id": "Of the start object.",
        "channel": "Of the start object.",
        "external_id": "Of the start object.",
        "user_id": "Of the start object.",
        "idempotency_key": "Of the start object.",
        "request_hash": "The SHA-256 of the start object.",
        "metadata": "Of the start object.",
        "tags": "Of the start object.",
        "origin_kind": "Where the run came from: `child` (of a step of a run) or `rerun` (of one).",
        "origin_instance_id": "The run that it came from.",
        "origin_execution_id": "That run's execution id.",
        "origin_path": "The step that started it, or that it goes on from.",
        "origin_iteration": "That step's iteration.",
        "interpreter_version": "The version of the interpreter's behaviour.",
        "seq": "The order of the last write of the run itself.",
        "started_at": _STARTED,
        "updated_at": "When the run itself was last written.",
        "completed_at": "When it ended, however it did.",
        "trace_id": "Its trace: `workflow_trace.id`.",
        "trace_created_at": "The trace's `created_at`, the other half of its key.",
    },
    "step_records": {
        "id": "A UUIDv5 of run, path and iteration.",
        "org_id": _ORG,
        "instance_id": _INSTANCE,
        "path": _PATH,
        "iteration": _ITERATION,
        "seq": "The order of what was written last; -1 while only a decision is known.",
        "first_seq": "The order in which the steps began.",
        "step_id": "The step's id in the definition.",
        "task_id": "The step's task.",
        "name": "The step's name, if it has one.",
        "status": (
            "`active`, `waiting`, `completed`, `failed`, `timeout` or `cancelled`; `pending` while "
            "only the decision that follows it is known."
        ),
        "input": "What the task was given.",
        "output": "What was stored of the output.",
        "error": "`type`, `code`, `message`, `details`, `stepId`, `attempts`, as far as known.",
        "attempts": "The highest attempt that was seen; 0 for steps without an activity.",
        "decision": "Why the run went where it went from here (see [decisions](#decisions)).",
        "decision_seq": "The order of the decision.",
        "votes": "The decisions of people, in their order.",
        "waiting_for": "What a waiting step waits for: `until`, or the approval's input.",
        "wrapped": "True: what came out was no object, and `output` has it under `value`.",
        "compensated": "True: rolled back. False: its compensation failed. Null: neither.",
        "started_at": _STARTED,
        "completed_at": "When it ended.",
    },
    "step_attempts": {
        "org_id": _ORG,
        "instance_id": _INSTANCE,
        "path": _PATH,
        "iteration": _ITERATION,
        "attempt": "From 1.",
        "status": "`active`, `completed`, `failed`, `timeout` or `cancelled`.",
        "input": "What the task was given.",
        "output": "What the task gave, before the `output` mapping.",
        "error": (
            "The attempt's error. `code` `AttemptLost`: it never answered, for its worker was lost."
        ),
        "worker": "The worker that ran it, as `pid@host`.",
        "started_at": "When it began; null for one that left no trace.",
        "completed_at": "When it ended, or was given up.",
    },
    "run_actions": {
        "event_id": "A UUIDv5: the same action has the same id, however often it is written.",
        "org_id": _ORG,
        "instance_id": _INSTANCE,
        "seq": _SEQ,
        "action": "`pause`, `resume`, `cancel`, `skip`, `rerun` or `event`.",
        "actor": "Who did it.",
        "reason": "Why, as they say.",
        "path": "The step that it was done to, where it was one (see [paths](#paths)).",
        "iteration": "That step's iteration.",
        "data": "What else is known: the event's name, the step that a rerun began with.",
        "occurred_at": _OCCURRED,
    },
    "outbox_events": {
        "id": "A number for the publisher.",
        "event_id": "The event's own id, a UUIDv5.",
        "org_id": _ORG,
        "instance_id": "The run. It may be gone.",
        "execution_id": "The run's execution id.",
        "seq": _SEQ,
        "event_type": "The event's type.",
        "path": "The step that publishes it (see [paths](#paths)).",
        "iteration": _ITERATION,
        "envelope": "The whole CloudEvent, as JSON.",
        "occurred_at": _OCCURRED,
        "recorded_at": "When it was written.",
        "published_at": "When a broker had it; null until then.",
    },
    "audit_events": {
        "event_id": "A UUIDv5 of org, run and type.",
        "event_timestamp": "When it happened, in the run's own time.",
        "event_type": "`workflow.started`, `workflow.completed` or `workflow.failed`.",
        "event_data": "The event (see [audit events](#audit-events)).",
        "org_id": _ORG,
        "instance_id": "The run: `workflow_instances.id`.",
        "seq": "The order of the run's events.",
        "recorded_at": "When it was written.",
    },
    **EXECUTION_COLUMNS,
}
