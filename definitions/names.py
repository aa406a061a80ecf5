"""The names by which the outside world addresses a run. They never change."""

from __future__ import annotations

#: Temporal's workflow type of every run.
WORKFLOW_TYPE = "DefinitionWorkflow"
TASK_QUEUE = "steploom"

#: Activities of our own, beside those that are named after their tasks.
RESOLVE_ACTIVITY = "steploom.resolve"
RECORD_ACTIVITY = "steploom.record"
ATTEMPTS_ACTIVITY = "steploom.attempts"
WEBHOOK_ACTIVITY = "steploom.webhook"
SEGMENT_ACTIVITY = "steploom.segment"

UPDATE_DECIDE = "decide"
UPDATE_PAUSE = "pause"
UPDATE_RESUME = "resume"
UPDATE_SKIP = "skip"
SIGNAL_EVENT = "event"
QUERY_STATE = "state"
QUERY_UI = "ui"
#: The memo of a child run: which step of which run started it.
MEMO = "steploom"

#: Search attributes, all of type Keyword.
SEARCH_DEFINITION = "SteploomDefinition"
SEARCH_VERSION = "SteploomVersion"
SEARCH_ORG = "SteploomOrg"
SEARCH_STATUS = "SteploomStatus"
SEARCH_CORRELATION = "SteploomCorrelationId"
SEARCH_ATTRIBUTES = (
    SEARCH_DEFINITION,
    SEARCH_VERSION,
    SEARCH_ORG,
    SEARCH_STATUS,
    SEARCH_CORRELATION,
)

#: Entry points with modules of tasks.
TASKS_ENTRY_POINT = "steploom.tasks"
