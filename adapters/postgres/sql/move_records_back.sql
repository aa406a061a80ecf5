-- Takes back move_records.sql: the tables that it dropped, with what they held. Events that they had
-- no place for stay where they are.

CREATE TABLE step_records (
    id uuid PRIMARY KEY,
    org_id uuid NOT NULL,
    instance_id uuid NOT NULL REFERENCES workflow_instances (id) ON DELETE CASCADE,
    path text NOT NULL,
    iteration integer NOT NULL,
    seq bigint NOT NULL,
    first_seq bigint NOT NULL,
    step_id text NOT NULL,
    task_id text,
    name text,
    status varchar(50) NOT NULL,
    input jsonb,
    output jsonb,
    error jsonb,
    attempts integer NOT NULL,
    decision jsonb,
    decision_seq bigint,
    votes jsonb,
    waiting_for jsonb,
    compensated boolean,
    started_at timestamptz,
    completed_at timestamptz,
    wrapped boolean,
    CONSTRAINT step_records_path_key UNIQUE (instance_id, path, iteration)
);
CREATE INDEX step_records_order_idx ON step_records (instance_id, first_seq);

CREATE TABLE step_attempts (
    org_id uuid NOT NULL,
    instance_id uuid NOT NULL REFERENCES workflow_instances (id) ON DELETE CASCADE,
    path text NOT NULL,
    iteration integer NOT NULL,
    attempt integer NOT NULL,
    status varchar(50) NOT NULL,
    input jsonb,
    output jsonb,
    error jsonb,
    worker text,
    started_at timestamptz,
    completed_at timestamptz,
    CONSTRAINT step_attempts_pkey PRIMARY KEY (instance_id, path, iteration, attempt)
);

CREATE TABLE run_actions (
    event_id uuid NOT NULL,
    org_id uuid NOT NULL,
    instance_id uuid NOT NULL REFERENCES workflow_instances (id) ON DELETE CASCADE,
    seq bigint NOT NULL,
    action varchar(50) NOT NULL,
    actor varchar(255),
    reason text,
    path text,
    iteration integer,
    data jsonb NOT NULL DEFAULT '{}'::jsonb,
    occurred_at timestamptz NOT NULL,
    CONSTRAINT run_actions_pkey PRIMARY KEY (org_id, event_id)
);
CREATE INDEX run_actions_instance_idx ON run_actions (instance_id, seq);

ALTER TABLE workflow_instances NO FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_steps NO FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_step_attempts NO FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_events NO FORCE ROW LEVEL SECURITY;

INSERT INTO step_records (
    id, org_id, instance_id, path, iteration, seq, first_seq, step_id, task_id, name, status, input,
    output, error, attempts, decision, decision_seq, votes, waiting_for, compensated, started_at,
    completed_at, wrapped
)
SELECT
    s.step_uuid, s.org_id, i.id, s.path, s.iteration, s.seq, s.first_seq, s.step_id, s.task_id,
    s.name, s.status, s.input_data, s.output_data, s.error, s.attempts, s.decision, s.decision_seq,
    s.votes, s.waiting_for, s.compensated, s.start_time, s.end_time, s.wrapped
FROM workflow_steps AS s
JOIN workflow_instances AS i ON i.trace_id = s.trace_id;

INSERT INTO step_attempts (
    org_id, instance_id, path, iteration, attempt, status, input, output, error, worker, started_at,
    completed_at
)
SELECT
    a.org_id, i.id, a.path, a.iteration, a.attempt, a.status, a.input_data, a.output_data, a.error,
    a.worker, a.start_time, a.end_time
FROM workflow_step_attempts AS a
JOIN workflow_instances AS i ON i.trace_id = a.trace_id;

INSERT INTO run_actions (
    event_id, org_id, instance_id, seq, action, actor, reason, path, iteration, data, occurred_at
)
SELECT
    e.event_id, e.org_id, i.id, e.seq, substr(e.event_type, 8), e.actor, e.event_data ->> 'reason',
    e.path, e.iteration, coalesce(e.event_data -> 'data', '{}'), e.occurred_at
FROM workflow_events AS e
JOIN workflow_instances AS i ON i.trace_id = e.trace_id
WHERE e.event_type LIKE 'action.%';

DELETE FROM workflow_steps;
DELETE FROM workflow_step_attempts;
DELETE FROM workflow_events WHERE event_type LIKE 'action.%';

ALTER TABLE workflow_instances
    ALTER COLUMN trace_id DROP NOT NULL, ALTER COLUMN trace_created_at DROP NOT NULL;
ALTER TABLE workflow_instances FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_steps FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_step_attempts FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_events FORCE ROW LEVEL SECURITY;
