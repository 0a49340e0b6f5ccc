"""How good are decisions: do voters agree, are they right, do they know it, and what did being wrong cost?"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist

from msgspec import Struct

from quorate.council.ballot import Vote
from quorate.council.evidence import Judged, check_truth
from quorate.council.tally import list_favourites
from quorate.errors import InvalidInput

BINS = 10
"""Into how many equal parts stated confidence is divided to compare it with what came true."""
CONFIDENCE = 0.95
"""How sure intervals are."""

Forecast = tuple[float, bool]
"""How sure somebody was to be right, 0 to 1, and whether they were."""


class Interval(Struct, frozen=True, kw_only=True):
    """A share that was seen, and between what the true one lies."""

    share: float
    low: float
    high: float
    number: int
    """Of how many."""


class Known(Struct, frozen=True, kw_only=True):
    """A decision of which it is known what would have been right."""

    decision: Judged
    truth: str
    utilities: dict[str, float] = {}
    """What each option would have been worth, where that is known."""


class DecisionFigures(Struct, frozen=True, kw_only=True):
    """How good one decision was."""

    agreement: float | None
    """The share of the weight that was for what won; nothing where nothing won."""
    is_right: bool | None = None
    """Whether what won was true; nothing while that is not known. No decision is not a right one."""
    brier: float | None = None
    """How far stated confidence was off, 0 to 1; nothing where nobody stated any."""
    regret: float | None = None
    """How much more the best option would have been worth."""
    regret_share: float | None = None
    """The same as a share of what lies between the best and the worst."""


class QualityReport(Struct, frozen=True, kw_only=True):
    """How good several decisions were."""

    decisions: int
    council: Interval | None
    """How often what won was right; no decision is a wrong one."""
    members: dict[str, Interval]
    """How often each was right of those times that it was for one option."""
    best_member: str
    """Who was right most often of those who voted in every decision; empty when nobody did."""
    agreement: float | None
    alpha: float | None
    """Agreement beyond chance, over all decisions: see `find_alpha`."""
    brier: float | None
    calibration_error: float | None
    regret: float | None


def measure_agreement(votes: Iterable[Vote], winner: str | None) -> float | None:
    """Return the share of the weight that was most of all for what won, of all that was for something.

    A ballot that is for several options alike counts for each of them with its part.
    """
    if winner is None:
        return None
    total = agreed = 0.0
    for vote in votes:
        preferred = list_favourites(vote.ballot)
        if preferred:
            total += vote.weight
            agreed += vote.weight / len(preferred) if winner in preferred else 0
    return agreed / total if total else None


def find_kappa(table: Sequence[Sequence[int]]) -> float | None:
    """Return Fleiss' kappa: agreement beyond chance of a fixed number of voters.

    Fleiss, "Measuring Nominal Scale Agreement among Many Raters", Psychological Bulletin 76 (1971). 1 is agreement in
    everything, 0 is what chance gives. It is not defined, `None`, where all voted for the same in all decisions, and
    where nobody voted.

    Args:
        table: A row for each decision: how many voted for each option.

    Raises:
        InvalidInput: The rows are not of one length, or not of one sum of two or more.
    """
    if not table:
        return None
    voters, width = sum(table[0]), len(table[0])
    if voters < 2 or any(sum(row) != voters or len(row) != width or min(row) < 0 for row in table):
        raise InvalidInput("Fleiss' kappa needs the same two or more voters and the same options in each decision.")
    observed = math.fsum((sum(n * n for n in row) - voters) / (voters * (voters - 1)) for row in table) / len(table)
    shares = [sum(row[place] for row in table) / (len(table) * voters) for place in range(width)]
    expected = math.fsum(share * share for share in shares)
    return None if expected >= 1 else (observed - expected) / (1 - expected)


def find_alpha(decisions: Iterable[Sequence[str]]) -> float | None:
    """Return Krippendorff's alpha for names: agreement beyond chance, however many voted in each decision.

    Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), for nominal data. It is not defined, `None`,
    where there is nothing to compare: fewer than two votes in each decision, or the same one everywhere.

    Args:
        decisions: What was voted for in each; absent and abstaining voters left out.
    """
    total: Counter[str] = Counter()
    pairs = observed = 0.0
    for voted in decisions:
        number = len(voted)
        if number < 2:
            continue
        counted = Counter(voted)
        total.update(counted)
        pairs += number
        observed += math.fsum(n * (number - n) for n in counted.values()) / (number - 1)
    if pairs < 2:
        return None
    expected = math.fsum(n * (pairs - n) for n in total.values()) / (pairs - 1)
    return None if expected == 0 else 1 - observed / expected


def find_brier(forecasts: Iterable[Forecast]) -> float | None:
    """Return the mean squared distance of stated confidence from what came true: 0 is best; `None` without any.

    Brier, "Verification of Forecasts Expressed in Terms of Probability", Monthly Weather Review 78 (1950), for the one
    event that the voter is right.
    """
    squares = [(sure - right) ** 2 for sure, right in _check_forecasts(forecasts)]
    return math.fsum(squares) / len(squares) if squares else None


def find_calibration_error(forecasts: Iterable[Forecast], *, bins: int = BINS) -> float | None:
    """Return how far confidence is off on average from how often it is right: 0 is best; `None` without any.

    The expected calibration error of Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using
    Bayesian Binning" (AAAI 2015): forecasts are gathered in bins by their confidence, and each bin's mean confidence is
    compared with how often it was right.
    """
    if bins < 1:
        raise InvalidInput(f"Confidence cannot be divided into {bins!r} bins: give one or more.")
    gathered = defaultdict[int, list[Forecast]](list)
    for sure, right in _check_forecasts(forecasts):
        gathered[min(bins - 1, int(sure * bins))].append((sure, right))
    number = sum(map(len, gathered.values()))
    if not number:
        return None
    return math.fsum(abs(math.fsum(sure - right for sure, right in one)) for one in gathered.values()) / number


def find_regret(utilities: Mapping[str, float], chosen: str | None) -> tuple[float, float]:
    """Return how much more the best option is worth than the chosen one, and that as a share of what was at stake.

    No decision is worth as much as the worst option: something always happens.

    Raises:
        InvalidInput: Nothing is known of what was chosen, or a worth is no number.
    """
    if not utilities or not all(map(math.isfinite, utilities.values())) or (chosen and chosen not in utilities):
        raise InvalidInput(f"Regret needs a finite worth of each option, {chosen!r:.200} among them.")
    best, worst = max(utilities.values()), min(utilities.values())
    lost = best - (utilities[chosen] if chosen else worst)
    return lost, lost / (best - worst) if best > worst else 0.0


def find_interval(right: float, number: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Return a share with Wilson's interval, which holds for few and for extreme shares, too.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal of the American Statistical
    Association 22 (1927).

    Raises:
        InvalidInput: It is no share of anything.
    """
    if number < 1 or not 0 <= right <= number or not 0 < confidence < 1:
        raise InvalidInput(f"{right!r} of {number!r} with {confidence!r} is no share: give 0 to all of one or more.")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, square = right / number, z * z
    middle = (share + square / (2 * number)) / (1 + square / number)
    half = z / (1 + square / number) * math.sqrt(share * (1 - share) / number + square / (4 * number * number))
    # At the ends the interval touches them exactly, which rounding would miss.
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Interval(
        share=share, low=0.0 if right == 0 else low, high=1.0 if right == number else high, number=number
    )  # fmt: skip


def measure_decision(
    decision: Judged, *, truth: str | None = None, utilities: Mapping[str, float] | None = None
) -> DecisionFigures:
    """Say how good a decision was, as far as it is known by now.

    Raises:
        UnknownName: The truth is none of its options.
        InvalidInput: What options were worth does not hold together.
    """
    agreement = measure_agreement(decision.votes, decision.winner)
    if truth is None:
        return DecisionFigures(agreement=agreement)
    check_truth(decision, truth)
    lost, share = find_regret(utilities, decision.winner) if utilities else (None, None)
    return DecisionFigures(
        agreement=agreement,
        is_right=decision.winner == truth,
        brier=find_brier(list_forecasts(decision, truth)),
        regret=lost,
        regret_share=share,
    )


def list_forecasts(decision: Judged, truth: str) -> list[Forecast]:
    """List how sure those were who said so and were for one option, and whether they were right."""
    found: list[Forecast] = []
    for vote in decision.votes:
        preferred = list_favourites(vote.ballot)
        if len(preferred) == 1 and vote.ballot.confidence is not None:
            found.append((vote.ballot.confidence, truth in preferred))
    return found


def list_measures(figures: DecisionFigures) -> list[tuple[str, float]]:
    """List what became known with a decision's truth, each from 0, bad, to 1, good, for who counts it."""
    found: list[tuple[str, float]] = []
    if figures.is_right is not None:
        found.append(("accuracy", float(figures.is_right)))
    if figures.brier is not None:
        found.append(("calibration", 1 - figures.brier))
    if figures.regret_share is not None:
        found.append(("value", 1 - figures.regret_share))
    return found


def measure_quality(known: Sequence[Known]) -> QualityReport:
    """Say how good decisions were of which the truth is known; each figure is `None` where nothing tells it."""
    right, number = Counter[str](), Counter[str]()
    forecasts, voted = list[Forecast](), list[list[str]]()
    agreements, regrets, won = list[float](), list[float](), 0
    for one in known:
        figures = measure_decision(one.decision, truth=one.truth, utilities=one.utilities)
        won += figures.is_right is True
        agreements += [] if figures.agreement is None else [figures.agreement]
        regrets += [] if figures.regret is None else [figures.regret]
        forecasts += list_forecasts(one.decision, one.truth)
        choices: list[str] = []
        for vote in one.decision.votes:
            preferred = list_favourites(vote.ballot)
            if len(preferred) == 1:
                number[vote.voter] += 1
                right[vote.voter] += one.truth in preferred
                choices += preferred
        voted.append(choices)
    members = {name: find_interval(right[name], number[name]) for name in sorted(number)}
    always = [name for name in members if number[name] == len(known)]
    return QualityReport(
        decisions=len(known),
        council=find_interval(won, len(known)) if known else None,
        members=members,
        best_member=max(always, key=lambda name: members[name].share, default=""),
        agreement=_find_mean(agreements),
        alpha=find_alpha(voted),
        brier=find_brier(forecasts),
        calibration_error=find_calibration_error(forecasts),
        regret=_find_mean(regrets),
    )


def _check_forecasts(forecasts: Iterable[Forecast]) -> Iterable[Forecast]:
    for sure, right in forecasts:
        if not 0 <= sure <= 1:
            raise InvalidInput(f"A confidence of {sure!r} is none: give 0 to 1.")
        yield sure, right


def _find_mean(numbers: Sequence[float]) -> float | None:
    return math.fsum(numbers) / len(numbers) if numbers else None
