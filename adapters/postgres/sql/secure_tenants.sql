-- Row level security of the tables that the execution tables refer to. As in
-- workflow_execution_tenants.sql, a transaction sees the org that it names, and none without.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'users', 'workflow_definitions', 'workflow_definition_versions', 'workflow_instances',
        'audit_events', 'outbox_events'
    ] LOOP
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

ALTER TABLE organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE organizations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON organizations
    USING (id = nullif(current_setting('app.current_org_id', true), '')::uuid);
-- The owner, and nobody else, sees the list of tenants: through the function below.
CREATE POLICY directory ON organizations FOR SELECT TO CURRENT_ROLE USING (true);

-- Names of tenants, for whoever serves all of them. None of their data.
CREATE FUNCTION list_organizations()
RETURNS TABLE (id uuid, slug varchar, name varchar, created_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
SELECT o.id, o.slug, o.name, o.created_at FROM organizations AS o ORDER BY o.slug
$$;
REVOKE EXECUTE ON FUNCTION list_organizations FROM PUBLIC;
