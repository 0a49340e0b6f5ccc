"""What is going on in a run at this moment, as a tree of agents and their calls?"""

from __future__ import annotations

import msgspec

from quorate.cli.words import clean_line, show_cost, show_duration
from quorate.events import (
    ENDINGS,
    AnyEvent,
    ApprovalRequested,
    Event,
    InputRequested,
    ModelFailed,
    ModelReplied,
    ModelRequested,
    RunCreated,
    RunResumed,
    RunWaiting,
    StepFinished,
    StepSkipped,
    StepStarted,
    ToolFailed,
    ToolFinished,
    ToolStarted,
    get_status,
)
from quorate.messages import Delta, Progress, Reply, TextDelta, ToolCall

PROCEDURE = "run_procedure"
"""The call that stands for all that a workflow or a team does: its steps are shown as those of the agent itself."""
MOST_ARGUMENTS = 60
MOST_NOTE = 100
MARKS = {"running": "…", "completed": "✓", "failed": "✗", "incomplete": "!", "waiting": "?", "cancelled": "✗"}


class Node:
    """An agent, or one call that it makes."""

    def __init__(
        self, label: str, *, began: float, depth: int = 0, is_model: bool = False, parent: Node | None = None
    ) -> None:
        self.label = label
        self.parent = parent
        self.step = ""
        """Which step of a workflow or team it is, if any."""
        self.tokens = 0
        self.cost_usd: float | None = 0.0
        self.began = began
        self.depth = depth
        self.is_model = is_model
        self.ended: float | None = None
        self.status = "running"
        self.note = ""
        self.children: list[Node] = []

    def end(self, status: str, at: float, note: str = "") -> None:
        """Note how it ended."""
        self.status, self.ended, self.note = status, at, note

    def add_reply(self, reply: Reply) -> None:
        """Count what a model's reply came to, here and in all that this is part of."""
        node: Node | None = self
        while node is not None:
            node.tokens += reply.usage.total_tokens
            known = node.cost_usd is not None and reply.cost_usd is not None
            node.cost_usd = (node.cost_usd or 0.0) + (reply.cost_usd or 0.0) if known else None
            node = node.parent

    def get_elapsed(self, now: float) -> float:
        """Return how long it took, or has taken so far."""
        return max(0.0, (now if self.ended is None else self.ended) - self.began)

    def describe(self, now: float) -> str:
        """Say what it is and how it stands, on one line."""
        note = f"  {clean_line(self.note, most=MOST_NOTE)}" if self.note else ""
        spent = f"  {self.tokens} tokens, {show_cost(self.cost_usd)}" if self.tokens else ""
        named = f"{self.step}: {self.label}" if self.step else self.label
        return f"{MARKS.get(self.status, '·')} {named}  {show_duration(self.get_elapsed(now))}{spent}{note}"


class ProgressTree:
    """A run's events and deltas, folded into a tree; gives a line of words for each that is worth one."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self._agents: dict[str, Node] = {}
        self._steps: dict[str, Node] = {}
        self._procedures: set[str] = set()
        """The paths below which workflows and teams make their steps."""

    def add(self, item: AnyEvent | Delta) -> str | None:
        """Take in what happened, and return a line that tells it, if it is worth one."""
        if isinstance(item, Event):
            return self._add_event(item)
        if isinstance(item, TextDelta):
            owner = self._find_agent(item.path)
            if owner is not None:
                owner.note = (owner.note + item.text)[-MOST_NOTE:]
        elif isinstance(item, Progress):
            step = self._steps.get(item.path)
            if step is not None and step.ended is None:
                step.note = clean_line(item.message, most=MOST_NOTE)
                return _indent(step.depth, f"  {step.label.partition('(')[0]}: {step.note}")
        return None

    def _add_event(self, event: AnyEvent) -> str | None:
        if isinstance(event, RunCreated):
            self.root = self._agents[""] = Node(event.agent, began=event.time)
            return f"{event.agent}  {event.run}"
        if isinstance(event, RunResumed) and self.root is not None:
            self.root.status, self.root.ended = "running", None
            return f"{self.root.label}  {event.run}  goes on"
        if isinstance(event, (ModelRequested, ToolStarted)):
            return self._begin(event)
        if isinstance(event, (ModelReplied, ModelFailed, ToolFinished, ToolFailed)):
            return self._end(event)
        if isinstance(event, StepStarted) and event.key in self._procedures:
            return None
        if isinstance(event, StepSkipped):
            owner = self._find_agent(event.key)
            depth = owner.depth + 1 if owner is not None else 1
            return _indent(depth, f"– {clean_line(event.name)}: {clean_line(event.reason, most=MOST_NOTE)}")
        if isinstance(event, StepStarted):
            # A delegate's steps stand below the call that asked for it.
            node = self._steps.get(event.key.removesuffix("/"))
            if node is not None:
                node.label = event.name
                self._agents[event.key] = node
            return None
        if isinstance(event, StepFinished) and event.key in self._agents and event.key not in self._procedures:
            self._agents[event.key].end(event.status, event.time)
            return None
        if isinstance(event, ApprovalRequested):
            return f"? {describe_call(event.call)} waits for an answer under {event.key}"
        if isinstance(event, InputRequested):
            return f"? {clean_line(event.question)} waits for an answer under {event.key}"
        if isinstance(event, (*ENDINGS, RunWaiting)) and self.root is not None:
            self.root.end(str(get_status(event)), event.time)
            return self.root.describe(event.time)
        return None

    def _begin(self, event: ModelRequested | ToolStarted) -> str | None:
        owner = self._find_agent(event.key)
        if owner is None:
            return None
        is_model = isinstance(event, ModelRequested)
        if isinstance(event, ToolStarted) and event.call.name == PROCEDURE:
            self._procedures.add(f"{event.key}/")
            self._agents[f"{event.key}/"] = owner
            return None
        label = event.model if isinstance(event, ModelRequested) else describe_call(event.call)
        node = Node(clean_line(label), began=event.time, depth=owner.depth + 1, is_model=is_model, parent=owner)
        if isinstance(event, ToolStarted) and self._is_step(event.key):
            node.step = clean_line(event.call.id)
        self._steps[event.key] = node
        owner.children.append(node)
        if is_model:
            owner.note = ""
            return None
        return _indent(node.depth, f"→ {node.step}: {node.label}" if node.step else f"→ {node.label}")

    def _end(self, event: ModelReplied | ModelFailed | ToolFinished | ToolFailed) -> str | None:
        node = self._steps.get(event.key)
        if node is None:
            return None
        if isinstance(event, ModelReplied) and node.parent is not None:
            node.parent.add_reply(event.reply)
        if isinstance(event, ModelFailed):
            node.end("failed", event.time, event.message)
        elif isinstance(event, ToolFailed):
            content = event.result.content
            node.end("failed", event.time, content if isinstance(content, str) else "")
        else:
            node.end("completed", event.time)
        # A model's turn is worth a line only where it took a person's patience.
        is_quick = node.is_model and node.status == "completed" and node.get_elapsed(event.time) < 1
        return None if is_quick else _indent(node.depth, node.describe(event.time))

    def _is_step(self, key: str) -> bool:
        """Whether a call is a step of a workflow or team itself: `<its path><try>/tool/<step>`."""
        return any(key.startswith(path) and key.removeprefix(path).count("/") == 2 for path in self._procedures)

    def _find_agent(self, key: str) -> Node | None:
        paths = [path for path in self._agents if key.startswith(path)]
        return self._agents[max(paths, key=len)] if paths else None


def describe_call(call: ToolCall) -> str:
    """Write a call as one would in a program: `tcp_connect(host="127.0.0.1", port=9)`."""
    try:
        arguments = msgspec.json.decode(call.arguments or "{}", type=dict[str, object])
    except (msgspec.DecodeError, RecursionError):
        return clean_line(f"{call.name}({call.arguments})", most=MOST_ARGUMENTS)
    listed = ", ".join(f"{name}={msgspec.json.encode(value).decode()}" for name, value in arguments.items())
    return f"{clean_line(call.name)}({clean_line(listed, most=MOST_ARGUMENTS)})"


def _indent(depth: int, line: str) -> str:
    return "  " * depth + line
