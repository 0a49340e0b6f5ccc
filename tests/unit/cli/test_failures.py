"""Does every end have the exit code that the page promises?"""

import re
from pathlib import Path

import pytest

from quorate import errors
from quorate.cli.failures import EXIT_CODES, STATUS_CODES, describe, get_exit_code, get_status_code

PAGE = Path(__file__).resolve().parents[3] / "docs/reference/exit-codes.md"


def test_the_page_lists_every_code() -> None:
    """The table of the docs is the table of the code. row: C17"""
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.QuorateError("x"), 1),
        (errors.UnknownName("agent", "x"), 2),
        (errors.NotFound("x"), 2),
        (errors.MissingExtra("x", "cli"), 3),
        (errors.Incomplete("x"), 4),
        (errors.Waiting("x"), 5),
        (errors.Unavailable("x"), 6),
        (errors.StorageFull("x"), 6),
        (errors.Unauthenticated("x"), 7),
        (errors.Cancelled("x"), 130),
    ],
)
def test_errors_have_codes(error: errors.QuorateError, code: int) -> None:
    """What a script can act on differs, and is in the page. row: C17"""
    assert get_exit_code(error) == code
    assert code in EXIT_CODES


def test_every_way_a_run_can_end_has_a_code() -> None:
    """An unknown one is a failure, never a success."""
    assert set(STATUS_CODES.values()) <= set(EXIT_CODES)
    assert get_status_code("running") == 1


def test_a_failure_is_one_line_and_a_list_of_faults_is_many() -> None:
    """Only files have a line for each fault; a run's failure says where to look."""
    assert describe(errors.NotFound("gone\nand more")) == "gone and more"
    assert describe(errors.InvalidFiles("the settings", ["a:1: x", "b:2: y"])).count("\n") == 2
    hint = describe(errors.UpstreamError("no", run="run-1"))
    assert hint == "no Look at it with `quorate runs show run-1 --events`."
