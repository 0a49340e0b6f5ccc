"""How does a run go on from any point of a recorded one, as a run of its own?

The new run begins with a copy of the log up to that point, and rests: whoever resumes it goes on by the rules of every
resume. What was recorded is not done again, a call that was under way is made again only where that does no harm, and
a person is asked about any other. What people approved and was not done yet is asked anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs

from quorate.agent.replay.compare import count_usage
from quorate.agent.replay.exact import check_recorded
from quorate.agent.replay.recording import HELD
from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import InvalidInput, NotFound
from quorate.events import (
    ENDINGS,
    AnyEvent,
    ApprovalDecided,
    ApprovalRequested,
    CancelRequested,
    InputGiven,
    InputRequested,
    ModelReplied,
    RunCreated,
    RunResumed,
    RunStarted,
    RunWaiting,
    ToolFailed,
    ToolFinished,
    ToolRequested,
    ToolStarted,
    ToolUnknown,
    get_kind,
)
from quorate.ids import new_id
from quorate.messages import Message, Reply, Text, ToolResult
from quorate.ports import Log
from quorate.specs import Limits
from quorate.tools.edits import get_edit_digest
from quorate.tools.toolsets import get_call_digest

_CALLS = (ToolStarted, ToolFinished, ToolFailed, ToolRequested, ToolUnknown)


class Change(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is otherwise at the point from which a run goes on; at most one of the first four."""

    reply: Reply | str | None = None
    """What the model answered, at a `model.replied`."""
    result: ToolResult | str | None = None
    """What a call gave, at a `tool.finished` or `tool.failed`."""
    approved: bool | None = None
    """Whether a call may be made, at an `approval.requested` or `approval.decided`."""
    text: str | None = None
    """What a person told, at an `input.requested` or `input.given`."""
    by: str = "local"
    """Who says so."""
    reason: str = ""
    arguments: str | None = None
    """The arguments to use instead, with an approval."""


NO_CHANGE = Change()


class Origin(Struct, frozen=True, kw_only=True):
    """Where a run was forked from, and how it is told apart."""

    run: str
    """The new run's id."""
    labels: dict[str, str] = {}
    principal: str | None = None
    """Who asks for it; whoever asked for the old one when not given."""
    session: str | None = None
    """The session it belongs to: by default none, so that no session goes on from a try."""
    limits: Limits | None = None


async def fork_run(
    log: Log,
    run_id: str,
    *,
    at: int,
    change: Change = NO_CHANGE,
    origin: Origin | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> str:
    """Begin a new run from any event of a recorded one, and return its id; it rests until it is resumed.

    Its labels `fork.run` and `fork.seq` say where it came from.

    Args:
        log: Where the old run is, and where the new one goes.
        run_id: The old run.
        at: The last event of it that still counts.
        change: What is otherwise at that point.
        origin: How the new run is told apart.
        clock: Where time comes from.

    Raises:
        NotFound: There is no such run, or no such event in it.
        InvalidInput: There is nothing like that to change at that event.
    """
    events = await log.read(run_id)
    where = origin or Origin(run=new_id("run"))
    copied = build_fork(events, at=at, change=change, origin=where, now=clock.now())
    await log.append(where.run, copied, expected=0)
    return where.run


def build_fork(
    events: Sequence[AnyEvent], *, at: int, change: Change = NO_CHANGE, origin: Origin, now: float
) -> list[AnyEvent]:
    """Build the log of a run that goes on from an event of another; raises what `fork_run` raises."""
    created = check_recorded(events)
    if not 1 <= at <= len(events):
        raise NotFound(f"Run {created.run!r} has events 1 to {len(events)}, and no event {at}.", run=created.run)
    kept = _apply(list(events[:at]), change)
    answered = kept[-1].key.rpartition("/")[0] if _is_answer(change) else None
    kept = [event for event in kept if not isinstance(event, (*ENDINGS, CancelRequested))]
    shift, binder, unused = now - kept[-1].time, _Binder(created.run, origin.run), _find_unused(kept, answered)
    copied: list[AnyEvent] = []
    for event in kept:
        copy = _copy(event, len(copied) + 1, origin=origin, at=at, shift=shift)
        copied.append(copy if event.seq in unused else binder.bind(copy))
    if answered is not None and not binder.is_bound(kept[-1]):
        raise InvalidInput(
            f"What {kept[-1].key!r} is bound to is not known here, so no answer can be given for the new run: fork "
            "without one, and answer what it asks."
        )
    for call in _find_doubtful(copied):
        copied.append(ToolUnknown(run=origin.run, seq=len(copied) + 1, time=now, key=call.key, call=call.call))
    if not isinstance(copied[-1], RunWaiting):
        usage, cost = count_usage(copied)
        seq = len(copied) + 1
        copied.append(RunWaiting(run=origin.run, seq=seq, time=now, reason="interrupted", usage=usage, cost_usd=cost))
    return copied


def _find_doubtful(copied: Sequence[AnyEvent]) -> list[ToolStarted]:
    """Find calls under way that a resume would make again, and a fork may not without asking.

    The key by which the other side would tell a second call from the first is made of the run's id, and what a person
    approved was a call of the old run.
    """
    last: dict[str, AnyEvent] = {event.key: event for event in copied if isinstance(event, _CALLS)}
    approved = {event.key.rpartition("/")[0] for event in copied if isinstance(event, ApprovalDecided)}
    begun = [event for event in last.values() if isinstance(event, ToolStarted)]
    return [one for one in begun if one.effect == "keyed" or (one.effect != "unsafe" and one.key in approved)]


def _apply(kept: list[AnyEvent], change: Change) -> list[AnyEvent]:
    """Put what is changed in the place of the last event, or behind it."""
    last = kept[-1]
    if change.reply is not None:
        if not isinstance(last, ModelReplied):
            raise _refuse(last, "an answer of the model", "model.replied")
        kept[-1] = structs.replace(last, reply=_build_reply(last.reply, change.reply))
    elif change.result is not None:
        if not isinstance(last, (ToolFinished, ToolFailed)):
            raise _refuse(last, "the result of a call", "tool.finished` or `tool.failed")
        given, old = change.result, last.result
        result = ToolResult(call_id=old.call_id, name=old.name, content=given) if isinstance(given, str) else given
        kind = ToolFailed if result.is_error else ToolFinished
        kept[-1] = kind(run=last.run, seq=last.seq, time=last.time, key=last.key, attempt=last.attempt, result=result)
    elif _is_answer(change):
        kept = _apply_answer(kept, change)
    return kept


def _apply_answer(kept: list[AnyEvent], change: Change) -> list[AnyEvent]:
    last = kept[-1]
    kinds = (ApprovalDecided, ApprovalRequested) if change.approved is not None else (InputGiven, InputRequested)
    if not isinstance(last, kinds):
        what, where = (
            ("a decision", "approval.requested") if change.approved is not None else ("a word", "input.requested")
        )
        raise _refuse(last, what, where)
    if isinstance(last, (ApprovalDecided, InputGiven)):
        kept = kept[:-1]
    seq = len(kept) + 1
    if change.text is not None:
        given = InputGiven(run=last.run, seq=seq, time=last.time, key=last.key, text=change.text, by=change.by)
        return [*kept, given]
    question = next(event for event in reversed(kept) if isinstance(event, ApprovalRequested) and event.key == last.key)
    decided = ApprovalDecided(
        run=last.run,
        seq=seq,
        time=last.time,
        key=last.key,
        approved=bool(change.approved),
        digest=question.digest,
        by=change.by,
        reason=change.reason,
        arguments=change.arguments,
        covers=get_edit_digest(question.digest, change.arguments) if change.arguments is not None else "",
    )
    return [*kept, decided]


def _is_answer(change: Change) -> bool:
    return change.approved is not None or change.text is not None


def _refuse(event: AnyEvent, what: str, where: str) -> InvalidInput:
    return InvalidInput(
        f"Event {event.seq} is `{get_kind(event)}`: {what} can be changed at a `{where}` only. "
        f"Look for one with `quorate runs events {event.run}`."
    )


def _build_reply(old: Reply, given: Reply | str) -> Reply:
    if isinstance(given, Reply):
        return given
    message = Message(role="assistant", parts=(Text(text=given),))
    return structs.replace(old, message=message, stop="end")


def _find_unused(kept: Sequence[AnyEvent], answered: str | None) -> set[int]:
    """Find the answers that no attempt has acted on: they were given to the old run, and the new one asks anew."""
    last: dict[str, AnyEvent] = {event.key: event for event in kept if isinstance(event, _CALLS)}
    unused: set[int] = set()
    for event in kept:
        key = event.key.rpartition("/")[0]
        held = last.get(key)
        if isinstance(event, ApprovalDecided) and key != answered and isinstance(held, HELD) and event.seq > held.seq:
            unused.add(event.seq)
    return unused


def _copy(event: AnyEvent, seq: int, *, origin: Origin, at: int, shift: float) -> AnyEvent:
    """Copy an event into the new run's log, as if it had happened just before the fork."""
    facts: dict[str, object] = {"run": origin.run, "seq": seq, "time": event.time + shift}
    for name in ("expires", "due", "wakes"):
        if (moment := getattr(event, name, None)) is not None:
            facts[name] = moment + shift
    if isinstance(event, (RunStarted, RunResumed)):
        facts["owner"] = ""  # nobody's lease covers a copy
    if isinstance(event, RunCreated):
        facts |= {
            "labels": {**event.labels, **origin.labels, "fork.run": event.run, "fork.seq": str(at)},
            "principal": origin.principal or event.principal,
            "session": origin.session,
            "limits": origin.limits or event.limits,
            "deadline": None,
            "idempotency_key": None,
            "request": "",
        }
    return structs.replace(event, **facts)


class _Binder:
    """Binds copied questions and their answers to the calls of the new run."""

    def __init__(self, old: str, new: str) -> None:
        self._old = old
        self._new = new
        self._digests: dict[str, str] = {}

    def bind(self, event: AnyEvent) -> AnyEvent:
        """Return a question or an answer bound anew; anything else, and what is bound in another way, as it is."""
        if isinstance(event, ApprovalRequested):
            key, _, slot = event.key.rpartition("/")
            policy = slot.partition(":")[2]
            if get_call_digest(self._old, key, event.call, policy=policy) != event.digest:
                return event
            new = self._digests[event.digest] = get_call_digest(self._new, key, event.call, policy=policy)
            return structs.replace(event, digest=new)
        if isinstance(event, ApprovalDecided) and event.digest in self._digests:
            new = self._digests[event.digest]
            covers = event.covers
            if event.arguments is not None and covers == get_edit_digest(event.digest, event.arguments):
                covers = get_edit_digest(new, event.arguments)
            return structs.replace(event, digest=new, covers=covers)
        return event

    def is_bound(self, answer: AnyEvent) -> bool:
        """Whether an answer is to something that could be bound anew."""
        return not isinstance(answer, ApprovalDecided) or answer.digest in self._digests
