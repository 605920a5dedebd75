-- The log. Entries are canonical bytes in one column, stored as hashed and never re-formatted.
-- Storage EXTERNAL: no compression, so reading back is a copy. One chain per database.
-- All objects belong to mts_owner, who cannot log in; every other role gets only what it needs.

CREATE SCHEMA audit AUTHORIZATION mts_owner;
SET ROLE mts_owner;

CREATE TABLE audit.entry (
    sequence bigint NOT NULL CHECK (sequence >= 0),
    entry bytea NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (sequence)
) PARTITION BY RANGE (sequence);
ALTER TABLE audit.entry ALTER COLUMN entry SET STORAGE EXTERNAL;
ALTER TABLE audit.entry ALTER COLUMN hash SET STORAGE PLAIN;

-- One row per log: how far it is sealed. The sealer writes entries and this row in one transaction.
CREATE TABLE audit.head (
    origin text PRIMARY KEY,
    fence bigint NOT NULL,
    size bigint NOT NULL CHECK (size >= 0),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    stream_sequence bigint NOT NULL,
    stream_created_ns bigint NOT NULL
);

-- Full tiles of the tree: 256 hashes of 32 bytes, immutable (tlog-tiles layout).
CREATE TABLE audit.tile (
    level int NOT NULL CHECK (level BETWEEN 0 AND 7),
    index bigint NOT NULL CHECK (index >= 0),
    hashes bytea NOT NULL CHECK (octet_length(hashes) = 8192),
    PRIMARY KEY (level, index)
);
ALTER TABLE audit.tile ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- Every signed checkpoint. `edge` holds the partial tiles at the right edge of the tree at that
-- size, lowest level first, so that proofs and the place of a change can be found without entries;
-- it is kept for the newest row only.
CREATE TABLE audit.checkpoint (
    size bigint NOT NULL CHECK (size > 0),
    signed_at_ns bigint NOT NULL,
    note text NOT NULL,
    PRIMARY KEY (size, signed_at_ns)
);
CREATE TABLE audit.edge (
    level int PRIMARY KEY,
    size bigint NOT NULL,
    hashes bytea NOT NULL
);

-- Append-only, also for the owner and for session_replication_role = replica (ENABLE ALWAYS).
-- A superuser can still drop the trigger: that is what signed checkpoints are for.
CREATE FUNCTION audit.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE FUNCTION audit.protect(target regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %s
        FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change()', target);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only', target);
END $$;

SELECT audit.protect('audit.entry'), audit.protect('audit.tile'), audit.protect('audit.checkpoint');

-- The head only grows. A new stream (adopted by a signed command) may restart its sequence.
CREATE FUNCTION audit.head_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.origin <> OLD.origin OR NEW.fence < OLD.fence OR NEW.size < OLD.size
        OR (NEW.stream_created_ns = OLD.stream_created_ns AND NEW.size = OLD.size
            AND (NEW.stream_sequence <> OLD.stream_sequence OR NEW.hash <> OLD.hash))
    THEN
        RAISE EXCEPTION 'the head of the audit log only grows: size % to %, fence % to %',
            OLD.size, NEW.size, OLD.fence, NEW.fence USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER only_grows BEFORE UPDATE ON audit.head
    FOR EACH ROW EXECUTE FUNCTION audit.head_only_grows();
ALTER TABLE audit.head ENABLE ALWAYS TRIGGER only_grows;
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON audit.head
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
ALTER TABLE audit.head ENABLE ALWAYS TRIGGER append_only;

-- Partitions of 2^22 sequences: one partition is one aligned subtree. Two are kept ahead, so the
-- sealer never waits for one. Runs as the owner; the sealer may call it and nothing else.
CREATE FUNCTION audit.ensure_partition(next_sequence bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    width constant bigint := 4194304;
    first bigint;
    name text;
BEGIN
    FOR number IN next_sequence / width .. next_sequence / width + 2 LOOP
        first := number * width;
        name := format('entry_%s', lpad(number::text, 6, '0'));
        IF to_regclass('audit.' || name) IS NULL THEN
            EXECUTE format('CREATE TABLE audit.%I PARTITION OF audit.entry
                FOR VALUES FROM (%s) TO (%s)', name, first, first + width);
            PERFORM audit.protect(format('audit.%I', name)::regclass);
        END IF;
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION audit.ensure_partition(bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION audit.protect(regclass) FROM PUBLIC;
SELECT audit.ensure_partition(0);

GRANT USAGE ON SCHEMA audit TO mts_sealer, mts_signer, mts_projector, mts_reader;
GRANT SELECT ON audit.entry, audit.head, audit.tile, audit.checkpoint, audit.edge
    TO mts_sealer, mts_signer, mts_projector, mts_reader;
GRANT INSERT ON audit.entry TO mts_sealer;
GRANT INSERT, UPDATE ON audit.head TO mts_sealer;
GRANT EXECUTE ON FUNCTION audit.ensure_partition(bigint) TO mts_sealer;
GRANT INSERT ON audit.tile, audit.checkpoint TO mts_signer;
GRANT INSERT, UPDATE ON audit.edge TO mts_signer;
RESET ROLE;
