"""How often is a council right by each rule, and how often its best member alone?"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.council_members import Member, Setting, draw_team, draw_views, weigh_skill
from quorate.council.ballot import Ballot, Vote
from quorate.council.tally import tally
from quorate.council.terms import Seat, Terms

RULES = (
    "plurality",
    "majority",
    "supermajority",
    "unanimous",
    "approval",
    "score",
    "borda",
    "schulze",
    "ranked_pairs",
    "instant_runoff",
    "veto",
)
WEIGHED = {
    "plurality, known weights": ("plurality", "known"),
    "plurality, learned weights": ("plurality", "learned"),
    "weighted, learned weights": ("weighted", "learned"),
    "schulze, learned weights": ("schulze", "learned"),
}
"""Rules with weights, by what each member is known to be worth or by what its history shows."""
ALONE = ("best member", "most trusted member", "random member")
SIDES = (*ALONE, *RULES, *WEIGHED)
Z = 1.96


@dataclass
class Tried:
    """How one side did."""

    right: list[bool] = field(default_factory=list[bool])
    decided: int = 0

    @property
    def accuracy(self) -> float:
        return sum(self.right) / len(self.right)

    @property
    def when_decided(self) -> float:
        return sum(self.right) / self.decided if self.decided else math.nan


def find_wilson(hits: int, number: int) -> tuple[float, float]:
    """Find between which shares the true one is, with 95 % (E. B. Wilson, 1927)."""
    if not number:
        return 0.0, 1.0
    share, square = hits / number, Z * Z / number
    middle = (share + square / 2) / (1 + square)
    reach = Z / (1 + square) * math.sqrt(share * (1 - share) / number + square / (4 * number))
    return middle - reach, middle + reach


def find_lead(side: Tried, base: Tried) -> tuple[float, float, float]:
    """Find by how much a side is right more often than another at the same tasks, and its bounds with 95 %."""
    differences = [int(one) - int(other) for one, other in zip(side.right, base.right, strict=True)]
    number = len(differences)
    mean = sum(differences) / number
    variance = sum((one - mean) ** 2 for one in differences) / max(number - 1, 1)
    reach = Z * math.sqrt(variance / number)
    return mean, mean - reach, mean + reach


def run_trials(setting: Setting, *, tasks: int, seed: int, sides: Sequence[str] = SIDES) -> dict[str, Tried]:
    """Give a council tasks, and see who is right; each task has a team of its own.

    Args:
        setting: What the council is like.
        tasks: How many.
        seed: What chance goes by.
        sides: Who answers.
    """
    chance = random.Random(f"{seed} {setting}")
    options = tuple(f"option {place}" for place in range(setting.options))
    names = [f"member {place}" for place in range(setting.members)]
    tried = {side: Tried() for side in sides}
    for number in range(tasks):
        team = draw_team(setting, chance)
        views = draw_views(setting, team, chance)
        absent = _find_abstainers(setting, team, views, chance)
        stray = chance.randrange(setting.members)
        alone = {"best member": _find_best(team), "most trusted member": _find_trusted(team), "random member": stray}
        cast: dict[str, list[Vote]] = {}
        for side in sides:
            if side in alone:
                _note(tried[side], _find_first(views[alone[side]]) == 0, decided=True)
                continue
            rule, weights = WEIGHED.get(side, (side, ""))
            votes = cast.get(rule) or [
                Vote(voter=name, ballot=Ballot(abstains=True) if one in absent else write_ballot(rule, view, options))
                for one, (name, view) in enumerate(zip(names, views, strict=True))
            ]
            cast[rule] = votes
            roll = [
                Seat(voter=name, weight=_weigh(one, weights, setting)) for name, one in zip(names, team, strict=True)
            ]
            terms = Terms(
                question="Which?", options=options, roll=tuple(roll), rule=rule, quorum=0.0, tie="random", seed=number
            )
            verdict = tally(terms, votes)
            _note(tried[side], verdict.winner == options[0], decided=verdict.winner is not None)
    return tried


def write_ballot(rule: str, view: Sequence[float], options: Sequence[str]) -> Ballot:
    """Write honestly what a member takes options for, in the form of a rule.

    It chooses the best, approves of what is above its mean, scores from its worst, 0, to its best, 10, and vetoes
    what it takes to be right with a chance of less than 1 %.
    """
    order = sorted(range(len(view)), key=lambda place: -view[place])
    if rule in ("borda", "schulze", "ranked_pairs", "instant_runoff"):
        return Ballot(ranking=tuple(options[place] for place in order))
    if rule == "approval":
        mean = sum(view) / len(view)
        return Ballot(approved=tuple(options[place] for place in order if view[place] > mean))
    if rule == "score":
        low, high = min(view), max(view)
        return Ballot(
            scores={
                option: round(10 * (value - low) / (high - low), 1) for option, value in zip(options, view, strict=True)
            }
        )
    if rule == "veto":
        total = sum(math.exp(value - max(view)) for value in view)
        chances = [math.exp(value - max(view)) / total for value in view]
        return Ballot(
            choice=options[order[0]],
            vetoes=tuple(option for option, one in zip(options, chances, strict=True) if one < 0.01),
        )
    return Ballot(choice=options[order[0]])


def _note(tried: Tried, right: bool, *, decided: bool) -> None:
    tried.right.append(right)
    tried.decided += decided


def _find_first(view: Sequence[float]) -> int:
    return max(range(len(view)), key=lambda place: view[place])


def _find_best(team: Sequence[Member]) -> int:
    """The one that knows the topic best, of those that are honest: nobody can know who that is."""
    return max(range(len(team)), key=lambda place: -1 if team[place].hostile else team[place].skill)


def _find_trusted(team: Sequence[Member]) -> int:
    """The one that its history speaks for, hostile or not."""
    return max(range(len(team)), key=lambda place: team[place].learned)


def _weigh(member: Member, weights: str, setting: Setting) -> float:
    if weights == "known":
        return 0.0 if member.hostile else weigh_skill(member.skill, setting.options)
    return weigh_skill(member.learned, setting.options) if weights == "learned" else 1.0


def _find_abstainers(
    setting: Setting, team: Sequence[Member], views: Sequence[Sequence[float]], chance: random.Random
) -> set[int]:
    """Choose who abstains: by chance, or those who see the least lead; hostile members never do."""
    honest = [place for place, member in enumerate(team) if not member.hostile]
    if not setting.unsure:
        return {place for place in honest if chance.random() < setting.abstain}
    leads = {place: sorted(views[place])[-1] - sorted(views[place])[-2] for place in honest}
    wanted = setting.abstain * len(honest)
    number = int(wanted) + (chance.random() < wanted % 1)
    return {*sorted(honest, key=lambda place: leads[place])[:number]}
