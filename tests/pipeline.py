"""What tests of the pipeline share: one log with its stream, its database and its workers.

`read_log` and `tree_root` share no code with the product: they follow the written format alone.
"""

import asyncio
import importlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Self

import msgspec
from support import PATIENCE_SECONDS, Database, NatsHandle, eventually

from operations.adapters import accounts, credentials, provision
from operations.adapters.ledger import head
from operations.adapters.ports import free_port
from operations.config import Audit, Nats, Postgres, Settings
from operations.process_settings import Http
from workers import runtime

ROOT = Path(__file__).resolve().parents[1]
ORIGIN = "mts.local/audit"

# Subject, header block (empty if none), payload.
Message = tuple[bytes, bytes, bytes]


def orders(count: int, first: int = 0) -> list[Message]:
    """Make ordinary events; some carry a header block."""
    return [
        (
            b"mts.v1.trading.order.submitted",
            b"NATS/1.0\r\nTraceparent: %d\r\n\r\n" % number if number % 3 else b"",
            b'{"actor":"oms-1","subject_id":"ord-%d","data":{"quantity":"%d"}}' % (number, number),
        )
        for number in range(first, first + count)
    ]


class Entry(NamedTuple):
    """One row of the log as an outsider reads it."""

    stream_sequence: int
    timestamp_ns: int
    subject: bytes
    actor: bytes
    action: bytes
    subject_id: bytes
    headers: bytes
    data: bytes
    hash: bytes

    @property
    def message(self) -> Message:
        return self.subject, self.headers, self.data


def unpack(raw: bytes, linked: bytes, sequence: int) -> Entry:
    """Take canonical bytes apart by the written format."""
    magic = b"mts-audit/entry/v1\n"
    assert raw.startswith(magic)
    numbers, rest = raw[len(magic) : len(magic) + 24], raw[len(magic) + 24 :]
    assert int.from_bytes(numbers[:8]) == sequence
    fields = []
    while rest:
        end = 4 + int.from_bytes(rest[:4])
        fields.append(rest[4:end])
        rest = rest[end:]
    time_ns = int.from_bytes(numbers[16:], signed=True)
    return Entry(int.from_bytes(numbers[8:16]), time_ns, *fields, hash=linked)


async def read_log(database: Database, origin: str = ORIGIN) -> list[Entry]:
    """Read the whole log as superuser; sequences, chain and head must be right."""
    connection = await database.connect()
    try:
        rows = await connection.fetch("SELECT * FROM audit.entry ORDER BY sequence")
        top = await head(connection, origin)
    finally:
        await connection.close()
    previous = sha256(b"mts-audit/genesis/v1\n" + origin.encode()).digest()
    made = []
    for number, row in enumerate(rows):
        assert row["sequence"] == number
        previous = sha256(previous + row["entry"]).digest()
        assert row["hash"] == previous, f"entry {number} does not follow the one before"
        made.append(unpack(row["entry"], previous, number))
    assert (top.size, top.hash) == (len(rows), previous) if top else not rows
    assert not made or top.stream_sequence == made[-1].stream_sequence
    return made


def tree_root(entries: Sequence[Entry]) -> bytes:
    """Hash a tree as RFC 9162 defines it."""
    leaves = [sha256(b"\0" + entry.hash).digest() for entry in entries]

    def tree(part: list[bytes]) -> bytes:
        if len(part) == 1:
            return part[0]
        split = 1 << (len(part) - 1).bit_length() - 1
        return sha256(b"\1" + tree(part[:split]) + tree(part[split:])).digest()

    return tree(leaves)


async def messages_in(database: Database) -> list[Message]:
    """Return what the log holds of the stream, once each and in order, gaps left out."""
    entries = [each for each in await read_log(database) if each.subject.startswith(b"mts.v1.")]
    places = [each.stream_sequence for each in entries]
    assert places == sorted(set(places))
    return [each.message for each in entries]


class Site:
    """One log: a NATS server, a database, and a folder with its keys and the signer's memory."""

    def __init__(self, nats: NatsHandle, database: Database, folder: Path) -> None:
        self.nats, self.database, self.folder = nats, database, folder
        provision.ensure_keys(Settings(home=str(folder)))

    def settings(self, worker: str) -> Settings:
        """Return the settings of a worker with its own credentials."""
        role = credentials.WORKER_ROLES[worker]
        return Settings(
            home=str(self.folder),
            nats=Nats(
                url=self.nats.url,
                user=worker,
                password=self.nats.password(worker),
                inbox=accounts.inbox(worker),
            ),
            postgres=Postgres(
                dsn=self.database.dsn(role) if role else "", database=self.database.name
            ),
            audit=Audit(origin=ORIGIN, checkpoint_seconds=0.05),
            http=Http(port=free_port()),
        )

    @asynccontextmanager
    async def working(self, *names: str, **options: object) -> AsyncIterator[list[runtime.Runtime]]:
        """Run workers in this loop under the runtime's own rules."""
        running, tasks = [], []
        for name in names:
            worker = runtime.Runtime(name, self.settings(name))
            run = partial(importlib.import_module(f"workers.{name}").run, **options)
            tasks.append(asyncio.create_task(runtime._run_until_stopped(worker, run)))
            running.append(worker)
        try:
            yield running
        finally:
            for worker in running:
                worker.stopping.set()
            await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_SECONDS)

    async def position(self) -> int:
        """Return the stream sequence up to which the log is sealed; -1 without a log."""
        connection = await self.database.connect()
        try:
            top = await head(connection, ORIGIN)
        finally:
            await connection.close()
        return top.stream_sequence if top else -1

    async def sealed_to(self, stream_sequence: int) -> None:
        """Wait until the log holds the stream up to a sequence."""

        async def there() -> bool:
            return await self.position() >= stream_sequence

        await eventually(there, f"sealing up to {stream_sequence}")

    async def seal_everything(self) -> list[Entry]:
        """Let a sealer finish what the stream holds; return the log."""
        async with self.working("audit"):
            await self.sealed_to((await stream_state(self.nats))["last_seq"])
        return await read_log(self.database)

    async def fetchval(self, query: str, *values: object) -> object:
        """Ask the database as superuser."""
        connection = await self.database.connect()
        try:
            return await connection.fetchval(query, *values)
        finally:
            await connection.close()


class SealerProcess:
    """A sealer as a process that stops itself (KILL or STOP) at a step, the n-th time."""

    def __init__(self, site: Site, step: str, count: int, how: str) -> None:
        program = ROOT / "tests" / "workers" / "crash_at.py"
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(program), step, str(count), how],
            env=_environment(site.settings("audit")),
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    async def died(self) -> None:
        """Wait until it has killed itself."""
        await eventually(lambda: self._process.poll() is not None, "the step is reached")
        assert self._process.returncode == -signal.SIGKILL

    async def paused(self) -> None:
        """Wait until it has paused itself."""
        stat = Path(f"/proc/{self._process.pid}/stat")
        await eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def _environment(settings: Settings) -> dict[str, str]:
    variables = {"MTS_HOME": settings.home}
    for section in ("nats", "postgres", "audit", "http"):
        for name, value in msgspec.structs.asdict(getattr(settings, section)).items():
            variables[f"MTS_{section}_{name}".upper()] = str(value)
    return variables


class RawPublisher:
    """A NATS client that sends whatever bytes it is given, as an attacker would."""

    def __init__(self, nats: NatsHandle, user: str = "publisher") -> None:
        self._nats, self._user = nats, user
        self.errors: list[bytes] = []

    async def __aenter__(self) -> Self:
        port = self._nats.settings.nats.port
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        login = {"user": self._user, "pass": self._nats.password(self._user), "headers": True}
        login |= {"verbose": False, "pedantic": False, "lang": "raw", "version": "1"}
        await self._reader.readline()
        self._writer.write(b"CONNECT " + msgspec.json.encode(login) + b"\r\n")
        await self.flush()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    def publish(self, subject: bytes, headers: bytes, data: bytes, reply: bytes = b"") -> None:
        words = [b"HPUB" if headers else b"PUB", subject, *filter(None, [reply])]
        if headers:
            words.append(b"%d" % len(headers))
        words.append(b"%d" % (len(headers) + len(data)))
        self._writer.write(b" ".join(words) + b"\r\n" + headers + data + b"\r\n")

    async def flush(self) -> None:
        """Wait until the server has read everything; collects what it complained about."""
        self._writer.write(b"PING\r\n")
        await self._writer.drain()
        while (
            line := await asyncio.wait_for(self._reader.readline(), PATIENCE_SECONDS)
        ) != b"PONG\r\n":
            assert line, f"the server closed the connection after {self.errors}"
            if line.startswith(b"-ERR"):
                self.errors.append(line)


async def stream_state(nats: NatsHandle) -> dict[str, int]:
    """Return what the server says about the stream."""
    client = await nats.connect()
    try:
        answer = await client.request("$JS.API.STREAM.INFO.MTS", timeout=30)
    finally:
        await client.close()
    state: dict[str, int] = msgspec.json.decode(answer.data)["state"]
    return state


async def fill(nats: NatsHandle, messages: Sequence[Message]) -> int:
    """Publish messages in order; return the stream's last sequence when all are stored."""
    before = (await stream_state(nats))["last_seq"]
    async with RawPublisher(nats) as publisher:
        for number, message in enumerate(messages):
            publisher.publish(*message)
            if number % 500 == 499:
                await publisher.flush()
        await publisher.flush()
        assert not publisher.errors

    async def stored() -> int:
        last = (await stream_state(nats))["last_seq"]
        return last if last >= before + len(messages) else 0

    return await eventually(stored, f"{len(messages)} messages are stored")


class Acknowledged:
    """Publishes events until each is acknowledged, through whatever happens to the server."""

    def __init__(self, nats: NatsHandle) -> None:
        self._nats = nats
        self.events: dict[int, bytes] = {}  # stream sequence: payload
        self._stopping = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._publish())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        await asyncio.wait_for(self._task, PATIENCE_SECONDS)

    async def more(self, count: int) -> None:
        """Wait until so many more events are acknowledged."""
        wanted = len(self.events) + count
        await eventually(lambda: len(self.events) >= wanted, f"{wanted} acknowledgements")

    async def _publish(self) -> None:
        number = 0
        while not self._stopping.is_set():
            try:
                client = await self._nats.connect("publisher", allow_reconnect=False)
            except Exception:  # noqa: BLE001 (the server may be gone in any way)
                await asyncio.sleep(0.05)
                continue
            try:
                while not self._stopping.is_set():
                    data = b'{"actor":"oms-1","subject_id":"ord-%d"}' % number
                    answer = await client.jetstream().publish(
                        "mts.v1.trading.order.submitted",
                        data,
                        timeout=1,
                        headers={"Nats-Msg-Id": f"event-{number}"},
                    )
                    self.events.setdefault(answer.seq, data)
                    number += 1
            except Exception:  # noqa: BLE001 (tried again until it is acknowledged)
                await asyncio.sleep(0.02)
            finally:
                await client.close()


async def assert_exactly_once(site: Site, events: dict[int, bytes]) -> None:
    """Every acknowledged event is in the log at its place, and the log is whole."""
    entries = [each for each in await read_log(site.database) if each.subject[:7] == b"mts.v1."]
    found = {each.stream_sequence: each.data for each in entries}
    assert len(found) == len(entries)
    assert [each.stream_sequence for each in entries] == sorted(found)
    assert found.items() >= events.items()
