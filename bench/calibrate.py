"""Writes docs/calibration.md: how often each watchdog is wrong, and what it misses.

`python -m bench.calibrate [GROUP ...]` runs the parts bench/calibrate_<group>.py, all of them by
default, and puts the section of each in its place; a part has a TITLE and `section(units)`, and may
draw pictures into docs/calibration/.
"""

import importlib
import re
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from time import perf_counter

FOLDER = Path(__file__).resolve().parent
PAGE = FOLDER.parent / "docs" / "calibration.md"
TESTS = FOLDER.parent / "tests"  # real data are read as the tests read them
UNITS = 10_000
HEAD = """# How often watchdogs are wrong

Measured by `make calibrate`: the same statistics as the watchdogs use, over many units (strategy-,
fund-, instrument- or ticker-years) in which nothing is wrong, and over some in which something is.
A budget is the share of units that may be found although nothing is wrong; a floor is what has to
be found of what is.
"""


def main() -> None:
    """Measure the groups that are named, or all of them."""
    sys.path.append(str(TESTS))
    known = sorted(file.stem.removeprefix("calibrate_") for file in FOLDER.glob("calibrate_*.py"))
    page = _page() if sys.argv[1:] else ""
    sections = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", page, re.MULTILINE))
    with ProcessPoolExecutor() as pool:
        running = [pool.submit(measured, group) for group in sys.argv[1:] or known]
        for done in as_completed(running):
            sections.update([done.result()])
            texts = (f"\n## {title}\n\n{sections[title].strip()}\n" for title in sorted(sections))
            PAGE.write_text(HEAD + "".join(texts))


def measured(group: str) -> tuple[str, str]:
    """Measure one group in a process of its own; return its title and the text of its section."""
    begin = perf_counter()
    part = importlib.import_module(f"bench.calibrate_{group}")
    text = part.section(UNITS)
    print(f"{group}: {perf_counter() - begin:.0f} s", flush=True)
    return part.TITLE, text


def _page() -> str:
    return PAGE.read_text() if PAGE.exists() else ""


if __name__ == "__main__":
    main()
