"""Does `quorate decide` show ballots as they come, and do `quorate decisions` show, verify and replay what came of it?"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from msgspec import structs
from tests.unit.council.sessions import DOWN, build_voters, choose, write
from typer.main import get_command

from quorate.assembly import open_runtime
from quorate.cli.ballots import HAS_VOTED, BallotBoard, build_table
from quorate.cli.decide import UNDECIDED, Order, add_commands, build_motion, put_to_vote
from quorate.cli.decisions import add_commands as add_decisions
from quorate.cli.failures import get_exit_code
from quorate.council.ballot import Ballot
from quorate.council.decide import council
from quorate.council.keys import make_key, sign_ballot
from quorate.council.motion import Motion
from quorate.council.plan import Plan
from quorate.council.signing import Paper
from quorate.errors import QuorateError
from quorate.events import VoteCast, VoteClosed, VoteOpened, VoteRefused
from quorate.settings import Settings

pytestmark = pytest.mark.blocking
AB = ("a", "b")
Type = Callable[..., tuple[int, str]]


@pytest.fixture
def quorate(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Type:
    """Type a command at a database of its own, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUORATE_DATABASE", str(tmp_path / "quorate.db"))
    app = typer.Typer(pretty_exceptions_enable=False)
    add_commands(app)
    add_decisions(app)
    command = get_command(app)

    def type_words(*words: str) -> tuple[int, str]:
        said = ""
        try:
            code = command.main(args=[*words], standalone_mode=False) or 0
        except QuorateError as error:
            code, said = get_exit_code(error), error.message
        out, err = capfdbinary.readouterr()
        return code, out.decode() + err.decode() + said

    return type_words


def find_first(quorate: Type) -> str:
    """The id of the first decision there is."""
    said = quorate("decisions", "list", "--json")[1]
    return json.loads(said[said.index("{\n") : said.rindex("}") + 1])["decisions"][0]["id"]


def vote(path: Path, *said: object, **plan: Any) -> int:
    """Have scripted voters decide, as `quorate decide` does."""

    async def work() -> int:
        agents = build_voters(*said)
        motion = Motion(
            question="Which?", voters=tuple(one.name for one in agents), plan=Plan(**{"options": AB, **plan})
        )
        async with open_runtime(Settings(database=str(path / "quorate.db")), agents=agents) as runtime:
            return await put_to_vote(runtime, motion, Order())

    return asyncio.run(work())


def test_ballots_are_shown_and_the_record_is_there(quorate: Type, tmp_path: Path) -> None:
    """A line for each ballot, the result, what to type next; then the record as words and as JSON, and the verdict."""
    code = vote(
        tmp_path,
        write("a", reason="it \x1b[31mfits", confidence=0.9, evidence=["disk 99 %"]),
        write("b"),
        DOWN,
        write("a"),
    )
    _, said = quorate("decisions", "list")
    for told in (
        "ballot 1: 4 may vote by majority, quorum 0.5: a | b", "✓ v1: a  (it \\x1b[31mfits)", "✗ v3 casts no ballot",
        "Decided: a  (by vote)", "3 of 4 (75%)", "margin", "dissent  v2", "quorate decisions verify dec-",
    ):  # fmt: skip
        assert told in said, told
    assert (code, "\x1b" in said) == (0, False)
    found = json.loads(quorate("decisions", "list", "--status", "decided", "--json")[1])["decisions"]
    assert [(one["winner"], one["by"]) for one in found] == [("a", "vote")]
    decision = found[0]["id"]
    _, shown = quorate("decisions", "show", decision, "--ballots")
    for told in ("v1 (an agent, 90% sure), not signed", "- disk 99 %", "| it \\x1b[31mfits", "(failed)", "dissent: v2"):
        assert told in shown, told
    assert json.loads(quorate("decisions", "show", decision, "--json")[1])["rounds"][0]["winner"] == "a"
    code, said = quorate("decisions", "verify", decision)
    assert (code, "It holds: counted again, a won" in said, "No secret seals it" in said) == (0, True, True)
    code, said = quorate("decisions", "outcome", decision, "--truth", "a", "--reason", "it was full")
    assert (code, "decision     right" in said) == (0, True), said
    assert quorate("decisions", "outcome", decision, "--truth", "b")[0] == 2
    assert "100% of 1" in quorate("decisions", "quality")[1]


def test_nothing_decided_has_an_exit_code_of_its_own(quorate: Type, tmp_path: Path) -> None:
    """The reason is told, and no winner is."""
    code = vote(tmp_path, *choose("a", "b"))
    _, said = quorate("decisions", "list", "--status", "none")
    assert (code, "Nothing is decided." in said, "ties are refused" in said) == (UNDECIDED, True, True)
    assert "Decided: " not in said


@pytest.mark.parametrize("is_covered", [False, True])
def test_a_changed_byte_is_found(is_covered: bool, quorate: Type, tmp_path: Path) -> None:
    """Also where whoever changed it mends the row's own checksum. part of row D7"""
    vote(tmp_path, write("a", reason="it fits"), *choose("a", "b"))
    decision = find_first(quorate)
    assert quorate("decisions", "verify", decision)[0] == 0
    with sqlite3.connect(tmp_path / "quorate.db") as database:
        found = database.execute("SELECT seq, body FROM events WHERE kind = 'vote.cast'").fetchall()
        seq, body = next((seq, bytes(body)) for seq, body in found if b"it fits" in bytes(body))
        new = body.replace(b"it fits", b"it fitz")
        checksum = zlib.crc32(new if is_covered else body)
        database.execute("UPDATE events SET body = ?, checksum = ? WHERE seq = ?", (new, checksum, seq))
    code, said = quorate("decisions", "verify", decision)
    assert (code, "It does not hold" in said) == (1, True), said
    assert ("something was changed" in said) == is_covered
    assert json.loads(quorate("decisions", "verify", decision, "--json")[1])["holds"] is False


def test_people_vote_in_their_own_name(quorate: Type) -> None:
    """The run rests until the one who is asked has answered; all that is wrong with a ballot is told before it counts."""
    code, said = quorate("decide", "Which?", "-o", "a", "-o", "b", "-v", "person:ada", "--secret", "--json")
    found = json.loads(said[said.index("{") : said.rindex("}") + 1])
    decision, run = found["decision"]["id"], found["run_id"]
    assert (code, found["status"], [one["of"] for one in found["waits_for"]]) == (5, "waiting", ["ada"])
    assert "cast" in quorate("decisions", "show", decision)[1]
    for words, told in (
        (("--choice", "x", "--by", "ada"), "the options are 'a', 'b'"),
        (("--choice", "a", "--by", "eve"), "waits for 'ada', and not for 'eve'"),
        (("--score", "a", "--choice", "a", "--ballot", "{}", "--by", "ada"), "2 faults"),
        (("--rank", "a", "--by", "ada"), "does not read `ranking`"),
        (("--by", "ada"), "it is empty"),
    ):
        code, said = quorate("decisions", "cast", decision, *words)
        assert (code in (2, 7), told in said) == (True, True), said
    assert quorate("decisions", "cast", decision, "--choice", "a", "--reason", "so", "--by", "ada")[0] == 0
    assert quorate("decisions", "cast", decision, "--choice", "a", "--by", "ada")[0] == 2
    assert "so" not in quorate("decisions", "show", decision)[1].partition("Ballot 1")[2]

    async def go_on() -> None:
        async with open_runtime(Settings(database="quorate.db")) as runtime:
            await (await runtime.resume(run)).wait()

    asyncio.run(go_on())
    assert "person:ada" in quorate("decisions", "show", decision)[1]
    code, said = quorate("decisions", "replay", decision)
    assert (code, "It is the same." in said) == (0, True), said


def test_a_decision_of_a_programs_own_council_is_counted_again(quorate: Type, tmp_path: Path) -> None:
    """Its agent is known to that program alone, so that its run is not played again, which is told."""

    async def work() -> None:
        board = council("board", build_voters(write("a")), Plan(options=AB))
        async with open_runtime(Settings(database=str(tmp_path / "quorate.db"))) as runtime:
            await (await runtime.submit("Which?", agent=board)).wait()

    asyncio.run(work())
    code, said = quorate("decisions", "replay", find_first(quorate))
    assert (code, "'board' is not known here" in said, "It is the same." in said) == (0, True, True), said


def test_a_person_with_a_key_signs_its_own_ballot(quorate: Type, tmp_path: Path) -> None:
    """Queued for a worker first; what is signed for something else is told, and never handed in."""
    private, public = make_key()
    (tmp_path / "plan.toml").write_text(f'rule = "borda"\nkeys = {{ "person:ada" = "{public}" }}\n')
    words = ("-o", "a", "-o", "b", "-v", "person:ada", "--file", "plan.toml", "--detach")
    code, said = quorate("decide", "Which?", *words)
    run = said.split()[0]

    async def go_on() -> None:
        async with open_runtime(Settings(database="quorate.db")) as runtime:
            handle = await runtime.take(await runtime.show(run)) or await runtime.resume(run)
            await handle.wait()

    asyncio.run(go_on())
    decision = find_first(quorate)
    shown = quorate("decisions", "show", decision)[1]
    paper = msgspec.json.decode(shown.partition("signed over ")[2].partition("}")[0] + "}", type=Paper)
    assert (code, paper.decision, paper.voter) == (0, decision, "person:ada")
    ballot = Ballot(ranking=("b", "a"), reason="mine")

    def cast(signed: object) -> tuple[int, str]:
        return quorate("decisions", "cast", decision, "--ballot", msgspec.json.encode(signed).decode(), "--by", "ada")

    assert (
        "signs its ballots by a key of its own"
        in quorate("decisions", "cast", decision, "--rank", "b", "--by", "ada")[1]
    )
    assert "was signed for ballot 2" in cast(sign_ballot(private, structs.replace(paper, round=2), ballot))[1]
    assert "does not read `choice`" in cast(sign_ballot(private, paper, Ballot(choice="a")))[1]
    assert cast(sign_ballot(private, paper, ballot))[0] == 0
    asyncio.run(go_on())
    shown = quorate("decisions", "show", decision, "--ballots")[1]
    assert ("signed (ed25519)" in shown, "b > a" in shown, "Decided: b" in shown) == (True, True, True)
    assert quorate("decisions", "verify", decision)[0] == 0


def test_all_that_is_wrong_is_told_before_anybody_is_asked(quorate: Type, tmp_path: Path) -> None:
    """Of what is typed and of a file, at once; nothing is recorded."""
    (tmp_path / "plan.toml").write_text(
        'voters = ["nobody", "log-analysis"]\nrule = "majorty"\ndebate = "two"\nquroum = 1\n'
    )
    code, said = quorate("decide", "-o", "a", "-o", "a", "--quorum", "2", "--weight", "v", "--file", "plan.toml")
    assert code == 2
    for told in (
        "the question has 0 characters", "voter 'nobody'", "voter 'log-analysis': it follows its playbook", "`rule`", "majority", "`debate` does not fit", "'quroum'",
        "`quorum` is 2.0", "`--weight v` is no `name=number`", "`options` names 'a' more than once",
    ):  # fmt: skip
        assert told in said, told
    assert "no such decisions" in quorate("decisions", "list")[1]


def test_what_is_typed_goes_before_a_file(tmp_path: Path) -> None:
    motion = build_motion({"question": "?", "voters": ["x"], "options": ["a"], "fallback": ["debate:2", "abort"]}, [])
    assert (motion.voters, motion.plan.options, len(motion.plan.chain)) == (("x",), ("a",), 2)
    faults: list[str] = []
    assert build_motion({"question": "?", "quorum": "all", "rule": "veto"}, faults).plan == Plan(rule="veto")
    assert len(faults) == 1


def test_a_secret_vote_shows_nothing_before_it_is_closed() -> None:
    """Neither as lines nor as a table."""
    board = BallotBoard()
    facts = {"run": "run-1", "time": 1.0, "decision": "dec-1"}
    opened = VoteOpened(
        **facts, seq=1, key="o", question="?", options=AB, roll=("v", "w"), rule="majority", quorum=0.5, secret=True
    )
    board.add(opened)
    told = board.add(VoteCast(**facts, seq=2, key="c", voter="v", choice="a", reason="why"))
    told += board.add(VoteRefused(**facts, seq=3, key="r", voter="w", why="late", detail="b"))
    assert (told, {row.choice for row in board.rows.values()}) == ([], {HAS_VOTED})
    closed = board.add(VoteClosed(**facts, seq=4, key="d", winner="a", turnout=0.5, status="decided", why="a has 1"))
    assert [line.split()[0] for line in closed] == ["✓", "✗", "ballot"]
    assert (board.rows["v"].choice, board.rows["w"].choice) == ("a", "(late)")
    assert build_table(board, "1 s")
    board.add(structs.replace(opened, round=2, secret=False))
    assert board.add(VoteCast(**facts, seq=6, key="c", voter="v", choice="b")) == ["  ✓ v: b"]
