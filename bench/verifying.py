"""How fast is a whole log verified, and does memory stay flat from 1 M to 10 M entries?

The log is written by the sealer's and the signer's own code, without a bus. Verification runs in
a process of its own, on all cores, chain and tree; its memory counts its children. What bounds it
is measured in the same run: the rows coming out of Postgres with nothing done to them, and the
three hashes of an entry with nothing around them.
"""

import asyncio
import os
import subprocess
import sys
import threading
import time
from hashlib import sha256

import asyncpg
import psutil
from rig import Row, now
from sealing import deliveries

from operations.adapters import credentials, keyfiles, ledger
from operations.adapters.auditor import Auditor
from operations.adapters.signer import Signer, remember
from operations.adapters.signer_memory import MemoryFile
from operations.audit import chain, rotation
from operations.clock import now_ns
from operations.config import Postgres, Settings

SMALL = 1_000_000
LARGE = 10_000_000
BATCH = 8000
SAMPLE = 200_000
ENTRY_BYTES = 484


async def grow(state: dict, size: int) -> None:
    """Append entries up to a size, and sign it."""
    messages = state["messages"]
    while state["head"].size < size:
        head = state["head"]
        count = min(BATCH, size - head.size)
        first = head.stream_sequence + 1
        batch = [
            (subject, b"$JS.ACK.MTS.audit.1.%d.%d.1795000000123456789.1" % (n, n), headers, data)
            for n, (subject, _, headers, data) in enumerate(messages[:count], first)
        ]
        sealed = chain.seal(head, batch)
        await state["log"].append(head, sealed)
        state["signer"].extend(sealed)
        state["head"] = sealed.head
    await state["signer"].sign(state["writer"], now_ns())


async def begin(settings: Settings) -> dict:
    """Create the log."""
    key = keyfiles.read_signer(settings.signing_key_path)
    origin = settings.audit.origin
    genesis = chain.first_entry(origin, str(key.verifier), "MTS", 1)
    sealer = await asyncpg.connect(credentials.role_dsn(settings, "mts_sealer"))
    writer = await asyncpg.connect(credentials.role_dsn(settings, "mts_signer"))
    log = ledger.SealerLedger(sealer, origin)
    await log.create(genesis)
    trusted = rotation.follow([key.verifier], origin, [])
    file = MemoryFile(settings.checkpoint_path)
    signer = Signer(await remember(file, writer, origin, trusted, genesis), file, key)
    return {
        "log": log,
        "writer": writer,
        "signer": signer,
        "head": genesis.head,
        "messages": deliveries(BATCH),
    }


async def verify(dsn: str, key_file: str, origin: str) -> None:
    """Verify once and print entries per second."""
    from pathlib import Path  # noqa: PLC0415 (the child process only)

    began = now()
    auditor = Auditor(Postgres(dsn=dsn), origin, keyfiles.read_public(Path(key_file)))
    report = await auditor.verify(now_ns())
    if report.findings or report.obstacle:
        raise RuntimeError(str(report))
    print(report.entries / (now() - began))


def in_a_process(settings: Settings) -> tuple[float, float]:
    """Return entries/s and the peak of memory in MB of a verification, children included."""
    dsn = credentials.local_dsn(settings, "mts_reader")
    arguments = [dsn, str(settings.public_key_path), settings.audit.origin]
    process = subprocess.Popen(
        [sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True
    )
    peak = [0.0]
    watcher = threading.Thread(target=_watch, args=(process, peak))
    watcher.start()
    output, _ = process.communicate()
    watcher.join()
    return float(output), peak[0]


def _watch(process: subprocess.Popen, peak: list[float]) -> None:
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            family = [watched, *watched.children(recursive=True)]
            peak[0] = max(peak[0], sum(one.memory_info().rss for one in family) / 1e6)
        except psutil.Error:
            pass
        time.sleep(0.05)


async def copy_rate(settings: Settings) -> float:
    """Return rows/s of a bare COPY on one connection, read once before it counts."""
    connected = await asyncpg.connect(credentials.local_dsn(settings, "mts_reader"))
    query = f"SELECT sequence, entry, hash FROM audit.entry WHERE sequence < {SAMPLE}"

    async def drop(_chunk: bytes) -> None:
        pass

    try:
        for _ in range(2):
            began = now()
            await connected.copy_from_query(query, output=drop, format="binary")
        return SAMPLE / (now() - began)
    finally:
        await connected.close()


def hash_rate(entry_bytes: int) -> float:
    """Return entries/s of chain hash, leaf hash and node hash alone, on one core."""
    data, linked = os.urandom(entry_bytes), bytes(32)
    began = now()
    for _ in range(SAMPLE):
        chained = sha256(linked)
        chained.update(data)
        linked = chained.digest()
        leaf = sha256(b"\0" + linked).digest()
        sha256(b"\1" + leaf + linked).digest()
    return SAMPLE / (now() - began)


async def measure(settings: Settings) -> list[Row]:
    """Return the table rows."""
    state = await begin(settings)
    await grow(state, SMALL)
    in_a_process(settings)  # the first reading of new rows writes to them, see decision 12
    small = sorted(in_a_process(settings) for _ in range(3))[1]
    copied, hashed = await copy_rate(settings), hash_rate(ENTRY_BYTES)
    bound = len(os.sched_getaffinity(0)) / (1 / copied + 1 / hashed)
    await grow(state, LARGE)
    first = in_a_process(settings)
    large = in_a_process(settings)
    ratio = large[1] / small[1]
    return [
        Row("bare COPY of the rows, one connection", copied, "entries/s"),
        Row("bare: three SHA-256 an entry, one core", hashed, "entries/s"),
        Row("bound of verify: cores / (1/COPY + 1/hashes)", bound, "entries/s"),
        Row("verify, 1 M entries, over this bound", small[0] / bound, "ratio"),
        Row("verify, 10 M entries, first reading after writing", first[0], "entries/s"),
        Row("verify, chain and tree, 1 M entries", small[0], "entries/s", ">= 1,000,000",
            small[0] >= 1e6, BOUND),
        Row("verify, chain and tree, 10 M entries", large[0], "entries/s", ">= 1,000,000",
            large[0] >= 1e6, BOUND),
        Row("verify, peak memory at 1 M entries", small[1], "MB"),
        Row("verify, peak memory at 10 M over 1 M", ratio, "ratio", "<= 1.2", ratio <= 1.2),
    ]  # fmt: skip


BOUND = "three SHA-256 calls an entry from Python, and Postgres sending rows on the same cores"

if __name__ == "__main__":
    asyncio.run(verify(*sys.argv[1:]))
