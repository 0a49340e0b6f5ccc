"""Can a group of tools be renamed, filtered, time-boxed and guarded without touching the tools?"""

import asyncio

import pytest

from quorate import Agent, Filtered, InvalidInput, Prefixed, Renamed, ScriptedModel, TimeBoxed, UnknownName, tool
from quorate.models.scripted import call
from quorate.tools.toolsets import Toolbox


@tool(effect="idempotent")
async def read(name: str) -> str:
    """Read."""
    return f"read {name}"


@tool(effect="unsafe")
async def delete(name: str) -> str:
    """Delete."""
    return f"deleted {name}"


@tool(timeout_s=40)
async def hang() -> str:
    """Hang."""
    await asyncio.Event().wait()
    return ""


async def told(toolset: object, *calls: object) -> list[str]:
    result = await Agent("a", model=ScriptedModel([list(calls), "ok"]), tools=[toolset]).run("x")  # type: ignore[list-item]
    return [str(part.content) for part in result.messages[2].parts]  # type: ignore[union-attr]


async def test_a_prefix_is_on_every_name() -> None:
    """The model sees and calls the new names; the tools are called under their own. row: B7"""
    files = Prefixed(Toolbox([read, delete]), "file_")
    assert [spec.name for spec in files.specs()] == ["file_read", "file_delete"]
    assert await told(files, call("file_read", name="x")) == ["read x"]
    assert "There is no tool 'read'" in (await told(files, call("read", name="x")))[0]


async def test_some_tools_get_other_names() -> None:
    """Only the named ones change; an unknown name is refused at once."""
    renamed = Renamed(Toolbox([read, delete]), {"delete": "remove"})
    assert await told(renamed, call("remove", name="x"), call("read", name="y")) == ["deleted x", "read y"]
    with pytest.raises(UnknownName, match=r"There is no tool .delet.\. Did you mean"):
        Renamed(Toolbox([read, delete]), {"delet": "remove"})


async def test_a_filter_is_an_allow_list() -> None:
    """What was not kept is neither shown nor callable. row: B7"""
    safe = Filtered(Toolbox([read, delete]), lambda spec: spec.effect == "idempotent")
    assert [spec.name for spec in safe.specs()] == ["read"]
    assert "There is no tool 'delete'" in (await told(safe, call("delete", name="x")))[0]


async def test_a_time_box_is_the_shorter_time() -> None:
    """Every call is cut at the box's time, whatever the tool allows itself. row: C3"""
    boxed = TimeBoxed(Toolbox([hang, read]), 0.05)
    assert [spec.timeout_s for spec in boxed.specs()] == [0.05, 0.05]
    assert await told(boxed, call("hang"), call("read", name="x")) == [
        "Tool `hang` failed (deadline_exceeded): it did not answer within 0.05 s",
        "read x",
    ]


def test_a_name_may_come_once() -> None:
    """Two tools of one name are refused when the box is built. row: C2"""
    with pytest.raises(InvalidInput, match="Two tools are named 'read'"):
        Toolbox([read, read])


async def test_plain_functions_agents_and_toolsets_mix() -> None:
    """All that can be a tool can stand in one list; anything else is refused. row: E15"""

    async def plain(n: int) -> int:
        """Double."""
        return 2 * n

    helper = Agent("helper", model=ScriptedModel(["helped"]))
    agent = Agent(
        "a",
        model=ScriptedModel([[call("plain", n=2), call("helper", task="x"), call("read", name="y")], "ok"]),
        tools=[plain, helper, Toolbox([read])],
    )
    result = await agent.run("x")
    assert [part.content for part in result.messages[2].parts] == ["4", "helped", "read y"]  # type: ignore[union-attr]
    with pytest.raises(InvalidInput, match="3 is not a tool"):
        await Agent("a", model=ScriptedModel(["x"]), tools=[3]).run("x")
