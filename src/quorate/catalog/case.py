"""What is an agent tried on, as its own file says it?"""

from __future__ import annotations

import msgspec
from msgspec import Struct, structs

MOST_FIXTURE_CHARACTERS = 64_000
FIXTURE_NEEDS = ("postgres", "redis")
"""What a case may need that is not made of its file."""
Answered = str | dict[str, object]
"""An answer in words, or by its fields."""


class ScriptedCall(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call that a scripted model makes; the tool really runs."""

    tool: str
    arguments: dict[str, object] = {}


class Expected(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What must be true of an answer, all of it."""

    holds: tuple[str, ...] = ()
    """CEL over `output`, `text`, `calls` (the names of tools that were called) and `request`."""
    contains: tuple[str, ...] = ()
    """What stands in the answer's text."""
    lacks: tuple[str, ...] = ()
    """What does not."""
    matches: tuple[str, ...] = ()
    """Patterns that are found in it."""
    calls: tuple[str, ...] = ()
    """Tools that were called."""


class Case(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A request with all that it needs, and what must come of it."""

    request: str
    files: dict[str, str] = {}
    """What is in the workspace, by path."""
    databases: dict[str, str] = {}
    """SQLite databases in the workspace, each with the SQL that makes it."""
    repository: bool = False
    """Whether the workspace is a git repository with these files committed."""
    serves: bool = False
    """Whether the files are served over HTTP; `{url}` stands for where."""
    needs: tuple[str, ...] = ()
    """Servers without which it cannot be done; `{postgres}` and `{redis}` stand for their names."""
    script: tuple[ScriptedCall, ...] = ()
    """The calls that a scripted model makes before it answers."""
    answer: Answered | None = None
    """What a good answer is; without one, the agent's playbook answers."""
    wrong: Answered | None = None
    """A bad one that must be refused: words, or the fields that replace those of `answer`."""
    expect: Expected

    @property
    def counter_answer(self) -> Answered | None:
        """The whole of the bad answer."""
        if isinstance(self.answer, dict) and isinstance(self.wrong, dict):
            return {**self.answer, **self.wrong}
        return self.wrong


def write_answer(answer: Answered) -> str:
    """Write an answer as a model would."""
    return answer if isinstance(answer, str) else msgspec.json.encode(answer).decode()


def count_expectations(expected: Expected) -> int:
    """Count what must be true."""
    values: list[tuple[str, ...]] = [*structs.astuple(expected)]
    return sum(map(len, values))
