-- Who was told what: written by the notifications worker alone, in one transaction with the place
-- in the stream up to which it has decided. People read it; nothing else depends on it.

CREATE SCHEMA notify AUTHORIZATION mts_owner;
SET ROLE mts_owner;

-- How far the stream was decided on. What was raised up to first_sequence is from before the first
-- start.
CREATE TABLE notify.progress (
    stream_created_ns bigint PRIMARY KEY,
    first_sequence bigint NOT NULL,
    sequence bigint NOT NULL
);

-- Every episode as it is shown to people; the worker itself folds the stream again. Only what the
-- worker found by itself (own) is kept nowhere else.
CREATE TABLE notify.alert (
    episode text PRIMARY KEY,
    raised_ns bigint NOT NULL,
    cleared_ns bigint,
    severity text NOT NULL,
    own boolean NOT NULL DEFAULT false,
    alert json NOT NULL
);
CREATE INDEX alert_open ON notify.alert (raised_ns) WHERE cleared_ns IS NULL;

-- One conversation with one channel about one episode, or about several in a digest; sequence is
-- how far the stream was read when it changed last.
CREATE TABLE notify.thread (
    key text PRIMARY KEY,
    channel text NOT NULL,
    closed boolean NOT NULL,
    sequence bigint NOT NULL,
    thread jsonb NOT NULL
);
CREATE INDEX thread_episode ON notify.thread USING gin ((thread -> 'episodes'));
CREATE INDEX thread_open ON notify.thread (channel) WHERE NOT closed;

-- The outbox. A message in state sending was on its way when the worker died: nobody knows whether
-- it arrived, so it is sent again and says so.
CREATE TABLE notify.message (
    message_id text PRIMARY KEY,
    place bigint GENERATED ALWAYS AS IDENTITY,
    key text NOT NULL REFERENCES notify.thread,
    channel text NOT NULL,
    reason text NOT NULL,
    created_ns bigint NOT NULL,
    message json NOT NULL,
    state text NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'sending', 'sent', 'failed')),
    attempts int NOT NULL DEFAULT 0,
    next_try_ns bigint NOT NULL,
    settled_ns bigint,
    problem text
);
CREATE INDEX message_due ON notify.message (channel, place) WHERE state IN ('waiting', 'sending');
CREATE INDEX message_recent ON notify.message (created_ns);
CREATE INDEX message_key ON notify.message (key);

-- Why a channel was or was not told of an episode, newest word only.
CREATE TABLE notify.verdict (
    episode text NOT NULL REFERENCES notify.alert,
    channel text NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (episode, channel)
);

-- What people silenced, as it is shown; the worker itself reads the stream.
CREATE TABLE notify.silence (
    silence_id text PRIMARY KEY,
    until_ns bigint NOT NULL,
    silence json NOT NULL
);

GRANT USAGE ON SCHEMA notify TO mts_notifier, mts_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA notify TO mts_notifier, mts_reader;
GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA notify TO mts_notifier;
RESET ROLE;
