"""Does a run rest for a person's words, for a moment in time, and for what nobody knows, and go on from there?"""

import asyncio
from collections.abc import Callable

import pytest
from msgspec import structs
from tests.unit.agent.doubles import Effects
from tests.unit.agent.waiting import Case, by_turn, get_rest, get_told

from quorate import Agent, Approved, RunContext, ToolError, tool
from quorate.errors import Conflict, InvalidInput, TooLarge, Unavailable, UnknownName
from quorate.events import (
    ApprovalRequested,
    InputGiven,
    InputRequested,
    RunWaiting,
    TimerSet,
    ToolFinished,
    ToolStarted,
    ToolUnknown,
)
from quorate.messages import ToolCall
from quorate.models.scripted import call
from quorate.runtime.questions import list_open
from quorate.tools.outcomes import Outcome
from quorate.tools.toolsets import Filtered, Prefixed, TimeBoxed, Toolbox
from quorate.tools.waits import AskPerson, Timers

ASK = (call("ask", question="Which shelf?", choices=["1", "2"]), "done")


async def test_words_of_a_person_are_the_result() -> None:
    """The agent asks, the run rests, a person tells, and the model reads these very words. row: B6"""
    case = Case(AskPerson(), turns=(call("ask", question="Which shelf?"), "done"))
    first = await case.start()
    assert (get_rest(first).reason, get_rest(first).keys) == ("input", ("1/tool/call-1-1/input",))
    (asked,) = list_open(await case.read())
    assert (asked.kind, asked.question) == ("input", first.events[-2])
    await case.tell("the one\nbehind the door")
    result = await case.resume()
    assert (result.output, get_told(result)) == ("done", ["the one\nbehind the door"])
    given = next(event for event in result.events if isinstance(event, InputGiven))
    assert given.by == "ann"
    with pytest.raises(Conflict, match="has ended"):
        await case.tell("another", given.key)


async def test_an_answer_is_one_of_the_choices() -> None:
    """Another one is refused and the question stays open; a second answer is a conflict."""
    case = Case(AskPerson(), turns=ASK)
    await case.start()
    key = (await case.keys())[0]
    with pytest.raises(UnknownName, match="no choice '3'"):
        await case.tell("3")
    with pytest.raises(TooLarge):
        await case.tell("1" * 70_000)
    with pytest.raises(InvalidInput, match="asks for words"):
        await case.decide()
    await case.tell("2")
    with pytest.raises(Conflict, match="answered already by 'ann'"):
        await case.tell("1", key, by="bob")
    assert get_told(await case.resume()) == ["2"]


async def test_a_choice_that_was_written_past_the_checks_is_none() -> None:
    """The toolset looks again at what was answered."""
    case = Case(AskPerson(), turns=ASK)
    await case.start()
    await case.forge(InputGiven(run="run-1", seq=1, time=0.0, key="1/tool/call-1-1/input", text="all", by="eve"))
    assert "the answer of eve is none of the choices" in get_told(await case.resume())[0]


async def test_a_question_for_words_expires() -> None:
    """The run is woken when it has, and the model reads that nobody answered."""
    case = Case(AskPerson(expires_s=60), turns=ASK)
    first = await case.start()
    assert get_rest(first).wakes == case.clock.now() + 60
    case.clock.advance(60)
    with pytest.raises(Conflict, match="expired at"):
        await case.tell("1")
    result = await case.resume()
    assert "failed (expired): nobody answered in time" in get_told(result)[0]
    assert not any(isinstance(event, InputGiven) for event in result.events)


async def test_a_yes_or_no_is_no_place_for_words() -> None:
    """Each kind of question has its kind of answer."""
    case = Case(Approved(Toolbox(Effects().tools())), turns=(call("pay", amount=5), "done"))  # type: ignore[arg-type]
    await case.start()
    with pytest.raises(InvalidInput, match="asks for a yes or no"):
        await case.tell("yes")


async def test_a_question_may_need_approval_itself() -> None:
    """One call waits twice, for different things one after the other."""
    case = Case(Approved(AskPerson(expires_s=60), expires_s=600), turns=ASK)
    await case.start()
    await case.decide()
    second = await case.resume()
    assert (get_rest(second).reason, await case.keys()) == ("input", ["1/tool/call-1-1/input"])
    await case.tell("1")
    assert get_told(await case.resume()) == ["1"]


async def test_an_unsafe_tool_that_waits_is_not_of_unknown_outcome() -> None:
    """A call that was approved and then waits for something else has done nothing yet."""

    class Careful:
        """Asks before it acts."""

        inner = AskPerson()

        def specs(self) -> list[object]:
            return [structs.replace(self.inner.specs()[0], effect="unsafe")]

        async def call(self, call: ToolCall, context: RunContext[object]) -> object:
            return await self.inner.call(call, context)

    case = Case(Approved(Careful()), turns=ASK)  # type: ignore[arg-type]
    await case.start()
    await case.decide()
    await case.resume()
    assert await case.keys() == ["1/tool/call-1-1/input"]
    assert (await case.resume()).status == "waiting"
    assert await case.keys() == ["1/tool/call-1-1/input"]
    await case.tell("2")
    result = await case.resume()
    assert get_told(result) == ["2"]
    assert not any(isinstance(event, ToolUnknown) for event in result.events)


async def test_a_timer_rests_the_run_until_it_is_due() -> None:
    """The run says when to wake it; too early changes nothing, and what counts is when the wait began. row: B6"""
    case = Case(Timers(max_s=3600), turns=(call("wait", seconds=600), "done"))
    due = case.clock.now() + 600
    first = await case.start()
    assert (get_rest(first).reason, get_rest(first).wakes) == ("timer", due)
    assert next(event for event in first.events if isinstance(event, TimerSet)).due == due
    assert await case.keys() == [], "nobody is asked anything"
    case.clock.advance(300)
    early = await case.resume()
    assert early.status == "waiting"
    assert sum(isinstance(event, TimerSet) for event in early.events) == 1
    case.clock.advance(300)
    result = await case.resume()
    assert (result.output, get_told(result)) == ("done", ["It is 2023-11-14T22:23:20Z."])


async def test_a_timer_may_name_a_moment() -> None:
    """The moment is the same in every offset."""
    case = Case(Timers(), turns=(call("wait_until", time="2023-11-15T00:13:20+01:00"), "done"))
    first = await case.start()
    assert get_rest(first).wakes == case.clock.now() + 3600
    case.clock.advance(3600)
    assert get_told(await case.resume()) == ["It is 2023-11-14T23:13:20Z."]


async def test_a_short_wait_is_sat_out() -> None:
    """A few seconds are not worth a rest."""
    case: Case
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        case.clock.advance(seconds)

    case = Case(Timers(rest_above_s=5, sleep=sleep), turns=(call("wait", seconds=5), call("wait", seconds=0), "done"))
    assert (await case.start()).output == "done"
    assert slept == [5]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (call("wait", seconds=-1), "-1 s from now"),
        (call("wait", seconds=3601), "wait for 0 to 3600 s"),
        (call("wait", seconds="long"), "arguments are not valid"),
        (call("wait"), "arguments are not valid"),
        (call("wait", seconds=1, more=1), "arguments are not valid"),
        (call("wait_until", time="tomorrow"), "is no moment"),
        (call("wait_until", time="2023-11-14T23:00:00"), "has no offset"),
        (call("wait_until", time="2023-11-14T22:00:00Z"), "s from now"),
        (call("wait_until", time="9999-12-31T23:59:59-12:00"), "is no moment|s from now"),
        (call("ask", question=" "), "1 to 4000"),
        (call("ask", question="x" * 4001), "1 to 4000"),
        (call("ask", question="?", choices=["a", "a "]), "two of the `choices`"),
        (call("ask", question="?", choices=[""]), "or one is empty"),
        (call("ask", question="?", choices=[str(n) for n in range(51)]), "at most 50"),
        (call("ask", question="?", choices="a"), "arguments are not valid"),
        (call("ask", question="?", choices=["x" * 70_000]), "at most 65536"),
    ],
)
async def test_a_wait_that_cannot_be_is_told_to_the_model(made: object, words: str) -> None:
    """What the model can mend goes back to it, and the run does not rest."""
    case = Case(Timers(max_s=3600), AskPerson(), turns=(made, "done"))
    result = await case.start()
    assert result.output == "done"
    assert any(one in get_told(result)[0] for one in words.split("|"))


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_wait_without_a_bound_is_refused(seconds: float) -> None:
    """What an operator sets is looked at when it is set."""
    for build in (lambda: Timers(max_s=seconds), lambda: AskPerson(expires_s=seconds)):
        with pytest.raises(InvalidInput, match="give a number of seconds above 0"):
            build()


async def test_calls_side_by_side_wait_for_different_things() -> None:
    """The reason names what a person can do first; the run wakes for what comes first, and each goes on by itself."""
    effects = Effects()
    guarded = Approved(Toolbox(effects.tools()), lambda one: one.name == "pay", expires_s=900)  # type: ignore[arg-type]
    turn = [
        call("wait", seconds=600),
        call("ask", question="Which?"),
        call("pay", amount=5),
        call("look", name="x"),
    ]
    case = Case(guarded, AskPerson(expires_s=700), Timers(), turns=(turn, "done"))
    start = case.clock.now()
    first = get_rest(await case.start())
    assert (first.reason, first.wakes, effects.done) == ("approval", start + 600, ["look x"])
    assert [key.rpartition("/")[2] for key in first.keys] == ["timer", "input", "approval"]
    await case.decide("1/tool/call-1-3/approval")
    second = get_rest(await case.resume())
    assert (second.reason, second.wakes, effects.done) == ("input", start + 600, ["look x", "pay 5"])
    case.clock.advance(600)
    third = get_rest(await case.resume())
    assert (third.reason, third.wakes, len(third.keys)) == ("input", start + 700, 1)
    await case.tell("that")
    result = await case.resume()
    assert get_told(result) == ["It is 2023-11-14T22:23:20Z.", "that", "paid 5", "x is fine"]


async def test_delegates_wait_for_their_own() -> None:
    """A timer and a question two levels down, in two branches: the run rests for both and wakes for the first."""
    asker = Agent("asker", model=by_turn(call("ask", question="Which?"), "asked"), tools=[AskPerson()])
    middle = Agent("middle", model=by_turn(call("asker", task="go"), "told"), tools=[asker])
    sleeper = Agent("sleeper", model=by_turn(call("wait", seconds=60), "slept"), tools=[Timers()])
    case = Case(middle, sleeper, turns=([call("middle", task="a"), call("sleeper", task="b")], "done"))
    first = get_rest(await case.start())
    assert (first.reason, first.wakes) == ("input", case.clock.now() + 60)
    case.clock.advance(60)
    second = get_rest(await case.resume())
    assert (second.wakes, [key.rpartition("/")[2] for key in second.keys]) == (None, ["input"])
    await case.tell("this")
    result = await case.resume()
    assert (result.output, get_told(result)) == ("done", ["told", "slept"])


async def test_a_run_that_is_woken_too_early_is_not_woken_again_and_again() -> None:
    """The store's clock is an hour ahead of the worker's: the rests get longer until the worker's clock is there."""
    case = Case(Timers(), turns=(call("wait", seconds=600), "done"))
    due = case.clock.now() + 600
    await case.start()
    attempts, store_ahead = 0, 3600.0
    while (last := (await case.read())[-1]) and isinstance(last, RunWaiting):
        assert last.wakes is not None
        assert last.wakes >= due
        case.clock.jump(max(0.01, last.wakes - store_ahead - case.clock.now()))
        attempts += 1
        await case.resume()
    assert attempts < 80
    assert due <= case.clock.now() <= due + 60


def build_payer(effects: Effects, found: object = None) -> object:
    """A tool that pays, and can be asked whether it did."""

    async def check(context: RunContext[object], arguments: dict[str, object]) -> Outcome:
        effects.done.append(f"check {arguments['amount']} {context.idempotency_key[:4]}")
        if isinstance(found, BaseException):
            raise found
        return found  # type: ignore[return-value]

    @tool(effect="unsafe", check=check)
    async def pay(amount: int) -> str:
        """Pay."""
        effects.done.append(f"pay {amount}")
        return f"paid {amount}"

    return pay


async def crash(effects: Effects, wrap: Callable[[object], object], name: str = "pay") -> Case:
    """A run whose process died inside the payment."""
    case = Case(wrap(build_payer(effects)), turns=(call(name, amount=5), "done"))
    await case.start()
    whole = await case.read()
    keep = next(event.seq for event in whole if isinstance(event, ToolStarted))
    await case.rewrite(whole[:keep])
    effects.done.clear()
    return case


WRAPS: dict[str, Callable[[object], object]] = {
    "bare": lambda inner: inner,
    "in a box": lambda inner: Toolbox([inner]),  # type: ignore[list-item]
    "with a prefix": lambda inner: Prefixed(inner, "my_"),  # type: ignore[arg-type]
    "filtered": lambda inner: Filtered(inner, lambda spec: True),  # type: ignore[arg-type]
    "with a time": lambda inner: TimeBoxed(inner, 5),  # type: ignore[arg-type]
    "approved": lambda inner: Approved(inner, lambda one: False),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("wrap", WRAPS)
async def test_a_tool_that_knows_what_became_of_a_call_is_asked(wrap: str) -> None:
    """It took effect: its result is recorded, it is not made again, and nobody is asked."""
    effects, put = Effects(), WRAPS[wrap]
    case = await crash(effects, put, "my_pay" if wrap == "with a prefix" else "pay")
    result = await case.resume(put(build_payer(effects, Outcome(done=True, result="paid 5 before"))))
    assert (result.output, get_told(result)) == ("done", ["paid 5 before"])
    assert [one.split()[0] for one in effects.done] == ["check"]
    assert not any(isinstance(event, (ToolUnknown, ApprovalRequested)) for event in result.events)
    finished = next(event for event in result.events if isinstance(event, ToolFinished))
    assert finished.result.name == ("my_pay" if wrap == "with a prefix" else "pay")


async def test_a_call_that_did_not_take_effect_is_made_again() -> None:
    """The check says so: the intent is recorded anew, and the call is made."""
    effects = Effects()
    case = await crash(effects, WRAPS["bare"])
    result = await case.resume(build_payer(effects, Outcome(done=False)))
    assert (result.output, [one.split()[0] for one in effects.done]) == ("done", ["check", "pay"])
    assert sum(isinstance(event, ToolStarted) for event in result.events) == 2


@pytest.mark.parametrize(
    "found",
    [
        Outcome(),
        None,
        "yes",
        Outcome(done="no"),  # type: ignore[arg-type]
        ToolError("the bank is closed"),
        RuntimeError("oops"),
        SystemExit(1),
        asyncio.CancelledError(),
        Unavailable(),
        Outcome(done=True, result=object()),
    ],
    ids=lambda found: type(found).__name__ + str(getattr(found, "done", "")),
)
async def test_what_a_check_cannot_tell_a_person_decides(found: object) -> None:
    """It does not know, fails, or says what cannot be: nobody guesses. The next attempt looks again."""
    effects = Effects()
    case = await crash(effects, WRAPS["bare"])
    assert (await case.resume(build_payer(effects, found))).status == "waiting"
    assert [one.split()[0] for one in effects.done] == ["check"]
    assert await case.keys() == ["1/tool/call-1-1/unknown"]
    with pytest.raises(InvalidInput, match="what may be changed is nothing"):
        await case.decide(arguments='{"amount":1}')
    effects.done.clear()
    result = await case.resume(build_payer(effects, Outcome(done=True, result="found it")))
    assert (get_told(result), [one.split()[0] for one in effects.done]) == (["found it"], ["check"])


@pytest.mark.parametrize("kind", ["a plain function", "a function that gives an awaitable", "one that never answers"])
async def test_a_check_may_be_any_function(kind: str) -> None:
    """Blocking or not; one that takes longer than the tool may is given up, and a person decides."""

    async def find(context: RunContext[object], arguments: dict[str, object]) -> Outcome:
        return Outcome(done=True, result=f"found {arguments['amount']}")

    async def hang(context: RunContext[object], arguments: dict[str, object]) -> Outcome:
        await asyncio.Event().wait()
        return Outcome()

    def look(context: RunContext[object], arguments: dict[str, object]) -> Outcome:
        return Outcome(done=True, result=f"found {arguments['amount']}")

    checks = [look, lambda context, arguments: find(context, arguments), hang]
    names = ["a plain function", "a function that gives an awaitable", "one that never answers"]

    @tool(effect="unsafe", check=checks[names.index(kind)], timeout_s=0.05 if "never" in kind else 60)
    async def pay(amount: int) -> str:
        """Pay."""
        return f"paid {amount}"

    case = await crash(Effects(), WRAPS["bare"])
    result = await case.resume(pay)
    if kind == "one that never answers":
        assert await case.keys() == ["1/tool/call-1-1/unknown"]
    else:
        assert get_told(result) == ["found 5"]


async def test_a_person_is_heard_before_the_check() -> None:
    """Once somebody has said what to do, that is done."""
    for approved, expected in ((True, ["pay"]), (False, [])):
        effects = Effects()
        case = await crash(effects, WRAPS["bare"])
        await case.resume(build_payer(effects, Outcome()))
        effects.done.clear()
        await case.decide(approved=approved, reason="looked it up")
        result = await case.resume(build_payer(effects, Outcome()))
        assert (result.output, [one.split()[0] for one in effects.done]) == ("done", expected)


async def test_a_check_gets_the_arguments_that_were_approved() -> None:
    """After an edit, what may have happened is the edited call: its check, its question and its repetition say so."""
    effects = Effects()
    payer = build_payer(effects, Outcome())
    case = Case(Approved(payer, editable=["amount"]), turns=(call("pay", amount=5), "done"))  # type: ignore[arg-type]
    await case.start()
    await case.decide(arguments='{"amount":4}')
    await case.resume()
    whole = await case.read()
    keep = [event.seq for event in whole if isinstance(event, ToolStarted)][-1]
    await case.rewrite(whole[:keep])
    effects.done.clear()
    assert (await case.resume()).status == "waiting"
    (asked,) = list_open(await case.read())
    assert isinstance(asked.question, ApprovalRequested)
    assert (asked.kind, asked.question.call.arguments) == ("unknown", '{"amount":4}')
    await case.decide()
    await case.resume()
    assert [one.split()[:2] for one in effects.done] == [["check", "4"], ["pay", "4"]]


async def test_the_question_about_an_unknown_outcome_is_bound_too() -> None:
    """A stored question that shows another call gets a yes that is for nothing. row: B6"""
    effects = Effects()
    case = await crash(effects, WRAPS["bare"])
    await case.resume(build_payer(effects, None))
    shown = ToolCall(id="call-1-1", name="pay", arguments='{"amount":1}')
    events = [
        structs.replace(event, call=shown, digest="0" * 64) if isinstance(event, ApprovalRequested) else event
        for event in await case.read()
    ]
    await case.rewrite(events)
    await case.decide()
    effects.done.clear()
    result = await case.resume(build_payer(effects, None))
    assert (result.status, [one.split()[0] for one in effects.done]) == ("waiting", ["check"])


async def test_a_question_for_words_survives_at_every_boundary() -> None:
    """Whatever was recorded when the process died, the answer is used once it is there. row: B6"""
    case = Case(AskPerson(), Timers(), turns=([call("ask", question="Which?"), call("wait", seconds=60)], "done"))
    await case.start()
    await case.tell("this")
    case.clock.advance(60)
    await case.resume()
    whole = await case.read()
    asked = next(event.seq for event in whole if isinstance(event, InputRequested))
    for keep in range(2, len(whole)):
        await case.rewrite(whole[:keep])
        result = await case.resume()
        for _ in range(3):
            if result.status == "completed":
                break
            if await case.keys():
                await case.tell("this")
            case.clock.advance(60)
            result = await case.resume()
        told = get_told(result)
        assert (result.output, told[0], told[1][:5]) == ("done", "this", "It is"), keep
        if keep >= asked:
            assert sum(isinstance(event, InputRequested) for event in result.events) == 1, keep
