"""Every question about the log and every proof from it, once; the faces translate, none decides."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
from msgspec import Struct

from operations.adapters import (
    adoption_order,
    ledger,
    log_queries,
    read_model,
    scanner,
    stream,
    wire,
)
from operations.adapters.adoption_order import Plan
from operations.adapters.auditor import Auditor, Progress, Report, quiet
from operations.adapters.ledger import SealerLedger
from operations.adapters.link import Access
from operations.adapters.log_queries import Found
from operations.adapters.proofs import Prover
from operations.adapters.rebuild import Rebuild, Rebuilt
from operations.audit import note as notes
from operations.audit import proof, rotation
from operations.audit.checkpoint import Checkpoint
from operations.audit.entry import Entry
from operations.audit.note import NoteError, VerifierKey
from operations.clock import NANOSECONDS, now_ns
from operations.config import Nats, Postgres
from operations.errors import Corrupted, Rejected, Retryable
from operations.signing.message import Signer

FOLLOW_SECONDS = 0.3


class Status(Struct, kw_only=True):
    """How far the log, its checkpoints, its read model and its stream are. Times in seconds."""

    origin: str
    size: int = 0
    head_hash: str = ""
    stream_sequence: int = 0
    signed_size: int = 0
    root: str = ""
    checkpoint_age_seconds: float | None = None
    signature: str = ""
    unsigned: int = 0
    projected: int = 0
    projection_lag: int = 0
    stream_last_sequence: int | None = None
    stream_lag: int | None = None
    stream_problem: str = ""


class AuditLog:
    """One log in Postgres, and the public keys by which it is believed."""

    def __init__(self, postgres: Postgres, origin: str, keys: Sequence[VerifierKey] = ()) -> None:
        self.origin = origin
        self._postgres = postgres
        self._keys = keys

    async def verify(
        self,
        from_sequence: int = 0,
        *,
        brought: Sequence[str] = (),
        projection: bool = False,
        jobs: int = 0,
        progress: Progress = quiet,
    ) -> Report:
        """Verify the log; `brought` are checkpoints from elsewhere. Raises Retryable."""
        auditor = Auditor(self._postgres, self.origin, self._keys, brought, progress, jobs)
        return await auditor.verify(now_ns(), from_sequence, projection=projection)

    async def entry(self, sequence: int) -> Found:
        """Return one entry; raises Rejected if there is none with this sequence."""
        async with self._connected() as connected:
            found = await log_queries.one(connected, self.origin, sequence)
            if found is None:
                end = await log_queries.end_of(connected)
                there = f"the log has entries 0 to {end - 1}" if end else "the log has no entries"
                raise Rejected(f"there is no entry {sequence}: {there}")
        return found

    async def matching(self, wanted: Mapping[str, str], limit: int | None) -> AsyncGenerator[Found]:
        """Give the entries under all the given ids (log_queries.KEYS), oldest first."""
        async with self._connected() as connected:
            async for found in log_queries.matching(connected, self.origin, wanted, limit):
                yield found

    async def unprojected(self) -> int:
        """Return how many of the newest entries a search by id does not see yet."""
        async with self._connected() as connected:
            end = await log_queries.end_of(connected)
            return max(0, end - await read_model.position(connected))

    async def tail(self, count: int, *, follow: bool) -> AsyncGenerator[Found]:
        """Give the newest entries, oldest first; with `follow` also all that come, without end."""
        async with self._connected() as connected:
            end = await log_queries.end_of(connected)
            first = max(0, end - count)
            while True:
                async for found in log_queries.between(connected, self.origin, first, end):
                    yield found
                if not follow:
                    return
                first = end
                while end == first:
                    await asyncio.sleep(FOLLOW_SECONDS)
                    end = await log_queries.end_of(connected)

    async def status(self, nats: Nats | None) -> Status:
        """Say how far everything is; the stream only where `nats` is given and answers.

        Raises Retryable if the database does not answer.
        """
        status = Status(origin=self.origin)
        async with self._snapshot() as connected:
            head = await ledger.head(connected, self.origin)
            if head is not None:
                status.size, status.head_hash = head.size, head.hash.hex()
                status.stream_sequence = head.stream_sequence
            await self._add_checkpoint(status, connected)
            status.projected = await read_model.position(connected)
        status.unsigned = max(0, status.size - status.signed_size)
        status.projection_lag = max(0, status.size - status.projected)
        if nats is not None:
            await _add_stream(status, nats)
        return status

    async def _add_checkpoint(self, status: Status, connected: asyncpg.Connection) -> None:
        stored = await ledger.newest_checkpoint(connected)
        if stored is None:
            status.signature = "the log was not signed yet"
            return
        status.signed_size = stored.size
        status.checkpoint_age_seconds = (now_ns() - stored.signed_at_ns) / NANOSECONDS
        if not self._keys:
            status.signature = "not checked, because there is no public key"
            return
        try:
            trusted = await log_queries.trusted_keys(connected, self.origin, self._keys)
            status.root = rotation.open_checkpoint(stored.note, self.origin, trusted).root.hex()
            status.signature = "holds"
        except NoteError as error:
            status.signature = f"does not hold: {error}"

    async def checkpoint(self) -> str:
        """Return the newest checkpoint, which its key really signed; raises Rejected, Corrupted."""
        async with self._snapshot() as connected:
            return await (await self._prover(connected)).checkpoint()

    async def inclusion(self, sequence: int) -> str:
        """Return the file that proves one entry; raises Rejected or Corrupted."""
        async with self._snapshot() as connected:
            return await (await self._prover(connected)).inclusion(sequence)

    async def consistency(self, old: int, new: int | None) -> str:
        """Return the file that proves that the log only grew; raises Rejected or Corrupted."""
        async with self._snapshot() as connected:
            return await (await self._prover(connected)).consistency(old, new)

    async def export(
        self, first: int, last: int | None, folder: Path, progress: Progress = quiet
    ) -> int:
        """Write a range that proves itself; return how many entries it has."""
        async with self._snapshot() as connected:
            prover = await self._prover(connected)
            return await prover.export(first, last, folder, progress)

    async def _prover(self, connected: asyncpg.Connection) -> Prover:
        trusted = await log_queries.trusted_keys(connected, self.origin, self._keys)
        return Prover(connected, self.origin, trusted)

    async def rebuild(
        self,
        nats: Nats,
        *,
        brought: Sequence[str] = (),
        into: Postgres | None = None,
        progress: Progress = quiet,
    ) -> Rebuilt:
        """Make the log again from the stream and compare; `into` is an empty migrated database.

        Raises Retryable if a server does not answer, Rejected if `into` is not empty.
        """
        async with AsyncExitStack() as stack:
            view = await stack.enter_async_context(scanner.snapshot(self._postgres))
            client = await stack.enter_async_context(wire.connection(nats, "rebuild"))
            empty = None
            if into is not None:
                target = await stack.enter_async_context(ledger.connection(into, "rebuild"))
                empty = SealerLedger(target, self.origin)
            return await Rebuild(
                view.connection, client, nats.stream, self.origin, self._keys, brought,
                progress, empty,
            ).run()  # fmt: skip

    async def plan_adoption(self, nats: Nats) -> Plan:
        """Return what adopting the stream that is there would do; raises Retryable, Rejected."""
        async with self._connected() as connected, wire.connection(nats, "query") as client:
            return await adoption_order.plan(connected, client, nats.stream, self.origin)

    async def adopt(
        self, planned: Plan, access: Access, signer: Signer, reason: str, seconds: float
    ) -> bool:
        """Publish the signed order; return whether the log took it within `seconds`.

        Raises Retryable, Rejected, and Denied if the user may not publish it.
        """
        event = adoption_order.order(planned, signer.key.public.name, reason)
        await adoption_order.publish(access, signer, event, seconds)
        async with self._connected() as connected:
            return await adoption_order.adopted(connected, planned, event, seconds)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection]:
        async with ledger.connection(self._postgres, "query") as connected:
            yield connected

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[asyncpg.Connection]:
        async with (
            self._connected() as connected,
            connected.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connected


async def _add_stream(status: Status, nats: Nats) -> None:
    try:
        async with wire.connection(nats, "query") as client:
            found = await stream.info(client, nats.stream)
    except Retryable as error:
        status.stream_problem = str(error)
        return
    status.stream_last_sequence = found.state.last_seq
    status.stream_lag = max(0, found.state.last_seq - status.stream_sequence)


class Proven(Struct, frozen=True):
    """What a proof file proves: an entry, or that the log only grew since `old`."""

    checkpoint: Checkpoint
    entry: Entry | None = None
    old: Checkpoint | None = None


def check_proof(text: str, keys: Sequence[VerifierKey], old_note: str | None) -> Proven:
    """Check a proof from files alone; the name of the key is the origin of the log.

    Rotations in the proof are followed from the given keys. Raises Rejected for what is no proof,
    is signed by no key that counts, or lacks the older checkpoint; Corrupted for a proof that does
    not hold.
    """
    origin = keys[0].name
    try:
        is_inclusion = text.startswith(proof.INCLUSION_MAGIC)
        parsed = proof.parse_inclusion(text) if is_inclusion else proof.parse_consistency(text)
        trusted = rotation.follow(keys, origin, parsed.rotations)
        for note in filter(None, (parsed.checkpoint, old_note)):
            _require_signer(note, trusted.keys)
    except ValueError as error:
        raise Rejected(f"the proof cannot be checked: {error}") from error
    try:
        if is_inclusion:
            entry = proof.check_inclusion(text, origin, keys)
            signed = rotation.open_checkpoint(parsed.checkpoint, origin, trusted)
            return Proven(signed, entry=entry)
        if old_note is None:
            raise Rejected(
                "a proof that the log only grew needs the older checkpoint that you kept: "
                "give it with --old-checkpoint"
            )
        old, new = proof.check_consistency(text, old_note, origin, keys)
    except ValueError as error:
        raise Corrupted(f"the proof does not hold: {error}") from error
    return Proven(new, old=old)


def _require_signer(note: str, keys: Sequence[VerifierKey]) -> None:
    """Raise ValueError unless a known key claims to have signed a note."""
    signers = {(name, blob[:4]) for name, blob in notes.split(note)[1]}
    if not signers & {(key.name, key.key_id) for key in keys}:
        raise NoteError(
            "none of the given keys signed the checkpoint, "
            f"it names {', '.join(sorted(name for name, _ in signers))}"
        )
