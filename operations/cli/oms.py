"""Does an order system keep its protocol? `mts oms conformance <oms_id>` asks it from outside."""

from pathlib import Path

from cyclopts import App

from operations.adapters import accounts, conformance, halt_line, orders_of_people, wire
from operations.adapters.conformance import Finding
from operations.adapters.credentials import service_key_file
from operations.adapters.roster_files import read_private
from operations.cli import bus, fleet
from operations.cli.ordering import KeyFile
from operations.cli.output import CANNOT, PROVEN, Output, complain, headline, run, write_json
from operations.cli.tables import write_table
from operations.config import Settings
from operations.errors import Rejected
from operations.signing.message import Signer
from operations.signing.roster import LIVE

oms = App(name="oms", help="Order systems and how they keep their protocol.")
FAILED = 1
STYLES = {"passed": "green", "failed": "red", "skipped": "yellow"}


@oms.command(name="conformance")
def check(oms_id: str, /, *, key: KeyFile = None, output: Output = "table") -> int:
    """Test a running order system against docs/oms-protocol.md, by messages alone.

    It is told things that it must obey, and things that it must not, on the reserved strategy
    "drill". Needs the fleet's own keys and passwords; refuses where the environment is live.

    Exit code 0: all passed. 1: a check failed. 2: it could not be asked.

    Example: mts oms conformance oms-1

    Parameters
    ----------
    oms_id
        Which order system.
    """

    async def work() -> int:
        settings = fleet.load()
        if settings.environment == LIVE:
            raise Rejected("forged halts are not sent where the environment is live; test a copy")
        found = await _examine(settings, oms_id, key)
        rows = [_row(each) for each in found]
        if output == "table":
            write_table(rows, STYLES)
        else:
            write_json({"oms_id": oms_id, "checks": rows}, output)
        failed = [each.check for each in found if each.result == "failed"]
        if failed:
            complain("✗", f"{oms_id} does not keep the protocol: {', '.join(failed)}", "red")
            return FAILED
        if output == "table":
            headline("✓", f"{oms_id} keeps the protocol", "green")
        return PROVEN if found else CANNOT

    return run(work())


async def _examine(settings: Settings, oms_id: str, key: Path | None) -> tuple[Finding, ...]:
    nats = bus.nats(settings, accounts.ADMIN)
    person = orders_of_people.person(settings, nats, key).signer
    judge = halt_line.judge_of(settings)
    services: list[Signer | None] = []
    for worker in (accounts.HALT, accounts.WATCHDOGS):
        key_file = service_key_file(settings, worker)
        found = read_private(key_file) if key_file.exists() else None
        services.append(Signer(found, judge.origin, judge.environment) if found else None)
    async with wire.connection(nats, "conformance") as client:
        return await conformance.Examiner(client, judge, oms_id, person, *services).examine()


def _row(found: Finding) -> dict[str, object]:
    took = found.milliseconds
    return {
        "check": found.check,
        "result": found.result,
        "ms": None if took is None else round(took, 1),
        "words": found.words,
    }
