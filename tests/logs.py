"""Makes real logs in Postgres with the sealer's and the signer's own code."""

from pathlib import Path
from typing import NamedTuple

import asyncpg
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
    key = note.generate_key(ORIGIN)
    settings = Postgres(dsn=database.dsn("mts_sealer"))
    async with ledger.connection(settings, "test") as connected:
        log = SealerLedger(connected, ORIGIN)
        await log.take_over()
        genesis = chain.first_entry(ORIGIN, str(key.verifier), "MTS", CREATED_NS)
        await log.create(genesis)
        head = genesis.head
        file = MemoryFile(folder or Path(database.settings.home, f"signer-{database.name}"))
        trusted = rotation.follow([key.verifier], ORIGIN, [])
        writer = await asyncpg.connect(database.dsn("mts_signer"))
        signer = Signer(await remember(file, writer, ORIGIN, trusted, genesis), file, key)
        gaps = []
        for size in dict.fromkeys((*sizes, sizes[-1] + unsigned)):
            count = size - head.size - bool(lost)
            if count > 0:
                messages = deliveries(head.stream_sequence + 1 + lost, count)
                gaps += [head.size] if lost else []
                sealed = chain.seal(head, messages, gap_is_real=bool(lost))
                await log.append(head, sealed)
                head = sealed.head
                if size in sizes:
                    signer.follow(messages, gap_is_real=bool(lost))
            if size in sizes:
                assert await signer.sign(writer, NOW_NS - 1)
        await writer.close()
    if projected:
        await project_all(database)
    reading = Postgres(dsn=database.dsn("mts_reader"))
    return Log(database, reading, key, sizes[-1], head.size, sizes, tuple(gaps), signer)


async def project_all(database: Database) -> None:
    """Fill the read model as its worker does."""
    connected = await database.connect("mts_projector")
    while await read_model.advance(connected, 1000):
        pass
    await connected.close()
