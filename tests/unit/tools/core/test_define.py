"""Does a plain function become a tool that is checked both ways and bounded?"""

import asyncio
import enum
import threading
import time
from dataclasses import dataclass
from typing import Annotated, Literal, TypedDict

import msgspec
import pytest
from jsonschema import Draft202012Validator
from msgspec import Meta, Struct
from pydantic import BaseModel

from quorate import Image, InvalidInput, Limits, RunContext, Tool, ToolCall, ToolResult, tool
from quorate.clock import SYSTEM_CLOCK
from quorate.errors import Unavailable
from quorate.ports import RunInfo
from quorate.tools.export import build_anthropic_tools, build_openai_tools, build_openapi


class Owner:
    def emit(self, item: object) -> None: ...
    def cancel(self, reason: str = "") -> None: ...
    def find(self, key: str) -> None: ...


def context(call: ToolCall, seconds: float = 60.0) -> RunContext[object]:
    info = RunInfo(run="run-1", agent="a", limits=Limits(), deadline=time.monotonic() + seconds)
    return RunContext(info=info, deps=None, key="1/tool/x", call=call, clock=SYSTEM_CLOCK, owner=Owner())


async def use(made: object, arguments: str, seconds: float = 60.0) -> ToolResult:
    assert isinstance(made, Tool)
    call = ToolCall(id="x", name=made.name, arguments=arguments)
    return await made.call(call, context(call, seconds))


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


class Box(Struct):
    width: Annotated[int, Meta(ge=1)]


@dataclass
class Point:
    x: int
    y: int = 0


class Movie(TypedDict):
    title: str


class Person(BaseModel):
    name: str
    friend: "Person | None" = None


@tool(effect="idempotent", timeout_s=5, version="2", tags=("test",), examples=({"host": "a"},))
async def everything(
    host: Annotated[str, Meta(max_length=5, description="Given by Meta.")],
    record: Literal["A", "MX"] = "A",
    level: Level = Level.LOW,
    box: Box | None = None,
    point: Point = Point(1),  # noqa: B008
    movie: Movie | None = None,
    person: Person | None = None,
    either: int | str = 3,
    many: list[int] = [],  # noqa: B006
) -> dict[str, object]:
    """Take one of each.

    A longer explanation.

    Args:
        host: Not used, as Meta says more.
        record: The record's type,
            on two lines.
        box (Box): A box.

    Returns:
        Everything.
    """
    return {"host": host, "record": record, "level": level, "box": box, "point": point, "person": person, "many": many}


def test_the_schema_comes_from_hints_and_docstring() -> None:
    """Constraints, enums, unions, nested types, defaults and descriptions make a valid schema. row: C2"""
    spec = everything.spec
    Draft202012Validator.check_schema(spec.parameters)
    properties = spec.parameters["properties"]
    assert isinstance(properties, dict)
    assert spec.description == "Take one of each.\n\nA longer explanation."
    assert properties["host"] == {"type": "string", "maxLength": 5, "description": "Given by Meta."}
    assert properties["record"] == {
        "enum": ["A", "MX"],
        "default": "A",
        "description": "The record's type, on two lines.",
    }
    assert properties["box"]["description"] == "A box."
    assert properties["many"]["items"] == {"type": "integer"}
    assert spec.parameters["required"] == ["host"]
    assert spec.parameters["additionalProperties"] is False
    assert (spec.version, spec.tags, spec.timeout_s, spec.effect) == ("2", ("test",), 5, "idempotent")
    assert {"Box", "Point", "Movie", "Person", "Level"} <= set(spec.parameters["$defs"])  # type: ignore[call-overload]
    Draft202012Validator(spec.parameters).validate({"host": "a", "person": {"name": "x", "friend": {"name": "y"}}})
    assert (everything.returns or {})["type"] == "object"


async def test_arguments_are_decoded_into_their_types() -> None:
    """Nested structs, dataclasses, enums and pydantic models arrive as such. row: C2"""
    result = await use(
        everything, '{"host":"a","level":"high","box":{"width":2},"point":{"x":5},"person":{"name":"Ann"},"many":[1]}'
    )
    assert not result.is_error
    assert result.content == (
        '{"host":"a","record":"A","level":"high","box":{"width":2},"point":{"x":5},'
        '"person":{"name":"Ann","friend":null},"many":[1]}'
    )


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ('{"host":"abcdef"}', "Expected `str` of length <= 5 - at `$.host`"),
        ("{}", "Object missing required field `host`"),
        ('{"host":"a","nope":1}', "Object contains unknown field `nope`"),
        ('{"host":"a","box":{"width":0}}', "Expected `int` >= 1 - at `$.box.width`"),
        ('{"host":"a","record":"TXT"}', "Invalid enum value 'TXT' - at `$.record`"),
        ('{"host":"a"', "Input data was truncated"),
        ("[]", "Expected `object`, got `array`"),
        ('{"host":"a","person":{"age":1}}', "name"),
        ('{"host":"\ud800"}', "surrogates not allowed"),
        ('{"host":' + "[" * 2000 + "]" * 2000 + "}", "nests deeper than 64 levels"),
        ('{"host":"' + "x" * (1 << 20) + '"}', "at most 1048576 are read"),
    ],
)
async def test_bad_arguments_name_path_and_cause(arguments: str, cause: str) -> None:
    """What a model can mend comes back naming the tool, the argument's path and the cause. row: C2"""
    result = await use(everything, arguments)
    assert result.is_error
    assert result.code == "invalid_input"
    assert str(result.content).startswith("Tool `everything` failed (invalid_input): the arguments are not valid: ")
    assert cause in str(result.content)


async def test_results_are_validated() -> None:
    """A result that is not what the signature says is the author's fault, and is raised. row: C2"""

    @tool
    async def wrong() -> list[int]:
        """Return the wrong type."""
        return ["a"]  # type: ignore[list-item]

    with pytest.raises(
        InvalidInput,
        match=r"Tool 'wrong' returned what its signature does not allow: Expected `int`, got `str` - at `\$\[0\]`",
    ):
        await use(wrong, "{}")

    @tool
    async def odd() -> object:
        """Return what cannot be written."""
        return object()

    with pytest.raises(InvalidInput, match="a object cannot be written as JSON"):
        await use(odd, "{}")


async def test_parts_are_results_too() -> None:
    """Pictures go to the model as parts, alone or with words."""

    @tool
    async def picture() -> Image:
        """Draw."""
        return Image(data=b"\x89PNG")

    assert (await use(picture, "{}")).content == (Image(data=b"\x89PNG"),)


async def test_a_result_that_is_too_large_is_refused() -> None:
    """A result has a bound; the model is told to ask for less."""

    @tool
    async def flood() -> list[int]:
        """Flood."""
        return list(range(300_000))

    result = await use(flood, "{}")
    assert result.is_error
    assert "more than 1048576; ask for less" in str(result.content)


async def test_a_timeout_holds_for_a_blocking_tool() -> None:
    """0.2 s means under 0.3 s, though the function blocks its thread for longer. row: C3

    A machine that is busy with other things may be late now and then; what does not hold is always late.
    """
    release = threading.Event()

    @tool(timeout_s=0.2)
    def blocking() -> str:
        """Block."""
        release.wait(60)
        return "late"

    try:
        for _ in range(20):
            began = time.monotonic()
            result = await use(blocking, "{}")
            took = time.monotonic() - began
            assert (result.is_error, result.code) == (True, "deadline_exceeded")
            assert "it did not answer within 0.2 s" in str(result.content)
            assert took >= 0.2
            if took < 0.3:
                break
    finally:
        release.set()
    assert took < 0.3


async def test_the_runs_deadline_shortens_a_call() -> None:
    """A call has no more time than its run. row: C3"""

    @tool(timeout_s=50)
    async def slow() -> str:
        """Wait."""
        await asyncio.Event().wait()
        return ""

    began = time.monotonic()
    assert (await use(slow, "{}", seconds=0.05)).code == "deadline_exceeded"
    assert time.monotonic() - began < 30


async def test_a_timeout_of_the_tools_own_is_not_ours() -> None:
    """A `TimeoutError` that a tool raises is its failure, not our deadline."""

    @tool
    async def own() -> str:
        """Time out inside."""
        raise TimeoutError("the server is slow")

    result = await use(own, "{}")
    assert (result.code, "the server is slow" in str(result.content)) == ("tool_crashed", True)


async def test_sync_tools_run_beside_the_loop_and_see_the_context() -> None:
    """A synchronous tool runs in a thread, with the caller's context variables, and may be given the run's context."""

    @tool
    def where(run: RunContext[None]) -> str:
        """Tell."""
        return f"{run.run} {threading.current_thread() is threading.main_thread()}"

    assert (await use(where, "{}")).content == "run-1 False"


async def test_concurrency_of_a_tool_is_bounded() -> None:
    """At most so many calls of a tool run at once. row: C2"""
    now, most = 0, 0

    @tool(max_concurrency=2)
    async def narrow() -> str:
        """Count."""
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(3):
            await asyncio.sleep(0)
        now -= 1
        return ""

    await asyncio.gather(*(use(narrow, "{}") for _ in range(9)))
    assert most == 2


async def test_typed_errors_for_the_operator_are_raised() -> None:
    """An error that a model cannot mend is raised as it is."""

    @tool
    async def gone() -> str:
        """Fail."""
        raise Unavailable("the store is gone")

    with pytest.raises(Unavailable, match="the store is gone"):
        await use(gone, "{}")


def test_signatures_that_cannot_be_a_schema_are_refused() -> None:
    """The error names the tool, the parameter and what to write."""

    @tool
    async def untyped(x) -> str:  # type: ignore[no-untyped-def]
        """Have no type."""
        return ""

    with pytest.raises(InvalidInput, match="Parameter 'x' of tool 'untyped' has no type: write `x: str`"):
        _ = untyped.spec

    @tool
    async def star(*rest: int) -> str:
        """Take any."""
        return ""

    with pytest.raises(InvalidInput, match=r"Parameter '\*rest: int' of tool 'star' cannot be filled by name"):
        _ = star.spec

    @tool
    async def foreign(x: threading.Lock) -> str:  # type: ignore[valid-type]
        """Take what JSON cannot hold."""
        return ""

    with pytest.raises(InvalidInput, match=r"cannot be JSON|No JSON Schema can be made of"):
        _ = foreign.spec

    @tool
    async def missing(x: "Nowhere") -> str:  # type: ignore[name-defined]  # noqa: F821
        """Name what is not there."""
        return ""

    with pytest.raises(InvalidInput, match="The types of tool 'missing' cannot be read"):
        _ = missing.spec


async def test_a_tool_is_still_its_function() -> None:
    """It can be called as before, and a mutable default is not shared between calls."""
    assert (await everything("a"))["host"] == "a"

    @tool
    async def collect(items: list[int] = []) -> int:  # noqa: B006
        """Collect."""
        items.append(1)
        return len(items)

    assert [(await use(collect, "{}")).content, (await use(collect, "")).content] == ["1", "1"]
    assert repr(everything) == "<Tool everything>"


def test_exports_validate() -> None:
    """OpenAI, Anthropic and OpenAPI forms hold valid schemas with every reference resolved. row: C2"""
    specs = everything.specs()
    for exported in (
        build_openai_tools(specs)[0]["function"]["parameters"],
        build_anthropic_tools(specs)[0]["input_schema"],
    ):  # type: ignore[index]
        Draft202012Validator.check_schema(exported)  # type: ignore[arg-type]
    document = build_openapi(specs)
    components = document["components"]["schemas"]  # type: ignore[index]
    body = document["paths"]["/tools/everything"]["post"]["requestBody"]["content"]["application/json"]["schema"]  # type: ignore[index]
    assert body["properties"]["point"]["$ref"] == "#/components/schemas/everything.Point"  # type: ignore[index]
    assert {"everything.Point", "everything.Person"} <= set(components)
    Draft202012Validator({**body, "components": document["components"]}).validate(
        {"host": "a", "person": {"name": "x"}}
    )  # type: ignore[dict-item]


def test_plain_arguments_have_the_same_schema_as_any_other() -> None:
    """The short way for plain values says what the general way says."""

    @tool
    async def plain(a: int, b: str = "x", *, c: float = 0.5, d: bool = False) -> str:
        """Take plain values."""
        return ""

    general = msgspec.json.schema(
        msgspec.defstruct(
            "plain",
            [("a", int), ("b", str, "x"), ("c", float, 0.5), ("d", bool, False)],
            kw_only=True,
            forbid_unknown_fields=True,
        )
    )
    expected = general["$defs"]["plain"]
    del expected["title"]
    assert plain.spec.parameters == expected


async def test_parts_are_bounded_too() -> None:
    """Pictures over the bound are refused, as texts are."""

    @tool
    async def film() -> Image:
        """Give too much."""
        return Image(data=b"x" * (17 << 20))

    result = await use(film, "{}")
    assert (result.is_error, "more than 16777216; ask for less" in str(result.content)) == (True, True)


def test_options_hold_also_where_the_function_is_given_at_once() -> None:
    """`tool(function, effect=…)` is the decorator without its sign: nothing of it is dropped."""

    def fetch(page: str) -> str:
        """Fetch a page."""
        return page

    made = tool(fetch, name="get", effect="idempotent")  # type: ignore[call-overload]
    assert (made.spec.name, made.spec.effect) == ("get", "idempotent")
