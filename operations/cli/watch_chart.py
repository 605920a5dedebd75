"""A picture of a backtest, in SVG: the statistic of each unit, its limit, what was raised, labels.

Colours are never the only signal: the limit is dashed, raised times are bars with a dark edge at
the top of a panel, labelled windows are bars at its bottom, and a legend says so.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from operations.adapters.backtest import Backtest, Judged
from operations.cli import svg
from operations.clock import rfc3339
from operations.statistics.detection import Window

WIDTH, PANEL, LEFT, RIGHT, HEAD, GAP = 960, 150, 90, 20, 72, 40
MOST_UNITS, MOST_POINTS = 12, 1_500
BAR = 10
TICKS = 4
DASHED = "5,4"


def chart(found: Backtest, labels: Mapping[str, Sequence[Window]]) -> str:
    """Return the picture as one SVG document; at most twelve units, first those raised."""
    raised = found.episodes()
    by_unit: dict[str, list[Judged]] = {}
    for each in found.judged:
        by_unit.setdefault(each.unit, []).append(each)
    order = sorted(by_unit, key=lambda unit: (unit not in raised, unit not in labels, unit))
    shown = order[:MOST_UNITS]
    parts = [svg.text(LEFT, 22, f"{found.check}: what it would have said", size=16)]
    left_out = len(order) - len(shown)
    parts += _legend(f", {left_out} more units not shown" if left_out else "")
    span = found.first_ns, max(found.last_ns, found.first_ns + 1)
    for place, unit in enumerate(shown):
        top = HEAD + place * (PANEL + GAP)
        parts += _panel(top, unit, by_unit[unit], raised.get(unit, ()), labels.get(unit, ()), span)
    height = HEAD + len(shown) * (PANEL + GAP) + 10
    return svg.document(WIDTH, height, parts)


def _legend(more: str) -> list[str]:
    y = 38
    return [
        svg.line(LEFT, y, LEFT + 24, y, "#1f5fa8"), svg.text(LEFT + 30, y + 4, "statistic"),
        svg.line(LEFT + 100, y, LEFT + 124, y, "#b00020", DASHED),
        svg.text(LEFT + 130, y + 4, "limit"),
        svg.bar(LEFT + 180, y - 5, 24, BAR, "#b00020"), svg.text(LEFT + 210, y + 4, "raised (top)"),
        svg.bar(LEFT + 300, y - 5, 24, BAR, "#8fbf8f"),
        svg.text(LEFT + 330, y + 4, f"labelled (bottom){more}"),
    ]  # fmt: skip


def _panel(
    top: int, unit: str, judged: Sequence[Judged], raised: Sequence[Window],
    labelled: Sequence[Window], span: Window,
) -> list[str]:  # fmt: skip
    def x(at_ns: int) -> float:
        part = (at_ns - span[0]) / (span[1] - span[0])
        return LEFT + min(1.0, max(0.0, part)) * (WIDTH - LEFT - RIGHT)

    known = [each for each in judged if each.statistic is not None]
    limits = [each.threshold for each in known if each.threshold is not None]
    values = [each.statistic or 0.0 for each in known] + limits
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = (high - low) * 0.05 or 1.0
    low, high = low - room, high + room

    def y(value: float) -> float:
        return top + BAR + (high - value) / (high - low) * (PANEL - 2 * BAR)

    parts = [
        svg.frame(LEFT, top, WIDTH - LEFT - RIGHT, PANEL),
        svg.text(LEFT, top - 5, unit),
        svg.text(LEFT - 6, y(high - room) + 4, f"{high - room:.4g}", anchor="end"),
        svg.text(LEFT - 6, y(low + room) + 4, f"{low + room:.4g}", anchor="end"),
    ]
    parts += [svg.bar(x(a), top, x(b) - x(a), BAR, "#b00020") for a, b in raised]
    parts += [svg.bar(x(a), top + PANEL - BAR, x(b) - x(a), BAR, "#8fbf8f") for a, b in labelled]
    if limits:
        parts.append(svg.line(LEFT, y(limits[-1]), WIDTH - RIGHT, y(limits[-1]), "#b00020", DASHED))
    points = [(x(each.at_ns), y(each.statistic or 0.0)) for each in _few(known)]
    parts.append(svg.curve(points, "#1f5fa8"))
    for tick in range(TICKS + 1):
        at_ns = span[0] + (span[1] - span[0]) * tick // TICKS
        anchor = "start" if tick == 0 else "end" if tick == TICKS else "middle"
        parts.append(svg.text(x(at_ns), top + PANEL + 14, rfc3339(at_ns)[:16], anchor=anchor))
    return parts


def _few(known: Sequence[Judged]) -> list[Judged]:
    """Return at most about so many points as can be seen: of each stretch its ends and extremes."""
    if len(known) <= MOST_POINTS:
        return list(known)
    step = 4 * len(known) // MOST_POINTS + 1
    kept: list[Judged] = []
    cuts = [*range(0, len(known), step), len(known)]
    for begin, end in pairwise(cuts):
        stretch = known[begin:end]
        by_value = sorted(stretch, key=lambda each: each.statistic or 0.0)
        ends = {stretch[0], by_value[0], by_value[-1], stretch[-1]}
        kept += sorted(ends, key=lambda each: each.at_ns)
    return kept
