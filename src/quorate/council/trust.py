"""How far is a member to be relied on, by what came of what it did?

A beta reputation (Jøsang and Ismail, "The Beta Reputation System", 15th Bled Electronic Commerce Conference, 2002):
good and bad outcomes are added up, fade with time, and stand beside a prior that counts as two outcomes.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from quorate.errors import Forbidden, InvalidInput

Kind = Literal["decision", "task", "feedback"]
"""What a member voted and what was true; whether it did what it was given; what somebody thought of what it did."""
WEIGHTS: Mapping[Kind, float] = {"decision": 1.0, "feedback": 1.0, "task": 0.25}
"""What an outcome counts: to have ended well is not yet to have been right."""
AGENT_WEIGHT = 0.25
"""What an agent's judgement of another counts of a person's."""
PRIOR_WEIGHT = 2.0
"""How many outcomes the prior counts as (Jøsang and Ismail: the uniform distribution)."""
TOPIC_WEIGHT = 4.0
"""How many outcomes in a topic a member's trust in general counts as, however many topics it comes from."""
DAY_S = 86_400.0
WINDOW_S = 7 * DAY_S
"""In what time a source may move a member so far and no further; windows begin at whole multiples of it."""
KEPT_HALF_LIVES = 10
"""After how many half-lives an outcome is forgotten altogether; a thousandth of it is left then."""
PERSON = "person:"
MAX_NAME, MAX_TOPIC, MAX_ID = 128, 48, 120
MOST_SHOWN = 10
_TOPIC = re.compile(r"[a-z0-9][a-z0-9._-]*", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9._:/@|#-]+", re.ASCII)


class TrustRules(Struct, frozen=True, kw_only=True):
    """How trust is reckoned."""

    half_life_days: Annotated[float, Meta(ge=7, le=365)] = 30.0
    """After how many days an outcome counts half."""
    floor: Annotated[float, Meta(ge=0, lt=1)] = 0.05
    """The least that anybody is trusted, so that nobody is lost for ever."""
    ceiling: Annotated[float, Meta(gt=0, le=1)] = 0.95
    """The most, so that nobody is beyond doubt."""
    prior: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """How far somebody is trusted of whom nothing is known."""
    source_cap: Annotated[float, Meta(gt=0, le=1_000)] = 5.0
    """How many outcomes whatever one source says of a member in a week counts as, at most."""


class Source(Struct, frozen=True, kw_only=True):
    """Who says what came of something: taken from who is asking, never from what they say."""

    principal: str
    agent: str = ""
    """The agent that says so while it works for the principal; empty for the person or program itself."""


class Evidence(Struct, frozen=True, kw_only=True):
    """What became known of a member."""

    id: str
    """What it is about, such as `decision-01…`: it counts once for a member, however often it is told."""
    member: str
    kind: Kind
    score: float
    """From 0, bad, to 1, good."""
    at: float
    """When what it is about ended, in seconds since 1970: a fact of that, so that the same id has the same time."""
    source: Source
    topic: str = ""
    """What it was about; empty for nothing in particular."""
    version: int = 0
    """How often it was corrected: a later one replaces what an earlier one said."""


class Item(Struct, frozen=True, array_like=True, gc=False):
    """An outcome as it is kept."""

    id: str
    kind: Kind
    topic: str
    score: float
    weight: float
    at: float
    source: str
    """Who said so, as a digest: two of one source are known as such, and nobody is named."""
    version: int = 0


class Standing(Struct, frozen=True, kw_only=True):
    """What outcomes come to."""

    value: float
    """Trust, within its bounds."""
    good: float
    """How much of them was good, faded and capped."""
    bad: float
    base: float
    """What the member would be trusted without them."""
    capped: int
    """In how many weeks a source said more than it may."""


class Change(Struct, frozen=True, kw_only=True):
    """An outcome, and what it does to a member's trust as it stands."""

    id: str
    kind: Kind
    topic: str
    score: float
    at: float
    moves: float
    """How much higher trust is with it than it would be without it."""


class TrustReport(Struct, frozen=True, kw_only=True):
    """How far a member is trusted, and why."""

    member: str
    topic: str
    value: float
    general: float
    """How far it is trusted whatever the topic."""
    good: float
    bad: float
    counts: dict[Kind, int]
    """How many outcomes are known of each kind."""
    sources: int
    """How many said so."""
    last: tuple[Change, ...]
    """The latest outcomes, the newest first."""
    why: str


def check_rules(rules: TrustRules) -> None:
    """Raise `InvalidInput` unless the floor is below the ceiling, and the prior between them."""
    numbers = (rules.half_life_days, rules.floor, rules.ceiling, rules.prior, rules.source_cap)
    if not all(map(math.isfinite, numbers)) or not 7 <= rules.half_life_days <= 365 or not rules.source_cap > 0:
        raise InvalidInput(
            f"Trust cannot be reckoned with a half-life of {rules.half_life_days!r} days and {rules.source_cap!r} "
            "outcomes of a source: give 7 to 365 days, and more than 0 outcomes."
        )
    if not 0 <= rules.floor <= rules.prior <= rules.ceiling <= 1 or rules.floor == rules.ceiling:
        raise InvalidInput(
            f"Trust has the floor {rules.floor!r}, the prior {rules.prior!r} and the ceiling {rules.ceiling!r}: give "
            "three numbers from 0 to 1 that do not fall, the first below the last."
        )


def check_evidence(evidence: Evidence) -> None:
    """Check that something may count.

    Raises:
        Forbidden: A member speaks of itself.
        InvalidInput: A value is none; the message says which.
    """
    check_member(evidence.member)
    check_topic(evidence.topic)
    if is_own(evidence.member, evidence.source):
        raise Forbidden(
            f"{evidence.member!r} speaks of itself, which does not count: let somebody else say what came of it.",
            member=evidence.member,
        )
    if not evidence.source.principal:
        raise InvalidInput("Nobody says so: give the principal that does as `source`.")
    if _ID.fullmatch(evidence.id) is None or len(evidence.id) > MAX_ID:
        raise InvalidInput(f"{evidence.id!r:.200} is no id of an outcome: give 1 to {MAX_ID} plain characters.")
    if not 0 <= evidence.score <= 1 or evidence.kind not in WEIGHTS:
        raise InvalidInput(f"{evidence.kind!r:.40} with a score of {evidence.score!r} is no outcome: give 0 to 1.")
    if not 0 <= evidence.at < 1e12 or evidence.version < 0:
        raise InvalidInput(f"An outcome cannot be of {evidence.at!r}, version {evidence.version!r}.")


def is_own(member: str, source: Source) -> bool:
    """Whether somebody speaks of itself: a person is on a roll under its name with `person:` before it."""
    return member.removeprefix(PERSON) in (source.principal, source.agent) or member == source.agent


def is_member(name: str) -> bool:
    """Whether a name is one that something can be kept under."""
    return bool(name) and name.isprintable() and name == name.strip() and len(name.encode()) <= MAX_NAME


def check_member(name: str) -> str:
    """Return a member's name, or raise `InvalidInput` when it is none."""
    if not is_member(name):
        raise InvalidInput(f"{name!r:.200} is no member: give printable characters, {MAX_NAME} bytes at most.")
    return name


def check_topic(topic: str) -> str:
    """Return a topic, or raise `InvalidInput` when it is none; the empty one is none in particular."""
    if topic and (len(topic) > MAX_TOPIC or _TOPIC.fullmatch(topic) is None):
        raise InvalidInput(
            f"{topic!r:.200} is no topic: give 1 to {MAX_TOPIC} of `a-z`, `0-9`, `.`, `_` and `-`, beginning with a "
            "letter or digit."
        )
    return topic


def build_item(evidence: Evidence) -> Item:
    """Build what is kept of evidence, once it is checked.

    All agents of a principal are one source with it: it chooses how many there are and what they are called.
    """
    weight = WEIGHTS[evidence.kind]
    if evidence.kind == "feedback" and evidence.source.agent:
        weight *= AGENT_WEIGHT
    return Item(
        id=evidence.id,
        kind=evidence.kind,
        topic=evidence.topic,
        score=evidence.score,
        weight=weight,
        at=evidence.at,
        source=hashlib.sha256(f"{evidence.member}\0{evidence.source.principal}".encode()).hexdigest()[:16],
        version=evidence.version,
    )


def measure_trust(rules: TrustRules, items: Iterable[Item], *, now: float, topic: str = "") -> Standing:
    """Reckon how far a member is trusted; the same for the same items, in whichever order they come.

    In general: `(good + 2 prior) / (good + bad + 2)`. In a topic: the same with 4 instead of 2, and the trust in
    general instead of the prior, so that a topic of which little is known follows it.

    Args:
        rules: How it is reckoned.
        items: All that is known of the member.
        now: For when.
        topic: In which topic; in general when empty.
    """
    weeks = defaultdict[tuple[int, str], list[Item]](list)
    for item in items:
        weeks[int(item.at // WINDOW_S), item.source].append(item)
    general, own, half_life_s = _Sums(), _Sums(), rules.half_life_days * DAY_S
    for (week, _), group in weeks.items():
        began = week * WINDOW_S
        faded = 2 ** (-max(0.0, now - began) / half_life_s)
        told = [(item.topic, item.score, item.weight * 2 ** ((item.at - began) / half_life_s)) for item in group]
        general.add([(score, amount) for _, score, amount in told], cap=rules.source_cap, faded=faded)
        if topic:
            about = [(score, amount) for name, score, amount in told if name == topic]
            own.add(about, cap=rules.source_cap, faded=faded)
    good, bad = general.total
    base, weight, capped = rules.prior, PRIOR_WEIGHT, general.capped
    if topic:
        base, weight, capped = (good + weight * base) / (good + bad + weight), TOPIC_WEIGHT, own.capped
        good, bad = own.total
    value = (good + weight * base) / (good + bad + weight)
    return Standing(
        value=_bound(rules, value), good=good, bad=bad, base=_bound(rules, base), capped=capped
    )  # fmt: skip


def explain_trust(rules: TrustRules, member: str, items: Sequence[Item], *, now: float, topic: str = "") -> TrustReport:
    """Say how far a member is trusted, and why; takes what `measure_trust` takes."""
    found = measure_trust(rules, items, now=now, topic=topic)
    general = measure_trust(rules, items, now=now).value if topic else found.value
    known = sorted(items, key=lambda item: (item.at, item.id), reverse=True)
    shown = [item for item in known if not topic or item.topic == topic][:MOST_SHOWN]
    last: list[Change] = []
    for item in shown:
        without = measure_trust(rules, [one for one in known if one.id != item.id], now=now, topic=topic)
        last.append(
            Change(
                id=item.id, kind=item.kind, topic=item.topic, score=item.score, at=item.at,
                moves=round(found.value - without.value, 6),
            )
        )  # fmt: skip
    counted = [item for item in known if not topic or item.topic == topic]
    counts: Counter[Kind] = Counter(item.kind for item in counted)
    return TrustReport(
        member=member,
        topic=topic,
        value=found.value,
        general=general,
        good=found.good,
        bad=found.bad,
        counts={kind: counts[kind] for kind in WEIGHTS},
        sources=len({item.source for item in counted}),
        last=tuple(last),
        why=_say_why(rules, found, number=len(counted), topic=topic),
    )


class _Sums:
    """Adds up what each source said in each week; exactly (`fsum`), so that the order is no matter."""

    __slots__ = ("bad", "capped", "good")

    def __init__(self) -> None:
        self.good: list[float] = []
        self.bad: list[float] = []
        self.capped = 0

    def add(self, told: Sequence[tuple[float, float]], *, cap: float, faded: float) -> None:
        """Add the scores and amounts of one source and week, none of it above its cap."""
        good = math.fsum([score * amount for score, amount in told])
        bad = math.fsum([(1 - score) * amount for score, amount in told])
        if good + bad > cap:
            # Both are made smaller alike: who has said much can add no weight, but still say that it was wrong.
            share = good / (good + bad)
            good, bad, self.capped = cap * share, cap * (1 - share), self.capped + 1
        self.good.append(good * faded)
        self.bad.append(bad * faded)

    @property
    def total(self) -> tuple[float, float]:
        """All that was good, and all that was bad."""
        return math.fsum(self.good), math.fsum(self.bad)


def _bound(rules: TrustRules, value: float) -> float:
    return min(rules.ceiling, max(rules.floor, value))


def _say_why(rules: TrustRules, found: Standing, *, number: int, topic: str) -> str:
    place = f"in {topic!r}" if topic else "in general"
    base = f"its trust in general, {found.base:.2f}" if topic else f"the prior, {rules.prior:.2f}"
    if not number:
        return f"Nothing is known {place}, so that goes by {base}."
    said = f"{number} outcome{'s' if number > 1 else ''} {place} count as {found.good:.2f} good and {found.bad:.2f} bad"
    told = f", beside {base}, which counts as {TOPIC_WEIGHT if topic else PRIOR_WEIGHT:g}"
    cap = f"; {found.capped} time{'s' if found.capped > 1 else ''} a source said more in a week than it may"
    edge = "; that is the ceiling" if found.value >= rules.ceiling else ""
    edge = "; that is the floor" if found.value <= rules.floor else edge
    return f"{said}{told}{cap if found.capped else ''}{edge}."
