"""How do voters propose and argue before they vote, each hearing what the others said?

Du et al., "Improving Factuality and Reasoning in Language Models through Multiagent Debate" (ICML 2024), is where the
rounds come from: each speaker sees what the others said in the round before, and none who said it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from msgspec import Struct

from quorate.agent.procedure.asking import TeamFailed, ask_for
from quorate.agent.procedure.together import side_by_side
from quorate.agent.procedure.work import Work
from quorate.codec.json import encode_text
from quorate.council.exhibits import NOTICE, fence
from quorate.council.terms import MAX_NAME
from quorate.errors import InvalidInput

MAX_SHOWN = 4_000
"""How many characters of one statement are shown to others."""
AT_ONCE = 64
NONE = "none of these"
"""The option that is there for whoever wants none of the proposals."""


class Proposal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a member proposes."""

    approach: str
    """What is to be done, or what is the case, in a sentence or two."""
    confidence: float
    """How sure it is, 0 to 1."""
    cost: str = ""
    risks: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


class Proposed(Struct, frozen=True, kw_only=True):
    """A proposal, and whose it is."""

    voter: str
    proposal: Proposal


class Rebuttal(Struct, frozen=True, kw_only=True):
    """What is said against somebody's argument."""

    of: str
    """Whose, such as `speaker 2`."""
    argument: str


class Statement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a member says in a debate."""

    position: str
    argument: str
    rebuts: tuple[Rebuttal, ...] = ()


_PROPOSE = (
    '{"approach": "<what is to be done or is the case, in a sentence or two>", "confidence": <0 to 1>, '
    '"cost": "<what it takes>", "risks": ["<what could go wrong>"], "evidence": ["<what you go by>"]}'
)
_STATE = (
    '{"position": "<one of the options, to the letter>", "argument": "<why>", '
    '"rebuts": [{"of": "speaker <number>", "argument": "<what is wrong with what it said>"}]}'
)


async def propose(
    work: Work, members: Sequence[str], question: str, *, timeout_s: float | None = None
) -> list[Proposed]:
    """Have members propose, none of whom sees another's proposal; who fails proposes nothing.

    Args:
        work: Makes the steps.
        members: The agents.
        question: What is to be decided.
        timeout_s: After how many seconds a member is cut that hangs; with the whole run when `None`.
    """
    asked = f"{NOTICE}\n\n{fence('question', question)}\n\nMake your own proposal. Answer with JSON alone:\n{_PROPOSE}"

    async def one(place: int, member: str) -> Proposed | None:
        try:
            found = await ask_for(
                work, f"propose-{place}", member, asked, Proposal, check=_check_proposal, timeout_s=timeout_s
            )
        except TeamFailed:  # whoever fails proposes nothing, and may still vote
            return None
        return Proposed(voter=member, proposal=found)

    jobs = [one(place, member) for place, member in enumerate(members, 1)]
    return [found for found in await side_by_side(jobs, at_once=AT_ONCE) if found is not None]


def list_options(proposed: Sequence[Proposed]) -> dict[str, tuple[str, ...]]:
    """List the options that proposals make, each with those who proposed it, and the one to want none of them."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for one in proposed:
        text = " ".join(one.proposal.approach.split())
        known, by = found.get(_plain(text), (text, ()))
        found[_plain(text)] = known, (*by, one.voter)
    return {**dict(found.values()), NONE: ()}


def _plain(text: str) -> str:
    """Write a proposal so that two which look alike are one: no case, and no other form of the same letters."""
    return unicodedata.normalize("NFKC", text).casefold()


def show_proposals(proposed: Sequence[Proposed]) -> str:
    """Write proposals for voters, without who made them."""
    parts: list[str] = []
    for one in proposed:
        given = one.proposal
        facts = [f"approach: {given.approach}", f"cost: {given.cost or 'not said'}"]
        facts += [f"risk: {risk}" for risk in given.risks] + [f"evidence: {fact}" for fact in given.evidence]
        parts.append("\n".join(facts)[:MAX_SHOWN])
    return _fence_all("proposal", parts)


async def debate(
    work: Work,
    members: Sequence[str],
    question: str,
    options: Sequence[str],
    *,
    rounds: int,
    name: str,
    known: str,
    timeout_s: float | None = None,
) -> str:
    """Have members argue for some rounds, and return what was said in the last one, for voters to read.

    It ends early where all take the same position, and goes on without those who fail.

    Args:
        work: Makes the steps.
        members: The agents.
        question: What is to be decided.
        options: What there is to choose from.
        rounds: How many rounds at most.
        name: What the debate is called in the log.
        known: What was said before, such as the proposals.
        timeout_s: After how many seconds a member is cut that hangs; with the whole run when `None`.
    """
    said: list[Statement | None] = []
    for number in range(1, rounds + 1):
        heard = known if number == 1 else _show(said)
        asked = f"{NOTICE}\n\n{fence('question', question, beside=heard)}\n\n{show_options(options, beside=heard)}"
        asked = f"{asked}\n\nWhat was said until now:\n{heard or '(nothing)'}"
        jobs = [
            _ask(work, f"{name}-{number}-{place}", member, place, asked, options, timeout_s)
            for place, member in enumerate(members, 1)
        ]
        said = await side_by_side(jobs, at_once=AT_ONCE)
        positions = {one.position for one in said if one is not None}
        if len(positions) <= 1:
            break
    return _show(said)


def show_options(options: Sequence[str], *, beside: str) -> str:
    """Write options for whoever chooses: members may have written them, so they are fenced too.

    Args:
        options: The options.
        beside: All that is shown with them.
    """
    listed = "\n".join(f"- {encode_text(option)}" for option in options)
    return f"The options, as they must be written:\n{fence('options', listed, beside=beside)}"


async def _ask(
    work: Work, step: str, member: str, place: int, said: str, options: Sequence[str], timeout_s: float | None
) -> Statement | None:
    asked = (
        f"{said}\n\nYou are speaker {place}. Argue for the option that you hold to be right; change your mind where "
        f"another's argument is better. Answer with JSON alone:\n{_STATE}"
    )

    def check(found: Statement) -> None:
        if found.position not in options:
            raise InvalidInput(f"{found.position!r:.200} is none of the options")

    try:
        return await ask_for(work, step, member, asked, Statement, check=check, timeout_s=timeout_s)
    except TeamFailed:  # the debate goes on without it
        return None


def _show(said: Sequence[Statement | None]) -> str:
    parts: list[str] = []
    for place, one in enumerate(said, 1):
        if one is not None:
            rebuts = "".join(f"\nagainst {rebuttal.of}: {rebuttal.argument}" for rebuttal in one.rebuts)
            text = f"speaker {place} is for: {one.position}\n{one.argument}{rebuts}"
            parts.append(text[:MAX_SHOWN])
    return _fence_all("statement", parts)


def _fence_all(kind: str, texts: Sequence[str]) -> str:
    """Fence texts that are shown together: none of them can know the mark of another."""
    beside = "\0".join(texts)
    return "\n".join(fence(kind, text, beside=beside) for text in texts)


def _check_proposal(found: Proposal) -> None:
    approach = " ".join(found.approach.split())
    if not approach or len(approach) > MAX_NAME:
        raise InvalidInput(f"`approach` has {len(approach)} characters: give 1 to {MAX_NAME}")
    if not approach.isprintable():
        raise InvalidInput("`approach` has characters that cannot be seen: give plain text")
    if _plain(approach) == NONE:
        raise InvalidInput("`approach` proposes nothing")
    if not 0 <= found.confidence <= 1:
        raise InvalidInput(f"`confidence` is {found.confidence!r}: give 0 to 1")
