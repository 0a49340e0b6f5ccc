"""Which agent is a request for, why, and when is it for none?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from quorate.catalog.definition import AgentDefinition
from quorate.catalog.language import (
    FEATURES,
    RELATED,
    Reading,
    find_features,
    load_words,
    read_request,
    stem,
    stem_words,
)
from quorate.errors import InvalidInput

ENOUGH = 1.0
"""The score below which an agent is not chosen."""
ENOUGH_BESIDE = 1.1
"""The score of its own evidence below which an agent is not needed beside another."""
PHRASE, LOOSE, WORD, COMMON_WORD, SYMPTOM = 3.0, 2.2, 1.6, 1.0, 0.4
TARGET, PLAIN_TARGET = 2.2, 0.9
"""Points for a trigger of several words in a row, near each other, of one word, of one common word; and for a word
that says that something is wrong. Then those for a target, and for one of the kinds that any request may name."""
PLAIN_TARGETS = frozenset({"path", "host"})
PLACES = frozenset({"<path>", "<host>", "<address>"})
"""Targets that may just say where, so that they call for no second agent."""
HINTED, MENTIONED = 1.1, 0.8
"""Points for a word that is part of a trigger, and for one of the agent's description or examples."""
EXAMPLE = 3.0
"""Points for a request that is one of the agent's examples; a similar one gives its share."""
SHARED = 0.75
"""What a trigger counts that several agents have."""
SIMILAR = 0.34
"""The similarity below which an example says nothing."""
ALIKE = 0.5
"""The similarity from which a request counts as one the agent's file rules out."""
REACH = 6
"""How far apart the words of a trigger may stand."""
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


class _Evidence(Struct, frozen=True, kw_only=True):
    points: float
    words: frozenset[str]
    """The stems (and kinds of target) that it rests on."""
    text: str


class _Profile(Struct, frozen=True, kw_only=True):
    definition: AgentDefinition
    triggers: tuple[tuple[str, tuple[str, ...]], ...]
    vocabulary: frozenset[str]
    features: dict[str, float]
    """How often its examples name each kind of target, as a share."""
    examples: tuple[frozenset[str], ...]
    exact: frozenset[tuple[str, ...]]
    """The examples word for word."""
    not_for: tuple[frozenset[str], ...]


class _Weighed(Struct, frozen=True, kw_only=True):
    profile: _Profile
    evidence: tuple[_Evidence, ...]
    score: float
    vetoed: bool = False

    @property
    def name(self) -> str:
        return self.profile.definition.name

    @property
    def reason(self) -> str:
        if not self.evidence:
            return "nothing in the request speaks for it"
        if self.vetoed:
            return "its file says that it is not for such requests"
        return f"the request has {', '.join(dict.fromkeys(e.text for e in self.evidence))}"


class Router:
    """Chooses among the agents of a catalog, by what their files say; built once for a catalog."""

    def __init__(self, definitions: Sequence[AgentDefinition]) -> None:
        known = load_words()
        self._fillers = known.stop | _stem_all(known.stop)
        self._symptoms = _stem_all(known.symptoms)
        self._empty = self._symptoms | self._fillers | _stem_all(known.asking)
        self._common = self._empty | _stem_all(known.machines)
        self._profiles = [self._read(definition) for definition in definitions]
        self._shared = Counter(words for profile in self._profiles for words in {t for _, t in profile.triggers})
        self._vocabulary = frozenset[str]().union(*(profile.vocabulary for profile in self._profiles))
        self._counts = Counter(word for profile in self._profiles for word in profile.vocabulary)
        self._rarity = {word: math.log(1 + len(self._profiles) / count) for word, count in self._counts.items()}
        self._features: dict[str, float] = {}
        for kind, share in (item for profile in self._profiles for item in profile.features.items()):
            self._features[kind] = max(share, self._features.get(kind, 0.0))

    def route(self, task: str) -> Route:
        """Choose the agent a request is for.

        Where two agents are needed for different parts of it, an agent that has both as tools is chosen.

        Raises:
            NoRoute: It is for none; the message says what would match. Nothing is chosen for want of better.
        """
        reading = read_request(task)
        weighed = sorted((self._weigh(profile, reading) for profile in self._profiles), key=_rank)
        enough = [one for one in weighed if one.score >= ENOUGH]
        if not enough:
            raise self._refuse(task, weighed)
        best = self._find_lead(enough, weighed, reading) or _route(enough[0], enough[0].reason)
        others = [one for one in weighed if one.score > 0 and one.name != best.agent][:MOST_SHOWN]
        return Route(
            agent=best.agent,
            reason=best.reason,
            score=best.score,
            alternatives=tuple(Alternative(agent=o.name, score=o.score, reason=o.reason) for o in others),
        )

    def _read(self, definition: AgentDefinition) -> _Profile:
        spoken = (definition.name, *definition.triggers)
        texts = (*spoken, *definition.examples, definition.description)
        # An agent that leads others gets requests of all kinds; it is found by its words, or through them.
        samples = () if definition.delegates else definition.examples
        named = Counter(kind for text in samples for kind in find_features(text))
        return _Profile(
            definition=definition,
            triggers=tuple((text, words) for text in spoken if (words := stem_words(text))),
            vocabulary=frozenset(word for text in texts for word in stem_words(text)) - self._empty,
            features={kind: count / len(definition.examples) for kind, count in named.items()},
            examples=tuple(self._reduce(text) for text in definition.examples),
            exact=frozenset(_drop_bars(read_request(text).words) for text in definition.examples),
            not_for=tuple(self._reduce(text) for text in definition.not_for),
        )

    def _reduce(self, text: str) -> frozenset[str]:
        """Return the words of a sample request that count, its kinds of target among them."""
        return (frozenset(stem_words(text)) - self._fillers) | {f"<{kind}>" for kind in find_features(text)}

    def _weigh(self, profile: _Profile, reading: Reading) -> _Weighed:
        words = frozenset(reading.words)
        matched = (self._match_triggers, self._match_features, self._match_vocabulary)
        evidence = _choose(item for match in matched for item in match(profile, reading))
        likeness = max((self._compare(words, example) for example in profile.examples), default=0.0)
        likeness = 1.0 if _drop_bars(reading.words) in profile.exact else likeness
        if likeness >= SIMILAR and profile.vocabulary.issuperset(reading.making):
            shown = _Evidence(points=EXAMPLE * likeness, words=frozenset(), text="likeness to one of its examples")
            evidence = [*evidence, shown]
        if profile.definition.name in reading.named and "-" in profile.definition.name:
            evidence = [_Evidence(points=EXAMPLE, words=frozenset(), text="its name"), *evidence]
        ruled_out = [sample for sample in profile.not_for if self._is_ruled_out(profile, words, sample)]
        unlike = max((self._compare(words, sample) for sample in ruled_out), default=0.0)
        vetoed = unlike >= ALIKE and unlike >= likeness
        score = 0.0 if vetoed else self._score(evidence, reading)
        return _Weighed(profile=profile, evidence=tuple(evidence), score=score, vetoed=vetoed)

    def _match_triggers(self, profile: _Profile, reading: Reading) -> Iterable[_Evidence]:
        for text, words in profile.triggers:
            points = self._match(words, reading.words)
            if points:
                share = 1.0 if self._shared[words] == 1 else SHARED
                yield _Evidence(points=points * share, words=frozenset(words), text=f"`{text}`")

    def _match(self, trigger: tuple[str, ...], words: tuple[str, ...]) -> float:
        size = len(trigger)
        wanted = [word for word in trigger if word not in self._fillers]
        if size == 1:
            return self._weigh_word(trigger[0]) if trigger[0] in words else 0.0
        if any(words[at : at + size] == trigger for at in range(len(words) - size + 1)):
            # "this host" says no more than "host"; "what is going on" is a saying.
            return self._weigh_word(wanted[0]) if len(wanted) == 1 else PHRASE
        if len(wanted) < 2 or not set(wanted) <= set(words):
            return 0.0
        spans = [words[at : at + len(wanted) + REACH] for at, word in enumerate(words) if word in wanted]
        near = any(set(wanted) <= set(span) and "|" not in span[: _reach(span, wanted)] for span in spans)
        return LOOSE if near else 0.0

    def _weigh_word(self, word: str) -> float:
        if word in self._empty:
            return SYMPTOM
        return COMMON_WORD if word in self._common else WORD

    def _match_features(self, profile: _Profile, reading: Reading) -> Iterable[_Evidence]:
        for kind in sorted(reading.features):
            known = kind if kind in self._features else RELATED.get(kind, kind)
            if known not in profile.features:
                continue
            most = PLAIN_TARGET if kind in PLAIN_TARGETS else TARGET
            share = profile.features[known] / self._features[known]
            yield _Evidence(points=most * share, words=frozenset({f"<{kind}>"}), text=FEATURES[kind])

    def _match_vocabulary(self, profile: _Profile, reading: Reading) -> Iterable[_Evidence]:
        for word in sorted(profile.vocabulary.intersection(reading.words) - self._common):
            points = HINTED if any(word in trigger for _, trigger in profile.triggers) else MENTIONED
            yield _Evidence(
                points=points * (1.0 if self._counts[word] == 1 else SHARED), words=frozenset({word}), text=f"`{word}`"
            )

    def _compare(self, words: frozenset[str], sample: frozenset[str]) -> float:
        """Return how alike two sets of words are, rare ones counting more: 0 to 1."""
        words = words - self._fillers - {"|"}
        shared, both = words & sample, words | sample
        weight = sum(map(self._weight, both))
        return sum(map(self._weight, shared)) / weight if weight else 0.0

    def _is_ruled_out(self, profile: _Profile, words: frozenset[str], sample: frozenset[str]) -> bool:
        """Whether a request shares more with a sample than the words the agent is for."""
        own = frozenset(word for _, trigger in profile.triggers for word in trigger)
        return bool(words & sample - own) or sample <= own

    def _weight(self, word: str) -> float:
        return 0.3 if word in self._common else self._rarity.get(word, 1.5)

    def _score(self, evidence: Sequence[_Evidence], reading: Reading, *, whole: bool = True) -> float:
        """Add the points up, less for a request that is mostly about things no agent knows."""
        if not evidence:
            return 0.0
        words = frozenset(reading.words) - {"|"}
        used = frozenset[str]().union(*(item.words for item in evidence))
        symptoms = (words & self._symptoms) - used
        foreign = {w for w in words if w.isalpha() and w not in self._vocabulary and w not in self._common}
        against = len(foreign) + 4 * len(reading.making)
        speaking = sum(item.points for item in evidence) + (SYMPTOM * min(2, len(symptoms)) if whole else 0.0)
        supported = speaking + len(words & self._vocabulary - used - self._common) * 0.5
        return round(speaking * supported / (supported + 0.8 * against), 3)

    def _find_lead(self, enough: Sequence[_Weighed], weighed: Sequence[_Weighed], reading: Reading) -> Route | None:
        """Find an agent that leads others, when the request needs two of those for different parts of it."""
        best = next((one for one in enough if not one.profile.definition.delegates), None)
        if best is None:
            return None
        used = frozenset[str]().union(*(item.words for item in best.evidence if item.points > HINTED))
        for other in enough:
            own = [e for e in other.evidence if e.points > HINTED and e.words and not e.words & (used | PLACES)]
            if (
                other is best
                or other.profile.definition.delegates
                or self._score(own, reading, whole=False) < ENOUGH_BESIDE
            ):
                continue
            lead = _find_leader(weighed, {best.name, other.name})
            if lead is not None:
                parts = f"`{best.name}` ({_tell(best.evidence)}) and `{other.name}` ({_tell(own)})"
                score = round(best.score + other.score, 3)
                return Route(agent=lead.name, reason=f"the request needs both {parts}", score=score)
        return None

    def _refuse(self, task: str, weighed: Sequence[_Weighed]) -> NoRoute:
        shown = [one.profile.definition for one in weighed[:MOST_SHOWN]]
        matching = "".join(f"\n  {definition.name}: {definition.examples[0]!r}" for definition in shown)
        quoted = task if len(task) <= 80 else f"{task[:79]}…"
        advice = (
            f"Requests that would match:{matching}\nOr name an agent yourself." if shown else "There are no agents."
        )
        return NoRoute(
            f"No agent is for the request {quoted!r}. {advice}", nearest=[definition.name for definition in shown]
        )


def _stem_all(words: Iterable[str]) -> frozenset[str]:
    return frozenset(map(stem, words))


def _drop_bars(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(word for word in words if word != "|")


def _rank(one: _Weighed) -> tuple[float, str]:
    return (-one.score, one.name)


def _route(one: _Weighed, reason: str) -> Route:
    return Route(agent=one.name, reason=reason, score=one.score)


def _tell(evidence: Iterable[_Evidence]) -> str:
    return ", ".join(dict.fromkeys(item.text for item in evidence))


def _reach(span: tuple[str, ...], wanted: Sequence[str]) -> int:
    return max(span.index(word) for word in wanted) + 1


def _choose(evidence: Iterable[_Evidence]) -> list[_Evidence]:
    """Keep the weightiest evidence for each word: `tls certificate` is not also `certificate`."""
    chosen: list[_Evidence] = []
    used: frozenset[str] = frozenset()
    for item in sorted(evidence, key=lambda e: (-e.points, e.text)):
        if not item.words <= used:
            chosen.append(item)
            used |= item.words
    return chosen


def _find_leader(weighed: Sequence[_Weighed], team: set[str]) -> _Weighed | None:
    leaders = [one for one in weighed if team <= set(one.profile.definition.delegates)]
    return min(leaders, key=lambda one: (len(one.profile.definition.delegates), one.name), default=None)
