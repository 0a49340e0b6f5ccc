"""How do the tests of waiting runs answer, and look at what was recorded?"""

from collections.abc import Callable, Sequence

from msgspec import structs

from quorate import Agent, MemoryLog, RunOptions, RunResult, ScriptedModel
from quorate.events import AnyEvent, RunWaiting, ToolFinished
from quorate.messages import ToolResult
from quorate.ports import Model
from quorate.runtime.control import append_control
from quorate.runtime.questions import build_answer, build_input, find_questions
from quorate.testing.clock import ManualClock

RUN = "run-1"


def by_turn(*turns: object) -> ScriptedModel:
    """A model that answers by how far the conversation is, so that any attempt may ask it."""
    return ScriptedModel(
        lambda request: turns[sum(message.role == "assistant" for message in request.messages)]  # type: ignore[arg-type, return-value]
    )


class Case:
    """A run whose log and clock a test holds in its hand."""

    def __init__(self, *tools: object, turns: Sequence[object], principal: str = "pat") -> None:
        self.log = MemoryLog()
        self.clock = ManualClock()
        self.turns = turns
        self.tools = tools
        self.model: Callable[[], Model] = lambda: by_turn(*self.turns)
        self.options = RunOptions(run_id=RUN, clock=self.clock, principal=principal)

    def build(self) -> Agent[None, str]:
        return Agent("payer", model=self.model(), tools=list(self.tools))

    async def start(self) -> RunResult[str]:
        return await self.build().run("x", log=self.log, options=self.options)

    async def resume(self, *tools: object) -> RunResult[str]:
        self.tools = tools or self.tools
        return await self.build().resume(RUN, log=self.log, options=RunOptions(clock=self.clock))

    async def read(self) -> list[AnyEvent]:
        return await self.log.read(RUN)

    async def keys(self) -> list[str]:
        """What is asked at the moment."""
        return list(find_questions(await self.read()))

    async def decide(
        self,
        key: str = "",
        *,
        approved: bool = True,
        by: str = "ann",
        reason: str = "",
        arguments: str | None = None,
    ) -> None:
        chosen = key or (await self.keys())[0]
        await append_control(
            self.log,
            RUN,
            lambda events: build_answer(
                events,
                chosen,
                approved=approved,
                by=by,
                reason=reason,
                arguments=arguments,
                now=self.clock.now(),
            ),
            tenant="default",
        )

    async def tell(self, text: str, key: str = "", *, by: str = "ann") -> None:
        chosen = key or (await self.keys())[0]
        await append_control(
            self.log,
            RUN,
            lambda events: build_input(events, chosen, text=text, by=by, now=self.clock.now()),
            tenant="default",
        )

    async def forge(self, event: AnyEvent, **facts: object) -> None:
        """Write an event as somebody would who may write to the database, and checks nothing."""
        place = await self.log.last(RUN)
        await self.log.append(RUN, (structs.replace(event, seq=place + 1, **facts),), expected=place)

    async def rewrite(self, events: Sequence[AnyEvent]) -> None:
        """Put another log in the place of the run's."""
        self.log = MemoryLog()
        await self.log.append(RUN, list(events), expected=0)


def get_rest(result: RunResult[str]) -> RunWaiting:
    """How the run rests."""
    last = result.events[-1]
    assert isinstance(last, RunWaiting)
    return last


def get_told(result: RunResult[str]) -> list[str]:
    """What the model was told by its tools, in order."""
    parts = [part for message in result.messages if message.role == "tool" for part in message.parts]
    return [str(part.content) for part in parts if isinstance(part, ToolResult)]


def get_finished(events: Sequence[AnyEvent]) -> list[str]:
    """The results that were recorded."""
    return [str(event.result.content) for event in events if isinstance(event, ToolFinished)]
