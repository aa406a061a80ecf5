-- What the application may do. Run after every migration, and again whenever it is needed.
--
-- Nothing is granted on partitions: reading one by its own name would go round the policies of its
-- parent. TRUNCATE is granted on nothing. Registered versions cannot
-- be removed, nor can audit events and their seals: prune_audit_events() is its owner's alone.

DO $$
DECLARE
    given record;
    name text;
BEGIN
    IF to_regrole('steploom_app') IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO steploom_app', current_schema());
    FOR given IN
        SELECT * FROM (VALUES
            ('alembic_version', 'SELECT'),
            ('organizations', 'SELECT, INSERT'),
            ('users', 'SELECT, INSERT'),
            ('workflow_definitions', 'SELECT, INSERT, UPDATE'),
            ('workflow_definition_versions', 'SELECT, INSERT, UPDATE'),
            ('audit_events', 'SELECT, INSERT'),
            ('audit_seals', 'SELECT, INSERT'),
            ('audit_anchors', 'SELECT'),
            ('audit_unsealed', 'SELECT, INSERT, DELETE'),
            ('outbox_events', 'SELECT, INSERT, UPDATE, DELETE'),
            ('event_dead_letters', 'SELECT, INSERT, UPDATE, DELETE'),
            ('workflow_instances', 'SELECT, INSERT, UPDATE, DELETE'),
            ('workflow_trace', 'SELECT, INSERT, UPDATE, DELETE'),
            ('workflow_steps', 'SELECT, INSERT, UPDATE, DELETE'),
            ('workflow_step_attempts', 'SELECT, INSERT, UPDATE, DELETE'),
            ('workflow_trace_context', 'SELECT, INSERT, UPDATE, DELETE'),
            ('workflow_events', 'SELECT, INSERT, UPDATE, DELETE'),
            ('payloads', 'SELECT, INSERT'),
            ('workflow_nodes', 'SELECT, INSERT'),
            ('node_io_requirements', 'SELECT, INSERT, UPDATE, DELETE'),
            ('workflow_data_bindings', 'SELECT, INSERT, UPDATE, DELETE'),
            ('workflow_configs', 'SELECT, INSERT, UPDATE, DELETE'),
            ('channel_configs', 'SELECT, INSERT, UPDATE, DELETE'),
            ('workflow_channel_configs', 'SELECT, INSERT, UPDATE, DELETE'),
            ('config_status', 'SELECT, INSERT, UPDATE, DELETE'),
            ('provider_workflows', 'SELECT, INSERT, DELETE'),
            ('v_active_workflow_configs', 'SELECT'),
            ('v_workflow_execution_summary', 'SELECT'),
            ('v_workflow_channel_performance', 'SELECT'),
            ('v_node_execution_stats', 'SELECT'),
            ('v_workflow_execution_timeline', 'SELECT'),
            ('v_failed_steps_analysis', 'SELECT')
        ) AS every (relation, privileges)
    LOOP
        CONTINUE WHEN to_regclass(given.relation) IS NULL;
        EXECUTE format('GRANT %s ON %I TO steploom_app', given.privileges, given.relation);
    END LOOP;
    -- The sequences behind the columns of these tables, by whatever name.
    FOR name IN
        SELECT d.objid::regclass::text
        FROM pg_depend AS d
        JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
        JOIN pg_class AS t ON t.oid = d.refobjid AND t.relnamespace = s.relnamespace
        WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
          AND d.deptype IN ('a', 'i') AND t.relnamespace = current_schema()::regnamespace
          AND has_table_privilege('steploom_app', t.oid, 'INSERT')
    LOOP
        EXECUTE format('GRANT USAGE ON SEQUENCE %s TO steploom_app', name);
    END LOOP;
    -- These act with their owner's rights, and are nobody else's to call.
    FOR name IN
        SELECT p.oid::regprocedure::text
        FROM pg_proc AS p
        WHERE p.pronamespace = current_schema()::regnamespace
          AND p.proname IN (
            'create_execution_partitions', 'list_organizations', 'match_triggers', 'outbox_orgs',
            'outbox_lag'
          )
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO steploom_app', name);
    END LOOP;
END
$$;
