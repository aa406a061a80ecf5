-- Registration and retention, part of workflow_execution_views.sql.

-- Gives every step of a version its node; returns how many there are. Again: nothing changes.
CREATE FUNCTION register_workflow_nodes(p_version_id uuid) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    found integer;
BEGIN
    WITH RECURSIVE steps AS (
        SELECT v.id, v.org_id, v.definition_id, s.step, ARRAY[s.place] AS place
        FROM workflow_definition_versions AS v
        CROSS JOIN LATERAL jsonb_array_elements(v.document -> 'steps')
            WITH ORDINALITY AS s (step, place)
        WHERE v.id = p_version_id
        UNION ALL
        SELECT o.id, o.org_id, o.definition_id, s.step, o.place || b.place || s.place
        FROM steps AS o
        CROSS JOIN LATERAL jsonb_array_elements(
            CASE jsonb_typeof(o.step -> 'parallelBranches')
                WHEN 'array' THEN o.step -> 'parallelBranches' ELSE '[]'
            END
        ) WITH ORDINALITY AS b (branch, place)
        CROSS JOIN LATERAL jsonb_array_elements(b.branch -> 'steps')
            WITH ORDINALITY AS s (step, place)
    )
    INSERT INTO workflow_nodes (
        org_id, workflow_id, definition_version_id, step_id, task_id, name, position
    )
    SELECT
        org_id, definition_id, id, step ->> 'stepId', step ->> 'taskId', step ->> 'name',
        row_number() OVER (ORDER BY place)
    FROM steps
    ORDER BY place
    ON CONFLICT (definition_version_id, step_id) DO NOTHING;
    SELECT count(*) INTO found FROM workflow_nodes WHERE definition_version_id = p_version_id;
    RETURN found;
END
$$;

-- How long a definition's executionLog.retention is. What Postgres cannot count, and whatever goes
-- beyond its calendar, is as long as it can take off today.
CREATE FUNCTION execution_retention(p_text text) RETURNS interval
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN least(p_text::interval, interval '4000 years');
EXCEPTION WHEN data_exception THEN
    RETURN interval '4000 years';
END
$$;

-- Executions that ended longer ago than their definition's executionLog.retention, or, where it says
-- none, than what is given. Without either they are kept.
CREATE FUNCTION old_executions(
    p_retention interval DEFAULT NULL, p_now timestamptz DEFAULT now()
) RETURNS TABLE (id uuid, completed_at timestamptz)
LANGUAGE sql STABLE AS $$
WITH versions AS MATERIALIZED (
    SELECT v.id, execution_retention(v.document -> 'executionLog' ->> 'retention') AS retention
    FROM workflow_definition_versions AS v
)
SELECT i.id, i.completed_at
FROM workflow_instances AS i
LEFT JOIN versions AS v ON v.id = i.definition_version_id
WHERE i.completed_at
    < p_now - coalesce(v.retention, least(p_retention, interval '4000 years'))
$$;

-- Removes executions that have ended, with everything of theirs; returns how many. Audit events
-- stay, and so do events that are not published yet.
CREATE FUNCTION remove_executions(p_ids uuid[]) RETURNS bigint
LANGUAGE sql AS $$
WITH gone AS (
    -- Everything else of an execution goes with its row.
    DELETE FROM workflow_instances AS i
    WHERE i.id = ANY (p_ids) AND i.completed_at IS NOT NULL
    RETURNING i.id
), published AS (
    DELETE FROM outbox_events AS o USING gone
    WHERE o.instance_id = gone.id AND o.published_at IS NOT NULL
)
SELECT count(*) FROM gone
$$;

-- Removes all old executions at once; returns how many. The days are for definitions that say no
-- retention. `steploom cleanup` does the same in small portions, and archives them before.
--
-- It removes what its caller may see: one org's for the application, all orgs' for a superuser.
CREATE FUNCTION cleanup_old_execution_data(
    retention_days integer DEFAULT NULL, p_now timestamptz DEFAULT now()
) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    IF retention_days < 0 THEN
        RAISE EXCEPTION 'retention_days is 0 or more, not %', retention_days
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN remove_executions(
        ARRAY(SELECT o.id FROM old_executions(make_interval(days => retention_days), p_now) AS o)
    );
END
$$;

SELECT register_workflow_nodes(id) FROM workflow_definition_versions;
