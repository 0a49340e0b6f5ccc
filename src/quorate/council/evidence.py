"""What do a decision's truth, a run's record and people's feedback say of those who took part?"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct

from quorate.council.ballot import Ballot, Vote, weigh
from quorate.council.decision import read_decisions
from quorate.council.tally import list_favourites
from quorate.council.trust import Evidence, Source, check_topic, is_member, is_own
from quorate.errors import Conflict, InvalidInput, NotFound, UnknownName
from quorate.events import AnyEvent, RunCreated, StepFinished, StepStarted, ToolFailed, VoteOpened
from quorate.models.feedback import Feedback
from quorate.ports import RunContext

BLAMELESS = frozenset(
    {
        "blocked_by_policy", "budget_exceeded", "cancelled", "conflict", "corrupt_state", "forbidden", "incompatible",
        "missing_extra", "nondeterministic", "rate_limited", "storage_full", "unauthenticated", "unavailable",
        "upstream_error", "waiting",
    }
)  # fmt: skip
"""How a task ends by no fault of whoever did it."""


class Judged(Struct, frozen=True, kw_only=True):
    """What is needed of a decision to learn from it."""

    id: str
    options: tuple[str, ...]
    votes: tuple[Vote, ...]
    winner: str | None
    closed: float
    """When it was counted, in seconds since 1970."""
    opened: float = 0.0
    rule: str = ""
    topic: str = ""
    run: str = ""
    """The run that it was made in."""


def read_source(context: RunContext[object]) -> Source:
    """Say who is asking: whoever says something inside a run is the agent that does, whatever it calls itself."""
    return Source(principal=context.principal, agent=context.info.agent)


def find_judged(events: Sequence[AnyEvent], decision: str) -> Judged:
    """Find in a run's log what is needed of one of its decisions; the ballots are those of the last vote.

    Raises:
        NotFound: There is no such decision in it.
        Conflict: It is still open.
        CorruptState: What is noted does not hold together.
    """
    record = next((one for one in read_decisions(events) if one.id == decision), None)
    if record is None:
        raise NotFound(f"There is no decision {decision!r:.200} in this run: list them with `quorate decisions list`.")
    if record.is_open or record.closed is None:
        raise Conflict(f"Decision {decision!r} is still open: wait until it is made.", decision=decision)
    opened = [event for event in events if isinstance(event, VoteOpened) and event.decision == decision]
    last = record.last
    return Judged(
        id=record.id,
        options=last.terms.options,
        votes=tuple(Vote(voter=one.voter, ballot=one.ballot, weight=weigh(one.weight)) for one in last.ballots),
        winner=record.winner,
        opened=record.opened,
        closed=record.closed,
        rule=last.terms.rule,
        topic=_read_topic(opened[-1].topic),
        run=record.run,
    )


def score_ballot(ballot: Ballot, truth: str) -> float | None:
    """Say how right a ballot was: 1 for the truth alone, less for one of several; `None` where it was for nothing."""
    preferred = list_favourites(ballot)
    if not preferred:
        return None
    return 1 / len(preferred) if truth in preferred else 0.0


def read_decision(decision: Judged, truth: str, *, source: Source, version: int = 0) -> list[Evidence]:
    """Read what a decision says of those who voted, once the truth is known; nothing of who says what is true.

    Args:
        decision: What was decided.
        truth: Which of its options was right.
        source: Who says so.
        version: How often that was corrected.

    Raises:
        UnknownName: The truth is none of the options.
    """
    check_truth(decision, truth)
    found: list[Evidence] = []
    for vote in decision.votes:
        score = score_ballot(vote.ballot, truth)
        if score is None or is_own(vote.voter, source):
            continue
        found.append(
            Evidence(
                id=decision.id, member=vote.voter, kind="decision", score=score, at=decision.closed, source=source,
                topic=decision.topic, version=version,
            )
        )  # fmt: skip
    return found


def check_truth(decision: Judged, truth: str) -> None:
    """Raise `UnknownName` when something was no option of a decision."""
    if truth not in decision.options:
        raise UnknownName("option", truth, decision.options)


def read_tasks(events: Iterable[AnyEvent], *, members: Collection[str] = (), topic: str = "") -> list[Evidence]:
    """Read from a run's log how those ended to whom something was delegated.

    What failed by no fault of theirs, such as a provider that was away, says nothing of them. Whatever an agent gave to
    itself says nothing either.

    Args:
        events: The whole log.
        members: Only of these; of all when not given.
        topic: What the run was about.
    """
    head: RunCreated | None = None
    begun: dict[str, str] = {}
    ended: dict[str, StepFinished] = {}
    codes: dict[str, str] = {}
    for event in events:
        if isinstance(event, RunCreated):
            head = event
        elif isinstance(event, StepStarted) and event.key.endswith("/"):
            begun[event.key] = event.name
        elif isinstance(event, StepFinished) and event.key.endswith("/"):
            ended[event.key] = event
        elif isinstance(event, ToolFailed):
            codes[event.key] = event.result.code
    if head is None:
        return []
    found: list[Evidence] = []
    for key, event in ended.items():
        above = _find_above(begun, key) or head.agent
        is_asked = is_member(event.name) and (not members or event.name in members)
        is_blameless = event.status == "cancelled" or codes.get(key.removesuffix("/")) in BLAMELESS
        source = Source(principal=head.principal, agent=above)
        if not is_asked or is_own(event.name, source) or (event.status != "completed" and is_blameless):
            continue
        found.append(
            Evidence(
                id=f"{head.run}/{hashlib.sha256(key.encode()).hexdigest()[:16]}",
                member=event.name,
                kind="task",
                score=1.0 if event.status == "completed" else 0.0,
                at=event.time,
                source=source,
                topic=topic,
            )
        )
    return found


def read_feedback(feedback: Feedback, head: RunCreated) -> Evidence | None:
    """Read what somebody's rating of a run says of the agent that did it; `None` where that counts for nothing.

    It does where nothing was rated, or only a step, and where the agent speaks of itself. What one principal thinks of
    a run counts once: what it said last. The label `topic` says what the run was about.

    Args:
        feedback: What was said, as it is kept.
        head: How the run began.

    Raises:
        InvalidInput: The feedback is on another run.
    """
    if feedback.run != head.run or feedback.tenant != head.tenant:
        raise InvalidInput(f"Feedback {feedback.id!r} is on run {feedback.run!r}, not on {head.run!r}.")
    source = Source(principal=feedback.principal, agent="" if feedback.source == "person" else feedback.source)
    if feedback.rating is None or feedback.key or not is_member(head.agent) or is_own(head.agent, source):
        return None
    return Evidence(
        id=f"{head.run}/{hashlib.sha256(feedback.principal.encode()).hexdigest()[:16]}",
        member=head.agent,
        kind="feedback",
        score=feedback.rating,
        at=head.time,
        source=source,
        topic=_read_topic(feedback.labels.get("topic", "")),
        version=int(feedback.created * 1000),
    )


def _read_topic(said: str) -> str:
    """Read a topic that may be anything; what is none is nothing in particular."""
    try:
        return check_topic(said)
    except InvalidInput:
        return ""


def _find_above(begun: dict[str, str], key: str) -> str:
    """Find who gave a step to somebody: the nearest delegate or procedure around it."""
    parts: Sequence[str] = key.removesuffix("/").split("/")
    for size in range(len(parts) - 1, 0, -1):
        name = begun.get(f"{'/'.join(parts[:size])}/")
        if name is not None:
            return name
    return ""
