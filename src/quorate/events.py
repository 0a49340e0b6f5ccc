"""What happened in a run, as the closed and versioned set of events that its log is made of?

A run *is* its events: state, streams, audit and replay are read from them.
The rules of evolution: a new field has a default; nothing is renamed, retyped or reordered; a kind is never reused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct, structs

from quorate.messages import Message, Reply, ToolCall, ToolResult, Usage
from quorate.specs import Limits

SCHEMA_VERSION = "1.1"


class Event(Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True, gc=False):
    """What all events have; `kind` on the wire says which one it is."""

    run: str
    seq: int
    """The place in the run's log: 1, 2, 3 … without a gap."""
    time: float
    """Wall time in seconds since 1970 (UTC)."""
    key: str = ""
    """What the step *is* (`path/turn/kind/id`), never when it came; empty for the run itself."""
    attempt: str = ""
    """The token of the attempt that wrote it; empty for control events, which anyone may append."""


class RunCreated(Event, frozen=True, tag="run.created", gc=False):
    """A task was accepted."""

    agent: str
    messages: tuple[Message, ...]
    """The conversation so far, the task last."""
    limits: Limits = Limits()
    tenant: str = "default"
    principal: str = "local"
    session: str | None = None
    deadline: float | None = None
    """Wall time by which it must have ended."""
    idempotency_key: str | None = None
    labels: dict[str, str] = {}
    """Facts for people and filters, such as why this agent was picked."""
    previous: str = ""
    """The run whose conversation this one goes on with; `messages` are then only what is new."""
    previous_seq: int = 0
    """Up to which event of it; 0 for all of them."""
    request: str = ""
    """SHA-256 over what was asked for, where an idempotency key was given: the same key with another is a conflict."""
    trace: str = ""
    """The W3C `traceparent` of whoever asked, whose trace the run then belongs to."""


class RunStarted(Event, frozen=True, tag="run.started", gc=False):
    """The first attempt began."""

    owner: str = ""
    """Whose lease covers it; empty where nobody takes over what is left behind."""


class RunWaiting(Event, frozen=True, tag="run.waiting", gc=False):
    """The attempt ended; the run rests until the named steps are answered."""

    reason: Literal["approval", "input", "timer", "interrupted", "parked"]
    """`interrupted`: whoever drove it left, and it can be resumed at any time; `parked`: a person must look at it."""
    keys: tuple[str, ...] = ()
    """The keys under which the answers are awaited."""
    wakes: float | None = None
    """Wall time from which on it may go on without an answer: a timer is due, or a question has expired."""
    note: str = ""
    """Why it was parked."""
    usage: Usage = Usage()
    cost_usd: float | None = 0.0


class RunResumed(Event, frozen=True, tag="run.resumed", gc=False):
    """A further attempt began; every older one is fenced from here on."""

    number: int = 2
    """Which attempt this is."""
    owner: str = ""
    """Whose lease covers it; empty where nobody takes over what is left behind."""


class RunCompleted(Event, frozen=True, tag="run.completed", gc=False):
    """The work is done."""

    output: str
    """The answer: text, or JSON where the agent has an output type."""
    usage: Usage = Usage()
    cost_usd: float | None = 0.0


class RunFailed(Event, frozen=True, tag="run.failed", gc=False):
    """The run ended with an error."""

    code: str
    message: str
    usage: Usage = Usage()
    cost_usd: float | None = 0.0


class RunCancelled(Event, frozen=True, tag="run.cancelled", gc=False):
    """Somebody stopped the run."""

    reason: str = ""
    usage: Usage = Usage()
    cost_usd: float | None = 0.0


class RunIncomplete(Event, frozen=True, tag="run.incomplete", gc=False):
    """A limit was met first; what was said until then is kept."""

    limit: str
    """Which one: a field of `Limits`, `budget`, `deadline`, `output` or `stream`."""
    message: str
    partial: str = ""
    usage: Usage = Usage()
    cost_usd: float | None = 0.0


class CancelRequested(Event, frozen=True, tag="cancel.requested", gc=False):
    """A control event: whoever owns the run stops at the next chance."""

    reason: str = ""
    by: str = ""


class ModelRequested(Event, frozen=True, tag="model.requested", gc=False):
    """A model is being asked."""

    model: str
    messages: int = 0
    """How many messages the conversation has."""
    digest: str = ""
    """What changes when the instructions, tools, settings or messages it is asked with do; a replay compares it."""


class ModelReplied(Event, frozen=True, tag="model.replied", gc=False):
    """A model answered."""

    reply: Reply


class ModelFailed(Event, frozen=True, tag="model.failed", gc=False):
    """A model call failed."""

    code: str
    message: str


class ToolRequested(Event, frozen=True, tag="tool.requested", gc=False):
    """A call is held: something must be answered before it may start."""

    call: ToolCall


class ToolStarted(Event, frozen=True, tag="tool.started", gc=False):
    """A call is about to be made: the intent, recorded first."""

    call: ToolCall
    effect: Literal["idempotent", "keyed", "unsafe"] = "unsafe"


class ToolFinished(Event, frozen=True, tag="tool.finished", gc=False):
    """A call gave a result; it is never made again."""

    result: ToolResult


class ToolFailed(Event, frozen=True, tag="tool.failed", gc=False):
    """A call failed; what the model was told, and the error's code, are in the result."""

    result: ToolResult


class ToolUnknown(Event, frozen=True, tag="tool.unknown", gc=False):
    """An unsafe call began and nobody knows how it ended; a person decides."""

    call: ToolCall


class ApprovalRequested(Event, frozen=True, tag="approval.requested", gc=False):
    """A person is asked whether an exact call may be made."""

    call: ToolCall
    digest: str
    """SHA-256 over the run, the tool and its exact arguments: what the answer is bound to."""
    reason: str = ""
    expires: float | None = None
    """Wall time from which on no answer counts."""
    editable: tuple[str, ...] = ()
    """Which arguments the answer may change."""
    by_other: bool = False
    """Whether whoever asked for the run may not answer."""


class ApprovalDecided(Event, frozen=True, tag="approval.decided", gc=False):
    """A control event: a person answered."""

    approved: bool
    digest: str
    by: str
    reason: str = ""
    arguments: str | None = None
    """The arguments to use instead, where the approver edited them."""
    covers: str = ""
    """SHA-256 over the exact call that may be made, where the arguments were edited."""


class InputRequested(Event, frozen=True, tag="input.requested", gc=False):
    """A person is asked for something that only they can tell."""

    question: str
    choices: tuple[str, ...] = ()
    """What may be answered; anything when empty."""
    expires: float | None = None
    of: str = ""
    """The principal who alone may answer; anyone who may answer at all when empty."""


class InputGiven(Event, frozen=True, tag="input.given", gc=False):
    """A control event: a person told it."""

    text: str
    by: str


class TimerSet(Event, frozen=True, tag="timer.set", gc=False):
    """A step waits until a time has come."""

    due: float
    """Wall time."""


class HandoffRequested(Event, frozen=True, tag="handoff.requested", gc=False):
    """An agent wants another one to take over."""

    source: str
    target: str
    reason: str = ""


class HandoffDone(Event, frozen=True, tag="handoff.done", gc=False):
    """Another agent has the conversation."""

    source: str
    target: str


class TaskDelegated(Event, frozen=True, tag="task.delegated", gc=False):
    """An agent of another process works on a task for this run; it is a run of its own there."""

    agent: str
    """Who works on it."""
    task: str
    """Its id on the bus."""
    task_run: str
    """The run that it is, in the log of whoever works on it."""


class TaskFinished(Event, frozen=True, tag="task.finished", gc=False):
    """A task that was delegated came to its end; what it used counts for this run, too."""

    agent: str
    task: str
    task_run: str
    status: Literal["completed", "failed", "cancelled", "incomplete", "waiting"] = "completed"
    """How that run stands; `cancelled` where this one stopped it, and then what was heard of its use until then."""
    usage: Usage = Usage()
    cost_usd: float | None = 0.0


class StateChanged(Event, frozen=True, tag="state.changed", gc=False):
    """A stored value got a new revision."""

    scope: str
    name: str
    revision: int


class ArtifactSaved(Event, frozen=True, tag="artifact.saved", gc=False):
    """Bytes were kept."""

    artifact: str
    name: str
    media_type: str
    size: int
    digest: str


class BudgetReserved(Event, frozen=True, tag="budget.reserved", gc=False):
    """Money or tokens were set aside for a call."""

    amount: float
    unit: Literal["usd", "tokens"] = "usd"


class BudgetSettled(Event, frozen=True, tag="budget.settled", gc=False):
    """A reservation was replaced by what was really used."""

    amount: float
    unit: Literal["usd", "tokens"] = "usd"


class BudgetExceeded(Event, frozen=True, tag="budget.exceeded", gc=False):
    """A reservation was refused."""

    limit: float
    unit: Literal["usd", "tokens"] = "usd"


class GuardBlocked(Event, frozen=True, tag="guard.blocked", gc=False):
    """A guard said no."""

    guard: str
    reason: str


class VoteOpened(Event, frozen=True, tag="vote.opened", gc=False):
    """A ballot was opened; its terms are fixed from here on."""

    question: str
    options: tuple[str, ...]
    roll: tuple[str, ...]
    rule: str
    quorum: float
    decision: str = ""
    """The id of the decision that it is a ballot of."""
    round: int = 1
    """Which ballot of the decision it is, from 1."""
    weights: tuple[float, ...] = ()
    """What each vote weighs, in the order of the roll; all the same when empty."""
    groups: tuple[str, ...] = ()
    """Which voters are alike, such as by their model, in the order of the roll."""
    keys: tuple[str, ...] = ()
    """With which Ed25519 keys voters sign, in the order of the roll; empty for one who does not."""
    tie: str = "refuse"
    priority: tuple[str, ...] = ()
    seed: int = 0
    abstentions: str = "present"
    silence: str = "absent"
    secret: bool = False
    """Whether no ballot is shown before the last one is in."""
    deadline_s: float | None = None
    """How many seconds from this event on ballots count; as long as it takes when `None`."""
    topic: str = ""
    """What it is about, as far as trust in the voters goes."""


class VoteCast(Event, frozen=True, tag="vote.cast", gc=False):
    """A member voted."""

    voter: str
    choice: str
    """What it voted for, for people; the whole is in `ballot`."""
    reason: str = ""
    decision: str = ""
    round: int = 1
    ballot: str = ""
    """The ballot as JSON."""
    signature: str = ""
    """By whom it was signed and how, over the decision, the round, the terms, the voter and the ballot."""


class VoteRefused(Event, frozen=True, tag="vote.refused", gc=False):
    """A ballot does not count, or a member on the roll cast none that does."""

    voter: str
    why: str
    """Such as `late`, `forged`, `double`, `failed`."""
    detail: str = ""
    decision: str = ""
    round: int = 1


class VoteClosed(Event, frozen=True, tag="vote.closed", gc=False):
    """A ballot was counted."""

    winner: str | None
    turnout: float
    decision: str = ""
    round: int = 1
    status: str = ""
    """Such as `decided`, `tied`, `no_quorum`."""
    why: str = ""
    points: dict[str, float] = {}
    """What each option got, in the measure of the rule."""
    margin: float | None = None
    dissent: tuple[str, ...] = ()
    """Who voted for something else than the winner."""


class VoteDecided(Event, frozen=True, tag="vote.decided", gc=False):
    """A decision was made, or it is certain that none is."""

    winner: str | None
    decision: str
    by: str
    """What made it: `vote`, `arbiter`, `person`; `none` where nothing did."""
    why: str
    rounds: int = 1
    closed: float = 0.0
    """Wall time at which it was made."""
    digest: str = ""
    """SHA-256 over everything that was noted of the decision."""
    seal: str = ""
    """HMAC-SHA-256 over the digest, where the council has a secret."""


class StepStarted(Event, frozen=True, tag="step.started", gc=False):
    """A workflow step or a delegate began."""

    name: str


class StepFinished(Event, frozen=True, tag="step.finished", gc=False):
    """A workflow step or a delegate ended."""

    name: str
    status: Literal["completed", "failed", "incomplete", "cancelled"] = "completed"
    output: str = ""


class StepSkipped(Event, frozen=True, tag="step.skipped", gc=False):
    """A workflow step was not run."""

    name: str
    reason: str


AnyEvent = (
    RunCreated
    | RunStarted
    | RunWaiting
    | RunResumed
    | RunCompleted
    | RunFailed
    | RunCancelled
    | RunIncomplete
    | CancelRequested
    | ModelRequested
    | ModelReplied
    | ModelFailed
    | ToolRequested
    | ToolStarted
    | ToolFinished
    | ToolFailed
    | ToolUnknown
    | ApprovalRequested
    | ApprovalDecided
    | InputRequested
    | InputGiven
    | TimerSet
    | HandoffRequested
    | HandoffDone
    | TaskDelegated
    | TaskFinished
    | StateChanged
    | ArtifactSaved
    | BudgetReserved
    | BudgetSettled
    | BudgetExceeded
    | GuardBlocked
    | VoteOpened
    | VoteCast
    | VoteRefused
    | VoteClosed
    | VoteDecided
    | StepStarted
    | StepFinished
    | StepSkipped
)
"""Every event there is."""

RESULTS = (ModelReplied, ToolFinished, ToolFailed)
"""Events that settle a step: what has one in the log is never done again."""

ENDINGS = (RunCompleted, RunFailed, RunCancelled, RunIncomplete)
"""Events that end a run; exactly one of them is a run's last event."""

ATTEMPTS = (RunStarted, RunResumed)
"""Events that begin an attempt and fence every older one."""

CONTROLS = (CancelRequested, ApprovalDecided, InputGiven)
"""Events that anyone with the right may append while another owns the run."""

NOTICES = (RunCreated, RunWaiting, *ENDINGS, *CONTROLS)
"""Events that others want to hear of at once: what an outbox carries."""

Status = Literal["queued", "running", "waiting", "completed", "failed", "cancelled", "incomplete"]

_STATUS: dict[type[Event], Status] = {
    RunCreated: "queued",
    RunStarted: "running",
    RunResumed: "running",
    RunWaiting: "waiting",
    RunCompleted: "completed",
    RunFailed: "failed",
    RunCancelled: "cancelled",
    RunIncomplete: "incomplete",
}


def get_status(event: Event) -> Status | None:
    """Return the run status that `event` brings about, or `None` when it changes none."""
    return _STATUS.get(type(event))


def get_kind(event: Event) -> str:
    """Return the event's name on the wire, such as `tool.finished`."""
    return str(type(event).__struct_config__.tag)


def restamp(event: AnyEvent, seq: int) -> AnyEvent:
    """Return the same event at another place in the log."""
    return structs.replace(event, seq=seq)


class RunSummary(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One line about a run, derived from its log."""

    run: str
    agent: str
    status: Status
    created: float
    updated: float
    events: int
    """How many events its log has."""
    tenant: str = "default"
    session: str | None = None
    task: str = ""
    """The first 200 characters of the task."""
    usage: Usage = Usage()
    cost_usd: float | None = 0.0
    owner: str = ""
    """Whose lease covers the attempt under way."""
    attempts: int = 0
    """How many attempts began."""
    crashes: int = 0
    """How many attempts in a row ended without saying so."""
    wakes: float | None = None
    """Wall time from which on it may go on without an answer, while it waits."""
    principal: str = "local"
    """Who asked for it."""


def summarize(summary: RunSummary | None, events: Sequence[AnyEvent]) -> RunSummary | None:
    """Fold `events` into the one-line view of their run; `None` while no `run.created` was seen."""
    for event in events:
        if isinstance(event, RunCreated):
            summary = RunSummary(
                run=event.run,
                agent=event.agent,
                status="queued",
                created=event.time,
                updated=event.time,
                events=event.seq,
                tenant=event.tenant,
                session=event.session,
                principal=event.principal,
                task=event.messages[-1].text[:200] if event.messages else "",
            )
        elif summary is not None:
            summary = _advance(summary, event)
    return summary


def _advance(summary: RunSummary, event: AnyEvent) -> RunSummary:
    status = get_status(event)
    if status is None:
        # An answer brings a resting run back to those that somebody should work on.
        woken = summary.status == "waiting" and isinstance(event, CONTROLS)
        return structs.replace(
            summary, status="queued" if woken else summary.status, updated=event.time, events=event.seq
        )
    facts: dict[str, object] = {}
    if isinstance(event, ATTEMPTS):
        # An owner that goes on with its own run did not die of it: its store was away.
        is_crash = summary.status == "running" and not (event.owner and event.owner == summary.owner)
        crashes = summary.crashes + is_crash
        facts = {"owner": event.owner, "attempts": summary.attempts + 1, "crashes": crashes}
    elif isinstance(event, (*ENDINGS, RunWaiting)):
        wakes = event.wakes if isinstance(event, RunWaiting) else None
        facts = {"usage": event.usage, "cost_usd": event.cost_usd, "owner": "", "crashes": 0, "wakes": wakes}
    return structs.replace(summary, status=status, updated=event.time, events=event.seq, **facts)
