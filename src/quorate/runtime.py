"""What can be done with runs while everything is open: submit, follow, resume, replay, cancel, decide?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from quorate.agent.agent import AnyAgent, RunOptions, Task, build_result
from quorate.agent.attempt import attempt
from quorate.agent.journal import Journal
from quorate.agent.replay import replay
from quorate.agent.result import RunResult
from quorate.agent.run import Run
from quorate.catalog.load import Catalog
from quorate.clock import Clock
from quorate.errors import Conflict, Fenced, NotFound
from quorate.events import (
    ATTEMPTS,
    ENDINGS,
    AnyEvent,
    ApprovalDecided,
    ApprovalRequested,
    CancelRequested,
    Event,
    RunCancelled,
    RunCreated,
    RunResumed,
    RunSummary,
    RunWaiting,
    Status,
    summarize,
)
from quorate.ids import new_id
from quorate.messages import Delta, Message, build_user_message
from quorate.ports import Log
from quorate.settings import Settings, cap_limits
from quorate.specs import Limits
from quorate.tools.define import AnyTool

FOLLOW_S = 0.2
"""How often the log of a run in another process is looked at."""
MAX_SHOWN = 10_000
"""How many pieces of text and progress a run keeps for those who begin to watch late."""


class RunHandle:
    """A run that this process is working on."""

    def __init__(self, run: Run, agent: AnyAgent) -> None:
        self.id = run.info.run
        self.agent = agent.name
        self._run = run
        self._output_type = agent.output_type
        self._items: list[AnyEvent | Delta] = []
        self._shown = 0
        self._changed = asyncio.Event()
        self._done = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    async def wait(self) -> RunResult[object]:
        """Wait until the run ends or rests, and return how it went.

        Raises:
            QuorateError: The run failed.
        """
        await self._done.wait()
        if self._error is not None:
            if isinstance(self._error, asyncio.CancelledError):
                return build_result(self._run, self._output_type)
            raise self._error
        return build_result(self._run, self._output_type)

    async def stream(self) -> AsyncGenerator[AnyEvent | Delta]:
        """Yield every event and every piece of text from the beginning on, until the run ends or rests."""
        place = 0
        while True:
            while place < len(self._items):
                yield self._items[place]
                place += 1
            if self._done.is_set():
                return
            self._changed.clear()
            await self._changed.wait()

    async def events(self, *, after: int = 0) -> AsyncGenerator[AnyEvent]:
        """Yield every event after a position, until the run ends or rests."""
        async for item in self.stream():
            if isinstance(item, Event) and item.seq > after:
                yield item

    def cancel(self, reason: str = "") -> None:
        """Stop the run, inside a wait too; it ends `cancelled`."""
        self._run.cancel(reason)

    def release(self) -> None:
        """Stop working on the run without ending it: it rests, and can be resumed."""
        if self.task is not None:
            self.task.cancel()

    async def drive(self) -> None:
        """Do the work; what goes wrong is raised by `wait`."""
        try:
            async for item in attempt(self._run):
                if isinstance(item, Event):
                    self._items.append(item)
                elif self._shown < MAX_SHOWN:
                    self._shown += 1
                    self._items.append(item)
                self._changed.set()
        except BaseException as error:  # whoever waits for the run raises it
            self._error = error
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self.finish()

    def finish(self) -> None:
        """Tell everybody who waits that nothing more comes."""
        self._done.set()
        self._changed.set()


class Runtime:
    """Everything that is open: the log, the catalog, the tools, and the runs under way."""

    def __init__(
        self,
        *,
        settings: Settings,
        catalog: Catalog,
        tools: Mapping[str, AnyTool],
        find_agent: Callable[[str, str | None], AnyAgent],
        log: Log,
        clock: Clock,
        group: asyncio.TaskGroup,
    ) -> None:
        self.settings = settings
        self.catalog = catalog
        self.tools = tools
        """The built-in tools by name."""
        self.log = log
        self.find_agent = find_agent
        """Put an agent of the catalog together, by its name and the name of a model."""
        self._clock = clock
        self._group = group
        self._live: dict[str, RunHandle] = {}

    async def submit(
        self,
        task: Task,
        *,
        agent: str | AnyAgent | None = None,
        model: str | None = None,
        session: str | None = None,
        limits: Limits | None = None,
        deps: object = None,
        history: Sequence[Message] = (),
    ) -> RunHandle:
        """Accept a task and begin to work on it; once this returns, the run is recorded.

        Args:
            task: What to do.
            agent: Who does it: a name from the catalog, or an agent; found by the task's words when not given.
            model: Instead of the agent's own, such as `openai:gpt-5.2` or `playbook`.
            session: The session it belongs to.
            limits: Instead of the agent's own.
            deps: Whatever the agent's tools need.
            history: The conversation before.

        Raises:
            UnknownName: There is no such agent or model.
            InvalidInput: No agent is for such a task.
        """
        labels = {"model": model} if model else {}
        if agent is None:
            route = self.catalog.route(build_user_message(task).text)
            agent, labels = route.agent, {**labels, "route.agent": route.agent, "route.reason": route.reason}
        chosen = self.find_agent(agent, model) if isinstance(agent, str) else agent
        bounded = cap_limits(limits or chosen.limits, self.settings.limits)
        options = RunOptions(log=self.log, limits=bounded, session=session, labels=labels, clock=self._clock)
        run = chosen.open_run(task, deps=deps, history=history, options=options, live=True)
        await run.journal.commit()
        return self._start(run, chosen)

    async def resume(self, run_id: str, *, agent: AnyAgent | None = None, deps: object = None) -> RunHandle:
        """Go on with a run that rests or whose process died; no recorded step is made again.

        Args:
            run_id: Which run.
            agent: The agent itself, when it is not one of the catalog.
            deps: Whatever the agent's tools need.

        Raises:
            NotFound: There is no such run.
            Conflict: It has ended already.
        """
        created, events = await self._read(run_id)
        if isinstance(events[-1], ENDINGS):
            status = (await self.show(run_id)).status
            raise Conflict(f"Run {run_id!r} has ended ({status}): look at it with `quorate runs show {run_id}`.")
        chosen = agent or self.find_agent(created.agent, created.labels.get("model"))
        options = RunOptions(log=self.log, clock=self._clock)
        return self._start(await chosen.open_resumed(run_id, deps=deps, options=options, live=True), chosen)

    async def replay(self, run_id: str, *, agent: AnyAgent | None = None) -> RunResult[object]:
        """Drive a run again from its log alone; see `quorate.agent.replay`.

        Raises:
            NotFound: There is no such run.
            Nondeterministic: It comes to another end.
        """
        created, events = await self._read(run_id)
        return await replay(agent or self.find_agent(created.agent, created.labels.get("model")), events)

    async def show(self, run_id: str) -> RunSummary:
        """Return the one-line view of a run.

        Raises:
            NotFound: There is no such run.
        """
        _, events = await self._read(run_id)
        summary = summarize(None, events)
        assert summary is not None
        return summary

    async def list_runs(
        self, *, status: Status | None = None, agent: str | None = None, before: str | None = None, limit: int = 50
    ) -> list[RunSummary]:
        """List runs, newest first; see `quorate.ports.Log`."""
        return await self.log.list_runs(status=status, agent=agent, before=before, limit=limit)

    async def follow(self, run_id: str, *, after: int = 0) -> AsyncGenerator[AnyEvent]:
        """Yield a run's events after a position, whichever process works on it, until it ends or rests.

        Raises:
            NotFound: There is no such run.
        """
        _, events = await self._read(run_id)
        last: AnyEvent = events[-1]
        events = events[after:]
        while True:
            for event in events:
                after, last = event.seq, event
                yield event
            if isinstance(last, (*ENDINGS, RunWaiting)):
                return
            await asyncio.sleep(FOLLOW_S)
            events = await self.log.read(run_id, after=after)

    async def cancel(self, run_id: str, *, reason: str = "", by: str = "local") -> None:
        """Stop a run, wherever it is worked on; one that rests is ended here.

        Raises:
            NotFound: There is no such run.
            Conflict: It has ended already.
        """
        live = self._live.get(run_id)
        if live is not None:
            live.cancel(reason)
            return

        def build(events: list[AnyEvent]) -> AnyEvent:
            if isinstance(events[-1], ENDINGS):
                raise Conflict(f"Run {run_id!r} has ended already.", run=run_id)
            now, place = self._clock.now(), len(events) + 1
            return CancelRequested(run=run_id, seq=place, time=now, key="cancel", reason=reason, by=by)

        before = summarize(None, await self._control(run_id, build))
        if before is not None and before.status in ("waiting", "queued"):
            await self._end_resting(run_id, reason or "The run was cancelled.")

    async def _end_resting(self, run_id: str, reason: str) -> None:
        """End a run that nobody works on: a last attempt fences every other, and does nothing."""
        _, events = await self._read(run_id)
        journal = Journal(run_id, self.log, clock=self._clock, attempt=new_id("try"))
        journal.load(events)
        summary = summarize(None, events)
        assert summary is not None
        journal.write(RunResumed, number=1 + sum(isinstance(event, ATTEMPTS) for event in events))
        journal.write(RunCancelled, reason=reason, usage=summary.usage, cost_usd=summary.cost_usd)
        with contextlib.suppress(Fenced):  # somebody began to work on it: the request to stop is in its log
            await journal.commit()

    async def decide(
        self, run_id: str, key: str, *, approved: bool, by: str, reason: str = "", arguments: str | None = None
    ) -> None:
        """Answer what a run waits for; the answer is bound to the exact call that was asked about.

        Raises:
            NotFound: There is no such run, or it asked nothing under `key`.
            Conflict: It was answered already.
        """

        def build(events: list[AnyEvent]) -> AnyEvent:
            return ApprovalDecided(
                run=run_id,
                seq=len(events) + 1,
                time=self._clock.now(),
                key=key,
                approved=approved,
                digest=_find_question(events, key).digest,
                by=by,
                reason=reason,
                arguments=arguments,
            )

        await self._control(run_id, build)

    def release(self) -> None:
        """Let go of the runs under way: they rest, and can be resumed."""
        for handle in list(self._live.values()):
            handle.release()

    async def _control(self, run_id: str, build: Callable[[list[AnyEvent]], AnyEvent]) -> list[AnyEvent]:
        """Append a control event behind whatever the owner appends meanwhile; return what stood before it."""
        while True:
            _, events = await self._read(run_id)
            event = build(events)
            try:
                await self.log.append(run_id, (event,), expected=len(events))
            except Conflict:
                continue
            return events

    async def _read(self, run_id: str) -> tuple[RunCreated, list[AnyEvent]]:
        events = await self.log.read(run_id)
        if not events or not isinstance(events[0], RunCreated):
            raise NotFound(f"There is no run {run_id!r}: list them with `quorate runs list`.", run=run_id)
        return events[0], events

    def _start(self, run: Run, agent: AnyAgent) -> RunHandle:
        handle = self._live[run.info.run] = RunHandle(run, agent)
        handle.task = self._group.create_task(handle.drive())
        handle.task.add_done_callback(lambda _: self._forget(handle))
        return handle

    def _forget(self, handle: RunHandle) -> None:
        handle.finish()  # also when it was released before it began
        if self._live.get(handle.id) is handle:
            del self._live[handle.id]


def find_questions(events: Sequence[AnyEvent]) -> dict[str, ApprovalRequested]:
    """Find what a run asks and nobody has answered yet, by key; nothing once it has ended."""
    asked: dict[str, ApprovalRequested] = {}
    for event in events:
        if isinstance(event, ApprovalRequested):
            asked[event.key] = event
        elif isinstance(event, ApprovalDecided):
            asked.pop(event.key, None)
    return {} if events and isinstance(events[-1], ENDINGS) else asked


def _find_question(events: Sequence[AnyEvent], key: str) -> ApprovalRequested:
    """Find what was asked under a key and not answered yet.

    Raises:
        NotFound: Nothing was asked there.
        Conflict: It was answered already, or the run has ended.
    """
    run, open_questions = events[0].run, find_questions(events)
    if key in open_questions:
        return open_questions[key]
    if isinstance(events[-1], ENDINGS):
        raise Conflict(f"Run {run!r} has ended: there is nothing to answer any more.", run=run)
    answers = [event for event in events if isinstance(event, ApprovalDecided) and event.key == key]
    if answers:
        raise Conflict(f"Run {run!r} was answered already by {answers[-1].by!r} under {key!r}.", run=run)
    keys = ", ".join(open_questions) or "nothing"
    raise NotFound(f"Run {run!r} asked nothing under {key!r}; it asked under: {keys}.", run=run)
