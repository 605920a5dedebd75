"""An order system kills itself at each of its steps, again and again, at moments of chance.

`python bench/kill_oms.py --rounds 8 --times 8 --chance 0.5`. A test kills it once at the first of
each kind of step. Here it dies at each kind that many times, and only with a chance when it comes
to one, so the moments differ. It is told the same as there (`tests/killing.py`) in each round.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

from floor import Floor  # noqa: E402
from killing import OMS, is_told_and_does_it, start  # noqa: E402
from support import NatsHandle, make_home, remove_home, settings_for  # noqa: E402


async def run(nats: NatsHandle, rounds: int, times: int, chance: float) -> list[str]:
    floor = Floor(nats)
    halts = 0
    try:
        await floor.register()
        kills = start(floor, times, chance)
        async with floor.revived(OMS):
            for number in range(1, rounds + 1):
                halts += len(await is_told_and_does_it(floor))
                print(f"round {number}: {len(kills.read_text().splitlines())} kills", flush=True)
        history = await floor.history()
        for step, count in sorted(Counter(kills.read_text().splitlines()).items()):
            print(f"{count:4} {step}")
        print(f"{rounds} rounds, {halts} halts, {history.exits()} exits")
        return history.problems()
    finally:
        await asyncio.to_thread(floor.end)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8, help="how often it is told everything")
    parser.add_argument("--times", type=int, default=8, help="kills at each kind of step")
    parser.add_argument("--chance", type=float, default=0.5, help="that it dies at a step")
    options = parser.parse_args()
    home = make_home()
    nats = NatsHandle(settings_for(home))
    began = time.monotonic()
    try:
        nats.start()
        problems = asyncio.run(run(nats, options.rounds, options.times, options.chance))
    finally:
        nats.stop()
        remove_home(home)
    print(f"{time.monotonic() - began:.0f} s, {len(problems)} problems", *problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
