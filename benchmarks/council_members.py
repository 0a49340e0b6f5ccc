"""Who are the simulated members of a council, and what do they take for right?

Each task has one right option, the first. A member who is right with probability p sees each option's worth with
noise: by default so that its rankings are Plackett and Luce's (R. D. Luce, "Individual Choice Behavior", 1959;
R. L. Plackett, "The Analysis of Permutations", Applied Statistics 24, 1975), where the right option is first with
probability p exactly, and the wrong ones share the rest as 1 : 1/2 : 1/3 …, so that mistakes gather on a tempting
one. With `mallows`, rankings are Mallows' (C. L. Mallows, "Non-Null Ranking Models", Biometrika 44, 1957), drawn by
repeated insertion, with the same p.

Members of one group (a model, a provider) err together: with probability `correlation` a member sees its group's noise
instead of its own, so that what each is right about stays the same and what all are wrong about does not (P. J. Boland,
"Majority Systems and the Condorcet Jury Theorem", The Statistician 38, 1989).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

MIN_SKILL, MAX_SKILL = 0.02, 0.98


@dataclass(frozen=True)
class Setting:
    """What a council is like, and what it is asked."""

    members: int = 7
    options: int = 4
    skill: float = 0.6
    """With which probability a member is right, on average over members and topics."""
    spread: float = 0.15
    """The standard deviation of it."""
    correlation: float = 0.0
    groups: int = 1
    hostile: float = 0.0
    """Which share of the members is hostile, rounded down: they know what is right, and push one wrong option."""
    sleepers: bool = False
    """Whether hostile members behaved as others did while trust was earned."""
    abstain: float = 0.0
    """Which share of ballots is an abstention."""
    unsure: bool = False
    """Whether those abstain who are least sure, and not anybody."""
    history: int = 30
    """How many tasks of the topic members were seen at before, which weights are learned from."""
    noise: str = "plackett-luce"


@dataclass(frozen=True)
class Member:
    """One who votes."""

    skill: float
    """With which probability it is right, on the topic that is asked about."""
    learned: float
    """What that probability is taken for, after its history."""
    group: int
    hostile: bool


def draw_team(setting: Setting, chance: random.Random) -> list[Member]:
    """Draw who is asked; each topic has skills of its own, so that a team is drawn for each task."""
    variance = max(setting.spread**2, 1e-9)
    scale = setting.skill * (1 - setting.skill) / variance - 1
    hostile = int(setting.members * setting.hostile + 1e-9)
    team: list[Member] = []
    for place in range(setting.members):
        skill = chance.betavariate(setting.skill * scale, (1 - setting.skill) * scale)
        skill = min(max(skill, MIN_SKILL), MAX_SKILL)
        is_hostile = place < hostile
        shown = 0.0 if is_hostile and not setting.sleepers else skill
        hits = sum(chance.random() < shown for _ in range(setting.history))
        learned = (hits + 1) / (setting.history + 2)
        team.append(Member(skill=skill, learned=learned, group=place % setting.groups, hostile=is_hostile))
    return team


def draw_views(setting: Setting, team: Sequence[Member], chance: random.Random) -> list[list[float]]:
    """Draw what each member takes each option for: the higher, the better; the first option is the right one."""
    groups = [_draw_noise(setting, chance) for _ in range(setting.groups)]
    views: list[list[float]] = []
    for member in team:
        noise = groups[member.group] if chance.random() < setting.correlation else _draw_noise(setting, chance)
        if member.hostile:
            views.append([-9.0, 9.0, *([-3.0] * (setting.options - 2))])
        elif setting.noise == "mallows":
            views.append(_insert(noise, find_dispersion(round(member.skill, 3), setting.options)))
        else:
            views.append(
                [value + drawn for value, drawn in zip(_weigh(member.skill, setting.options), noise, strict=True)]
            )
    return views


def weigh_skill(skill: float, options: int) -> float:
    """Weigh a member by what it knows: the log of the odds that it is right rather than at one of the wrong options.

    S. Nitzan and J. Paroush, "Optimal Decision Rules in Uncertain Dichotomous Choice Situations", International
    Economic Review 23 (1982), for two options; nobody weighs less than nothing.
    """
    bounded = min(max(skill, MIN_SKILL), MAX_SKILL)
    return max(0.0, math.log(bounded * (options - 1) / (1 - bounded)))


def _draw_noise(setting: Setting, chance: random.Random) -> list[float]:
    if setting.noise == "mallows":
        return [chance.random() for _ in range(setting.options)]
    return [-math.log(-math.log(chance.random() or 1e-300)) for _ in range(setting.options)]


@cache
def _spread_wrong(options: int) -> tuple[float, ...]:
    shares = [1 / place for place in range(1, options)]
    return tuple(share / sum(shares) for share in shares)


def _weigh(skill: float, options: int) -> list[float]:
    return [math.log(skill), *(math.log((1 - skill) * share) for share in _spread_wrong(options))]


def _insert(draws: Sequence[float], dispersion: float) -> list[float]:
    """Draw a ranking by repeated insertion into the order right, tempting …, and write places as worths."""
    order: list[int] = []
    for option, drawn in enumerate(draws):
        # Place `option` at the end with weight 1, one before it with `dispersion`, and so on.
        weights = [dispersion**back for back in range(option + 1)]
        left, back = drawn * sum(weights), 0
        while back < option and left > weights[back]:
            left -= weights[back]
            back += 1
        order.insert(option - back, option)
    views = [0.0] * len(draws)
    for place, option in enumerate(order):
        views[option] = float(len(draws) - place)
    return views


@cache
def find_dispersion(skill: float, options: int) -> float:
    """Find Mallows' dispersion with which the right option is first with a probability, by halving."""
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        first = 1 / sum(middle**place for place in range(options))
        low, high = (middle, high) if first > skill else (low, middle)
    return (low + high) / 2
