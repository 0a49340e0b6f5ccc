"""Is a hook checked when it is made, cut when it hangs, and its failure what was declared?"""

import asyncio
import contextlib
from typing import cast

import pytest
from msgspec import structs
from tests.unit.hooks.making import ANY, CALL, MOMENT, failing, make

from quorate import InvalidInput
from quorate.errors import BlockedByPolicy, UnknownName
from quorate.hooks.ask import MAX_REASON, ask, consult
from quorate.hooks.hook import LEGAL, Decision, Heard, Hook, HookFunction, Moment, Outcome, Point, Verdict
from quorate.messages import Message, Reply, ToolResult, Usage
from quorate.specs import Caller, Request


async def nothing(moment: Moment) -> None:
    """Say nothing."""


@pytest.mark.parametrize("point", sorted(LEGAL))
def test_what_is_legal_at_a_point_can_be_declared(point: Point) -> None:
    """Each decision of the table, at each point of it."""
    for decision in LEGAL[point]:
        assert make("fine", nothing, points=(point,), decisions=(decision,)).takes(point)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"points": ()}, "has no points"),
        ({"points": ("tool.befor",)}, "Did you mean `tool.before`?"),
        ({"decisions": ("retry",)}, "no decision of hooks at 'tool.before' 'retry'"),
        ({"on_failure": "ignore"}, "outcome of a hook's failure 'ignore'"),
        ({"timeout_s": None}, "has no `timeout_s`"),
        ({"timeout_s": 0}, "is 0: give seconds above 0"),
        ({"timeout_s": float("inf")}, "is inf"),
        ({"timeout_s": float("nan")}, "is nan"),
        ({"timeout_s": True}, "is True"),
        ({"function": print}, "is not asynchronous"),
        ({"function": "f"}, "is not asynchronous"),
        ({"name": "Not A Name"}, "hook name"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_made(facts: dict[str, object], said: str) -> None:
    """With a typed error that says what to write instead."""
    good = make("guard", nothing)
    with pytest.raises(InvalidInput, match=said.replace("?", r"\?")):
        structs.replace(good, **facts)


def test_an_object_may_be_a_hook() -> None:
    """What is called like an asynchronous function is one."""

    class Rule:
        async def __call__(self, moment: Moment) -> None:
            """Say nothing."""

    assert make("rule", Rule()).name == "rule"


async def test_a_hook_that_hangs_is_cut() -> None:
    """Its failure counts as declared; nobody waits for what never comes."""
    for outcome, decision in cast(
        "list[tuple[Outcome, Decision]]", [("fail_open", "abstain"), ("fail_closed", "deny"), ("raise", "deny")]
    ):
        heard = await ask(failing("hung", outcome, kind="hangs"), MOMENT)
        assert (heard.verdict.decision, heard.failure) == (decision, "did not answer within 0.001 s")
        assert heard.ends_run == (outcome == "raise")


async def test_what_is_said_after_the_cut_counts_for_nothing() -> None:
    """A hook that swallows its cancellation does not get its yes through."""

    async def stubborn(moment: Moment) -> Verdict:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return Verdict(decision="allow")

    heard = await ask(make("stubborn", stubborn, timeout_s=0.001), MOMENT)
    assert (heard.verdict.decision, heard.failure) == ("deny", "did not answer within 0.001 s")


async def test_a_failure_is_told_without_its_words() -> None:
    """What a hook raises may hold anything; its type is enough."""
    heard = await ask(failing("broken", "fail_closed"), MOMENT)
    assert heard.failure == "failed with ValueError"
    assert heard.verdict.reason == "it failed with ValueError"


async def test_its_own_timeout_and_cancellation_are_failures_like_others() -> None:
    """Nothing that a hook raises by itself stops the one who asks."""

    async def late(moment: Moment) -> None:
        raise TimeoutError

    async def cancelled(moment: Moment) -> None:
        raise asyncio.CancelledError

    async def leaving(moment: Moment) -> None:
        raise SystemExit(3)

    assert (await ask(make("late", late), MOMENT)).failure == "failed with TimeoutError"
    assert (await ask(make("cancelled", cancelled), MOMENT)).failure == "something in it was cancelled"
    assert (await ask(make("leaving", leaving), MOMENT)).failure == "failed with SystemExit"


async def test_a_cancellation_from_outside_passes_through() -> None:
    """Whoever stops the run is not held up by a hook."""
    begun = asyncio.Event()

    async def wait(moment: Moment) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(ask(make("slow", wait), MOMENT))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


REQUEST = Request(messages=(), key="1/model", caller=Caller(tenant="acme"))
REPLY = Reply(message=Message(role="assistant", parts=()), usage=Usage(requests=1), cost_usd=0.5)
RESULT = ToolResult(call_id="c1", name="look", content="fine")


@pytest.mark.parametrize(
    ("moment", "said", "fault"),
    [
        (MOMENT, "yes", "said `str` and no `Verdict`"),
        (MOMENT, Verdict(decision=cast("Decision", "retry")), "said 'retry', which it did not declare"),
        (MOMENT, Verdict(decision="replace"), "`replace` without a value"),
        (MOMENT, Verdict(decision="allow", value=CALL), "a value without `replace`"),
        (MOMENT, Verdict(decision="allow", reason=cast("str", 1)), "a reason that is no text"),
        (MOMENT, Verdict(decision="replace", value=RESULT), "replaces a `ToolCall` by a `ToolResult`"),
        (
            MOMENT,
            Verdict(decision="replace", value=structs.replace(CALL, arguments=cast("str", {"name": "b"}))),
            "puts in a `ToolCall` that cannot be written",
        ),
        (
            structs.replace(MOMENT, point="tool.after", result=RESULT),
            Verdict(decision="replace", value=structs.replace(RESULT, content="\ud800")),
            "puts in a `ToolResult` that cannot be written",
        ),
        (MOMENT, Verdict(decision="replace", value=structs.replace(CALL, name="drop")), "changes `name` of the call"),
        (
            structs.replace(MOMENT, point="tool.after", result=RESULT),
            Verdict(decision="replace", value=structs.replace(RESULT, call_id="c2")),
            "changes `call_id` of the result",
        ),
        (
            structs.replace(MOMENT, point="model.before", request=REQUEST),
            Verdict(decision="replace", value=structs.replace(REQUEST, caller=Caller(tenant="other"))),
            "changes `caller` of the request",
        ),
        (
            structs.replace(MOMENT, point="model.after", reply=REPLY),
            Verdict(decision="replace", value=structs.replace(REPLY, cost_usd=0.0)),
            "changes `cost_usd` of the reply",
        ),
        (
            MOMENT,
            Verdict(
                decision="allow",
                heard=(Heard(hook="x", point="tool.before", verdict=Verdict(decision="allow"), ends_run=True),),
            ),
            "spoke for other hooks",
        ),
    ],
)
async def test_a_verdict_that_may_not_be_is_a_failure(moment: Moment, said: object, fault: str) -> None:
    """Above all one that would put a call in another's name, or have it cost nothing."""

    async def say(moment: Moment) -> object:
        return said

    hook = make("bold", cast("HookFunction", say), points=(moment.point,), decisions=ANY)
    heard = await ask(hook, moment)
    assert heard.verdict.decision == "deny"
    assert fault in heard.failure


async def test_replace_must_be_declared() -> None:
    """By default a hook may say yes and no only."""

    async def say(moment: Moment) -> Verdict:
        return Verdict(decision="replace", value=structs.replace(CALL, arguments="{}"))

    assert "did not declare" in (await ask(make("plain", say), MOMENT)).failure


async def test_long_reasons_and_broken_text_are_mended() -> None:
    """A log and a provider take no lone surrogate, and nobody reads a book."""

    async def say(moment: Moment) -> Verdict:
        return Verdict(decision="deny", reason="\ud800" + "x" * 10_000)

    reason = (await ask(make("wordy", say), MOMENT)).verdict.reason
    assert len(reason) == MAX_REASON
    assert reason.startswith("?x")


async def test_a_listener_that_fails_harms_nothing() -> None:
    """The event loop hears of it, and the verdict holds."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, facts: told.append(facts["exception"]))

    def report(moment: Moment, heard: Heard) -> None:
        raise RuntimeError(heard.hook)

    verdict = await consult(failing("broken", "fail_closed"), MOMENT, report)
    assert verdict.decision == "deny"
    assert [str(one) for one in told] == ["broken"]


async def test_a_declared_break_names_its_hook_and_keeps_the_cause() -> None:
    """An operator sees what was raised; the message does not repeat it."""
    hook: Hook = failing("strict", "raise")
    with pytest.raises(BlockedByPolicy) as caught:
        await consult(hook, MOMENT, None)
    assert caught.value.context["guard"] == "strict"
    assert "hunter2" not in caught.value.message
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_unknown_point_lists_the_points() -> None:
    """A reader sees what there is."""
    with pytest.raises(UnknownName, match=r"model\.after"):
        make("guard", nothing, points=(cast("Point", "agent.before"),))
