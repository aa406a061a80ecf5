-- The views and functions of the execution tables.
--
-- Applied after add_workflow_execution_tables.sql, which says how. Every view sees what its reader
-- may see (security_invoker), so that row level security holds through all of them.

\set ON_ERROR_STOP on
BEGIN;

\ir workflow_execution_identity.sql
\ir workflow_execution_events.sql
\ir workflow_execution_recording.sql
\ir workflow_execution_functions.sql
\ir workflow_execution_maintenance.sql

-- All active configurations, with their org and workflow.
CREATE VIEW v_active_workflow_configs WITH (security_invoker = true) AS
SELECT
    c.id AS config_id, c.org_id, o.slug AS org_slug, o.name AS org_name, c.config_type,
    c.workflow_id, d.workflow_id AS workflow_name, c.channel, c.version, c.config_name,
    c.config_data, s.activated_at, s.activated_by, c.created_by, c.created_at, c.updated_at
FROM workflow_configs AS c
JOIN organizations AS o ON o.id = c.org_id
LEFT JOIN workflow_definitions AS d ON d.id = c.workflow_id
LEFT JOIN config_status AS s ON s.config_id = c.id AND s.is_active
WHERE c.is_active;

-- One row for each execution. Each iteration of a step counts as a step of its own.
CREATE VIEW v_workflow_execution_summary WITH (security_invoker = true) AS
SELECT
    t.id AS trace_id, t.org_id, t.instance_id, i.execution_id, t.workflow_id,
    coalesce(d.name, i.workflow_id) AS workflow_name, i.version AS workflow_version, t.channel,
    t.external_id, t.status, t.start_time, t.end_time, t.duration_ms, t.error_message,
    s.total_steps, s.completed_steps, s.failed_steps, s.total_retries, s.avg_step_duration_ms,
    s.max_step_duration_ms, t.created_by, t.created_at
FROM workflow_trace AS t
JOIN workflow_instances AS i ON i.id = t.instance_id
LEFT JOIN workflow_definitions AS d ON d.id = t.workflow_id
LEFT JOIN LATERAL (
    SELECT
        count(*) AS total_steps,
        count(*) FILTER (WHERE w.status = 'completed') AS completed_steps,
        count(*) FILTER (WHERE w.status IN ('failed', 'timeout')) AS failed_steps,
        coalesce(sum(w.retry_count), 0) AS total_retries,
        round(avg(w.duration_ms), 2) AS avg_step_duration_ms,
        max(w.duration_ms) AS max_step_duration_ms
    FROM workflow_steps AS w
    WHERE w.trace_id = t.id AND w.org_id = t.org_id
) AS s ON true;

-- How well each workflow does on each channel. The rate is of the executions that have ended.
CREATE VIEW v_workflow_channel_performance WITH (security_invoker = true) AS
SELECT
    t.org_id, t.workflow_id, d.name AS workflow_name, t.channel,
    count(*) AS total_executions,
    count(*) FILTER (WHERE t.status = 'completed') AS successful_executions,
    count(*) FILTER (WHERE t.status IN ('failed', 'timeout')) AS failed_executions,
    count(*) FILTER (WHERE t.status = 'cancelled') AS cancelled_executions,
    count(*) FILTER (WHERE t.status IN ('pending', 'active')) AS active_executions,
    round(
        100.0 * count(*) FILTER (WHERE t.status = 'completed')
        / nullif(count(*) FILTER (WHERE t.status NOT IN ('pending', 'active')), 0), 2
    ) AS success_rate,
    round(avg(t.duration_ms), 2) AS avg_duration_ms,
    min(t.duration_ms) AS min_duration_ms,
    max(t.duration_ms) AS max_duration_ms,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY t.duration_ms) AS median_duration_ms,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY t.duration_ms) AS p95_duration_ms
FROM workflow_trace AS t
LEFT JOIN workflow_definitions AS d ON d.id = t.workflow_id
GROUP BY t.org_id, t.workflow_id, d.name, t.channel;

-- Where the time goes, node by node.
CREATE VIEW v_node_execution_stats WITH (security_invoker = true) AS
SELECT
    n.org_id, n.id AS node_id, n.workflow_id, v.version AS workflow_version, n.step_id, n.task_id,
    n.name AS node_name, n.position,
    count(s.id) AS total_executions,
    count(s.id) FILTER (WHERE s.status = 'completed') AS successful_executions,
    count(s.id) FILTER (WHERE s.status IN ('failed', 'timeout')) AS failed_executions,
    coalesce(sum(s.retry_count), 0) AS total_retries,
    round(avg(s.duration_ms), 2) AS avg_duration_ms,
    min(s.duration_ms) AS min_duration_ms,
    max(s.duration_ms) AS max_duration_ms,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY s.duration_ms) AS p95_duration_ms
FROM workflow_nodes AS n
JOIN workflow_definition_versions AS v ON v.id = n.definition_version_id
LEFT JOIN workflow_steps AS s ON s.node_id = n.id AND s.org_id = n.org_id
GROUP BY n.id, v.version;

-- Everything that happened in an execution. Within one, `seq` is the order, not the clock.
CREATE VIEW v_workflow_execution_timeline WITH (security_invoker = true) AS
SELECT
    e.org_id, e.trace_id, t.instance_id, t.workflow_id, t.channel, e.id AS event_id, e.seq,
    e.occurred_at, e.event_type, e.step_id, e.path, e.iteration, e.attempt, s.node_id,
    s.name AS step_name, s.status AS step_status, e.actor, e.event_data
FROM workflow_events AS e
JOIN workflow_trace AS t ON t.id = e.trace_id AND t.created_at = e.created_at
LEFT JOIN workflow_steps AS s
    ON s.trace_id = e.trace_id AND s.path = e.path AND s.iteration = e.iteration
    AND s.org_id = e.org_id;

-- Steps that failed, with what is known of why.
CREATE VIEW v_failed_steps_analysis WITH (security_invoker = true) AS
SELECT
    s.org_id, t.workflow_id, d.name AS workflow_name, s.trace_id, t.instance_id, t.channel,
    t.status AS execution_status, s.id AS step_id, s.node_id, s.step_id AS step_name, s.task_id,
    s.path, s.iteration, s.step_number, s.status, s.error ->> 'type' AS error_type,
    s.error ->> 'code' AS error_code, s.error_message, s.attempts, s.retry_count, s.input_data,
    s.start_time, s.end_time, s.duration_ms
FROM workflow_steps AS s
JOIN workflow_trace AS t ON t.id = s.trace_id AND t.created_at = s.trace_created_at
LEFT JOIN workflow_definitions AS d ON d.id = t.workflow_id
WHERE s.status IN ('failed', 'timeout');

\ir grants.sql

COMMIT;
