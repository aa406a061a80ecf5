-- Takes back add_workflow_execution_tables.sql and workflow_execution_views.sql, with all data.

\set ON_ERROR_STOP on
BEGIN;

DROP VIEW
    v_active_workflow_configs, v_workflow_execution_summary, v_workflow_channel_performance,
    v_node_execution_stats, v_workflow_execution_timeline, v_failed_steps_analysis;

DROP FUNCTION
    execution_milliseconds,
    execution_error_data,
    record_events,
    record_audit_events,
    record_outbox_events,
    record_known_runs,
    record_execution,
    get_active_workflow_config,
    start_workflow_execution,
    complete_workflow_execution,
    execution_next_seq,
    execution_audit_event,
    start_workflow_step,
    complete_workflow_step,
    retry_workflow_step,
    set_workflow_context,
    get_workflow_context,
    execution_uuid5,
    execution_id_of,
    execution_event_id,
    register_workflow_nodes,
    cleanup_old_execution_data,
    remove_executions,
    old_executions,
    execution_retention,
    create_execution_partitions,
    record_runs,
    record_starts,
    record_attempts,
    record_lost_attempts,
    record_steps,
    record_flushes;

DROP TABLE
    workflow_events, workflow_trace_context, workflow_step_attempts, workflow_steps, workflow_trace,
    workflow_data_bindings, node_io_requirements, workflow_nodes, config_status,
    workflow_channel_configs, channel_configs, workflow_configs;

ALTER TABLE workflow_instances DROP COLUMN trace_id, DROP COLUMN trace_created_at;

DROP TYPE step_status, trace_status, workflow_channel;

COMMIT;
