-- The three roles, for an administrator: none can log in until it is told to.
--
--   steploom_owner     owns the tables, and is bound by row level security all the same
--   steploom_migrator  migrates: whoever logs in with it acts as the owner
--   steploom_app       what workers and commands are: it reads and writes rows, of one org at a time
--
-- `steploom migrate` runs this by itself where it may make roles. With a server of your own:
--     psql -d DATABASE -f roles.sql
--     ALTER ROLE steploom_migrator LOGIN PASSWORD '…';
--     ALTER ROLE steploom_app LOGIN PASSWORD '…';

DO $$
BEGIN
    IF NOT (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) THEN
        RETURN;
    END IF;
    BEGIN
        IF to_regrole('steploom_owner') IS NULL THEN
            CREATE ROLE steploom_owner NOLOGIN;
        END IF;
        IF to_regrole('steploom_migrator') IS NULL THEN
            CREATE ROLE steploom_migrator NOLOGIN;
            GRANT steploom_owner TO steploom_migrator;
            ALTER ROLE steploom_migrator SET role = 'steploom_owner';
        END IF;
        IF to_regrole('steploom_app') IS NULL THEN
            CREATE ROLE steploom_app NOLOGIN;
        END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL; -- Roles belong to the whole server: somebody else is making them right now.
    END;
END
$$;

-- The owner makes tables in this database. Only its administrator can allow that.
DO $$
BEGIN
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
        AND to_regrole('steploom_owner') IS NOT NULL
        AND NOT has_schema_privilege('steploom_owner', current_schema(), 'CREATE')
    THEN
        EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO steploom_owner', current_schema());
    END IF;
END
$$;
