"""Does `quorate costs` show what is booked, and notice what is not?"""

import asyncio
from pathlib import Path

import pytest
from tests.unit.cli.typist import Typed, type_at

from quorate.cli.costs import add_commands, build_report, render_report
from quorate.events import ModelReplied, ModelRequested
from quorate.messages import Message, Reply, Text, Usage
from quorate.models.ledger import Booked, Ledger, Row, Spending, to_nano
from quorate.specs import Caller
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.testing.contracts import build_opening

pytestmark = pytest.mark.blocking

USAGE = Usage(input_tokens=1000, output_tokens=200, requests=1)


@pytest.fixture
def costs(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Typed:
    """Type a command at a database of its own."""
    return type_at(tmp_path, "costs", add_commands, capture=capfdbinary, patch=monkeypatch)


def book(path: Path, *, in_log: int = 0) -> None:
    """Book five calls, and record some replies in a log."""

    async def work() -> None:
        async with open_sqlite_store(path / "quorate.db") as store:
            ledger = Ledger(store.values)
            for tenant, agent, model, usd, run in (
                ("default", "net", "openai:gpt-5.2", 0.25, "run-1"),
                ("default", "net", "openai:gpt-5.2", 0.5, "run-1"),
                ("default", "logs", "groq:llama", 0.001, "run-2"),
                ("beta", "net", "openai:gpt-5.2", 1200.0, ""),
                ("beta", "", "openai:odd", None, ""),
            ):
                caller = Caller(tenant=tenant, agent=agent, run=run)
                await ledger.book(Spending(caller, model, USAGE, to_nano(usd)))
            cut = Spending(Caller(tenant="default"), "groq:llama", USAGE, to_nano(0.002), is_whole=False)
            await ledger.book(cut)
            await store.log.append("run-1", build_opening("run-1"), expected=0)
            for number in range(in_log):
                reply = Reply(message=Message(role="assistant", parts=(Text(text="x"),)), usage=USAGE, cost_usd=0.25)
                await store.log.append(
                    "run-1",
                    [
                        ModelRequested(
                            run="run-1", seq=3 + 2 * number, time=9.0, key=f"{number}", model="openai:gpt-5.2"
                        ),
                        ModelReplied(run="run-1", seq=4 + 2 * number, time=9.0, key=f"{number}", reply=reply),
                    ],
                    expected=2 + 2 * number,
                )

    asyncio.run(work())


def test_nothing_spent_is_said_so(costs: Typed) -> None:
    assert "Nothing was spent" in costs().out


def test_costs_are_shown_by_model(costs: Typed, tmp_path: Path) -> None:
    """With totals, and with what a reader may miss. row: B10"""
    book(tmp_path)
    lines = costs().out.splitlines()
    assert [line.split() for line in lines[:5]] == [
        ["model", "calls", "input", "output", "cost"],
        ["groq:llama", "1", "1,000", "200", "$0.001000"],
        ["openai:gpt-5.2", "3", "3,000", "600", "$1,200.75"],
        ["openai:odd", "1", "1,000", "200", "$0.000000"],
        ["total", "5", "5,000", "1,000", "$1,200.75"],
    ]
    assert lines[5] == "1 call gave no reply and may have cost $0.002000 more, by our own count."
    assert lines[6].startswith("1 call went to models whose price nobody knows and are not in the cost")


@pytest.mark.parametrize(("parts", "count"), [(["tenant"], 2), (["agent"], 3), (["day"], 1), (["tenant", "model"], 4)])
def test_sums_by_any_parts_are_the_total(costs: Typed, tmp_path: Path, parts: list[str], count: int) -> None:
    """row: A17"""
    book(tmp_path)
    words = [word for part in parts for word in ("--by", part)]
    report = costs(*words, "--json").json
    lines, total = report["lines"], report["total"]
    assert len(lines) == count  # type: ignore[arg-type]
    for field in ("calls", "input_tokens", "output_tokens", "cut_calls", "unpriced_calls"):
        assert sum(line[field] for line in lines) == total[field]  # type: ignore[index, union-attr]
    assert sum(line["cost_usd"] for line in lines) == pytest.approx(total["cost_usd"])  # type: ignore[index, union-attr]
    assert all(line[part] is not None for line in lines for part in parts)  # type: ignore[index, union-attr]


def test_costs_can_be_narrowed(costs: Typed, tmp_path: Path) -> None:
    book(tmp_path)
    assert costs("--tenant", "default", "--json").json["total"]["calls"] == 3  # type: ignore[index]
    assert costs("--agent", "logs", "--json").json["total"]["calls"] == 1  # type: ignore[index]
    assert costs("--model", "openai:odd", "--json").json["total"]["unpriced_calls"] == 1  # type: ignore[index]
    assert costs("--since", "1d", "--json").json["total"]["calls"] == 5  # type: ignore[index]
    assert costs("--until", "2020-01-31", "--json").json["lines"] == []
    assert costs("--since", "2020-01-31", "--until", "2020-01-30").code == 2
    assert costs("--by", "planet").code == 2


def test_a_whole_book_is_said_to_be_whole(costs: Typed, tmp_path: Path) -> None:
    book(tmp_path, in_log=2)
    done = costs("verify")
    assert done.code == 0
    assert "Every reply in a log is booked." in done.out


def test_a_reply_that_is_not_booked_is_named(costs: Typed, tmp_path: Path) -> None:
    book(tmp_path, in_log=4)
    done = costs("verify")
    assert done.code == 1
    assert "default openai:gpt-5.2: the logs have 4 calls for $1.00, the book has 2 for $0.750000" in done.out
    assert costs("verify", "--json").json["gaps"][0]["log"]["calls"] == 4  # type: ignore[index]


def test_names_cannot_move_the_cursor() -> None:
    """An agent's name may be anybody's words."""
    row = Row(calls=1, usd=5)
    booked = Booked(day="2026-01-31", tenant="t", agent="\x1b[2Jx", model="m", in_run=True, row=row)
    assert "\x1b" not in "\n".join(render_report(build_report([booked], ["agent"]), ["agent"]))
