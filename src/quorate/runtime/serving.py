"""How do agents of this process answer those who ask them over a bus?

```python
rules = build_task_rules(["net"])
async with open_nats_bus("nats://127.0.0.1:4222", streams=rules) as bus, open_runtime() as runtime:
    await serve_agents(runtime, bus, agents=["net"])
```
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext, suppress

from msgspec import Struct, structs

from quorate.agent.errand import (
    MAX_TOLD,
    Accepted,
    Happened,
    Hello,
    Look,
    News,
    Question,
    Refused,
    Said,
    Standing,
    build_ask_subject,
    build_error,
    build_news_subject,
    choose_answer,
    encode,
    is_over,
    name_task_queue,
    read_question,
    read_task,
)
from quorate.bus.deliver import deliver
from quorate.codec.formats import CONTENT_TYPE, Codec, find_codec
from quorate.codec.schemas.agents import AgentTask
from quorate.codec.stored import read_stored
from quorate.errors import (
    Cancelled,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    MissingExtra,
    NotFound,
    QuorateError,
    TooLarge,
    Unavailable,
)
from quorate.events import AnyEvent, Event, RunSummary, RunWaiting
from quorate.ports.bus import Bus, Message
from quorate.runtime.control import read_run
from quorate.runtime.handle import RunHandle
from quorate.runtime.runtime import Runtime
from quorate.runtime.worker import Worker
from quorate.specs import Limits

KEPT_S = 7 * 86_400.0
"""How long it is known which run a task is."""
GRACE_S = 2.0
"""How much later than at its deadline a run is stopped that did not end by its own limits."""
RETRY_S = 1.0
LOOKS = 3
"""How many times in the life of a lease it is looked for runs that were left."""
LOOK_S = 0.1
"""How long is waited between two looks at least, however many more runs are waited for."""
MAX_FOUND = 1_000
"""Among how many runs that nobody works on one's own is looked for."""
MAX_EVENT = 900_000
"""How large a message on the bus may be."""
REFUSALS = (Cancelled, Conflict, DeadlineExceeded, Forbidden, InvalidInput, NotFound, TooLarge)
"""What is told to whoever asked; of anything else, trying again may help."""


class Errand(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a task in the store that all servers share."""

    run: str = ""
    limits: Limits | None = None
    """As it was first taken: the deadline was as far away then."""
    is_stopped: bool = False
    reason: str = ""
    refused: Refused | None = None


class LeftRuns:
    """Goes on with runs that are waited for here, and that others worked on and left; one look for all of them."""

    def __init__(self, runtime: Runtime, agents: Sequence[str]) -> None:
        self._runtime = runtime
        self._agents = agents
        self._waited: dict[str, int] = {}
        self._added = asyncio.Event()

    @contextmanager
    def waiting(self, handle: RunHandle) -> Generator[None]:
        """Mind a run for a block on which this process does not work."""
        self._waited[handle.id] = self._waited.get(handle.id, 0) + 1
        self._added.set()
        try:
            yield
        finally:
            self._waited[handle.id] -= 1
            if not self._waited[handle.id]:
                del self._waited[handle.id]

    async def mind(self) -> None:
        """Look for them, for ever."""
        runtime = self._runtime
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(runtime.owner.ttl_s / LOOKS):
                    await self._added.wait()
            self._added.clear()
            if self._waited:
                with suppress(QuorateError):  # the next look may find more
                    await runtime.begin()
                    for summary in await runtime.owner.find_work(limit=MAX_FOUND, agents=self._agents):
                        await self._take(summary)
            await asyncio.sleep(LOOK_S)

    async def _take(self, summary: RunSummary) -> None:
        if summary.run in self._waited:
            with suppress(Exception):  # an agent is anybody's code: one that cannot be opened holds no other run up
                await self._runtime.take(summary)


class AgentServer:
    """Answers for one agent: takes its tasks as runs, tells how they go, and stops them when asked."""

    def __init__(
        self,
        runtime: Runtime,
        bus: Bus,
        agent: str,
        *,
        principal: str,
        worker: Worker | None = None,
        left: LeftRuns | None = None,
    ) -> None:
        self.agent = agent
        self._runtime = copy.copy(runtime)
        self._runtime.hands_over = True  # another server may go on with its runs at once when they are left
        self._bus = bus
        self._tenant = runtime.tenant
        self._principal = principal
        self._worker = worker
        self._left = left

    async def take(self, message: Message) -> None:
        """Do a task, until its run has ended or rests; a task that comes again is the same run.

        Raises:
            InvalidInput: It is no task for this agent, or its run was put aside: a dead letter then says why.
            Unavailable: Its run was let go of here.
        """
        asked = read_task(message, tenant=self._tenant, agent=self.agent)
        task = asked.task
        codec = find_codec()
        try:
            codec = choose_answer(message.headers)
            handle = await self._open(task, trace=asked.trace)
        except (*REFUSALS, MissingExtra) as error:
            refused = Refused(error.code, error.message)
            await self._note(task.id, refused=refused)
            await self._tell(task.id, refused, codec=codec)
            return
        await self._tell(task.id, Accepted(handle.id), codec=codec)
        with self._minding(handle):
            last = await self._attend(task, handle, watch=asked.watch, codec=codec)
        if not is_over(last):
            raise Unavailable(f"Run {handle.id!r} was let go of here; another process goes on with it.")
        if isinstance(last, RunWaiting) and last.reason == "parked":
            raise InvalidInput(f"Run {handle.id!r} was put aside, and a person must look at it: {last.note}")

    def _minding(self, handle: RunHandle) -> AbstractContextManager[None]:
        if handle.run is not None:
            return nullcontext()
        if self._left is not None:
            return self._left.waiting(handle)
        return nullcontext() if self._worker is None else self._worker.following(handle)

    async def answer(self) -> None:
        """Answer what is asked about tasks, for ever."""
        subject = build_ask_subject(self.agent, self._tenant)
        while True:
            with suppress(QuorateError):
                async with self._bus.subscribe(subject, group="servers") as asked:
                    async for message in asked:
                        with suppress(QuorateError):  # whoever asks does so again
                            codec = choose_answer(message.headers)
                            standing = await self._answer(read_question(message))
                            if message.reply:
                                headers = {CONTENT_TYPE: codec.content_type}
                                await self._bus.publish(message.reply, codec.encode(standing), headers=headers)
            await asyncio.sleep(RETRY_S)

    async def _answer(self, question: Question) -> Standing:
        if isinstance(question, Hello):
            return Standing(agent=self.agent)
        if isinstance(question, Look):
            return await self._look(question)
        known = await self._note(question.task, is_stopped=True, reason=question.reason)
        if known.run:
            await self._stop(known.run, question.reason)
        return Standing(agent=self.agent, run=known.run)

    async def _look(self, question: Look) -> Standing:
        known, _ = await self._find(question.task)
        if not known.run:
            return Standing(agent=self.agent, refused=known.refused)
        _, events = await read_run(self._runtime.log, known.run, tenant=self._tenant)
        told: list[AnyEvent] = []
        size = 0
        for event in events[question.after :]:
            size += len(encode(event))
            if told and size > MAX_TOLD:
                break
            if size > MAX_EVENT:
                words = f"Event {event.seq} of run {known.run!r} has {size} bytes, too many for the bus."
                return Standing(agent=self.agent, run=known.run, refused=Refused(TooLarge.code, words))
            told.append(event)
        return Standing(agent=self.agent, run=known.run, events=tuple(told))

    async def _open(self, task: AgentTask, *, trace: str) -> RunHandle:
        """Find or begin the run of a task.

        Raises:
            DeadlineExceeded: It came too late.
            QuorateError: What `Runtime.submit` raises.
        """
        known, _ = await self._find(task.id)
        if known.refused is not None:
            raise build_error(known.refused.code, known.refused.message)
        if known.is_stopped and not known.run:
            raise Cancelled(f"The task was stopped before it began: {known.reason}")
        if known.limits is None:
            left = None if task.deadline is None else task.deadline - self._runtime.clock.now()
            if left is not None and left <= 0:
                raise DeadlineExceeded(f"Task {task.id!r} came {-left:.3g} s after its deadline; it was not begun.")
            seconds = task.limits.seconds if left is None else min(left, task.limits.seconds)
            known = await self._note(task.id, limits=structs.replace(task.limits, seconds=seconds))
        handle = await self._submit(task, known.limits, trace=trace)
        known = await self._note(task.id, run=handle.id)
        if known.is_stopped:
            await self._stop(handle.id, known.reason)
        return handle

    async def _submit(self, task: AgentTask, limits: Limits | None, *, trace: str) -> RunHandle:
        """Begin the run of a task; where this worker has no room for it, any worker may take it."""
        with self._worker.reserve() if self._worker is not None else nullcontext(True) as has_room:
            handle = await self._runtime.submit(
                task.message,
                agent=self.agent,
                session=task.session,
                limits=limits,
                history=task.history,
                principal=self._principal or task.principal,
                idempotency_key=f"task/{task.idempotency_key or task.id}",
                start=has_room,
                trace=trace,
            )
            if handle.run is not None:
                handle.run.handed_over = True  # also one that this process began for somebody else
                if self._worker is not None:
                    self._worker.adopt(handle, self._tenant)
        return handle

    async def _attend(self, task: AgentTask, handle: RunHandle, *, watch: bool, codec: Codec) -> AnyEvent | None:
        """Tell how a run goes, and stop it where its deadline passes; return the last of it."""
        left = None if task.deadline is None else max(task.deadline - self._runtime.clock.now(), 0.0) + GRACE_S
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                return await self._relay(task, handle, watch=watch, codec=codec)
        await self._stop(handle.id, f"The task's deadline passed {GRACE_S:g} s ago.")
        return await self._relay(task, handle, watch=watch, codec=codec)

    async def _relay(self, task: AgentTask, handle: RunHandle, *, watch: bool, codec: Codec) -> AnyEvent | None:
        """Tell what happens in a run, and return the last of it."""
        last: AnyEvent | None = None
        async with aclosing(handle.stream()) as items:
            async for item in items:
                if isinstance(item, Event):
                    last = item
                    await self._tell(task.id, Happened(item), codec=codec)
                elif watch:
                    said = Said(last.seq if last is not None else 0, item)
                    await self._tell(task.id, said, codec=codec)
        return last

    async def _tell(self, task: str, news: News, *, codec: Codec) -> None:
        data, headers = codec.encode(news), {CONTENT_TYPE: codec.content_type}
        if len(data) <= MAX_EVENT:
            with suppress(QuorateError):  # whoever waits looks by himself
                await self._bus.publish(build_news_subject(task, self._tenant), data, headers=headers)

    async def _stop(self, run: str, reason: str) -> None:
        with suppress(Conflict, NotFound):  # there is nothing left to stop
            await self._runtime.cancel(run, reason=reason, by=self._principal or "bus")

    def _place(self, task: str) -> str:
        return f"errand/{self._tenant}/{self.agent}/{task}"

    async def _find(self, task: str) -> tuple[Errand, int]:
        entry = await self._runtime.store.values.get(self._place(task))
        if entry is None:
            return Errand(), 0
        return read_stored(entry.value, Errand, what=f"task {task!r}"), entry.revision

    async def _note(self, task: str, **facts: object) -> Errand:
        """Add to what is known of a task, whoever else does so; what was noted first of its limits stays."""
        while True:
            known, revision = await self._find(task)
            if known.limits is not None:
                facts.pop("limits", None)
            known = structs.replace(known, **facts)
            try:
                await self._runtime.store.values.put(
                    self._place(task), encode(known), if_revision=revision, ttl_s=KEPT_S
                )
            except Conflict:
                continue
            return known


async def serve_agents(
    runtime: Runtime,
    bus: Bus,
    *,
    agents: Sequence[str],
    concurrency: int = 16,
    principal: str = "bus",
    ack_wait_s: float = 30.0,
    stopping: asyncio.Event | None = None,
    worker: Worker | None = None,
) -> None:
    """Do the tasks that come over a bus for agents, until cancelled, or until `stopping` is set and all have ended.

    Any number of processes may serve the same agents; each task goes to one of them, and to another one if that dies.
    Tasks of other tenants and for other agents are refused. Cancel it to hand over what is under way: others are given
    the tasks at once, and go on with their runs once this runtime is closed.

    Args:
        runtime: Does the runs, for its tenant, whose bus it must be.
        bus: Opened with `build_task_rules` of these agents.
        agents: Which ones, by name.
        concurrency: How many tasks of each agent at a time; the others wait in the queue.
        principal: In whose name the runs are. Empty for whom the caller names: only where everybody who may publish
            on this bus is believed to have checked that.
        ack_wait_s: What `build_task_rules` was told.
        stopping: Set when no more tasks are wanted.
        worker: Has the runs, as far as it has room; the others are queued for any worker.

    Raises:
        UnknownName: There is no such agent, or the bus was not opened with its queue.
    """
    for agent in agents:
        runtime.find_agent(agent, None)
    left = LeftRuns(runtime, agents) if worker is None else None  # a worker finds them by itself
    servers = [AgentServer(runtime, bus, agent, principal=principal, worker=worker, left=left) for agent in agents]
    async with asyncio.TaskGroup() as group:
        beside = [group.create_task(server.answer()) for server in servers]
        if left is not None:
            beside.append(group.create_task(left.mind()))
        async with asyncio.TaskGroup() as working:
            for server in servers:
                queue = name_task_queue(server.agent)
                working.create_task(
                    deliver(bus, queue, server.take, concurrency=concurrency, beat_s=ack_wait_s / 3, stopping=stopping)
                )
        for task in beside:
            task.cancel()
