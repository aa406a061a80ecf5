-- What publish_runs.sql added goes. Run by the downgrade of the migration 022_publish_runs.

DROP FUNCTION outbox_lag;
DROP FUNCTION outbox_orgs;

CREATE OR REPLACE FUNCTION record_outbox_events(p_org_id uuid, p_rows jsonb) RETURNS void
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

DROP INDEX outbox_events_dead_idx;
DROP INDEX outbox_events_recorded_idx;
DROP INDEX outbox_events_unpublished_idx;
DROP INDEX outbox_events_instance_idx;
CREATE INDEX outbox_events_instance_idx ON outbox_events (instance_id, seq);
ALTER TABLE outbox_events
    DROP COLUMN after_seq,
    DROP COLUMN dead_at,
    DROP COLUMN error;
CREATE INDEX outbox_events_unpublished_idx ON outbox_events (org_id, instance_id, seq)
    WHERE published_at IS NULL;
