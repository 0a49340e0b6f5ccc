"""A desk at which turns of sessions are taken by real agents over a real store."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from msgspec import structs

from quorate import Agent, ScriptedModel, tool
from quorate.agent.history import load_history
from quorate.agent.result import RunResult
from quorate.agent.run import RunOptions
from quorate.errors import QuorateError
from quorate.events import RunCreated, RunStarted
from quorate.messages import Reply
from quorate.models.scripted import Answer
from quorate.ports import Store
from quorate.specs import ModelProfile
from quorate.state.backends.memory import open_memory_store
from quorate.state.sessions import CleanupHook, SessionStore, Turn
from quorate.testing.clock import ManualClock

HOUR = 3600.0
ANN = {"tenant": "default", "principal": "ann"}
"""Who owns the sessions of most tests."""


@tool(effect="idempotent")
async def look(name: str) -> str:
    """Look at something."""
    return f"{name} is fine"


class Desk:
    """Takes turns: what a runtime does with sessions, and nothing else."""

    def __init__(self, store: Store, clock: ManualClock, hooks: Sequence[CleanupHook] = ()) -> None:
        self.store = store
        self.clock = clock
        self.sessions = SessionStore(store.values, store.log, clock=clock, hooks=hooks)
        self.asked: list[list[str]] = []
        """What each turn's model was asked with, as texts."""

    def again(self, hooks: Sequence[CleanupHook] = ()) -> "Desk":
        """The same store, as another process sees it."""
        return Desk(self.store, self.clock, hooks)

    async def say(
        self,
        task: str,
        *answers: Answer,
        session: str = "s-1",
        principal: str = "ann",
        tenant: str = "default",
        cost_usd: float | None = 0.0,
        tells_run: bool = True,
        tools: Sequence[object] = (),
    ) -> RunResult[str]:
        """Take one turn, to its end."""
        run = f"run-{self.clock.now():.0f}-{len(self.asked)}" if tells_run else ""
        turn = await self.sessions.begin_turn(session, tenant=tenant, principal=principal, run=run)
        return await self.work(
            turn, task, answers, principal=principal, tenant=tenant, cost_usd=cost_usd, run=run, tools=tools
        )

    async def work(
        self,
        turn: Turn,
        task: str,
        answers: Sequence[Answer] = (),
        *,
        principal: str = "ann",
        tenant: str = "default",
        cost_usd: float | None = 0.0,
        run: str = "",
        tools: Sequence[object] = (),
    ) -> RunResult[str]:
        """Work on a turn that was begun."""
        answers = answers or (f"You said: {task}",)
        log = self.store.log
        created = build_created(turn, tenant=tenant)
        profile = ModelProfile(name="scripted", provider="scripted", priced=cost_usd is not None)
        model = Priced(answers, profile, cost_usd)
        agent = Agent("chatter", model=model, tools=tools or [look])
        options = RunOptions(
            session=turn.session,
            tenant=tenant,
            principal=principal,
            previous=turn.previous,
            previous_seq=turn.previous_seq,
            run_id=run or f"run-{self.clock.now():.0f}-{len(self.asked)}",
            clock=self.clock,
        )
        try:
            return await agent.run(task, history=await load_history(log, created), log=log, options=options)
        finally:
            self.asked.append([message.text for message in model.requests[0].messages])
            self.clock.advance(60)

    async def leave(self, turn: Turn, task: str = "half", *, principal: str = "ann") -> None:
        """Record a run that is begun and not ended, as a process that was killed leaves it."""
        created = structs.replace(build_created(turn), principal=principal, time=self.clock.now())
        started = RunStarted(run=turn.run, seq=2, time=self.clock.now(), attempt="try-1")
        await self.store.log.append(turn.run, [created, started], expected=0)


class Priced(ScriptedModel):
    """A script whose every reply costs something."""

    def __init__(self, answers: Sequence[Answer], profile: ModelProfile, cost_usd: float | None) -> None:
        super().__init__(answers, profile=profile)
        self._cost_usd = cost_usd

    async def complete(self, request) -> Reply:
        return structs.replace(await super().complete(request), cost_usd=self._cost_usd)


def build_created(turn: Turn, *, tenant: str = "default") -> RunCreated:
    """The first event of a turn's run."""
    return RunCreated(
        run=turn.run,
        seq=1,
        time=0.0,
        agent="chatter",
        messages=(),
        tenant=tenant,
        session=turn.session,
        previous=turn.previous,
        previous_seq=turn.previous_seq,
    )


@asynccontextmanager
async def open_desk(*, hooks: Sequence[CleanupHook] = ()) -> AsyncGenerator[Desk]:
    """Open a desk in memory, at which time stands still."""
    clock = ManualClock()
    async with open_memory_store(clock=clock) as store:
        yield Desk(store, clock, hooks)


class Journal:
    """A cleanup hook that notes for which sessions it was run, and may fail."""

    def __init__(self, name: str = "journal", *, fails: Sequence[Exception] = ()) -> None:
        self.seen: list[tuple[str, str]] = []
        self.hook = CleanupHook(name=name, clean=self.clean)
        self._fails = list(fails)

    async def clean(self, session) -> None:
        self.seen.append((session.id, session.status))
        if self._fails:
            raise self._fails.pop(0)


__all__ = ["ANN", "HOUR", "Desk", "Journal", "QuorateError", "build_created", "look", "open_desk"]
