"""Do hooks take effect on the calls of a real run, and does its log tell the same when it goes on or is replayed?"""

import json
from collections.abc import Sequence

import pytest
from msgspec import structs
from tests.unit.hooks.making import ANY, failing, make, saying

from quorate import Agent, Approved, InvalidInput, MemoryLog, RunOptions, ScriptedModel, Tool, tool
from quorate.agent.replay import replay_exactly
from quorate.errors import BlockedByPolicy
from quorate.events import AnyEvent, GuardBlocked, ToolFailed, ToolFinished, get_kind
from quorate.hooks.composite import first_match, parallel, sequential, voting
from quorate.hooks.hook import Heard, Hook, Moment, Point, Verdict
from quorate.hooks.hooked_tools import HookedTools
from quorate.messages import ToolResult
from quorate.models.scripted import Answer, call
from quorate.tools.outcomes import Outcome

NAMED = RunOptions(run_id="run-1")


def read_name(moment: Moment) -> str:
    assert moment.call is not None
    return str(json.loads(moment.call.arguments)["name"])


def naming(name: str, words: dict[str, Verdict]) -> Hook:
    """A hook that says something else about each name."""

    async def say(moment: Moment) -> Verdict | None:
        return words.get(read_name(moment))

    return make(name, say, decisions=ANY)


def renaming(name: str, *, to: str) -> Hook:
    """A hook that puts another name in, for `a` alone."""

    async def rename(moment: Moment) -> Verdict | None:
        assert moment.call is not None
        changed = structs.replace(moment.call, arguments=json.dumps({"name": to}))
        return Verdict(decision="replace", value=changed) if read_name(moment) == "a" else None

    return make(name, rename, decisions=ANY)


def redact(moment: Moment) -> Verdict:
    assert moment.result is not None
    return Verdict(decision="replace", value=structs.replace(moment.result, content="[kept back]"))


def look_into(seen: list[str]) -> Tool[..., object]:
    """A tool that notes what it was really called with."""

    @tool(effect="idempotent")
    async def look(name: str) -> str:
        """Look."""
        seen.append(name)
        return f"{name} is fine"

    return look


YES, NO = Verdict(decision="allow"), Verdict(decision="deny", reason="not this one")


@pytest.mark.parametrize(
    ("hook", "made"),
    [
        (sequential([renaming("r", to="b"), naming("n", {"b": NO})]), ["c", "d"]),
        (sequential([naming("n", {"b": NO}), renaming("r", to="b")]), ["b", "c", "d"]),
        (parallel([renaming("r", to="x"), naming("n", {"c": NO})]), ["x", "b", "d"]),
        (parallel([renaming("r", to="x"), renaming("s", to="y")]), ["b", "c", "d"]),
        (first_match([naming("n", {"a": YES}), naming("m", {"a": NO, "b": NO})]), ["a", "c", "d"]),
        (
            voting(
                [
                    structs.replace(naming("n", {"a": YES, "b": YES, "c": NO, "d": YES}), decisions=("allow", "deny")),
                    structs.replace(naming("m", {"a": YES, "b": NO, "c": NO}), decisions=("allow", "deny")),
                    structs.replace(naming("o", {"a": NO, "b": NO, "c": NO, "d": NO}), decisions=("allow", "deny")),
                ],
                threshold="2/3",
                tie="allow",
                on_failure="fail_closed",
            ),
            ["a", "d"],
        ),
    ],
    ids=["sequential", "sequential, turned round", "parallel", "conflict", "first match", "voting"],
)
async def test_composites_take_effect_on_a_run(hook: Hook, made: list[str]) -> None:
    """Calls are made, changed or refused as several hooks say together; the model reads each refusal. row: E10"""
    seen: list[str] = []
    answers = [*(call("look", name=name) for name in "abcd"), "done"]
    model = ScriptedModel(answers)
    agent = Agent("looker", model=model, tools=[HookedTools(look_into(seen), hook)])
    log = MemoryLog()
    result = await agent.run("look", log=log, options=NAMED)
    assert result.output == "done"
    assert seen == made
    events = await log.read("run-1")
    refused = [event.result for event in events if isinstance(event, ToolFailed)]
    assert len(refused) == 4 - len(made)
    assert [get_kind(event) for event in events].count("guard.blocked") == len(refused)
    read = [part for message in model.requests[-1].messages for part in message.parts if isinstance(part, ToolResult)]
    assert [part for part in read if part.is_error] == refused
    assert all(part.code == "forbidden" and f"hook `{hook.name}` denied it" in str(part.content) for part in refused)
    again = await replay_exactly(agent, events)
    assert again.is_identical
    assert seen == made


async def run(
    hook: Hook, *, script: Sequence[Answer] = (), report: list[Heard] | None = None
) -> tuple[list[str], list[AnyEvent]]:
    """Run an agent whose tool has a hook; what was called, and the log."""
    seen: list[str] = []
    log = MemoryLog()
    heard: list[Heard] = []
    tools = HookedTools(look_into(seen), hook, report=lambda moment, one: heard.append(one))
    agent = Agent("looker", model=ScriptedModel(script or [call("look", name="a"), "done"]), tools=[tools])
    await agent.run("look", log=log, options=NAMED)
    if report is not None:
        report += heard
    return seen, await log.read("run-1")


@pytest.mark.parametrize("kind", ["raises", "hangs"])
async def test_a_failing_hook_does_not_break_a_run(kind: object) -> None:
    """It lets pass or denies, as declared; a listener hears why."""
    how = "hangs" if kind == "hangs" else "raises"
    told: list[Heard] = []
    seen, _ = await run(failing("weak", "fail_open", kind=how), report=told)
    assert seen == ["a"]
    assert [(one.hook, bool(one.failure)) for one in told] == [("weak", True)]
    seen, events = await run(failing("weak", "fail_closed", kind=how))
    assert seen == []
    assert [event.guard for event in events if isinstance(event, GuardBlocked)] == ["weak"]
    assert not any("hunter2" in str(event) for event in events)


async def test_a_failing_hook_ends_the_run_where_declared() -> None:
    """With a typed error; nothing was called."""
    seen: list[str] = []
    tools = HookedTools(look_into(seen), failing("strict", "raise"))
    log = MemoryLog()
    agent = Agent("looker", model=ScriptedModel([call("look", name="a"), "done"]), tools=[tools])
    with pytest.raises(BlockedByPolicy, match="declared to end the run"):
        await agent.run("look", log=log, options=NAMED)
    events = await log.read("run-1")
    assert [get_kind(event) for event in events][-2:] == ["tool.failed", "run.failed"]
    assert (await replay_exactly(agent, events)).is_identical
    assert seen == []


async def test_a_result_is_changed_or_withheld() -> None:
    """The model reads what the hook lets pass, and the log keeps nothing else."""

    async def change(moment: Moment) -> Verdict:
        return redact(moment)

    after: tuple[Point, ...] = ("tool.after",)
    _, events = await run(make("redact", change, points=after, decisions=ANY))
    assert [event.result.content for event in events if isinstance(event, ToolFinished)] == ["[kept back]"]
    seen, events = await run(structs.replace(saying("keep", "deny"), points=after))
    assert seen == ["a"]
    (failed,) = [event.result for event in events if isinstance(event, ToolFailed)]
    assert "it was made, and hook `keep` withholds what it gave: keep says so" in str(failed.content)
    assert not any("a is fine" in str(event) for event in events)


async def test_a_hook_knows_whose_call_it_is() -> None:
    """Rules may go by tenant, principal and agent."""
    asked: list[Moment] = []

    async def note(moment: Moment) -> None:
        asked.append(moment)

    agent = Agent(
        "looker",
        model=ScriptedModel([call("look", name="a"), "done"]),
        tools=[HookedTools(look_into([]), make("note", note, points=("tool.before", "tool.after")))],
    )
    await agent.run("look", options=RunOptions(run_id="run-1", tenant="acme", principal="ann", session="s-1"))
    assert {(one.run, one.agent, one.tenant, one.principal, one.session) for one in asked} == {
        ("run-1", "looker", "acme", "ann", "s-1")
    }
    assert [(one.point, one.key, one.result is not None) for one in asked] == [
        ("tool.before", asked[0].key, False),
        ("tool.after", asked[0].key, True),
    ]


async def test_a_recorded_verdict_is_not_asked_for_again() -> None:
    """Whatever prefix of the log survived; where the call's end was not recorded, the hook is asked anew."""
    _, whole = await run(saying("no", "deny"))
    for keep in range(1, len(whole)):
        asked: list[str] = []
        log = MemoryLog()
        await log.append("run-1", whole[:keep], expected=0)
        left = [call("look", name="a"), "done"][sum(get_kind(event) == "model.replied" for event in whole[:keep]) :]
        tools = HookedTools(look_into([]), saying("no", "deny", asked=asked))
        agent = Agent("looker", model=ScriptedModel(left), tools=[tools])
        assert (await agent.resume("run-1", log=log)).output == "done"
        settled = any(isinstance(event, ToolFailed) for event in whole[:keep])
        assert len(asked) == (0 if settled else 1), keep
        assert (await replay_exactly(agent, await log.read("run-1"))).is_identical, keep


async def test_a_delegate_with_hooks_is_replayed() -> None:
    """Another agent works again in a replay, and the hook around it says the same again."""
    for point in ("tool.before", "tool.after"):
        inner = Agent("inner", model=ScriptedModel(["found it"]), description="Finds.")
        hook = structs.replace(saying("no", "deny"), points=(point,))
        outer = Agent(
            "outer",
            model=ScriptedModel([call("inner", task="find"), "done"]),
            tools=[HookedTools(inner.as_tool(), hook)],
        )
        log = MemoryLog()
        assert (await outer.run("find", log=log, options=NAMED)).output == "done"
        events = await log.read("run-1")
        assert ("step.started" in [get_kind(event) for event in events]) == (point == "tool.after")
        assert (await replay_exactly(outer, events)).is_identical


async def test_one_wrapper_holds_the_tools_of_delegates_too() -> None:
    """Given to the run, a hook is around every agent's tools."""
    seen: list[str] = []
    inner = Agent("inner", model=ScriptedModel([call("look", name="a"), "found it"]), tools=[look_into(seen)])
    outer = Agent("outer", model=ScriptedModel([call("inner", task="find"), "done"]), tools=[inner])

    async def say(moment: Moment) -> Verdict | None:
        return NO if moment.agent == "inner" else None

    hook = make("no", say)
    result = await outer.run("find", options=RunOptions(wrap=lambda inner: HookedTools(inner, hook)))
    assert result.output == "done"
    assert seen == []


async def test_a_person_approves_what_the_model_wants() -> None:
    """A hook inside is asked once the person said yes; a changed call is not put in place of an approved one."""
    seen: list[str] = []
    asked: list[str] = []
    held = Agent(
        "looker",
        model=ScriptedModel([call("look", name="a"), "done"]),
        tools=[Approved(HookedTools(look_into(seen), saying("no", "deny", asked=asked)))],
    )
    assert (await held.run("look")).status == "waiting"
    assert asked == []
    around = HookedTools(Approved(look_into(seen)), renaming("r", to="b"))
    bypassing = Agent("looker", model=ScriptedModel([call("look", name="a"), "done"]), tools=[around])
    result = await bypassing.run("look")
    assert result.output == "done"
    assert "its arguments are no longer those that were asked about" in str(result.messages)
    assert seen == []


async def test_the_outcome_of_a_lost_call_is_asked_for_as_it_was_made() -> None:
    """The tool's own check hears what the hook had put in, and the hook hears what it found."""
    checked: list[object] = []

    async def check(context: object, arguments: dict[str, object]) -> Outcome:
        checked.append(arguments["name"])
        return Outcome(done=True, result="sold")

    @tool(effect="unsafe", check=check)
    async def sell(name: str) -> str:
        """Sell."""
        raise AssertionError(name)

    script: list[Answer] = [call("sell", name="a"), "done"]
    log = MemoryLog()
    first = Agent("seller", model=ScriptedModel(script), tools=[HookedTools(sell, saying("no", "deny"))])
    await first.run("sell", log=log, options=NAMED)
    whole = await log.read("run-1")
    begun = next(place for place, event in enumerate(whole, 1) if get_kind(event) == "tool.started")
    lost = MemoryLog()
    await lost.append("run-1", whole[:begun], expected=0)
    again = Agent("seller", model=ScriptedModel(["done"]), tools=[HookedTools(sell, renaming("r", to="b"))])
    assert (await again.resume("run-1", log=lost)).output == "done"
    assert checked == ["b"]
    denied = MemoryLog()
    await denied.append("run-1", whole[:begun], expected=0)
    assert (await first.resume("run-1", log=denied)).status == "waiting"
    assert checked == ["b"]


def test_a_hook_that_is_never_asked_is_refused() -> None:
    """One for model calls has no effect on tools."""
    hook = structs.replace(saying("no", "deny"), points=("model.before",))
    with pytest.raises(InvalidInput, match=r"asked at model\.before only, and here are tool\.before and tool\.after"):
        HookedTools(look_into([]), hook)
