"""Which spans does a run consist of?

A trace is a view of the record: a span is two events of a run's log, so that a run that went on in another process
still is one trace, and a trace can be built a year later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, get_args

from msgspec import Struct, structs

from quorate.events import (
    ENDINGS,
    AnyEvent,
    ApprovalDecided,
    ApprovalRequested,
    BudgetExceeded,
    CancelRequested,
    GuardBlocked,
    HandoffDone,
    InputGiven,
    InputRequested,
    ModelFailed,
    ModelReplied,
    ModelRequested,
    RunCreated,
    RunResumed,
    RunWaiting,
    StepFinished,
    StepStarted,
    TaskDelegated,
    TaskFinished,
    ToolFailed,
    ToolFinished,
    ToolStarted,
    ToolUnknown,
    get_kind,
)
from quorate.telemetry.context import SpanContext, derive_span_id, find_context, parse_traceparent
from quorate.telemetry.describe import Attributes, Describer, Ending, find_error

Kind = Literal["run", "model", "tool", "delegate", "step", "request"]
Begin = ModelRequested | ToolStarted | StepStarted
End = ModelReplied | ModelFailed | ToolFinished | ToolFailed | ToolUnknown | StepFinished
MAX_MARKS = 128
"""How many moments a span bears."""
MAX_OPEN = 10_000
"""How many steps of one run may be open; those above begin where they end."""
LOST = "lost"
"""The error of a step whose process died before it ended."""
MARKS = (
    ApprovalDecided, ApprovalRequested, BudgetExceeded, CancelRequested, GuardBlocked, HandoffDone, InputGiven,
    InputRequested, RunResumed, RunWaiting, TaskDelegated, TaskFinished,
)  # fmt: skip
"""Events that are moments of a run rather than spans of it."""
BEGINNINGS = frozenset(get_args(Begin))
FINISHES = frozenset(get_args(End))
SPANNED = frozenset({RunCreated, *BEGINNINGS, *FINISHES, *ENDINGS, *MARKS})
"""Events that change what is shown; all others need not be looked at."""
_MODEL = "/model"
_TOOL = "/tool/"


class Mark(Struct, frozen=True, gc=False):
    """A moment of a span."""

    name: str
    time: float


class Span(Struct, frozen=True, kw_only=True):
    """Something that took time and has ended."""

    kind: Kind
    name: str
    context: SpanContext
    parent: SpanContext | None
    began: float
    """Wall time in seconds since 1970."""
    ended: float
    attributes: Attributes
    error: str = ""
    """The code of the error it ended with; empty where it went well."""
    marks: tuple[Mark, ...] = ()

    @property
    def duration_s(self) -> float:
        """How long it took; a clock that was set back makes it nothing, never less."""
        return max(0.0, self.ended - self.began)


class _Open(Struct, gc=False):
    event: Begin | End
    context: SpanContext
    parent: SpanContext


class RunSpans:
    """Builds the spans of one run from its events, in order, as they end.

    Args:
        head: How its log begins; it is known also where another process recorded the events before.
        describer: Knows what to say of them.
    """

    def __init__(self, head: RunCreated, describer: Describer) -> None:
        self.head = head
        self.context = find_context(head.run, head.trace)
        self._describer = describer
        self._open: dict[str, _Open] = {}
        self._marks: list[Mark] = []

    def add(self, event: AnyEvent) -> Iterator[Span]:
        """Take the next event, and yield the spans that end with it."""
        if type(event) in BEGINNINGS:
            beginning: Begin = event  # pyright: ignore[reportAssignmentType]  # its type was just looked at
            lost = self._open.pop(event.key, None)
            if lost is not None:
                yield self._build(lost, event.time, LOST)
            if len(self._open) < MAX_OPEN:
                self._open[event.key] = self._place(beginning)
        elif type(event) in FINISHES:
            finish: End = event  # pyright: ignore[reportAssignmentType]  # likewise
            began = self._open.pop(event.key, None) or self._place(finish)
            yield self._build(began, event.time, find_error(event), self._describer.describe_end(event))
        elif isinstance(event, ENDINGS):
            yield from self._lose(event.time)
            yield self._build_run(event)
        elif isinstance(event, MARKS):
            if isinstance(event, RunResumed):
                yield from self._lose(event.time)
            if len(self._marks) < MAX_MARKS:
                self._marks.append(Mark(get_kind(event), event.time))

    def _place(self, event: Begin | End) -> _Open:
        """Find where in the trace a step belongs: under the delegate that takes it, or under the run."""
        above = self._open.get(find_parent_key(event.key))
        parent = self.context if above is None else above.context
        own = derive_span_id(event.run, event.key)
        return _Open(event, SpanContext(parent.trace_id, own, parent.is_sampled), parent)

    def _lose(self, time: float) -> Iterator[Span]:
        """End what nobody will end any more."""
        lost, self._open = self._open, {}
        for began in lost.values():
            yield self._build(began, time, LOST)

    def _build(self, began: _Open, ended: float, error: str, more: Attributes | None = None) -> Span:
        event, say = began.event, self._describer
        kind: Kind
        if isinstance(event, (ModelRequested, ModelReplied, ModelFailed)):
            kind, attributes = "model", say.describe_model(event)
            name = event.model if isinstance(event, ModelRequested) else ""
        elif isinstance(event, (StepStarted, StepFinished)):
            kind, attributes = "delegate" if event.key.endswith("/") else "step", say.describe_step(event)
            name = event.name
        else:
            kind, attributes = "tool", say.describe_tool(event)
            name = event.result.name if isinstance(event, (ToolFinished, ToolFailed)) else event.call.name
        attributes |= say.describe_place(event) | (more or {}) | say.describe_error(error)
        context = began.context
        if error == LOST:  # the next attempt at it bears its name
            context = structs.replace(context, span_id=derive_span_id(event.run, event.key, event.attempt or LOST))
        return Span(
            kind=kind,
            name=say.name(kind, name).strip(),
            context=context,
            parent=began.parent,
            began=event.time,
            ended=ended,
            attributes=attributes,
            error=error,
        )

    def _build_run(self, end: Ending) -> Span:
        head, say, error = self.head, self._describer, find_error(end)
        return Span(
            kind="run",
            name=say.name("run", head.agent),
            context=self.context,
            parent=parse_traceparent(head.trace),
            began=head.time,
            ended=end.time,
            attributes=say.describe_run(head, end) | say.describe_error(error),
            error=error,
            marks=tuple(self._marks),
        )


def find_parent_key(key: str) -> str:
    """Find the key of the step in which a step happens: a delegate's `1/tool/call-1/`, or none for the run itself."""
    if key.endswith("/"):
        return key[:-1]
    place = len(key) - len(_MODEL) if key.endswith(_MODEL) else key.rfind(_TOOL)
    return key[: key.rfind("/", 0, max(place, 0)) + 1]


def build_spans(events: Iterable[AnyEvent], describer: Describer) -> list[Span]:
    """Build the spans of a whole log, those that end first at the front; what is still open is left out."""
    spans: list[Span] = []
    run: RunSpans | None = None
    for event in events:
        if isinstance(event, RunCreated):
            run = RunSpans(event, describer)
        elif run is not None:
            spans += run.add(event)
    return spans
