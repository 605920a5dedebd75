"""Measures the database again and again, says it, and runs the vacuums that are asked for."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import asyncpg

from operations.adapters import ledger
from operations.adapters.database_meter import Meter, vacuum
from operations.adapters.steps import Step, onward
from operations.clock import NANOSECONDS, monotonic_ns
from operations.config import Settings
from operations.errors import Retryable
from operations.events.base import Event
from operations.events.operations import (
    DatabaseMaintained,
    DatabaseMeasured,
    DatabaseMeasurement,
    Maintenance,
)
from operations.measuring import NOTABLE_STATEMENT_MS, Wanted

Say = Callable[[Event], Awaitable[object]]
INDEXES_NS = 86_400 * NANOSECONDS
IDLE_SECONDS = 0.5
AGAIN_SECONDS = 30.0  # before a vacuum that the database could not answer is tried again
RUNNING_SECONDS = 2.0  # before it is looked again whether a vacuum that runs is over


class DatabaseWatch:
    """`problem` says why nothing is measured, `lacking` what cannot be measured here."""

    def __init__(self, settings: Settings, say: Say, at: Step = onward) -> None:
        self.problem = "not measured yet"
        self.lacking: tuple[str, ...] = ()
        self.measured = self.vacuums = 0
        self._settings, self._say, self._at = settings, say, at
        self._meter = Meter(settings.postgres.database, settings.audit.origin)
        self._notable = False
        self._indexes_ns = 0

    async def measure(self) -> None:
        """Measure until cancelled; a database that does not answer is a measurement too."""
        pause = self._settings.measure.statement_seconds
        while True:
            try:
                async with ledger.connection(self._settings.postgres, "measure") as connected:
                    await self._meter.prepare(connected)
                    await self._on(connected)
            except Retryable as error:
                self.problem = str(error)
                await self._measured(self._meter.unreachable(self.problem))
            await asyncio.sleep(max(pause, self._settings.measure.database_seconds / 4))

    async def _on(self, connected: ledger.Connection) -> None:
        every_ns = int(self._settings.measure.database_seconds * NANOSECONDS)
        last_ns = monotonic_ns() - every_ns
        while True:
            if monotonic_ns() - last_ns >= every_ns:
                last_ns = monotonic_ns()
                await self._everything(connected)
            else:
                await self._statement(connected)
            self.problem = ""
            await asyncio.sleep(self._settings.measure.statement_seconds)

    async def _everything(self, connected: ledger.Connection) -> None:
        try:
            await self._read(connected)
        except asyncpg.LockNotAvailableError:
            found = await self._meter.locked(connected)
            self.lacking = found.lacking
            await self._measured(found)

    async def _read(self, connected: ledger.Connection) -> None:
        if not self._indexes_ns or monotonic_ns() - self._indexes_ns > INDEXES_NS:
            await self._meter.check_indexes(connected)
            self._indexes_ns = monotonic_ns()
        whole = await self._meter.whole(connected)
        self.lacking = whole.lacking
        self._notable = (whole.longest_statement_ms or 0) >= NOTABLE_STATEMENT_MS
        tables = await self._meter.tables(connected)
        for measurement in (whole, *tables):
            await self._measured(measurement)

    async def _statement(self, connected: ledger.Connection) -> None:
        """Say a statement that runs long as often as it is seen, and once that it is over."""
        found = await self._meter.statement(connected)
        if found.lacking:
            return
        notable = (found.ms or 0) >= NOTABLE_STATEMENT_MS
        if notable or self._notable:
            await self._measured(
                DatabaseMeasurement(
                    database=self._settings.postgres.database,
                    table="",
                    longest_statement_ms=found.ms,
                    longest_statement_by=found.by,
                )
            )
        self._notable = notable

    async def _measured(self, data: DatabaseMeasurement) -> None:
        self._at("measured")
        await self._say(DatabaseMeasured(subject_id=data.table or data.database, data=data))
        self._at("measurement said")
        self.measured += 1

    async def maintain(self, wanted: Mapping[str, Wanted]) -> None:
        """Run what is asked for, one after the other, until cancelled."""
        while True:
            for order in list(wanted.values()):
                if order.episode in wanted:
                    await self._vacuum(order)
            await asyncio.sleep(IDLE_SECONDS)

    async def _vacuum(self, order: Wanted) -> None:
        try:
            result = await vacuum(self._settings.postgres, order.table)
        except Retryable as error:
            self.problem = str(error)
            await asyncio.sleep(AGAIN_SECONDS)
            return
        if result is None:
            await asyncio.sleep(RUNNING_SECONDS)
            return
        self._at("vacuumed")
        data = Maintenance(
            database=self._settings.postgres.database,
            table=order.table,
            episode=order.episode,
            statement=result.statement,
            done=result.done,
            seconds=round(result.seconds, 3),
            reason=result.reason,
        )
        self.vacuums += result.done and bool(result.statement)
        await self._say(
            DatabaseMaintained(
                subject_id=order.table,
                correlation_id=order.episode,
                causation_id=order.cause_id,
                data=data,
            )
        )
        self._at("vacuum said")
