"""Publish recorded events again: `mts replay FILE --speed 1|N|max`."""

import asyncio
import sys
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from operations import config
from operations.adapters import credentials, recordings
from operations.adapters.link import Access
from operations.adapters.publisher import Publisher
from operations.adapters.recordings import Recording, Replay, Replayer
from operations.clock import NANOSECONDS, monotonic_ns
from operations.config import Settings
from operations.errors import Rejected
from operations.events.base import Environment

USER = "publisher"
INTERRUPTED = 130  # what a shell expects after Ctrl-C


class _Options(NamedTuple):
    speed: float
    skip_invalid: bool
    environment: Environment
    currency: str


def replay(
    file: Path,
    /,
    *,
    speed: str = "max",
    resume: bool = False,
    skip_invalid: bool = False,
    environment: Environment = "drill",
    currency: str = "",
    output: Literal["table", "json"] = "table",
) -> int:
    """Publish the events of a recording in order.

    FILE is JSON Lines ({"subject": ..., "payload": {...}} a line; payload_base64 for what is not
    JSON) or CSV of order events, gzipped or not. The same file always gives the same event ids, so
    the stream drops what it already has, within its duplicate window. Credentials: MTS_NATS_URL,
    MTS_NATS_USER and MTS_NATS_PASSWORD, by default those of the fleet of this data folder.

    Exit code 0 when every line is in the stream, 1 when one cannot be, 130 after Ctrl-C.

    Example: mts replay orders.csv.gz --speed 10

    Parameters
    ----------
    file
        The recording.
    speed
        1 keeps the recorded times, N runs N times as fast, max as fast as the server takes them.
    resume
        Go on after the last line that was acknowledged in an earlier run.
    skip_invalid
        Count lines that are no events instead of stopping at the first.
    environment
        Environment that events made from CSV rows carry.
    currency
        Currency of the prices in CSV; by default the last three letters of a symbol of six.
    output
        How the result is printed.
    """
    options = _Options(_factor(speed), skip_invalid, environment, currency)
    settings = config.load()
    folder = settings.path("replays")
    recording = recordings.open_recording(file)
    state = recordings.load_state(folder, recording) if resume else Replay(str(file))
    if state.finished:
        print(f"{file} was replayed to its end; leave --resume out to replay it again")
        return 0
    started_ns, before = monotonic_ns(), state.events
    if not _run(settings, recording, state, options):
        return INTERRUPTED
    seconds = (monotonic_ns() - started_ns) / NANOSECONDS
    _print(recording, state, state.events - before, seconds, output)
    return 0


def _run(settings: Settings, recording: Recording, state: Replay, options: _Options) -> bool:
    """Publish what is left, with a bar; return False, and say how to go on, after Ctrl-C."""
    with _progress(recording) as progress:
        task = progress.add_task(recording.path.name, total=recording.lines, completed=state.line)

        async def publish() -> None:
            async with Publisher(access(settings), actor=USER) as publisher:
                await Replayer(
                    recording,
                    publisher,
                    state,
                    settings.path("replays"),
                    speed=options.speed,
                    skip_invalid=options.skip_invalid,
                    environment=options.environment,
                    currency=options.currency,
                    on_progress=lambda now: progress.update(task, completed=now.line),
                ).run()

        try:
            asyncio.run(publish())
        except KeyboardInterrupt:
            progress.stop()
            print(
                f"stopped after line {state.line} of {recording.lines}; "
                f"go on with: mts replay {recording.path} --resume",
                file=sys.stderr,
            )
            return False
    return True


def access(settings: Settings) -> Access:
    """Return where to publish and as whom: what the settings say, else the fleet's publisher.

    Raises Rejected when there is no password.
    """
    nats = settings.nats
    password = config.secret(nats.password, nats.password_file)
    if not nats.user:
        password = credentials.read_secret(credentials.nats_secret_file(settings, USER))
    return Access(
        url=credentials.nats_url(settings),
        user=nats.user or USER,
        password=password,
        inbox=nats.inbox,
        ca_file=nats.ca_file,
    )


def _factor(speed: str) -> float:
    """Return 0 for as fast as it goes, else how many times as fast as recorded."""
    if speed == "max":
        return 0
    try:
        factor = float(speed)
    except ValueError:
        factor = 0
    if not 0 < factor < float("inf"):
        raise Rejected(f"the speed {speed!r} is neither max nor a number above 0, like 1 or 10")
    return factor


def _progress(recording: Recording) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("lines"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=recording.lines == 0,
        transient=True,
    )


def _print(
    recording: Recording, state: Replay, published: int, seconds: float, output: str
) -> None:
    if output == "json":
        result = msgspec.to_builtins(state) | {"lines": recording.lines, "seconds": seconds}
        print(msgspec.json.encode(result).decode())
        return
    rate = published / seconds if seconds else 0
    print(f"{published} events in {seconds:.1f} s ({rate:,.0f}/s) from {recording.path}")
    if state.duplicates:
        print(f"{state.duplicates} of them were in the stream already")
    if state.skipped:
        print(f"{state.skipped} lines are no events and were skipped")
    if state.events:
        print(f"stream sequences {state.first_sequence} to {state.last_sequence}")
