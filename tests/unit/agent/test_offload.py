"""Do large outputs go where they can be read in pieces, and small ones stay as they are?"""

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate import tool
from quorate.agent.artifacts import MAX_READ, Excerpt, artifact_tools
from quorate.agent.offload import Offloaded, keep_text, offload_output
from quorate.clock import SYSTEM_CLOCK
from quorate.events import AnyEvent, ArtifactSaved
from quorate.messages import Delta, File, Image, Text, ToolCall, ToolResult
from quorate.ports import RunContext, RunInfo
from quorate.specs import Limits
from quorate.state.artifacts import ArtifactStore, RunArtifactsView
from quorate.state.backends.memory import open_memory_store
from quorate.tools.toolsets import Toolbox

LARGE = "".join(f"line {number}\n" for number in range(20_000))


class Owner:
    """What a call may reach of its run: here, a list of what it recorded."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []

    def emit(self, item: Delta) -> None: ...

    def cancel(self, reason: str = "") -> None: ...

    def find(self, key: str) -> AnyEvent | None:
        return next((event for event in self.events if event.key == key), None)

    def record(self, kind: Callable[..., AnyEvent], key: str, **facts: object) -> None:
        self.events.append(kind(run="run-1", seq=len(self.events) + 1, time=0.0, key=key, **facts))


class Reach:
    """Services that have artifacts alone."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store

    def open_artifacts(self, context: RunContext[object]) -> RunArtifactsView:
        return RunArtifactsView.of(self.store, context)


class Desk:
    """A run at work: makes calls of its tools."""

    def __init__(self, store: ArtifactStore | None) -> None:
        self.store = store
        self.owner = Owner()

    async def call(
        self, toolset: object, name: str, /, *, id: str = "c-1", run: str = "run-1", **arguments: object
    ) -> ToolResult:
        call = ToolCall(id=id, name=name, arguments=msgspec.json.encode(arguments).decode())
        return await toolset.call(call, self.open(call, run))  # pyright: ignore[reportAttributeAccessIssue]

    def open(self, call: ToolCall, run: str = "run-1") -> RunContext[object]:
        info = RunInfo(run=run, agent="a", limits=Limits(), deadline=SYSTEM_CLOCK.monotonic() + 60, tenant="acme")
        return RunContext(
            info=info,
            deps=None,
            key=f"1/tool/{call.id}",
            call=call,
            clock=SYSTEM_CLOCK,
            owner=self.owner,
            services=None if self.store is None else Reach(self.store),  # pyright: ignore[reportArgumentType]
        )


@asynccontextmanager
async def open_desk(**options: object) -> AsyncIterator[Desk]:
    async with open_memory_store() as store:
        yield Desk(ArtifactStore(store.values, store.blobs, clock=SYSTEM_CLOCK, **options))  # pyright: ignore[reportArgumentType]


@tool(effect="idempotent")
async def dump(size: int = 0, kind: str = "text") -> str:
    """Give text of a size."""
    return {"text": LARGE, "json": json.dumps(list(range(size))), "wide": "ü€𝄞" * size, "small": "x" * size}[kind]


@tool(effect="idempotent")
async def dump_parts(size: int) -> tuple[Text | Image | File, ...]:
    """Give words, pictures and a file."""
    data = bytes(size)
    photo, file = Image(data=data), File(media_type="Weird Type!", data=data)
    return (Text(text="see:"), photo, Image(data=b"small"), file, Text(text="x" * size))


def find_handle(result: ToolResult) -> str:
    assert isinstance(result.content, str)
    found = re.search(r"art-[0-9a-f]{28}", result.content)
    assert found is not None
    return found[0]


async def test_a_large_result_is_kept_and_shown_in_part() -> None:
    """The model gets the handle, size, type, beginning and end, and how to read the rest.

    row: E11
    """
    async with open_desk() as desk:
        result = await desk.call(Offloaded(dump), "dump")
        assert isinstance(result.content, str)
        assert not result.is_error
        assert len(result.content) < 3000
        handle = find_handle(result)
        assert f"artifact {handle} (dump-c-1, text/plain, {len(LARGE)} bytes)" in result.content
        assert "line 0\n" in result.content
        assert result.content.endswith("line 19999\n")
        assert "`read_artifact`" in result.content
        context = desk.open(ToolCall(id="x", name="x"))
        assert (await context.artifacts.load(handle)).decode() == LARGE


async def test_what_was_kept_is_noted_in_the_log() -> None:
    """Below the step's key, under which the log must still find the step; and once, however often it is made."""
    async with open_desk() as desk:
        first = await desk.call(Offloaded(dump), "dump")
        second = await desk.call(Offloaded(dump), "dump")
        assert first == second
        (event,) = desk.owner.events
        assert isinstance(event, ArtifactSaved)
        assert event.key == f"1/tool/c-1/artifact/{event.artifact}"
        assert (event.name, event.size, event.media_type) == ("dump-c-1", len(LARGE), "text/plain")
        other = await desk.call(Offloaded(dump), "dump", id="c-2")
        assert find_handle(other) != find_handle(first)


@pytest.mark.parametrize("size", [0, 100, 65_536])
async def test_a_small_result_is_left_alone(size: int) -> None:
    """Up to the limit itself."""
    async with open_desk() as desk:
        result = await desk.call(Offloaded(dump), "dump", kind="small", size=size)
        assert result.content == "x" * size
        assert desk.owner.events == []
        assert find_handle(await desk.call(Offloaded(dump), "dump", kind="small", size=65_537))


async def test_bytes_are_counted_and_not_characters() -> None:
    """A text of wide characters is large sooner, and is not cut in one."""
    async with open_desk() as desk:
        result = await desk.call(Offloaded(dump, above_bytes=8000, head_chars=4000), "dump", kind="wide", size=1000)
        assert isinstance(result.content, str)
        context = desk.open(ToolCall(id="x", name="x"))
        assert (await context.artifacts.load(find_handle(result))).decode() == "ü€𝄞" * 1000
        assert "[… 1125 characters are left out …]" in result.content


async def test_json_is_told_from_text() -> None:
    async with open_desk() as desk:
        result = await desk.call(Offloaded(dump), "dump", kind="json", size=30_000)
        assert "application/json" in str(result.content)


async def test_pictures_and_files_that_are_large_are_kept_too() -> None:
    """Each by itself; what is small stays."""
    async with open_desk() as desk:
        result = await desk.call(Offloaded(dump_parts), "dump_parts", size=70_000)
        shown = result.content
        assert isinstance(shown, tuple)
        assert [type(part).__name__ for part in shown] == ["Text", "Text", "Image", "Text", "Text"]
        assert shown[0] == Text(text="see:")
        assert "[Image kept as artifact art-" in shown[1].text  # pyright: ignore[reportAttributeAccessIssue]
        assert "image/png, 70000 bytes" in shown[1].text  # pyright: ignore[reportAttributeAccessIssue]
        assert "application/octet-stream" in shown[3].text  # pyright: ignore[reportAttributeAccessIssue]
        assert len(desk.owner.events) == 3


async def test_without_a_store_results_are_passed_on() -> None:
    """An agent that runs by itself works as before."""
    result = await Desk(None).call(Offloaded(dump), "dump")
    assert result.content == LARGE


async def test_what_is_too_large_to_keep_goes_back_to_the_model() -> None:
    """It may ask for less."""
    async with open_desk(max_bytes=70_000) as desk:
        result = await desk.call(Offloaded(dump), "dump")
        assert result.is_error
        assert result.code == "too_large"
        assert "Ask for less." in str(result.content)


@pytest.mark.parametrize("call_id", ["../../x", "a/b c\0", "ü" * 500, "", "art-" + "0" * 28])
async def test_any_call_id_gives_a_name(call_id: str) -> None:
    """A provider may call its calls whatever it likes."""
    async with open_desk() as desk:
        result = await desk.call(Offloaded(dump), "dump", id=call_id)
        assert find_handle(result)


@pytest.mark.parametrize("above_bytes", [1, 10, 1000, 5000])
async def test_what_is_shown_is_less_than_what_is_kept(above_bytes: int) -> None:
    """However little may stay in the message."""
    async with open_desk() as desk:
        result = await desk.call(Offloaded(dump, above_bytes=above_bytes), "dump", kind="small", size=above_bytes + 1)
        assert find_handle(result)
        shown = str(result.content).split("]\n", 1)[1]
        assert shown.count("x") <= above_bytes


async def test_what_was_asked_for_of_an_artifact_is_shown() -> None:
    """It is not kept as another artifact, of which again only the beginning would be shown."""
    async with open_desk() as desk:
        tools = Offloaded(Toolbox([dump, *artifact_tools()]), above_bytes=5000)
        handle = find_handle(await desk.call(tools, "dump"))
        result = await desk.call(tools, "read_artifact", artifact=handle, length=2000)
        assert len(str(result.content)) > 15_000
        assert str(result.content).endswith("line 1999\n")


async def test_the_tools_are_those_of_the_inner_toolset() -> None:
    assert Offloaded(Toolbox([dump])).specs() == [dump.spec]


async def test_a_final_output_is_kept_above_a_size() -> None:
    """And only then."""
    async with open_desk() as desk:
        artifacts = desk.open(ToolCall(id="x", name="x")).artifacts
        assert await offload_output("short", artifacts=artifacts, name="output") is None
        told = await offload_output(LARGE, artifacts=artifacts, name="output")
        assert told is not None
        assert "(output, text/plain" in told
        info = await artifacts.find("output")
        assert info is not None
        assert info.id in told


async def test_words_no_log_takes_are_mended() -> None:
    async with open_desk() as desk:
        artifacts = desk.open(ToolCall(id="x", name="x")).artifacts
        assert "a?b" in await keep_text("a\ud800b" * 100, artifacts=artifacts, name="x")


async def test_a_model_reads_line_by_line() -> None:
    """From where it was told to go on, to the end.

    row: E11
    """
    async with open_desk() as desk:
        tools = Toolbox(artifact_tools())
        handle = find_handle(await desk.call(Offloaded(dump), "dump"))
        found, offset = "", 0
        while True:
            result = await desk.call(tools, "read_artifact", artifact=handle, offset=offset, length=3000)
            assert isinstance(result.content, str)
            head, _, text = result.content.partition("\n")
            found += text
            more = re.search(r"go on with offset=(\d+)", head)
            if more is None:
                break
            offset = int(more[1])
        assert "20000 lines" in head
        assert found == LARGE


async def test_a_model_reads_bytes() -> None:
    async with open_desk() as desk:
        tools = Toolbox(artifact_tools())
        saved = await desk.call(tools, "save_artifact", name="notes.md", text="0123456789", media_type="text/markdown")
        assert json.loads(str(saved.content))["version"] == 1
        result = await desk.call(tools, "read_artifact", artifact="notes.md", offset=3, length=4, unit="bytes")
        assert str(result.content).endswith("Here are bytes 3 to 7; go on with offset=7.]\n3456")
        beyond = await desk.call(tools, "read_artifact", artifact="notes.md", offset=100, length=4, unit="bytes")
        assert "Here are bytes 100 to 100.]" in str(beyond.content)


async def test_what_is_no_text_is_not_shown() -> None:
    async with open_desk() as desk:
        context = desk.open(ToolCall(id="x", name="x"))
        info = await context.artifacts.save("photo", bytes(100), media_type="image/png")
        result = await desk.call(Toolbox(artifact_tools()), "read_artifact", artifact=info.id)
        assert result.is_error
        assert "is no text but image/png, 100 bytes" in str(result.content)


@pytest.mark.parametrize("artifact", ["art-" + "0" * 28, "nothing", "../../etc/passwd", "a\0b"])
async def test_an_artifact_that_is_not_there_is_told_to_the_model(artifact: str) -> None:
    """It may have mistyped it."""
    async with open_desk() as desk:
        result = await desk.call(Toolbox(artifact_tools()), "read_artifact", artifact=artifact)
        assert result.is_error
        assert "There is no artifact" in str(result.content)


async def test_another_runs_artifact_is_not_there() -> None:
    """A model that guessed or was told a handle gets no further by it.

    row: E11
    """
    async with open_desk() as desk:
        handle = find_handle(await desk.call(Offloaded(dump), "dump"))
        result = await desk.call(Toolbox(artifact_tools()), "read_artifact", artifact=handle, run="run-2")
        assert result.is_error
        assert "There is no artifact" in str(result.content)


@pytest.mark.parametrize("name", ["../x", "a\0", "/etc/passwd"])
async def test_a_name_that_is_a_path_goes_back_to_the_model(name: str) -> None:
    async with open_desk() as desk:
        result = await desk.call(Toolbox(artifact_tools()), "save_artifact", name=name, text="x")
        assert result.is_error
        assert "artifact name" in str(result.content)


@given(
    text=st.text(alphabet="ab\n€", max_size=200),
    offset=st.integers(0, 60),
    length=st.integers(1, 60),
    step=st.integers(1, 50),
)
def test_an_excerpt_is_what_one_would_cut_out(text: str, offset: int, length: int, step: int) -> None:
    """Of lines and of bytes, in whatever pieces they come."""
    data = text.encode()
    pieces = [data[begin : begin + step] for begin in range(0, len(data), step)]
    by_line, by_byte = Excerpt(offset, length, lines=True), Excerpt(offset, length, lines=False)
    for piece in pieces:
        by_line.feed(piece)
        by_byte.feed(piece)
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    assert by_line.finish() == "".join(lines[offset : offset + length])
    assert (by_line.total, by_line.given) == (len(lines), len(lines[offset : offset + length]))
    assert by_byte.finish() == data[offset : offset + length].decode("utf-8", "replace")
    assert by_byte.total == len(data)


def test_an_excerpt_is_bounded() -> None:
    """It ends behind a whole line; of one that is too long by itself, there is a part."""
    excerpt = Excerpt(0, 10, lines=True)
    for _ in range(100):
        excerpt.feed(b"x" * 10_000)
    assert len(excerpt.finish()) == MAX_READ
    assert (excerpt.is_cut, excerpt.given) == (True, 0)
    excerpt = Excerpt(1, 10, lines=True)
    for _ in range(100):
        excerpt.feed(b"x" * 9_999 + b"\n")
    assert len(excerpt.finish()) == 30_000
    assert (excerpt.is_cut, excerpt.given, excerpt.total) == (True, 3, 100)


async def test_a_line_that_is_too_long_is_read_as_bytes() -> None:
    async with open_desk() as desk:
        context = desk.open(ToolCall(id="x", name="x"))
        info = await context.artifacts.save("long", "y" * 50_000 + "\nend")
        result = await desk.call(Toolbox(artifact_tools()), "read_artifact", artifact=info.id)
        head, _, text = str(result.content).partition("\n")
        assert text == "y" * MAX_READ
        assert head.endswith(
            "50004 bytes, 2 lines. Line 0 is too long: here are its first 32000 characters; read it with unit=bytes.]"
        )
