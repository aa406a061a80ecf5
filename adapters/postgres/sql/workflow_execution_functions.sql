-- The functions for people and programs, part of workflow_execution_views.sql. What they write,
-- they write through record_execution(), as the worker does.

-- The active configuration: what the workflow says goes before its channel, and that before all.
CREATE FUNCTION get_active_workflow_config(
    p_workflow_id uuid, p_channel workflow_channel DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE
    config jsonb := '{}';
    part jsonb;
BEGIN
    FOR part IN
        SELECT found.config_data
        FROM (
            SELECT 1 AS place, c.org_id, c.config_data
            FROM workflow_configs AS c
            WHERE c.is_active AND c.config_type = 'global'
            UNION ALL
            SELECT 2, c.org_id, c.config_data
            FROM channel_configs AS c
            WHERE c.is_active AND c.channel = p_channel
            UNION ALL
            SELECT 3, c.org_id, c.config_data
            FROM workflow_configs AS c
            WHERE c.is_active AND c.config_type = 'channel' AND c.channel = p_channel
            UNION ALL
            SELECT 4, c.org_id, c.config_data
            FROM workflow_channel_configs AS c
            WHERE c.is_enabled AND c.workflow_id = p_workflow_id AND c.channel = p_channel
            UNION ALL
            SELECT CASE WHEN c.channel IS NULL THEN 5 ELSE 6 END, c.org_id, c.config_data
            FROM workflow_configs AS c
            WHERE c.is_active AND c.config_type = 'workflow' AND c.workflow_id = p_workflow_id
              AND (c.channel IS NULL OR c.channel = p_channel)
        ) AS found
        -- An administrator sees all orgs; the configuration is that of the workflow's own.
        JOIN workflow_definitions AS d ON d.id = p_workflow_id AND d.org_id = found.org_id
        ORDER BY found.place
    LOOP
        config := config || part;
    END LOOP;
    RETURN config;
END
$$;

-- An audit event of an execution, as definitions/audit.py builds it, for record_execution().
CREATE FUNCTION execution_audit_event(
    p_run workflow_instances, p_type text, p_seq bigint, p_at timestamptz, p_told jsonb
) RETURNS jsonb
LANGUAGE sql STABLE AS $$
SELECT jsonb_build_object(
    'event_id', execution_event_id(p_run.org_id, p_run.first_run_id, p_type),
    'event_timestamp', p_at, 'event_type', p_type, 'instance_id', p_run.id, 'seq', p_seq,
    'event_data', jsonb_build_object(
        'version', '1.0', 'service', 'workflow', 'event_type', p_type,
        'timestamp', to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'data', jsonb_build_object('workflow', jsonb_strip_nulls(p_told || jsonb_build_object(
            'workflow_id', p_run.workflow_id, 'execution_id', p_run.execution_id,
            'total_steps', (
                SELECT jsonb_array_length(v.document -> 'steps')
                FROM workflow_definition_versions AS v WHERE v.id = p_run.definition_version_id
            ),
            'approval_required', EXISTS (
                SELECT FROM workflow_nodes AS n
                WHERE n.definition_version_id = p_run.definition_version_id
                  AND n.task_id = 'core.approval'
            )
        )))
    )
)
$$;

-- Starts an execution that somebody other than a worker drives; returns its trace's id. It follows
-- the highest registered version. The same p_execution_id again is the same execution.
CREATE FUNCTION start_workflow_execution(
    p_workflow_id uuid,
    p_channel workflow_channel,
    p_external_id varchar,
    p_config_snapshot jsonb,
    p_created_by uuid,
    p_execution_id text DEFAULT NULL,
    p_input jsonb DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    chosen record;
    creator text;
    first_run text := 'sql:' || coalesce(p_execution_id, gen_random_uuid()::text);
    run workflow_instances;
    began timestamptz := clock_timestamp();
    trace bigint;
BEGIN
    SELECT d.org_id, d.workflow_id, v.id, v.version, v.content_hash INTO chosen
    FROM workflow_definitions AS d
    LEFT JOIN workflow_definition_versions AS v
        ON v.definition_id = d.id AND v.version = d.version AND v.content_hash = d.content_hash
    WHERE d.id = p_workflow_id
        -- The owner of the tables may read every org's definitions (match_triggers.sql).
        AND (
            NOT row_security_active('workflow_definitions')
            OR d.org_id = nullif(current_setting('app.current_org_id', true), '')::uuid
        );
    IF NOT FOUND THEN
        RAISE EXCEPTION 'workflow % not found', p_workflow_id USING ERRCODE = 'no_data_found';
    END IF;
    IF p_created_by IS NOT NULL THEN
        SELECT u.name INTO creator
        FROM users AS u WHERE u.id = p_created_by AND u.org_id = chosen.org_id;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'user % not found', p_created_by USING ERRCODE = 'no_data_found';
        END IF;
    END IF;
    -- Another org may use the same execution id.
    IF p_execution_id IS NOT NULL THEN
        first_run := first_run || '@' || chosen.org_id;
    END IF;
    run.id := execution_id_of('instance', first_run);
    run.org_id := chosen.org_id;
    run.first_run_id := first_run;
    run.execution_id := coalesce(p_execution_id, first_run);
    run.workflow_id := chosen.workflow_id;
    run.definition_version_id := chosen.id;
    PERFORM record_execution(chosen.org_id, jsonb_build_object(
        'starts', jsonb_build_array(jsonb_build_array(jsonb_build_object(
            'id', run.id, 'workflow_id', chosen.workflow_id,
            'version', coalesce(chosen.version, 'unknown'),
            'execution_id', run.execution_id, 'first_run_id', first_run,
            'started_at', began, 'workflow_definition_id', p_workflow_id,
            'definition_version_id', chosen.id, 'content_hash', chosen.content_hash,
            'input', coalesce(p_input, '{}'), 'channel', p_channel, 'external_id', p_external_id,
            'user_id', creator, 'interpreter_version', 0, 'config_snapshot', p_config_snapshot
        ))),
        'events', jsonb_build_array(jsonb_build_array(jsonb_build_object(
            'instance_id', run.id, 'seq', 0, 'event_type', 'workflow.started', 'actor', creator,
            'event_id', execution_event_id(chosen.org_id, first_run, 'workflow.started'),
            'occurred_at', began
        ))),
        'audit', jsonb_build_array(jsonb_build_array(execution_audit_event(
            run, 'workflow.started', 0, began, '{"phase": "executing"}'
        )))
    ));
    SELECT i.trace_id INTO trace FROM workflow_instances AS i WHERE i.id = run.id;
    RETURN trace;
END
$$;

-- Ends an execution.
CREATE FUNCTION complete_workflow_execution(
    p_trace_id bigint, p_status trace_status, p_error_message text DEFAULT NULL,
    p_output jsonb DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    run workflow_instances;
    ended_at timestamptz := clock_timestamp();
    last_seq bigint;
    failed boolean := p_status IN ('failed', 'timeout');
    stands_at record;
    told jsonb;
    audit jsonb;
BEGIN
    SELECT i.* INTO run FROM workflow_instances AS i WHERE i.trace_id = p_trace_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'trace % not found', p_trace_id USING ERRCODE = 'no_data_found';
    END IF;
    IF p_status IN ('pending', 'active') THEN
        RAISE EXCEPTION 'an execution does not end %', p_status
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF run.status NOT IN ('running', 'suspended') THEN
        RETURN;
    END IF;
    last_seq := execution_next_seq(run.trace_id, run.seq);
    -- The step of the main path that was entered last, and its place there.
    SELECT s.step_id, coalesce(s.name, s.step_id) AS name, (
        SELECT d.place
        FROM workflow_definition_versions AS v
        CROSS JOIN LATERAL jsonb_array_elements(v.document -> 'steps')
            WITH ORDINALITY AS d (step, place)
        WHERE v.id = run.definition_version_id AND d.step ->> 'stepId' = s.step_id
    ) AS place INTO stands_at
    FROM workflow_steps AS s
    WHERE s.trace_id = run.trace_id AND s.path = s.step_id
    ORDER BY s.first_seq DESC
    LIMIT 1;
    told := jsonb_build_object(
        'current_step', stands_at.place, 'step_name', stands_at.name,
        'phase', CASE WHEN failed THEN 'failed' ELSE 'completed' END,
        'outcome', CASE
            WHEN failed THEN 'failed' WHEN p_status = 'completed' THEN 'success' ELSE 'cancelled'
        END,
        'duration_ms', execution_milliseconds(run.started_at, ended_at),
        'error_message', p_error_message
    );
    audit := jsonb_build_array(
        execution_audit_event(run, 'workflow.completed', last_seq + 1, ended_at, told)
    );
    IF failed THEN
        audit := audit || execution_audit_event(
            run, 'workflow.failed', last_seq + 2, ended_at, told
        );
    END IF;
    PERFORM record_execution(run.org_id, jsonb_build_object(
        'flushes', jsonb_build_array(jsonb_build_array(jsonb_build_object(
            'id', run.id, 'seq', last_seq,
            'status', CASE p_status WHEN 'timeout' THEN 'failed' ELSE p_status::text END,
            'trace_status', p_status, 'current_step_id', run.current_step_id, 'state', run.state,
            'output', p_output,
            'error', CASE
                WHEN p_status IN ('completed', 'cancelled') AND p_error_message IS NULL THEN NULL
                ELSE jsonb_build_object(
                    'type', CASE p_status WHEN 'timeout' THEN 'WorkflowTimeout' ELSE 'TaskError' END,
                    'message', coalesce(p_error_message, '')
                )
            END,
            'updated_at', ended_at, 'completed_at', ended_at
        ))),
        'events', jsonb_build_array(jsonb_build_array(jsonb_build_object(
            'instance_id', run.id, 'seq', last_seq,
            'event_type', 'workflow.' || p_status, 'occurred_at', ended_at,
            'event_id', execution_event_id(run.org_id, run.first_run_id, 'workflow.' || p_status)
        ))),
        'audit', jsonb_build_array(audit)
    ));
END
$$;

-- What comes after everything that an execution has on record.
CREATE FUNCTION execution_next_seq(p_trace_id bigint, p_seq bigint) RETURNS bigint
LANGUAGE sql STABLE AS $$
SELECT greatest(p_seq, coalesce(max(s.seq), 0), coalesce(max(s.first_seq), 0)) + 1
FROM workflow_steps AS s WHERE s.trace_id = p_trace_id
$$;

-- Begins a step with its first attempt; returns the step's id. The same path again is its next
-- iteration.
CREATE FUNCTION start_workflow_step(
    p_trace_id bigint, p_node_id integer, p_step_number integer, p_input_data jsonb,
    p_path text DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    run workflow_instances;
    node workflow_nodes;
    place text;
    round integer;
    began timestamptz := clock_timestamp();
    next_seq bigint;
    step bigint;
BEGIN
    SELECT i.* INTO run FROM workflow_instances AS i WHERE i.trace_id = p_trace_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'trace % not found', p_trace_id USING ERRCODE = 'no_data_found';
    END IF;
    SELECT n.* INTO node FROM workflow_nodes AS n WHERE n.id = p_node_id AND n.org_id = run.org_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'node % not found', p_node_id USING ERRCODE = 'no_data_found';
    END IF;
    place := coalesce(p_path, node.step_id);
    SELECT coalesce(max(s.iteration), 0) + 1 INTO round
    FROM workflow_steps AS s WHERE s.trace_id = p_trace_id AND s.path = place;
    next_seq := execution_next_seq(p_trace_id, run.seq);
    PERFORM record_execution(run.org_id, jsonb_build_object(
        'attempts', jsonb_build_array(jsonb_build_array(jsonb_build_object(
            'instance_id', run.id, 'path', place, 'iteration', round, 'attempt', 1,
            'seq', next_seq, 'status', 'active', 'input', p_input_data, 'started_at', began
        ))),
        'steps', jsonb_build_array(jsonb_build_array(jsonb_build_object(
            'id', execution_id_of('step', run.id::text, place, round::text),
            'instance_id', run.id, 'path', place, 'iteration', round, 'seq', next_seq,
            'first_seq', next_seq, 'step_id', node.step_id, 'step_number', p_step_number,
            'task_id', node.task_id, 'name', node.name, 'status', 'active', 'input', p_input_data,
            'attempts', 1, 'started_at', began,
            'started_event', execution_event_id(
                run.org_id, run.first_run_id, 'step.started', place, round
            )
        )))
    ));
    SELECT s.id INTO step FROM workflow_steps AS s
    WHERE s.trace_id = p_trace_id AND s.path = place AND s.iteration = round;
    -- A step of a version that is not the execution's own: its node is the one that was named.
    UPDATE workflow_steps SET node_id = p_node_id WHERE id = step AND node_id IS NULL;
    RETURN step;
END
$$;

-- Ends a step with its open attempt. What has ended already stays as it ended.
CREATE FUNCTION complete_workflow_step(
    p_step_id bigint, p_status step_status, p_output_data jsonb, p_error_message text DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    step workflow_steps;
    run workflow_instances;
    ended_at timestamptz := clock_timestamp();
    failure jsonb;
    place jsonb;
    outcome jsonb;
BEGIN
    SELECT s.* INTO step FROM workflow_steps AS s WHERE s.id = p_step_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'step % not found', p_step_id USING ERRCODE = 'no_data_found';
    END IF;
    IF p_status IN ('pending', 'active', 'waiting') THEN
        RAISE EXCEPTION 'a step does not end %', p_status
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF step.status NOT IN ('pending', 'active', 'waiting') THEN
        RETURN;
    END IF;
    SELECT i.* INTO run FROM workflow_instances AS i WHERE i.trace_id = step.trace_id;
    IF p_error_message IS NOT NULL OR p_status IN ('failed', 'timeout') THEN
        failure := jsonb_build_object(
            'type', CASE p_status WHEN 'timeout' THEN 'TimeoutError' ELSE 'TaskError' END,
            'message', coalesce(p_error_message, '')
        );
    END IF;
    place := jsonb_build_object(
        'instance_id', run.id, 'path', step.path, 'iteration', step.iteration,
        'seq', execution_next_seq(step.trace_id, run.seq)
    );
    outcome := place || jsonb_build_object(
        'status', p_status, 'output', p_output_data, 'error', failure, 'completed_at', ended_at
    );
    PERFORM record_execution(run.org_id, jsonb_build_object(
        'attempts', jsonb_build_array(jsonb_build_array(outcome || jsonb_build_object(
            'attempt', step.attempts, 'event_id', CASE
                WHEN step.attempts > 1 OR p_status <> 'completed' THEN execution_event_id(
                    run.org_id, run.first_run_id, 'attempt.' || p_status, step.path,
                    step.iteration, step.attempts
                )
            END
        ))),
        'steps', jsonb_build_array(jsonb_build_array(outcome || jsonb_build_object(
            'id', step.step_uuid, 'first_seq', step.first_seq, 'step_id', step.step_id,
            'attempts', step.attempts, 'from_attempt', step.attempts,
            'status_event', execution_event_id(
                run.org_id, run.first_run_id, 'step.' || p_status, step.path, step.iteration
            )
        ))),
        'ended', jsonb_build_array(jsonb_build_array(place || jsonb_build_object('at', ended_at)))
    ));
END
$$;

-- Tries a step again that failed, timed out or is still open; returns the number of the attempt.
--
-- The one place where a step that has ended opens again: an operator wants it so.
CREATE FUNCTION retry_workflow_step(p_step_id bigint) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    step workflow_steps;
    run workflow_instances;
    began timestamptz := clock_timestamp();
    place jsonb;
BEGIN
    SELECT s.* INTO step FROM workflow_steps AS s WHERE s.id = p_step_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'step % not found', p_step_id USING ERRCODE = 'no_data_found';
    END IF;
    SELECT i.* INTO run FROM workflow_instances AS i WHERE i.trace_id = step.trace_id;
    IF step.status NOT IN ('failed', 'timeout', 'active') THEN
        RAISE EXCEPTION 'step % is %, and is not tried again', p_step_id, step.status
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    UPDATE workflow_steps SET
        status = 'pending', error = NULL, error_message = NULL, end_time = NULL,
        duration_ms = NULL, output_data = NULL
    WHERE id = p_step_id;
    place := jsonb_build_object(
        'instance_id', run.id, 'path', step.path, 'iteration', step.iteration,
        'attempt', step.attempts + 1, 'seq', execution_next_seq(step.trace_id, run.seq),
        'status', 'active', 'started_at', began
    );
    PERFORM record_execution(run.org_id, jsonb_build_object(
        'attempts', jsonb_build_array(jsonb_build_array(
            place || jsonb_build_object('input', step.input_data)
        )),
        'retried', jsonb_build_array(jsonb_build_array(place || jsonb_build_object('at', began))),
        'steps', jsonb_build_array(jsonb_build_array(place || jsonb_build_object(
            'id', step.step_uuid, 'first_seq', step.first_seq, 'step_id', step.step_id,
            'attempts', step.attempts + 1, 'started_at', step.start_time
        ))),
        'events', jsonb_build_array(jsonb_build_array(place || jsonb_build_object(
            'event_type', 'step.retried', 'occurred_at', began, 'event_id', execution_event_id(
                run.org_id, run.first_run_id, 'step.retried', step.path, step.iteration,
                step.attempts + 1
            )
        )))
    ));
    RETURN step.attempts + 1;
END
$$;

-- Sets a value of an execution's context.
CREATE FUNCTION set_workflow_context(p_trace_id bigint, p_key varchar, p_value jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO workflow_trace_context AS c (
        org_id, trace_id, trace_created_at, context_key, context_value
    )
    SELECT i.org_id, i.trace_id, i.trace_created_at, p_key, p_value
    FROM workflow_instances AS i WHERE i.trace_id = p_trace_id
    ON CONFLICT (trace_id, context_key, org_id) DO UPDATE SET
        context_value = excluded.context_value, updated_at = now();
    IF NOT FOUND THEN
        RAISE EXCEPTION 'trace % not found', p_trace_id USING ERRCODE = 'no_data_found';
    END IF;
END
$$;

-- The values of an execution's context: all of them, or the one of a key.
CREATE FUNCTION get_workflow_context(p_trace_id bigint, p_key varchar DEFAULT NULL)
RETURNS TABLE (context_key varchar, context_value jsonb, updated_at timestamptz)
LANGUAGE sql STABLE
AS $$
SELECT c.context_key, c.context_value, c.updated_at
FROM workflow_trace_context AS c
WHERE c.trace_id = p_trace_id AND (p_key IS NULL OR c.context_key = p_key)
ORDER BY c.context_key
$$;
