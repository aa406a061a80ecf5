-- What step_records, step_attempts and run_actions hold becomes the execution tables'.

-- The owner is bound by row level security as well, and this is about all orgs.
ALTER TABLE workflow_instances NO FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_definition_versions NO FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_nodes NO FORCE ROW LEVEL SECURITY;
ALTER TABLE users NO FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_trace NO FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_steps NO FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_step_attempts NO FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_events NO FORCE ROW LEVEL SECURITY;

SELECT register_workflow_nodes(id) FROM workflow_definition_versions;

UPDATE workflow_instances
SET trace_id = nextval('workflow_trace_id_seq'), trace_created_at = started_at
WHERE trace_id IS NULL;
ALTER TABLE workflow_instances
    ALTER COLUMN trace_id SET NOT NULL, ALTER COLUMN trace_created_at SET NOT NULL;

INSERT INTO workflow_trace (
    id, created_at, org_id, instance_id, workflow_id, definition_version_id, channel, external_id,
    status, start_time, end_time, duration_ms, error_message, created_by, updated_at
)
SELECT
    i.trace_id, i.trace_created_at, i.org_id, i.id, i.workflow_definition_id,
    i.definition_version_id,
    CASE WHEN i.channel IN ('web', 'voice', 'efax') THEN i.channel ELSE 'web' END::workflow_channel,
    i.external_id,
    CASE
        WHEN i.status IN ('running', 'suspended') THEN 'active'
        WHEN i.error ->> 'type' = 'WorkflowTimeout' THEN 'timeout'
        ELSE i.status
    END::trace_status,
    i.started_at, i.completed_at, execution_milliseconds(i.started_at, i.completed_at),
    i.error ->> 'message',
    (SELECT u.id FROM users AS u WHERE u.org_id = i.org_id AND u.name = i.user_id), i.updated_at
FROM workflow_instances AS i
WHERE NOT EXISTS (
    SELECT FROM workflow_trace AS t WHERE t.id = i.trace_id AND t.created_at = i.trace_created_at
);

INSERT INTO workflow_steps (
    step_uuid, org_id, trace_id, trace_created_at, node_id, step_number, path, iteration, seq,
    first_seq, step_id, task_id, name, status, input_data, output_data, error, error_message,
    attempts, retry_count, decision, decision_seq, votes, waiting_for, compensated, wrapped,
    start_time, end_time, duration_ms
)
SELECT
    s.id, i.org_id, i.trace_id, i.trace_created_at, n.id, n.position, s.path, s.iteration, s.seq,
    s.first_seq, s.step_id, s.task_id, s.name, s.status::step_status, s.input, s.output, s.error,
    s.error ->> 'message', s.attempts, greatest(s.attempts - 1, 0), s.decision, s.decision_seq,
    s.votes, s.waiting_for, s.compensated, s.wrapped, s.started_at, s.completed_at,
    execution_milliseconds(s.started_at, s.completed_at)
FROM step_records AS s
JOIN workflow_instances AS i ON i.id = s.instance_id
LEFT JOIN workflow_nodes AS n
    ON n.definition_version_id = i.definition_version_id AND n.step_id = s.step_id
ORDER BY i.trace_id, s.first_seq;

INSERT INTO workflow_step_attempts (
    org_id, trace_id, trace_created_at, path, iteration, attempt, status, input_data, output_data,
    error, worker, start_time, end_time
)
SELECT
    i.org_id, i.trace_id, i.trace_created_at, a.path, a.iteration, a.attempt,
    a.status::step_status, a.input, a.output, a.error, a.worker, a.started_at, a.completed_at
FROM step_attempts AS a
JOIN workflow_instances AS i ON i.id = a.instance_id;

INSERT INTO workflow_events (
    created_at, org_id, event_id, trace_id, seq, event_type, path, iteration, actor, event_data,
    occurred_at
)
SELECT
    i.trace_created_at, i.org_id, a.event_id, i.trace_id, a.seq, 'action.' || a.action, a.path,
    a.iteration, a.actor,
    jsonb_strip_nulls(jsonb_build_object('reason', a.reason)) || jsonb_build_object('data', a.data),
    a.occurred_at
FROM run_actions AS a
JOIN workflow_instances AS i ON i.id = a.instance_id;

DROP TABLE run_actions, step_attempts, step_records;

ALTER TABLE workflow_instances FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_definition_versions FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_nodes FORCE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_trace FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_steps FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_step_attempts FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_events FORCE ROW LEVEL SECURITY;
