"""Can an evaluation go on where it ended, whatever ended it?"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from msgspec import structs

from quorate.catalog.evaluation.case import Case, Contains
from quorate.catalog.evaluation.grade import Grade
from quorate.catalog.evaluation.junit import write_junit
from quorate.catalog.evaluation.report import Configuration, Record, build_digest, build_question, build_report
from quorate.catalog.evaluation.saved import Heading, open_book, read_book
from quorate.catalog.evaluation.select import select_cases
from quorate.errors import Conflict, InvalidInput, UnknownName

pytestmark = pytest.mark.blocking
HEADING = Heading(id="eval-1", planned=3, configuration=Configuration(model="m", seed=1))
ONE = Record(case="a", digest="d", repeat=1, outcome="passed", run="run-1", score=1.0, cost_usd=0.25)
TWO = structs.replace(ONE, case="b", outcome="failed", why="it lacks 'x'")


def test_records_are_there_as_they_come(tmp_path: Path) -> None:
    """What is written is read again as a report, and another try goes on behind it."""
    path = tmp_path / "a.jsonl"
    with open_book(path, HEADING, resume=False) as book:
        book.add(ONE)
        report = read_book(path)
        assert (report.id, report.records, report.is_partial) == ("eval-1", (ONE,), True)
    with open_book(path, structs.replace(HEADING, id="eval-2"), resume=True) as book:
        assert (book.heading.id, book.records) == ("eval-1", (ONE,))
        book.add(TWO)
    assert read_book(path).figures.cost_usd == 0.5
    with open_book(path, structs.replace(HEADING, planned=9), resume=True) as book:
        assert len(book.records) == 2
    assert (read_book(path).planned, len(read_book(path).records)) == (9, 2)


def test_a_line_that_was_cut_is_written_again(tmp_path: Path) -> None:
    """A process that was killed while it wrote costs the one record that was not whole."""
    path = tmp_path / "a.jsonl"
    with open_book(path, HEADING, resume=False) as book:
        book.add(ONE)
    path.write_bytes(path.read_bytes() + b'{"case":"b","dig')
    with open_book(path, HEADING, resume=True) as book:
        assert book.records == (ONE,)
        book.add(TWO)
    assert [record.case for record in read_book(path).records] == ["a", "b"]


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    """Nor is a file overwritten, or gone on with under another configuration."""
    path = tmp_path / "a.jsonl"
    with (
        open_book(path, HEADING, resume=False),
        pytest.raises(Conflict, match="Another process writes"),
        open_book(path, HEADING, resume=True),
    ):
        pass
    with pytest.raises(InvalidInput, match="go on with it by `--resume`"), open_book(path, HEADING, resume=False):
        pass
    other = structs.replace(HEADING, configuration=Configuration(model="other"))
    with pytest.raises(InvalidInput, match="another configuration"), open_book(path, other, resume=True):
        pass


@pytest.mark.parametrize("content", [b"", b"[]\n", b'{"quorate":"other"}\n', b"\xff\xfe\n"])
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """With its line."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"is empty|a\.jsonl:1: this is no record"):
        read_book(path)
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_book(tmp_path / "gone.jsonl")


def test_junit_is_xml_whatever_an_answer_holds() -> None:
    """Control characters and markup of answers cannot break it."""
    grades = (Grade(grader="exact", passed=False, score=0.0, why="it is '\x00<b>\ud800'"),)
    bad = structs.replace(TWO, why="\x1b]0;<x>&", grades=grades)
    skipped = structs.replace(ONE, case="c", outcome="skipped", why="it needs postgres")
    root = ElementTree.fromstring(
        write_junit(build_report("e", [ONE, bad, skipped], planned=3, configuration=Configuration()))
    )
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("3", "1", "1")
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.get("message") == "?]0;<x>&"
    assert [one.get("value") for one in root.iter("property") if one.get("name") == "run"] == ["run-1"] * 3


def test_cases_are_chosen_by_tags_and_ids() -> None:
    """Unknown ids are refused with the nearest, and nothing to do is no success."""
    cases = [Case(id=name, request="x", expects=(Contains(all=("x",)),), tags=(name[0],)) for name in ("ab", "ac", "b")]
    assert [case.id for case in select_cases(cases, tags=["a"])] == ["ab", "ac"]
    assert [case.id for case in select_cases(cases, names=["b"])] == ["b"]
    with pytest.raises(UnknownName, match="Did you mean `ab`"):
        select_cases(cases, names=["abb"])
    with pytest.raises(InvalidInput, match="There are no such cases"):
        select_cases(cases, tags=["z"])
    with pytest.raises(InvalidInput, match="come twice: b"):
        select_cases([*cases, cases[-1]])


def test_a_case_that_asks_something_else_is_another_one() -> None:
    """Its tags and scripts make no difference."""
    case = Case(id="a", request="x", expects=(Contains(all=("x",)),))
    assert build_digest(case) == build_digest(structs.replace(case, tags=("t",), script=("x",)))
    assert build_digest(case) != build_digest(structs.replace(case, request="y"))
    assert build_digest(case) != build_digest(structs.replace(case, agent="b"))
    assert build_question(case) == build_question(structs.replace(case, agent="b"))
