"""What processes write about themselves: structured lines, and the files they end up in.

A worker writes to its standard output. The supervisor collects the lines of all into one file per
start, the newest in <home> and older ones in <home>/logs, so that the newest log is easy to find.
"""

import json
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor

from operations.adapters.fleet_files import LOG_PATTERN
from operations.clock import NANOSECONDS, now_ns, rfc3339
from operations.config import Settings
from operations.process_settings import Log

MEGABYTE = 1_000_000
FLEET = "fleet"  # the source of what the supervisor says
WIDTH = 10


def configure(settings: Log, stream: TextIO | None = None) -> None:
    """Send our lines and those of libraries to a stream, as text or as JSON."""
    stream = sys.stdout if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    # Tracebacks without the values of variables: settings hold passwords.
    last: list[Processor] = [
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]
    if settings.format == "json":
        without_values = ExceptionDictTransformer(show_locals=False)
        last = [
            structlog.processors.ExceptionRenderer(without_values),
            structlog.processors.JSONRenderer(),
        ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())


def logger(worker: str) -> structlog.stdlib.BoundLogger:
    """Return a log whose every line names the worker."""
    bound: structlog.stdlib.BoundLogger = structlog.get_logger().bind(worker=worker)
    return bound


class FleetLog:
    """The file that all lines of one start go into; a full one is replaced by a new one."""

    def __init__(self, settings: Settings) -> None:
        self._home = Path(settings.home)
        self._old = self._home / "logs"
        self._limit = settings.log.max_mb * MEGABYTE
        self._keep = settings.log.keep
        self._json = settings.log.format == "json"
        self._open()

    @property
    def path(self) -> Path:
        """The file that is written at the moment."""
        return self._path

    def say(self, text: str, source: str = FLEET) -> None:
        """Record what the fleet says, or pass on a line of a worker; both also to the terminal.

        As JSON a worker's line is passed on as it is, because it names its worker itself.
        """
        shown = text
        lines = text.splitlines() or [""]
        if self._json:
            fields = {
                "event": text,
                "level": "info",
                "timestamp": rfc3339(now_ns()),
                "worker": FLEET,
            }
            lines = [json.dumps(fields)] if source == FLEET else lines
            shown = "\n".join(lines)
        elif source == FLEET:
            lines = [f"{FLEET:{WIDTH}} | {rfc3339(now_ns())} {line}" for line in lines]
        else:
            lines = [f"{source:{WIDTH}} | {line}" for line in lines]
            shown = "\n".join(lines)
        self._write("\n".join(lines) + "\n")
        with suppress(OSError):  # the terminal may be gone; the file is not
            print(shown, flush=True)  # noqa: T201 (the fleet in the foreground)

    def _write(self, text: str) -> None:
        self._file.write(text)
        self._size += len(text)
        if self._size >= self._limit and self._path.name != _name_now():
            self._file.close()
            self._open()

    def close(self) -> None:
        """Close the file; it stays the newest until the next start."""
        self._file.close()

    def _open(self) -> None:
        self._old.mkdir(parents=True, exist_ok=True)
        self._path = self._home / _name_now()
        for file in self._home.glob(LOG_PATTERN):
            if file != self._path:
                file.replace(self._old / file.name)
        for file in sorted(self._old.glob(LOG_PATTERN))[: -self._keep or None]:
            file.unlink()
        self._file = self._path.open("a", buffering=1)
        self._path.chmod(0o600)
        self._size = self._file.tell()


def _name_now() -> str:
    return f"srv_{datetime.fromtimestamp(now_ns() // NANOSECONDS, UTC):%Y%m%d_%H_%M_%S}.log"
