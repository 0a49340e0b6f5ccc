"""Is it booked who asked, also where very many do, and are older books read?"""

from __future__ import annotations

from quorate.messages import Usage
from quorate.models.costs import build_report
from quorate.models.ledger import MAX_ROWS, Booked, Row, Sheet, Spending, add_row, read_name
from quorate.specs import Caller


def spend(principal: str, *, agent: str = "net") -> Spending:
    return Spending(Caller(principal=principal, agent=agent), "openai:x", Usage(input_tokens=1, requests=1), 5)


def test_who_asked_is_booked_apart() -> None:
    """So is who asks twice, together."""
    sheet = Sheet()
    for principal in ("ann", "bob", "ann"):
        add_row(sheet, spend(principal))
    assert {read_name(name)[3]: row.calls for name, row in sheet.rows.items()} == {"ann": 2, "bob": 1}


def test_of_too_many_nobody_further_is_noted() -> None:
    """What they spent is, for their agents, and those who were there go on being noted."""
    sheet = Sheet()
    for place in range(MAX_ROWS // 2 + 10):
        add_row(sheet, spend(f"user-{place}"))
    add_row(sheet, spend("user-1"))
    rows = {read_name(name): row.calls for name, row in sheet.rows.items()}
    assert rows["net", "openai:x", False, "user-1"] == 2
    assert rows["net", "openai:x", False, ""] == 10
    assert len(rows) == MAX_ROWS // 2 + 1
    assert sum(rows.values()) == MAX_ROWS // 2 + 11


def test_older_rows_do_not_say_who_asked() -> None:
    """They are added up as those of nobody."""
    assert read_name("net\nopenai:x\nrun") == ("net", "openai:x", True, "")
    old = Booked(day="2026-01-01", tenant="t", agent="a", model="m", in_run=True, row=Row(calls=3))
    report = build_report([old], ["principal"])
    assert [(line.principal, line.calls) for line in report.lines] == [("", 3)]
