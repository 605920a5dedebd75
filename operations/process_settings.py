"""The settings of processes: their health pages, their logs, their images, paper order systems."""

from typing import Annotated, Literal

from operations.sections import Section
from operations.sections import doc as _doc


class Paper(Section, frozen=True, kw_only=True):
    """A paper order system: a simulated one that trades in memory and obeys halts for real."""

    oms_id: Annotated[str, _doc("Which order system this process is.")] = "oms-1"
    mode: Annotated[
        Literal["normal", "slow", "deaf"],
        _doc("slow: the venue answers late; deaf: it hears halts from the stream only."),
    ] = "normal"
    seed: Annotated[int, _doc("Another seed gives other quotes and orders.")] = 7
    runaway: Annotated[str, _doc("Strategy that buys without end; empty means none.")] = ""
    runaway_step: Annotated[int, _doc("Step from which it does.")] = 0
    step_ms: Annotated[int, _doc("Time between steps of the market, in milliseconds.")] = 50
    venue_ms: Annotated[
        int, _doc("Time that a message to or from the venue takes, in milliseconds.")
    ] = 2
    slow_ms: Annotated[int, _doc("The same in mode slow.")] = 1500
    dir: Annotated[
        str, _doc("What it sent and what it obeyed; empty means <home>/paper/<oms_id>.")
    ] = ""


class Measure(Section, frozen=True, kw_only=True):
    """What the measuring process asks, and how often."""

    allowed: Annotated[
        str,
        _doc("HOST:PORT of services that may be polled, with commas between; * is any port."),
    ] = "127.0.0.1:*,localhost:*,[::1]:*"
    database_seconds: Annotated[float, _doc("Time between measurements of the database.")] = 60.0
    statement_seconds: Annotated[
        float, _doc("Time between looks at the statements that run in the database.")
    ] = 2.0


class Http(Section, frozen=True, kw_only=True):
    """Health and metrics of each process."""

    host: Annotated[str, _doc("Address that /livez, /readyz, /healthz and /metrics listen on.")] = (
        "127.0.0.1"
    )
    port: Annotated[
        int, _doc("Port of the supervisor; worker number n of the fleet listens on port + n.")
    ] = 18300
    advertised: Annotated[
        str,
        _doc("HOST or HOST:PORT where `mts status` asks; empty means the host and port above."),
    ] = ""


class Log(Section, frozen=True, kw_only=True):
    """What the processes write about themselves."""

    format: Annotated[Literal["console", "json"], _doc("How a line looks.")] = "console"
    level: Annotated[
        Literal["debug", "info", "warning", "error"], _doc("The least important line written.")
    ] = "info"
    max_mb: Annotated[int, _doc("Size in MB at which a log file is rotated.")] = 50
    keep: Annotated[int, _doc("Rotated log files that are kept.")] = 10


class Images(Section, frozen=True, kw_only=True):
    """Container images for compose.yaml and the `containers` tests."""

    nats: Annotated[str, _doc("NATS server image.")] = "nats:2.15-alpine"
    postgres: Annotated[str, _doc("Postgres image.")] = "postgres:18"
    operations: Annotated[str, _doc("Our own image.")] = "mts1b-operations:latest"
