"""What each column of the record means, in one sentence. ``generate.py`` lists them.

Keyed by table and column. ``generate.py`` refuses to run where one is missing or is no more.
"""

from __future__ import annotations

from generated.execution_notes import EXECUTION_COLUMNS, EXECUTION_TABLES

_STARTED = "When it began."
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
    "outbox_events": (
        "Events on their way to a broker. They are delivered in the order of `seq` within a "
        "run; `id` does not tell which came first. They stay when their run is cleaned away, and "
        "are removed by a retention of their own (`STEPLOOM_OUTBOX_RETENTION`)."
    ),
    "payloads": (
        "Which runs may read which values of the payload store "
        "(see [big values](features/big-values.md))."
    ),
    "event_dead_letters": (
        "Events from outside that could not start a definition, each with the reason (see "
        "[triggers](features/triggers.md))."
    ),
    "audit_events": (
        "What auditors read. Append-only: triggers refuse `UPDATE`, `DELETE` and `TRUNCATE`, but "
        "for what `prune_audit_events()` removes (see "
        "[its retention](audit-retention.md))."
    ),
    "audit_seals": (
        "The hash chain of each org over its audit events, one link for each (see "
        "[the audit trail](features/audit.md)). Append-only as well."
    ),
    "audit_unsealed": "The audit events that wait for their seal.",
    "audit_anchors": (
        "Where the chain of an org begins, once its oldest events were pruned: behind the last of "
        "its rows. One for each portion that went. Append-only as well."
    ),
    "provider_workflows": (
        "What was created through the provider `temporal` (see [providers](providers.md)). Its "
        "definitions are registered like any other."
    ),
    **EXECUTION_TABLES,
}

COLUMNS: dict[str, dict[str, str]] = {
    "payloads": {
        "org_id": _ORG,
        "instance_id": "The run that has stored or read it: `workflow_instances.id`.",
        "sha256": "The SHA-256 of its JSON text, in hexadecimal: its name in the store.",
        "size": "How many bytes its JSON text has.",
        "created_at": "When the run first had to do with it.",
    },
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
    "provider_workflows": {
        "org_id": _ORG,
        "provider_type": "The provider's name.",
        "workflow_id": "The workflow's id, unique in its org and provider.",
        "spec": "The `WorkflowSpec` as it was given.",
        "resource_ids": "What the provider calls its parts.",
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
        "trigger_event_id": "The event that started the run ([triggers](features/triggers.md)).",
        "correlation_id": "Of the start object.",
        "channel": "Of the start object, else the one that was taken.",
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
    "outbox_events": {
        "id": "A number for the publisher.",
        "event_id": "The event's own id, a UUIDv5.",
        "org_id": _ORG,
        "instance_id": "The run. It may be gone.",
        "execution_id": "The run's execution id.",
        "seq": _SEQ,
        "event_type": "The event's type.",
        "path": "The step that publishes it (see [paths](#paths)); empty for the run itself.",
        "iteration": _ITERATION,
        "envelope": "The whole event as it is sent (see [events](events.md)), as JSON.",
        "occurred_at": _OCCURRED,
        "recorded_at": "When it was written.",
        "published_at": "When a broker had it; null until then.",
        "after_seq": "The `seq` of the step's event before it, which has to be published first.",
        "dead_at": "When it was given up, because Kafka refuses it.",
        "error": "Why.",
    },
    "event_dead_letters": {
        "id": "A UUIDv5 of org, event and definition, or of the message's place.",
        "org_id": "The org; null where the event names none that there is.",
        "event_id": "The event's id, where it could be read.",
        "event_type": "The event's type, where it could be read.",
        "source": "Where the event says that it comes from.",
        "workflow_id": "The definition that it did not start; null where it is about all.",
        "code": "One word for the reason.",
        "reason": "The reason, a sentence.",
        "message": "What came, byte for byte. It is not redacted: it is to be read again.",
        "headers": "The headers that it came with.",
        "topic": "The Kafka topic that it came from; null for `steploom events send`.",
        "topic_partition": "Its partition of that topic.",
        "topic_offset": "Its offset in that partition.",
        "attempts": "How often it has failed.",
        "first_failed_at": "When it failed first.",
        "last_failed_at": "When it failed last.",
        "resolved_at": "When a retry went well; null until then.",
    },
    "audit_events": {
        "event_id": "A UUIDv5 of org, run and type; random for `audit.pruned`.",
        "event_timestamp": "When it happened, in the run's own time.",
        "event_type": (
            "`workflow.started`, `workflow.completed`, `workflow.failed`, or `audit.pruned`."
        ),
        "event_data": "The event (see [audit events](#audit-events)).",
        "org_id": _ORG,
        "instance_id": "The run: `workflow_instances.id`.",
        "seq": "The order of the run's events.",
        "recorded_at": "When it was written.",
    },
    "audit_seals": {
        "org_id": _ORG,
        "position": "Its place in the org's chain, from 1 and without gaps.",
        "event_id": "The event: `audit_events.event_id`.",
        "event_hash": "The SHA-256 of the event as it is stored, in hexadecimal.",
        "previous_hash": "The `hash` of the link before, be it pruned; 64 zeros at the first one.",
        "hash": "The SHA-256 of `position`, `previous_hash` and `event_hash`.",
        "sealed_at": "When the link was made.",
    },
    "audit_unsealed": {
        "org_id": _ORG,
        "event_id": "The event: `audit_events.event_id`.",
        "recorded_at": "When the event was written.",
    },
    "audit_anchors": {
        "org_id": _ORG,
        "position": "The last link that went; so many went in all.",
        "hash": "Its hash, on which the first link that is left follows.",
        "removed": "How many went with this portion.",
        "older_than": "Only events of before this time went.",
        "pruned_at": "When they went.",
        "pruned_by": "Who removed them, as it was said (`--as`).",
        "event_id": "The audit event `audit.pruned` that tells the same: `audit_events.event_id`.",
    },
    **EXECUTION_COLUMNS,
}
