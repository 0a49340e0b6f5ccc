"""What does a held call wait for, has it come, and how does the run rest until it does?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct, structs

from quorate.agent.journal import Journal
from quorate.errors import Forbidden, InvalidInput, Waiting
from quorate.events import (
    CONTROLS,
    AnyEvent,
    ApprovalDecided,
    ApprovalRequested,
    InputGiven,
    InputRequested,
    RunWaiting,
    TimerSet,
)
from quorate.messages import ToolCall

Question = ApprovalRequested | InputRequested | TimerSet
QUESTIONS = (ApprovalRequested, InputRequested, TimerSet)
Answer = ApprovalDecided | InputGiven
EXPIRED = "expired"
"""The code of a call that nobody answered in time."""
MOST_LATE_S = 60.0
"""How long a run is left alone, in seconds, that the store wakes before its time."""


class Verdict(Struct, frozen=True, kw_only=True):
    """What is to be done with a held call."""

    go: ToolCall | None = None
    """The exact call that may be made."""
    refused: str = ""
    """Why it may never be made; the model is told."""
    code: str = ""


LISTEN = Verdict()
"""Let the toolset look for itself: nothing has come, or what came is a no or was about something else."""


def find_question(journal: Journal, key: str) -> Question | None:
    """Find what a call asked last, when an earlier attempt held it."""
    known = journal.find(key)
    if known is None:
        return None
    # It was recorded right behind the call it holds, unless the same had been asked before.
    behind = journal.events[known.seq : known.seq + 1]
    for event in (*behind, *reversed(journal.events[: known.seq])):
        if isinstance(event, QUESTIONS) and event.key.rpartition("/")[0] == key:
            return event
    return None


def find_answer(journal: Journal, question: Question) -> Answer | None:
    """Find the answer that was given after a question was asked; an older one was about something else."""
    answer = journal.find(question.key)
    return answer if isinstance(answer, (ApprovalDecided, InputGiven)) and answer.seq > question.seq else None


def judge(journal: Journal, key: str, call: ToolCall, *, now: float) -> Verdict:
    """Say what is to be done with a call that an earlier attempt held."""
    question = find_question(journal, key)
    if question is None:
        return LISTEN
    if isinstance(question, TimerSet):
        return Verdict(go=get_exact(journal, key, call)) if question.due <= now else LISTEN
    answer = find_answer(journal, question)
    if question.expires is not None and (answer.time if answer is not None else now) >= question.expires:
        late = f"{answer.by} answered too late" if answer is not None else "nobody answered in time"
        return Verdict(refused=late, code=EXPIRED)
    if isinstance(question, InputRequested):
        return Verdict(go=get_exact(journal, key, call)) if isinstance(answer, InputGiven) else LISTEN
    if not isinstance(answer, ApprovalDecided) or answer.digest != question.digest or not answer.approved:
        return LISTEN
    return _judge_edit(question, answer, call)


def _judge_edit(question: ApprovalRequested, answer: ApprovalDecided, call: ToolCall) -> Verdict:
    if answer.arguments is None:
        return Verdict(go=call)
    from quorate.tools.edits import check_edit, get_edit_digest  # reads JSON strictly, which most runs never need

    if answer.covers != get_edit_digest(question.digest, answer.arguments):
        refused = f"the answer of {answer.by} does not cover its edited arguments"
        return Verdict(refused=refused, code=Forbidden.code)
    try:
        check_edit(question.call.arguments, answer.arguments, question.editable)
    except InvalidInput as error:
        return Verdict(refused=f"the answer of {answer.by} is not allowed: {error}", code=Forbidden.code)
    return Verdict(go=structs.replace(call, arguments=answer.arguments))


def get_exact(journal: Journal, key: str, call: ToolCall) -> ToolCall:
    """Return the call as it may be made: with the arguments of its last approval, where they were edited."""
    for event in reversed(journal.events):
        if isinstance(event, ApprovalDecided):
            step, _, slot = event.key.rpartition("/")
            if step == key and slot != "unknown":
                edited = event.arguments if event.approved else None
                return call if edited is None else structs.replace(call, arguments=edited)
    return call


def build_question(held: Waiting, call: ToolCall) -> tuple[Callable[..., AnyEvent], dict[str, object]] | None:
    """Build the event that asks what a call waits for; `None` when it asks nothing that could be answered."""
    facts = held.context
    if "due" in facts:
        return TimerSet, {"due": facts["due"]}
    if "question" in facts:
        asked = {name: facts[name] for name in ("question", "choices", "expires", "of") if name in facts}
        return InputRequested, asked
    if facts.get("digest") is None:
        return None
    asked = {name: facts[name] for name in ("digest", "expires", "editable", "by_other") if name in facts}
    return ApprovalRequested, {"call": call, "reason": held.message, **asked}


def is_asked(journal: Journal, key: str, facts: dict[str, object]) -> bool:
    """Whether the very same was asked under a key by an earlier attempt, and nobody has answered."""
    question = journal.find(key)
    if not isinstance(question, QUESTIONS):
        return False
    return all(getattr(question, name, None) == facts.get(name) for name in ("digest", "question", "choices", "due"))


def describe_rest(journal: Journal, keys: Sequence[str], *, now: float) -> dict[str, object]:
    """Build the facts of `run.waiting`: what is waited for, and when it may go on without an answer."""
    wanted, reasons, wakes = set(keys), set[str](), list[float]()
    asked = {event.key: event for event in journal.events if isinstance(event, QUESTIONS) and event.key in wanted}
    for key in keys:
        question = asked.get(key)
        if isinstance(question, TimerSet):
            reasons.add("timer")
            wakes.append(question.due)
            continue
        reasons.add("input" if isinstance(question, InputRequested) else "approval")
        if question is not None and find_answer(journal, question) is not None:
            wakes.append(now)  # it came while the calls beside it were made
        elif question is not None and question.expires is not None:
            wakes.append(question.expires)
    reason = next((one for one in ("approval", "input", "timer") if one in reasons), "approval")
    due = min(wakes, default=None)
    return {"reason": reason, "keys": tuple(keys), "wakes": None if due is None else _put_off(journal.events, due, now)}


def _put_off(events: Sequence[AnyEvent], due: float, now: float) -> float:
    """Return when to wake: a little later each time that the run is woken before its time.

    A store whose clock is an hour ahead of ours would otherwise wake it again and again for an hour.
    """
    if due <= now:
        return due
    for event in reversed(events):
        if isinstance(event, CONTROLS):
            break  # an answer woke it
        if isinstance(event, RunWaiting):
            if event.wakes is None or event.wakes < due:
                break
            return event.wakes + min(MOST_LATE_S, max(1.0, event.wakes - due))
    return due
