"""When is the form of answer that somebody asks for an agent's own?"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Struct
from pydantic import BaseModel

from quorate import Agent
from quorate.errors import InvalidInput
from quorate.server.shapes import check_shape, is_same


class Cause(Struct):
    """Why."""

    name: str
    sure: float = 1.0


class Verdict(Struct):
    causes: list[Cause]
    note: str | None = None


class Why(BaseModel):
    name: str
    sure: float


class Finding(BaseModel):
    causes: list[Why]
    note: str | None


def test_other_words_for_the_same_form() -> None:
    """References, titles, and how strictly it is kept make no difference; fields and their types do."""
    agent = Agent("judge", output_type=Verdict)
    check_shape(agent, Finding.model_json_schema(), field="response_format")
    check_shape(agent, None, field="response_format")
    other: dict[str, Any] = {"type": "object", "properties": {"causes": {"type": "string"}}}
    bare: dict[str, Any] = {"type": "object", "properties": {}}
    for schema in (bare, other):
        with pytest.raises(InvalidInput, match="another form"):
            check_shape(agent, schema, field="response_format")
    for words in (str, list[str]):
        with pytest.raises(InvalidInput, match="in words"):
            check_shape(Agent("talker", output_type=words), None, field="response_format")


def test_a_schema_without_end_is_nobodys() -> None:
    """One that refers to itself, and one that doubles with every line."""
    endless = {"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}}
    assert not is_same(endless, endless)
    doubling = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(30)}
    assert not is_same({"$ref": "#/$defs/d0", "$defs": doubling}, {"type": "object"})
    assert not is_same({"$ref": "#/nowhere/at/all"}, {"type": "object"})
