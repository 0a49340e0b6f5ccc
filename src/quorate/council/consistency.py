"""What does one agent answer when it is asked the same several times, and does it agree with itself?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, cast, get_args

import msgspec
from msgspec import Struct, structs

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.build import build_agent
from quorate.agent.procedure.outcome import Outcome
from quorate.agent.procedure.together import side_by_side
from quorate.agent.procedure.work import Work
from quorate.council.panel import MAX_TOLD, TIMEOUT_S, check_share, check_timeout, count_share, write_json
from quorate.council.sameness import Read, Sameness, Standing, rank_keys, rank_numbers, read_json, read_key
from quorate.errors import InvalidInput, UnknownName, describe_error, mend_text
from quorate.specs import Limits

MAX_SAMPLES = 100
MAX_KEPT = 2_000
"""How many characters of each sample are kept in the report."""
OnTie = Literal["refuse", "first"]
"""No answer; or the one that was first to be given so often."""
Key = str | float | None
"""Equal for samples that say the same; `None` for one that does not count."""


class Sampling(Struct, frozen=True, kw_only=True):
    """How often an agent is asked, and when it has answered."""

    samples: int = 5
    """How often, at most."""
    same: Sameness | Read = "text"
    """When two answers are the same, or what makes a key of an answer; that must do so alike each time."""
    field: str = ""
    """The field of the answer to go by, where it is an object; the rest, such as its reasoning, may differ."""
    tolerance: float = 0.0
    """How far numbers that are the same may lie apart."""
    quorum: float = 0.5
    """Which share of `samples` must give something that counts."""
    least: float = 0.0
    """Which share of `samples` must say the same; 0 takes the answer that most give."""
    tie: OnTie = "refuse"
    stop_early: bool = True
    """Whether to ask only as often as it takes until the lead cannot be caught."""
    confidence: float | None = None
    """Stop also when the lead is the right one with this probability, 0.5 to 1.

    That is adaptive consistency (Aggarwal et al., EMNLP 2023, arXiv:2305.11860), by its Beta rule: it asks less often,
    and may end otherwise than all samples would.
    """


FIVE = Sampling()
"""Five samples, and the answer that most of them give."""


class Sample(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one of several tries gave."""

    number: int
    status: Literal["agrees", "differs", "unreadable", "absent"]
    """Only the first two count: what is unreadable is no answer of the kind that was declared."""
    text: str = ""
    reason: str = ""
    """Why it does not count."""


class ConsistencyReport(Struct, frozen=True, kw_only=True):
    """What an agent answers when it is asked several times."""

    is_decided: bool
    answer: object
    """What most samples say; `None` where nothing is decided."""
    agreement: float
    """The share of the samples that count which say it, 0 to 1: a low one is doubt, also where it is decided."""
    samples: tuple[Sample, ...]
    planned: int
    """How many there were to be at most."""
    stopped_early: bool
    """Whether the rest could not change it, so that nothing was spent on them."""
    why: str


class ReadSample(Struct, frozen=True, kw_only=True):
    """One try, read."""

    sample: Sample
    output: object = None
    key: Key = None


def consistent(
    name: str,
    agent: AnyAgent,
    *,
    sampling: Sampling = FIVE,
    timeout_s: float = TIMEOUT_S,
    description: str = "",
    limits: Limits = Limits(),
) -> AnyAgent:
    """Build an agent that asks another one the same several times, and answers what it says most often.

    The idea is self-consistency (Wang et al., ICLR 2023, arXiv:2203.11171). What it answers is a `ConsistencyReport`.
    Each try is told its number, so that no cache and no sharing of equal calls makes one answer of several. The agent's
    tools are called in each of them.

    Args:
        name: Its name.
        agent: Who is asked.
        sampling: How often, what counts as the same, and what is enough.
        timeout_s: After how many seconds a try is cut, and absent.
        description: What it is for.
        limits: The bounds of each of its runs.

    Raises:
        InvalidInput: A number is out of bounds.
        UnknownName: There is no such sameness, or no such rule for a tie.
    """
    _check_sampling(name, sampling)
    check_timeout(name, timeout_s)

    async def work(procedure: Work, task: str) -> str:
        found: list[ReadSample] = []
        while batch := plan_batch(sampling, [one.key for one in found]):
            numbers = range(len(found) + 1, len(found) + batch + 1)
            tasks = [_build_task(task, number, sampling.samples) for number in numbers]
            jobs = [
                procedure.ask(f"sample-{number}", agent.name, asked, timeout_s=timeout_s)
                for number, asked in zip(numbers, tasks, strict=True)
            ]
            outcomes = await side_by_side(jobs)
            found += [read_sample(sampling, number, one) for number, one in zip(numbers, outcomes, strict=True)]
        return write_json(sum_up(sampling, found))

    return build_agent(name, work, tools=[agent], output_type=ConsistencyReport, description=description, limits=limits)


def plan_batch(sampling: Sampling, keys: Sequence[Key]) -> int:
    """Plan how many more samples to ask for side by side: the fewest that could settle it; 0 where it is settled.

    Args:
        sampling: What was declared.
        keys: What each sample until now says.
    """
    left = sampling.samples - len(keys)
    if not sampling.stop_early:
        return left
    standing, good = rank_samples(sampling, keys), sum(key is not None for key in keys)
    needed, quorum = _count_needed(sampling)
    if standing.count + left < needed or good + left < quorum:
        return 0  # there is no way to an answer any more

    def is_settled(more: int) -> bool:
        lead, rest = standing.count + more, left - more
        if lead < needed or good + more < quorum:
            return False
        sure = sampling.confidence is not None and estimate_lead(lead, standing.rival) >= sampling.confidence
        return lead - standing.rival > rest or sure

    return next((more for more in range(left + 1) if is_settled(more)), left)


def estimate_lead(count: int, rival: int) -> float:
    """Estimate the probability that the leading answer of two is the more likely one, given how often each was given.

    That is the chance that a Beta(count + 1, rival + 1) is more than a half, which is a sum of binomials.
    """
    total = count + rival + 1
    return sum(math.comb(total, place) for place in range(count + 1)) / 2**total


def rank_samples(sampling: Sampling, keys: Sequence[Key]) -> Standing:
    """Find which answer leads; the places it names are those in `keys`."""
    places = [place for place, key in enumerate(keys) if key is not None]
    if sampling.same == "number":
        numbers = [key for key in keys if isinstance(key, float)]
        standing = rank_numbers(numbers, sampling.tolerance)
        while sampling.tie == "first" and standing.count and standing.rival == standing.count:
            numbers.pop()
            standing = rank_numbers(numbers, sampling.tolerance)
    else:
        standing = rank_keys([key for key in keys if isinstance(key, str)])
    return structs.replace(
        standing,
        answer=places[standing.answer] if standing.count else -1,
        members=tuple(places[one] for one in standing.members),
    )


def read_sample(sampling: Sampling, number: int, outcome: Outcome) -> ReadSample:
    """Read what one try gave."""
    if not outcome.is_good:
        return ReadSample(sample=Sample(number=number, status="absent", reason=outcome.text[:MAX_TOLD]))
    try:
        output = _pick(outcome.value, sampling.field)
        output = read_json(output) if sampling.same == "json" and isinstance(output, str) else output
        key = _find_key(sampling.same, output) if callable(sampling.same) else read_key(output, sampling.same)
    except (ValueError, InvalidInput) as error:
        reason = error.message if isinstance(error, InvalidInput) else describe_error(error)
        unread = Sample(number=number, status="unreadable", text=outcome.text[:MAX_KEPT], reason=reason[:MAX_TOLD])
        return ReadSample(sample=unread)
    sample = Sample(number=number, status="differs", text=outcome.text[:MAX_KEPT])
    return ReadSample(sample=sample, output=key if sampling.same == "number" else output, key=key)


def sum_up(sampling: Sampling, found: Sequence[ReadSample]) -> ConsistencyReport:
    """Make a report of what was found."""
    keys = [one.key for one in found]
    standing, good = rank_samples(sampling, keys), sum(key is not None for key in keys)
    fault = _find_fault(sampling, standing, good)
    leads = set(standing.members)
    samples = tuple(
        structs.replace(one.sample, status="agrees") if place in leads else one.sample
        for place, one in enumerate(found)
    )
    said = f"{standing.count} of {good} samples that count say it, {standing.rival} the next most frequent answer"
    return ConsistencyReport(
        is_decided=not fault,
        answer=None if fault else found[standing.answer].output,
        agreement=standing.count / good if good else 0.0,
        samples=samples,
        planned=sampling.samples,
        stopped_early=len(found) < sampling.samples,
        why=fault or said,
    )


def _find_fault(sampling: Sampling, standing: Standing, good: int) -> str:
    needed, quorum = _count_needed(sampling)
    if not good:
        return "no sample gave an answer that counts"
    if good < quorum:
        return f"{good} of {sampling.samples} samples count, and the quorum is {quorum}"
    if standing.count < needed:
        return f"{standing.count} of {good} samples that count say the same, and {needed} are needed"
    if standing.rival >= standing.count and sampling.tie == "refuse":
        return f"there is a tie: {standing.count} of {good} samples say the same, and as many say something else"
    return ""


def _count_needed(sampling: Sampling) -> tuple[int, int]:
    """Count how many must say the same, and how many must count."""
    return max(1, count_share(sampling.least, sampling.samples)), count_share(sampling.quorum, sampling.samples)


def _pick(value: object, field: str) -> object:
    if not field:
        return value
    found = cast("dict[str, object]", value).get(field) if isinstance(value, dict) else None
    if found is None:
        raise InvalidInput(f"it has no field {field!r:.80}")
    return found


def _find_key(read: Read, output: object) -> str:
    key = cast("object", read(output))  # it is anybody's code
    if not isinstance(key, str) or not key:
        raise InvalidInput("it has no key")
    return mend_text(key)


def _build_task(task: str, number: int, samples: int) -> str:
    """Tell a try its number: where the task is JSON, by white space, so that it is JSON still."""
    if task[:1] in ("{", "["):
        try:
            msgspec.json.decode(task)
        except msgspec.DecodeError:
            pass
        else:
            return task + "\n" * number
    return f"{task}\n\n(Try {number} of at most {samples}: work it out afresh.)"


def _check_sampling(name: str, sampling: Sampling) -> None:
    if isinstance(sampling.same, str) and sampling.same not in get_args(Sameness):
        raise UnknownName("sameness", sampling.same, get_args(Sameness))
    if sampling.tie not in get_args(OnTie):
        raise UnknownName("rule for a tie", sampling.tie, get_args(OnTie))
    if not 1 <= sampling.samples <= MAX_SAMPLES:
        raise InvalidInput(f"{name!r} has `samples` {sampling.samples!r}: give 1 to {MAX_SAMPLES}.")
    if not (sampling.tolerance >= 0 and math.isfinite(sampling.tolerance)):
        raise InvalidInput(f"{name!r} has `tolerance` {sampling.tolerance!r}: give 0 or more.")
    if sampling.tolerance and sampling.same != "number":
        raise InvalidInput(f"{name!r} has a `tolerance`, and only numbers lie near each other: give `same='number'`.")
    if sampling.confidence is not None and not 0.5 < sampling.confidence < 1:
        raise InvalidInput(f"{name!r} has `confidence` {sampling.confidence!r}: give a probability, 0.5 to 1.")
    check_share(name, "quorum", sampling.quorum)
    check_share(name, "least", sampling.least)
