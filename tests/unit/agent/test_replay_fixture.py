"""Is a recording in a file what was recorded, without secrets, and can a test use it?"""

import hashlib
from pathlib import Path

import msgspec
import pytest

from quorate import Agent, InvalidInput, MemoryLog, RunOptions, ScriptedModel, UpstreamError, tool
from quorate.agent.replay.fixture import build_recording, find_leaks, load_recording, save_recording
from quorate.errors import CorruptState, Nondeterministic, QuorateError
from quorate.events import AnyEvent
from quorate.messages import Message, Text
from quorate.models.scripted import call
from quorate.testing.recorded import RecordedModel, check_replay

pytestmark = pytest.mark.blocking
KEY = "sk-" + hashlib.sha256(b"quorate").hexdigest()[:40]


@tool(effect="idempotent")
async def look(name: str) -> str:
    """Look."""
    return f"{name} is fine"


def build(*script, **facts) -> Agent:
    return Agent("a", model=ScriptedModel(list(script)), tools=[look], **facts)


async def record(agent: Agent, task: str = "go") -> list[AnyEvent]:
    log = MemoryLog()
    await agent.run(task, log=log, options=RunOptions(run_id="run-1"))
    return await log.read("run-1")


async def test_a_recording_is_read_as_it_was_written(tmp_path: Path) -> None:
    """A header that tells what it is, then the events, each on a line. row: C14"""
    agent = build(call("look", name="a"), "done", version="7")
    history = (Message(role="user", parts=(Text(text="before"),)),)
    recording = build_recording(await record(agent), agent=agent, history=history)
    save_recording(recording, tmp_path / "run.jsonl")
    assert load_recording(tmp_path / "run.jsonl") == recording
    lines = (tmp_path / "run.jsonl").read_bytes().splitlines()
    header = msgspec.json.decode(lines[0])
    assert (header["agent"], header["agent_version"], header["run"], header["events"]) == (
        "a",
        "7",
        "run-1",
        len(lines) - 1,
    )
    assert list(header["asked"]) == ["1/model"]
    with pytest.raises(InvalidInput, match="is there already"):
        save_recording(recording, tmp_path / "run.jsonl")
    save_recording(recording, tmp_path / "run.jsonl", replace=True)
    with pytest.raises(InvalidInput, match="cannot be written"):
        save_recording(recording, tmp_path / "none/run.jsonl")


async def test_a_test_checks_a_replay(tmp_path: Path) -> None:
    """The same agent passes; a changed one fails with the first difference and the steps. row: C14 E13"""
    save_recording(build_recording(await record(build(call("look", name="a"), "done"))), tmp_path / "run.jsonl")
    recording = load_recording(tmp_path / "run.jsonl")
    assert (await check_replay(build(), recording)).is_identical
    with pytest.raises(AssertionError) as caught:
        await check_replay(build(instructions="Other."), recording)
    words = str(caught.value)
    assert "differs from event 3 (1/model), digest on" in words
    assert "What the model is asked has changed: the instructions." in words
    assert 'call look {"name":"a"} → a is fine' in words


async def test_a_recorded_model_works_with_real_tools() -> None:
    """It says at each step what was said there; a step that was not recorded is an error. row: C14"""
    recording = build_recording(await record(build(call("look", name="a"), "done")))
    model = RecordedModel(recording)
    agent = Agent("a", model=model, tools=[look])
    assert (await agent.run("go")).output == "done"
    assert len(model.requests) == 2
    streamed = [item async for item in agent.run_stream("go")]
    assert streamed[-1].output == "done"  # type: ignore[union-attr]
    picky = Agent("a", model=RecordedModel(recording), tools=[look], output_type=int)
    with pytest.raises(Nondeterministic, match="Step '3/model' of run 'run-1' was not recorded"):
        await picky.run("go")


async def test_a_recorded_failure_is_told() -> None:
    """A model that failed then fails now."""
    agent = build(UpstreamError("it is down", status=503))
    log = MemoryLog()
    with pytest.raises(QuorateError):
        await agent.run("go", log=log, options=RunOptions(run_id="run-1"))
    model = RecordedModel(build_recording(await log.read("run-1")))
    with pytest.raises(Nondeterministic, match=r"failed \(upstream_error\): it is down"):
        await Agent("a", model=model).run("go")


async def test_secrets_are_refused_or_replaced(tmp_path: Path) -> None:
    """Wherever they stand, also in arguments and far into a line; what is saved replays still. row: C14"""
    script = [call("look", name=KEY), f"done with {KEY}"]
    events = await record(build(*script), task="x " * 3000 + f"use {KEY}")
    assert {leak.path for leak, _ in find_leaks(events)} >= {"messages[0].parts[0].text", "call.arguments", "output"}
    with pytest.raises(InvalidInput, match=r"looks like secrets .*a model provider's key") as caught:
        build_recording(events)
    assert KEY not in str(caught.value)
    history = (Message(role="user", parts=(Text(text=KEY),)),)
    with pytest.raises(InvalidInput, match="history"):
        build_recording(await record(build("done")), history=history)
    recording = build_recording(events, scrub=True)
    save_recording(recording, tmp_path / "run.jsonl")
    assert KEY not in (tmp_path / "run.jsonl").read_text()
    assert recording.header.scrubbed == 1
    assert (await check_replay(build(), load_recording(tmp_path / "run.jsonl"))).is_identical
    with pytest.raises(AssertionError, match="the instructions"):
        await check_replay(build(instructions="Other."), recording)


async def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """Cut off, changed, of a newer version, or no recording at all."""
    path = tmp_path / "run.jsonl"
    save_recording(build_recording(await record(build("done"))), path)
    whole = path.read_text()
    for text, error, words in (
        ("\n".join(whole.splitlines()[:-1]), CorruptState, "is not what was saved"),
        (whole.replace('"done"', '"gone"'), CorruptState, "is not what was saved"),
        (whole.replace('"recording":1', '"recording":9'), CorruptState, "has version 9"),
        (whole.replace('"schema":"1.', '"schema":"9.'), CorruptState, "Upgrade Quorate"),
        (whole.replace('"kind":"model.replied"', '"kind":"model.sang"'), CorruptState, "does not verify"),
        ("hello\n", InvalidInput, "the first line"),
        ("", InvalidInput, "the first line"),
    ):
        path.write_text(text)
        with pytest.raises(error, match=words):
            load_recording(path)
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_recording(tmp_path / "none.jsonl")
