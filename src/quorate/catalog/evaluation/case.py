"""What is asked to see how good something is, and what is expected of the answer?"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct

from quorate.specs import Limits

CASE_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
"""The grammar of a case's id: safe in file names, in keys and on a terminal."""
MOST_REQUEST = 100_000
"""Characters of a request."""
Kind = Literal["agent", "route", "decision"]
"""What a case looks at: the answer of an agent, the choice of one, or what several decide."""
Share = Annotated[float, Meta(ge=0.0, le=1.0)]


class Exact(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="exact", tag_field="grader"):
    """The answer is this very value: text, but for space around it, or what its JSON holds."""

    equals: object
    ignore_case: bool = False
    """Whether text may be spelled in other case."""


class Contains(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="contains", tag_field="grader"):
    """The answer's text holds words and lacks others."""

    all: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    ignore_case: bool = True


class Matches(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="regex", tag_field="grader"):
    """A line of the answer's text matches a pattern, which is searched for in linear time."""

    pattern: str
    ignore_case: bool = False
    absent: bool = False
    """Whether no line may match instead."""


class Fits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="schema", tag_field="grader"):
    """The answer is JSON that fits a JSON Schema."""

    schema: dict[str, object]


class Holds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="cel", tag_field="grader"):
    """A condition in CEL holds; it reads the names of `quorate.catalog.evaluation.answer.NAMES`."""

    condition: str


class Judged(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="judge", tag_field="grader"):
    """A judge, who reads a rubric, gives at least this score."""

    rubric: str
    at_least: Share = 0.7
    judge: str = ""
    """The agent that judges; the evaluation's own when empty."""


class Routed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="route", tag_field="grader"):
    """The request goes to one of these agents, or to none."""

    agents: tuple[str, ...] = ()
    """Any of them is right; with none of them, the request must be refused."""
    top: Annotated[int, Meta(ge=1, le=20)] = 1
    """Among how many of the best one of them must be."""


class Decided(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="decision", tag_field="grader"):
    """A decision comes to this."""

    winner: str | None = None
    status: str | None = None
    """Such as `decided`, `tied` or `no_quorum`."""


Grader = Exact | Contains | Matches | Fits | Holds | Judged | Routed | Decided
"""What an expectation can be; `grader` says which."""


class ScriptedCall(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call of a tool that a scripted model makes."""

    tool: str
    arguments: dict[str, object] = {}


Line = str | ScriptedCall
"""One turn of a scripted model: words, or a call."""


class Poll(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who decides between what, and how."""

    options: tuple[str, ...]
    voters: tuple[str, ...]
    """Agents, by name."""
    rule: str = "majority"
    quorum: Share = 0.5


class Fixture(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What there is to work on: a workspace of its own, that is gone afterwards."""

    files: dict[str, str] = {}
    """Texts by their paths in the workspace."""
    databases: dict[str, str] = {}
    """The SQL that makes each SQLite file, by its path."""
    repository: bool = False
    """Whether the files are committed to a git repository."""
    serves: bool = False
    """Whether the files are served over HTTP on loopback; `{url}` in requests and scripts stands for where."""
    needs: tuple[str, ...] = ()
    """What else must be there, such as `postgres`; `{postgres}` stands for its name. Else the case is skipped."""


class Case(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing that is asked, and what is expected."""

    id: str
    """One of a kind in an evaluation."""
    request: str
    expects: tuple[Grader, ...]
    """What must hold, all of it."""
    kind: Kind = "agent"
    agent: str = ""
    """Who is asked; whom routing chooses when empty."""
    poll: Poll | None = None
    """Who decides between what; else the agent does, a team that votes or a workflow."""
    tags: tuple[str, ...] = ()
    script: tuple[Line, ...] = ()
    """What the model `scripted` says as the agent that is asked, turn by turn."""
    scripts: dict[str, tuple[Line, ...]] = {}
    """What it says as other agents, by their names: voters and delegates."""
    limits: Limits | None = None
    """Instead of the agent's own."""
    fixture: Fixture | None = None
    """What the agent works on, where that is not the workspace that there is."""
    refused: bool = False
    """Whether it is right when what is expected does not hold: the script gives a wrong answer on purpose."""
