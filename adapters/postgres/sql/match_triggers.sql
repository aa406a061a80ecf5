-- Which definitions an event may start, and the events that started nothing because they could not.

-- The listed definitions of this transaction's org with a trigger of one of these patterns.
--
-- Postgres uses an index on triggers only where no policy stands before it: an operator of jsonb may
-- tell of the rows that it sees (it is not leakproof), so under a policy those rows are read first,
-- all definitions of the org. Hence this function acts with its owner's rights, for whom there is a
-- policy below, and holds itself to the org; it answers with ids alone.
CREATE FUNCTION match_triggers(patterns text[])
RETURNS TABLE (definition_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 10
SET search_path = pg_catalog, public, pg_temp
AS $$
SELECT d.id FROM workflow_definitions AS d
WHERE d.triggers @> ANY (ARRAY(
        SELECT jsonb_build_array(jsonb_build_object('eventPattern', p)) FROM unnest($1) AS p
    ))
    AND d.listed
    AND d.org_id = nullif(current_setting('app.current_org_id', true), '')::uuid
$$;
REVOKE EXECUTE ON FUNCTION match_triggers FROM PUBLIC;

-- Where the application acts as its own role, the owner may read definitions, for the function's
-- sake. Where there is no such role the owner is the application: it stays bound, and the function
-- reads all definitions of the org.
DO $$
BEGIN
    IF to_regrole('steploom_app') IS NOT NULL THEN
        CREATE POLICY matching ON workflow_definitions FOR SELECT TO CURRENT_ROLE USING (true);
    END IF;
END
$$;

-- An event for whose org nobody could be found has none, and is seen by a transaction without an org.
CREATE TABLE event_dead_letters (
    id uuid PRIMARY KEY,
    org_id uuid REFERENCES organizations (id),
    event_id uuid,
    event_type text,
    source text,
    workflow_id text,
    code varchar(50) NOT NULL,
    reason text NOT NULL,
    message bytea NOT NULL,
    headers jsonb NOT NULL DEFAULT '{}'::jsonb,
    topic text,
    topic_partition integer,
    topic_offset bigint,
    attempts integer NOT NULL DEFAULT 1,
    first_failed_at timestamptz NOT NULL DEFAULT now(),
    last_failed_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz
);
CREATE INDEX event_dead_letters_open_idx ON event_dead_letters (org_id, first_failed_at)
WHERE resolved_at IS NULL;

ALTER TABLE event_dead_letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE event_dead_letters FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON event_dead_letters USING (
    org_id IS NOT DISTINCT FROM nullif(current_setting('app.current_org_id', true), '')::uuid
);
