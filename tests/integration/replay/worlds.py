"""Runs that differ in everything that can happen to one: made from a number, so that each can be made again."""

import asyncio
import contextlib
import random
from collections.abc import Sequence

from quorate import Agent, Approved, Limits, MemoryLog, RunOptions, TimeBoxed, ToolError, tool
from quorate.errors import Conflict, QuorateError, Unavailable, UpstreamError
from quorate.events import (
    ENDINGS,
    AnyEvent,
    ApprovalDecided,
    ApprovalRequested,
    CancelRequested,
    InputGiven,
    InputRequested,
    RunWaiting,
    StateChanged,
)
from quorate.messages import Message, Reply, Text, ToolCall, Usage
from quorate.models.scripted import ScriptedModel
from quorate.ports import RunContext
from quorate.specs import Request
from quorate.testing.clock import ManualClock
from quorate.tools.edits import get_edit_digest
from quorate.tools.waits import AskPerson, Timers

RUN = "run-1"


async def give_way(turns: int) -> None:
    """Let others go on first, a number of times."""
    for _ in range(turns):
        await asyncio.sleep(0)


class Crash(RuntimeError):
    """What nobody foresaw."""


class SlowLog(MemoryLog):
    """A log that takes its turns: whoever commits waits, and others go on meanwhile."""

    def __init__(self, world: "World") -> None:
        super().__init__()
        self.world = world

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        await give_way(self.world.dice.choice((0, 0, 1, 3)))
        await self.world.meddle(len(await self.read(run)))
        await super().append(run, events, expected=expected)
        await give_way(self.world.dice.choice((0, 0, 1, 2)))


class World:
    """One run and all that happens to it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = random.Random(seed)
        self.plan = random.Random(seed + 1_000_000)
        self.clock = ManualClock()
        self.log: MemoryLog = SlowLog(self) if self.plan.random() < 0.8 else MemoryLog()
        self.cancel_at = self.plan.randint(3, 25) if self.plan.random() < 0.2 else 0
        self.leave_at = self.plan.randint(3, 25) if self.plan.random() < 0.3 else 0
        self.task: asyncio.Task[object] | None = None
        self.spice = self.plan.random() < 0.6
        """Whether things go wrong at all."""

    async def meddle(self, place: int) -> None:
        """Stop the run from outside, when its time has come."""
        self.clock.advance(self.dice.random())
        if self.cancel_at and place >= self.cancel_at:
            self.cancel_at = 0
            events = await self.log.read(RUN)
            if events and not isinstance(events[-1], ENDINGS):
                asked = CancelRequested(run=RUN, seq=len(events) + 1, time=self.clock.now(), key="cancel", by="ann")
                with contextlib.suppress(Conflict):
                    await MemoryLog.append(self.log, RUN, (asked,), expected=len(events))
        if self.leave_at and place >= self.leave_at and self.task is not None:
            self.leave_at = 0
            self.task.cancel()

    def build(self, *, live: bool = True) -> Agent:
        """Build the agent: three layers deep, with tools of every kind."""
        leaf = Agent("leaf", model=self.model("leaf", live), tools=self.tools(live), limits=Limits(steps=4))
        middle = Agent(
            "middle", model=self.model("middle", live), tools=[*self.tools(live), leaf], limits=Limits(steps=5)
        )
        tools = [*self.tools(live), TimeBoxed(middle.as_tool(), 30), leaf]
        return Agent("root", model=self.model("root", live), tools=tools, limits=Limits(steps=8, repeated_calls=9))

    def model(self, name: str, live: bool) -> ScriptedModel:
        """A model whose answers depend on what it is asked, and on nothing else."""

        def answer(request: Request):
            assert live, "a replay asked a model"
            dice = random.Random(f"{self.seed}/{name}/{request.key}/{len(request.messages)}")
            self.clock.advance(dice.random())
            if self.spice and dice.random() < 0.04:
                raise dice.choice((UpstreamError("it is down", status=503), Unavailable("gone"), Crash("boom: it")))
            done = sum(message.role == "assistant" for message in request.messages)
            if dice.random() < (0.2, 0.4, 0.7, 0.9, 1.0)[min(done, 4)]:
                return reply(f"{name} is done", tokens=dice.randint(1, 50))
            calls = [self.call(dice, request, place) for place in range(dice.choice((1, 1, 2, 3, 4)))]
            return reply("", *calls, tokens=dice.randint(1, 50))

        class Slow(ScriptedModel):
            async def complete(inner, request: Request) -> Reply:
                await give_way(self.dice.choice((0, 0, 1, 4)))
                return await super().complete(request)

        return Slow(answer)

    def call(self, dice: random.Random, request: Request, place: int) -> ToolCall:
        """Wish for a call of a tool that there is, or now and then of one that there is not."""
        names = [spec.name for spec in request.tools]
        name = dice.choice(names) if dice.random() < 0.97 else "nothing"
        value = dice.randint(0, 99)
        arguments = {
            "leaf": f'{{"task":"t{value}"}}',
            "middle": f'{{"task":"t{value}"}}',
            "ask": f'{{"question":"q{value}"}}',
            "wait": f'{{"seconds":{value}}}',
            "wait_until": '{"time":"2023-11-14T22:14:30Z"}',
        }.get(name, f'{{"n":{value}}}')
        if dice.random() < 0.03:
            arguments = "{"
        return ToolCall(id=f"c{place}-{value}", name=name, arguments=arguments)

    def tools(self, live: bool) -> list[object]:
        """Tools that answer, fail, crash, record something of their own, or need a person."""

        async def work(n: int) -> str:
            assert live, "a replay called a tool"
            await give_way(self.dice.choice((0, 0, 1, 2, 5, 9)))
            self.clock.advance(self.dice.random())
            return f"{n} is fine"

        @tool(effect="idempotent")
        async def look(n: int) -> str:
            """Look."""
            return await work(n)

        @tool(effect="unsafe")
        async def change(n: int) -> str:
            """Change something."""
            return await work(n)

        @tool(effect="idempotent")
        async def fail(n: int) -> str:
            """Fail in one of many ways."""
            await work(n)
            if self.spice and n % 11 == 0:
                raise Unavailable(f"store {n} is away")
            if n % 3 == 0:
                raise ToolError(f"not {n}")
            if n % 3 == 1:
                raise Crash(f"crash {n}")
            return "ok"

        @tool(effect="idempotent")
        async def note(context: RunContext[None], n: int) -> str:
            """Record something of its own."""
            context.owner.record(StateChanged, f"{context.key}/state", scope="run", name=f"n{n}", revision=n + 1)
            return await work(n)

        @tool(effect="unsafe")
        async def pay(n: int) -> str:
            """Pay."""
            return await work(n)

        @tool(effect="idempotent")
        async def stop(context: RunContext[None], n: int) -> str:
            """Stop the run now and then."""
            if self.spice and n % 5 == 0:
                context.cancel(f"enough of {n}")
            return await work(n)

        guarded = Approved(pay, expires_s=500, editable=["n"])
        return [look, change, fail, note, stop, guarded, AskPerson(expires_s=300), Timers(sleep=self.sleep)]

    async def sleep(self, seconds: float) -> None:
        """Let a short wait go by."""
        await give_way(2)
        self.clock.advance(seconds)

    async def play(self) -> list[AnyEvent]:
        """Let the run go on, through deaths, rests and answers, until it ends or has been tried often enough."""
        for number in range(6):
            agent = self.build()
            options = RunOptions(log=self.log, run_id=RUN, clock=self.clock)
            work = agent.run("go", options=options) if number == 0 else agent.resume(RUN, log=self.log, options=options)
            await self.drive(work)
            events = await self.log.read(RUN)
            if self.plan.random() < 0.35 and len(events) > 3:
                await self.die(self.plan.randint(3, len(events)))
                events = await self.log.read(RUN)
            if isinstance(events[-1], ENDINGS):
                break
            if isinstance(events[-1], RunWaiting):
                await self.answer(events)
        return await self.log.read(RUN)

    async def drive(self, work) -> None:
        with contextlib.suppress(QuorateError, Crash, asyncio.CancelledError):
            async with asyncio.TaskGroup() as group:
                self.task = group.create_task(catch(work))

    async def die(self, place: int) -> None:
        """Lose everything behind a place, as a process does that is killed there."""
        self.log._runs[RUN] = self.log._runs[RUN][:place]

    async def answer(self, events: list[AnyEvent]) -> None:
        """Answer what is asked, or some of it; time goes by meanwhile."""
        self.clock.advance(self.plan.choice((1, 30, 200, 600)))
        questions: dict[str, ApprovalRequested | InputRequested] = {}
        for event in events:
            if isinstance(event, (ApprovalRequested, InputRequested)):
                questions[event.key] = event
            elif isinstance(event, (ApprovalDecided, InputGiven)):
                questions.pop(event.key, None)
        for asked in questions.values():
            if self.plan.random() < 0.8:
                place = len(await self.log.read(RUN))
                await MemoryLog.append(self.log, RUN, (self.build_answer(asked, place + 1),), expected=place)

    def build_answer(self, asked: ApprovalRequested | InputRequested, seq: int) -> AnyEvent:
        """Say yes, no, yes with other arguments, or what is asked for."""
        now = self.clock.now()
        if isinstance(asked, InputRequested):
            return InputGiven(run=RUN, seq=seq, time=now, key=asked.key, text="as you like", by="ann")
        edited = '{"n":1}' if asked.editable and self.plan.random() < 0.3 else None
        return ApprovalDecided(
            run=RUN,
            seq=seq,
            time=now,
            key=asked.key,
            approved=self.plan.random() < 0.6,
            digest=asked.digest,
            by="ann",
            arguments=edited,
            covers=get_edit_digest(asked.digest, edited) if edited is not None else "",
        )


async def catch(work) -> None:
    """Do work; what it raises is in the log."""
    with contextlib.suppress(QuorateError, Crash):
        await work


def reply(text: str, *calls: ToolCall, tokens: int = 0) -> Reply:
    parts = (*((Text(text=text),) if text else ()), *calls)
    return Reply(
        message=Message(role="assistant", parts=parts),
        usage=Usage(input_tokens=tokens, requests=1),
        stop="tool_calls" if calls else "end",
    )
