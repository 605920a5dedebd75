"""Signs the size and root of the log, once it has recomputed them from the stream itself.

A checkpoint goes to Postgres, to an append-only file of this process, and out on
`ops.v1.audit.checkpoint` with the proof that the log only grew since the one before. That subject
is outside `mts.v1.>` on purpose: a checkpoint that became an event would need a checkpoint.
"""

from asyncpg import Connection
from prometheus_client import CollectorRegistry, Counter, Gauge

from operations.adapters import (
    adoption_judge,
    continuity,
    key_rotation,
    keyfiles,
    ledger,
    stream,
    wire,
)
from operations.adapters import signer as signers
from operations.adapters.continuity import StreamChanged
from operations.adapters.signer import Signer
from operations.adapters.signer_memory import MemoryFile
from operations.adapters.stream import Reader
from operations.audit import chain, rotation
from operations.audit.chain import Delivery, Jump
from operations.audit.proof import Consistency
from operations.clock import monotonic_ns, now_ns
from operations.config import Settings
from operations.errors import Retryable
from workers.runtime import Runtime

CONSUMER = "checkpoint"
SUBJECT = "ops.v1.audit.checkpoint"
AHEAD_SECONDS = 0.05
STALE_SECONDS = 10.0  # an entry that is unsigned for longer is a problem


async def run(runtime: Runtime) -> None:
    """Follow the stream and sign until the process is asked to stop."""
    settings = runtime.settings
    async with (
        ledger.connection(settings.postgres, CONSUMER) as connected,
        wire.connection(settings.nats, CONSUMER) as client,
    ):
        signer = await _signer(settings, connected, client)
        reader = Reader(client, settings.nats.stream, CONSUMER)
        await _resume(client, reader, connected, signer, settings)
        loop = Loop(runtime, connected, client, signer, reader)
        while not runtime.stopping.is_set():
            await loop.turn()


async def _resume(
    client: wire.WireClient,
    reader: Reader,
    connected: Connection,
    signer: Signer,
    settings: Settings,
) -> None:
    """Go on where the memory ends; on another stream only if a person ordered it."""
    name = settings.nats.stream
    try:
        await continuity.resume(client, reader, name, signer.tail)
    except StreamChanged:
        await signer.cross(connected)
        adopted = await adoption_judge.find(client, settings, signer.head)
        if adopted is None:
            raise
        signer.extend(adopted)
        await continuity.resume(client, reader, name, signer.tail)


async def _signer(settings: Settings, connected: Connection, client: wire.WireClient) -> Signer:
    file = MemoryFile(settings.checkpoint_path)
    await key_rotation.store(file, connected)
    key = keyfiles.read_signer(settings.signing_key_path)
    published = keyfiles.read_public(settings.public_key_path)
    trusted = rotation.follow(published, settings.audit.origin, file.rotations())
    found = await stream.info(client, settings.nats.stream)
    origin = settings.audit.origin
    first_key = str(published[0])
    genesis = chain.first_entry(origin, first_key, settings.nats.stream, found.created_ns)
    memory = await signers.remember(file, connected, origin, trusted, genesis)
    signer = Signer(memory, file, key)
    await signer.restore(connected, trusted)
    return signer


class Loop:
    """One reader, one signer, and when to sign next."""

    def __init__(
        self,
        runtime: Runtime,
        connected: Connection,
        client: wire.WireClient,
        signer: Signer,
        reader: Reader,
    ) -> None:
        self._runtime = runtime
        self._settings = runtime.settings
        self._audit = runtime.settings.audit
        self._file = MemoryFile(runtime.settings.checkpoint_path)
        self._metrics = runtime.once(Metrics)
        self._connected = connected
        self._client = client
        self._signer = signer
        self._reader = reader
        self._signed_at = float("-inf")
        self._sealed_size = 0
        self._waiting: list[Delivery] = []

    async def turn(self) -> None:
        """Read what has arrived, recompute it, and sign when it is time."""
        ledger.require_connected(self._connected)
        await self._follow()
        signer, seconds = self._signer, monotonic_ns() / 1e9 - self._signed_at
        grown = signer.head.size > signer.signed.size
        wait = self._audit.checkpoint_seconds if grown else self._audit.idle_seconds
        if seconds < wait and not key_rotation.next_key_path(self._settings).exists():
            return
        before = signer.signed
        signed = await signer.sign(self._connected, now_ns())
        if signed is None:
            self._runtime.condition(
                "worker",
                ok=seconds < STALE_SECONDS,
                detail=f"recomputed {signer.head.size} entries, of which the log in Postgres does "
                f"not hold all yet; signed {signer.signed.size}",
            )
            return
        self._runtime.condition("worker", ok=True, detail=f"signed size {signed.size}")
        self._signed_at = monotonic_ns() / 1e9
        if await key_rotation.finish(self._settings, self._file, self._connected, signed.size):
            raise Retryable("the key of the log was rotated; starting over with the new one")
        proven = await signer.proof_since(self._connected, before)
        body = Consistency(before.size, tuple(proven), signed.note)
        await self._client.publish(SUBJECT, str(body).encode())
        self._metrics.signed(signed.size)

    async def _follow(self) -> None:
        """Recompute what has arrived, but never more than the sealed log holds.

        A signer that ran ahead of the sealer could not sign before the sealer had caught up.
        """
        if not self._waiting:
            seconds = self._audit.checkpoint_seconds
            self._waiting = await self._reader.read(wait_seconds=seconds)
        room = await self._room()
        if self._waiting and not room:
            await self._runtime.pause(AHEAD_SECONDS)
        gap_is_real = False
        while self._waiting and room > 0:
            deliveries = self._waiting[:room]
            try:
                taken = self._signer.follow(deliveries, gap_is_real=gap_is_real)
            except Jump:
                expected = self._signer.head.stream_sequence + 1
                gap_is_real = await self._reader.is_gap(expected, deliveries)
                if gap_is_real:
                    continue
                self._waiting = []
                await self._reader.rewind(expected)
                return
            await self._reader.ack(deliveries[taken - 1])
            self._waiting, gap_is_real, room = self._waiting[taken:], False, room - taken

    async def _room(self) -> int:
        """Return how many entries of the sealed log are not recomputed yet."""
        if self._signer.head.size >= self._sealed_size:
            head = await ledger.head(self._connected, self._audit.origin)
            self._sealed_size = head.size if head else 0
        return max(0, self._sealed_size - self._signer.head.size)


class Metrics:
    """What the signer tells Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._count = Counter("audit_checkpoints", "Checkpoints signed", registry=registry)
        self._size = Gauge("audit_checkpoint_size", "Size that is signed", registry=registry)
        self._time = Gauge(
            "audit_checkpoint_timestamp_seconds", "When it was signed", registry=registry
        )

    def signed(self, size: int) -> None:
        """Record one signature."""
        self._count.inc()
        self._size.set(size)
        self._time.set(now_ns() / 1e9)
