"""Is every change to a log found and named, thousands of times? A table with one row per attack.

    python bench/tamper.py --seeds 3000 [--only NAME ...] [--json FILE]

It uses the attacks of the tests on servers of its own. Exit code 0 only if none was missed.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

from attacks import ATTACKS, ON_THE_TAIL, Attack  # noqa: E402
from attacks_on_trust import ON_KEYS, ON_THE_READ_MODEL  # noqa: E402
from logs import Log, make_log  # noqa: E402
from support import Servers, make_home, remove_home, settings_for  # noqa: E402
from tampering import missed, prepared  # noqa: E402


class Case(NamedTuple):
    """A log and an attack on it."""

    kind: str
    attack: Attack
    sizes: tuple[int, ...]
    unsigned: int
    lost: int = 0
    projected: bool = False


def cases() -> Iterator[Case]:
    for attack in (*ATTACKS, *ON_THE_TAIL, *ON_KEYS):
        yield Case("log", attack, (100, 300, 523), 17)
    for attack in ATTACKS:
        yield Case("log with gaps", attack, (90, 256, 300), 0, lost=3)
    for attack in ON_THE_READ_MODEL:
        yield Case("read model", attack, (60, 130), 7, projected=True)


async def run(servers: Servers, case: Case, seeds: int) -> tuple[list[str], float]:
    database = await asyncio.to_thread(servers.new_database)
    log: Log = await make_log(
        database, case.sizes, case.unsigned, lost=case.lost, projected=case.projected
    )
    await prepared(log)
    began = time.monotonic()
    wrong = await missed(log, case.attack, range(seeds), projection=case.projected)
    seconds = time.monotonic() - began
    await asyncio.to_thread(servers.drop_database, database)
    return wrong, seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", default=[""], help="parts of names of attacks to run")
    options = parser.parse_args()
    home = make_home()
    servers = Servers(settings_for(home))
    rows, failed = [], 0
    try:
        servers.start()
        print(f"{'log':14} {'attack':32} {'seeds':>6} {'missed':>6} {'seconds':>8}", flush=True)
        for case in cases():
            if not any(part in case.attack.__name__ for part in options.only):
                continue
            wrong, seconds = asyncio.run(run(servers, case, options.seeds))
            failed += len(wrong)
            name = case.attack.__name__
            print(
                f"{case.kind:14} {name:32} {options.seeds:6} {len(wrong):6} {seconds:8.1f}",
                flush=True,
            )
            for line in wrong[:3]:
                print(f"    {line}")
            rows.append({"log": case.kind, "attack": name, "missed": len(wrong)})
    finally:
        servers.stop()
        remove_home(home)
    total = len(rows) * options.seeds
    print(f"{total - failed} of {total} changes were found under their name and first sequence")
    if options.json:
        options.json.write_text(json.dumps({"seeds": options.seeds, "rows": rows}, indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
