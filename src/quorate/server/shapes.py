"""Does an agent's own form of answer serve somebody who asks for a form?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from quorate.agent.agent import AnyAgent
from quorate.errors import InvalidInput
from quorate.tools.schema import build_schema

MAX_DEPTH = 32
MAX_NODES = 10_000
WORDS = frozenset(
    {"title", "description", "default", "examples", "additionalProperties", "required", "$defs", "$schema"}
)
"""What two schemas of the same form may differ in: how they are described, and how strictly they are kept."""
Schema = Mapping[str, object]


def check_shape(agent: AnyAgent, asked: Schema | None, *, field: str) -> None:
    """Return if an agent's answers have the form that is asked for; an agent's form is its own.

    Args:
        agent: Who answers.
        asked: The JSON Schema of the answer; `None` for any JSON object.
        field: Which field of the request asks for it.

    Raises:
        InvalidInput: They have another one.
    """
    own = find_shape(agent)
    if own is None:
        raise InvalidInput(
            f"`{field}` asks for JSON, and the agent {agent.name!r} answers in words: leave it out.", param=field
        )
    if asked is not None and not is_same(asked, own):
        raise InvalidInput(
            f"`{field}` asks for another form than that of the agent {agent.name!r}: leave it out, or give the schema "
            "of its own answers.",
            param=field,
        )


def find_shape(agent: AnyAgent) -> Schema | None:
    """Find the schema of an agent's answers; `None` where they are words, or JSON that is no object."""
    if agent.output_type is str:
        return None
    schema = build_schema(agent.output_type)
    return schema if schema.get("type") == "object" else None


def is_same(one: Schema, other: Schema) -> bool:
    """Whether the same values have the form of both, as far as schemas that programs make tell."""
    try:
        return _Flat(one).write(one) == _Flat(other).write(other)
    except _Endless:
        return False


class _Endless(Exception):
    """A schema that has no end when it is written out, or is larger than any should be."""


class _Flat:
    """Writes a schema without references, and without what it is only described by."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._left = MAX_NODES

    def write(self, node: object, depth: int = 0) -> object:
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise _Endless
        if isinstance(node, list):
            return [self.write(one, depth + 1) for one in cast("list[object]", node)]
        if not isinstance(node, dict):
            return node
        schema = cast("dict[str, object]", node)
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self.write(self._resolve(reference), depth + 1)
        flat: dict[str, object] = {}
        for name, value in schema.items():
            if name == "properties" and isinstance(value, dict):
                children = cast("dict[str, object]", value)
                flat[name] = {key: self.write(child, depth + 1) for key, child in children.items()}
            elif name not in WORDS:
                flat[name] = self.write(value, depth + 1)
        return flat

    def _resolve(self, reference: str) -> object:
        found: object = self._root
        for step in reference.removeprefix("#/").split("/"):
            found = _get(found, step)
        return found


def _get(node: object, name: str) -> object:
    return cast("dict[str, object]", node).get(name) if isinstance(node, dict) else None
