"""What do delegates share with the agent above: stored values, deadline, cancellation; and what does nobody see?"""

import asyncio
from collections.abc import Sequence
from typing import get_args

import pytest

from quorate import Agent, Limits, MemoryLog, RunContext, RunOptions, ScriptedModel, UnknownName, tool
from quorate.agent.delegate import AgentTool
from quorate.clock import Clock
from quorate.errors import InvalidInput, Unavailable
from quorate.events import AnyEvent, RunCancelled, StateChanged, StepStarted, ToolFinished
from quorate.models.scripted import After, call
from quorate.ports import RunArtifacts, RunState, Services, Sharing
from quorate.state.backends.memory import MemoryValues
from quorate.state.places import ScopeRef
from quorate.state.scopes import RunStateView, StateStore
from quorate.testing.clock import ManualClock

SHARINGS: tuple[Sharing, ...] = get_args(Sharing)


LEAD = [
    [call("put", name="a", value="lead's"), call("put", name="b", value="lead's")],
    call("helper", task="go on"),
    [call("look", name="a"), call("look", name="c")],
    "ended",
]
HELPER = [
    [call("look", name="a"), call("look", name="b")],
    [call("put", name="a", value="helper's"), call("put", name="c", value="helper's")],
    call("look", name="a"),
    "done",
]


class StateOnly:
    """Services that give runs stored values, and no artifacts."""

    def __init__(self, store: StateStore, steps: tuple[tuple[Sharing, str], ...] = ()) -> None:
        self.store = store
        self._steps = steps

    def open_state(self, context: RunContext[object]) -> RunState:
        view = RunStateView.of(self.store, context)
        for sharing, path in self._steps:
            view = view.open_child(sharing, path)
        return view

    def open_artifacts(self, context: RunContext[object]) -> RunArtifacts:
        raise Unavailable("These services keep no artifacts.")

    def open_child(self, sharing: Sharing, path: str) -> Services:
        return StateOnly(self.store, (*self._steps, (sharing, path)))


@tool(effect="keyed")
async def put(context: RunContext[object], name: str, value: str, scope: str = "run") -> str:
    """Store a value."""
    entry = await context.state.set(name, value, scope=scope)  # type: ignore[arg-type]
    return f"{name} is {entry.value}"


@tool(effect="idempotent")
async def look(context: RunContext[object], name: str, scope: str = "run") -> str:
    """Read a value."""
    entry = await context.state.get(name, scope=scope)  # type: ignore[arg-type]
    return f"{name}={entry.value if entry is not None else None}"


@tool(effect="idempotent")
async def drop(context: RunContext[object], name: str) -> str:
    """Forget a value."""
    return str(await context.state.delete(name))


TOOLS = (put, look, drop)


def read_results(events: Sequence[AnyEvent], *, below: str = "") -> list[str]:
    """What the tools said, of the agent whose keys begin so."""
    return [
        str(event.result.content)
        for event in events
        if isinstance(event, ToolFinished)
        and event.key.startswith(below)
        and event.result.name in ("look", "put", "drop")
    ]


def build_team(sharing: Sharing, *, lead: Sequence[object] = LEAD, helper: Sequence[object] = HELPER) -> Agent:
    """A lead that stores values, delegates, and looks at its values again."""
    inner = Agent("helper", model=ScriptedModel(helper), tools=TOOLS)  # type: ignore[arg-type]
    return Agent("lead", model=ScriptedModel(lead), tools=[*TOOLS, inner.as_tool(sharing=sharing)])  # type: ignore[arg-type]


def open_services() -> StateOnly:
    return StateOnly(StateStore(MemoryValues(ManualClock())))


@pytest.mark.parametrize(
    ("sharing", "seen_first", "seen_last", "seen_above"),
    [
        ("inherit", ["a=lead's", "b=lead's"], "a=helper's", ["a=lead's", "c=None"]),
        ("isolate", ["a=None", "b=None"], "a=helper's", ["a=lead's", "c=None"]),
        ("copy", ["a=lead's", "b=lead's"], "a=helper's", ["a=lead's", "c=None"]),
        ("share", ["a=lead's", "b=lead's"], "a=helper's", ["a=helper's", "c=helper's"]),
    ],
)
async def test_a_delegate_shares_as_declared(
    sharing: Sharing, seen_first: list[str], seen_last: str, seen_above: list[str]
) -> None:
    """In a whole run: what the helper reads first and last, and what the lead reads afterwards."""
    team = build_team(sharing)
    result = await team.run("begin", options=RunOptions(services=open_services()))
    assert result.output == "ended"
    inner = read_results(result.events, below="2/tool/")
    assert (inner[:2], inner[-1]) == (seen_first, seen_last)
    assert read_results(result.events, below="3/tool/") == seen_above
    changes = [event for event in result.events if isinstance(event, StateChanged)]
    assert [(event.scope, event.name) for event in changes] == [("run", name) for name in ("a", "b", "a", "c")]
    assert len({event.key for event in changes}) == 4
    assert sum(event.key.startswith("2/tool/") for event in changes) == 2


async def test_a_copy_is_of_the_moment_it_began() -> None:
    """What the lead changes while its delegate works is not in it, though the delegate looks later."""
    lead_script = [
        call("put", name="a", value="before"),
        [call("helper", task="wait and look"), call("put", name="a", value="meanwhile")],
        "ended",
    ]
    for sharing, seen in (("copy", "a=before"), ("inherit", "a=meanwhile")):
        team = build_team(sharing, lead=lead_script, helper=[After(0.02, call("look", name="a")), "done"])  # type: ignore[arg-type]
        result = await team.run("begin", options=RunOptions(services=open_services()))
        assert read_results(result.events, below="2/tool/")[-1] == seen


@pytest.mark.parametrize("sharing", SHARINGS)
async def test_what_is_shared_survives_a_crash_anywhere(sharing: Sharing) -> None:
    """Cut after every event and resumed over the store as the crash left it: every read is that of the whole run."""
    whole = await build_team(sharing).run("begin", options=RunOptions(services=open_services(), run_id="run-1"))
    expected = read_results(whole.events)
    appended = len(whole.events)
    for keep in range(1, appended):
        services, log = open_services(), Crashing(keep)
        crashed = build_team(sharing)
        with pytest.raises(Unavailable):
            await crashed.run("begin", log=log, options=RunOptions(services=services, run_id="run-1"))
        kept = await log.read("run-1")
        if not kept:
            continue
        replies = {event.key for event in kept if type(event).__name__ == "ModelReplied"}
        above = [key for key in replies if "tool" not in key]
        rest = build_team(sharing, lead=LEAD[len(above) :], helper=HELPER[len(replies) - len(above) :])
        log.survive()
        result = await rest.resume("run-1", log=log, options=RunOptions(services=services))
        assert result.output == "ended"
        assert sorted(read_results(result.events)) == sorted(expected), keep


class Crashing(MemoryLog):
    """A log that takes so many events and is then away until it survives."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room: int | None = room

    def survive(self) -> None:
        self._room = None

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        if self._room is not None and expected + len(events) > self._room:
            raise Unavailable("The process died.")
        await super().append(run, events, expected=expected)


async def test_a_copy_is_not_taken_again_after_a_resume() -> None:
    """What was changed above in between stays out."""
    services = open_services()
    script: list[object] = [call("put", name="a", value="before"), call("helper", task="x"), "ended"]
    log = Crashing(1000)

    @tool(effect="idempotent")
    async def crash(context: RunContext[object]) -> str:
        """Lose the log."""
        log._room = 0
        return ""

    helper = Agent("helper", model=ScriptedModel([call("crash"), "unused"]), tools=[*TOOLS, crash])
    lead = Agent("lead", model=ScriptedModel(script), tools=[*TOOLS, AgentTool(helper, sharing="copy")])  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        await lead.run("begin", log=log, options=RunOptions(services=services, run_id="run-1"))
    run = ScopeRef(scope="run", tenant="default", id="run-1")
    await services.store.set(run, "a", "changed while nobody worked on it")

    log.survive()
    events = await log.read("run-1")
    assert any(isinstance(event, StepStarted) for event in events)
    asked = sum(type(event).__name__ == "ModelReplied" and event.key.startswith("2/tool") for event in events)
    helper = Agent(
        "helper",
        model=ScriptedModel([call("crash"), call("look", name="a"), "done"][asked:]),
        tools=[*TOOLS, keep_going(log)],
    )
    lead = Agent("lead", model=ScriptedModel(["ended"]), tools=[*TOOLS, AgentTool(helper, sharing="copy")])
    result = await lead.resume("run-1", log=log, options=RunOptions(services=services))
    assert read_results(result.events, below="2/tool/") == ["a=before"]


def keep_going(log: Crashing) -> object:
    @tool(effect="idempotent", name="crash")
    async def go_on(context: RunContext[object]) -> str:
        """Go on."""
        log.survive()
        return ""

    return go_on


async def test_another_tenant_is_absent_for_agents_and_delegates() -> None:
    """The same run id, user, session and agents in another tenant: nothing is seen, nothing is changed."""
    services = open_services()

    def build(first: object) -> Agent:
        inner = [call("look", name="a", scope="user"), call("put", name="a", value="inner", scope="session"), "done"]
        return build_team("share", lead=[first, call("helper", task="x"), "ended"], helper=inner)

    mine = RunOptions(services=services, tenant="ours", principal="ann", session="s-1", run_id="run-1")
    theirs = RunOptions(services=services, tenant="theirs", principal="ann", session="s-1", run_id="run-1")
    result = await build(call("put", name="a", value="ours", scope="user")).run("x", options=mine)
    assert "a=ours" in read_results(result.events)
    result = await build(call("look", name="a", scope="session")).run("x", options=theirs)
    assert read_results(result.events) == ["a=None", "a=None", "a is inner"]
    store = services.store
    for tenant, there in (("ours", ["a"]), ("theirs", [])):
        assert await store.names(ScopeRef(scope="user", tenant=tenant, id="ann")) == there


async def test_a_delegates_agent_scope_is_its_own() -> None:
    """User and session are the caller's; the agent is the one that works."""
    services = open_services()
    inner = [call("put", name="x", value="1", scope="agent"), call("put", name="y", value="2", scope="user"), "done"]
    team = build_team("isolate", lead=[call("helper", task="x"), "ended"], helper=inner)
    await team.run("x", options=RunOptions(services=services, principal="ann"))
    store = services.store
    assert await store.names(ScopeRef(scope="agent", tenant="default", id="helper")) == ["x"]
    assert await store.names(ScopeRef(scope="user", tenant="default", id="ann")) == ["y"]
    assert await store.list_owners("agent", tenant="default") == ["helper"]


async def test_without_a_store_it_says_what_to_do() -> None:
    """A run that was not submitted to a runtime has no store; its delegates have none either."""
    team = build_team("copy", lead=[call("helper", task="x"), "ended"], helper=[call("look", name="a"), "done"])
    with pytest.raises(Unavailable, match="This run has no store: submit it to a runtime"):
        await team.run("x")


def test_a_way_to_share_that_is_none() -> None:
    """It lists those there are."""
    with pytest.raises(UnknownName, match=r"There is no way to share state 'inherits'\. Did you mean `inherit`\?"):
        Agent("helper").as_tool(sharing="inherits")  # type: ignore[arg-type]
    assert issubclass(UnknownName, InvalidInput)


class Seen:
    """What delegates of all depths knew of their time."""

    def __init__(self) -> None:
        self.deadlines: list[float] = []
        self.clock: Clock | None = None

    def tool(self) -> object:
        @tool(effect="idempotent")
        async def note(context: RunContext[object]) -> str:
            """Note the deadline."""
            self.deadlines.append(context.deadline)
            self.clock = context.clock
            return ""

        return note


async def test_a_childs_deadline_is_never_later_than_its_parents() -> None:
    """Through three levels, whatever each one's own limit is."""
    seen = Seen()
    note = seen.tool()
    inner = Agent("inner", model=ScriptedModel([call("note"), "3"]), tools=[note], limits=Limits(seconds=500))
    middle = Agent(
        "middle", model=ScriptedModel([call("note"), call("inner", task="x"), "2"]), tools=[note, inner],
        limits=Limits(seconds=50),
    )  # fmt: skip
    outer = Agent("outer", model=ScriptedModel([call("note"), call("middle", task="x"), "1"]), tools=[note, middle])
    await outer.run("x", limits=Limits(seconds=100), options=RunOptions(services=open_services()))
    first, second, third = seen.deadlines
    assert third <= second <= first
    assert first - second == pytest.approx(50, abs=1)


async def test_a_deadline_reaches_a_delegate_inside_a_wait() -> None:
    """The delegate is cut when its parent's time is up, however much it had itself."""
    freed: list[bool] = []

    @tool(effect="idempotent", timeout_s=60)
    async def hang() -> str:
        """Never answer."""
        try:
            await asyncio.Event().wait()
        finally:
            freed.append(True)
        return ""

    inner = Agent("inner", model=ScriptedModel([call("hang"), "unused"]), tools=[hang])
    outer = Agent("outer", model=ScriptedModel([call("inner", task="x"), "unused"]), tools=[inner])
    result = await outer.run("x", limits=Limits(seconds=0.05), options=RunOptions(services=open_services()))
    assert result.status == "incomplete"
    assert result.events[-1].limit == "seconds"  # type: ignore[union-attr]
    assert freed == [True]


async def test_a_cancellation_reaches_every_delegate() -> None:
    """A wait two levels down is cut when a tool of the agent on top asks to stop; no step is made after it."""
    hanging, freed = asyncio.Event(), list[str]()

    @tool(effect="idempotent", timeout_s=60)
    async def hang() -> str:
        """Never answer."""
        hanging.set()
        try:
            await asyncio.Event().wait()
        finally:
            freed.append("freed")
        return ""

    @tool(effect="idempotent")
    async def stop(context: RunContext[object]) -> str:
        """Stop everything."""
        await hanging.wait()
        context.cancel("enough")
        return ""

    inner = Agent("inner", model=ScriptedModel([call("hang"), "unused"]), tools=[hang])
    middle = Agent("middle", model=ScriptedModel([call("inner", task="x"), "unused"]), tools=[inner])
    script = [[call("middle", task="x"), call("stop")], "unused"]
    outer = Agent("outer", model=ScriptedModel(script), tools=[middle, stop])
    result = await outer.run("x", options=RunOptions(services=open_services()))
    last = result.events[-1]
    assert isinstance(last, RunCancelled)
    assert last.reason == "enough"
    assert freed == ["freed"]


async def test_a_cancelled_run_keeps_what_its_delegates_stored() -> None:
    """What was stored before the stop is there; a step after it is not made."""
    services = open_services()

    @tool(effect="idempotent")
    async def stop(context: RunContext[object]) -> str:
        """Stop everything."""
        context.cancel()
        return ""

    inner = Agent(
        "inner",
        model=ScriptedModel(
            [call("put", name="a", value="1"), call("stop"), call("put", name="b", value="2"), "unused"]
        ),
        tools=[*TOOLS, stop],
    )
    outer = Agent("outer", model=ScriptedModel([call("inner", task="x")]), tools=[AgentTool(inner, sharing="share")])
    result = await outer.run("x", options=RunOptions(services=services, run_id="run-1"))
    assert result.status == "cancelled"
    assert await services.store.names(ScopeRef(scope="run", tenant="default", id="run-1")) == ["a"]
