"""How often a service that is well is called down or degraded, and what is missed.

Down: polls that fail by chance, each by itself, in service-days of 8640 polls. Degraded: a real
series of request latencies with three labelled windows, through the watchdog's own fold.
"""

import csv
import json
from datetime import datetime
from pathlib import Path

import numpy as np

from operations.clock import NANOSECONDS
from operations.watchdogs.dependency_watchdog import DependencyLimits
from operations.watchdogs.polled import PollState, latency

TITLE = "Dependencies: dependency_watchdog"
POLLS_A_DAY = 8640  # every ten seconds
CHANCES = (0.005, 0.01, 0.02)
SEED = 20_261_128
DATA = Path(__file__).resolve().parents[1] / "../shared/data"


def section(units: int) -> str:
    """Measure and return the section as Markdown."""
    return f"""\
A service is down after three failed polls in a row. If each poll of a service that is well fails by
itself with chance p, a day of n polls has about n p³ (1-p) such runs. {units:,} service-days of
{POLLS_A_DAY} polls for each p:

{_down_table(units)}

Failures that come together (a full disk, a cut network) are no chance, and are found.

{_degraded()}"""


def down_episodes(failed: np.ndarray, red_polls: int = 3, good_polls: int = 2) -> np.ndarray:
    """Return how many episodes each row of failed (True) polls has, as the watchdog counts."""
    rows = failed.shape[0]
    reds, goods = np.zeros(rows, int), np.zeros(rows, int)
    down, episodes = np.zeros(rows, bool), np.zeros(rows, int)
    for column in failed.T:
        reds = np.where(column, reds + 1, 0)
        goods = np.where(column, 0, goods + 1)
        raised = ~down & (reds >= red_polls)
        episodes += raised
        down = (down | raised) & ~(goods >= good_polls)
    return episodes


def _down_table(units: int) -> str:
    random = np.random.default_rng(SEED)
    lines = [
        "| p of one poll | expected a day | measured a day | Monte-Carlo error |",
        "|---|---|---|---|",
    ]
    for chance in CHANCES:
        counts = np.concatenate(
            [
                down_episodes(random.random((min(500, units), POLLS_A_DAY)) < chance)
                for _ in range(0, units, 500)
            ]
        )
        expected = POLLS_A_DAY * chance**3 * (1 - chance)
        error = counts.std() / np.sqrt(len(counts))
        lines.append(f"| {chance} | {expected:.5f} | {counts.mean():.5f} | {error:.5f} |")
    return "\n".join(lines)


def _degraded() -> str:
    if not DATA.exists():
        return "The labelled latencies are not beside this checkout."
    times, values, windows = labelled()
    limits = DependencyLimits()
    share = sum(each is not None for each in windows) / len(windows)
    lines = [
        f"""\
Degraded: request latency per five minutes (NAB, ec2_request_latency_system_failure, {len(values)}
values in 14 days, 3 labelled windows that cover {share:.1%} of them):

| multiple of the usual | windows found | false episodes outside | episodes |
|---|---|---|---|"""
    ]
    for multiple in (1.15, limits.degraded_multiple, 1.5, 2.0):
        places = degraded_places(times, values, multiple, limits)
        inside = [windows[place] for place in places]
        found = len(set(inside) - {None})
        mark = " (default)" if multiple == limits.degraded_multiple else ""
        lines.append(f"| {multiple}{mark} | {found} of 3 | {inside.count(None)} | {len(places)} |")
    lines.append(
        """
The first window is found by no level: its highest value, 51.6 ms, is below many outside of all
windows (up to 52.0 ms). Three windows say little: 2 of 3 is between 9 % and 99 % at 95 %."""
    )
    return "\n".join(lines)


def degraded_places(
    times: list[int], values: list[float], multiple: float, limits: DependencyLimits
) -> list[int]:
    """Return the places at which an episode begins, by the fold of the watchdog."""
    state, found, open_now = PollState(), [], False
    for place, (at, value) in enumerate(zip(times, values, strict=True)):
        at_ns = (at + 1) * NANOSECONDS
        if at_ns <= state.polled_ns:
            continue
        state.polled_ns = at_ns
        state.answers.append((at_ns, value))
        recent, usual, spread, _ = latency(state, at_ns)
        if recent is None or usual is None or spread is None:
            continue
        most = max(
            usual * multiple,
            usual + spread * limits.degraded_spreads,
            usual + limits.degraded_ms,
        )
        if not open_now and recent >= most:
            found.append(place)
            open_now = True
        elif open_now and recent < usual + (most - usual) * limits.recovered_part:
            open_now = False
    return found


def labelled() -> tuple[list[int], list[float], list[int | None]]:
    """Return seconds, milliseconds, and in which labelled window each value lies."""
    with (DATA / "latency" / "ec2_request_latency_system_failure.csv").open() as file:
        table = list(csv.DictReader(file))
    labels = json.loads((DATA / "news" / "labelled_windows.json").read_text())
    name = next(each for each in labels if "ec2_request_latency" in each)
    spans = [[datetime.fromisoformat(end) for end in span] for span in labels[name]]
    at = [datetime.fromisoformat(row["timestamp"]) for row in table]
    inside = [next((n for n, (a, b) in enumerate(spans) if a <= t <= b), None) for t in at]
    seconds = [int((t - at[0]).total_seconds()) for t in at]
    return seconds, [float(row["value"]) for row in table], inside
