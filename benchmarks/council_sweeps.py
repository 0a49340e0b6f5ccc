"""Which councils are tried, and what is shown of each?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.council_members import Setting
from benchmarks.council_plots import Line, Plot, Point
from benchmarks.council_trials import SIDES, Tried, find_lead, find_wilson

PLAIN = Setting()
ROUGH = Setting(members=7, correlation=0.4, groups=2, hostile=0.15, abstain=0.1, unsure=True)
SHOWN = (
    "best member",
    "random member",
    "plurality",
    "majority",
    "score",
    "borda",
    "schulze",
    "plurality, learned weights",
)


@dataclass(frozen=True)
class Sweep:
    """One thing changes, and the rest stays."""

    name: str
    title: str
    across: str
    settings: Sequence[tuple[float, Setting]]
    floor: float = 0.3
    shares: bool = False
    sides: Sequence[str] = SHOWN


def vary(field: str, values: Sequence[float], base: Setting = PLAIN) -> list[tuple[float, Setting]]:
    return [(value, replace(base, **{field: value})) for value in values]


TEN = replace(PLAIN, members=10)
SWEEPS = (
    Sweep("members", "How many members", "members", vary("members", [1, 2, 3, 5, 7, 9, 11, 13, 15]), floor=0.5),
    Sweep(
        "skill",
        "How good a member is",
        "right alone, on average",
        vary("skill", [0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85]),
        0.0,
        shares=True,
    ),
    Sweep(
        "spread",
        "How unlike members are",
        "standard deviation of being right alone",
        vary("spread", [0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]),
        0.5,
    ),
    Sweep("options", "How many options", "options", vary("options", [2, 3, 4, 6, 8, 10]), 0.5),
    Sweep(
        "correlation",
        "How often all err together: seven of one model",
        "chance to go by what the group sees",
        vary("correlation", [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        0.5,
        shares=True,
    ),
    Sweep(
        "groups",
        "How often they err together: seven of three models",
        "chance to go by what the group sees",
        vary("correlation", [0, 0.2, 0.4, 0.6, 0.8, 1.0], replace(PLAIN, groups=3)),
        0.5,
        shares=True,
    ),
    Sweep(
        "hostile",
        "How many of ten push one wrong option",
        "hostile members",
        vary("hostile", [0, 0.1, 0.2, 0.3, 0.4], TEN),
        0.0,
        shares=True,
    ),
    Sweep(
        "sleepers",
        "The same, when they earned trust first",
        "hostile members",
        vary("hostile", [0, 0.1, 0.2, 0.3, 0.4], replace(TEN, sleepers=True)),
        0.0,
        shares=True,
    ),
    Sweep(
        "abstain",
        "How many abstain, whoever they are",
        "abstentions",
        vary("abstain", [0, 0.15, 0.3, 0.45, 0.6]),
        0.3,
        shares=True,
    ),
    Sweep(
        "unsure",
        "How many abstain, the least sure first",
        "abstentions",
        vary("abstain", [0, 0.15, 0.3, 0.45, 0.6], replace(PLAIN, unsure=True)),
        0.3,
        shares=True,
    ),
)
TABLES = {
    "plain": ("Seven members, four options, right alone 60 % of the time (± 15), each erring by itself", PLAIN),
    "mallows": ("The same members, noise after Mallows", replace(PLAIN, noise="mallows")),
    "pair": ("The same members, two options", replace(PLAIN, options=2)),
    "rough": (
        "Seven of two models that go 40 % by what their model sees, one hostile, the least sure 10 % abstain",
        ROUGH,
    ),
}
"""Where all sides are shown."""


@dataclass(frozen=True)
class Price:
    """What a ballot costs, as it is assumed: no price list."""

    tokens_in: int = 1_500
    tokens_out: int = 300
    usd_in: float = 0.30
    """For a million."""
    usd_out: float = 1.20

    @property
    def ballot(self) -> float:
        return (self.tokens_in * self.usd_in + self.tokens_out * self.usd_out) / 1e6


SMALL = Price()
LARGE = Price(usd_in=3.00, usd_out=12.00)
COUNCILS = (1, 3, 5, 7, 9, 15)
APART, TOGETHER = PLAIN, replace(PLAIN, correlation=0.4)


def build_line(side: str, tried: Sequence[tuple[float, dict[str, Tried]]]) -> Line:
    points: list[Point] = []
    for at, sides in tried:
        right = sides[side].right
        low, high = find_wilson(sum(right), len(right))
        points.append(Point(at, sides[side].accuracy, low, high))
    return Line(side, points, dashed=side.endswith("member"))


def build_plot(sweep: Sweep, tried: Sequence[tuple[float, dict[str, Tried]]]) -> Plot:
    lines = [build_line(side, tried) for side in sweep.sides]
    return Plot(sweep.title, sweep.across, lines, sweep.floor, sweep.shares)


def show_share(value: float) -> str:
    return "–" if value != value else f"{value * 100:.1f}"


def render_table(tried: dict[str, Tried]) -> list[str]:
    """All sides: how often right, how often nothing was decided, and how far from the best member."""
    base = tried["best member"]
    lines = [
        "| who decides | right, % | of what was decided, % | no decision, % | more than the best member, points |",
        "|---|---:|---:|---:|---:|",
    ]
    for side in SIDES:
        one = tried[side]
        number, hits = len(one.right), sum(one.right)
        low, high = find_wilson(hits, number)
        mean, least, most = find_lead(one, base)
        ahead = "" if side == "best member" else f"{mean * 100:+.1f} ({least * 100:+.1f} to {most * 100:+.1f})"
        lines.append(
            f"| {side} | {one.accuracy * 100:.1f} ({low * 100:.1f}–{high * 100:.1f}) | {show_share(one.when_decided)} "
            f"| {(1 - one.decided / number) * 100:.1f} | {ahead} |"
        )
    return lines


def render_sweep(sweep: Sweep, tried: Sequence[tuple[float, dict[str, Tried]]]) -> list[str]:
    heads = [f"{at:.0%}" if sweep.shares else f"{at:g}" for at, _ in tried]
    lines = [f"| {sweep.across} | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    for side in sweep.sides:
        lines.append(f"| {side} | {' | '.join(show_share(sides[side].accuracy) for _, sides in tried)} |")
    return lines


def render_cost(apart: Sequence[tuple[int, Tried]], together: Sequence[tuple[int, Tried]]) -> list[str]:
    """What a decision costs, and what it is worth, by the size of the council."""
    lines = [
        "| ballots | tokens | small members, USD for 1,000 decisions | right, apart, % | right, 40 % together, % |",
        "|---:|---:|---:|---:|---:|",
    ]
    tokens = SMALL.tokens_in + SMALL.tokens_out
    for (members, one), (_, other) in zip(apart, together, strict=True):
        cells = (members, f"{members * tokens:,}", f"{members * SMALL.ballot * 1_000:.2f}")
        shares = (f"{one.accuracy * 100:.1f}", f"{other.accuracy * 100:.1f}")
        lines.append(f"| {' | '.join(map(str, (*cells, *shares)))} |")
    return lines
