"""What does one event of every kind look like, with every field filled?"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import convert

from quorate import events as e
from quorate.errors import InvalidInput
from quorate.messages import Audio, File, Image, Message, Reply, Text, Thinking, ToolCall, ToolResult, Usage
from quorate.specs import Limits

DECISION = "dec-0123456789abcdef"
_USAGE = Usage(
    input_tokens=120,
    output_tokens=30,
    cached_tokens=100,
    cache_write_tokens=5,
    reasoning_tokens=7,
    requests=2,
    tool_calls=1,
)
_CALL = ToolCall(id="call-7", name="ping", arguments='{"host": "127.0.0.1", "count": 2}')
_PARTS = (
    Text(text="why is it slow? \u2014 \U0001f600 \0"),
    Image(media_type="image/png", data=b"\x89PNG\0\xff"),
    Image(url="https://example.com/a.png"),
    Audio(data=b"RIFF"),
    File(media_type="text/plain", name="log.txt", data=b"a\nb\n"),
)
_REPLY = Reply(
    message=Message(role="assistant", parts=(Thinking(text="hm", signature="s1"), Text(text="One moment."), _CALL)),
    usage=_USAGE,
    model="scripted",
    stop="tool_calls",
    cost_usd=None,
    id="reply-1",
)
_RESULT = ToolResult(call_id="call-7", name="ping", content='{"lost": 0}')
_FAILURE = ToolResult(
    call_id="call-8", name="ping", content=(Text(text="no such host"),), is_error=True, code="invalid_input"
)
_END = {"usage": _USAGE, "cost_usd": 0.25}

_FIELDS: Mapping[type[e.Event], Mapping[str, object]] = {
    e.RunCreated: {
        "agent": "network-diagnostics",
        "messages": (Message(role="user", parts=_PARTS),),
        "limits": Limits(steps=3, seconds=9.5, cost_usd=0.5, tokens=900, repeated_calls=2, depth=1, tool_calls=8),
        "tenant": "acme",
        "principal": "ada",
        "session": "session-1",
        "deadline": 1_700_003_600.5,
        "idempotency_key": "key-1",
        "labels": {"route.agent": "network-diagnostics"},
        "previous": "run-before",
        "previous_seq": 9,
        "request": "ef" * 32,
        "trace": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    },
    e.RunStarted: {"owner": "worker-1"},
    e.RunWaiting: {
        "reason": "approval",
        "keys": ("1/tool/call-7",),
        "wakes": 1_700_000_060.0,
        "note": "it killed 5 workers",
        **_END,
    },
    e.RunResumed: {"number": 3, "owner": "worker-1"},
    e.RunCompleted: {"output": '{"applies": true}', **_END},
    e.RunFailed: {"code": "unavailable", "message": "the disk is gone", **_END},
    e.RunCancelled: {"reason": "enough", **_END},
    e.RunIncomplete: {"limit": "steps", "message": "25 steps were made", "partial": "so far", **_END},
    e.CancelRequested: {"reason": "enough", "by": "ada"},
    e.ModelRequested: {"model": "scripted", "messages": 4, "digest": "0123456789ab.0123456789ab.0123456789ab"},
    e.ModelReplied: {"reply": _REPLY},
    e.ModelFailed: {"code": "rate_limited", "message": "slow down"},
    e.ToolRequested: {"call": _CALL},
    e.ToolStarted: {"call": _CALL, "effect": "keyed"},
    e.ToolFinished: {"result": _RESULT},
    e.ToolFailed: {"result": _FAILURE},
    e.ToolUnknown: {"call": _CALL},
    e.ApprovalRequested: {
        "call": _CALL,
        "digest": "ab" * 32,
        "reason": "it writes",
        "expires": 1_700_000_060.0,
        "editable": ("count",),
        "by_other": True,
    },
    e.ApprovalDecided: {
        "approved": True,
        "digest": "ab" * 32,
        "by": "ada",
        "reason": "harmless",
        "arguments": "{}",
        "covers": "cd" * 32,
    },
    e.InputRequested: {"question": "Which host?", "choices": ("a", "b"), "expires": 1_700_000_060.0, "of": "ada"},
    e.InputGiven: {"text": "a", "by": "ada"},
    e.TimerSet: {"due": 1_700_000_060.0},
    e.HandoffRequested: {"source": "triage", "target": "network-diagnostics", "reason": "a network"},
    e.HandoffDone: {"source": "triage", "target": "network-diagnostics"},
    e.TaskDelegated: {"agent": "network-diagnostics", "task": "task-1", "task_run": "run-elsewhere"},
    e.TaskFinished: {
        "agent": "network-diagnostics",
        "task": "task-1",
        "task_run": "run-elsewhere",
        "status": "incomplete",
        **_END,
    },
    e.StateChanged: {"scope": "session", "name": "hosts", "revision": 4},
    e.ArtifactSaved: {
        "artifact": "artifact-1",
        "name": "trace.txt",
        "media_type": "text/plain",
        "size": 70_000,
        "digest": "cd" * 32,
    },
    e.BudgetReserved: {"amount": 900.0, "unit": "tokens"},
    e.BudgetSettled: {"amount": 812.0, "unit": "tokens"},
    e.BudgetExceeded: {"limit": 1000.0, "unit": "tokens"},
    e.GuardBlocked: {"guard": "secrets", "reason": "a key was in the text"},
    e.VoteOpened: {
        "question": "Root cause?",
        "options": ("dns", "tls"),
        "roll": ("a", "b", "c"),
        "rule": "majority",
        "quorum": 0.6,
        "decision": DECISION,
        "round": 2,
        "weights": (1.0, 0.5, 1.0),
        "groups": ("", "small", "small"),
        "keys": ("", "", "Zm9v"),
        "tie": "priority",
        "priority": ("tls", "dns"),
        "seed": 7,
        "abstentions": "against",
        "silence": "against",
        "secret": True,
        "deadline_s": 60.0,
        "topic": "network",
    },
    e.VoteCast: {
        "voter": "a",
        "choice": "dns",
        "reason": "it timed out",
        "decision": DECISION,
        "round": 2,
        "ballot": '{"choice":"dns","reason":"it timed out"}',
        "signature": "hmac:0a1b",
    },
    e.VoteRefused: {"voter": "b", "why": "late", "detail": "2 s late", "decision": DECISION, "round": 2},
    e.VoteClosed: {
        "winner": "dns",
        "turnout": 2 / 3,
        "decision": DECISION,
        "round": 2,
        "status": "decided",
        "why": "dns has 2 of 2 votes",
        "points": {"dns": 2.0, "tls": 0.0},
        "margin": 1.0,
        "dissent": ("c",),
    },
    e.VoteDecided: {
        "winner": "dns",
        "decision": DECISION,
        "by": "vote",
        "why": "dns has 2 of 2 votes",
        "rounds": 2,
        "closed": 1_700_000_060.0,
        "digest": "5e1f",
        "seal": "0a1b",
    },
    e.StepStarted: {"name": "probe"},
    e.StepFinished: {"name": "probe", "status": "incomplete", "output": "half"},
    e.StepSkipped: {"name": "repair", "reason": "its condition was false"},
}


def build_every_event(run: str, *, after: int = 0) -> list[e.AnyEvent]:
    """Build one event of every kind there is, `run.created` first, numbered from `after + 1`.

    The order is that of the union and means nothing; use it to test what stores, sends or shows events.
    """
    return [build_event(kind, run=run, seq=seq) for seq, kind in enumerate(e.AnyEvent.__args__, after + 1)]


def build_event(kind: type[e.AnyEvent], *, run: str, seq: int) -> e.AnyEvent:
    """Build an event of one kind.

    Raises:
        InvalidInput: No sample of that kind was written down yet.
    """
    if kind not in _FIELDS:
        raise InvalidInput(f"there is no sample of {kind.__name__!r}; add its fields to `quorate.testing.samples`.")
    fields = {"run": run, "seq": seq, "time": 1_700_000_000.25 + seq, "key": f"1/sample/{seq}"}
    owned = {} if kind in e.CONTROLS else {"attempt": "attempt-1"}
    return convert({**fields, **owned, **_FIELDS[kind]}, kind)
