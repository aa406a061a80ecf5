-- The one way of writing executions, part of workflow_execution_views.sql. The worker hands its
-- groups to record_execution(), and the functions for people (start_workflow_step() and the like)
-- build the same rows and hand them to the same function.
--
-- Each function here takes one JSON array of rows, whatever their number, and no key twice. Rows
-- are taken in the order of their keys, so that two writers lock them in one order.
--
-- Where rows of an array meet a table, the table is looked into row by row: LATERAL with OFFSET 0,
-- which the planner takes as it stands, or a loop. A plan lives as long as its session, and one that
-- was made while a table was empty would otherwise read all of it later. For the same reason an
-- execution is looked for by its id alone: (org_id = …) IS TRUE fits no index, where org_id = … may
-- take one that begins with the org, and read all that the org has.
--
-- The rules of merging:
--   * A step: what has ended outranks what has not, then the higher seq wins, then the higher
--     attempt. The one that wins replaces only what it has itself; the other fills what is still
--     absent. A later attempt's end replaces an earlier one's outcome as a whole.
--   * A decision has a rank of its own, for it can come before the record of its step.
--   * An attempt that has ended stays as it ended. One that never answered is closed as timeout with
--     the code AttemptLost, by the next attempt or by the end of its step. What a worker that was
--     given up says afterwards changes neither the attempt nor the step.
--   * An execution: the higher seq wins, and an ended one stays ended.
--   * An event is written once; the earliest seq and time of it count. Those of steps and attempts
--     are written only where their row took what is said in them.

-- Makes an execution's rows for a fact that came before its first record.
CREATE FUNCTION record_runs(p_org_id uuid, p_rows jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    WITH r AS (
        SELECT x.*, coalesce(x.started_at, clock_timestamp()) AS began
        FROM jsonb_to_recordset(p_rows) AS x(
            id uuid, workflow_id text, version text, execution_id text, first_run_id text,
            started_at timestamptz
        )
    ), made AS (
        INSERT INTO workflow_instances (
            id, org_id, workflow_id, version, execution_id, first_run_id, status, started_at,
            updated_at, trace_id, trace_created_at
        )
        SELECT
            r.id, p_org_id, r.workflow_id, r.version, r.execution_id, r.first_run_id, 'running',
            r.began, r.began, nextval('workflow_trace_id_seq'), r.began
        FROM r
        ORDER BY r.id
        ON CONFLICT (id) DO NOTHING
        RETURNING id, trace_id, trace_created_at
    )
    INSERT INTO workflow_trace (id, created_at, org_id, instance_id, start_time, updated_at)
    SELECT trace_id, trace_created_at, p_org_id, id, trace_created_at, trace_created_at FROM made;
END
$$;

-- An execution's first record. Rows that an earlier fact made are filled in, others left alone.
CREATE FUNCTION record_starts(p_org_id uuid, p_rows jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    WITH r AS (
        SELECT x.*
        FROM jsonb_to_recordset(p_rows) AS x(
            id uuid, workflow_id text, version text, execution_id text, first_run_id text,
            started_at timestamptz, workflow_definition_id uuid, definition_version_id uuid,
            content_hash text, input jsonb, correlation_id text, trigger_event_id uuid,
            channel text, external_id text, user_id text, idempotency_key text, request_hash text,
            metadata jsonb, tags jsonb, origin_kind text, origin_instance_id uuid,
            origin_execution_id text, origin_path text, origin_iteration integer,
            interpreter_version integer, config_snapshot jsonb
        )
    ), begun AS (
        INSERT INTO workflow_instances AS i (
            id, org_id, workflow_id, version, execution_id, first_run_id, status, started_at,
            updated_at, workflow_definition_id, definition_version_id, content_hash, input,
            correlation_id, trigger_event_id, channel, external_id, user_id, idempotency_key,
            request_hash, metadata, tags, origin_kind, origin_instance_id, origin_execution_id,
            origin_path, origin_iteration, interpreter_version, trace_id, trace_created_at
        )
        SELECT
            r.id, p_org_id, r.workflow_id, r.version, r.execution_id, r.first_run_id, 'running',
            r.started_at, r.started_at, r.workflow_definition_id, r.definition_version_id,
            r.content_hash, r.input, r.correlation_id, r.trigger_event_id, r.channel,
            r.external_id, r.user_id, r.idempotency_key, r.request_hash,
            coalesce(r.metadata, '{}'), coalesce(r.tags, '{}'), r.origin_kind,
            r.origin_instance_id, r.origin_execution_id, r.origin_path, r.origin_iteration,
            r.interpreter_version, nextval('workflow_trace_id_seq'), r.started_at
        FROM r
        ORDER BY r.id
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
        RETURNING i.*
    ), traced AS (
        INSERT INTO workflow_trace AS t (
            id, created_at, org_id, instance_id, workflow_id, definition_version_id, channel,
            external_id, config_snapshot, start_time, created_by, updated_at
        )
        SELECT
            b.trace_id, b.trace_created_at, p_org_id, b.id, b.workflow_definition_id,
            b.definition_version_id, c.channel, b.external_id,
            coalesce(
                r.config_snapshot,
                get_active_workflow_config(b.workflow_definition_id, c.channel)
            ),
            b.started_at,
            (SELECT u.id FROM users AS u WHERE u.org_id = p_org_id AND u.name = b.user_id),
            b.started_at
        FROM begun AS b
        JOIN r ON r.id = b.id
        CROSS JOIN LATERAL (
            SELECT coalesce(
                CASE WHEN b.channel IN ('web', 'voice', 'efax') THEN b.channel::workflow_channel END,
                CASE WHEN b.channel IS NULL THEN (
                    SELECT w.channel FROM workflow_channel_configs AS w
                    WHERE w.org_id = p_org_id AND w.workflow_id = b.workflow_definition_id
                      AND w.is_enabled
                    ORDER BY w.priority DESC, w.channel
                    LIMIT 1
                ) END,
                'web'
            ) AS channel
        ) AS c
        ON CONFLICT (id, created_at) DO UPDATE SET
            workflow_id = excluded.workflow_id,
            definition_version_id = excluded.definition_version_id,
            channel = excluded.channel,
            external_id = excluded.external_id,
            config_snapshot = excluded.config_snapshot,
            start_time = excluded.start_time,
            duration_ms = execution_milliseconds(excluded.start_time, t.end_time),
            created_by = excluded.created_by
    )
    -- What its definition's executionLog.metadata names: of the start object, else of the input.
    INSERT INTO workflow_trace_context (
        org_id, trace_id, trace_created_at, context_key, context_value, created_at, updated_at
    )
    SELECT
        p_org_id, b.trace_id, b.trace_created_at, 'metadata',
        jsonb_object_agg(
            name.value, coalesce(b.metadata -> name.value, b.input -> name.value, 'null')
        ),
        b.started_at, b.started_at
    FROM begun AS b
    CROSS JOIN LATERAL (
        SELECT o.document FROM workflow_definition_versions AS o
        WHERE o.id = b.definition_version_id OFFSET 0
    ) AS v
    CROSS JOIN LATERAL jsonb_array_elements_text(
        coalesce(v.document -> 'executionLog' -> 'metadata', '[]')
    ) AS name
    GROUP BY b.trace_id, b.trace_created_at, b.started_at
    ON CONFLICT (trace_id, context_key, org_id) DO NOTHING;
END
$$;

-- An attempt, at its start or at its end.
CREATE FUNCTION record_attempts(p_org_id uuid, p_rows jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    WITH r AS (
        SELECT i.trace_id, i.trace_created_at, x.*
        FROM jsonb_to_recordset(p_rows) AS x(
            instance_id uuid, path text, iteration integer, attempt integer, seq bigint,
            event_id uuid, status step_status, input jsonb, output jsonb, error jsonb, worker text,
            started_at timestamptz, completed_at timestamptz
        )
        CROSS JOIN LATERAL (
            SELECT * FROM workflow_instances AS o
            WHERE o.id = x.instance_id AND (o.org_id = p_org_id) IS TRUE OFFSET 0
        ) AS i
    ), written AS (
        INSERT INTO workflow_step_attempts AS a (
            org_id, trace_id, trace_created_at, path, iteration, attempt, status, input_data,
            output_data, error, worker, start_time, end_time
        )
        SELECT
            p_org_id, r.trace_id, r.trace_created_at, r.path, r.iteration, r.attempt, r.status,
            r.input, r.output, r.error, r.worker, r.started_at, r.completed_at
        FROM r
        ORDER BY r.instance_id, r.path, r.iteration, r.attempt
        ON CONFLICT (trace_id, path, iteration, attempt, org_id) DO UPDATE SET
            status = excluded.status,
            input_data = coalesce(excluded.input_data, a.input_data),
            output_data = coalesce(excluded.output_data, a.output_data),
            error = coalesce(excluded.error, a.error),
            worker = coalesce(excluded.worker, a.worker),
            start_time = coalesce(a.start_time, excluded.start_time),
            end_time = coalesce(excluded.end_time, a.end_time)
        WHERE a.status IN ('pending', 'active', 'waiting')
        RETURNING a.trace_id, a.path, a.iteration, a.attempt, a.status, a.error, a.end_time
    )
    INSERT INTO workflow_events AS e (
        created_at, org_id, event_id, trace_id, seq, event_type, path, iteration, attempt,
        event_data, occurred_at
    )
    SELECT
        r.trace_created_at, p_org_id, r.event_id, r.trace_id, r.seq, 'attempt.' || w.status, w.path,
        w.iteration, w.attempt, execution_error_data(w.error), w.end_time
    FROM written AS w
    JOIN r ON r.trace_id = w.trace_id AND r.path = w.path AND r.iteration = w.iteration
        AND r.attempt = w.attempt
    WHERE r.event_id IS NOT NULL AND w.status = r.status AND w.end_time IS NOT NULL
    ON CONFLICT (trace_id, event_id, org_id, created_at) DO NOTHING;
END
$$;

-- Attempts that never answered. p_kind: `earlier` (than the attempt that is named: open ones are
-- closed, and missing ones get a row), `untold` (missing ones alone), `open` (open ones alone).
CREATE FUNCTION record_lost_attempts(p_org_id uuid, p_rows jsonb, p_kind text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    lost CONSTANT jsonb := jsonb_build_object(
        'type', 'TimeoutError', 'code', 'AttemptLost',
        'message', 'the attempt never answered: its worker stopped, or was given up'
    );
    r record;
BEGIN
    FOR r IN
        SELECT i.trace_id, i.trace_created_at, i.first_run_id, x.*
        FROM jsonb_to_recordset(p_rows) AS x(
            instance_id uuid, path text, iteration integer, attempt integer, seq bigint,
            at timestamptz
        )
        CROSS JOIN LATERAL (
            SELECT * FROM workflow_instances AS o
            WHERE o.id = x.instance_id AND (o.org_id = p_org_id) IS TRUE OFFSET 0
        ) AS i
        ORDER BY x.instance_id, x.path, x.iteration
    LOOP
        WITH closed AS (
            -- Those whose beginning is there are closed.
            UPDATE workflow_step_attempts AS a SET
                status = 'timeout', error = lost, end_time = coalesce(r.at, clock_timestamp())
            WHERE p_kind IN ('earlier', 'open')
              AND a.trace_id = r.trace_id AND a.path = r.path AND a.iteration = r.iteration
              AND a.org_id = p_org_id AND (p_kind = 'open' OR a.attempt < r.attempt)
              AND a.status IN ('pending', 'active', 'waiting')
            RETURNING a.attempt, a.end_time
        ), missing AS (
            -- Those that left no trace get a row. All below the highest that is there have theirs.
            INSERT INTO workflow_step_attempts (
                org_id, trace_id, trace_created_at, path, iteration, attempt, status, error,
                end_time
            )
            SELECT
                p_org_id, r.trace_id, r.trace_created_at, r.path, r.iteration, number, 'timeout',
                lost, r.at
            FROM generate_series(
                (
                    SELECT coalesce(max(a.attempt), 0) + 1
                    FROM workflow_step_attempts AS a
                    WHERE a.trace_id = r.trace_id AND a.path = r.path
                      AND a.iteration = r.iteration AND a.org_id = p_org_id
                      AND a.attempt < r.attempt
                ),
                r.attempt - 1
            ) AS number
            WHERE p_kind IN ('earlier', 'untold')
            ON CONFLICT (trace_id, path, iteration, attempt, org_id) DO NOTHING
            RETURNING attempt, end_time
        )
        INSERT INTO workflow_events (
            created_at, org_id, event_id, trace_id, seq, event_type, path, iteration, attempt,
            event_data, occurred_at
        )
        SELECT
            r.trace_created_at, p_org_id,
            execution_event_id(
                p_org_id, r.first_run_id, 'attempt.timeout', r.path, r.iteration, w.attempt
            ),
            r.trace_id, r.seq, 'attempt.timeout', r.path, r.iteration, w.attempt,
            execution_error_data(lost), coalesce(w.end_time, clock_timestamp())
        FROM (SELECT * FROM closed UNION ALL SELECT * FROM missing) AS w
        ORDER BY w.attempt
        ON CONFLICT (trace_id, event_id, org_id, created_at) DO NOTHING;
    END LOOP;
END
$$;

-- A step, whole or in part.
CREATE FUNCTION record_steps(p_org_id uuid, p_rows jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    WITH r AS (
        SELECT i.trace_id, i.trace_created_at, i.definition_version_id, x.*
        FROM jsonb_to_recordset(p_rows) AS x(
            id uuid, instance_id uuid, path text, iteration integer, from_attempt integer,
            seq bigint, first_seq bigint, step_id text, step_number integer, task_id text,
            name text, status step_status, input jsonb, output jsonb, error jsonb,
            attempts integer, decision jsonb, decision_seq bigint, votes jsonb, waiting_for jsonb,
            compensated boolean, wrapped boolean, started_at timestamptz, completed_at timestamptz,
            started_event uuid, status_event uuid
        )
        CROSS JOIN LATERAL (
            SELECT * FROM workflow_instances AS o
            WHERE o.id = x.instance_id AND (o.org_id = p_org_id) IS TRUE OFFSET 0
        ) AS i
    ), written AS (
        INSERT INTO workflow_steps AS s (
            step_uuid, org_id, trace_id, trace_created_at, node_id, step_number, path, iteration,
            seq, first_seq, step_id, task_id, name, status, input_data, output_data, error,
            error_message, attempts, retry_count, decision, decision_seq, votes, waiting_for,
            compensated, wrapped, start_time, end_time, duration_ms
        )
        SELECT
            r.id, p_org_id, r.trace_id, r.trace_created_at, n.id,
            coalesce(r.step_number, n.position), r.path, r.iteration, r.seq, r.first_seq,
            r.step_id, r.task_id, r.name, r.status, r.input, r.output, r.error,
            r.error ->> 'message', r.attempts, greatest(r.attempts - 1, 0), r.decision,
            r.decision_seq, r.votes, r.waiting_for, r.compensated, r.wrapped, r.started_at,
            r.completed_at, execution_milliseconds(r.started_at, r.completed_at)
        FROM r
        LEFT JOIN LATERAL (
            SELECT o.id, o.position FROM workflow_nodes AS o
            WHERE o.definition_version_id = r.definition_version_id AND o.step_id = r.step_id
            OFFSET 0
        ) AS n ON true
        WHERE r.from_attempt IS NULL OR NOT EXISTS (
            SELECT FROM workflow_step_attempts AS a
            WHERE a.trace_id = r.trace_id AND a.path = r.path AND a.iteration = r.iteration
              AND a.attempt = r.from_attempt AND a.org_id = p_org_id AND a.status = 'timeout'
              AND a.error ->> 'code' = 'AttemptLost'
            OFFSET 0
        )
        ORDER BY r.instance_id, r.path, r.iteration
        ON CONFLICT (trace_id, path, iteration, org_id) DO UPDATE SET (
            node_id, step_number, seq, first_seq, step_id, task_id, name, status, input_data,
            output_data, error, error_message, attempts, retry_count, decision, decision_seq, votes,
            waiting_for, compensated, wrapped, start_time, end_time, duration_ms
        ) = (
            SELECT
                coalesce(s.node_id, excluded.node_id),
                coalesce(s.step_number, excluded.step_number),
                CASE WHEN n.wins THEN excluded.seq ELSE s.seq END,
                least(s.first_seq, excluded.first_seq),
                CASE WHEN n.wins THEN excluded.step_id ELSE s.step_id END,
                CASE WHEN n.wins THEN coalesce(excluded.task_id, s.task_id)
                     ELSE coalesce(s.task_id, excluded.task_id) END,
                CASE WHEN n.wins THEN coalesce(excluded.name, s.name)
                     ELSE coalesce(s.name, excluded.name) END,
                CASE WHEN n.wins THEN excluded.status ELSE s.status END,
                CASE WHEN n.wins THEN coalesce(excluded.input_data, s.input_data)
                     ELSE coalesce(s.input_data, excluded.input_data) END,
                CASE WHEN n.replaces THEN excluded.output_data
                     WHEN n.wins THEN coalesce(excluded.output_data, s.output_data)
                     ELSE coalesce(s.output_data, excluded.output_data) END,
                v.error,
                v.error ->> 'message',
                greatest(s.attempts, excluded.attempts),
                greatest(s.retry_count, excluded.retry_count),
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
                v.start_time,
                v.end_time,
                execution_milliseconds(v.start_time, v.end_time)
            FROM (
                SELECT
                    (excluded.status NOT IN ('pending', 'active', 'waiting'), excluded.seq,
                        excluded.attempts)
                    >= (s.status NOT IN ('pending', 'active', 'waiting'), s.seq, s.attempts)
                        AS wins,
                    s.status NOT IN ('pending', 'active', 'waiting')
                        AND excluded.status NOT IN ('pending', 'active', 'waiting')
                        AND excluded.seq >= s.seq
                        AND excluded.attempts > s.attempts AS replaces,
                    excluded.decision_seq IS NOT NULL
                        AND (s.decision_seq IS NULL OR excluded.decision_seq >= s.decision_seq)
                        AS decides
            ) AS n
            CROSS JOIN LATERAL (
                SELECT
                    CASE WHEN n.replaces THEN excluded.error
                         WHEN n.wins THEN coalesce(excluded.error, s.error)
                         ELSE coalesce(s.error, excluded.error) END AS error,
                    CASE WHEN n.wins THEN coalesce(excluded.start_time, s.start_time)
                         ELSE coalesce(s.start_time, excluded.start_time) END AS start_time,
                    CASE WHEN n.wins THEN coalesce(excluded.end_time, s.end_time)
                         ELSE coalesce(s.end_time, excluded.end_time) END AS end_time
            ) AS v
        )
        RETURNING s.id, s.trace_id, s.path, s.iteration, s.status, s.seq, s.first_seq,
            s.start_time, s.end_time
    )
    INSERT INTO workflow_events AS e (
        created_at, org_id, event_id, trace_id, step_id, seq, event_type, path, iteration,
        occurred_at
    )
    SELECT
        r.trace_created_at, p_org_id, event.event_id, w.trace_id, w.id, event.seq,
        event.event_type, w.path, w.iteration, event.occurred_at
    FROM written AS w
    JOIN r ON r.trace_id = w.trace_id AND r.path = w.path AND r.iteration = w.iteration
    CROSS JOIN LATERAL (VALUES
        (r.started_event, w.first_seq, 'step.started', w.start_time),
        (CASE WHEN w.status = r.status THEN r.status_event END, w.seq, 'step.' || w.status,
            coalesce(w.end_time, w.start_time))
    ) AS event (event_id, seq, event_type, occurred_at)
    WHERE event.event_id IS NOT NULL AND event.occurred_at IS NOT NULL
    ON CONFLICT (trace_id, event_id, org_id, created_at) DO UPDATE SET
        seq = least(e.seq, excluded.seq), occurred_at = least(e.occurred_at, excluded.occurred_at)
    WHERE excluded.seq < e.seq OR excluded.occurred_at < e.occurred_at;
END
$$;

-- The execution as it stands at a flush; the variables of its state are context of its trace.
CREATE FUNCTION record_flushes(p_org_id uuid, p_rows jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    r record;
    run record;
BEGIN
    FOR r IN
        SELECT * FROM jsonb_to_recordset(p_rows) AS x(
            id uuid, seq bigint, status text, trace_status trace_status, current_step_id text,
            state jsonb, output jsonb, error jsonb, updated_at timestamptz,
            completed_at timestamptz
        )
        ORDER BY x.id
    LOOP
        UPDATE workflow_instances AS i SET
            seq = r.seq,
            status = r.status,
            current_step_id = r.current_step_id,
            state = r.state,
            output = r.output,
            error = r.error,
            updated_at = r.updated_at,
            completed_at = r.completed_at
        WHERE i.id = r.id AND (i.org_id = p_org_id) IS TRUE AND i.seq < r.seq
          AND (i.status IN ('running', 'suspended') OR r.status NOT IN ('running', 'suspended'))
        RETURNING i.trace_id, i.trace_created_at INTO run;
        CONTINUE WHEN NOT FOUND;
        UPDATE workflow_trace AS t SET
            status = r.trace_status,
            end_time = r.completed_at,
            duration_ms = execution_milliseconds(t.start_time, r.completed_at),
            error_message = r.error ->> 'message',
            updated_at = r.updated_at
        WHERE t.id = run.trace_id AND t.created_at = run.trace_created_at;
        CONTINUE WHEN jsonb_typeof(r.state -> 'variables') IS DISTINCT FROM 'object'
            OR r.state -> 'variables' = '{}';
        INSERT INTO workflow_trace_context AS c (
            org_id, trace_id, trace_created_at, context_key, context_value, created_at, updated_at
        )
        VALUES (
            p_org_id, run.trace_id, run.trace_created_at, 'variables', r.state -> 'variables',
            r.updated_at, r.updated_at
        )
        ON CONFLICT (trace_id, context_key, org_id) DO UPDATE SET
            context_value = excluded.context_value, updated_at = excluded.updated_at
        WHERE c.context_value IS DISTINCT FROM excluded.context_value;
    END LOOP;
END
$$;
