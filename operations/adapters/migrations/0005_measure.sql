-- What the measuring process may see, and vacuum. It counts sequences and reads no event.
-- MAINTAIN exists since Postgres 17; before, only the owner can vacuum, and the process says so. It
-- is also the right to lock a table, so it is given for the read model alone, which nothing waits for.

SET ROLE mts_owner;
GRANT USAGE ON SCHEMA audit TO mts_measurer;
GRANT SELECT (origin, size) ON audit.head TO mts_measurer;
GRANT SELECT (sequence) ON audit.entry, audit.event TO mts_measurer;
GRANT SELECT ON audit.projection TO mts_measurer;
DO $$ BEGIN
    IF current_setting('server_version_num')::int >= 170000 THEN
        EXECUTE 'GRANT MAINTAIN ON audit.event, audit.projection TO mts_measurer';
    END IF;
END $$;
RESET ROLE;
