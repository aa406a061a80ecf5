-- The retention of audit events: an org's oldest ones go, from the first link of its chain on, and an
-- anchor says where the chain begins from then on.
--
-- Nobody has the right to delete them but the owner, and its accidents are refused by triggers as
-- before: what they let go is what an anchor tells of. The owner, not the application, calls
-- prune_audit_events().

-- One row for each portion that went. The last of an org is its anchor: the link before the first
-- that is left.
CREATE TABLE audit_anchors (
    org_id uuid NOT NULL,
    position bigint NOT NULL,
    hash varchar(64) NOT NULL,
    removed bigint NOT NULL,
    older_than timestamptz NOT NULL,
    pruned_at timestamptz NOT NULL DEFAULT now(),
    pruned_by varchar(255) NOT NULL,
    event_id uuid NOT NULL,
    CONSTRAINT audit_anchors_pkey PRIMARY KEY (org_id, position)
);
ALTER TABLE audit_anchors ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_anchors FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit_anchors
    USING (org_id = nullif(current_setting('app.current_org_id', true), '')::uuid);

CREATE FUNCTION steploom_guard_anchors() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the anchors of audit events are append-only (% of audit_anchors)', TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_anchors_append_only
    BEFORE UPDATE OR DELETE ON audit_anchors
    FOR EACH ROW EXECUTE FUNCTION steploom_guard_anchors();
CREATE TRIGGER audit_anchors_no_truncate
    BEFORE TRUNCATE ON audit_anchors
    FOR EACH STATEMENT EXECUTE FUNCTION steploom_guard_anchors();

CREATE OR REPLACE FUNCTION steploom_guard_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND EXISTS (
        SELECT FROM audit_seals AS s
        JOIN audit_anchors AS a ON a.org_id = s.org_id AND a.position >= s.position
        WHERE s.org_id = OLD.org_id AND s.event_id = OLD.event_id
    ) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit events are append-only (% of audit_events)', TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE OR REPLACE FUNCTION steploom_guard_seals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND EXISTS (
        SELECT FROM audit_anchors AS a
        WHERE a.org_id = OLD.org_id AND a.position >= OLD.position
    ) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'seals of audit events are append-only (% of audit_seals)', TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$;

-- How far the chain behind a link can go: every event up to last_position is older than what is
-- given, its execution is not on record any more, and its link holds. Of p_limit links at most.
--
-- stopped_by says what the next link, stopped_at, is kept for: it is 'younger', its execution is
-- 'on_record', it is the 'last' of the chain, which always stays, or it is 'damaged'. It is null
-- where the limit was reached, or no link is there.
CREATE FUNCTION prunable_audit_events(p_before timestamptz, p_after bigint, p_limit integer)
RETURNS TABLE (last_position bigint, last_hash varchar, stopped_by varchar, stopped_at bigint)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_org uuid := nullif(current_setting('app.current_org_id', true), '')::uuid;
    v_end bigint;
    link record;
BEGIN
    last_position := p_after;
    SELECT f.hash INTO last_hash FROM (
        SELECT a.hash FROM audit_anchors AS a WHERE a.org_id = v_org AND a.position = p_after
        UNION ALL
        SELECT s.hash FROM audit_seals AS s WHERE s.org_id = v_org AND s.position = p_after
        UNION ALL
        SELECT repeat('0', 64) WHERE p_after = 0
    ) AS f
    LIMIT 1;
    SELECT max(s.position) INTO v_end FROM audit_seals AS s WHERE s.org_id = v_org;
    FOR link IN
        SELECT s.position, s.hash,
               s.position = p_after + row_number() OVER chain
               AND s.previous_hash = coalesce(lag(s.hash) OVER chain, last_hash)
               AND s.hash = encode(sha256(convert_to(
                   concat_ws(' ', s.position, s.previous_hash, s.event_hash), 'UTF8')), 'hex')
               AND s.event_hash = encode(sha256(convert_to(jsonb_build_object(
                   'org_id', e.org_id, 'event_id', e.event_id,
                   'event_timestamp', to_char(
                       e.event_timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                   'event_type', e.event_type,
                   'event_data', e.event_data,
                   'instance_id', e.instance_id,
                   'seq', e.seq,
                   'recorded_at', to_char(
                       e.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
               )::text, 'UTF8')), 'hex') AS holds,
               -- The application says both of these times: it is the later one that counts.
               greatest(e.event_timestamp, e.recorded_at) >= p_before AS younger,
               i.id IS NOT NULL AS on_record
        FROM (
            SELECT * FROM audit_seals AS n WHERE n.org_id = v_org AND n.position > p_after
            ORDER BY n.position
            LIMIT p_limit
        ) AS s
        -- One by one, by their keys, however many others there are.
        LEFT JOIN LATERAL (
            SELECT * FROM audit_events AS n
            WHERE n.org_id = s.org_id AND n.event_id = s.event_id
            LIMIT 1
        ) AS e ON true
        LEFT JOIN LATERAL (
            SELECT n.id FROM workflow_instances AS n
            WHERE n.org_id = e.org_id AND n.id = e.instance_id
            LIMIT 1
        ) AS i ON true
        WINDOW chain AS (ORDER BY s.position)
        ORDER BY s.position
    LOOP
        stopped_by := CASE
            WHEN link.holds IS NOT TRUE THEN 'damaged'
            WHEN link.younger THEN 'younger'
            WHEN link.on_record THEN 'on_record'
            WHEN link.position = v_end THEN 'last'
        END;
        IF stopped_by IS NOT NULL THEN
            stopped_at := link.position;
            EXIT;
        END IF;
        last_position := link.position;
        last_hash := link.hash;
    END LOOP;
    RETURN NEXT;
END
$$;

-- Removes the events of the transaction's org behind the link p_after, its anchor, up to the link
-- p_upto, with their seals; tells of it by an audit event, and moves the anchor. Returns how many
-- went: none where somebody else has moved the anchor meanwhile. All of them can go, or it fails.
CREATE FUNCTION prune_audit_events(
    p_before timestamptz, p_by text, p_after bigint, p_upto bigint
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    v_org uuid := nullif(current_setting('app.current_org_id', true), '')::uuid;
    v_event uuid := gen_random_uuid();
    v_ids uuid[];
    v_anchor bigint;
    v_gone bigint;
    found record;
BEGIN
    IF v_org IS NULL OR p_before IS NULL OR p_before > now() OR coalesce(p_by, '') = ''
        OR p_upto IS NULL OR p_upto - p_after NOT BETWEEN 1 AND 100000
    THEN
        RAISE EXCEPTION 'prune_audit_events(%, %, %, %) of the org % is not possible',
            p_before, p_by, p_after, p_upto, v_org
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('steploom audit prune ' || v_org, 0));
    SELECT coalesce(max(a.position), 0) INTO v_anchor FROM audit_anchors AS a
    WHERE a.org_id = v_org;
    IF v_anchor IS DISTINCT FROM p_after THEN
        RETURN 0;
    END IF;
    SELECT * INTO found
    FROM prunable_audit_events(p_before, p_after, (p_upto - p_after)::integer);
    IF found.last_position <> p_upto THEN
        RAISE EXCEPTION 'the audit event at % is kept: %', found.stopped_at, found.stopped_by
            USING ERRCODE = 'restrict_violation';
    END IF;
    INSERT INTO audit_events (
        event_id, event_timestamp, event_type, event_data, org_id, seq
    ) VALUES (
        v_event, now(), 'audit.pruned',
        jsonb_build_object(
            'version', '1.0', 'service', 'workflow', 'event_type', 'audit.pruned',
            'timestamp', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'data', jsonb_build_object('audit', jsonb_build_object(
                'position', p_upto, 'hash', found.last_hash, 'removed', p_upto - p_after,
                'older_than', to_char(
                    p_before AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                'by', left(p_by, 255), 'login', session_user
            ))
        ),
        v_org, 1
    );
    INSERT INTO audit_anchors (
        org_id, position, hash, removed, older_than, pruned_by, event_id
    ) VALUES (
        v_org, p_upto, found.last_hash, p_upto - p_after, p_before, left(p_by, 255), v_event
    );
    v_ids := ARRAY(
        SELECT s.event_id FROM audit_seals AS s WHERE s.org_id = v_org AND s.position <= p_upto
    );
    DELETE FROM audit_events WHERE org_id = v_org AND event_id = ANY (v_ids);
    DELETE FROM audit_seals WHERE org_id = v_org AND position <= p_upto;
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    DELETE FROM audit_unsealed WHERE org_id = v_org AND event_id = ANY (v_ids);
    RETURN v_gone;
END
$$;
-- Its owner's alone: who has taken over a worker cannot remove a trace of it.
REVOKE EXECUTE ON FUNCTION prune_audit_events FROM PUBLIC;
