"""How do several hooks speak as one?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import structs

from quorate.errors import InvalidInput
from quorate.hooks.ask import ask, ask_all
from quorate.hooks.hook import (
    ABSTAINED,
    LEGAL,
    Decision,
    Heard,
    Hook,
    HookFunction,
    Moment,
    Outcome,
    Verdict,
    put_value,
)
from quorate.hooks.poll import Cast, PollRule, Tie, build_rule, count_votes


def sequential(hooks: Sequence[Hook], *, name: str = "sequential", priority: int = 0) -> Hook:
    """Ask hooks one after another, each about what those before it have put in; the first that denies ends it.

    It says `replace` where any of them did, else `allow` where any did, else nothing.

    Raises:
        InvalidInput: There are no hooks, or two of one name.
    """
    parts = _order(hooks, name)

    async def run(moment: Moment) -> Verdict:
        heard: list[Heard] = []
        for hook in _select(parts, moment):
            one = await ask(hook, moment)
            heard.append(one)
            if one.verdict.decision == "deny":
                return _pass_on(one, heard)
            if one.verdict.value is not None:
                moment = put_value(moment, one.verdict.value)
        return _sum_up(heard)

    return _build(name, run, parts, priority=priority)


def parallel(hooks: Sequence[Hook], *, name: str = "parallel", priority: int = 0) -> Hook:
    """Ask hooks side by side about the same; any that denies denies, and so do two that replace it differently.

    Raises:
        InvalidInput: There are no hooks, or two of one name.
    """
    parts = _order(hooks, name)

    async def run(moment: Moment) -> Verdict:
        heard = await ask_all(_select(parts, moment), moment)
        denied = next((one for one in heard if one.verdict.decision == "deny"), None)
        if denied is not None:
            return _pass_on(denied, heard)
        replacing = [one for one in heard if one.verdict.decision == "replace"]
        other = next((one for one in replacing if one.verdict.value != replacing[0].verdict.value), None)
        if other is not None:
            reason = f"hooks `{replacing[0].hook}` and `{other.hook}` replace it differently"
            return Verdict(decision="deny", reason=reason, heard=tuple(heard))
        return _sum_up(heard)

    return _build(name, run, parts, priority=priority)


def first_match(hooks: Sequence[Hook], *, name: str = "first-match", priority: int = 0) -> Hook:
    """Ask hooks one after another until one does not abstain, and say what it said.

    Raises:
        InvalidInput: There are no hooks, or two of one name.
    """
    parts = _order(hooks, name)

    async def run(moment: Moment) -> Verdict:
        heard: list[Heard] = []
        for hook in _select(parts, moment):
            one = await ask(hook, moment)
            heard.append(one)
            if one.verdict.decision != "abstain":
                return _pass_on(one, heard)
        return structs.replace(ABSTAINED, heard=tuple(heard))

    return _build(name, run, parts, priority=priority)


def voting(
    hooks: Sequence[Hook],
    *,
    on_failure: Literal["fail_open", "fail_closed"],
    threshold: str = "1/2",
    tie: Tie = "deny",
    quorum: str = "1/2",
    name: str = "voting",
    priority: int = 0,
) -> Hook:
    """Ask hooks side by side and let their votes decide, one each.

    A side wins that has `threshold` of the votes cast while the other has not. A hook that fails is absent, whatever
    its failure means elsewhere, unless it is declared to end the run.

    Args:
        hooks: The voters; none may replace anything.
        on_failure: What it means that there is no quorum, or no vote at all.
        threshold: Which share of the votes cast a side needs, exactly: `'2/3'`, `'0.6'`, `'1'`.
        tie: What holds where both sides have the threshold, or neither: `deny`, `allow`, or what the `first` that
            voted said, in the hooks' order.
        quorum: Which share of the hooks asked must answer, an abstention being an answer.
        name: What the log calls it.
        priority: Its own, in a composite around it.

    Raises:
        InvalidInput: There are no hooks, or two of one name; one may replace; a share or the tie rule is none.
    """
    parts = _order(hooks, name)
    rule = build_rule(threshold=threshold, tie=tie, quorum=quorum)
    if on_failure not in ("fail_open", "fail_closed"):
        raise InvalidInput(f"`on_failure` of {name!r} is {on_failure!r}: choose `fail_open` or `fail_closed`.")
    for part in parts:
        if "replace" in part.decisions:
            raise InvalidInput(
                f"Hook {part.name!r} may replace, and {name!r} counts yes and no: leave `replace` out of its decisions."
            )

    async def run(moment: Moment) -> Verdict:
        return _poll(await ask_all(_select(parts, moment), moment), rule, on_failure)

    return _build(name, run, parts, priority=priority, on_failure=on_failure, decisions=("allow", "deny", "abstain"))


def _poll(heard: Sequence[Heard], rule: PollRule, on_failure: Outcome) -> Verdict:
    broken = next((one for one in heard if one.ends_run), None)
    if broken is not None:
        return _pass_on(broken, heard)
    count = count_votes([_read_vote(one) for one in heard], rule)
    decision: Decision = "abstain" if on_failure == "fail_open" else "deny"
    if count.decision != "none":
        decision = count.decision
    return Verdict(decision=decision, reason=count.why, heard=tuple(heard))


def _read_vote(one: Heard) -> Cast:
    if one.failure:
        return "absent"
    decision = one.verdict.decision
    return decision if decision != "replace" else "absent"


def _order(hooks: Sequence[Hook], name: str) -> tuple[Hook, ...]:
    """Put hooks in their order: by priority, and those alike as they were given."""
    if not hooks:
        raise InvalidInput(f"{name!r} has no hooks: give it at least one.")
    seen: set[str] = set()
    for hook in hooks:
        if hook.name in seen:
            raise InvalidInput(f"Two hooks in {name!r} are named {hook.name!r}: give one of them another name.")
        seen.add(hook.name)
    return tuple(sorted(hooks, key=lambda hook: -hook.priority))


def _select(parts: Sequence[Hook], moment: Moment) -> list[Hook]:
    return [hook for hook in parts if hook.takes(moment.point)]


def _build(
    name: str,
    run: HookFunction,
    parts: tuple[Hook, ...],
    *,
    priority: int,
    on_failure: Outcome = "fail_closed",
    decisions: tuple[Decision, ...] | None = None,
) -> Hook:
    said: set[Decision] = {"abstain", "deny"}  # the failure of a part may deny, whatever it declared
    said.update(*(part.decisions for part in parts))
    return Hook(
        name=name,
        function=run,
        points=tuple(point for point in LEGAL if any(part.takes(point) for part in parts)),
        on_failure=on_failure,
        decisions=decisions or tuple(sorted(said)),
        timeout_s=None,
        priority=priority,
        parts=parts,
    )


def _pass_on(one: Heard, heard: Sequence[Heard]) -> Verdict:
    """Say what one hook said, with its name before the reason."""
    said = one.verdict
    reason = f"{one.hook}: {said.reason}" if said.reason else one.hook
    return structs.replace(said, reason=reason, heard=tuple(heard))


def _sum_up(heard: Sequence[Heard]) -> Verdict:
    """Say what hooks came to of which none denied: the last that replaced, or the first that allowed, or nothing."""
    replaced = [one for one in heard if one.verdict.decision == "replace"]
    one = replaced[-1] if replaced else next((one for one in heard if one.verdict.decision == "allow"), None)
    return _pass_on(one, heard) if one is not None else structs.replace(ABSTAINED, heard=tuple(heard))
