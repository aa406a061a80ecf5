"""The recorder's statements: each takes one JSON array of rows, whatever their number.

The rules of merging stand here and nowhere else, in the statements that apply them:

* A step: what has ended outranks what has not, then the higher ``seq`` wins, then the higher
  attempt. The one that wins replaces only what it has itself; the other fills what is still absent.
  A later attempt's end replaces an earlier one's outcome as a whole.
* A decision has a rank of its own, for it can come before the record of its step.
* An attempt that has ended stays as it ended. One that never answered is closed as ``timeout`` with
  the code ``AttemptLost``, by the next attempt or by the end of its step. What a worker that was
  given up says afterwards changes neither the attempt nor the step.
* A run: the higher ``seq`` wins, and an ended one stays ended.

Every status is written out, so that the plans need no function of ours in the database.
"""

from __future__ import annotations

#: Makes a run's row for a fact that came before the run's first record.
RUNS = """
INSERT INTO workflow_instances (
    id, org_id, workflow_id, version, execution_id, first_run_id, status, started_at, updated_at
)
SELECT
    r.id, %(org)s, r.workflow_id, r.version, r.execution_id, r.first_run_id, 'running',
    coalesce(r.started_at, clock_timestamp()), coalesce(r.started_at, clock_timestamp())
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    id uuid, workflow_id text, version text, execution_id text, first_run_id text,
    started_at timestamptz
)
ON CONFLICT (id) DO NOTHING
"""

#: A run's first record. A row that an earlier fact made is filled in, any other left alone.
STARTED = """
INSERT INTO workflow_instances AS i (
    id, org_id, workflow_id, version, execution_id, first_run_id, status, started_at, updated_at,
    workflow_definition_id, definition_version_id, content_hash, input, correlation_id,
    trigger_event_id, channel, external_id, user_id, idempotency_key, request_hash, metadata, tags,
    origin_kind, origin_instance_id, origin_execution_id, origin_path, origin_iteration,
    interpreter_version
)
SELECT
    r.id, %(org)s, r.workflow_id, r.version, r.execution_id, r.first_run_id, 'running',
    r.started_at, r.started_at,
    r.workflow_definition_id, r.definition_version_id, r.content_hash, r.input, r.correlation_id,
    r.trigger_event_id, r.channel, r.external_id, r.user_id, r.idempotency_key, r.request_hash,
    coalesce(r.metadata, '{}'), coalesce(r.tags, '{}'),
    r.origin_kind, r.origin_instance_id, r.origin_execution_id, r.origin_path, r.origin_iteration,
    r.interpreter_version
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    id uuid, workflow_id text, version text, execution_id text, first_run_id text,
    started_at timestamptz, workflow_definition_id uuid, definition_version_id uuid,
    content_hash text, input jsonb, correlation_id text, trigger_event_id uuid, channel text,
    external_id text, user_id text, idempotency_key text, request_hash text, metadata jsonb,
    tags jsonb, origin_kind text, origin_instance_id uuid, origin_execution_id text,
    origin_path text, origin_iteration integer, interpreter_version integer
)
ON CONFLICT (id) DO UPDATE SET
    started_at = excluded.started_at,
    workflow_definition_id = excluded.workflow_definition_id,
    definition_version_id = excluded.definition_version_id,
    content_hash = excluded.content_hash,
    input = excluded.input,
    correlation_id = excluded.correlation_id,
    trigger_event_id = excluded.trigger_event_id,
    channel = excluded.channel,
    external_id = excluded.external_id,
    user_id = excluded.user_id,
    idempotency_key = excluded.idempotency_key,
    request_hash = excluded.request_hash,
    metadata = excluded.metadata,
    tags = excluded.tags,
    origin_kind = excluded.origin_kind,
    origin_instance_id = excluded.origin_instance_id,
    origin_execution_id = excluded.origin_execution_id,
    origin_path = excluded.origin_path,
    origin_iteration = excluded.origin_iteration,
    interpreter_version = excluded.interpreter_version
WHERE i.interpreter_version IS NULL
"""

#: An attempt, at its start or at its end.
ATTEMPTS = """
INSERT INTO step_attempts AS a (
    org_id, instance_id, path, iteration, attempt, status, input, output, error, worker,
    started_at, completed_at
)
SELECT
    %(org)s, r.instance_id, r.path, r.iteration, r.attempt, r.status, r.input, r.output, r.error,
    r.worker, r.started_at, r.completed_at
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    instance_id uuid, path text, iteration integer, attempt integer, status text, input jsonb,
    output jsonb, error jsonb, worker text, started_at timestamptz, completed_at timestamptz
)
ON CONFLICT (instance_id, path, iteration, attempt) DO UPDATE SET
    status = excluded.status,
    input = coalesce(excluded.input, a.input),
    output = coalesce(excluded.output, a.output),
    error = coalesce(excluded.error, a.error),
    worker = coalesce(excluded.worker, a.worker),
    started_at = coalesce(a.started_at, excluded.started_at),
    completed_at = coalesce(excluded.completed_at, a.completed_at)
WHERE a.status IN ('pending', 'active', 'waiting')
"""

#: The attempts before this one that never answered: those whose beginning is there are closed.
CLOSE_EARLIER = """
UPDATE step_attempts AS a SET
    status = 'timeout',
    error = %(lost)s::jsonb,
    completed_at = r.started_at
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    instance_id uuid, path text, iteration integer, attempt integer, started_at timestamptz
)
WHERE a.instance_id = r.instance_id AND a.path = r.path AND a.iteration = r.iteration
  AND a.attempt < r.attempt AND a.status IN ('pending', 'active', 'waiting')
"""

#: … and those that left no trace get a row. All below the highest one that is there have theirs.
INSERT_EARLIER = """
INSERT INTO step_attempts (
    org_id, instance_id, path, iteration, attempt, status, error, completed_at
)
SELECT
    %(org)s, r.instance_id, r.path, r.iteration, missing.attempt, 'timeout', %(lost)s::jsonb,
    r.started_at
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    instance_id uuid, path text, iteration integer, attempt integer, started_at timestamptz
)
CROSS JOIN LATERAL (
    SELECT coalesce(max(a.attempt), 0) AS attempt
    FROM step_attempts AS a
    WHERE a.instance_id = r.instance_id AND a.path = r.path AND a.iteration = r.iteration
      AND a.attempt < r.attempt
) AS known
CROSS JOIN LATERAL generate_series(known.attempt + 1, r.attempt - 1) AS missing(attempt)
ON CONFLICT (instance_id, path, iteration, attempt) DO NOTHING
"""

#: A step, whole or in part.
STEPS = """
INSERT INTO step_records AS s (
    id, org_id, instance_id, path, iteration, seq, first_seq, step_id, task_id, name, status,
    input, output, error, attempts, decision, decision_seq, votes, waiting_for, compensated,
    wrapped, started_at, completed_at
)
SELECT
    r.id, %(org)s, r.instance_id, r.path, r.iteration, r.seq, r.first_seq, r.step_id, r.task_id,
    r.name, r.status, r.input, r.output, r.error, r.attempts, r.decision, r.decision_seq, r.votes,
    r.waiting_for, r.compensated, r.wrapped, r.started_at, r.completed_at
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    id uuid, instance_id uuid, path text, iteration integer, from_attempt integer, seq bigint,
    first_seq bigint, step_id text, task_id text, name text, status text, input jsonb,
    output jsonb, error jsonb, attempts integer, decision jsonb, decision_seq bigint, votes jsonb,
    waiting_for jsonb, compensated boolean, wrapped boolean, started_at timestamptz,
    completed_at timestamptz
)
WHERE r.from_attempt IS NULL OR NOT EXISTS (
    SELECT FROM step_attempts AS a
    WHERE a.instance_id = r.instance_id AND a.path = r.path AND a.iteration = r.iteration
      AND a.attempt = r.from_attempt AND a.status = 'timeout'
      AND a.error ->> 'code' = 'AttemptLost'
)
ON CONFLICT (id) DO UPDATE SET (
    seq, first_seq, step_id, task_id, name, status, input, output, error, attempts, decision,
    decision_seq, votes, waiting_for, compensated, wrapped, started_at, completed_at
) = (
    SELECT
        CASE WHEN n.wins THEN excluded.seq ELSE s.seq END,
        least(s.first_seq, excluded.first_seq),
        CASE WHEN n.wins THEN excluded.step_id ELSE s.step_id END,
        CASE WHEN n.wins THEN coalesce(excluded.task_id, s.task_id)
             ELSE coalesce(s.task_id, excluded.task_id) END,
        CASE WHEN n.wins THEN coalesce(excluded.name, s.name)
             ELSE coalesce(s.name, excluded.name) END,
        CASE WHEN n.wins THEN excluded.status ELSE s.status END,
        CASE WHEN n.wins THEN coalesce(excluded.input, s.input)
             ELSE coalesce(s.input, excluded.input) END,
        CASE WHEN n.replaces THEN excluded.output
             WHEN n.wins THEN coalesce(excluded.output, s.output)
             ELSE coalesce(s.output, excluded.output) END,
        CASE WHEN n.replaces THEN excluded.error
             WHEN n.wins THEN coalesce(excluded.error, s.error)
             ELSE coalesce(s.error, excluded.error) END,
        greatest(s.attempts, excluded.attempts),
        CASE WHEN n.decides THEN excluded.decision ELSE s.decision END,
        CASE WHEN n.decides THEN excluded.decision_seq ELSE s.decision_seq END,
        CASE WHEN n.wins THEN coalesce(excluded.votes, s.votes)
             ELSE coalesce(s.votes, excluded.votes) END,
        CASE WHEN n.wins THEN coalesce(excluded.waiting_for, s.waiting_for)
             ELSE coalesce(s.waiting_for, excluded.waiting_for) END,
        coalesce(excluded.compensated, s.compensated),
        CASE WHEN n.replaces THEN excluded.wrapped
             WHEN n.wins THEN coalesce(excluded.wrapped, s.wrapped)
             ELSE coalesce(s.wrapped, excluded.wrapped) END,
        CASE WHEN n.wins THEN coalesce(excluded.started_at, s.started_at)
             ELSE coalesce(s.started_at, excluded.started_at) END,
        CASE WHEN n.wins THEN coalesce(excluded.completed_at, s.completed_at)
             ELSE coalesce(s.completed_at, excluded.completed_at) END
    FROM (
        SELECT
            (
                excluded.status NOT IN ('pending', 'active', 'waiting'),
                excluded.seq,
                excluded.attempts
            ) >= (s.status NOT IN ('pending', 'active', 'waiting'), s.seq, s.attempts) AS wins,
            s.status NOT IN ('pending', 'active', 'waiting')
                AND excluded.status NOT IN ('pending', 'active', 'waiting')
                AND excluded.seq >= s.seq
                AND excluded.attempts > s.attempts AS replaces,
            excluded.decision_seq IS NOT NULL
                AND (s.decision_seq IS NULL OR excluded.decision_seq >= s.decision_seq) AS decides
    ) AS n
)
"""

#: The end of a step that the run decided on closes the attempts that are still open.
CLOSE_OF_ENDED = """
UPDATE step_attempts AS a SET
    status = 'timeout',
    error = %(lost)s::jsonb,
    completed_at = coalesce(r.completed_at, clock_timestamp())
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    instance_id uuid, path text, iteration integer, completed_at timestamptz
)
WHERE a.instance_id = r.instance_id AND a.path = r.path AND a.iteration = r.iteration
  AND a.status IN ('pending', 'active', 'waiting')
"""

#: The run as it stands at a flush.
FLUSHES = """
UPDATE workflow_instances AS i SET
    seq = r.seq,
    status = r.status,
    current_step_id = r.current_step_id,
    state = r.state,
    output = r.output,
    error = r.error,
    updated_at = r.updated_at,
    completed_at = r.completed_at
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    id uuid, seq bigint, status text, current_step_id text, state jsonb, output jsonb, error jsonb,
    updated_at timestamptz, completed_at timestamptz
)
WHERE i.id = r.id AND i.org_id = %(org)s AND i.seq < r.seq
  AND (i.status IN ('running', 'suspended') OR r.status NOT IN ('running', 'suspended'))
"""

#: Audit events are never changed, so a second one with the same id is the first one again.
EVENTS = """
INSERT INTO audit_events (
    event_id, event_timestamp, event_type, event_data, org_id, instance_id, seq
)
SELECT
    r.event_id, r.event_timestamp, r.event_type, r.event_data, %(org)s, r.instance_id, r.seq
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    event_id uuid, event_timestamp timestamptz, event_type text, event_data jsonb,
    instance_id uuid, seq bigint
)
ON CONFLICT (org_id, event_id) DO NOTHING
"""

#: What was done to a run happened once, and never changes.
ACTIONS = """
INSERT INTO run_actions (
    event_id, org_id, instance_id, seq, action, actor, reason, path, iteration, data, occurred_at
)
SELECT
    r.event_id, %(org)s, r.instance_id, r.seq, r.action, r.actor, r.reason, r.path, r.iteration,
    coalesce(r.data, '{}'), r.occurred_at
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    event_id uuid, instance_id uuid, seq bigint, action text, actor text, reason text, path text,
    iteration integer, data jsonb, occurred_at timestamptz
)
ON CONFLICT (org_id, event_id) DO NOTHING
"""

#: An event enters the outbox once, whether or not it has left it since.
PUBLISHED = """
INSERT INTO outbox_events (
    event_id, org_id, instance_id, execution_id, seq, event_type, path, iteration, envelope,
    occurred_at
)
SELECT
    r.event_id, %(org)s, r.instance_id, r.execution_id, r.seq, r.event_type, r.path, r.iteration,
    r.envelope, r.occurred_at
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    event_id uuid, instance_id uuid, execution_id text, seq bigint, event_type text, path text,
    iteration integer, envelope jsonb, occurred_at timestamptz
)
ON CONFLICT (org_id, event_id) DO NOTHING
"""
