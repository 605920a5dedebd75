"""Measure everything: one table, and `bench/results.json`.

`--only sealing` measures one part; what the file holds of the others stays.
"""

import argparse
import asyncio
import sys
from pathlib import Path

import boot
import finding
import fleet
import gate
import halting
import latency
import rig
import sealing
import verifying
import vpin
import watch_day
import watching
from rich.console import Console
from rich.table import Table
from rig import Row

PARTS = {
    "sealing": sealing.measure,
    "latency": latency.measure,
    "verifying": verifying.measure,
    "finding": finding.measure,
    "fleet": fleet.measure,
    "halting": halting.measure,
    "vpin": vpin.measure,
    "watch_day": watch_day.measure,
    "watching": watching.measure,
    "gate": gate.measure,
    "boot": boot.measure,
}
FILE = Path(__file__).parent / "results.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--output", type=Path, default=FILE)
    arguments = parser.parse_args()
    rows: list[Row] = []
    for name in arguments.only or PARTS:
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        with rig.servers() as settings:
            measured = asyncio.run(PARTS[name](settings))
        rig.save(name, measured, arguments.output)
        rows += measured
        show(rows)
    missed = [row.name for row in rows if row.met is False]
    return 1 if missed else 0


def show(rows: list[Row]) -> None:
    table = Table("measured", "value", "unit", "target", "met", "bound by")
    for row in rows:
        met = {True: "yes", False: "NO", None: ""}[row.met]
        value = f"{row.value:,.0f}" if row.value >= 100 else f"{row.value:,.2f}"
        table.add_row(row.name, value, row.unit, row.target, met, row.bound_by)
    Console(width=160).print(table)


if __name__ == "__main__":
    sys.exit(main())
