"""Which of several answers is best, when judges see two at a time, in both orders, and not whose they are?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import get_args

from msgspec import Struct

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.build import build_agent
from quorate.agent.procedure.together import side_by_side
from quorate.agent.procedure.work import Work
from quorate.council.exhibits import NOTICE, check_exhibit, fence, normalize_text
from quorate.council.pairs import PairResult, count_rounds, pair_swiss
from quorate.council.panel import (
    MAX_TOLD,
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
from quorate.council.standings import (
    CompareReport,
    Contest,
    OnTie,
    Preference,
    count_preferences,
    sum_up,
    tell_too_few,
)
from quorate.errors import InvalidInput, UnknownName, mend_text
from quorate.specs import Limits

MAX_ANSWERS, MAX_PAIRS, MAX_JUDGES = 50, 1_225, 25
MAX_ASKED = 50_000_000
"""How many characters all judges are shown in all their questions; the record has each of them."""
MAX_REASON, MAX_WORDS = 2_000, 4_000
"""How many characters a judge's reason and the guidance may have."""
MAX_NAME = 200
GUIDANCE = "Which answers the question better: first what is right, then what is whole, then what is clear."
EXAMPLE = '{"question": "...", "answers": {"a": "...", "b": "..."}}'
"""What the task of a comparison without members looks like."""


class _Rules(Struct, frozen=True, kw_only=True):
    judges: tuple[str, ...]
    guidance: str
    max_pairs: int
    quorum: float
    tie: OnTie
    timeout_s: float


def compare(
    name: str,
    judges: Sequence[AnyAgent],
    *,
    members: Sequence[AnyAgent] = (),
    guidance: str = GUIDANCE,
    max_pairs: int = 66,
    quorum: float = 0.5,
    tie: OnTie = "refuse",
    timeout_s: float = TIMEOUT_S,
    description: str = "",
    limits: Limits = Limits(),
) -> AnyAgent:
    """Build an agent that has judges compare answers two by two; what it answers is a `CompareReport`.

    Its task is a question that the members answer first or, without members, what `write_contest` writes. A judge sees
    each pair twice, the second time the other way round; a preference that turns with the order is a tie, since models
    like what stands first (Zheng et al., NeurIPS 2023, arXiv:2306.05685). Nobody judges what it wrote itself. Who beats
    most others wins (Copeland); where there are more pairs than `max_pairs`, they are paired in Swiss rounds, and the
    strongest by the Bradley-Terry model wins.

    Args:
        name: Its name.
        judges: Who compares.
        members: Who answers the task first, if the answers are not in it.
        guidance: What makes an answer better.
        max_pairs: How many pairs are compared at most; each is two questions to each judge.
        quorum: Which share of the judges must have compared a pair, 0 to 1; one at least must.
        tie: What becomes of several who beat equally many.
        timeout_s: After how many seconds a member or judge is cut, each time it is asked.
        description: What it is for.
        limits: The bounds of each of its runs.

    Raises:
        InvalidInput: There are no judges, or a number is out of bounds.
        UnknownName: There is no such rule for a tie.
    """
    check_panel(name, judges, what="judges", most=MAX_JUDGES)
    check_panel(name, members, what="members", least=2 if members else 0, most=MAX_ANSWERS)
    check_share(name, "quorum", quorum)
    check_timeout(name, timeout_s)
    if tie not in get_args(OnTie):
        raise UnknownName("rule for a tie", tie, get_args(OnTie))
    if len(guidance) > MAX_WORDS:
        raise InvalidInput(f"{name!r} has `guidance` of {len(guidance)} characters: give {MAX_WORDS} at most.")
    if not 1 <= max_pairs <= MAX_PAIRS:
        raise InvalidInput(f"{name!r} has `max_pairs` {max_pairs!r}: give 1 to {MAX_PAIRS}.")
    everyone = {one.name: one for one in (*members, *judges)}
    if any(everyone[one.name] is not one for one in members):
        raise InvalidInput(f"{name!r} has a member and a judge of one name that are not the same agent: rename one.")
    rules = _Rules(
        judges=tuple(one.name for one in judges),
        guidance=guidance,
        max_pairs=max_pairs,
        quorum=quorum,
        tie=tie,
        timeout_s=timeout_s,
    )
    if members:
        _plan_rounds(name, len(members), rules, limits)

    async def work(procedure: Work, task: str) -> str:
        if members:
            contest, missing = await _collect(procedure, task, [one.name for one in members], timeout_s)
        else:
            contest, missing = read_case(name, task, Contest, example=EXAMPLE), dict[str, str]()
            _check_contest(name, contest)
        if len(contest.answers) < 2:
            return write_json(tell_too_few(contest, missing))
        rounds = _plan_rounds(name, len(contest.answers), rules, procedure.info.limits)
        _check_size(name, contest, rules, rounds)
        results = await _compare_all(procedure, contest, rules, rounds)
        return write_json(sum_up(contest, results, missing=missing, is_swiss=rounds > 0, tie=tie))

    how = "a question" if members else f"JSON: {EXAMPLE}"
    return build_agent(
        name,
        work,
        tools=[*everyone.values()],
        output_type=CompareReport,
        description=description or f"Finds the best of several answers, two by two. The task is {how}",
        limits=limits,
    )


def write_contest(question: str, answers: dict[str, str]) -> str:
    """Write what is to be compared as the task of a comparison.

    Args:
        question: What was asked.
        answers: The answers, by the names they are to have in the report.
    """
    texts = {mend_text(name): mend_text(text) for name, text in answers.items()}
    return write_json(Contest(question=mend_text(question), answers=texts))


def build_question(contest: Contest, first: str, second: str, *, guidance: str, place: int = 1) -> str:
    """Build what a judge is asked of two answers.

    Args:
        contest: What is compared.
        first: Whose answer stands first.
        second: Whose stands second.
        guidance: What makes an answer better.
        place: The judge's number, so that no sharing of equal calls makes one opinion of several.
    """
    one, other = contest.answers[first], contest.answers[second]
    beside = f"{contest.question}\0{one}\0{other}"
    return "\n\n".join(
        (
            f"You are judge {place}. You compare two answers to a question.",
            NOTICE,
            "An answer is not better because it is longer, stands first, or sounds sure. Judge what it says.",
            guidance,
            'Answer with JSON alone, the reason first: {"reason": "...", "better": "first" or "second" or "tie"}',
            "The question:\n" + fence("question", contest.question, beside=beside),
            "The first answer:\n" + fence("first", one, beside=beside),
            "The second answer:\n" + fence("second", other, beside=beside),
        )
    )


async def _collect(
    procedure: Work, task: str, members: Sequence[str], timeout_s: float
) -> tuple[Contest, dict[str, str]]:
    """Have members answer, none of whom sees another's answer."""
    jobs = [procedure.ask(f"answer-{place}", one, task, timeout_s=timeout_s) for place, one in enumerate(members, 1)]
    outcomes = await side_by_side(jobs)
    answers, missing = dict[str, str](), dict[str, str]()
    for name, one in zip(members, outcomes, strict=True):
        if not one.is_good:
            missing[name] = one.text[:MAX_TOLD]
        else:
            try:
                check_exhibit("The answer", one.text)
            except InvalidInput as error:
                missing[name] = error.message
            else:
                answers[name] = one.text
    return Contest(question=mend_text(task), answers=answers), missing


async def _compare_all(procedure: Work, contest: Contest, rules: _Rules, rounds: int) -> list[PairResult]:
    names = [*contest.answers]
    if not rounds:
        return await _compare_pairs(procedure, contest, list(itertools.combinations(names, 2)), rules)
    # Who stands where in the list must not matter: the first round goes by what the answers are.
    order = sorted(names, key=lambda one: blake2b(contest.answers[one].encode("utf-8", "replace")).digest())
    results: list[PairResult] = []
    for _ in range(rounds):
        results += await _compare_pairs(procedure, contest, pair_swiss(order, results), rules)
    return results


async def _compare_pairs(
    procedure: Work, contest: Contest, pairs: Sequence[tuple[str, str]], rules: _Rules
) -> list[PairResult]:
    """Compare pairs side by side, each by all judges who wrote neither answer."""
    alike = {pair for pair in pairs if _is_alike(contest, *pair)}
    places = {name: place for place, name in enumerate(contest.answers, 1)}
    asked = [
        (pair, place, f"pair-{places[pair[0]]}-{places[pair[1]]}-judge-{place}")
        for pair in pairs
        if pair not in alike
        for place, judge in enumerate(rules.judges, 1)
        if judge not in pair
    ]
    jobs = (  # built when it is their turn, since all of them together are long
        ask_member(
            procedure,
            f"{step}-{order}",
            rules.judges[place - 1],
            build_question(contest, *shown, guidance=rules.guidance, place=place),
            Preference,
            check=_check_preference,
            timeout_s=rules.timeout_s,
        )
        for pair, place, step in asked
        for order, shown in (("there", pair), ("back", pair[::-1]))
    )
    found = await side_by_side(jobs)
    views: dict[tuple[str, str], list[tuple[Preference | Absent, Preference | Absent]]] = {pair: [] for pair in pairs}
    for (pair, _, _), there, back in zip(asked, found[::2], found[1::2], strict=True):
        views[pair].append((there, back))
    return [
        PairResult(one=pair[0], other=pair[1], ties=1)
        if pair in alike
        else count_preferences(*pair, views[pair], needed=max(1, count_share(rules.quorum, len(views[pair]))))
        for pair in pairs
    ]


def _is_alike(contest: Contest, one: str, other: str) -> bool:
    """Whether two answers are the same, so that nobody need be asked."""
    return normalize_text(contest.answers[one]) == normalize_text(contest.answers[other])


def _check_preference(found: Preference) -> None:
    if not found.reason.strip() or len(found.reason) > MAX_REASON:
        raise InvalidInput(f"the reason has {len(found.reason)} characters: give 1 to {MAX_REASON}")


def _check_contest(name: str, contest: Contest) -> None:
    if not 2 <= len(contest.answers) <= MAX_ANSWERS:
        raise InvalidInput(f"{name!r} was given {len(contest.answers)} answers: give 2 to {MAX_ANSWERS}.")
    check_exhibit("The question", contest.question)
    for place, (owner, answer) in enumerate(contest.answers.items(), 1):
        check_exhibit(f"Answer {place}", answer)
        if not owner or len(owner) > MAX_NAME:
            raise InvalidInput(f"The name of answer {place} has {len(owner)} characters: give 1 to {MAX_NAME}.")


def _check_size(name: str, contest: Contest, rules: _Rules, rounds: int) -> None:
    """Check how much all judges read.

    Raises:
        InvalidInput: It is too much.
    """
    games, answers = rounds or len(contest.answers) - 1, sum(map(len, contest.answers.values()))
    pairs = games * len(contest.answers) / 2
    shown = round(2 * len(rules.judges) * (games * answers + pairs * len(contest.question)))
    if shown > MAX_ASKED:
        raise InvalidInput(
            f"{name!r} would show {shown} characters to its judges, and {MAX_ASKED} are allowed: shorten the answers, "
            "or lower `max_pairs`."
        )


def _plan_rounds(name: str, answers: int, rules: _Rules, limits: Limits) -> int:
    """Plan in how many Swiss rounds answers are compared; 0 where all pairs are.

    Raises:
        InvalidInput: There are too few pairs to tell, or more questions than the limits allow.
    """
    pairs, rounds = answers * (answers - 1) // 2, 0
    if pairs > rules.max_pairs:
        rounds = count_rounds(answers, rules.max_pairs)
        pairs = rounds * (answers // 2)
        if not rounds:
            least = answers // 2 * math.ceil(math.log2(answers))
            raise InvalidInput(f"{name!r} has {answers} answers: give `max_pairs` of {least} at least.")
    steps = pairs * 2 * len(rules.judges) + answers
    if steps > limits.tool_calls:
        raise InvalidInput(
            f"{name!r} asks {steps} questions, and its limits allow {limits.tool_calls} `tool_calls`: raise them, or "
            "lower `max_pairs`."
        )
    return rounds
