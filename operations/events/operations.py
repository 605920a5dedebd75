"""What the operations plane says about itself: ticks, polls, measurements, changes, reports."""

from typing import Annotated, Literal

from operations.events.base import Data, Event, Id, Timestamp, Token, doc

# In the order in which they win: the later holds.
SettingLayer = Literal["file", "environment", "kv", "vault"]


class ConfigChange(Data, frozen=True, kw_only=True):
    """One setting before and after."""

    setting: Annotated[Id, doc("Name of the setting.")]
    old_value: Annotated[str | None, doc("Value before, as text; null when there was none.")]
    new_value: Annotated[str | None, doc("Value after, as text; null when it is gone.")]
    reason: Annotated[str, doc("Why it changed.")]
    layer: Annotated[
        SettingLayer | None, doc("Where it was set; a later layer wins over an earlier one.")
    ] = None
    revision: Annotated[
        int | None, doc("Revision of the key in NATS KV, or version of the path in Vault.")
    ] = None


class ConfigChanged(Event, frozen=True, kw_only=True):
    """A setting changed."""

    pattern = "mts.v1.operations.config.changed"
    data: ConfigChange


class Tick(Data, frozen=True, kw_only=True):
    """A minute of the leader's clock; silence is judged from it."""

    minute: Annotated[Timestamp, doc("Minute that began.")]
    offset_ms: Annotated[float, doc("Clock of the leader minus that of the bus, in milliseconds.")]


class ClockTicked(Event, frozen=True, kw_only=True):
    """A minute began."""

    pattern = "mts.v1.operations.clock.ticked"
    data: Tick


class Poll(Data, frozen=True, kw_only=True):
    """The answer of one service."""

    service: Annotated[Token, doc("Service that was asked.")]
    healthy: Annotated[bool, doc("Whether it answered 200 in time.")]
    latency_ms: Annotated[float | None, doc("Time to the answer, in milliseconds.")] = None
    status: Annotated[int | None, doc("HTTP status; null when there was no answer.")] = None
    consecutive_failures: Annotated[
        int, doc("Failed polls in a row since the asker began, this one included.")
    ] = 0
    reason: Annotated[str | None, doc("What was wrong.")] = None


class ServicePolled(Event, frozen=True, kw_only=True):
    """A service was asked how it is: on every change and every failure."""

    pattern = "mts.v1.operations.service.polled"
    data: Poll


class DatabaseMeasurement(Data, frozen=True, kw_only=True):
    """How one table of the database is, or with an empty `table` the database as a whole."""

    database: Annotated[Token, doc("Database.")]
    table: Annotated[str, doc("Table with its schema; empty for the database as a whole.")]
    live_rows: Annotated[int | None, doc("Estimated live rows.")] = None
    dead_rows: Annotated[int | None, doc("Estimated dead rows.")] = None
    total_bytes: Annotated[int | None, doc("Size with indexes, in bytes.")] = None
    longest_statement_ms: Annotated[
        float | None, doc("Age of the oldest running statement, in milliseconds.")
    ] = None
    last_vacuum_at: Annotated[Timestamp | None, doc("When it was last vacuumed.")] = None
    vacuum_due_rows: Annotated[
        int | None, doc("Dead rows above which autovacuum comes, by its own formula.")
    ] = None
    reachable: Annotated[bool, doc("Whether the database answered.")] = True
    longest_statement_by: Annotated[
        str | None, doc("Process, role and application that run the oldest statement.")
    ] = None
    slowest_mean_ms: Annotated[
        float | None, doc("Highest mean time of a statement, by pg_stat_statements, in ms.")
    ] = None
    log_entries: Annotated[int | None, doc("Entries of the log.")] = None
    projected_entries: Annotated[int | None, doc("Entries that the read model covers.")] = None
    compared_from: Annotated[
        int | None, doc("First log sequence at which log and read model were compared.")
    ] = None
    compared_entries: Annotated[int | None, doc("Number of sequences that were compared.")] = None
    entries_found: Annotated[int | None, doc("Of these, how many the log holds.")] = None
    rows_found: Annotated[int | None, doc("Of these, how many the read model holds.")] = None
    indexes_checked: Annotated[int | None, doc("Indexes that amcheck looked at.")] = None
    index_problem: Annotated[str | None, doc("What amcheck found; null when all is well.")] = None
    lacking: Annotated[tuple[str, ...], doc("What could not be measured, and why.")] = ()
    locked: Annotated[
        str | None,
        doc("Tables that a lock keeps from being read, and who holds it; empty for none."),
    ] = None


class DatabaseMeasured(Event, frozen=True, kw_only=True):
    """A database was measured."""

    pattern = "mts.v1.operations.database.measured"
    data: DatabaseMeasurement


class Maintenance(Data, frozen=True, kw_only=True):
    """What was done to a table because a finding asked for it."""

    database: Annotated[Token, doc("Database.")]
    table: Annotated[str, doc("Table with its schema.")]
    episode: Annotated[Id, doc("Episode of findings that asked for it.")]
    statement: Annotated[str, doc("What was run; empty when there was no need any more.")]
    done: Annotated[bool, doc("Whether the table needs no vacuum now.")]
    seconds: Annotated[float, doc("How long it took, in seconds.")]
    reason: Annotated[str | None, doc("Why it did not succeed, or was not needed.")] = None


class DatabaseMaintained(Event, frozen=True, kw_only=True):
    """A table was vacuumed, or could not be, because a finding asked for it."""

    pattern = "mts.v1.operations.database.maintained"
    data: Maintenance


class WarehouseMeasurement(Data, frozen=True, kw_only=True):
    """What a private warehouse holds up to one place in the stream."""

    warehouse: Annotated[Token, doc("Process that owns the warehouse.")]
    table: Annotated[str, doc("Table.")]
    high_water_stream_sequence: Annotated[int, doc("Last event that went into it.")]
    rows: Annotated[int, doc("Number of rows.")]
    sha256: Annotated[str, doc("SHA-256 over the canonical rows, hexadecimal.")]


class WarehouseMeasured(Event, frozen=True, kw_only=True):
    """A warehouse was measured, so that two can be compared."""

    pattern = "mts.v1.operations.warehouse.measured"
    data: WarehouseMeasurement


class Reach(Data, frozen=True, kw_only=True):
    """Up to where one process has judged the stream and said all that it found."""

    rule_version: Annotated[str, doc("Version of the rule that it judges by.")]
    watchdogs: Annotated[tuple[Token, ...], doc("Watchdogs that it runs.")]
    funds: Annotated[tuple[Id, ...], doc("Funds that it watches; empty for all.")] = ()
    stream_sequence: Annotated[int, doc("Last event that it judged.")]


class WatchReached(Event, frozen=True, kw_only=True):
    """Watchdogs have judged everything up to a place in the stream."""

    pattern = "mts.v1.operations.watch.reached"
    data: Reach


class Canary(Data, frozen=True, kw_only=True):
    """A known case that a check had to find."""

    check: Annotated[Token, doc("Check that was tried.")]
    canary_id: Annotated[Id, doc("Id of the case.")]
    delay_ms: Annotated[float, doc("From the case to the finding, in milliseconds.")]


class CanaryPassed(Event, frozen=True, kw_only=True):
    """A check found the case that was put before it."""

    pattern = "mts.v1.operations.canary.passed"
    data: Canary


class ReportRecord(Data, frozen=True, kw_only=True):
    """A report that was made."""

    report_id: Annotated[Id, doc("Id of the report.")]
    kind: Annotated[Token, doc("Kind of report.")]
    format: Annotated[Token, doc("File format.")]
    rows: Annotated[int, doc("Number of rows in it.")]
    sha256: Annotated[str, doc("SHA-256 of the file, hexadecimal.")]
    first_log_sequence: Annotated[int | None, doc("First log entry that it covers.")] = None
    last_log_sequence: Annotated[int | None, doc("Last log entry that it covers.")] = None
    location: Annotated[str | None, doc("Where it lies.")] = None


class ReportGenerated(Event, frozen=True, kw_only=True):
    """A report was made."""

    pattern = "mts.v1.operations.report.generated"
    data: ReportRecord


class Purge(Data, frozen=True, kw_only=True):
    """Data that was removed after its time of retention."""

    store: Annotated[str, doc("Where it lay.")]
    older_than: Annotated[Timestamp, doc("Everything before this moment was removed.")]
    items: Annotated[int, doc("Number of items removed.")]
    reason: Annotated[str, doc("Rule or order that asked for it.")]
    sha256: Annotated[str | None, doc("SHA-256 over what was removed, hexadecimal.")] = None


class DataPurged(Event, frozen=True, kw_only=True):
    """Data was removed on purpose."""

    pattern = "mts.v1.operations.data.purged"
    data: Purge


class RosterPublication(Data, frozen=True, kw_only=True):
    """The signed list of people, services, roles and keys."""

    version: Annotated[int, doc("Version of the roster; only ever grows.")]
    roster: Annotated[str, doc("The signed file, as text.")]
    sha256: Annotated[str, doc("SHA-256 of the file, hexadecimal.")]
    purpose: Annotated[
        Literal["production", "development"], doc("A development root is refused by live systems.")
    ]


class RosterPublished(Event, frozen=True, kw_only=True):
    """A new roster holds from now on."""

    pattern = "mts.v1.operations.roster.published"
    data: RosterPublication
