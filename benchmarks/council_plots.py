"""How are lines with their bounds drawn, as plain SVG?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# Okabe and Ito's colours, which people tell apart who see colours otherwise.
COLOURS = ("#000000", "#999999", "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00", "#cc79a7")
WIDTH, HEIGHT = 760, 380
LEFT, TOP, RIGHT, BOTTOM = 56, 40, 210, 48


@dataclass(frozen=True)
class Point:
    """A value with its bounds."""

    at: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """One side over all settings."""

    name: str
    points: Sequence[Point]
    dashed: bool = False


@dataclass(frozen=True)
class Plot:
    """What is drawn: shares, from 0 to 1, over something."""

    title: str
    across: str
    lines: Sequence[Line]
    floor: float = 0.0
    """Where the upright axis begins."""
    shares: bool = False
    """Whether what is across is a share, too."""


def draw(plot: Plot) -> str:
    """Draw a plot; the bands are the bounds."""
    ats = sorted({point.at for line in plot.lines for point in line.points})
    inner, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    spread = (ats[-1] - ats[0]) or 1.0

    def x(at: float) -> float:
        return round(LEFT + inner * (at - ats[0]) / spread, 1)

    def y(value: float) -> float:
        return round(TOP + tall * (1 - (max(value, plot.floor) - plot.floor) / (1 - plot.floor)), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"',
        ' font-size="12">',
        f"<title>{escape(plot.title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="14" font-weight="bold">{escape(plot.title)}</text>',
    ]
    step = 0.1 if plot.floor >= 0.3 else 0.2
    for number in range(int((1 - plot.floor) / step + 1e-9) + 1):
        value = 1 - number * step
        parts.append(f'<path d="M{LEFT} {y(value)}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4}" text-anchor="end">{value:.0%}</text>')
    for at in ats:
        shown = f"{at:.0%}" if plot.shares else f"{at:g}"
        parts.append(f'<text x="{x(at)}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{shown}</text>')
    parts.append(f'<text x="{LEFT + inner / 2:g}" y="{HEIGHT - 10}" text-anchor="middle">{escape(plot.across)}</text>')
    # Names stand where lines end, pushed apart where these meet.
    order = sorted(range(len(plot.lines)), key=lambda place: y(plot.lines[place].points[-1].value))
    heights: dict[int, float] = {}
    lowest = TOP - 16.0
    for place in order:
        lowest = max(y(plot.lines[place].points[-1].value), lowest + 16)
        heights[place] = lowest
    shift = max(0.0, lowest - (HEIGHT - BOTTOM))
    for place, line in enumerate(plot.lines):
        colour = COLOURS[place % len(COLOURS)]
        up = [f"{x(point.at)},{y(point.high)}" for point in line.points]
        down = [f"{x(point.at)},{y(point.low)}" for point in reversed(line.points)]
        along = " ".join(f"{x(point.at)},{y(point.value)}" for point in line.points)
        dash = ' stroke-dasharray="6 4"' if line.dashed else ""
        parts.append(f'<polygon points="{" ".join([*up, *down])}" fill="{colour}" opacity="0.12"/>')
        parts.append(f'<polyline points="{along}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        end = y(line.points[-1].value)
        edge, height = WIDTH - RIGHT, heights[place] - shift
        parts.append(f'<path d="M{edge + 2} {end}L{edge + 14} {height:g}" stroke="{colour}"/>')
        parts.append(f'<text x="{edge + 18}" y="{height + 4:g}" fill="{colour}">{escape(line.name)}</text>')
    return "\n".join([*parts, "</svg>", ""])
