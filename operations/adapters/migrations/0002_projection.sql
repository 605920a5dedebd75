-- What people query: a read model of the log, filled by the projection worker from the entries
-- alone. It can be emptied and filled again at any time; a verifier never trusts it.

SET ROLE mts_owner;

CREATE TABLE audit.event (
    sequence bigint PRIMARY KEY,
    stream_sequence bigint NOT NULL,
    time_ns bigint NOT NULL,
    subject text NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject_id text NOT NULL,
    source text,
    environment text,
    fund_id text,
    strategy_id text,
    account_id text,
    order_id text,
    correlation_id text,
    causation_id text,
    data jsonb,
    problem text
);
COMMENT ON COLUMN audit.event.data IS 'The payload where it is JSON that jsonb can hold';
COMMENT ON COLUMN audit.event.problem IS 'Why data is empty or a text was shortened; else null';
CREATE INDEX event_order ON audit.event (order_id, sequence) WHERE order_id IS NOT NULL;
CREATE INDEX event_strategy ON audit.event (strategy_id, sequence) WHERE strategy_id IS NOT NULL;
CREATE INDEX event_account ON audit.event (account_id, sequence) WHERE account_id IS NOT NULL;
CREATE INDEX event_fund ON audit.event (fund_id, sequence) WHERE fund_id IS NOT NULL;
CREATE INDEX event_correlation ON audit.event (correlation_id, sequence)
    WHERE correlation_id IS NOT NULL;
CREATE INDEX event_subject_id ON audit.event (subject_id, sequence);
CREATE INDEX event_time ON audit.event USING brin (time_ns);

-- How far the read model is; written in the same transaction as its rows.
CREATE TABLE audit.projection (
    name text PRIMARY KEY,
    size bigint NOT NULL CHECK (size >= 0)
);

-- The classic record of an audit log, for people who expect its columns.
CREATE VIEW audit.audit_entry AS
    SELECT e.sequence,
           to_timestamp(v.time_ns / 1e9) AS timestamp,
           v.actor, v.action, v.subject_id, v.data,
           p.hash AS prev_hash, e.hash
    FROM audit.entry e
    JOIN audit.event v USING (sequence)
    LEFT JOIN audit.entry p ON p.sequence = e.sequence - 1;

GRANT SELECT ON audit.event, audit.projection, audit.audit_entry TO mts_projector, mts_reader;
GRANT INSERT, UPDATE, DELETE, TRUNCATE ON audit.event, audit.projection TO mts_projector;
RESET ROLE;
