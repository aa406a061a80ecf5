-- The months of workflow_trace and workflow_events, part of add_workflow_execution_tables.sql.
--
-- What falls into no month that was made stands in the default partition, so that a forgotten
-- partition never costs a record.

CREATE TABLE workflow_trace_default PARTITION OF workflow_trace DEFAULT;
CREATE TABLE workflow_events_default PARTITION OF workflow_events DEFAULT;

-- Makes the partitions of this month and of the coming ones that are not there yet; returns how
-- many it made. A month of which the default partition has rows already stays there.
--
-- The application may not make tables, so this runs with its owner's rights.
CREATE FUNCTION create_execution_partitions(
    p_months_ahead integer DEFAULT 3, p_from timestamptz DEFAULT now()
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '5s'
AS $$
DECLARE
    parent text;
    month timestamptz;
    partition text;
    made integer := 0;
BEGIN
    IF p_months_ahead NOT BETWEEN 0 AND 120 THEN
        RAISE EXCEPTION 'months ahead are 0 to 120, not %', p_months_ahead
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- "steploom" in ASCII, and one: two at once are one after the other.
    PERFORM pg_advisory_xact_lock(8319385945190133614);
    FOREACH parent IN ARRAY ARRAY['workflow_trace', 'workflow_events'] LOOP
        FOR month IN
            SELECT generate_series(
                date_trunc('month', p_from),
                date_trunc('month', p_from) + make_interval(months => p_months_ahead),
                interval '1 month'
            )
        LOOP
            partition := parent || to_char(month, '"_y"YYYY"m"MM');
            CONTINUE WHEN to_regclass(format('public.%I', partition)) IS NOT NULL;
            BEGIN
                EXECUTE format(
                    'CREATE TABLE public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (%L)',
                    partition, parent, month, month + interval '1 month'
                );
                -- Without a policy of its own nobody reads it but through its parent.
                EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', partition);
                EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', partition);
                made := made + 1;
            EXCEPTION WHEN check_violation THEN
                RAISE NOTICE 'the default partition of % has rows of % already', parent, month;
            END;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
REVOKE EXECUTE ON FUNCTION create_execution_partitions FROM PUBLIC;

SELECT create_execution_partitions();
