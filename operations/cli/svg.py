"""The few shapes of which our pictures are made, as SVG. Places are in pixels from the top left."""

from collections.abc import Iterable
from html import escape

STYLE = "font-family:sans-serif;font-size:12px;fill:#222"


def document(width: float, height: float, parts: Iterable[str]) -> str:
    """Return a picture on white."""
    size = f'width="{width:g}" height="{height:g}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width:g} {height:g}" '
        f'style="{STYLE}"><rect {size} fill="white"/>{"".join(parts)}</svg>\n'
    )


def frame(x: float, y: float, width: float, height: float) -> str:
    """Return the edge of a panel."""
    shape = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {shape} fill="none" stroke="#999"/>'


def text(x: float, y: float, words: str, anchor: str = "start", size: int = 12) -> str:
    """Return words on one line."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"'
    return f"<text {place}>{escape(words)}</text>"


def line(x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = "") -> str:
    """Return a straight line; dashes as "5,4", else it is solid."""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}"{_dashed(dashes)}/>'


def curve(points: Iterable[tuple[float, float]], colour: str, dashes: str = "") -> str:
    """Return a line through points."""
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{places}" fill="none" stroke="{colour}"{_dashed(dashes)}/>'


def bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    """Return a filled bar with a dark edge, at least two pixels wide."""
    shape = f'x="{x:.1f}" y="{y:.1f}" width="{max(2.0, width):.1f}" height="{height:g}"'
    return f'<rect {shape} fill="{colour}" stroke="#222" stroke-width="0.5"/>'


def _dashed(dashes: str) -> str:
    return f' stroke-dasharray="{dashes}"' if dashes else ""
