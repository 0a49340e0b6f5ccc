"""What was spent, added up by whatever one wants to know?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from msgspec import Struct

from quorate.models.cost import NANO
from quorate.models.ledger import Booked, Row

Part = Literal["tenant", "agent", "model", "principal", "day"]
PARTS: tuple[Part, ...] = get_args(Part)


class CostLine(Struct, frozen=True, kw_only=True):
    """What calls that are alike in what was asked for used together."""

    day: str | None = None
    tenant: str | None = None
    agent: str | None = None
    model: str | None = None
    principal: str | None = None
    calls: int
    """That gave a reply."""
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: float
    """Of the replies."""
    cut_calls: int
    """That gave none: cut, cancelled, too slow."""
    cut_cost_usd: float
    """What those are thought to have cost."""
    unpriced_calls: int
    """Calls, of all of them, whose price nobody knows: they are not in the cost."""


class CostReport(Struct, frozen=True, kw_only=True):
    """What was spent."""

    since: str | None
    until: str | None
    lines: Sequence[CostLine]
    total: CostLine


def build_report(
    booked: Iterable[Booked], parts: Sequence[Part], *, since: str | None = None, until: str | None = None
) -> CostReport:
    """Add up what is booked, by the parts asked for; the total is the sum of the lines."""
    sums: dict[tuple[str, ...], Row] = {}
    total = Row()
    for one in booked:
        sums.setdefault(tuple(getattr(one, part) for part in parts), Row()).add(one.row)
        total.add(one.row)
    lines = [build_line(row, **dict(zip(parts, names, strict=True))) for names, row in sorted(sums.items())]
    return CostReport(since=since, until=until, lines=lines, total=build_line(total))


def build_line(row: Row, **names: str) -> CostLine:
    """Write a sum in dollars."""
    return CostLine(
        **names,
        calls=row.calls,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cached_tokens=row.cached_tokens,
        cost_usd=row.usd / NANO,
        cut_calls=row.cut_calls,
        cut_cost_usd=row.cut_usd / NANO,
        unpriced_calls=row.unpriced,
    )
