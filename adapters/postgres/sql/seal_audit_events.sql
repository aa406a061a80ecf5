-- The seals of the audit events: what makes it visible that somebody changed or removed one.
--
-- Events are written side by side, so a chain cannot be made while they are. Each new one enters
-- audit_unsealed by a trigger, whoever writes it; a sealer takes it from there, once it is
-- committed, and adds a link to its org's chain. So nobody ever looks for unsealed events among
-- those that are sealed, and none is passed over because its transaction took long.

CREATE TABLE audit_seals (
    org_id uuid NOT NULL,
    position bigint NOT NULL,
    event_id uuid NOT NULL,
    event_hash varchar(64) NOT NULL,
    previous_hash varchar(64) NOT NULL,
    hash varchar(64) NOT NULL,
    sealed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT audit_seals_pkey PRIMARY KEY (org_id, position),
    CONSTRAINT audit_seals_event_key UNIQUE (org_id, event_id)
);

CREATE TABLE audit_unsealed (
    org_id uuid NOT NULL,
    event_id uuid NOT NULL,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT audit_unsealed_pkey PRIMARY KEY (org_id, event_id)
);
CREATE INDEX audit_unsealed_order_idx ON audit_unsealed (org_id, recorded_at, event_id);

CREATE INDEX audit_events_page_idx
    ON audit_events (org_id, event_timestamp DESC, event_id DESC);

CREATE FUNCTION steploom_guard_seals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'seals of audit events are append-only (% of audit_seals)', TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_seals_append_only
    BEFORE UPDATE OR DELETE ON audit_seals
    FOR EACH ROW EXECUTE FUNCTION steploom_guard_seals();
CREATE TRIGGER audit_seals_no_truncate
    BEFORE TRUNCATE ON audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION steploom_guard_seals();

CREATE FUNCTION steploom_queue_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_unsealed (org_id, event_id, recorded_at)
    SELECT a.org_id, a.event_id, a.recorded_at FROM added AS a
    ON CONFLICT (org_id, event_id) DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_events_unsealed
    AFTER INSERT ON audit_events REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION steploom_queue_audit();

-- Those of before. The owner is bound by row level security as well, and this is about all orgs.
ALTER TABLE audit_events NO FORCE ROW LEVEL SECURITY;
INSERT INTO audit_unsealed (org_id, event_id, recorded_at)
SELECT org_id, event_id, recorded_at FROM audit_events;
ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['audit_seals', 'audit_unsealed'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY tenant ON %I USING'
            ' (org_id = nullif(current_setting(''app.current_org_id'', true), '''')::uuid)',
            name
        );
    END LOOP;
END
$$;
