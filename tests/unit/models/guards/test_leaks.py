"""Does nothing forbidden leave through a side door: errors and what they were raised from, names, many small pieces?"""

import time
import traceback
from collections.abc import AsyncGenerator

import pytest
from msgspec import structs
from tests.unit.models.guards.samples import Talker, ask

from quorate.errors import BlockedByPolicy, Incomplete, QuorateError, UpstreamError
from quorate.messages import (
    Message,
    Reply,
    ReplyDone,
    StreamItem,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
)
from quorate.models.guarded import Guarded
from quorate.models.guards.guard import build_guards
from quorate.models.guards.rules import FunctionRule, GuardRule, PatternsRule, PiiRule, SecretsRule, WordsRule
from quorate.models.guards.secrets import find_secrets
from quorate.models.guards.spans import Scan
from quorate.specs import Request, ToolSpec

KEY = "AKIA" + "ABCDEFGHIJKLMNOP"
STRICT = SecretsRule(name="s", mode="strict")
MODERATE = SecretsRule(name="s")


class Failing(Talker):
    """Says something, and fails."""

    def __init__(self, error: QuorateError) -> None:
        super().__init__("x")
        self.error = error

    async def complete(self, request: Request) -> Reply:
        raise self.error

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        yield TextDelta("one")
        raise self.error


async def run(model: Guarded, request: Request, *, stream: bool) -> list[StreamItem]:
    if not stream:
        return [ReplyDone(await model.complete(request))]
    return [item async for item in model.stream(request)]


def show(error: BaseException | None) -> str:
    """All that anybody could read in an error and in those it comes from."""
    shown = ""
    while error is not None:
        context = error.context if isinstance(error, QuorateError) else {}
        shown += f"{error!r} {context} {''.join(traceback.format_exception(error))}"
        error = error.__cause__ or error.__context__
    return shown


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("rule", [STRICT, MODERATE])
@pytest.mark.parametrize("kind", [Incomplete, UpstreamError])
async def test_what_was_said_before_any_failure_is_looked_at(
    kind: type[QuorateError], rule: GuardRule, stream: bool
) -> None:
    """A cut, and an answer that stops for a reason that nobody knows."""
    model = Guarded(Failing(kind("It went wrong.", partial=f"the key is {KEY}")), guards=build_guards([rule]))
    with pytest.raises(QuorateError) as caught:
        await run(model, ask("hi"), stream=stream)
    assert KEY not in show(caught.value)
    assert isinstance(caught.value, BlockedByPolicy) == (rule is STRICT)


async def test_what_a_function_raises_is_not_shown() -> None:
    """Its words may hold the text."""

    def fail(seen: object) -> str | None:
        raise ValueError(str(seen))

    guards = build_guards([FunctionRule(name="f", function="fail")], functions={"fail": fail})
    with pytest.raises(BlockedByPolicy, match="ValueError") as caught:
        await Guarded(Talker("x"), guards=guards).complete(ask(f"the key is {KEY}"))
    assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("rule", [STRICT, MODERATE])
async def test_the_name_of_a_call_is_looked_at(rule: GuardRule, stream: bool) -> None:
    """A model may call a tool that is none, by a name that says more than it may."""
    model = Guarded(Talker(ToolCall(id="1", name=KEY, arguments="{}")), guards=build_guards([rule]))
    if rule is STRICT:
        with pytest.raises(BlockedByPolicy):
            await run(model, ask("hi"), stream=stream)
        return
    items = await run(model, ask("hi"), stream=stream)
    assert KEY not in repr(items)
    done = items[-1]
    assert isinstance(done, ReplyDone)
    assert [call.name for call in done.reply.message.tool_calls] == ["_KEY_"]


async def test_the_name_of_a_tool_that_is_there_is_left_alone() -> None:
    """Whatever it looks like."""
    request = structs.replace(ask("hi"), tools=(ToolSpec(name=KEY),))
    model = Guarded(Talker(ToolCall(id="1", name=KEY, arguments="{}")), guards=build_guards([STRICT]))
    items = await run(model, request, stream=True)
    assert isinstance(items[0], ToolCallDelta)
    assert items[0].name == KEY


class Musing(Talker):
    """Thinks, says something, and thinks on in the middle of a word."""

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        for piece in ("The key ", KEY[:9]):
            yield ThinkingDelta(piece)
        yield TextDelta("Well, ")
        for piece in (KEY[9:], " it is. Or ", "not"):
            yield ThinkingDelta(piece)
        yield TextDelta("yes.")
        thought = Thinking(text=f"The key {KEY} it is. Or not")
        message = Message(role="assistant", parts=(thought, Text(text="Well, yes.")))
        yield ReplyDone(Reply(message=message))


@pytest.mark.parametrize("rule", [STRICT, MODERATE])
async def test_reasoning_that_goes_on_after_a_word_is_looked_at_as_one(rule: GuardRule) -> None:
    """What is shown joins it, and so does the reply."""
    seen: list[StreamItem] = []
    try:
        async for item in Guarded(Musing("x"), guards=build_guards([rule])).stream(ask("hi")):
            seen.append(item)
    except BlockedByPolicy:
        assert rule is STRICT
    thoughts = "".join(item.text for item in seen if isinstance(item, ThinkingDelta))
    assert KEY not in thoughts
    if rule is MODERATE:
        assert thoughts == f"The key {KEY[:9]}[KEY] it is. Or not"
        assert "".join(item.text for item in seen if isinstance(item, TextDelta)) == "Well, yes."
        # The last word of a thought comes before the words that follow it.
        assert [type(item) for item in seen][-3:] == [ThinkingDelta, TextDelta, ReplyDone]


GUARDS: dict[str, GuardRule] = {
    "pii": PiiRule(name="p", entities=("email", "phone", "card", "iban", "ssn", "ip")),
    "secrets": SecretsRule(
        name="s", mode="strict", entities=("key", "private_key", "token", "login", "assigned", "random")
    ),
    "words": WordsRule(name="w", words=("a" * 200, "forbidden fruit")),
    "patterns": PatternsRule(name="x", patterns=("a.*b",), mode="strict"),
}
HOSTILE = {
    "token": "eyJ" + "a" * 3000,
    "bearer": "Bearer " + "a" * 3900 + " ",
    "pem": "-----BEGIN PRIVATE KEY-----" + "a b " * 2000,
    "assigned": "password = " + "a" * 250,
    "digits": "1 2-3 " * 500,
    "address": "a" * 60 + "@" + "b." * 100,
    "words": "a" * 199 + "c",
    "escapes": r"\u0061" * 500,
}


@pytest.mark.parametrize("guard", GUARDS)
def test_many_small_pieces_cost_little_more_than_the_whole(guard: str) -> None:
    """A model may draw out what begins like a secret and is none: 12 KB of it, a few characters at a time."""
    (built,) = build_guards([GUARDS[guard]])
    for name, sample in HOSTILE.items():
        text = (sample * (12_000 // len(sample) + 1))[:12_000]
        scan = Scan([built.finder], json=name == "escapes")  # type: ignore[union-attr]
        began = time.process_time()
        for at in range(0, len(text), 4):
            scan.feed(text[at : at + 4])
        scan.finish()
        took = time.process_time() - began
        # 3,000 pieces, at 50 µs for each.
        assert took < 0.15, (name, took)


def test_what_is_held_back_for_a_while_is_given_out_in_time() -> None:
    """However long something is held back, it is looked at again before it has grown by half."""
    scan = Scan([find_secrets(("token",))])
    given = "".join(str(one) for one in scan.feed("eyJ" + "a" * 3000))
    assert not given
    for _ in range(2000):
        if scan.feed(" b c"):
            break
    else:
        pytest.fail("nothing was given out")
