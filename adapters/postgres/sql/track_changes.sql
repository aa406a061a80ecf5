-- Whatever is changed says when, whoever changes it: an operator with psql as well as a command.

ALTER TABLE node_io_requirements ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();

CREATE FUNCTION steploom_track_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'workflow_configs', 'channel_configs', 'workflow_channel_configs', 'node_io_requirements'
    ] LOOP
        EXECUTE format(
            'CREATE TRIGGER %I BEFORE UPDATE ON %I FOR EACH ROW'
            ' WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION steploom_track_change()',
            name || '_changed', name
        );
    END LOOP;
END
$$;
