"""What does a run wait for, and may it be answered so?"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from quorate.errors import Conflict, Forbidden, InvalidInput, NotFound, TooLarge, UnknownName, mend_text
from quorate.events import (
    ENDINGS,
    AnyEvent,
    ApprovalDecided,
    ApprovalRequested,
    InputGiven,
    InputRequested,
    RunCreated,
    Status,
    StepStarted,
    ToolFailed,
    ToolFinished,
)
from quorate.ports import Log
from quorate.tools.edits import check_edit, get_edit_digest

Question = ApprovalRequested | InputRequested
RESTING: tuple[Status, ...] = ("waiting", "queued")
"""How a run may stand that asks something: one that was answered in part is queued."""
PAGE = 100
MAX_TEXT = 65_536
MAX_NAME = 255
_ANSWERS = (ApprovalDecided, InputGiven)


class OpenQuestion(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that a person may answer, with what is needed to see whose it is."""

    run: str
    key: str
    kind: Literal["approval", "unknown", "input"]
    """Whether a call may be made, whether one of unknown outcome is to be repeated, or what only a person knows."""
    agent: str
    principal: str
    """Who asked for the run."""
    asked: float
    """Wall time."""
    expires: float | None = None
    """Wall time from which on no answer counts."""
    session: str | None = None
    task: str = ""
    """The first 200 characters of the task."""
    question: Question


def find_questions(events: Sequence[AnyEvent]) -> dict[str, Question]:
    """Find what a run asks and nobody has answered yet, by key; nothing once it has ended.

    A call that was settled without an answer, as it came too late, asks nothing any more; nor does one that asks
    something else since.
    """
    asked: dict[str, Question] = {}  # by step, as a call asks one thing at a time
    delegates: set[str] = set()
    for event in events:
        if isinstance(event, Question):
            asked[event.key.rpartition("/")[0]] = event
        elif isinstance(event, _ANSWERS):
            step = event.key.rpartition("/")[0]
            if step in asked and asked[step].key == event.key:
                del asked[step]
        elif isinstance(event, StepStarted):
            delegates.add(event.key)
        elif isinstance(event, (ToolFinished, ToolFailed)):
            asked.pop(event.key, None)
            if f"{event.key}/" in delegates:
                asked = {step: one for step, one in asked.items() if not step.startswith(f"{event.key}/")}
    return {} if events and isinstance(events[-1], ENDINGS) else {one.key: one for one in asked.values()}


def find_approvals(events: Sequence[AnyEvent]) -> dict[str, ApprovalRequested]:
    """Find what a run asks that wants a yes or no, by key."""
    return {key: one for key, one in find_questions(events).items() if isinstance(one, ApprovalRequested)}


async def read_questions(log: Log, *, tenant: str | None = None, limit: int = 100) -> list[OpenQuestion]:
    """Read what the runs that rest ask, those of the oldest run first; one that works asks when it rests.

    Args:
        log: The record of runs.
        tenant: Whose runs; everybody's when not given.
        limit: How many questions to return at most.
    """
    found: list[OpenQuestion] = []
    for status in RESTING:
        before: str | None = None
        while len(found) < limit:
            page = await log.list_runs(status=status, tenant=tenant, order="oldest", before=before, limit=PAGE)
            logs = await log.read_many([summary.run for summary in page])
            found += [one for summary in page for one in list_open(logs.get(summary.run, ()))]
            if len(page) < PAGE:
                break
            before = page[-1].run
    return sorted(found, key=lambda one: (one.asked, one.run, one.key))[:limit]


def list_open(events: Sequence[AnyEvent]) -> list[OpenQuestion]:
    """List what a run asks, as it can be shown beside the questions of others; oldest first."""
    created = events[0] if events else None
    if not isinstance(created, RunCreated):
        return []
    return [
        OpenQuestion(
            run=created.run,
            key=key,
            kind=get_question_kind(question),
            agent=created.agent,
            principal=created.principal,
            asked=question.time,
            expires=question.expires,
            session=created.session,
            task=created.messages[-1].text[:200] if created.messages else "",
            question=question,
        )
        for key, question in find_questions(events).items()
    ]


def get_question_kind(question: Question) -> Literal["approval", "unknown", "input"]:
    """Return what kind of answer a question wants."""
    if isinstance(question, InputRequested):
        return "input"
    return "unknown" if question.key.rpartition("/")[2] == "unknown" else "approval"


def find_question(events: Sequence[AnyEvent], key: str) -> Question:
    """Find what was asked under a key and not answered yet.

    Raises:
        NotFound: Nothing was asked there.
        Conflict: It was answered already, or the run or the call has ended.
    """
    run, open_questions = events[0].run, find_questions(events)
    if key in open_questions:
        return open_questions[key]
    if isinstance(events[-1], ENDINGS):
        raise Conflict(f"Run {run!r} has ended: there is nothing to answer any more.", run=run)
    last = next((e for e in reversed(events) if e.key == key and isinstance(e, (*_ANSWERS, Question))), None)
    if isinstance(last, _ANSWERS):
        raise Conflict(f"Run {run!r} was answered already by {last.by!r} under {key!r}.", run=run)
    if last is not None:
        raise Conflict(f"Run {run!r} went on without an answer to {key!r}: it came too late.", run=run)
    keys = ", ".join(open_questions) or "nothing"
    raise NotFound(f"Run {run!r} asked nothing under {key!r}; it asked under: {keys}.", run=run)


def build_answer(
    events: Sequence[AnyEvent],
    key: str,
    *,
    approved: bool,
    by: str,
    reason: str = "",
    arguments: str | None = None,
    now: float,
) -> ApprovalDecided:
    """Build the answer to whether a call may be made, bound to the exact call that was asked about.

    Raises:
        NotFound: Nothing was asked there.
        Conflict: It was answered already, or it is too late.
        Forbidden: Whoever asked for the run may not answer.
        InvalidInput: It asks for something else, or the arguments differ where they may not.
    """
    question = find_question(events, key)
    if not isinstance(question, ApprovalRequested):
        raise InvalidInput(
            f"Run {question.run!r} asks for words under {key!r}, not for a yes or no: "
            f"`quorate approvals answer {question.run} {key} --text …`.",
            run=question.run,
        )
    _check_time(question, now)
    _check_answerer(events, question, by)
    _check_size(reason, "the reason")
    covers = ""
    if arguments == question.call.arguments:
        arguments = None
    if arguments is not None:
        if not approved:
            raise InvalidInput("A call that is rejected has no arguments: approve it with them, or leave them out.")
        check_edit(question.call.arguments, arguments, question.editable)
        covers = get_edit_digest(question.digest, arguments)
    return ApprovalDecided(
        run=question.run,
        seq=len(events) + 1,
        time=now,
        key=key,
        approved=approved,
        digest=question.digest,
        by=by,
        reason=mend_text(reason),
        arguments=arguments,
        covers=covers,
    )


def build_input(events: Sequence[AnyEvent], key: str, *, text: str, by: str, now: float) -> InputGiven:
    """Build what a person tells a run that asked for it.

    Raises:
        NotFound: Nothing was asked there.
        Conflict: It was answered already, or it is too late.
        Forbidden: Somebody else is asked.
        InvalidInput: It asks for something else, or the text is none of the choices.
        TooLarge: The text is too long.
    """
    question = find_question(events, key)
    if not isinstance(question, InputRequested):
        raise InvalidInput(
            f"Run {question.run!r} asks for a yes or no under {key!r}, not for words: "
            f"`quorate approvals approve {question.run} {key}`, or `reject`.",
            run=question.run,
        )
    _check_time(question, now)
    _check_answerer(events, question, by)
    _check_size(text, "the answer")
    if question.choices and text not in question.choices:
        raise UnknownName("choice", text, question.choices)
    return InputGiven(run=question.run, seq=len(events) + 1, time=now, key=key, text=mend_text(text), by=by)


def _check_time(question: Question, now: float) -> None:
    if question.expires is not None and now >= question.expires:
        moment = datetime.datetime.fromtimestamp(question.expires, datetime.UTC).isoformat(timespec="seconds")
        raise Conflict(
            f"What run {question.run!r} asked under {question.key!r} expired at {moment}: no answer counts any more. "
            f"Go on with the run: `quorate runs resume {question.run}`.",
            run=question.run,
        )


def _check_answerer(events: Sequence[AnyEvent], question: Question, by: str) -> None:
    if not by.strip() or by != by.strip() or len(by) > MAX_NAME or not by.isprintable():
        raise InvalidInput(f"{by[:80]!r} is no name of somebody who answers: use 1 to {MAX_NAME} printable characters.")
    created = events[0]
    principal = created.principal if isinstance(created, RunCreated) else ""
    if isinstance(question, InputRequested) and question.of and by != question.of:
        raise Forbidden(
            f"Run {question.run!r} asks {question.of!r} under {question.key!r}, and nobody else.", run=question.run
        )
    if isinstance(question, ApprovalRequested) and question.by_other and by == principal:
        raise Forbidden(
            f"{by!r} asked for run {question.run!r}, so somebody else must answer {question.key!r}.", run=question.run
        )


def _check_size(text: str, what: str) -> None:
    if len(text) > MAX_TEXT:
        raise TooLarge(f"{what} has {len(text)} characters; at most {MAX_TEXT} are kept.", what=what)
