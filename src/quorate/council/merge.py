"""What do several agents say together, who said each thing by what evidence, and where do they differ?"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.asking import TeamFailed, ask_for
from quorate.agent.procedure.build import build_agent
from quorate.agent.procedure.together import side_by_side
from quorate.agent.procedure.work import Work
from quorate.council.claims import MAX_CLAIMS, Claim, Claims, MergedItem, Relations, check_claims, join_claims
from quorate.council.exhibits import NOTICE, fence
from quorate.council.panel import TIMEOUT_S, Absent, ask_member, check_panel, check_timeout, write_json
from quorate.errors import InvalidInput
from quorate.specs import Limits

MAX_MEMBERS = 25
MAX_COMPARED = 200
"""How many items are shown to a judge or an editor."""
MAX_SENTENCES = 200
FORM = (
    '{"items": [{"text": "<one thing, in one sentence>", "about": "<what it is about, if it has a value>", '
    '"value": <the value, if it has one>, "evidence": ["<what shows it>"]}]}'
)
HOW_TO_RELATE = (
    "Several people gave these items. Say which of them mean the same in other words, and which cannot both be true. "
    "Say nothing of those that are neither."
)
HOW_TO_WRITE = (
    "Write an answer to the task below from these items alone. Each sentence names the numbers of the items that it "
    "goes by. Where items contradict each other, say so, and which do."
)
_CITED = re.compile(r"\s*\[(\d{1,6})\]")
_ENDS = re.compile(r"(?<=[\w)\"'])(?<!\b[A-Z])[.!?]+[\"')]*\s+(?=[A-Z0-9\"'(])|\n")
"""Where a sentence ends and another one begins."""
_SHORT = re.compile(
    r"\b(?:e\.g|i\.e|vs|cf|approx|no|nos|fig|figs|dr|mr|mrs|ms|prof|st|inc|ltd|etc|al)\.\s", re.IGNORECASE
)
"""Words whose full stop ends no sentence."""


class Sentence(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sentence of an editor."""

    text: str
    items: tuple[int, ...]
    """The numbers of the items that it goes by."""


class Draft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an editor answers."""

    sentences: tuple[Sentence, ...]


class MergeReport(Struct, frozen=True, kw_only=True):
    """What several agents say together."""

    items: tuple[MergedItem, ...]
    missing: dict[str, str]
    """Members who gave nothing, and why."""
    why: str
    text: str = ""
    """What an editor made of it, where there is one: each sentence with the numbers of its items."""
    uncited: tuple[int, ...] = ()
    """Items that the text does not mention."""


def merge(
    name: str,
    members: Sequence[AnyAgent],
    *,
    judge: AnyAgent | None = None,
    editor: AnyAgent | None = None,
    timeout_s: float = TIMEOUT_S,
    description: str = "",
    limits: Limits = Limits(),
) -> AnyAgent:
    """Build an agent that has others say what they know, and keeps who said what; what it answers is a `MergeReport`.

    What is the same is joined: the same words, or the same value for the same thing. Different values for the same
    thing are a conflict: both are kept, and each tells of the other. Nobody is asked which is right.

    Args:
        name: Its name.
        members: Who is asked, none of whom sees what another one says; one who fails is missing.
        judge: Says which items mean the same in other words, and which contradict each other; it sees no names. Where
            it fails, only what is the same by its words or values is joined.
        editor: Writes a text of the items. Each sentence must name the items it goes by, and one of a conflict is not
            told without the other; a text that does not hold is sent back, and one that never does fails the run.
        timeout_s: After how many seconds anybody is cut, each time it is asked.
        description: What it is for.
        limits: The bounds of each of its runs.

    Raises:
        InvalidInput: There are no members, or two of one name.
    """
    others = [one for one in (judge, editor) if one is not None]
    check_panel(name, members, what="members", most=MAX_MEMBERS)
    everyone = {one.name: one for one in (*members, *others)}
    if any(everyone[one.name] is not one for one in (*members, *others)):
        raise InvalidInput(f"{name!r} has two agents of one name: rename one.")
    check_timeout(name, timeout_s)

    async def work(procedure: Work, task: str) -> str:
        said, missing = await _collect(procedure, task, [one.name for one in members], timeout_s)
        if not said:
            reasons = "; ".join(f"{who}: {reason}" for who, reason in missing.items())
            raise TeamFailed(f"No member of {name!r} gave anything: {reasons}"[:4_000])
        items = join_claims(said)
        why = f"{sum(len(claims) for _, claims in said)} claims of {len(said)} members make {len(items)} items"
        if judge is not None:
            items, told = await _relate(procedure, judge.name, said, items, timeout_s)
            why = f"{why}; {told}"
        text = await _write(procedure, editor.name, task, items, timeout_s) if editor is not None and items else ""
        cited = {int(number) for number in _CITED.findall(text)}
        uncited = tuple(one.number for one in items if one.number not in cited) if text else ()
        report = MergeReport(items=items, missing=missing, why=why, text=text, uncited=uncited)
        return write_json(report)

    return build_agent(
        name,
        work,
        tools=[*everyone.values()],
        output_type=MergeReport,
        description=description,
        limits=limits,
    )


def check_draft(items: Sequence[MergedItem], draft: Draft) -> None:
    """Check that each sentence of a text goes by items that there are, and that no conflict is told by half.

    Raises:
        InvalidInput: It does not hold; all faults are told.
    """
    if faults := [*_find_faults(items, draft)]:
        raise InvalidInput("; ".join(faults)[:4_000], faults=tuple(faults))


def write_text(draft: Draft) -> str:
    """Write a text, each sentence with the numbers of its items."""
    return " ".join(
        f"{_CITED.sub('', one.text).strip()} {''.join(f'[{number}]' for number in _list_cited(one))}"
        for one in draft.sentences
    )


async def _collect(
    procedure: Work, task: str, members: Sequence[str], timeout_s: float
) -> tuple[list[tuple[str, tuple[Claim, ...]]], dict[str, str]]:
    asked = f"{task}\n\nAnswer with JSON alone, {MAX_CLAIMS} items at most, each thing by itself: {FORM}"
    jobs = [
        ask_member(procedure, f"member-{place}", one, asked, Claims, check=check_claims, timeout_s=timeout_s)
        for place, one in enumerate(members, 1)
    ]
    found = dict(zip(members, await side_by_side(jobs), strict=True))
    said = [(who, one.items) for who, one in found.items() if not isinstance(one, Absent)]
    return said, {who: one.reason for who, one in found.items() if isinstance(one, Absent)}


async def _relate(
    procedure: Work,
    judge: str,
    said: Sequence[tuple[str, tuple[Claim, ...]]],
    items: tuple[MergedItem, ...],
    timeout_s: float,
) -> tuple[tuple[MergedItem, ...], str]:
    """Have a judge say which items are the same and which contradict each other."""
    if len(items) < 2:
        return items, "there is nothing for the judge to compare"
    if len(items) > MAX_COMPARED:
        return items, f"they are more than the {MAX_COMPARED} that a judge is shown"
    asked = "\n\n".join(
        (
            HOW_TO_RELATE,
            NOTICE,
            'Answer with JSON alone, by their numbers: {"same": [[1, 4]], "conflicts": [[2, 3]]}',
            fence("items", _show(items)),
        )
    )

    def check(found: Relations) -> None:
        join_claims(said, found)

    found = await ask_member(procedure, "judge", judge, asked, Relations, check=check, timeout_s=timeout_s)
    if isinstance(found, Absent):
        return items, f"the judge is absent ({found.reason})"
    joined = join_claims(said, found)
    return joined, f"the judge makes {len(joined)} of them"


async def _write(procedure: Work, editor: str, task: str, items: Sequence[MergedItem], timeout_s: float) -> str:
    if len(items) > MAX_COMPARED:
        raise TeamFailed(f"There are {len(items)} items, and {MAX_COMPARED} are shown to the editor {editor!r}.")
    shown = _show(items)
    asked = "\n\n".join(
        (
            HOW_TO_WRITE,
            NOTICE,
            'Answer with JSON alone: {"sentences": [{"text": "<one sentence>", "items": [<numbers>]}]}',
            "The task:\n" + fence("task", task, beside=shown),
            "The items:\n" + fence("items", shown, beside=task),
        )
    )

    def check(found: Draft) -> None:
        check_draft(items, found)

    return write_text(await ask_for(procedure, "editor", editor, asked, Draft, check=check, timeout_s=timeout_s))


def _show(items: Sequence[MergedItem]) -> str:
    lines: list[str] = []
    for one in items:
        value = f" ({one.about}: {one.value})" if one.about and one.value is not None else ""
        against = f" (contradicts {', '.join(map(str, one.conflicts))})" if one.conflicts else ""
        text = " ".join(f"{one.text}{value}".split())  # one line each, so that none looks like another item
        lines.append(f"{one.number}. {text}{against}")
    return "\n".join(lines)


def _list_cited(one: Sentence) -> list[int]:
    return sorted({*one.items, *(int(number) for number in _CITED.findall(one.text))})


def _find_faults(items: Sequence[MergedItem], draft: Draft) -> Iterator[str]:
    known = {one.number: one for one in items}
    if not 1 <= len(draft.sentences) <= MAX_SENTENCES:
        yield f"it has {len(draft.sentences)} sentences: give 1 to {MAX_SENTENCES}"
    for place, one in enumerate(draft.sentences, 1):
        cited, bare = _list_cited(one), _CITED.sub("", one.text).strip()
        if not bare:
            yield f"sentence {place} is empty"
        elif _ENDS.search(_SHORT.sub("", bare)):
            yield f"sentence {place} is more than one sentence: give each by itself, with its items"
        if not cited:
            yield f"sentence {place} names no item: name those that it goes by, or leave it out"
        if strays := [number for number in cited if number not in known]:
            yield f"sentence {place} names {', '.join(map(str, strays[:10]))}, and there is no such item"
    told = set(itertools.chain.from_iterable(_list_cited(one) for one in draft.sentences))
    for number in sorted(told & known.keys()):
        if untold := [rival for rival in known[number].conflicts if rival not in told]:
            yield f"item {number} is told without {', '.join(map(str, untold[:10]))}, which contradicts it"
