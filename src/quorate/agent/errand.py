"""What do a remote agent and whoever serves it say to each other over a bus?

A task goes into the agent's queue, and is a run of whoever takes it. What happens there is told as it happens; what of
that is lost on the way is asked for again, since the run's log has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import cast

import msgspec
from msgspec import Struct

from quorate.bus.subjects import build_subject
from quorate.codec.envelope import Envelope, open_body, seal, unseal
from quorate.codec.formats import ACCEPT, CONTENT_TYPE, JSON, Codec, choose_codec, find_codec, find_format
from quorate.codec.schemas.agents import AgentTask
from quorate.errors import InvalidInput, MissingExtra, QuorateError
from quorate.events import ENDINGS, AnyEvent, RunWaiting
from quorate.ids import check_id
from quorate.messages import Delta
from quorate.ports.bus import Message, StreamRule
from quorate.telemetry.context import parse_traceparent

KIND = "agent_task"
WATCH = "watch"
"""What stands on the envelope of a task whose text is to be told as it comes."""
PLAIN = ("json", "msgpack")
"""In which formats questions, answers and news are written; Protobuf has only what is sealed in envelopes."""
MAX_TOLD = 512 << 10
"""How many bytes of events are told at a time."""
MAX_NEWS = 4 << 20
"""How many bytes of news are read at a time."""
MAX_LIVES_S = 86_400.0
MAX_DELIVER = 50
"""How often the bus gives a task out: a run under which process after process dies is put aside by its own record."""


class Asked(Struct, frozen=True, kw_only=True):
    """A task with what stands on its envelope."""

    task: AgentTask
    watch: bool = False
    """Whether its text is to be told as it comes."""
    trace: str = ""
    """The W3C `traceparent` under which it was sent, where that is one."""


class Accepted(Struct, frozen=True, tag_field="news", tag="accepted"):
    """A task is a run now."""

    run: str


class Happened(Struct, frozen=True, tag_field="news", tag="event"):
    """Something was recorded."""

    event: AnyEvent


class Said(Struct, frozen=True, tag_field="news", tag="delta"):
    """A piece of text or progress that no log keeps."""

    after: int
    delta: Delta


class Refused(Struct, frozen=True, tag_field="news", tag="refused"):
    """A task is no run, and why."""

    code: str
    message: str


News = Accepted | Happened | Said | Refused
"""What is told of a task by whoever works on it."""


class Hello(Struct, frozen=True, tag_field="ask", tag="hello"):
    """Is anybody there?"""


class Look(Struct, frozen=True, tag_field="ask", tag="look"):
    """How does a task stand, and what happened after an event?"""

    task: str
    after: int = 0


class Stop(Struct, frozen=True, tag_field="ask", tag="stop"):
    """Nobody wants a task any more."""

    task: str
    reason: str = ""


Question = Hello | Look | Stop


class Standing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to each question: how a task stands."""

    agent: str
    run: str = ""
    events: tuple[AnyEvent, ...] = ()
    refused: Refused | None = None


encode = msgspec.json.Encoder().encode


def build_headers(codec: Codec, *, trace: str | None = None) -> dict[str, str]:
    """Build the headers of what is sent in a format: which one it is, and in which one answers are read best."""
    accept = codec.content_type if codec.name in PLAIN else JSON
    return {CONTENT_TYPE: codec.content_type, ACCEPT: accept, **({"traceparent": trace} if trace else {})}


def find_plain(codec: Codec) -> Codec:
    """Return the format itself where questions can be written in it, else JSON."""
    return codec if codec.name in PLAIN else find_codec()


def choose_answer(headers: Mapping[str, str]) -> Codec:
    """Choose the format in which whoever sent something reads the answer; JSON where they say nothing.

    Raises:
        InvalidInput: None that an answer can be written in.
    """
    return choose_codec(headers.get(ACCEPT, JSON), among=PLAIN)


def read_news(message: Message) -> News | None:
    """Read what is told of a task; `None` when it is nothing that this version knows."""
    # A union is as good as a class to a decoder.
    type_ = cast("type[News]", News)
    try:
        codec = find_format(message.headers)
        return codec.decode(message.data, type_, what="the news of a task", max_bytes=MAX_NEWS)
    except QuorateError:
        return None


def read_question(message: Message) -> Question:
    """Read what is asked about a task.

    Raises:
        InvalidInput: It is no question, names a task by what is no id, or is in a format that nobody knows.
        TooLarge: It is larger than questions are.
    """
    type_ = cast("type[Question]", Question)  # as above
    question = find_format(message.headers).decode(message.data, type_, what="the question about a task")
    if not isinstance(question, Hello):
        check_id(question.task, "task")
    return question


def read_standing(message: Message) -> Standing:
    """Read how a task stands.

    Raises:
        InvalidInput: It is no such answer, or in a format that nobody knows.
        TooLarge: It is larger than answers are.
    """
    codec = find_format(message.headers)
    return codec.decode(message.data, Standing, what="the answer about a task", max_bytes=MAX_NEWS)


def build_task_rules(
    agents: Iterable[str], *, tenant: str = "default", ack_wait_s: float = 30.0, max_messages: int = 10_000
) -> tuple[StreamRule, ...]:
    """Build the streams in which tasks wait for remote agents; who asks them and who serves them opens the bus so.

    Args:
        agents: Which agents.
        tenant: Whose.
        ack_wait_s: After how long without a word a task is given to another server.
        max_messages: How many tasks wait at most for each agent; who sends more is refused until some were taken.

    Raises:
        InvalidInput: A name is not an identifier.
    """
    return tuple(
        StreamRule(
            name=name_task_queue(agent),
            subjects=(build_task_subject(agent, tenant),),
            kind="work",
            max_messages=max_messages,
            ack_wait_s=ack_wait_s,
            max_deliver=MAX_DELIVER,
        )
        for agent in agents
    )


def name_task_queue(agent: str) -> str:
    """Name the queue of an agent's tasks; a name that is too long for that gives way to a digest of it."""
    name = f"tasks-{check_id(agent, 'agent name')}"
    return name if len(name) <= 58 else f"tasks-{hashlib.sha256(agent.encode()).hexdigest()[:32]}"


def build_task_subject(agent: str, tenant: str) -> str:
    """Build the subject to which an agent's tasks are sent."""
    return build_subject("agent", "tasks", tenant, agent)


def build_ask_subject(agent: str, tenant: str) -> str:
    """Build the subject at which whoever serves an agent is asked about its tasks."""
    return build_subject("agent", "ask", tenant, agent)


def build_news_subject(task: str, tenant: str) -> str:
    """Build the subject at which it is told how a task goes."""
    return build_subject("agent", "news", tenant, task)


def write_task(
    task: AgentTask, *, tenant: str, time: float, watch: bool, trace: str | None = None, codec: Codec | None = None
) -> bytes:
    """Write a task as it goes over a bus."""
    envelope = Envelope(
        id=task.id, kind=KIND, tenant=tenant, time=time, trace=trace, headers={WATCH: "text"} if watch else {}
    )
    return seal(envelope, task, codec=codec)


def read_task(message: Message, *, tenant: str, agent: str) -> Asked:
    """Read a task that came for an agent.

    Raises:
        InvalidInput: It is malformed, for another agent, no task, or in a format that nobody knows.
        Forbidden: It belongs to another tenant.
        TooLarge: It is larger than tasks are.
        MissingExtra: What its format needs is not installed.
    """
    envelope = unseal(message.data, tenant=tenant, codec=find_format(message.headers))
    if envelope.kind != KIND:
        raise InvalidInput(f"envelope {envelope.id!r} has kind {envelope.kind!r}; this queue takes {KIND!r}.")
    task = open_body(envelope, AgentTask)
    if task.agent != agent or check_id(task.id, "task") != envelope.id:
        raise InvalidInput(f"task {task.id!r} is for agent {task.agent!r}, and came to {agent!r}.")
    trace = envelope.trace or ""
    return Asked(task=task, watch=WATCH in envelope.headers, trace=trace if parse_traceparent(trace) else "")


def digest_task(task: AgentTask) -> str:
    """SHA-256 over what is asked for, for as long as it is the same task."""
    asked = (task.agent, (*task.history, task.message), task.session, task.limits, task.principal)
    return hashlib.sha256(encode(asked)).hexdigest()


def is_over(event: AnyEvent | None) -> bool:
    """Whether a run whose log ends so has ended or rests; what was handed over goes on with somebody else."""
    if isinstance(event, RunWaiting):
        return not (event.reason == "interrupted" and event.wakes is not None)
    return isinstance(event, ENDINGS)


def build_error(code: str, message: str, **context: object) -> QuorateError:
    """Build an error again from its code and its words."""
    kinds = [kind for kind in QuorateError.__subclasses__() if kind.__module__ == QuorateError.__module__]
    kind = next((kind for kind in kinds if kind.code == code and kind is not MissingExtra), QuorateError)
    return kind(message, **context)
