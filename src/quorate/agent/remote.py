"""How is an agent used that works in another process, behind a bus?

```python
net = RemoteAgent("net", bus=bus, description="Diagnoses networks.")
result = await net.run("Why is example.com slow?")
lead = Agent("lead", tools=[net], model="openai:gpt-5.2")
```
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Generic, cast

from msgspec import structs

from quorate.agent.errand import (
    MAX_LIVES_S,
    Accepted,
    Hello,
    Look,
    News,
    Question,
    Refused,
    Said,
    Standing,
    Stop,
    build_ask_subject,
    build_error,
    build_headers,
    build_news_subject,
    build_task_subject,
    digest_task,
    find_plain,
    is_over,
    read_news,
    read_standing,
    write_task,
)
from quorate.agent.history import build_conversation
from quorate.agent.output import Output as OutputReader
from quorate.agent.remote_tool import RemoteDelegate, RemoteTool
from quorate.agent.result import RunResult
from quorate.agent.run import DEFAULTS, RunOptions
from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.codec.formats import Codec, find_codec
from quorate.codec.schemas.agents import AgentTask
from quorate.errors import DeadlineExceeded, NoResponders, QuorateError, Unavailable, UnknownName
from quorate.events import ENDINGS, AnyEvent, Event, RunCompleted, RunFailed, RunIncomplete, summarize
from quorate.ids import check_id, new_id
from quorate.messages import AnyPart, Delta, Message, build_user_message
from quorate.ports.bus import Bus, Room, Subscription
from quorate.specs import Limits
from quorate.telemetry.place import find_trace

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Output = TypeVar("Output", default=str)
else:
    from typing import TypeVar

    Output = TypeVar("Output")

Task = str | Message | tuple[AnyPart, ...]
Items = AsyncGenerator[AnyEvent | Delta]

LOOK_S = (0.1, 2.0)
"""After how long without a word it is asked how a task stands: at first, and then later each time."""
ANSWER_S = 2.0
"""How long a question about a task may take."""
RETRY_S = 0.1
GRACE_S = 5.0
"""How much later than at the task's deadline its end may be heard of."""
TRUSTED_S = 5.0
"""How long it is believed that somebody serves the agent, without asking."""
MAX_HEARD = 10_000


def _always() -> bool:
    return True


class RemoteAgent(Generic[Output]):
    """An agent behind a bus, used like one of this process: asked, streamed, stopped, given to others as a tool.

    Whoever serves it (`quorate.runtime.serving`) records the run there. The run's deadline travels with the task, and
    whoever stops waiting stops the run, as with an agent of this process. A process that dies does not: the same task
    with the same idempotency key finds its run again.
    """

    def __init__(
        self,
        name: str,
        *,
        bus: Bus,
        tenant: str = "default",
        output_type: type[Output] = cast("type[Output]", str),
        description: str = "",
        limits: Limits = Limits(),
        trace: Callable[[], str | None] = find_trace,
        patience_s: float = 2.0,
        codec: Codec | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Name an agent that somebody serves; cheap, and without I/O.

        Args:
            name: Under which name it is served.
            bus: Over what; opened with `build_task_rules` of the agent.
            tenant: That bus's tenant.
            output_type: What its answer is, as where it is defined.
            description: What it is for, in a sentence: what other agents choose it by.
            limits: The bounds of each of its runs; its server's own hold as well.
            trace: Gives the W3C `traceparent` under which it is asked; that of the step under way when not given.
            patience_s: How long it is waited for somebody who serves it, such as while a server is replaced.
            codec: In which format tasks are written; JSON when not given. Answers and news come in it, too, or in
                JSON where it is Protobuf.
            clock: Where time comes from.

        Raises:
            InvalidInput: The name is not an identifier.
        """
        self.name = check_id(name, "agent name")
        self.tenant = check_id(tenant, "tenant")
        self.output_type = output_type
        self.description = description
        self.limits = limits
        self.clock = clock
        self._bus = bus
        self._trace = trace
        self._patience_s = patience_s
        self._codec = codec or find_codec()
        self._output = OutputReader(output_type)
        self._trusted_until = 0.0

    def __repr__(self) -> str:
        return f"<RemoteAgent {self.name}>"

    async def run(
        self,
        task: Task,
        *,
        history: Sequence[Message] = (),
        limits: Limits | None = None,
        options: RunOptions = DEFAULTS,
    ) -> RunResult[Output]:
        """Do a task and return how it went.

        Args:
            task: What to do.
            history: The conversation before.
            limits: Instead of the agent's own.
            options: Of these, the session, the principal, the limits and the idempotency key travel.

        Raises:
            UnknownName: Nobody serves such an agent.
            DeadlineExceeded: It was not heard in time how the run ended.
            QuorateError: The run failed, or whoever serves the agent refused it.
        """
        built = self.build_task(task, history=history, limits=limits or options.limits, options=options)
        events: list[AnyEvent] = []
        async with aclosing(self.drive(built)) as items:
            async for item in items:
                if isinstance(item, Event):
                    events.append(item)
        return self.build_result(events)

    async def run_stream(
        self,
        task: Task,
        *,
        history: Sequence[Message] = (),
        limits: Limits | None = None,
        options: RunOptions = DEFAULTS,
    ) -> AsyncIterator[AnyEvent | Delta]:
        """Do a task and yield every event as it is recorded, and text as it comes.

        Events come whole and in order; text is best effort, and what is missing of it is in the events. Takes and
        raises what `run` does, but a run that fails is its last event; leaving the loop early stops the work.
        """
        built = self.build_task(task, history=history, limits=limits or options.limits, options=options)
        async with aclosing(self.drive(built, watch=True)) as items:
            async for item in items:
                yield item

    def as_tool(self, *, name: str | None = None) -> RemoteTool:
        """Make a tool of the agent, for another agent to delegate to; giving it as a tool does so, too.

        Args:
            name: What the tool is called; the agent's own name when not given.
        """
        # What comes of a run is only read there, so that any output type is as good as `object`.
        return RemoteTool(cast("RemoteDelegate", self), name=name)

    def build_task(
        self,
        task: Task,
        *,
        history: Sequence[Message] = (),
        limits: Limits | None = None,
        options: RunOptions = DEFAULTS,
        deadline: float | None = None,
    ) -> AgentTask:
        """Build what is sent: with an idempotency key, the same task is the same run, however often it is sent.

        Args:
            task: What to do.
            history: The conversation before.
            limits: Instead of the agent's own.
            options: What travels of them.
            deadline: Wall time by which it must have ended, where that is before its limits say so.

        Raises:
            DeadlineExceeded: The deadline has passed.
        """
        bounds, now = limits or self.limits, self.clock.now()
        end = now + bounds.seconds if deadline is None else min(deadline, now + bounds.seconds)
        if end <= now:
            raise DeadlineExceeded(f"There is no time left to ask agent {self.name!r}.")
        built = AgentTask(
            id=new_id("task"),
            message=build_user_message(task),
            agent=self.name,
            history=tuple(history),
            session=options.session,
            principal=options.principal,
            limits=bounds,
            deadline=end,
            idempotency_key=options.idempotency_key,
            labels=options.labels,
        )
        if options.idempotency_key is None:
            return built
        named = f"{options.idempotency_key}\0{digest_task(built)}"
        return structs.replace(built, id=f"task-{hashlib.sha256(named.encode()).hexdigest()[:40]}")

    def build_result(self, events: Sequence[AnyEvent]) -> RunResult[Output]:
        """Build what came of a run from its events.

        Raises:
            QuorateError: The run failed.
            InvalidInput: Its answer is not of the output type.
        """
        last = events[-1]
        if isinstance(last, RunFailed):
            raise build_error(last.code, last.message, run=last.run)
        messages = build_conversation(events)
        text = next((message.text for message in reversed(messages) if message.role == "assistant"), "")
        if isinstance(last, (RunCompleted, RunIncomplete)):
            text = (last.output if isinstance(last, RunCompleted) else last.partial) or text
        summary = summarize(None, events)
        assert summary is not None
        return RunResult(
            run_id=last.run,
            value=cast("Output", self._output.read(last.output)) if isinstance(last, RunCompleted) else None,
            text=text,
            messages=messages,
            events=events,
            usage=last.usage if isinstance(last, ENDINGS) else summary.usage,
            cost_usd=last.cost_usd if isinstance(last, ENDINGS) else summary.cost_usd,
        )

    async def drive(self, task: AgentTask, *, watch: bool = False, may_stop: Callable[[], bool] = _always) -> Items:
        """Send a task and yield what happens, until its run has ended or rests.

        Args:
            task: From `build_task`.
            watch: Whether to yield text as it comes.
            may_stop: Whether whoever leaves early wants the run stopped.

        Raises:
            QuorateError: What `run` raises.
        """
        subject = build_news_subject(task.id, self.tenant)
        is_ended = False
        async with self._bus.subscribe(subject, room=Room(max_messages=MAX_HEARD, overflow="oldest")) as news:
            await self._greet()
            try:
                is_known = await self._send(task, watch=watch)
                async with aclosing(self._follow(task, news, is_known=is_known)) as items:
                    async for item in items:
                        is_ended = is_ended or (isinstance(item, Event) and is_over(item))
                        yield item
            except (DeadlineExceeded, Unavailable):
                # With a key it may be sent again, and is the same task then: that must not have been stopped.
                is_ended = is_ended or task.idempotency_key is not None
                raise
            finally:
                if not is_ended and may_stop():
                    await self.stop(task.id, reason="Nobody waits for it any more.")

    async def stop(self, task: str, *, reason: str = "") -> bool:
        """Stop a task's run wherever it is worked on, or before it has begun; say whether somebody heard that.

        Where nobody serves the agent for the moment, the task's deadline ends its run.
        """
        with suppress(QuorateError, TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                while True:
                    with suppress(Unavailable):
                        await self._ask(Stop(task=task, reason=reason))
                        return True
                    await asyncio.sleep(RETRY_S)
        return False

    async def _send(self, task: AgentTask, *, watch: bool) -> bool:
        """Put a task into its queue, and say whether it was there already."""
        now, trace = self.clock.now(), self._trace()
        lives_s = min(MAX_LIVES_S, max((task.deadline or now) - now, 0.0) + 1.0)
        receipt = await self._bus.enqueue(
            build_task_subject(self.name, self.tenant),
            write_task(task, tenant=self.tenant, time=now, watch=watch, trace=trace, codec=self._codec),
            id=task.id,
            headers=build_headers(self._codec, trace=trace),
            ttl_s=lives_s,
        )
        return receipt.duplicate

    async def _follow(self, task: AgentTask, news: Subscription, *, is_known: bool) -> Items:
        """Yield what happens to a task; what is not told is asked for.

        Raises:
            DeadlineExceeded: Its end was not heard of in time.
            QuorateError: It was refused.
        """
        end = self.clock.monotonic() + max((task.deadline or 0.0) - self.clock.now(), 0.0) + GRACE_S
        last: AnyEvent | None = None
        seq, must_look, wait_s = 0, is_known, LOOK_S[0]
        while True:
            heard = None if must_look else await self._hear(task, news, end=end, wait_s=wait_s)
            wait_s = min(2 * wait_s, LOOK_S[1]) if heard is None else LOOK_S[0]
            if isinstance(heard, Refused):
                raise build_error(heard.code, heard.message, task=task.id)
            if isinstance(heard, (Accepted, Said)):
                if isinstance(heard, Said) and heard.after >= seq:
                    yield heard.delta
                continue
            if heard is not None and heard.event.seq <= seq + 1:
                events: Sequence[AnyEvent] = (heard.event,)
            else:
                heard, events = None, await self._look(task.id, after=seq)
            for event in events:
                if event.seq == seq + 1:
                    last, seq = event, event.seq
                    yield event
            if isinstance(last, ENDINGS) or (is_over(last) and (heard is not None or not events)):
                return
            must_look = heard is None and bool(events)  # more may be there than was told at once

    async def _hear(self, task: AgentTask, news: Subscription, *, end: float, wait_s: float) -> News | None:
        """Wait for the next news; `None` when there is none for a while.

        Raises:
            DeadlineExceeded: It is too late.
            Unavailable: The bus was closed.
        """
        left = end - self.clock.monotonic()
        if left <= 0:
            raise DeadlineExceeded(f"Agent {self.name!r} did not end task {task.id!r} in time.", task=task.id)
        with suppress(TimeoutError):
            async with asyncio.timeout(min(left, wait_s)):
                message = await anext(aiter(news), None)
                if message is not None:
                    return read_news(message)
                raise Unavailable(f"The bus was closed while agent {self.name!r} worked on task {task.id!r}.")
        return None

    async def _look(self, task: str, *, after: int) -> tuple[AnyEvent, ...]:
        """Ask what happened after an event; nothing, where nobody answers.

        Raises:
            QuorateError: The task was refused.
        """
        try:
            standing = await self._ask(Look(task=task, after=after))
        except (Unavailable, DeadlineExceeded):
            return ()
        if standing.refused is not None:
            raise build_error(standing.refused.code, standing.refused.message, task=task)
        return standing.events

    async def _ask(self, question: Question) -> Standing:
        subject = build_ask_subject(self.name, self.tenant)
        codec = find_plain(self._codec)
        data, headers = codec.encode(question), build_headers(codec)
        return read_standing(await self._bus.request(subject, data, headers=headers, timeout_s=ANSWER_S))

    async def _greet(self) -> None:
        """Return once somebody serves the agent.

        Raises:
            UnknownName: Nobody does.
            Unavailable: The bus is away.
        """
        begun, wait_s = self.clock.monotonic(), 0.02
        while begun >= self._trusted_until:
            try:
                await self._ask(Hello())
                self._trusted_until = begun + TRUSTED_S
            except Unavailable as error:
                if self.clock.monotonic() + wait_s <= begun + self._patience_s:
                    await asyncio.sleep(wait_s)
                    wait_s = min(2 * wait_s, RETRY_S)
                    continue
                if not isinstance(error, NoResponders):
                    raise
                hint = "Nobody on the bus serves it: start `serve_agents` with it, or mend the name."
                raise UnknownName("remote agent", self.name, hint=hint) from error
