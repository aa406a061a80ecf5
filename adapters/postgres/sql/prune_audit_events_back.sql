-- Audit events are never removed: the reverse of prune_audit_events.sql.

DROP FUNCTION prune_audit_events(timestamptz, text, bigint, bigint);
DROP FUNCTION prunable_audit_events(timestamptz, bigint, integer);

CREATE OR REPLACE FUNCTION steploom_guard_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit events are append-only (% of audit_events)', TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE OR REPLACE FUNCTION steploom_guard_seals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'seals of audit events are append-only (% of audit_seals)', TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$;

DROP TABLE audit_anchors;
DROP FUNCTION steploom_guard_anchors();
