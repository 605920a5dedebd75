"""Files of recorded events, plain or gzipped, and how far each has been replayed.

The state of a replay is a small file named for the SHA-256 of the recording, so a recording that
was renamed goes on where it stopped and one that was changed begins anew.
"""

import asyncio
import gzip
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from io import BufferedReader
from pathlib import Path

import msgspec
from msgspec import Struct

from operations import recordings
from operations.adapters.credentials import private_folder, write_private
from operations.adapters.publisher import LEAVE_SECONDS, Acknowledgement, Publisher
from operations.clock import NANOSECONDS, monotonic_ns
from operations.errors import Denied, OperationsError, Rejected
from operations.events.base import Environment
from operations.recordings import Reader, Recorded

MAX_LINE_BYTES = 1024 * 1024
SAVE_NS = NANOSECONDS
GZIP = b"\x1f\x8b"


class Recording(Struct, frozen=True):
    """A file of recorded events: its SHA-256 in hex and how many lines it has."""

    path: Path
    digest: str
    lines: int


class Replay(Struct):
    """How far a recording has been replayed: every line up to `line` is acknowledged or skipped."""

    file: str
    line: int = 0
    events: int = 0
    duplicates: int = 0
    skipped: int = 0
    first_sequence: int = 0
    last_sequence: int = 0
    finished: bool = False


def open_recording(path: Path) -> Recording:
    """Read a file once to know it. Raises Rejected when it cannot be read."""
    digest = sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise Rejected(f"cannot read {path}: {error}") from error
    return Recording(path, digest.hexdigest(), sum(1 for _ in lines(path)))


def lines(path: Path) -> Iterator[bytes]:
    """Return the lines of a file. Raises Rejected, with the line, for damage and endless lines."""
    number = 0
    try:
        with _open(path) as stream:
            while line := stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise Rejected(
                        f"line {number} of {path} has more than {MAX_LINE_BYTES} bytes; "
                        "a recording has one event a line"
                    )
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise Rejected(f"{path} cannot be read after line {number}: {error}") from error


@contextmanager
def _open(path: Path) -> Iterator[BufferedReader]:
    with path.open("rb") as stream:
        zipped = stream.read(2) == GZIP
        stream.seek(0)
        if zipped:
            with gzip.GzipFile(fileobj=stream) as unzipped:
                yield BufferedReader(unzipped)
        else:
            yield stream


def state_file(folder: Path, recording: Recording) -> Path:
    """Where the state of a replay is kept."""
    return folder / f"{recording.digest}.json"


def load_state(folder: Path, recording: Recording) -> Replay:
    """Return how far a recording was replayed; a new state where nothing is known."""
    file = state_file(folder, recording)
    try:
        return msgspec.json.decode(file.read_bytes(), type=Replay)
    except FileNotFoundError:
        return Replay(str(recording.path))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(f"cannot read {file}: {error}; remove it to begin anew") from error


def save_state(folder: Path, recording: Recording, state: Replay) -> None:
    """Write how far a recording was replayed, in one step."""
    private_folder(folder)
    write_private(state_file(folder, recording), msgspec.json.encode(state).decode() + "\n")


class Replayer:
    """Publishes a recording in order from where its state says, and keeps the state."""

    def __init__(
        self,
        recording: Recording,
        publisher: Publisher,
        state: Replay,
        folder: Path,
        *,
        speed: float = 0,
        skip_invalid: bool = False,
        environment: Environment = "drill",
        currency: str = "",
        on_progress: Callable[[Replay], None] = lambda _: None,
    ) -> None:
        """`speed` 1 keeps the recorded times, N runs N times as fast, 0 as fast as it goes."""
        self._recording, self._publisher = recording, publisher
        self._state, self._folder = state, folder
        self._speed, self._skip_invalid = speed, skip_invalid
        self._environment, self._currency = environment, currency
        self._on_progress = on_progress
        self._sent: deque[tuple[int, asyncio.Future[Acknowledgement] | None]] = deque()
        self._saved_ns = 0
        self._start: tuple[int, int] | None = None

    async def run(self) -> Replay:
        """Publish every line that is left and return the final state.

        Raises Rejected with the number of a line that cannot be published, unless invalid lines
        are skipped, and Denied when the user may not publish it. However it ends, the state holds
        what was acknowledged, so nothing is lost and running it again goes on from there.
        """
        try:
            await self._publish()
            with suppress(Denied, Rejected):  # the line that was refused is named below
                await self._publisher.flush()
            self._collect()
            self._state.finished = True
        except BaseException:
            with suppress(OperationsError):
                await self._publisher.flush(LEAVE_SECONDS)
            raise
        finally:
            self._collect(final=True)
            save_state(self._folder, self._recording, self._state)
        return self._state

    async def _publish(self) -> None:
        reader: Reader | None = None
        for number, line in enumerate(lines(self._recording.path), 1):
            if reader is None:
                reader = recordings.reader(
                    line, environment=self._environment, currency=self._currency
                )
            try:
                found = reader.read(line)
                if number <= self._state.line:  # read all the same: rows refer to earlier rows
                    continue
                sent = await self._send(found) if found else None
            except Rejected as error:
                if number <= self._state.line:
                    continue
                if not self._skip_invalid:
                    raise Rejected(
                        f"line {number} of {self._recording.path}: {error}; correct it, or go on "
                        "with --resume --skip-invalid"
                    ) from error
                self._state.skipped += 1
                sent = None
            self._sent.append((number, sent))
            self._collect()

    async def _send(self, found: Recorded) -> asyncio.Future[Acknowledgement]:
        if self._speed and found.timestamp_ns:
            await self._until_due(found.timestamp_ns)
        return await self._publisher.publish_bytes(
            found.subject, found.payload, found.event_id, wait=True
        )

    async def _until_due(self, timestamp_ns: int) -> None:
        now_ns = monotonic_ns()
        if self._start is None:
            self._start = timestamp_ns, now_ns
        recorded, started = self._start
        due_ns = started + int((timestamp_ns - recorded) / self._speed)
        if due_ns > now_ns:
            await asyncio.sleep((due_ns - now_ns) / NANOSECONDS)
            self._collect()

    def _collect(self, *, final: bool = False) -> None:
        """Count what was acknowledged since; raise what was refused, unless this is the end."""
        state = self._state
        while self._sent:
            number, sent = self._sent[0]
            if sent is not None:
                if not sent.done() or (final and (sent.cancelled() or sent.exception())):
                    break
                try:
                    self._count(sent.result())
                except (Denied, Rejected) as error:
                    place = f"line {number} of {self._recording.path}"
                    raise type(error)(f"{place}: {error}") from error
            state.line = number
            self._sent.popleft()
        now_ns = monotonic_ns()
        if now_ns - self._saved_ns > SAVE_NS or final:
            self._saved_ns = now_ns
            save_state(self._folder, self._recording, state)
            self._on_progress(state)

    def _count(self, done: Acknowledgement) -> None:
        state = self._state
        state.events += 1
        state.duplicates += done.duplicate
        state.first_sequence = state.first_sequence or done.sequence
        state.last_sequence = done.sequence
