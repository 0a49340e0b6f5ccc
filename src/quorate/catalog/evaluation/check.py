"""What is wrong with a case, all of it at once?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from quorate.catalog.evaluation.answer import NAMES
from quorate.catalog.evaluation.case import (
    CASE_ID,
    MOST_REQUEST,
    Case,
    Contains,
    Decided,
    Fits,
    Grader,
    Holds,
    Judged,
    Matches,
    Routed,
)
from quorate.conditions import compile_condition
from quorate.errors import InvalidInput, MissingExtra, QuorateError, ToolError
from quorate.ids import PATTERN
from quorate.models.guards.answers import AnswerSchema
from quorate.tools.builtin.files.regex import LinearPattern

MOST_EXPECTS = 50
MOST_SCRIPT = 200
Place = tuple[str | int, ...]
"""Where in a case: names of keys, and numbers in lists."""
Fault = tuple[Place, str]
"""Where, and what is wrong and what to do."""


def find_faults(case: Case) -> list[Fault]:
    """List what is wrong with the values of a case whose types fit."""
    faults = [*_check_request(case), *_check_expects(case), *_check_kind(case), *_check_fixture(case)]
    if len(case.script) > MOST_SCRIPT:
        faults.append((("script",), f"the script has {len(case.script)} turns; at most {MOST_SCRIPT}"))
    return faults


def _check_request(case: Case) -> Iterator[Fault]:
    if not CASE_ID.fullmatch(case.id):
        yield ("id",), f"`id` {case.id[:80]!r} is not one: use at most 128 of `a-z`, `0-9`, `.`, `_` and `-`"
    if not case.request.strip():
        yield ("request",), "`request` is empty; write what is asked"
    elif len(case.request) > MOST_REQUEST:
        yield ("request",), f"`request` has {len(case.request)} characters; at most {MOST_REQUEST}"
    for number, tag in enumerate(case.tags):
        if not PATTERN.fullmatch(tag):
            yield ("tags", number), f"tag {tag[:80]!r} is not a name; use `a-z`, `0-9` and `-`"


def _check_expects(case: Case) -> Iterator[Fault]:
    if not case.expects:
        yield ("expects",), "`expects` is empty, so that anything would pass; say what must hold"
    if len(case.expects) > MOST_EXPECTS:
        yield ("expects",), f"`expects` has {len(case.expects)} entries; at most {MOST_EXPECTS}"
    for number, one in enumerate(case.expects):
        for key, what in _check_grader(one):
            yield ("expects", number, key), what


def _check_kind(case: Case) -> Iterator[Fault]:
    wanted = {"agent": (), "route": (Routed, Holds), "decision": (Decided, Holds, Judged)}[case.kind]
    for number, one in enumerate(case.expects):
        if wanted and not isinstance(one, wanted):
            yield ("expects", number), f"a case of kind {case.kind!r} cannot expect this; it gives no such answer"
        elif not wanted and isinstance(one, Routed | Decided):
            kind = "route" if isinstance(one, Routed) else "decision"
            yield ("expects", number), f"only a case of kind {kind!r} can expect this; write `kind = {kind!r}`"
    if case.kind == "route" and case.agent:
        yield ("agent",), "a case of kind 'route' asks who does it; take `agent` out"
    if case.kind == "decision" and bool(case.poll) == bool(case.agent):
        yield ("poll",), "a decision is made by a `poll` or by an `agent`; give one of them"
    if case.kind != "decision" and case.poll is not None:
        yield ("poll",), "only a case of kind 'decision' has a `poll`; take it out"
    if case.agent and not PATTERN.fullmatch(case.agent):
        yield ("agent",), f"`agent` {case.agent[:80]!r} is not a name; use `a-z`, `0-9` and `-`"
    if case.poll is not None:
        yield from _check_poll(case)


def _check_fixture(case: Case) -> Iterator[Fault]:
    fixture = case.fixture
    if fixture is None:
        return
    for key, paths in (("files", fixture.files), ("databases", fixture.databases)):
        for path in paths:
            if not is_inside(path):
                yield (
                    ("fixture", key, path),
                    f"{path!r:.80} is no path in the workspace; write it from there, without `..`",
                )
    if fixture.serves and not fixture.files:
        yield ("fixture", "serves"), "there are no files to serve; add some, or take `serves` out"
    for number, name in enumerate(fixture.needs):
        if not PATTERN.fullmatch(name):
            yield ("fixture", "needs", number), f"{name!r:.80} is not a name; use `a-z`, `0-9` and `-`"


def is_inside(path: str) -> bool:
    """Whether a path stays in the folder that it is read from."""
    parts = path.lower().split("/")  # where case does not count, `.GIT` is the repository's own as well
    return len(path) <= 200 and "\\" not in path and "\0" not in path and not {"", ".", "..", ".git"} & set(parts)


def _check_poll(case: Case) -> Iterator[Fault]:
    assert case.poll is not None
    options, voters = case.poll.options, case.poll.voters
    if len(options) < 2 or len(set(options)) < len(options) or not all(options):
        yield ("poll", "options"), f"`options` has {len(options)} entries; give at least 2 different ones"
    if not voters or len(set(voters)) < len(voters):
        yield ("poll", "voters"), f"`voters` has {len(voters)} entries; give at least one, each once"
    for number, one in enumerate(case.expects):
        if isinstance(one, Decided) and one.winner is not None and one.winner not in options:
            yield ("expects", number, "winner"), f"`winner` {one.winner!r:.80} is none of the options"


def _check_grader(grader: Grader) -> Iterator[tuple[str, str]]:
    if isinstance(grader, Contains):
        words = [*grader.all, *grader.any, *grader.none]
        if not words:
            yield "all", "it looks for nothing; give `all`, `any` or `none`"
        elif not all(words):
            yield "all", "it looks for empty words; take them out"
    elif isinstance(grader, Matches):
        yield from _try("pattern", lambda: LinearPattern(grader.pattern))
    elif isinstance(grader, Fits):
        yield from _try("schema", lambda: AnswerSchema(grader.schema))
    elif isinstance(grader, Holds):
        yield from _try("condition", lambda: compile_condition(grader.condition, names=NAMES))
    elif isinstance(grader, Judged):
        if not grader.rubric.strip():
            yield "rubric", "`rubric` is empty; say what a good answer is"
    elif isinstance(grader, Decided) and grader.winner is None and grader.status is None:
        yield "winner", "it expects nothing; give `winner`, `status` or both"


def _try(key: str, build: Callable[[], object]) -> Iterator[tuple[str, str]]:
    try:
        build()
    except (InvalidInput, ToolError, MissingExtra) as error:
        yield key, f"`{key}`: {error.message}"
    except QuorateError as error:
        yield key, f"`{key}` cannot be used: {error.message}"
