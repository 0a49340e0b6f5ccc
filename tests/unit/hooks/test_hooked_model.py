"""Do hooks take effect on model calls, in one piece and in a stream?"""

from collections.abc import AsyncIterator

import pytest
from msgspec import structs
from tests.unit.hooks.making import ANY, failing, make, saying

from quorate import Agent, InvalidInput, MemoryLog, RunOptions, ScriptedModel
from quorate.agent.replay import replay_exactly
from quorate.errors import BlockedByPolicy, Incomplete
from quorate.events import GuardBlocked, ModelReplied, RunFailed, get_kind
from quorate.hooks.composite import voting
from quorate.hooks.hook import Decision, Hook, Moment, Point, Verdict
from quorate.hooks.hooked_model import HookedModel
from quorate.messages import Message, Reply, StreamItem, Text, TextDelta
from quorate.specs import ModelProfile, Request

NAMED = RunOptions(run_id="run-1")
AFTER: tuple[Point, ...] = ("model.after",)
BEFORE: tuple[Point, ...] = ("model.before",)


def at(points: tuple[Point, ...], hook: Hook) -> Hook:
    return structs.replace(hook, points=points)


async def rewrite(moment: Moment) -> Verdict:
    """Put other words in the model's mouth, or in its instructions."""
    if moment.reply is not None:
        message = Message(role="assistant", parts=(Text(text="other words"),))
        return Verdict(decision="replace", value=structs.replace(moment.reply, message=message), reason="milder")
    assert moment.request is not None
    return Verdict(decision="replace", value=structs.replace(moment.request, instructions="Be kind."))


def rewriting(points: tuple[Point, ...]) -> Hook:
    return make("rewrite", rewrite, points=points, decisions=ANY)


@pytest.mark.parametrize(("points", "asked"), [(BEFORE, 0), (AFTER, 1)])
async def test_a_denied_model_call_ends_the_run_with_a_typed_error(points: tuple[Point, ...], asked: int) -> None:
    """The log says which hook and why, and a replay ends alike; part of row E10."""
    model = ScriptedModel(["a secret"])
    votes: list[tuple[str, Decision]] = [("a", "deny"), ("b", "allow"), ("c", "deny")]
    hook = voting([at(points, saying(name, decision)) for name, decision in votes], on_failure="fail_closed")
    agent = Agent("teller", model=HookedModel(model, hook))
    log = MemoryLog()
    with pytest.raises(BlockedByPolicy, match="Hook `voting` denied the model"):
        await agent.run("tell", log=log, options=NAMED)
    assert len(model.requests) == asked
    events = await log.read("run-1")
    (blocked,) = [event for event in events if isinstance(event, GuardBlocked)]
    assert (blocked.guard, blocked.reason) == ("voting", "1 allow, 2 deny, 0 abstain, 0 absent; 1/2 needed")
    assert isinstance(events[-1], RunFailed)
    assert not any("a secret" in str(event) for event in events)
    assert (await replay_exactly(agent, events)).is_identical


async def test_a_request_and_an_answer_are_replaced_and_noted() -> None:
    """The model is asked as the hook says, the run goes on with what the hook says, and the reply tells of both."""
    model = ScriptedModel(["rude words"])
    log = MemoryLog()
    agent = Agent("teller", instructions="Be rude.", model=HookedModel(model, rewriting(("model.before", *AFTER))))
    result = await agent.run("tell", log=log, options=NAMED)
    assert result.output == "other words"
    assert model.requests[0].instructions == "Be kind."
    events = await log.read("run-1")
    (replied,) = [event for event in events if isinstance(event, ModelReplied)]
    assert replied.reply.notes == (
        "hook rewrite: replaced the request: no reason given",
        "hook rewrite: replaced the answer: milder",
    )
    assert (await replay_exactly(agent, events)).is_identical


@pytest.mark.parametrize("live", [False, True])
async def test_a_hook_that_fails_open_is_noted(live: bool) -> None:
    """The answer comes, and says that nobody looked at it."""
    agent = Agent("teller", model=HookedModel(ScriptedModel(["words"]), at(AFTER, failing("weak", "fail_open"))))
    if live:
        events = [item async for item in agent.run_stream("tell")]
        (reply,) = [item.reply for item in events if isinstance(item, ModelReplied)]
    else:
        log = MemoryLog()
        await agent.run("tell", log=log, options=NAMED)
        (reply,) = [event.reply for event in await log.read("run-1") if isinstance(event, ModelReplied)]
    assert reply.message.text == "words"
    assert reply.notes == ("hook weak: failed with ValueError",)


async def show(hook: Hook, text: str = "quite a few words") -> list[str]:
    """What a reader of the stream is shown."""
    agent = Agent("teller", model=HookedModel(ScriptedModel([text]), hook))
    return [item.text async for item in agent.run_stream("tell") if isinstance(item, TextDelta)]


async def read_into(shown: list[object], items: AsyncIterator[object]) -> None:
    """Keep what was shown, up to an error."""
    async for item in items:
        shown.append(item)


async def test_nothing_is_shown_before_the_answer_was_looked_at() -> None:
    """A stream is held until its end where answers are looked at, and only there."""
    assert "".join(await show(at(AFTER, saying("yes", "allow")))) == "quite a few words"
    assert "".join(await show(at(BEFORE, saying("yes", "allow")))) == "quite a few words"
    assert await show(rewriting(AFTER)) == []
    shown: list[object] = []
    agent = Agent("teller", model=HookedModel(ScriptedModel(["a secret"]), at(AFTER, saying("no", "deny"))))
    with pytest.raises(BlockedByPolicy):
        await read_into(shown, agent.run_stream("tell"))
    assert "a secret" not in str(shown)


class Cut:
    """A model whose answer is cut in the middle."""

    profile = ModelProfile(name="cut")
    closed = False

    async def complete(self, request: Request) -> Reply:
        """Fail with what there was."""
        raise Incomplete("It was cut.", limit="stream", partial="half a secret")

    async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
        """Show a little and fail."""
        yield TextDelta("half")
        await self.complete(request)

    async def aclose(self) -> None:
        """Close."""
        self.closed = True


@pytest.mark.parametrize(("points", "left"), [(AFTER, ""), (BEFORE, "half a secret")])
async def test_what_nobody_looked_at_is_not_kept_with_an_error(points: tuple[Point, ...], left: str) -> None:
    """The part of an answer that came before it was cut."""
    model = HookedModel(Cut(), at(points, saying("yes", "allow")))
    request = Request(messages=())
    with pytest.raises(Incomplete) as caught:
        await model.complete(request)
    assert caught.value.context["partial"] == left
    shown: list[object] = []
    with pytest.raises(Incomplete) as caught:
        await read_into(shown, model.stream(request))
    assert caught.value.context["partial"] == left
    assert bool(shown) == bool(left)


async def test_it_is_closed_with_what_is_inside() -> None:
    """Connections of the inner model do not stay."""
    inner = Cut()
    await HookedModel(inner, at(BEFORE, saying("yes", "allow"))).aclose()
    await HookedModel(ScriptedModel([]), at(BEFORE, saying("yes", "allow"))).aclose()
    assert inner.closed


async def test_a_failure_ends_the_run_where_declared() -> None:
    """And names the hook in the log."""
    log = MemoryLog()
    agent = Agent("teller", model=HookedModel(ScriptedModel(["words"]), at(BEFORE, failing("strict", "raise"))))
    with pytest.raises(BlockedByPolicy, match="Hook `strict` failed with ValueError"):
        await agent.run("tell", log=log, options=NAMED)
    assert "guard.blocked" in [get_kind(event) for event in await log.read("run-1")]


def test_a_hook_that_is_never_asked_is_refused() -> None:
    """One for tools has no effect on models."""
    with pytest.raises(InvalidInput, match=r"asked at tool\.before only"):
        HookedModel(ScriptedModel([]), saying("no", "deny"))
