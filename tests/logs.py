"""Makes real logs in Postgres with the sealer's and the signer's own code."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from support import Database

from operations.adapters import ledger, read_model
from operations.adapters.ledger import SealerLedger
from operations.adapters.signer import Signer, remember
from operations.adapters.signer_memory import MemoryFile
from operations.audit import chain, note, rotation
from operations.audit.chain import Delivery
from operations.audit.note import SignerKey
from operations.config import Postgres

ORIGIN = "mts.local/audit"
NOW_NS = 1_795_000_000_000_000_000
CREATED_NS = NOW_NS - 10**12


class Log(NamedTuple):
    """A log in a database, and who signed it."""

    database: Database
    settings: Postgres
    key: SignerKey
    signed_size: int
    size: int
    sizes: tuple[int, ...]
    gaps: tuple[int, ...]
    signer: Signer


def deliveries(first: int, count: int) -> list[Delivery]:
    """Messages of the stream from a sequence on, all different."""
    return [
        (
            b"mts.v1.trading.order.submitted",
            b"$JS.ACK.MTS.audit.1.%d.%d.%d.0" % (n, n, NOW_NS - 10**9),
            b"",
            b'{"actor":"oms-1","subject_id":"ord-%d","data":{"quantity":"%d"}}' % (n % 50, n),
        )
        for n in range(first, first + count)
    ]


async def make_log(
    database: Database,
    sizes: tuple[int, ...],
    unsigned: int,
    folder: Path | None = None,
    *,
    lost: int = 0,
    projected: bool = False,
) -> Log:
    """Seal a log and sign it at each of the sizes; `unsigned` more entries follow.

    With `lost`, so many messages are missing in the stream before each part, so that each part
    begins with a gap entry. With `projected`, the read model is filled too.
    """
    async with writing(database, folder) as writer:
        for size in dict.fromkeys((*sizes, sizes[-1] + unsigned)):
            count = size - writer.head.size - bool(lost)
            if count > 0:
                await writer.seal(count, lost, followed=size in sizes)
            if size in sizes:
                await writer.sign()
    if projected:
        await project_all(database)
    return writer.log(sizes)


class Writer:
    """One sealer and one signer, on one stream that is made up."""

    def __init__(
        self, database: Database, key: SignerKey, ledger_: SealerLedger, signer: Signer
    ) -> None:
        self.head = signer.head
        self.signer = signer
        self._database = database
        self._key = key
        self._ledger = ledger_
        self._gaps: list[int] = []

    async def seal(self, count: int, lost: int = 0, *, followed: bool = True) -> None:
        """Seal so many messages, after so many that were lost; the signer hears of them too."""
        messages = deliveries(self.head.stream_sequence + 1 + lost, count)
        self._gaps += [self.head.size] if lost else []
        sealed = chain.seal(self.head, messages, gap_is_real=bool(lost))
        await self._ledger.append(self.head, sealed)
        self.head = sealed.head
        if followed:
            self.signer.follow(messages, gap_is_real=bool(lost))

    async def sign(self, now_ns: int = 0) -> None:
        """Sign the log as the signer knows it; by default a moment before NOW_NS."""
        signing = await self._database.connect("mts_signer")
        try:
            assert await self.signer.sign(signing, now_ns or NOW_NS - 1)
        finally:
            await signing.close()

    def log(self, sizes: tuple[int, ...] = ()) -> Log:
        """The log as it is now."""
        reading = Postgres(dsn=self._database.dsn("mts_reader"))
        signed = self.signer.signed.size
        return Log(
            self._database,
            reading,
            self._key,
            signed,
            self.head.size,
            sizes or (signed,),
            tuple(self._gaps),
            self.signer,
        )


@asynccontextmanager
async def writing(database: Database, folder: Path | None = None) -> AsyncIterator[Writer]:
    """Begin a log with its genesis entry."""
    key = note.generate_key(ORIGIN)
    async with ledger.connection(Postgres(dsn=database.dsn("mts_sealer")), "test") as connected:
        log = SealerLedger(connected, ORIGIN)
        await log.take_over()
        genesis = chain.first_entry(ORIGIN, str(key.verifier), "MTS", CREATED_NS)
        await log.create(genesis)
        file = MemoryFile(folder or Path(database.settings.home, f"signer-{database.name}"))
        trusted = rotation.follow([key.verifier], ORIGIN, [])
        signing = await database.connect("mts_signer")
        memory = await remember(file, signing, ORIGIN, trusted, genesis)
        await signing.close()
        yield Writer(database, key, log, Signer(memory, file, key))


async def project_all(database: Database) -> None:
    """Fill the read model as its worker does."""
    connected = await database.connect("mts_projector")
    while await read_model.advance(connected, 1000):
        pass
    await connected.close()
