-- Row level security of the execution tables, part of add_workflow_execution_tables.sql.
--
-- A transaction sees the rows of the org that it names, and none where it names none:
--     SELECT set_config('app.current_org_id', 'THE ORG''S ID', true);
-- The owner of the tables is bound as well; superusers are not.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'workflow_configs', 'channel_configs', 'workflow_channel_configs', 'config_status',
        'workflow_nodes', 'node_io_requirements', 'workflow_data_bindings', 'workflow_trace',
        'workflow_steps', 'workflow_step_attempts', 'workflow_trace_context', 'workflow_events'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        -- After a transaction that named an org the setting is '', which is no uuid.
        EXECUTE format(
            'CREATE POLICY tenant ON %I USING'
            ' (org_id = nullif(current_setting(''app.current_org_id'', true), '''')::uuid)',
            name
        );
    END LOOP;
    -- The default partitions, as every other one: nobody reads them but through their parents.
    FOREACH name IN ARRAY ARRAY['workflow_trace_default', 'workflow_events_default'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    END LOOP;
END
$$;
