"""Is the final answer what it must be, whatever the model can do?"""

import asyncio
from dataclasses import dataclass
from typing import Literal

import pytest
from msgspec import Struct
from pydantic import BaseModel

from quorate import Agent, Incomplete, InvalidInput, ScriptedModel, ToolCall, tool
from quorate.agent.output import Output
from quorate.models.scripted import call
from quorate.specs import ModelProfile

NATIVE = ModelProfile(name="native")
TOOLS = ModelProfile(name="tools", native_output=False)
WORDS = ModelProfile(name="words", native_output=False, tools=False)


class Diagnosis(Struct):
    cause: str
    severity: Literal["low", "high"]


@dataclass
class Point:
    x: int


class Person(BaseModel):
    name: str
    age: int


class Cat(Struct, tag="cat"):
    lives: int


class Dog(Struct, tag="dog"):
    tricks: list[str]


GOOD = '{"cause":"disk full","severity":"high"}'


async def test_native_output_is_decoded() -> None:
    """A model that enforces schemas is given the schema, and its answer is typed. row: B5"""
    model = ScriptedModel([GOOD], profile=NATIVE)
    result = await Agent("a", model=model, output_type=Diagnosis).run("x")
    assert result.output == Diagnosis(cause="disk full", severity="high")
    assert model.requests[0].output is not None
    assert model.requests[0].output.json_schema["required"] == ["cause", "severity"]


async def test_output_by_tool_call() -> None:
    """A model without schemas answers by calling `final_result`."""
    model = ScriptedModel(["thinking aloud", call("final_result", cause="disk full", severity="high")], profile=TOOLS)
    result = await Agent("a", model=model, output_type=Diagnosis).run("x")
    assert result.output.cause == "disk full"
    assert [spec.name for spec in model.requests[0].tools] == ["final_result"]
    assert "by calling the tool `final_result`" in model.requests[1].messages[-1].text


async def test_output_by_words() -> None:
    """A model that can do neither is asked in words, and a fence around its JSON is taken off."""
    model = ScriptedModel([f"```json\n{GOOD}\n```"], profile=WORDS)
    result = await Agent("a", model=model, instructions="Be brief.", output_type=Diagnosis).run("x")
    assert result.output.severity == "high"
    assert model.requests[0].instructions.startswith("Be brief.\n\nAnswer with JSON alone")


@pytest.mark.parametrize("profile", [NATIVE, TOOLS])
async def test_at_most_two_repairs(profile: ModelProfile) -> None:
    """An answer that does not fit is sent back with its fault twice, and then the run is incomplete."""

    def answer(text: str) -> str | ToolCall:
        return text if profile is NATIVE else ToolCall(id="", name="final_result", arguments=text)

    bad = answer('{"cause":"x","severity":"huge"}')
    mended = ScriptedModel([bad, bad, answer(GOOD)], profile=profile)
    result = await Agent("a", model=mended, output_type=Diagnosis).run("x")
    assert result.status == "completed"
    last = mended.requests[1].messages[-1].parts[0]
    told = last.text if profile is NATIVE else last.content  # type: ignore[union-attr]
    assert (
        told
        == "The answer does not fit the schema: Invalid enum value 'huge' - at `$.severity`\nMend it and answer again."
    )

    result = await Agent("a", model=ScriptedModel([bad] * 9, profile=profile), output_type=Diagnosis).run("x")
    assert (result.status, result.events[-1].limit) == ("incomplete", "output")  # type: ignore[union-attr]
    with pytest.raises(Incomplete, match="did not fit after 2 repairs"):
        _ = result.output


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        (Point, '{"x":1}', Point(1)),
        (Person, '{"name":"Ann","age":3}', Person(name="Ann", age=3)),
        (list[int], '{"result":[1,2]}', [1, 2]),
        (list[int], "[1,2]", [1, 2]),
        (int, '{"result":7}', 7),
        (bool, "true", True),
        (Cat | Dog, '{"type":"dog","tricks":["sit"]}', Dog(["sit"])),
        (Point | str, "just words", "just words"),
        (Point | str, '{"x":2}', Point(2)),
    ],
)
def test_any_json_type_can_be_an_output(type_: object, text: str, value: object) -> None:
    """Structs, dataclasses, pydantic models, unions, lists and plain values are read, and written back for the log."""
    output = Output(type_)
    assert output.read(text) == value
    assert output.read(output.write(value)) == value


def test_a_pydantic_fault_is_told_as_such() -> None:
    """What pydantic refuses goes back to the model in pydantic's words."""
    with pytest.raises(InvalidInput, match="age"):
        Output(Person).read('{"name":"Ann","age":"old"}')


async def test_a_type_without_schema_is_refused_before_the_run() -> None:
    """An output type that JSON cannot hold is the author's to mend."""
    with pytest.raises(InvalidInput, match="No JSON Schema can be made of"):
        await Agent("a", model=ScriptedModel(["x"]), output_type=asyncio.Lock).run("x")


async def test_final_result_is_a_reserved_name() -> None:
    """A tool may not be named as the answer is."""

    @tool
    async def final_result() -> str:
        """Clash."""
        return ""

    with pytest.raises(InvalidInput, match="which is how it answers"):
        await Agent("a", model=ScriptedModel(["x"]), tools=[final_result], output_type=Diagnosis).run("x")
