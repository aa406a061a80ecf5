"""The names of spans, attributes and metrics. ``docs/telemetry.md`` has them all; a test checks it.

What OpenTelemetry's conventions name is called as they call it.
"""

from __future__ import annotations

from typing import NamedTuple

SCOPE = "steploom"

SPAN_RUN = "run"
SPAN_STEP = "step"
SPAN_ATTEMPT = "attempt"
SPAN_RECORD = "record"

EXECUTION_ID = "steploom.execution.id"
WORKFLOW_ID = "steploom.workflow.id"
WORKFLOW_VERSION = "steploom.workflow.version"
ORG_ID = "steploom.org.id"
STEP_ID = "steploom.step.id"
STEP_PATH = "steploom.step.path"
STEP_ITERATION = "steploom.step.iteration"
TASK_ID = "steploom.task.id"
ATTEMPT = "steploom.attempt"
STATUS = "steploom.status"
RECORDS = "steploom.records"
ERROR_TYPE = "error.type"
HTTP_METHOD = "http.request.method"
HTTP_STATUS = "http.response.status_code"
URL = "url.full"
SERVER = "server.address"

ATTRIBUTES = (
    EXECUTION_ID, WORKFLOW_ID, WORKFLOW_VERSION, ORG_ID, STEP_ID, STEP_PATH, STEP_ITERATION,
    TASK_ID, ATTEMPT, STATUS, RECORDS, ERROR_TYPE, HTTP_METHOD, HTTP_STATUS, URL, SERVER,
)  # fmt: skip
SPANS = (SPAN_RUN, SPAN_STEP, SPAN_ATTEMPT, SPAN_RECORD)


class Metric(NamedTuple):
    """One instrument."""

    name: str
    unit: str
    description: str


RUNS_STARTED = Metric("steploom.runs.started", "{run}", "Runs whose first record was written.")
RUNS_ENDED = Metric("steploom.runs.ended", "{run}", "Runs whose end was recorded.")
RUN_DURATION = Metric("steploom.run.duration", "s", "From a run's start to its end.")
STEPS = Metric("steploom.steps", "{step}", "Steps whose end was recorded.")
STEP_DURATION = Metric(
    "steploom.step.duration", "s", "From a step's start to its end: attempts, pauses and waits."
)
ATTEMPTS = Metric("steploom.attempts", "{attempt}", "Attempts of tasks that ended.")
ATTEMPT_DURATION = Metric(
    "steploom.attempt.duration", "s", "One attempt, its write to the record included."
)
OUTBOX_WAITING = Metric(
    "steploom.outbox.waiting", "{event}", "Events that wait to be published, as the relay sees it."
)
OUTBOX_AGE = Metric("steploom.outbox.age", "s", "How long the oldest of them has waited.")
OUTBOX_DEAD = Metric(
    "steploom.outbox.dead", "{event}", "Events in the outbox that Kafka refuses and were given up."
)
RETRIES = Metric("steploom.retries", "{attempt}", "Attempts that were not a task's first.")
QUEUE_LENGTH = Metric(
    "steploom.recorder.queue.length", "{write}", "Writes that the database has not confirmed yet."
)
QUEUE_AGE = Metric("steploom.recorder.queue.age", "s", "How long the oldest of them has waited.")
COMMIT_DURATION = Metric(
    "steploom.recorder.commit.duration", "s", "One transaction of the recorder."
)
COMMIT_WRITES = Metric(
    "steploom.recorder.commit.writes", "{write}", "Writes in one transaction of the recorder."
)

METRICS = (
    RUNS_STARTED, RUNS_ENDED, RUN_DURATION, STEPS, STEP_DURATION, ATTEMPTS, ATTEMPT_DURATION,
    RETRIES, QUEUE_LENGTH, QUEUE_AGE, COMMIT_DURATION, COMMIT_WRITES,
    OUTBOX_WAITING, OUTBOX_AGE, OUTBOX_DEAD,
)  # fmt: skip

#: Seconds: from what a local task takes to what a person takes.
DURATION_BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600, 86400,
)  # fmt: skip
