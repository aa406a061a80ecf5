"""What each column of the execution tables means, in one sentence. See ``column_notes.py``."""

from __future__ import annotations

_ORG = "The org: `organizations.id`."
_ID = "Its number."
_WORKFLOW = "The workflow: `workflow_definitions.id`."
_VERSION = "The version: `workflow_definition_versions.id`."
_CHANNEL = "`web`, `voice` or `efax`."
_TRACE = "The execution: `workflow_trace.id`."
_TRACE_CREATED = "The trace's `created_at`, the other half of its key."
_PATH = "Where the step stands in the run (see [paths](#paths))."
_ITERATION = "How often the path had been entered in this run, from 1."
_NODE = "The step in its version: `workflow_nodes.id`."
_SEQ = "The order within the run."
_BEGAN = "When it began."
_ENDED = "When it ended."
_TOOK = "How long it took."
_CREATED_BY = "Who made it: `users.id`."
_CREATED = "When it was made."
_UPDATED = "When it was last changed."

EXECUTION_TABLES: dict[str, str] = {
    "workflow_configs": (
        "Configurations of a workflow, of a channel, or of all, in versions. At most one of each "
        "is active."
    ),
    "channel_configs": "What an org says of a channel.",
    "workflow_channel_configs": "Which channels a workflow is offered on.",
    "config_status": "Which configuration was made the active one, by whom and when.",
    "workflow_nodes": "Every step of every version, by a number. Filled at registration.",
    "node_io_requirements": (
        "What a node takes and gives (see [what steps take and give](#what-steps-take-and-give))."
    ),
    "workflow_data_bindings": (
        "What a node reads: one row for each reference of its mappings and conditions."
    ),
    "workflow_trace": (
        "One row for each execution, whoever drives it. Partitioned by the month of `created_at`."
    ),
    "workflow_steps": (
        "One row for each iteration of a step, of an item of a `forEach`, and of a compensation."
    ),
    "workflow_step_attempts": (
        "One row for each attempt of a step's task; none for tasks in other languages."
    ),
    "workflow_trace_context": "Values that an execution keeps by a key.",
    "workflow_events": (
        "Everything that happened in an execution (see [events](#events)). Partitioned by the "
        "month of `created_at`."
    ),
}

EXECUTION_COLUMNS: dict[str, dict[str, str]] = {
    "workflow_configs": {
        "id": _ID,
        "org_id": _ORG,
        "config_type": "`workflow`, `channel` or `global`.",
        "workflow_id": "The workflow that it is for: `workflow_definitions.id`.",
        "channel": "The channel that it is for; with a workflow: on this channel alone.",
        "version": "Its version, from 1.",
        "config_name": "What people call it.",
        "config_data": "The configuration, an object.",
        "is_active": "Whether it is the one that counts.",
        "created_by": _CREATED_BY,
        "created_at": _CREATED,
        "updated_at": _UPDATED,
    },
    "channel_configs": {
        "id": _ID,
        "org_id": _ORG,
        "channel": _CHANNEL,
        "config_data": "The configuration, an object.",
        "is_active": "Whether the channel is in use.",
        "created_by": _CREATED_BY,
        "created_at": _CREATED,
        "updated_at": _UPDATED,
    },
    "workflow_channel_configs": {
        "id": _ID,
        "org_id": _ORG,
        "workflow_id": _WORKFLOW,
        "channel": _CHANNEL,
        "is_enabled": "Whether the workflow can be started on it.",
        "priority": "The highest is taken where a start names no channel.",
        "webhook_url": "What is called when a run on it ends.",
        "config_data": "What the workflow says of the channel, an object.",
        "created_by": _CREATED_BY,
        "created_at": _CREATED,
        "updated_at": _UPDATED,
    },
    "config_status": {
        "id": _ID,
        "org_id": _ORG,
        "entity_type": "The configuration's `config_type`.",
        "entity_id": "The workflow's id, the channel's name, or `global`.",
        "config_id": "The configuration: `workflow_configs.id`.",
        "is_active": "Whether it still is the active one.",
        "activated_by": "Who made it so: `users.id`.",
        "activated_at": "When it was made so.",
        "deactivated_at": "When another one took its place.",
    },
    "workflow_nodes": {
        "id": _ID,
        "org_id": _ORG,
        "workflow_id": _WORKFLOW,
        "definition_version_id": _VERSION,
        "step_id": "The step's id in the definition.",
        "task_id": "The step's task.",
        "name": "The step's name, if it has one.",
        "position": "Its place in the document, branches included, from 1.",
    },
    "node_io_requirements": {
        "id": _ID,
        "org_id": _ORG,
        "node_id": _NODE,
        "io_type": "`input` or `output`.",
        "field_name": "The field's name in the schema.",
        "data_type": "Its JSON type, where there is one.",
        "is_required": "Whether it must be there.",
        "default_value": "What it is where it is not given.",
        "validation_rules": "The rest of its schema.",
        "description": "What it is for.",
        "created_at": _CREATED,
        "described": "What the task's schema says of it: what differs is an operator's word, and "
        "stays. Null: the whole row is.",
        "updated_at": "When it was last changed.",
    },
    "workflow_data_bindings": {
        "id": _ID,
        "org_id": _ORG,
        "definition_version_id": _VERSION,
        "source_node_id": "The step that is read, where it is one: `workflow_nodes.id`.",
        "target_node_id": "The step that reads; null for the document's own `output`.",
        "binding_type": "`input`, `output`, `condition`, `items`, `compensation` or `result`.",
        "source_path": "What is read, as in `steps.charge.output.id`.",
        "target_path": "The JSON Pointer of the text that reads it.",
        "binding_config": "`expression`: the text itself.",
        "created_at": _CREATED,
    },
    "workflow_trace": {
        "id": "Its number. `workflow_instances.trace_id` finds it by the run's id.",
        "created_at": "When its row was made, in the run's own time: the partition's key.",
        "org_id": _ORG,
        "instance_id": "The run: `workflow_instances.id`.",
        "workflow_id": "`workflow_definitions.id`; null where none was found.",
        "definition_version_id": "What the run is pinned to; null where none was found.",
        "channel": "`web`, `voice` or `efax`; `web` where the start names none of them and none is "
        "offered.",
        "external_id": "Of the start object.",
        "status": "`pending`, `active`, `completed`, `failed`, `cancelled` or `timeout`.",
        "config_snapshot": "The configuration that it was pinned to, redacted.",
        "start_time": _BEGAN,
        "end_time": "When it ended, however it did.",
        "duration_ms": _TOOK,
        "error_message": "Why it failed.",
        "created_by": "The user that the start names, where the org has one of that name.",
        "updated_at": "When the run itself was last written.",
    },
    "workflow_steps": {
        "id": _ID,
        "step_uuid": "A UUIDv5 of run, path and iteration.",
        "org_id": _ORG,
        "trace_id": _TRACE,
        "trace_created_at": _TRACE_CREATED,
        "node_id": _NODE,
        "step_number": "The node's `position`, or what `start_workflow_step` was given.",
        "path": _PATH,
        "iteration": _ITERATION,
        "seq": "The order of what was written last; -1 while only a decision is known.",
        "first_seq": "The order in which the steps began.",
        "step_id": "The step's id in the definition.",
        "task_id": "The step's task.",
        "name": "The step's name, if it has one.",
        "status": (
            "`active`, `waiting`, `completed`, `failed`, `timeout`, `skipped` or `cancelled`; "
            "`pending` while only the decision that follows it is known."
        ),
        "input_data": "What the task was given.",
        "output_data": "What was stored of the output.",
        "error": "`type`, `code`, `message`, `details`, `stepId`, `attempts`, as far as known.",
        "error_message": "The error's message.",
        "attempts": "The highest attempt that was seen; 0 for steps without an activity.",
        "retry_count": "The attempts beyond the first.",
        "decision": "Why the run went where it went from here (see [decisions](#decisions)).",
        "decision_seq": "The order of the decision.",
        "votes": "The decisions of people, in their order.",
        "waiting_for": "What a waiting step waits for: `until`, or the approval's input.",
        "compensated": "True: rolled back. False: its compensation failed. Null: neither.",
        "wrapped": "True: what came out was no object, and stands under `value`.",
        "start_time": _BEGAN,
        "end_time": _ENDED,
        "duration_ms": _TOOK,
    },
    "workflow_step_attempts": {
        "org_id": _ORG,
        "trace_id": _TRACE,
        "trace_created_at": _TRACE_CREATED,
        "path": _PATH,
        "iteration": _ITERATION,
        "attempt": "From 1.",
        "status": "`active`, `completed`, `failed`, `timeout` or `cancelled`.",
        "input_data": "What the task was given.",
        "output_data": "What the task gave, before the `output` mapping.",
        "error": (
            "The attempt's error. `code` `AttemptLost`: it never answered, for its worker was lost."
        ),
        "worker": "The worker that ran it, as `pid@host`.",
        "start_time": "When it began; null for one that left no trace.",
        "end_time": "When it ended, or was given up.",
    },
    "workflow_trace_context": {
        "id": _ID,
        "org_id": _ORG,
        "trace_id": _TRACE,
        "trace_created_at": _TRACE_CREATED,
        "context_key": (
            "`variables` and `metadata` (what `executionLog.metadata` names) are a run's own."
        ),
        "context_value": "Any JSON value.",
        "created_at": _CREATED,
        "updated_at": _UPDATED,
    },
    "workflow_events": {
        "id": _ID,
        "created_at": "The trace's `created_at`: the partition's key.",
        "org_id": _ORG,
        "event_id": "A UUIDv5 of org, run, path, iteration, attempt and type.",
        "trace_id": _TRACE,
        "step_id": "The step that it is about, where it is there already: `workflow_steps.id`.",
        "seq": _SEQ,
        "event_type": "See [events](#events).",
        "path": "Where the step stands in the run (see [paths](#paths)); null: the run itself.",
        "iteration": "That step's iteration.",
        "attempt": "The attempt that it is about.",
        "actor": "Who did it.",
        "event_data": "What else is known of it.",
        "occurred_at": "When it happened.",
    },
}
