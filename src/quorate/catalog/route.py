"""Which agent is a request for, why, and when is it for none?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest

from msgspec import Struct

from quorate.catalog.clues import HINTED, SYMPTOM, Clue, ClueIndex, Profile, Spelling, spell
from quorate.catalog.definition import AgentEntry
from quorate.catalog.language import Reading, read_request
from quorate.errors import InvalidInput

ENOUGH = 1.0
"""The score below which an agent is not chosen."""
ENOUGH_BESIDE = 1.1
"""The score of its own evidence below which an agent is not needed beside another."""
CALLED = 1.6
"""The score from which a request calls for one of those who lead the same agents."""
PLACES = frozenset({"<path>", "<host>", "<address>"})
"""Targets that may just say where, so that they call for no second agent."""
EXAMPLE = 3.0
"""Points for a request like one of the agent's examples, by how alike they are; twice as many for that very one."""
SIMILAR = 0.34
"""The similarity below which an example says nothing."""
ALIKE = 0.5
"""The similarity from which a request counts as one the agent's file rules out."""
FOREIGN, ELSEWHERE = 0.8, 0.4
"""What a word counts against an agent that nobody knows, and one that only others know."""
MOST_WEIGHED = 32
"""How many agents are weighed closely: those with the most clues."""
MOST_SHOWN = 5


class Alternative(Struct, frozen=True, kw_only=True):
    """An agent that was weighed and not chosen."""

    agent: str
    score: float
    reason: str


class Route(Struct, frozen=True, kw_only=True):
    """The agent a request is for."""

    agent: str
    reason: str
    """What in the request speaks for it."""
    score: float
    """How much does; from 1 up it is enough."""
    alternatives: tuple[Alternative, ...] = ()
    """The next best, best first."""


class NoRoute(InvalidInput):
    """No agent is for this request; the message shows what they are for."""


class _Weighed(Struct, frozen=True, kw_only=True):
    profile: Profile
    evidence: tuple[Clue, ...] = ()
    score: float = 0.0
    vetoed: bool = False
    is_example: bool = False
    """Whether the request is one of the agent's examples, word for word."""

    @property
    def name(self) -> str:
        return self.profile.name

    @property
    def reason(self) -> str:
        if not self.evidence:
            return "nothing in the request speaks for it"
        if self.vetoed:
            return "its file says that it is not for such requests"
        return f"the request has {_tell(self.evidence)}"


class Router:
    """Chooses among the agents of a catalog, by what their files say; built once for a catalog."""

    def __init__(self, definitions: Sequence[AgentEntry]) -> None:
        self._index = ClueIndex(definitions)
        self._profiles = self._index.profiles
        self._numbers = {profile.name: number for number, profile in enumerate(self._profiles)}
        self._leaders = [profile for profile in self._profiles if profile.leads]
        self._led = frozenset(name for leader in self._leaders for name in leader.definition.delegates)

    def route(self, task: str) -> Route:
        """Choose the agent a request is for.

        An agent that the request names is chosen. Where two agents are needed for different parts of it, an agent that
        has both as tools is chosen.

        Raises:
            NoRoute: It is for none; the message says what would match. Nothing is chosen for want of better.
        """
        reading = read_request(task)
        weighed = self._weigh_all(reading, spell(task))
        named = [one for one in weighed if one.name in reading.named and "-" in one.name]
        enough = named or [one for one in weighed if one.score >= ENOUGH]
        if not enough:
            raise self._refuse(task, weighed)
        lead = None if len(named) == 1 else self._find_lead(enough, weighed, reading)
        best = lead or Route(agent=enough[0].name, reason=enough[0].reason, score=enough[0].score)
        others = [one for one in weighed if one.score > 0 and one.name != best.agent][:MOST_SHOWN]
        return Route(
            agent=best.agent,
            reason=best.reason,
            score=best.score,
            alternatives=tuple(Alternative(agent=o.name, score=o.score, reason=o.reason) for o in others),
        )

    def _weigh_all(self, reading: Reading, spelling: Spelling) -> list[_Weighed]:
        """Weigh the agents that the request has clues for, best first."""
        clues = self._index.gather(reading)
        likeness = self._index.liken(frozenset(reading.words))
        raw = {number: sum(clue.points for clue in found) for number, found in clues.items()}
        for number, alike in likeness.items():
            raw[number] = raw.get(number, 0.0) + (EXAMPLE * alike if alike >= SIMILAR else 0.0)
        named = {self._numbers[name] for name in reading.named if name in self._numbers}
        # Ties go by number, so that the same are weighed every time.
        closest = nlargest(MOST_WEIGHED, raw, key=lambda number: (raw[number], -number))
        numbers = sorted({*closest, *named})
        found: list[_Weighed] = []
        for number in numbers:
            profile = self._profiles[number]
            alike = 2.0 if spelling in profile.exact else likeness.get(number, 0.0)
            found.append(self._weigh(profile, clues.get(number, ()), alike, reading))
        return sorted(found, key=_rank)

    def _weigh(self, profile: Profile, clues: Sequence[Clue], likeness: float, reading: Reading) -> _Weighed:
        """Weigh an agent; a likeness of more than 1 means that the request is one of its examples."""
        words = frozenset(reading.words)
        evidence = _choose(clues)
        if likeness >= SIMILAR and profile.vocabulary.issuperset(reading.making):
            shown = Clue(points=EXAMPLE * likeness, words=frozenset(), text="likeness to one of its examples")
            evidence = [*evidence, shown]
        is_named = profile.name in reading.named and "-" in profile.name
        if is_named:
            evidence = [Clue(points=EXAMPLE, words=frozenset(), text="its name"), *evidence]
        ruled_out = [sample for sample in profile.not_for if _is_ruled_out(profile, words, sample)]
        unlike = max((self._index.compare(words, sample) for sample in ruled_out), default=0.0)
        vetoed = unlike >= ALIKE and unlike >= likeness and not is_named
        score = 0.0 if vetoed else self._score(profile, evidence, reading)
        score = max(score, EXAMPLE) if is_named else score
        return _Weighed(profile=profile, evidence=tuple(evidence), score=score, vetoed=vetoed, is_example=likeness > 1)

    def _score(self, profile: Profile, evidence: Sequence[Clue], reading: Reading, *, whole: bool = True) -> float:
        """Add the points up, less for a request that is mostly about things the agent does not know."""
        if not evidence:
            return 0.0
        index = self._index
        words = frozenset(reading.words) - {"|"}
        used = frozenset[str]().union(*(item.words for item in evidence))
        symptoms = (words & index.symptoms) - used
        unknown = [w for w in words if w.isalpha() and w not in profile.vocabulary and w not in index.common]
        elsewhere = ELSEWHERE if whole else 0.0
        against = sum(elsewhere if index.is_known(word) else FOREIGN for word in unknown) + 3.2 * len(reading.making)
        speaking = sum(item.points for item in evidence) + (SYMPTOM * min(2, len(symptoms)) if whole else 0.0)
        return round(speaking * speaking / (speaking + against), 3)

    def _find_lead(self, enough: Sequence[_Weighed], weighed: Sequence[_Weighed], reading: Reading) -> Route | None:
        """Find an agent that leads others, when the request needs two of those for different parts of it."""
        best = next((one for one in enough if not one.profile.leads), None)
        led = [one for one in enough if one.name in self._led]
        # What an agent for small tasks is best for, the one of its field that is led by others does too.
        first = next((one for one in led if best and _is_alike(one, best)), None)
        if best is None or first is None or best.is_example:
            return None
        used = frozenset[str]().union(*(item.words for item in (*best.evidence, *first.evidence)))
        for other in led:
            own = [e for e in other.evidence if e.points > HINTED and e.words and not e.words & (used | PLACES)]
            if other in (best, first) or self._score(other.profile, own, reading, whole=False) < ENOUGH_BESIDE:
                continue
            lead = self._find_leader({first.name, other.name}, {one.name: one for one in weighed})
            if lead is not None:
                parts = f"`{first.name}` ({_tell(first.evidence)}) and `{other.name}` ({_tell(own)})"
                score = round(best.score + other.score, 3)
                return Route(agent=lead.name, reason=f"the request needs both {parts}", score=score)
        return None

    def _find_leader(self, team: set[str], weighed: Mapping[str, _Weighed]) -> Profile | None:
        """Find who leads two agents: whom the request speaks for, then who does it by a procedure of its own."""
        leaders = [one for one in self._leaders if team <= set(one.definition.delegates)]

        def rank(one: Profile) -> tuple[float, bool, int, str]:
            known = weighed.get(one.name)
            score = known.score if known and known.score >= CALLED else 0.0
            return (-score, not one.definition.has_playbook, len(one.definition.delegates), one.name)

        return min(leaders, key=rank, default=None)

    def _refuse(self, task: str, weighed: Sequence[_Weighed]) -> NoRoute:
        names = dict.fromkeys([*(one.name for one in weighed), *self._numbers])
        shown = [self._profiles[self._numbers[name]].definition for name in list(names)[:MOST_SHOWN]]
        matching = "".join(f"\n  {definition.name}: {definition.examples[0]!r}" for definition in shown)
        quoted = task if len(task) <= 80 else f"{task[:79]}…"
        advice = (
            f"Requests that would match:{matching}\nOr name an agent yourself." if shown else "There are no agents."
        )
        return NoRoute(
            f"No agent is for the request {quoted!r}. {advice}", nearest=[definition.name for definition in shown]
        )


def _rank(one: _Weighed) -> tuple[float, str]:
    return (-one.score, one.name)


def _tell(evidence: Iterable[Clue]) -> str:
    return ", ".join(dict.fromkeys(item.text for item in evidence))


def _is_ruled_out(profile: Profile, words: frozenset[str], sample: frozenset[str]) -> bool:
    """Whether a request shares more with a sample than the words the agent is for."""
    return bool(words & sample - profile.own) or sample <= profile.own


def _is_alike(one: _Weighed, other: _Weighed) -> bool:
    return one.name == other.name or one.profile.definition.domain == other.profile.definition.domain


def _choose(evidence: Iterable[Clue]) -> list[Clue]:
    """Keep the weightiest evidence for each word: `tls certificate` is not also `certificate`."""
    chosen: list[Clue] = []
    used: frozenset[str] = frozenset()
    for item in sorted(evidence, key=lambda clue: (-clue.points, clue.text)):
        if not item.words <= used:
            chosen.append(item)
            used |= item.words
    return chosen
