"""How good is an answer by a declared rubric, as several judges see it who do not know whose it is?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import median

import msgspec
from msgspec import Struct

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.build import build_agent
from quorate.agent.procedure.together import side_by_side
from quorate.agent.procedure.work import Work
from quorate.council.exhibits import NOTICE, check_exhibit, fence, is_quoted
from quorate.council.panel import (
    TIMEOUT_S,
    Absent,
    ask_member,
    check_panel,
    check_share,
    check_timeout,
    count_share,
    read_case,
    write_json,
)
from quorate.council.rubric import Criterion, Rubric, check_rubric
from quorate.errors import InvalidInput, mend_text
from quorate.specs import Limits

MAX_JUDGES = 15
MAX_QUOTES, MAX_QUOTE, MAX_REASON = 5, 500, 1_000
EXAMPLE = '{"question": "...", "answer": "..."}'
"""What the task of a judge looks like; `reference` may be there too."""
HOW = (
    "For each criterion write first why, then what in the answer you go by, quoted from it to the letter, then the "
    "score that follows. A score above the worst needs a quotation."
)


class Case(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is judged; nothing in it says whose it is."""

    question: str
    answer: str
    reference: str = ""
    """A right answer to compare with, where there is one."""


class Mark(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a judge gives for one criterion; the reason comes first, so that the score follows from it."""

    reason: str
    evidence: tuple[str, ...] = ()
    """Quoted from the answer, to the letter; a score above the worst needs some."""
    score: int


class Marks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a judge answers."""

    marks: dict[str, Mark]


class Opinion(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one judge said of an answer, or why it said nothing."""

    judge: str
    marks: dict[str, Mark] = {}
    absent: str = ""


class CriterionScore(Struct, frozen=True, kw_only=True):
    """What all judges together give for one criterion."""

    name: str
    score: float
    """The median of their scores."""
    share: float
    """The same, with the scale as 0 to 1."""
    lowest: int
    highest: int
    is_disputed: bool
    """Whether judges lie more than half the scale apart."""
    is_enough: bool
    """Whether it has the least that the rubric asks of it."""


class JudgeReport(Struct, frozen=True, kw_only=True):
    """What judges say of an answer."""

    passed: bool
    """Never where too few judges gave an opinion."""
    score: float | None
    """The weighted mean over the criteria, 0 to 1; `None` where too few judges gave an opinion."""
    criteria: tuple[CriterionScore, ...]
    judges: tuple[Opinion, ...]
    why: str


class _Terms(Struct, frozen=True, kw_only=True):
    """What a run goes by, as it was when it began."""

    rubric: Rubric
    quorum: float


def judge(
    name: str,
    judges: Sequence[AnyAgent],
    rubric: Rubric,
    *,
    quorum: float = 0.5,
    timeout_s: float = TIMEOUT_S,
    description: str = "",
    limits: Limits = Limits(),
) -> AnyAgent:
    """Build an agent that has others judge an answer by a rubric; what it answers is a `JudgeReport`.

    Its task is what `write_case` writes. Judges do not see whose the answer is, nor each other's scores. Each gives for
    every criterion a reason, quotations and a score; scores off the scale and quotations that are not in the answer are
    sent back. One who never gives what holds is absent, and too few judges are no pass. What is known of how models
    judge (Zheng et al., NeurIPS 2023, arXiv:2306.05685) is met so: reasons before scores, criteria in another order for
    each judge, a reference where there is one, and words on length.

    Args:
        name: Its name.
        judges: Who judges: best of different models, and not the one whose answers are judged.
        rubric: By what; a run keeps the one that it began with.
        quorum: Which share of the judges must give an opinion, 0 to 1; one at least must.
        timeout_s: After how many seconds a judge is cut, each time it is asked.
        description: What it is for.
        limits: The bounds of each of its runs.

    Raises:
        InvalidInput: There are no judges, or the rubric does not hold; all its faults are told.
    """
    check_panel(name, judges, what="judges", most=MAX_JUDGES)
    check_rubric(rubric)
    check_share(name, "quorum", quorum)
    check_timeout(name, timeout_s)

    async def work(procedure: Work, task: str) -> str:
        terms = msgspec.json.decode(procedure.definition, type=_Terms)
        case = read_case(name, task, Case, example=EXAMPLE)
        for what, text in (
            ("The question", case.question),
            ("The answer", case.answer),
            ("The reference", case.reference),
        ):
            check_exhibit(what, text)
        jobs = [
            _ask_judge(procedure, place, one.name, terms.rubric, case, timeout_s=timeout_s)
            for place, one in enumerate(judges, 1)
        ]
        return write_json(sum_up(terms.rubric, await side_by_side(jobs), quorum=terms.quorum))

    return build_agent(
        name,
        work,
        tools=judges,
        definition=write_json(_Terms(rubric=rubric, quorum=quorum)),
        output_type=JudgeReport,
        description=description or f"Judges an answer by a rubric. The task is JSON: {EXAMPLE}",
        limits=limits,
    )


def write_case(question: str, answer: str, *, reference: str = "") -> str:
    """Write what is to be judged as the task of a judge.

    Args:
        question: What was asked.
        answer: What is judged.
        reference: A right answer to compare with, where there is one.
    """
    texts = {"question": question, "answer": answer, "reference": reference}
    return write_json(Case(**{field: mend_text(text) for field, text in texts.items()}))


def check_marks(rubric: Rubric, case: Case, found: Marks) -> None:
    """Check what a judge gave.

    Raises:
        InvalidInput: It does not hold; all faults are told, in words that have nothing of the answer in them.
    """
    faults = [f"`{one.name}` is missing" for one in rubric.criteria if one.name not in found.marks]
    if strays := len(found.marks.keys() - {one.name for one in rubric.criteria}):
        faults.append(f"{strays} of the names are no criteria")
    for one in rubric.criteria:
        mark = found.marks.get(one.name)
        faults += _find_mark_faults(one, case.answer, mark) if mark is not None else ()
    if faults:
        raise InvalidInput("; ".join(faults), faults=tuple(faults))


def sum_up(rubric: Rubric, opinions: Sequence[Opinion], *, quorum: float) -> JudgeReport:
    """Make one report of what judges said; it says the same whatever their order.

    Args:
        rubric: What they judged by.
        opinions: What they said; each that is not absent has all criteria.
        quorum: Which share of them must have said something.
    """
    given = [one for one in opinions if one.marks]
    needed = max(1, count_share(quorum, len(opinions)))
    if len(given) < needed:
        why = f"{len(given)} of {len(opinions)} judges gave an opinion, and {needed} are needed"
        return JudgeReport(passed=False, score=None, criteria=(), judges=tuple(opinions), why=why)
    criteria = tuple(_score(one, [opinion.marks[one.name].score for opinion in given]) for one in rubric.criteria)
    weights = [one.weight for one in rubric.criteria]
    total = math.fsum(weight * one.share for weight, one in zip(weights, criteria, strict=True)) / math.fsum(weights)
    score = round(total, 9)  # a score that is just enough is not lost to how it was added up
    short = [one.name for one in criteria if not one.is_enough]
    disputed = [f"`{one.name}` ({one.lowest} to {one.highest})" for one in criteria if one.is_disputed]
    why = f"{score:.3g} of 1, {rubric.passing:g} passes, by {len(given)} of {len(opinions)} judges"
    why += f"; too little for {', '.join(f'`{one}`' for one in short)}" if short else ""
    why += f"; judges disagree on {', '.join(disputed)}" if disputed else ""
    passed = score >= rubric.passing and not short
    return JudgeReport(passed=passed, score=score, criteria=criteria, judges=tuple(opinions), why=why)


def build_question(rubric: Rubric, case: Case, *, place: int = 1) -> str:
    """Build what a judge is asked.

    Args:
        rubric: What to judge by.
        case: What is judged.
        place: The judge's number. Each sees the criteria in another order, and is told its number, so that no cache and
            no sharing of equal calls makes one opinion of several.
    """
    turn, beside = (place - 1) % len(rubric.criteria), write_json(case)
    criteria = (*rubric.criteria[turn:], *rubric.criteria[:turn])
    form = ", ".join(
        f'"{one.name}": {{"reason": "...", "evidence": ["..."], "score": {one.scale[0]} to {one.scale[1]}}}'
        for one in criteria
    )
    parts = [
        f"You are judge {place}. You judge an answer to a question, each criterion by itself.",
        NOTICE,
        "An answer is not better because it is longer, nor because it sounds sure. Judge what it says.",
        rubric.guidance,
        "The criteria:\n" + "\n".join(_show(one) for one in criteria),
        HOW,
        f'Answer with JSON alone: {{"marks": {{{form}}}}}',
        "The question:\n" + fence("question", case.question, beside=beside),
        "A right answer, to compare with:\n" + fence("reference", case.reference, beside=beside)
        if case.reference
        else "",
        "The answer that you judge:\n" + fence("answer", case.answer, beside=beside),
    ]
    return "\n\n".join(part for part in parts if part)


async def _ask_judge(
    procedure: Work, place: int, name: str, rubric: Rubric, case: Case, *, timeout_s: float
) -> Opinion:
    asked = build_question(rubric, case, place=place)

    def check(found: Marks) -> None:
        check_marks(rubric, case, found)

    found = await ask_member(procedure, f"judge-{place}", name, asked, Marks, check=check, timeout_s=timeout_s)
    if isinstance(found, Absent):
        return Opinion(judge=name, absent=found.reason)
    return Opinion(judge=name, marks=found.marks)


def _score(criterion: Criterion, scores: Sequence[int]) -> CriterionScore:
    worst, best = criterion.scale
    middle = float(median(scores))
    return CriterionScore(
        name=criterion.name,
        score=middle,
        share=(middle - worst) / (best - worst),
        lowest=min(scores),
        highest=max(scores),
        is_disputed=2 * (max(scores) - min(scores)) > best - worst,
        is_enough=criterion.least is None or middle >= criterion.least,
    )


def _show(one: Criterion) -> str:
    worst, best = one.scale
    levels = "".join(f"\n  {score}: {level}" for score, level in enumerate(one.levels, worst))
    return f"- {one.name} ({worst} is the worst, {best} the best): {one.question}{levels}"


def _find_mark_faults(one: Criterion, answer: str, mark: Mark) -> Iterator[str]:
    worst, best = one.scale
    if not worst <= mark.score <= best:
        yield f"the score of `{one.name}` is {mark.score}: give {worst} to {best}"
    if not mark.reason.strip() or len(mark.reason) > MAX_REASON:
        yield f"the reason of `{one.name}` has {len(mark.reason)} characters: give 1 to {MAX_REASON}"
    if len(mark.evidence) > MAX_QUOTES or any(len(quote) > MAX_QUOTE for quote in mark.evidence):
        yield f"the evidence of `{one.name}` is too long: give {MAX_QUOTES} quotations, of {MAX_QUOTE} characters each"
        return
    if mark.score > worst and not mark.evidence:
        yield f"`{one.name}` has no evidence: quote what in the answer you go by"
    for place, quote in enumerate(mark.evidence, 1):
        if not is_quoted(quote, answer):
            yield f"evidence {place} of `{one.name}` is not in the answer: quote it to the letter"
