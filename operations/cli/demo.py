"""Show everything once: a fleet, a day, its proof, a runaway that is halted, and tampering.

What runs is what people run: the commands are those of the manual, on a fleet of their own in a
temporary folder on free ports. Tampering is done to copies of the log; the folder goes away at
the end, whatever happened.
"""

import asyncio
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT, SIGTERM
from types import FrameType
from typing import NamedTuple, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from operations import config
from operations.adapters import credentials, keyfiles, log_copies
from operations.adapters.ports import free_port, free_ports
from operations.adapters.publisher import Publisher
from operations.cli.demo_floor import Floor
from operations.cli.output import reader_is_gone
from operations.cli.replay import USER, access
from operations.clock import NANOSECONDS, monotonic_ns
from operations.config import Nats, Postgres, Settings
from operations.errors import Corrupted, Retryable
from operations.process_settings import Http
from operations.service import AuditLog, Status
from operations.simulation.simulator import simulate

EVENTS = 20_000
MOST_PARTS = 24  # the supervisor, every worker and three order systems have a port each
FLOOR_PORT = 20  # after the ports of the workers
CATCH_UP_SECONDS = 300
POLL_SECONDS = 0.1
STOP_SECONDS = 30
SHOWN_EVERY = 200
HALTS = 2  # that are done and have to be documented
STORY_ACTION = "trading.order.filled"
WIDTH = "110"


class Published(NamedTuple):
    """What was published: the last stream sequence, and the order with the longest story."""

    stream_sequence: int
    order_id: str


def demo(*, events: int = EVENTS, seed: int = 7) -> int:
    """Run a simulated trading day through a fleet of its own; verify, halt and tamper.

    Nothing of an existing fleet is touched. Exit code 0 when every step did what it says, 1 when
    one did not.

    Example: mts demo --events 5000

    Parameters
    ----------
    events
        How many events of the simulated day to publish, at least 1000; a whole day has about
        119,000.
    seed
        Another seed gives another day.
    """
    if events < 1000:
        print("the demo needs at least 1000 events, so that an order has a story", file=sys.stderr)
        return 1
    home = _make_home()
    demonstration = Demonstration(_settings(home))
    began_ns = monotonic_ns()
    with _interrupted_at_once():
        try:
            demonstration.run(events, seed)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        except BrokenPipeError:
            return 0
        finally:
            reader_is_gone()  # then nothing that is printed keeps the fleet from being stopped
            with _step("11  Stop the fleet and remove its folder"):
                demonstration.stop()
                shutil.rmtree(home)
    print(f"\nEvery step did what it says, in {_since(began_ns)}.")
    return 0


def _make_home() -> Path:
    """Make a folder that the system user of Postgres reaches when root runs this."""
    home = Path(tempfile.mkdtemp(prefix="mts-demo-", dir="/var/tmp"))
    home.chmod(0o755)
    return home


def _settings(home: Path) -> Settings:
    return Settings(
        home=str(home),
        nats=Nats(port=free_port(), monitor_port=free_port()),
        postgres=Postgres(port=free_port()),
        http=Http(port=free_ports(MOST_PARTS)),
    )


@contextmanager
def _interrupted_at_once() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the demo wherever it is, so that nothing stays behind.

    asyncio would only cancel what runs, and a library may pass over that.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (SIGINT, SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _step(title: str) -> Iterator[None]:
    """Print what is done, and how long it took once it is done."""
    print(f"\n{title}", flush=True)
    began_ns = monotonic_ns()
    yield
    print(f"  done in {_since(began_ns)}", flush=True)


def _since(began_ns: int) -> str:
    return f"{(monotonic_ns() - began_ns) / NANOSECONDS:.1f} s"


class Demonstration:
    """The steps, on one fleet."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._environment = config.subprocess_environment(
            {
                "MTS_HOME": settings.home,
                "MTS_NATS_PORT": str(settings.nats.port),
                "MTS_NATS_MONITOR_PORT": str(settings.nats.monitor_port),
                "MTS_POSTGRES_PORT": str(settings.postgres.port),
                "MTS_HTTP_PORT": str(settings.http.port),
            }
        ) | {"COLUMNS": WIDTH}
        self._floor = Floor(settings, settings.http.port + FLOOR_PORT, self._mts)

    def run(self, events: int, seed: int) -> None:
        """Do every step; raises when one does not do what it says."""
        with _step(f"1  Start a fleet in {self._settings.home}"):
            self._mts("start")
        with _step(f"2  Publish {events:,} events of a simulated trading day, seed {seed}"):
            published = asyncio.run(self._publish(events, seed))
        with _step("3  Wait until log, checkpoint and read model have them"):
            status = asyncio.run(self._caught_up(published))
            print(
                f"  {status.size:,} entries in the log, {status.signed_size:,} signed, "
                f"{status.projected:,} in the read model"
            )
        with _step("4  Verify the log with nothing but its public key"):
            self._mts("audit", "verify", "--projection")
        with _step("5  Show one order's story"):
            self._mts("audit", "show", "--order", published.order_id, "--limit", "20")
        self._floor.show(_step)
        with _step("9  Verify the chain of evidence: what led to the halts, entry by entry"):
            self._evidence(published)
        with _step("10  Copy the log; as superuser, with its triggers off, tamper with the copies"):
            at = asyncio.run(self._copy(published.order_id))
        for number, tamper in enumerate(log_copies.TAMPERINGS, 1):
            with _step(f"10.{number}  {tamper.__doc__}"):
                self._tamper(f"mts_copy_{number}", tamper, at)

    def _evidence(self, published: Published) -> None:
        """Show that each halt names the entries that led to it, and that these are in the log."""
        records = asyncio.run(self._floor.documented(HALTS))
        last = asyncio.run(self._floor.last_sequence())
        asyncio.run(self._caught_up(published._replace(stream_sequence=last)))
        for record in records:
            print(f"  halt {record.halt_id}, as its documentation names what led to it:")
            for named in zip(record.log_sequences, record.entry_hashes, strict=True):
                asyncio.run(self._entry(*named))
        self._mts("audit", "verify", "--projection")

    async def _entry(self, sequence: int, entry_hash: str) -> None:
        """Show that an entry is in the log with the hash that is documented."""
        found = await self._log().entry(sequence)
        if found.entry is None or not found.is_linked or found.hash.hex() != entry_hash:
            raise Corrupted(f"entry {sequence} is not the one that the halt names")
        action, actor = found.entry.action.decode(), found.entry.actor.decode()
        print(f"  entry {sequence}  {action:<27} by {actor:<10} {entry_hash}")

    def _mts(self, *arguments: str, code: int = 0, dsn: str = "") -> str:
        """Run a command as a person would; its output, indented, is the output of the step."""
        shown = shlex.join(("mts", *arguments))
        print(f"  $ {shown}", flush=True)
        run = "import sys; from operations.cli.app import main; sys.exit(main())"
        result = subprocess.run(
            [sys.executable, "-P", "-c", run, *arguments],
            env=self._environment | ({"MTS_POSTGRES_DSN": dsn} if dsn else {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        for line in result.stdout.splitlines():
            print(f"  {line}".rstrip()[:width])
        if result.returncode != code:
            raise Corrupted(f"`{shown}` ended with exit code {result.returncode}, not {code}")
        if code:
            print(f"  exit code {code}")
        return result.stdout

    async def _publish(self, events: int, seed: int) -> Published:
        stories: Counter[str] = Counter()
        filled: set[str] = set()
        began_ns = monotonic_ns()
        with _bar() as bar:
            task = bar.add_task("  publishing", total=events)
            async with Publisher(access(self._settings), actor=USER) as publisher:
                for number, event in enumerate(simulate(seed, events=events), 1):
                    done = await publisher.publish(event, wait=True)
                    if event.order_id:
                        stories[event.order_id] += 1
                    if event.order_id and event.subject.endswith(STORY_ACTION):
                        filled.add(event.order_id)
                    if number % SHOWN_EVERY == 0:
                        bar.update(task, completed=number - publisher.waiting)
                await publisher.flush()
                last = (await done).sequence
        seconds = (monotonic_ns() - began_ns) / NANOSECONDS
        print(f"  acknowledged up to stream sequence {last}, {events / seconds:,.0f} events/s")
        if not filled:
            raise Retryable("no order was filled among these events; publish more with --events")
        return Published(last, max(sorted(filled), key=lambda order: stories[order]))

    async def _caught_up(self, published: Published) -> Status:
        log = self._log()
        deadline_ns = monotonic_ns() + CATCH_UP_SECONDS * NANOSECONDS
        while monotonic_ns() < deadline_ns:
            status = await log.status(None)
            there = status.stream_sequence >= published.stream_sequence
            if there and status.signed_size == status.projected == status.size:
                return status
            await asyncio.sleep(POLL_SECONDS)
        raise Retryable(f"after {CATCH_UP_SECONDS} s the fleet is not there yet: {status}")

    def _log(self) -> AuditLog:
        reader = Postgres(dsn=credentials.role_dsn(self._settings, credentials.READER))
        keys = keyfiles.read_public(self._settings.public_key_path)
        return AuditLog(reader, keys[0].name, keys)

    async def _copy(self, order_id: str) -> int:
        """Copy the log; return the sequence of the order's submission."""
        found = [each async for each in self._log().matching({"order": order_id}, 1)]
        await log_copies.copy_log(self._settings)
        return found[0].sequence

    def _tamper(self, name: str, tamper: log_copies.Tamper, at: int) -> None:
        change = asyncio.run(log_copies.tampered(self._settings, name, tamper, at))
        print(f"  {change.done}")
        reader = credentials.role_dsn(self._settings, credentials.READER)
        dsn = reader.rpartition("/")[0] + f"/{name}"
        said = self._mts("audit", "verify", dsn=dsn, code=1)
        expected = f"{change.tampering} at sequence {change.sequence}:"
        if expected not in said:
            raise Corrupted(f"the verifier did not say {expected!r}")

    def stop(self) -> None:
        """Stop whatever runs."""
        self._floor.stop()
        self._mts("stop", "--seconds", str(STOP_SECONDS))


def _bar() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
