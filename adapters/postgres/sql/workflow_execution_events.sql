-- What never changes once it is written, and the whole of a write. Part of
-- workflow_execution_views.sql; see workflow_execution_recording.sql.

CREATE FUNCTION execution_milliseconds(p_from timestamptz, p_to timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (extract(epoch FROM p_to - p_from) * 1000)::bigint;

-- What an event tells of an error: the rest stands in the row that the event is about.
CREATE FUNCTION execution_error_data(p_error jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_error IS NULL THEN '{}'::jsonb
    ELSE jsonb_build_object(
        'error', jsonb_build_object('type', p_error -> 'type', 'code', p_error -> 'code')
    )
END;

-- Events of the execution itself: its start and end, people's decisions, actions from outside.
CREATE FUNCTION record_events(p_org_id uuid, p_rows jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO workflow_events (
        created_at, org_id, event_id, trace_id, step_id, seq, event_type, path, iteration, attempt,
        actor, event_data, occurred_at
    )
    SELECT
        i.trace_created_at, p_org_id, r.event_id, i.trace_id, s.id, r.seq, r.event_type, r.path,
        r.iteration, r.attempt, r.actor, coalesce(r.event_data, '{}'), r.occurred_at
    FROM jsonb_to_recordset(p_rows) AS r(
        instance_id uuid, event_id uuid, seq bigint, event_type text, path text, iteration integer,
        attempt integer, actor text, event_data jsonb, occurred_at timestamptz
    )
    CROSS JOIN LATERAL (
        SELECT * FROM workflow_instances AS o
        WHERE o.id = r.instance_id AND (o.org_id = p_org_id) IS TRUE OFFSET 0
    ) AS i
    LEFT JOIN LATERAL (
        SELECT o.id FROM workflow_steps AS o
        WHERE o.trace_id = i.trace_id AND o.path = r.path AND o.iteration = r.iteration
          AND o.org_id = p_org_id
        OFFSET 0
    ) AS s ON true
    ORDER BY r.event_id
    ON CONFLICT (trace_id, event_id, org_id, created_at) DO NOTHING;
END
$$;

-- Audit events are never changed, so a second one with the same id is the first one again.
CREATE FUNCTION record_audit_events(p_org_id uuid, p_rows jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_events (
        event_id, event_timestamp, event_type, event_data, org_id, instance_id, seq
    )
    SELECT
        r.event_id, r.event_timestamp, r.event_type, r.event_data, p_org_id, r.instance_id, r.seq
    FROM jsonb_to_recordset(p_rows) AS r(
        event_id uuid, event_timestamp timestamptz, event_type text, event_data jsonb,
        instance_id uuid, seq bigint
    )
    ORDER BY r.event_id
    ON CONFLICT (org_id, event_id) DO NOTHING;
END
$$;

-- An event enters the outbox once, whether or not it has left it since.
CREATE FUNCTION record_outbox_events(p_org_id uuid, p_rows jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox_events (
        event_id, org_id, instance_id, execution_id, seq, event_type, path, iteration, envelope,
        occurred_at
    )
    SELECT
        r.event_id, p_org_id, r.instance_id, r.execution_id, r.seq, r.event_type, r.path, r.iteration,
        r.envelope, r.occurred_at
    FROM jsonb_to_recordset(p_rows) AS r(
        event_id uuid, instance_id uuid, execution_id text, seq bigint, event_type text, path text,
        iteration integer, envelope jsonb, occurred_at timestamptz
    )
    ORDER BY r.event_id
    ON CONFLICT (org_id, event_id) DO NOTHING;
END
$$;

-- Executions that a writer believes to be there.
CREATE FUNCTION record_known_runs(p_org_id uuid, p_rows jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    gone text;
BEGIN
    SELECT known.id INTO gone
    -- The cast stands apart: beneath a policy no index is looked into for what it gives.
    FROM (SELECT id::uuid FROM jsonb_array_elements_text(p_rows) AS id OFFSET 0) AS known
    LEFT JOIN LATERAL (
        SELECT o.first_run_id FROM workflow_instances AS o
        WHERE o.id = known.id AND (o.org_id = p_org_id) IS TRUE OFFSET 0
    ) AS i ON true
    WHERE i.first_run_id IS NULL
    LIMIT 1;
    IF gone IS NOT NULL THEN
        RAISE EXCEPTION 'execution % is not there', gone USING ERRCODE = 'foreign_key_violation';
    END IF;
END
$$;

-- Writes a group of an org's facts. p_batch has, by kind, lists of rows; no list has a key twice,
-- and a later list of a kind comes after the earlier ones.
--
-- Every plan is made once in a session, and looks into tables by index alone, for it must do no harm
-- when they have grown (see workflow_execution_recording.sql).
CREATE FUNCTION record_execution(p_org_id uuid, p_batch jsonb) RETURNS void
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
DECLARE
    kind text;
    layer jsonb;
BEGIN
    FOR kind, layer IN
        SELECT k.kind, l.layer
        -- Attempts come before steps, whose function asks which of them were lost.
        FROM unnest(ARRAY[
            'starts', 'runs', 'known', 'attempts', 'retried', 'steps', 'untold', 'ended', 'flushes',
            'events', 'audit', 'published'
        ]) WITH ORDINALITY AS k (kind, place)
        CROSS JOIN LATERAL jsonb_array_elements(p_batch -> k.kind)
            WITH ORDINALITY AS l (layer, place)
        ORDER BY k.place, l.place
    LOOP
        CASE kind
            WHEN 'attempts' THEN PERFORM record_attempts(p_org_id, layer);
            WHEN 'steps' THEN PERFORM record_steps(p_org_id, layer);
            WHEN 'known' THEN PERFORM record_known_runs(p_org_id, layer);
            WHEN 'starts' THEN PERFORM record_starts(p_org_id, layer);
            WHEN 'runs' THEN PERFORM record_runs(p_org_id, layer);
            WHEN 'retried' THEN PERFORM record_lost_attempts(p_org_id, layer, 'earlier');
            WHEN 'untold' THEN PERFORM record_lost_attempts(p_org_id, layer, 'untold');
            WHEN 'ended' THEN PERFORM record_lost_attempts(p_org_id, layer, 'open');
            WHEN 'flushes' THEN PERFORM record_flushes(p_org_id, layer);
            WHEN 'events' THEN PERFORM record_events(p_org_id, layer);
            WHEN 'audit' THEN PERFORM record_audit_events(p_org_id, layer);
            WHEN 'published' THEN PERFORM record_outbox_events(p_org_id, layer);
        END CASE;
    END LOOP;
END
$$;
