"""What in a request speaks for which agents?"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from quorate.catalog.definition import AgentEntry
from quorate.catalog.language import (
    FEATURES,
    MOST_READ,
    RELATED,
    Reading,
    find_features,
    load_words,
    stem,
    stem_words,
)

PHRASE, LOOSE, WORD, COMMON_WORD, SYMPTOM = 3.0, 2.2, 1.6, 1.0, 0.4
TARGET = 2.2
PLAIN_TARGETS = {"path": 0.9, "host": 1.0}
"""Points for a trigger of several words in a row, near each other, of one word, of one common word; and for a word
that says that something is wrong. Then those for a target, and for the kinds that any request may name."""
HINTED, MENTIONED, MENTIONED_ONCE = 1.1, 0.8, 0.6
"""Points for a word of a trigger, for one that several texts of an agent have, and for one in passing."""
NARROW, TOLD = 0.5, 0.6
"""What a target counts for an agent of small tasks, as that an address is named does not say which of them is meant;
and for one that has no procedure that takes it."""
RELATED_SHARE = 0.9
"""What a target counts for an agent whose examples name only such as are near it."""
EVERYDAY = 0.4
"""What a word counts that people use of anything."""
REACH = 6
"""How far apart the words of a trigger may stand."""
LEADS = 2
"""From how many agents on an agent that has them as tools leads others."""
SPOKEN = {"<code>": "code", "<sql>": "sql", "<log>": "log", "<url>": "url"}
"""Targets that a trigger of several words may mean: `review app.py` is `review code`."""

Spelling = tuple[tuple[str, ...], frozenset[str]]
"""The words of a text and the kinds of target it names."""


class Clue(Struct, frozen=True, kw_only=True):
    """Something in a request that speaks for an agent."""

    points: float
    words: frozenset[str]
    """The stems (and kinds of target) that it rests on."""
    text: str


class Profile(Struct, frozen=True, kw_only=True):
    """An agent as routing sees it."""

    definition: AgentEntry
    own: frozenset[str]
    """The words of its triggers."""
    vocabulary: frozenset[str]
    exact: frozenset[Spelling]
    """The examples word for word."""
    not_for: tuple[frozenset[str], ...]

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.definition.name

    @property
    def leads(self) -> bool:
        """Whether it leads others."""
        return len(self.definition.delegates) >= LEADS


class ClueIndex:
    """Finds the agents a request has clues for, by the words of the request, however many agents there are."""

    def __init__(self, definitions: Sequence[AgentEntry]) -> None:
        known = load_words()
        self.fillers = known.stop | _stem_all(known.stop)
        self.symptoms = _stem_all(known.symptoms)
        self._empty = self.symptoms | self.fillers | _stem_all(known.asking)
        self.common = self._empty | _stem_all(known.machines)
        self._everyday = _stem_all(known.everyday)
        self._total = max(1, len(definitions))
        self._triggers: defaultdict[tuple[str, ...], list[tuple[int, str]]] = defaultdict(list)
        self._kinds: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        self._mentions: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        self._samples: list[tuple[int, frozenset[str]]] = []
        self.profiles = [self._read(number, definition) for number, definition in enumerate(definitions)]
        counts = Counter(word for words in self._triggers for word in words)
        self._by_word: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
        for words in self._triggers:
            wanted = [word for word in words if word not in self.fillers] or words
            self._by_word[min(wanted, key=counts.__getitem__)].append(words)
        self._sampled: defaultdict[str, list[int]] = defaultdict(list)
        for number, (_, sample) in enumerate(self._samples):
            for word in sample:
                self._sampled[word].append(number)
        self._weights: dict[str, float] = {}
        self._heaviness = [sum(map(self.weigh, sample)) for _, sample in self._samples]

    def _read(self, number: int, definition: AgentEntry) -> Profile:
        """Read an agent, and note under each of its words that it has it."""
        spoken = [(text, words) for text in (definition.name, *definition.triggers) if (words := stem_words(text))]
        for words, text in {words: text for text, words in reversed(spoken)}.items():
            self._triggers[words].append((number, text))
        examples = [stem_words(text) for text in definition.examples]
        targets = [find_features(text) for text in definition.examples]
        own = frozenset(word for _, words in spoken for word in words)
        told = stem_words(definition.description)
        texts = Counter(word for words in (told, *examples) for word in set(words))
        vocabulary = frozenset(w for w in own | texts.keys() if not w.isdigit()) - self._empty
        for word in vocabulary:
            points = HINTED if word in own else MENTIONED if texts[word] > 1 else MENTIONED_ONCE
            self._mentions[word].append((number, points * (EVERYDAY if word in self._everyday else 1.0)))
        # An agent that leads others gets requests of all kinds; it is found by its words, or through them.
        if len(definition.delegates) < LEADS:
            for kind, count in Counter(kind for kinds in targets for kind in kinds).items():
                self._kinds[kind].append((number, _weigh_kind(definition, count)))
        for words, kinds in zip(examples, targets, strict=True):
            self._samples.append((number, self._reduce(words, kinds)))
        return Profile(
            definition=definition,
            own=own,
            vocabulary=vocabulary,
            exact=frozenset(zip(examples, targets, strict=True)),
            not_for=tuple(self._reduce(stem_words(text), find_features(text)) for text in definition.not_for),
        )

    def _reduce(self, words: Iterable[str], kinds: Iterable[str]) -> frozenset[str]:
        """Return the words of a sample request that count, its kinds of target among them."""
        return (frozenset(words) - self.fillers) | {f"<{kind}>" for kind in kinds}

    def is_known(self, word: str) -> bool:
        """Whether any agent has a word."""
        return word in self._mentions

    def gather(self, reading: Reading) -> dict[int, list[Clue]]:
        """Find the clues of a request, for each agent that it has some for."""
        found: defaultdict[int, list[Clue]] = defaultdict(list)
        for match in (self._match_triggers, self._match_kinds, self._match_mentions):
            for number, clue in match(reading):
                found[number].append(clue)
        return found

    def _match_triggers(self, reading: Reading) -> Iterator[tuple[int, Clue]]:
        told = reading.words
        spoken = tuple(SPOKEN.get(word, word) for word in told)
        seen = dict.fromkeys((*told, *spoken))
        for words in (words for word in seen for words in self._by_word.get(word, ())):
            points = self._match(words, told) or (self._match(words, spoken) if len(words) > 1 else 0.0)
            if points:
                holders = self._triggers[words]
                points *= (1 + self._share(len(holders))) / 2
                # `review the code` and `review my code` are one clue, not two.
                stems = frozenset(words) - self.fillers or frozenset(words)
                stems |= {kind for kind, word in SPOKEN.items() if kind in told and word in words}
                for number, text in holders:
                    yield number, Clue(points=points, words=stems, text=f"`{text}`")

    def _match(self, trigger: tuple[str, ...], words: tuple[str, ...]) -> float:
        size = len(trigger)
        wanted = [word for word in trigger if word not in self.fillers]
        if size == 1:
            return self._weigh_word(trigger[0]) if trigger[0] in words else 0.0
        if any(words[at : at + size] == trigger for at in range(len(words) - size + 1)):
            # "this host" says no more than "host"; "what is going on" is a saying.
            return self._weigh_word(wanted[0]) if len(wanted) == 1 else PHRASE
        # Numbers in another order are other numbers.
        if len(set(wanted)) < 2 or not set(wanted) <= set(words) or all(map(str.isdigit, wanted)):
            return 0.0
        spans = [words[at : at + len(wanted) + REACH] for at, word in enumerate(words) if word in wanted]
        near = any(set(wanted) <= set(span) and "|" not in span[: _reach(span, wanted)] for span in spans)
        return LOOSE if near else 0.0

    def _weigh_word(self, word: str) -> float:
        if word in self._empty:
            return SYMPTOM
        return COMMON_WORD if word in self.common or word in self._everyday else WORD

    def _match_kinds(self, reading: Reading) -> Iterator[tuple[int, Clue]]:
        for kind in sorted(reading.features):
            shares = dict(self._kinds.get(kind, ()))
            near = RELATED.get(kind, kind)
            for number, share in self._kinds.get(near, ()):
                shares.setdefault(number, share * RELATED_SHARE)
            most = PLAIN_TARGETS.get(kind, TARGET)
            greatest = max(shares.values(), default=1.0)
            for number, share in shares.items():
                points = most * share / greatest
                yield number, Clue(points=points, words=frozenset({f"<{kind}>"}), text=FEATURES[kind])

    def _match_mentions(self, reading: Reading) -> Iterator[tuple[int, Clue]]:
        for word in sorted(set(reading.words) - self.common):
            holders = self._mentions.get(word, ())
            share = self._share(len(holders))
            for number, points in holders:
                yield number, Clue(points=points * share, words=frozenset({word}), text=f"`{word}`")

    def _share(self, holders: int) -> float:
        """What a word counts that so many agents have: less the more they are, 1 for a single one."""
        return math.log(1 + self._total / max(1, holders)) / math.log(1 + self._total)

    def liken(self, words: frozenset[str]) -> dict[int, float]:
        """Find how alike a request is to the most similar example of each agent: 0 to 1, rare words counting more."""
        words = words - self.fillers - {"|"}
        whole = sum(map(self.weigh, words))
        shared: dict[int, float] = {}
        # Two requests that have no more in common than an address, or a word of every day, are not alike.
        vague = {word for word in words if word.startswith("<") or word in self._everyday}
        for word in (*sorted(words - vague), *sorted(vague)):
            weight = self.weigh(word)
            for sample in self._sampled.get(word, ()):
                if word not in vague or sample in shared:
                    shared[sample] = shared.get(sample, 0.0) + weight
        likeness: dict[int, float] = {}
        for sample, weight in shared.items():
            number = self._samples[sample][0]
            alike = weight / (whole + self._heaviness[sample] - weight)
            likeness[number] = max(alike, likeness.get(number, 0.0))
        return likeness

    def compare(self, words: frozenset[str], sample: frozenset[str]) -> float:
        """Return how alike two sets of words are, rare ones counting more: 0 to 1."""
        words = words - self.fillers - {"|"}
        weight = sum(map(self.weigh, words | sample))
        return sum(map(self.weigh, words & sample)) / weight if weight else 0.0

    def weigh(self, word: str) -> float:
        """Return the weight of a word when requests are compared."""
        weight = self._weights.get(word)
        if weight is None:
            if word in self.common:
                weight = 0.3
            elif word.startswith("<"):
                weight = 0.3 + 1.2 * self._share(len(self._kinds.get(word[1:-1], ())))
            else:
                holders = len(self._mentions.get(word, ()))
                weight = 0.3 + 1.65 * self._share(holders) if holders else 1.5
                weight *= EVERYDAY if word in self._everyday else 1.0
            if len(self._weights) < 50_000:
                self._weights[word] = weight
        return weight


def spell(text: str) -> Spelling:
    """Return what of a text must be the same for two to count as one word for word."""
    return stem_words(text[:MOST_READ]), find_features(text[:MOST_READ])


def _weigh_kind(definition: AgentEntry, count: int) -> float:
    """Weigh a kind of target that so many of an agent's examples name."""
    if definition.has_playbook and definition.tier != "task":
        return 1.0
    return (NARROW if definition.tier == "task" else TOLD) * min(1.0, 2 * count / len(definition.examples))


def _stem_all(words: Iterable[str]) -> frozenset[str]:
    return frozenset(map(stem, words))


def _reach(span: tuple[str, ...], wanted: Sequence[str]) -> int:
    return max(span.index(word) for word in wanted) + 1
