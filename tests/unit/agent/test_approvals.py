"""Does a call that needs a person's yes happen exactly as it was allowed, once, or not at all?"""

import asyncio
import json
from collections.abc import Sequence

import pytest
from msgspec import structs
from tests.unit.agent.doubles import Effects
from tests.unit.agent.waiting import Case, by_turn, get_rest, get_told

from quorate import Agent, Approved, InvalidInput, MemoryLog, ScriptedModel, tool
from quorate.errors import Conflict, Forbidden, NotFound, UnknownName
from quorate.events import (
    AnyEvent,
    ApprovalDecided,
    ApprovalRequested,
    RunWaiting,
    ToolFinished,
    ToolRequested,
    ToolStarted,
    ToolUnknown,
)
from quorate.messages import ToolCall
from quorate.models.planner import PlannerModel
from quorate.models.scripted import call
from quorate.runtime.questions import find_questions, list_open
from quorate.specs import Request
from quorate.tools.edits import get_edit_digest
from quorate.tools.toolsets import Toolbox, get_call_digest

KEY = "1/tool/call-1-1/approval"
PAY = (call("pay", amount=5), "done")


def guard(effects: Effects, **options: object) -> Approved:
    return Approved(Toolbox(effects.tools()), **options)  # type: ignore[arg-type]


async def test_edited_arguments_are_executed_exactly_and_once() -> None:
    """The approver changes what may be changed; these very arguments are used, once, and are what was recorded.
    row: B6"""
    effects = Effects()
    case = Case(guard(effects, editable=["amount"]), turns=PAY)
    assert (await case.start()).status == "waiting"
    await case.decide(arguments='{ "amount": 4 }', reason="enough")
    result = await case.resume()
    assert (result.output, effects.done, get_told(result)) == ("done", ["pay 4"], ["paid 4"])
    events = await case.read()
    started = [event for event in events if isinstance(event, ToolStarted)]
    assert [one.call.arguments for one in started] == ['{"amount":5}', '{ "amount": 4 }']
    held = next(event for event in events if isinstance(event, ToolRequested))
    assert started[0].seq < held.seq < started[1].seq
    decided = next(event for event in events if isinstance(event, ApprovalDecided))
    assert (decided.by, decided.reason, decided.approved) == ("ann", "enough", True)
    assert decided.covers == get_edit_digest(decided.digest, '{ "amount": 4 }')
    assert (await case.resume()).output == "done"
    assert effects.done == ["pay 4"]


async def test_the_same_arguments_given_back_are_no_edit() -> None:
    """An approver may send the arguments back as they were, also where nothing is editable."""
    effects = Effects()
    case = Case(guard(effects), turns=PAY)
    await case.start()
    await case.decide(arguments='{"amount":5}')
    assert (await case.resume()).output == "done"
    assert effects.done == ["pay 5"]


@pytest.mark.parametrize("arguments", ['{"amount":4}', '{"amount":5,"to":"bob"}', "{}", '{"amount":5.0}', "nonsense"])
async def test_what_is_not_editable_is_not_changed(arguments: str) -> None:
    """The answer is refused and the question stays open. row: B6"""
    case = Case(guard(Effects()), turns=PAY)
    await case.start()
    with pytest.raises(InvalidInput):
        await case.decide(arguments=arguments)
    with pytest.raises(InvalidInput, match="rejected has no arguments"):
        await case.decide(approved=False, arguments=arguments)
    assert await case.keys() == [KEY]


@pytest.mark.parametrize(
    ("arguments", "covers", "words"),
    [
        ('{"amount":4}', "", "does not cover its edited arguments"),
        ('{"amount":4}', "of another", "does not cover its edited arguments"),
        ('{"amount":5,"to":"bob"}', "own", "is not allowed"),
        ('{"amount":4,"amount":9}', "own", "is given twice"),
    ],
)
async def test_an_edit_that_nobody_checked_never_executes(arguments: str, covers: str, words: str) -> None:
    """An answer that was written past the checks is looked at again before the call. row: B6"""
    effects = Effects()
    case = Case(guard(effects, editable=["amount"]), turns=PAY)
    asked = (await case.start()).events[-2]
    assert isinstance(asked, ApprovalRequested)
    digest = get_edit_digest(asked.digest, arguments if covers == "own" else "{}")
    answer = ApprovalDecided(
        run=asked.run,
        seq=1,
        time=0.0,
        key=KEY,
        approved=True,
        digest=asked.digest,
        by="eve",
        arguments=arguments,
        covers=digest if covers else "",
    )
    await case.forge(answer)
    result = await case.resume()
    assert (result.output, effects.done) == ("done", [])
    assert words in get_told(result)[0]
    assert sum(isinstance(event, ToolStarted) for event in result.events) == 1, "the one before the question"


async def test_edited_arguments_pass_the_schema_again() -> None:
    """An edit that is allowed and does not fit goes back to the model; nothing is done."""
    effects = Effects()
    case = Case(guard(effects, editable=["amount"]), turns=PAY)
    await case.start()
    await case.decide(arguments='{"amount":"much"}')
    result = await case.resume()
    assert effects.done == []
    assert "arguments are not valid" in get_told(result)[0]


async def test_a_rejection_goes_on_with_the_reason() -> None:
    """The model reads who refused and why, and the plan goes on without the call. row: B6"""
    effects = Effects()
    turns = (call("pay", amount=5), call("look", name="bill"), "not paid")
    case = Case(guard(effects, needed=lambda one: one.name == "pay"), turns=turns)
    await case.start()
    await case.decide(approved=False, reason="the bill is wrong")
    result = await case.resume()
    assert (result.output, effects.done) == ("not paid", ["look bill"])
    assert "ann refused it: the bill is wrong" in get_told(result)[0]


async def test_a_plan_goes_on_without_the_step_that_was_rejected() -> None:
    """What depends on the refused step is not done, and the planner plans anew, knowing why. row: B6"""
    effects = Effects()
    plan = {
        "steps": [
            {"id": "bill", "tool": "look", "arguments": {"name": "bill"}},
            {"id": "paid", "tool": "pay", "arguments": {"amount": 5}},
            {"id": "receipt", "tool": "look", "arguments": {"name": "{paid}"}, "after": ["paid"]},
        ]
    }

    other = {"steps": [{"id": "reminder", "tool": "look", "arguments": {"name": "reminder"}}]}

    def think(request: Request) -> str:
        if "Now give the final answer" in str(request.messages[-1]):
            return "not paid"
        return json.dumps(other if "the bill is wrong" in str(request.messages) else plan)

    case = Case(guard(effects, needed=lambda one: one.name == "pay"), turns=())
    case.model = lambda: PlannerModel(ScriptedModel(think))
    assert (await case.start()).status == "waiting"
    assert effects.done == ["look bill"]
    await case.decide(approved=False, reason="the bill is wrong")
    result = await case.resume()
    assert (result.output, effects.done) == ("not paid", ["look bill", "look reminder"])


async def test_a_second_answer_is_a_conflict() -> None:
    """Before and after the run went on, and after its end; the first one stays. row: B6"""
    case = Case(guard(Effects()), turns=PAY)
    await case.start()
    with pytest.raises(NotFound, match=f"asked nothing under 'x'; it asked under: {KEY}"):
        await case.decide("x")
    await case.decide(KEY)
    with pytest.raises(Conflict, match="answered already by 'ann'"):
        await case.decide(KEY, approved=False, by="bob")
    await case.resume()
    with pytest.raises(Conflict, match="has ended"):
        await case.decide(KEY, approved=False, by="bob")
    decided = [event for event in await case.read() if isinstance(event, ApprovalDecided)]
    assert [(one.by, one.approved) for one in decided] == [("ann", True)]


async def test_a_question_that_nobody_answers_expires() -> None:
    """From its time on no answer counts: it is refused, and the run goes on without the call. row: B6"""
    effects = Effects()
    case = Case(guard(effects, expires_s=60), turns=PAY)
    first = await case.start()
    due = case.clock.now() + 60
    assert get_rest(first).wakes == due
    case.clock.advance(59.9)
    again = await case.resume()
    assert (again.status, await case.keys()) == ("waiting", [KEY])
    case.clock.advance(0.1)
    with pytest.raises(Conflict, match=r"expired at .*: no answer counts any more"):
        await case.decide()
    result = await case.resume()
    assert (result.output, effects.done) == ("done", [])
    assert "Tool `pay` failed (expired): nobody answered in time" in get_told(result)[0]
    assert find_questions(result.events[:-1]) == {}, "a call that was settled asks nothing any more"


async def test_an_answer_in_time_counts_whenever_the_run_goes_on() -> None:
    """The question had an answer; that the run was resumed late changes nothing."""
    effects = Effects()
    case = Case(guard(effects, expires_s=60), turns=PAY)
    await case.start()
    case.clock.advance(59)
    await case.decide()
    case.clock.advance(86_400)
    assert (await case.resume()).output == "done"
    assert effects.done == ["pay 5"]


@pytest.mark.parametrize("shift", [0.0, -3600.0])
async def test_an_answer_that_came_too_late_never_counts(shift: float) -> None:
    """Also one that was written past the checks, and when the clock was put back since. row: B6"""
    effects = Effects()
    case = Case(guard(effects, expires_s=60), turns=PAY)
    asked = (await case.start()).events[-2]
    assert isinstance(asked, ApprovalRequested)
    assert asked.expires is not None
    await case.forge(
        ApprovalDecided(run=asked.run, seq=1, time=asked.expires, key=KEY, approved=True, digest=asked.digest, by="ann")
    )
    case.clock.jump(shift)
    result = await case.resume()
    assert effects.done == []
    assert "failed (expired): ann answered too late" in get_told(result)[0]


async def test_another_principal_must_answer() -> None:
    """Where it is asked for, whoever asked for the run may neither approve nor reject; somebody else may. row: B6"""
    effects = Effects()
    case = Case(guard(effects, by_other=True), turns=PAY, principal="pat")
    asked = (await case.start()).events[-2]
    assert isinstance(asked, ApprovalRequested)
    for approved in (True, False):
        with pytest.raises(Forbidden, match="'pat' asked for run 'run-1', so somebody else must answer"):
            await case.decide(by="pat", approved=approved)
    assert await case.keys() == [KEY]
    await case.decide(by="ann")
    assert (await case.resume()).output == "done"
    assert effects.done == ["pay 5"]


async def test_an_own_answer_that_was_written_past_the_checks_does_not_count() -> None:
    """The toolset looks again at who said yes."""
    effects = Effects()
    case = Case(guard(effects, by_other=True), turns=PAY, principal="pat")
    asked = (await case.start()).events[-2]
    assert isinstance(asked, ApprovalRequested)
    await case.forge(
        ApprovalDecided(run=asked.run, seq=1, time=0.0, key=KEY, approved=True, digest=asked.digest, by="pat")
    )
    result = await case.resume()
    assert effects.done == []
    assert "pat asked for the run and may not approve its calls" in get_told(result)[0]


@pytest.mark.parametrize("by", ["", " ", " ann", "ann\n", "a\x1b[2J", "x" * 256])
async def test_who_answers_has_a_name(by: str) -> None:
    """An answer is recorded with a name that can be read."""
    case = Case(guard(Effects()), turns=PAY)
    await case.start()
    with pytest.raises(InvalidInput, match="is no name of somebody who answers"):
        await case.decide(by=by)


async def test_a_question_that_was_tampered_with_never_executes() -> None:
    """A stored question that shows another call than the model's: the answer to it is for nothing. row: B6"""
    effects = Effects()
    case = Case(guard(effects), turns=PAY)
    await case.start()
    shown = ToolCall(id="call-1-1", name="pay", arguments='{"amount":1}')
    events = await case.read()
    digest = get_call_digest("run-1", "1/tool/call-1-1", shown)
    forged = [
        structs.replace(event, call=shown, digest=digest) if isinstance(event, ApprovalRequested) else event
        for event in events
    ]
    await case.rewrite(forged)
    await case.decide()
    result = await case.resume()
    assert (result.status, effects.done) == ("waiting", [])
    asked = [event for event in result.events if isinstance(event, ApprovalRequested)]
    assert [one.call.arguments for one in asked] == ['{"amount":1}', '{"amount":5}'], "it is asked about what is"
    await case.decide()
    assert (await case.resume()).output == "done"
    assert effects.done == ["pay 5"]


def test_a_digest_binds_everything() -> None:
    """Run, step, tool, exact arguments and policy: each makes another digest, wherever one ends and the next begins."""

    def digest(run: str = "r", key: str = "k", name: str = "n", arguments: str = "a", policy: str = "p") -> str:
        return get_call_digest(run, key, ToolCall(id="1", name=name, arguments=arguments), policy=policy)

    others = [digest(run="x"), digest(key="x"), digest(name="x"), digest(arguments="x"), digest(policy="x")]
    shifted = [digest(key="k\0n", name="a"), digest(name="n\0a", arguments=""), digest(arguments="a\0p", policy="")]
    assert len({digest(), *others, *shifted}) == 9
    assert digest() == digest()


async def test_another_version_of_the_policy_asks_anew() -> None:
    """An answer under the old rule is none under the new one. row: B6"""
    effects = Effects()
    case = Case(guard(effects, policy="refunds-1"), turns=PAY)
    await case.start()
    await case.decide()
    result = await case.resume(guard(effects, policy="refunds-2"))
    assert (result.status, effects.done) == ("waiting", [])
    assert await case.keys() == ["1/tool/call-1-1/approval:refunds-2"]
    await case.decide(by="bob")
    assert (await case.resume()).output == "done"
    assert effects.done == ["pay 5"]


async def test_a_question_of_an_old_policy_is_replaced() -> None:
    """Nobody is asked twice for one call: the question under the old rule is open no more."""
    case = Case(guard(Effects(), policy="refunds-1"), turns=PAY)
    await case.start()
    old = (await case.keys())[0]
    await case.resume(guard(Effects(), policy="refunds-2"))
    assert await case.keys() == ["1/tool/call-1-1/approval:refunds-2"]
    with pytest.raises(Conflict, match="went on without an answer"):
        await case.decide(old)


async def test_two_policies_ask_for_their_own() -> None:
    """Guards around each other, each with a policy: both must say yes, and the call is made once."""
    effects = Effects()
    inner = Approved(Toolbox(effects.tools()), policy="bank", editable=["amount"])  # type: ignore[arg-type]
    case = Case(Approved(inner, policy="desk"), turns=PAY)
    await case.start()
    assert await case.keys() == ["1/tool/call-1-1/approval:desk"]
    await case.decide()
    assert (await case.resume()).status == "waiting"
    assert (await case.keys(), effects.done) == (["1/tool/call-1-1/approval:bank"], [])
    with pytest.raises(InvalidInput, match="what may be changed is nothing"):
        await case.decide(arguments='{"amount":50}')
    await case.decide(by="bob")
    assert (await case.resume()).output == "done"
    assert effects.done == ["pay 5"]


async def test_an_edit_that_needs_another_approval_is_refused() -> None:
    """What an approver makes of a call passes every policy again; one that would ask about it refuses it. row: B6"""
    effects = Effects()
    bank = Approved(
        Toolbox(effects.tools()),  # type: ignore[arg-type]
        lambda one: '"amount":5' not in one.arguments,
        policy="bank",
    )
    case = Case(Approved(bank, policy="desk", editable=["amount"]), turns=PAY)
    await case.start()
    await case.decide(arguments='{"amount":700}')
    result = await case.resume()
    assert (result.output, effects.done) == ("done", [])
    assert "needs another approval under policy `bank`" in get_told(result)[0]


async def test_several_calls_wait_and_one_is_answered() -> None:
    """Each call has its own question; what is answered is done, and the rest goes on waiting."""
    effects = Effects()
    turns = ([call("pay", amount=1), call("look", name="x"), call("pay", amount=2)], "done")
    case = Case(guard(effects, needed=lambda one: one.name == "pay"), turns=turns)
    first = await case.start()
    assert effects.done == ["look x"]
    assert get_rest(first).keys == ("1/tool/call-1-1/approval", "1/tool/call-1-3/approval")
    await case.decide("1/tool/call-1-3/approval")
    second = await case.resume()
    assert (get_rest(second).keys, effects.done) == (("1/tool/call-1-1/approval",), ["look x", "pay 2"])
    await case.decide(approved=False)
    assert (await case.resume()).output == "done"
    assert effects.done == ["look x", "pay 2"]


async def test_an_answer_before_the_run_rests_wakes_it_at_once() -> None:
    """A call is answered while the one beside it still works: the run comes to rest, and may go on right away."""
    effects = Effects()
    case: Case

    @tool(effect="idempotent")
    async def work() -> str:
        """Work until somebody has answered the other call."""
        while not await case.keys():
            await asyncio.sleep(0)
        await case.decide()
        return "worked"

    case = Case(guard(effects), work, turns=([call("pay", amount=5), call("work")], "done"))
    result = await case.start()
    assert (get_rest(result).wakes, get_rest(result).keys) == (case.clock.now(), (KEY,))
    assert (await case.resume()).output == "done"
    assert effects.done == ["pay 5"]


async def test_an_answer_beside_the_last_append_wakes_the_run() -> None:
    """The answer is recorded just before the run rests, behind its back: that it may go on is said right after."""
    effects = Effects()
    case = Case(guard(effects), turns=PAY)

    class Quick(MemoryLog):
        """A log in which somebody answers just before the run comes to rest."""

        answered = False

        async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
            if isinstance(events[-1], RunWaiting) and not self.answered:
                self.answered = True
                await case.decide()
            await super().append(run, events, expected=expected)

    case.log = Quick()
    result = await case.start()
    kinds = [type(event).__name__ for event in result.events[-3:]]
    assert kinds == ["ApprovalDecided", "RunWaiting", "RunWaiting"]
    assert get_rest(result).wakes == case.clock.now()
    assert (await case.resume()).output == "done"
    assert effects.done == ["pay 5"]


@pytest.mark.parametrize("edited", [False, True])
async def test_a_crash_anywhere_executes_once_at_most(edited: bool) -> None:
    """Whatever was recorded when the process died: an approved call is made once, or a person is asked. row: B6"""
    effects = Effects()
    case = Case(guard(effects, editable=["amount"]), turns=PAY)
    await case.start()
    await case.decide(arguments='{"amount":4}' if edited else None)
    await case.resume()
    whole, paid = await case.read(), "pay 4" if edited else "pay 5"
    assert effects.done == [paid]
    decided = next(event.seq for event in whole if isinstance(event, ApprovalDecided))
    for keep in range(decided, len(whole)):
        effects.done.clear()
        await case.rewrite(whole[:keep])
        done = any(isinstance(event, ToolFinished) for event in whole[:keep])
        begun = isinstance(whole[keep - 1], ToolStarted)
        result = await case.resume()
        if begun:
            assert (result.status, effects.done) == ("waiting", []), keep
            asked = [event for event in result.events if isinstance(event, ApprovalRequested)][-1]
            assert asked.call.arguments == ('{"amount":4}' if edited else '{"amount":5}'), "what may have happened"
            assert any(isinstance(event, ToolUnknown) for event in result.events)
            await case.decide(approved=True)
            result = await case.resume()
        assert (result.output, effects.done) == ("done", [] if done else [paid]), keep


async def test_calls_deep_inside_delegates_are_asked_and_answered() -> None:
    """Four levels down, in two branches at once: each has its own question and its own effect."""
    effects = Effects()

    def nest(level: int, amount: int) -> Agent[None, str]:
        if level == 0:
            return Agent(f"leaf-{amount}", model=by_turn(call("pay", amount=amount), "ok"), tools=[guard(effects)])
        inner = nest(level - 1, amount)
        name = inner.name.replace("-", "_")
        return Agent(f"level-{level}-{amount}", model=by_turn(call(name, task="go"), "ok"), tools=[inner])

    tops = [nest(2, 1), nest(2, 2)]
    case = Case(*tops, turns=([call(top.name.replace("-", "_"), task="go") for top in tops], "done"))
    first = await case.start()
    keys = await case.keys()
    assert sorted(get_rest(first).keys) == sorted(keys)
    assert [key.count("/tool/") for key in keys] == [4, 4]
    await case.decide(keys[1])
    second = await case.resume()
    assert (get_rest(second).keys, effects.done) == ((keys[0],), ["pay 2"])
    await case.decide(keys[0], approved=False)
    assert (await case.resume()).output == "done"
    assert effects.done == ["pay 2"]


async def test_open_questions_tell_whose_they_are() -> None:
    """What a list needs is there without the log: who asked for it, for what, until when."""
    case = Case(guard(Effects(), expires_s=60), turns=PAY)
    await case.start()
    (one,) = list_open(await case.read())
    assert (one.run, one.key, one.kind, one.agent, one.principal, one.task) == (
        "run-1",
        KEY,
        "approval",
        "payer",
        "pat",
        "x",
    )
    assert (one.asked, one.expires) == (case.clock.now(), case.clock.now() + 60)
    assert list_open([]) == []
    assert list_open((await case.read())[1:]) == []


def test_a_guard_that_cannot_be_is_refused() -> None:
    """Names and times are looked at when the guard is built."""
    tools = Toolbox(Effects().tools())  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match=r"no argument 'amuont'.*Did you mean `amount`"):
        Approved(tools, editable=["amuont"])
    with pytest.raises(InvalidInput, match="`expires_s` is 0"):
        Approved(tools, expires_s=0)
    with pytest.raises(InvalidInput, match="policy 'a/b' is no name"):
        Approved(tools, policy="a/b")


async def test_a_run_that_rests_says_what_for() -> None:
    """Resuming without an answer asks nothing twice and keeps on waiting for the same."""
    case = Case(guard(Effects()), turns=PAY)
    await case.start()
    before = await case.read()
    await case.resume()
    after = (await case.read())[len(before) :]
    assert [type(event).__name__ for event in after] == ["RunResumed", "RunWaiting"]
    assert isinstance(after[-1], RunWaiting)
    assert (after[-1].reason, after[-1].keys, after[-1].wakes) == ("approval", (KEY,), None)
