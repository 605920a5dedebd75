"""`mts canary`: puts a known case before every watchdog, and says which of them are silent."""

from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from operations import watchdogs
from operations.adapters import accounts, credentials, judge, service_bus, wire
from operations.adapters.canary_run import CanaryRun, Outcome
from operations.checks import Watchdog
from operations.cli import bus, fleet
from operations.cli.output import PROVEN, TAMPERED, Output, run, write_json
from operations.cli.tables import write_table
from operations.errors import Rejected
from operations.settings.catalogue import nearest

STYLES = {"passed": "green", "silent": "red", "refused": "red", "none": "yellow"}


def canary(
    *only: Annotated[str, Parameter(help="Watchdogs to try; default all.", show_default=False)],
    seconds: Annotated[float, Parameter(help="How long to wait for all of them.")] = 15.0,
    output: Output = "table",
) -> int:
    """Put a known case before every watchdog now, and say which ones find it and how soon.

    The cases are events of the environment canary: nobody trades, halts or reports on them. It
    runs on the machine of the fleet, whose key signs that a canary passed.

        mts canary
        mts canary vpin theta_watchdog --output json

    Exit code 0: every one was found. 1: one was not, or has no case. 2: NATS does not answer.
    """
    return run(_canary(only, seconds, output))


async def _canary(only: tuple[str, ...], seconds: float, output: Output) -> int:
    chosen = _chosen(only)
    settings = fleet.load()
    settings = msgspec.structs.replace(
        settings,
        nats=bus.nats(settings, accounts.CANARY),
        service_key_file=str(credentials.service_key_file(settings, accounts.CANARY)),
    )
    judging = judge.for_service(settings, settings.path("canary", "roster.json"))
    async with (
        wire.connection(settings.nats, accounts.CANARY) as client,
        service_bus.publisher(settings, accounts.CANARY) as publisher,
    ):
        trial = CanaryRun(client, publisher, judging)
        outcomes = await trial.run(chosen, seconds)
        for event in trial.passed(outcomes):
            await publisher.confirm(event)
    _show(outcomes, output)
    return PROVEN if all(each.result == "passed" for each in outcomes) else TAMPERED


def _chosen(only: tuple[str, ...]) -> tuple[Watchdog, ...]:
    known = {each.name: each for each in watchdogs.ALL}
    if unknown := sorted(set(only) - known.keys()):
        raise Rejected(f"there is no watchdog {unknown[0]!r}{nearest(unknown[0], known)}")
    return tuple(known[name] for name in only) or watchdogs.ALL


def _show(outcomes: list[Outcome], output: Output) -> None:
    rows: list[dict[str, Any]] = [
        {
            "watchdog": each.check,
            "result": each.result,
            "delay_ms": None if each.delay_ms is None else round(each.delay_ms, 1),
            "what_it_means": each.words,
        }
        for each in outcomes
    ]
    if output == "table":
        write_table(rows, STYLES)
    else:
        write_json(rows, output)
