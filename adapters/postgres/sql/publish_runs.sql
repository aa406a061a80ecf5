-- The outbox on its way to a broker. Run by the migration 022_publish_runs.

ALTER TABLE outbox_events
    ADD COLUMN after_seq bigint,
    ADD COLUMN dead_at timestamptz,
    ADD COLUMN error text;

DROP INDEX outbox_events_unpublished_idx;
CREATE INDEX outbox_events_unpublished_idx ON outbox_events (org_id, instance_id, seq)
    WHERE published_at IS NULL AND dead_at IS NULL;
-- A hash, which has no order: whoever goes from run to run through what is unpublished must not be
-- led past all that is published.
DROP INDEX outbox_events_instance_idx;
CREATE INDEX outbox_events_instance_idx ON outbox_events USING hash (instance_id);
-- For those who read it, and for its retention.
CREATE INDEX outbox_events_recorded_idx ON outbox_events (org_id, recorded_at);

-- An event enters the outbox once, whether or not it has left it since. One of the run itself (its
-- path is empty) is completed here: in the same transaction its row says all that there is to tell.
CREATE OR REPLACE FUNCTION record_outbox_events(p_org_id uuid, p_rows jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox_events (
        event_id, org_id, instance_id, execution_id, seq, after_seq, event_type, path, iteration,
        envelope, occurred_at
    )
    SELECT
        r.event_id, p_org_id, r.instance_id, r.execution_id, r.seq, r.after_seq, r.event_type,
        r.path, r.iteration,
        CASE WHEN r.path = '' THEN jsonb_set(
            r.envelope,
            '{payload,data}',
            jsonb_build_object(
                'org', g.slug,
                'org_id', p_org_id,
                'run_id', r.instance_id,
                'version', i.version,
                'correlation_id', i.correlation_id,
                'trigger_event_id', i.trigger_event_id,
                'channel', i.channel,
                'external_id', i.external_id,
                'parent', CASE WHEN i.origin_kind IS NOT NULL THEN jsonb_build_object(
                    'kind', i.origin_kind,
                    'run_id', i.origin_instance_id,
                    'workflow_run_id', i.origin_execution_id
                ) END
            )
            || CASE WHEN r.event_type = 'workflow.triggered' THEN '{}'::jsonb
               ELSE jsonb_build_object(
                   'started_at', i.started_at,
                   'duration_ms', execution_milliseconds(i.started_at, r.occurred_at)
               ) END
            || (r.envelope #> '{payload,data}')
        ) ELSE r.envelope END,
        r.occurred_at
    FROM jsonb_to_recordset(p_rows) AS r(
        event_id uuid, instance_id uuid, execution_id text, seq bigint, after_seq bigint,
        event_type text, path text, iteration integer, envelope jsonb, occurred_at timestamptz
    )
    LEFT JOIN LATERAL (
        SELECT * FROM workflow_instances AS o
        WHERE o.id = r.instance_id AND o.org_id = p_org_id OFFSET 0
    ) AS i ON true
    LEFT JOIN organizations AS g ON g.id = p_org_id
    ORDER BY r.event_id
    ON CONFLICT (org_id, event_id) DO NOTHING;
END
$$;

-- The orgs that have something to publish, for whoever publishes for all of them. It sees no event:
-- it looks at each org as that org.
CREATE FUNCTION outbox_orgs() RETURNS SETOF uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    before text := coalesce(current_setting('app.current_org_id', true), '');
    org uuid;
BEGIN
    FOR org IN SELECT o.id FROM organizations AS o ORDER BY o.id LOOP
        PERFORM set_config('app.current_org_id', org::text, true);
        IF EXISTS (
            SELECT FROM outbox_events AS e
            WHERE e.org_id = org AND e.published_at IS NULL AND e.dead_at IS NULL
        ) THEN
            RETURN NEXT org;
        END IF;
    END LOOP;
    PERFORM set_config('app.current_org_id', before, true);
END
$$;
REVOKE EXECUTE ON FUNCTION outbox_orgs FROM PUBLIC;

-- How much waits to be published, how much was given up, and since when the oldest waits.
CREATE FUNCTION outbox_lag(OUT waiting bigint, OUT dead bigint, OUT oldest timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    before text := coalesce(current_setting('app.current_org_id', true), '');
    org uuid;
    one record;
BEGIN
    waiting := 0;
    dead := 0;
    FOR org IN SELECT o.id FROM organizations AS o LOOP
        PERFORM set_config('app.current_org_id', org::text, true);
        SELECT count(*) AS waiting, min(e.recorded_at) AS oldest INTO one
        FROM outbox_events AS e
        WHERE e.org_id = org AND e.published_at IS NULL AND e.dead_at IS NULL;
        waiting := waiting + one.waiting;
        oldest := least(oldest, one.oldest);
        dead := dead + (
            SELECT count(*) FROM outbox_events AS e WHERE e.org_id = org AND e.dead_at IS NOT NULL
        );
    END LOOP;
    PERFORM set_config('app.current_org_id', before, true);
END
$$;
REVOKE EXECUTE ON FUNCTION outbox_lag FROM PUBLIC;

CREATE INDEX outbox_events_dead_idx ON outbox_events (org_id, dead_at) WHERE dead_at IS NOT NULL;
