"""What does a recorded run tell of its attempts, and of what came from outside in each of them?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

from msgspec import Struct

from quorate import errors
from quorate.errors import Cancelled, DeadlineExceeded, Incomplete, QuorateError, Waiting
from quorate.events import (
    ATTEMPTS,
    CONTROLS,
    AnyEvent,
    ApprovalRequested,
    Event,
    HandoffDone,
    HandoffRequested,
    InputRequested,
    ModelFailed,
    ModelReplied,
    ModelRequested,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunIncomplete,
    RunResumed,
    RunStarted,
    RunWaiting,
    StepFinished,
    StepSkipped,
    StepStarted,
    TimerSet,
    ToolFailed,
    ToolFinished,
    ToolRequested,
    ToolStarted,
    ToolUnknown,
    VoteCast,
    VoteClosed,
    VoteDecided,
    VoteOpened,
    VoteRefused,
)
from quorate.messages import ToolResult
from quorate.tools.define import CRASHED

ENDS = (RunCompleted, RunFailed, RunCancelled, RunIncomplete, RunWaiting)
"""What an attempt writes last."""
NOTED = (HandoffRequested, HandoffDone, VoteOpened, VoteCast, VoteRefused, VoteClosed, VoteDecided)
"""What a procedure notes of itself, and others may note of what they do."""
DRIVEN = (
    *(RunCreated, RunStarted, RunResumed, *ENDS, ModelRequested, ModelReplied, ModelFailed),
    *(ToolRequested, ToolStarted, ToolFinished, ToolFailed, ToolUnknown, StepStarted, StepFinished),
    *(StepSkipped, *NOTED),
    *(ApprovalRequested, InputRequested, TimerSet),
)
"""What the loop itself writes, so that a replay must write it anew; everything else came from outside it."""
NOTE = "/note/"
"""What the keys of events have that a procedure notes of itself."""
_EXPIRING = (ApprovalRequested, InputRequested)
SETTLED = (ToolFinished, ToolFailed)
HELD = (ToolRequested, ToolUnknown)
KEY = re.compile(r"((?:\d+/tool/[^/]+/)*)(\d+)/(model|tool/[^/]+)(?:/[^/]*)?")
"""The path of an agent, its turn, the step, and a slot."""
_RAISED = re.compile(r"Tool `.*?` failed \(([^)]*)\): ([A-Za-z_]\w*): (.*)", re.DOTALL)
_MET = re.compile(r"Tool `.*?` failed \([^)]*\): the agent met its limit \(([^)]*)\): (.*)", re.DOTALL)
_FAILED = re.compile(r"Tool `.*?` failed \([^)]*\): the agent failed: (.*)", re.DOTALL)
_SAID = " It last said: "


class Stretch(Struct, frozen=True, kw_only=True):
    """The part of a log that belongs to one attempt: events `start` to `end`, counted from 0, `end` left out."""

    start: int
    end: int


def split_attempts(events: Sequence[AnyEvent]) -> list[Stretch]:
    """Split a log into its attempts; what stands before the first one belongs to none."""
    starts = [place for place, event in enumerate(events) if isinstance(event, ATTEMPTS)]
    ends = [*starts[1:], len(events)] if starts else []
    return [Stretch(start=start, end=end) for start, end in zip(starts, ends, strict=True)]


class Fault(Struct, frozen=True, kw_only=True):
    """An error as it was recorded, to be raised again."""

    code: str
    message: str
    name: str = ""
    """The name of its class, where that was recorded."""
    limit: str = ""

    def build(self) -> Exception:
        """Build an error that is recorded and told in the very same words."""
        if self.code in ("", CRASHED):
            return cast("Exception", type(self.name or "Exception", (Exception,), {})(self.message))
        known = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, QuorateError)]
        plain = next((kind for kind in known if vars(kind).get("code") == self.code), None)
        base: type[QuorateError] = plain or QuorateError
        if plain is None or (self.name and self.name != plain.__name__):
            base = type(self.name or "QuorateError", (base,), {"code": self.code})
        facts = {"limit": self.limit} if self.limit and issubclass(base, (Incomplete, DeadlineExceeded)) else {}
        return base(self.message, **facts)


class Script:
    """One attempt as it was recorded: what its models and tools gave, and how it ended."""

    def __init__(self, events: Sequence[AnyEvent], stretch: Stretch) -> None:
        self.events = events
        self.stretch = stretch
        self.mine = events[stretch.start : stretch.end]
        self.places: dict[str, list[int]] = {}
        """Where each step's events are, by key."""
        for place in range(stretch.start, stretch.end):
            self.places.setdefault(events[place].key, []).append(place)
        self.delegates = {event.key.removesuffix("/") for event in events if isinstance(event, StepStarted)}
        """The calls that are answered by other agents."""
        asked = {parsed[1] for event in events if (parsed := KEY.fullmatch(event.key)) and parsed[3] == "model"}
        self._procedures = {f"{key}/" for key in self.delegates} - asked
        self.end = next((e for e in reversed(self.mine) if isinstance(e, ENDS) and not is_given(e)), None)

    def is_procedural(self, key: str) -> bool:
        """Whether a step is one that a procedure made, and no model asked for."""
        parsed = KEY.fullmatch(key)
        return parsed is not None and parsed[1] in self._procedures

    def find(self, key: str, kinds: tuple[type[Event], ...]) -> int | None:
        """Find where a step's first event of some kinds is."""
        return next((place for place in self.places.get(key, ()) if isinstance(self.events[place], kinds)), None)

    def find_question(self, key: str) -> AnyEvent | None:
        """Find what a call asked last, up to the end of this attempt."""
        kinds, place = (ApprovalRequested, InputRequested, TimerSet), self.find(key, HELD)
        is_unknown = place is not None and isinstance(self.events[place], ToolUnknown)
        for event in reversed(self.events[: self.stretch.end]):
            step, _, slot = event.key.rpartition("/")
            # A call that was asked about for its unknown end may be asked about anew, for leave to be made again.
            if step == key and isinstance(event, kinds) and (place is None or is_unknown == (slot == "unknown")):
                return event
        return None

    def has_moment(self, moment: float) -> bool:
        """Whether a question is one that a moment settles: a timer is due then, or an answer comes too late."""
        asked = (one for one in self.events[: self.stretch.end] if isinstance(one, (*_EXPIRING, TimerSet)))
        return any((one.due if isinstance(one, TimerSet) else one.expires) == moment for one in asked)

    def find_raised(self, key: str, result: ToolResult) -> Fault | None:
        """Tell whether a failed call raised, and what; `None` when it gave its failure back to the model."""
        parsed = KEY.fullmatch(key)
        text = result.content if isinstance(result.content, str) else ""
        said = _RAISED.fullmatch(text)
        if parsed is None or said is None or f"{parsed[1]}{int(parsed[2]) + 1}/model" in self.places:
            return None
        code, name, words = said.groups()
        fault = Fault(code=code, name=name, message=words)
        if name == Cancelled.__name__:
            return fault
        path = parsed[1]
        return self._find_fatal(fault) if not path else self._find_costly(fault, path)

    def _find_fatal(self, fault: Fault) -> Fault | None:
        """Whether an error is what the run ended with."""
        end, code = self.end, fault.code
        if end is None:
            return fault  # the attempt died before it could say so
        if isinstance(end, RunFailed):
            is_same = (end.code, end.message) == (code, fault.message)
            crashed = code == CRASHED and end.message == f"{fault.name}: {fault.message}"
            return fault if is_same or crashed else None
        if isinstance(end, RunIncomplete) and end.message == fault.message:
            return Fault(code=code, name=fault.name, message=fault.message, limit=end.limit)
        if isinstance(end, RunWaiting):
            return fault if end.reason == "parked" and end.note == fault.message else None
        cancelled = isinstance(end, RunCancelled) and end.reason == fault.message and code == "cancelled"
        return fault if cancelled else None

    def _find_costly(self, fault: Fault, path: str) -> Fault | None:
        """Whether an error is what a delegate failed with."""
        place = self.find(path.removesuffix("/"), SETTLED)
        event = self.events[place] if place is not None else None
        if event is None and self.end is None:
            return fault
        if not isinstance(event, ToolFailed) or event.result.code != fault.code:
            return None
        text = str(event.result.content)
        limit = met[1] if (met := _MET.fullmatch(text)) else ""
        return (
            Fault(code=fault.code, name=fault.name, message=fault.message, limit=limit)
            if fault.message in text
            else None
        )

    def find_model_fault(self, failed: ModelFailed) -> Fault:
        """Tell which error a failed model call raised."""
        limit, path = "", failed.key.rpartition("/")[0].rpartition("/")[0]
        if not path and isinstance(self.end, RunIncomplete) and self.end.message == failed.message:
            limit = self.end.limit
        elif path:
            limit = self.find_delegate_fault(f"{path}/").limit
        return Fault(code=failed.code, message=failed.message, limit=limit)

    def find_delegate_fault(self, path: str) -> Fault:
        """Tell why a delegate failed, from what the agent above was told."""
        place = self.find(path.removesuffix("/"), SETTLED)
        event = self.events[place] if place is not None else None
        if not isinstance(event, ToolFailed):
            return Fault(code="error", message="")
        text = str(event.result.content)
        met, failed = _MET.fullmatch(text), _FAILED.fullmatch(text)
        words = met[2] if met else failed[1] if failed else ""
        said = self._get_last_words(path)
        return Fault(
            code=event.result.code,
            message=words.removesuffix(f"{_SAID}{said}") if said else words,
            limit=met[1] if met else "",
        )

    def find_wait(self, key: str) -> Waiting | None:
        """Build what a held call raised, from the question that was recorded."""
        question = self.find_question(key)
        if question is None:
            # Its attempt died between the two events that hold a call.
            return Waiting(digest="") if self.find(key, HELD) is not None else None
        slot = question.key.rpartition("/")[2]
        if isinstance(question, TimerSet):
            return Waiting(slot=slot, due=question.due)
        if isinstance(question, InputRequested):
            return Waiting(
                question.question,
                slot=slot,
                question=question.question,
                choices=question.choices,
                expires=question.expires,
                of=question.of,
            )
        if not isinstance(question, ApprovalRequested):
            return None
        return Waiting(
            question.reason,
            slot=slot,
            digest=question.digest,
            expires=question.expires,
            editable=question.editable,
            by_other=question.by_other,
        )

    def find_doom(self, path: str, place: int) -> Cancelled | None:
        """Find why a delegate did nothing more from a place on, where the run was being stopped."""
        key = path.removesuffix("/")
        at = self.find(key, SETTLED)
        event = self.events[at] if at is not None else None
        if not isinstance(event, ToolFailed) or at is None or at < place:
            return None
        said = _RAISED.fullmatch(str(event.result.content))
        if said is None or said[2] != Cancelled.__name__:
            return None
        return None if any(later.key.startswith(path) for later in self.events[place:at]) else Cancelled(said[3])

    def find_crash(self) -> Fault | None:
        """Tell what the run's own model raised where that was no error of ours; `None` where the run did not crash."""
        end = self.end
        if not isinstance(end, RunFailed) or end.code != "error":
            return None
        name, _, words = end.message.partition(": ")
        return Fault(code="", name=name, message=words)

    def is_cut(self, key: str) -> bool:
        """Whether a delegate's call ended otherwise than by what the delegate did: a wrapper's time ran out, say."""
        path = f"{key}/"
        if self.find(path, (StepFinished,)) is not None:
            return False
        for event in self.mine:
            parsed = KEY.fullmatch(event.key)
            if parsed is None or parsed[1] != path:
                continue
            if isinstance(event, ModelFailed):
                return False
            if isinstance(event, ToolFailed) and self.find_raised(event.key, event.result) is not None:
                return False
        return True

    def find_silent(self, key: str) -> Waiting | None:
        """Build what a call raised that was held before this attempt and still is, which is not recorded again."""
        before = [event for event in self.events[: self.stretch.end] if event.key == key]
        return self.find_wait(key) if before and isinstance(before[-1], HELD) else None

    def _get_last_words(self, path: str) -> str:
        length = len(path)
        for event in reversed(self.events[: self.stretch.end]):
            if isinstance(event, ModelReplied) and event.key.startswith(path) and "/tool/" not in event.key[length:]:
                return event.reply.message.text
        return ""


def is_given(event: AnyEvent) -> bool:
    """Whether an event came from outside the attempt: a person, a fork, or the work of a tool, which is not called."""
    if isinstance(event, NOTED) and NOTE not in event.key:
        return True  # work that was given to a process elsewhere was once called so
    return isinstance(event, CONTROLS) or not isinstance(event, DRIVEN) or not event.attempt
