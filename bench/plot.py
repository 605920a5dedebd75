"""Pictures of what was calibrated: panels of curves beside each other, in SVG.

A curve has a colour, a dash and a marker of its own, so that it is known without its colour; what
was chosen is a vertical line, a budget or a floor a horizontal one.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from operations.cli import svg

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "calibration"
WIDTH, PANEL, LEFT, BOTTOM, HEAD, ROW = 340, 230, 56, 46, 62, 18
LOOKS = (
    ("#1f5fa8", "", "o"), ("#b00020", "6,3", "x"), ("#2e7d32", "2,3", "+"),
    ("#7b3fa0", "8,3,2,3", "v"), ("#8a5a00", "1,2", "s"), ("#333333", "10,4", "d"),
)  # fmt: skip
MARKED = 6  # a marker on about so many points of a curve
Places = Sequence[tuple[float, float]]


class Panel(NamedTuple):
    """Curves over one axis. `level` and `chosen` are words and where their line stands."""

    title: str
    across: str
    curves: dict[str, Places]
    highest: float
    chosen: tuple[str, float]
    level: tuple[str, float] | None = None
    percent: bool = True


def draw(name: str, title: str, panels: Sequence[Panel]) -> str:
    """Write docs/calibration/<name>.svg; return the line of Markdown that shows it."""
    rows = max(len(panel.curves) for panel in panels)
    height = HEAD + PANEL + BOTTOM + rows * ROW + 14
    parts = [svg.text(16, 26, title, size=16)]
    for place, panel in enumerate(panels):
        parts += _panel(panel, place * WIDTH)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.svg").write_text(svg.document(WIDTH * len(panels), height, parts))
    return f"![{title}](calibration/{name}.svg)"


def _panel(panel: Panel, left: float) -> list[str]:
    places = [x for points in panel.curves.values() for x, _ in points]
    low, high = min(places), max(places)
    x0, width = left + LEFT, WIDTH - LEFT - 18

    def x(value: float) -> float:
        return x0 + (value - low) / (high - low) * width

    def y(value: float) -> float:
        return HEAD + PANEL - min(value, panel.highest) / panel.highest * PANEL

    parts = [svg.text(x0, HEAD - 10, panel.title, size=13), svg.frame(x0, HEAD, width, PANEL)]
    for step in range(5):
        value = panel.highest * step / 4
        words = f"{100 * value:g} %" if panel.percent else f"{value:g}"
        parts.append(svg.text(x0 - 6, y(value) + 4, words, "end", size=11))
        if 0 < step < 4:
            parts.append(svg.line(x0, y(value), x0 + width, y(value), "#e4e4e4"))
    for tick in _ticks(low, high):
        parts.append(svg.line(x(tick), HEAD + PANEL, x(tick), HEAD + PANEL + 4, "#999"))
        parts.append(svg.text(x(tick), HEAD + PANEL + 17, f"{tick:g}", "middle", size=11))
    parts.append(svg.text(x0 + width / 2, HEAD + PANEL + 34, panel.across, "middle"))
    lines, words = _marks(panel, x, y, x0, width)
    parts += lines
    for (name, points), look, row in zip(panel.curves.items(), LOOKS, range(99), strict=False):
        parts += _curve([(x(a), y(b)) for a, b in points if math.isfinite(b)], look)
        under = HEAD + PANEL + BOTTOM + 8 + row * ROW
        parts += _curve([(x0, under), (x0 + 34, under)], look, [(x0 + 17, under)])
        parts.append(svg.text(x0 + 42, under + 4, name))
    # Last, on a white edge: no curve hides words.
    edge = '<g style="paint-order:stroke;stroke:white;stroke-width:4">'
    return [*parts, edge, *words, "</g>"]


def _marks(panel: Panel, x, y, x0: float, width: float) -> tuple[list[str], list[str]]:
    """Return the lines of what was chosen and of a budget or floor, and their words."""
    chosen, at = panel.chosen
    right = x(at) > x0 + width / 2
    anchor, gap = ("end", -5) if right else ("start", 5)
    lines = [svg.line(x(at), HEAD, x(at), HEAD + PANEL, "#555", "3,3")]
    words = [svg.text(x(at) + gap, HEAD + 14, chosen, anchor, size=11)]
    if panel.level:
        name, value = panel.level
        anchor, end = ("start", x0 + 5) if right else ("end", x0 + width - 5)
        lines.append(svg.line(x0, y(value), x0 + width, y(value), "#555", "3,3"))
        words.append(svg.text(end, y(value) - 5, name, anchor, size=11))
    return lines, words


def _curve(points: Places, look: tuple[str, str, str], marked: Places | None = None) -> list[str]:
    colour, dashes, shape = look
    at = points[:: max(1, len(points) // MARKED)] if marked is None else marked
    return [svg.curve(points, colour, dashes), *(_marker(a, b, colour, shape) for a, b in at)]


def _marker(x: float, y: float, colour: str, shape: str) -> str:
    r = 3.5
    if shape == "o":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" fill="{colour}"/>'
    paths = {
        "x": f"M{x - r:.1f},{y - r:.1f}l{2 * r},{2 * r}m0,{-2 * r}l{-2 * r},{2 * r}",
        "+": f"M{x - r:.1f},{y:.1f}h{2 * r}m{-r},{-r}v{2 * r}",
        "v": f"M{x - r:.1f},{y - r:.1f}h{2 * r}l{-r},{2 * r}z",
        "s": f"M{x - r:.1f},{y - r:.1f}h{2 * r}v{2 * r}h{-2 * r}z",
        "d": f"M{x:.1f},{y - r:.1f}l{r},{r}l{-r},{r}l{-r},{-r}z",
    }
    filled = colour if shape in "vsd" else "none"
    return f'<path d="{paths[shape]}" fill="{filled}" stroke="{colour}" stroke-width="1.5"/>'


def _ticks(low: float, high: float) -> list[float]:
    step = 10 ** math.floor(math.log10((high - low) / 3))
    step = next(step * times for times in (1, 2, 5, 10) if (high - low) / (step * times) <= 6)
    first = math.ceil(low / step - 1e-9)
    return [round(step * place, 9) for place in range(first, math.floor(high / step + 1e-9) + 1)]
