"""Does `quorate eval` go through cases, compare, and fail a build below a threshold?"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer
from typer.main import get_command

from quorate.cli.eval import add_commands
from quorate.cli.failures import get_exit_code
from quorate.errors import QuorateError

pytestmark = pytest.mark.blocking

CLERK = """+++
name = "clerk"
version = "1"
description = "Keeps the register of parcels and tells where each of them is."
tier = "specialist"
domain = "post"
triggers = ["parcel", "register of parcels"]
tools = ["read_file"]
examples = ["where is parcel 7?", "which parcels came today?", "find the parcel for Ann"]
not_for = ["send a letter"]
+++

You keep the register of parcels.
"""
CASES = """
[[case]]
id = "shelf"
agent = "clerk"
request = "where is parcel 7?"
tags = ["easy"]
expects = [{ grader = "contains", all = ["shelf 3"] }, { grader = "cel", condition = "calls == ['read_file']" }]
script = [{ tool = "read_file", arguments = { path = "a.txt" } }, "On shelf 3."]
[case.fixture.files]
"a.txt" = "parcel 7: shelf 3"

[[case]]
id = "route"
kind = "route"
request = "which parcels came today?"
expects = [{ grader = "route", agents = ["clerk"] }]

[[case]]
id = "tone"
agent = "clerk"
request = "greet me"
expects = [{ grader = "judge", rubric = "It is kind." }]
script = ["Hello"]
scripts = { evaluation-judge = ['{"score": 0.5, "reason": "Curt."}'] }
"""


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        return json.loads(self.out)


Evaluate = Callable[..., Done]


@pytest.fixture
def evaluate(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Evaluate:
    """Type a command in a project with one agent and three cases."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents/clerk.md").write_text(CLERK)
    (tmp_path / "quorate.toml").write_text('[agents]\ndirectories = ["agents"]\n')
    (tmp_path / "cases.toml").write_text(CASES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUORATE_DATABASE", str(tmp_path / "quorate.db"))
    app = typer.Typer(pretty_exceptions_enable=False)
    add_commands(app)
    app.callback()(lambda: None)
    command = get_command(app)

    def type_words(*words: str) -> Done:
        said = ""
        try:
            code = command.main(args=["eval", *words], standalone_mode=False) or 0
        except QuorateError as error:
            code, said = get_exit_code(error), error.message
        out, err = capfdbinary.readouterr()
        return Done(code, out.decode(), err.decode() + said)

    return type_words


def test_a_build_fails_below_the_threshold(evaluate: Evaluate, tmp_path: Path) -> None:
    """Two of three pass: that is enough for 0.6, and not for 0.9; what failed is told with its run."""
    words = ("cases.toml", "--model", "scripted", "--judge-model", "scripted")
    done = evaluate(*words, "--min-pass", "0.9", "--save", "a.jsonl", "--junit", "j.xml")
    assert done.code == 1
    assert "✗ tone" in done.out
    assert "judge: Curt." in done.out
    assert "quorate runs show run-" in done.out
    assert "66.7 %" in done.out
    assert "66.7 % passed, and 90 % must." in done.err
    root = ElementTree.parse(tmp_path / "j.xml").getroot()
    assert (root.get("tests"), root.get("failures")) == ("3", "1")
    again = evaluate("--from", "a.jsonl", "--min-pass", "0.6", "--compare", "a.jsonl", "--not-worse", "--json")
    assert again.code == 0
    found = again.json
    assert found["passes"] is True
    assert found["comparison"]["verdict"] == "no difference shown"  # type: ignore[index]
    assert [record["run"][:4] for record in found["records"]] == ["run-"] * 3  # type: ignore[index]


def test_a_file_is_gone_on_with(evaluate: Evaluate, tmp_path: Path) -> None:
    """What it has is not run again, and the same configuration is asked for."""
    words = ("cases.toml", "--model", "scripted", "--case", "route", "--case", "shelf", "--save", "a.jsonl", "--quiet")
    assert evaluate(*words).code == 0
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert evaluate(*words, "--resume").code == 0
    assert (tmp_path / "a.jsonl").read_text().splitlines() == lines
    assert "go on with it by `--resume`" in evaluate(*words).err
    assert "another configuration" in evaluate(*words, "--resume", "--seed", "4").err


def test_a_fall_is_an_exit_code_where_it_is_asked_for(evaluate: Evaluate, tmp_path: Path) -> None:
    """Cases that passed and do not any more, too many for chance."""
    heading = '{"quorate":"evaluation","id":"eval-1","planned":9,"configuration":{}}'
    for name, outcome in (("before", "passed"), ("now", "failed")):
        records = [f'{{"case":"c{at}","digest":"d","repeat":1,"outcome":"{outcome}"}}' for at in range(9)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join([heading, *records, ""]))
    words = ("--from", "now.jsonl", "--compare", "before.jsonl", "--min-pass", "0")
    assert evaluate(*words).code == 0
    done = evaluate(*words, "--not-worse")
    assert (done.code, "it is worse than before" in done.err) == (1, True)
    assert "Worse (p = 0.0020, McNemar, mid-p)." in done.out


def test_cases_are_checked_without_running_them(evaluate: Evaluate, tmp_path: Path) -> None:
    """All faults at once; and orders that contradict themselves are refused."""
    assert evaluate("cases.toml", "--check").out == "3 cases, no faults.\n"
    (tmp_path / "cases.toml").write_text(CASES.replace('"clerk"', '"clark"'))
    done = evaluate("cases.toml", "--check")
    assert done.code == 2
    assert done.err.count("there is no agent 'clark'; did you mean `clerk`?") == 3
    for words, said in (
        ((), "There are no such cases"),
        (("cases.toml", "--resume"), "name it by `--save FILE`"),
        (("cases.toml", "--not-worse"), "name what with by `--compare FILE`"),
        (("cases.toml", "--from", "a.jsonl"), "`--from` runs nothing"),
        (("--agents", "nobody"), "There is no agent 'nobody'"),
    ):
        (tmp_path / "cases.toml").write_text(CASES)
        refused = evaluate(*words)
        assert (refused.code, said in refused.err) == (2, True), refused
