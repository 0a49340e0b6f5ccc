"""What does a request talk about: which words, which targets, and which of them only to rule them out?"""

from __future__ import annotations

import functools
import re
import tomllib
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

MOST_READ = 10_000
"""Characters of a request that are read; what comes after them decides nothing."""
FEATURES = {
    "url": "a URL",
    "sql": "an SQL file",
    "code": "a source file",
    "log": "a log file",
    "trace": "a stack trace",
    "address": "an IP address",
    "path": "a path",
    "endpoint": "a host and port",
    "host": "a host name",
}
"""The kinds of target a text may name, in the words of a reason."""
RELATED = {"endpoint": "url", "trace": "log", "sql": "code"}
"""The kind that stands in for one that no agent's examples name."""

_CODE_ENDINGS = "py|pyi|js|jsx|ts|tsx|go|rs|java|rb|c|cc|cpp|h|hpp|cs|php|sh|kt|swift|scala|lua|pl"
_DOMAINS = "com|org|net|io|dev|local|internal|lan|test|example|invalid|edu|gov|eu|uk|de|fr|ch|co|ai|app|cloud|info"
# Every repetition that can begin at each character has a bound, so that no request takes long to read.
_KINDS = {
    "url": r"\b[a-z][a-z0-9+.-]{1,15}://[^\s<>\"'`]+",
    "sql": r"(?<![\w./~-])[\w./~-]{0,300}\w\.(?:sql|ddl)\b(?::\d+)*",
    "code": rf"(?<![\w./~-])[\w./~-]{{0,300}}\w\.(?:{_CODE_ENDINGS})\b(?::\d+)*",
    "log": r"(?<![\w./~-])[\w./~-]{0,300}\w\.(?:log|err|jsonl|journal)(?:\.\d+|\.gz)*\b|/var/log(?:/[\w.-]+)*/?",
    "trace": r"\btraceback \(most recent call last\)|\bexception in thread\b"
    r"|^[ \t]{1,80}at [\w.$]{1,300}\([\w.]{1,300}:\d+\)",
    "address": r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?:[:/]\d{1,5})?(?![\w.]*\d)"
    r"|\[?(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{1,4}\]?(?::\d+)?(?![\w:])",
    "path": r"(?<![\w./~-])(?:~|\.{1,2})?/[\w.~-]+(?:/[\w.~-]*)*|(?<![\w./~-])[\w.-]+/[\w.-]+/[\w./-]*"
    r"|(?<![\w./~-])[\w-]+/(?=\s|$|[?,;])",
    "endpoint": r"\b(?:[a-z][\w-]{0,62}\.){0,8}[a-z][\w-]{0,62}:\d{1,5}\b",
    "host": rf"\b(?:[a-z0-9][a-z0-9-]{{0,62}}\.){{1,8}}(?:{_DOMAINS})\b",
}
_TARGET = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _KINDS.items()), re.MULTILINE)
_MAY_HOLD_TARGET = re.compile(r"[\w\]][.:]\w|/|::|\(most|thread|\(\w")
_CLAUSE = re.compile(
    r"[.;!?\n]+(?=\s|$)|,\s*(?:but|also|and then|then|just|only)\b|,\s+|\bbut\b|\s[-–—]\s|\binstead\b(?! of)"
)
_DO_NOT = r"(?:do not|don't|dont)"
_RULED_OUT = re.compile(
    rf"(?:^\s*(?:(?:and|so|please|but|just)\s+)*(?:{_DO_NOT}|never|skip|ignore|avoid|exclude|forget)\b"
    rf"|\b(?:i|we)\s+{_DO_NOT}\s+(?:want|need|care|mean|ask)\b"
    rf"|\b{_DO_NOT}\s+(?:check|look|touch|review|scan|run|inspect|analy[sz]e|use)\b"
    r"|\bno need\b|\bnot interested in\b|\bnothing to do with\b|\binstead of\b|\brather than\b|\bother than\b"
    r"|\bapart from\b|\bexcept\b|\bexcluding\b|\bwithout\s+\w+ing\b|\bnot about\b|\bunrelated to\b"
    r"|\bisn't\s+(?:about|a|an)\b|\bnot\s+(?:a|an|the|my|our|your|any)\b)(?P<rest>.*)$",
    re.DOTALL,
)
_RESUMED = re.compile(r"\band\s+(?=(?:check|tell|show|look|find|analy[sz]e|measure|list|explain|focus)\b)")
_ABOUT = re.compile(
    r"\b(?:about|on|regarding|concerning|of|for|to|with|using|that|which|called|featuring|inspired|in)\b"
)
_WORD = re.compile(r"[a-z0-9]+(?:[-_'][a-z0-9]+)*|<[a-z]+>")
_PART = re.compile("[a-z0-9]+|<[a-z]+>")


class Words(Struct, frozen=True, kw_only=True):
    """The lists of `words.toml`, which says what each is."""

    stop: frozenset[str]
    asking: frozenset[str]
    everyday: frozenset[str]
    symptoms: frozenset[str]
    machines: frozenset[str]
    making: frozenset[str]
    nouns_too: frozenset[str]
    turning: frozenset[str]
    artefacts: frozenset[str]
    answers: frozenset[str]
    lead_in: frozenset[str]
    elsewhere: re.Pattern[str]


class Reading(Struct, frozen=True, kw_only=True):
    """A request as routing sees it."""

    words: tuple[str, ...]
    """The stems of what is asked for, in order; a bar (`|`) stands between clauses."""
    features: frozenset[str]
    """The kinds of target it names."""
    named: frozenset[str]
    """Its words as they were written, so that an agent called by its name is found."""
    making: tuple[str, ...] = ()
    """The stems of what it wants made: a poem, a translation."""


@functools.cache
def load_words() -> Words:
    """Read the lists of English words that routing and search need; the file is read once."""
    lists = tomllib.loads((Path(__file__).parent / "words.toml").read_text(encoding="utf-8"))
    phrases: list[str] = lists.pop("elsewhere")
    sets = {name: frozenset[str](text.split()) for name, text in lists.items()}
    return Words(**sets, elsewhere=re.compile(rf"\b(?:{'|'.join(map(re.escape, phrases))})s?\b"))


def read_request(text: str) -> Reading:
    """Read a request: its words without targets, without what it rules out and without mere topics of a poem."""
    plain = load_words().elsewhere.sub(" elsewhere ", _fold(text[:MOST_READ]))
    words: list[str] = []
    making: list[str] = []
    named: set[str] = set()
    for clause in _split_clauses(_TARGET.sub(_name_target, plain)):
        asked, made = _take_topic(_drop_ruled_out(clause))
        named.update(_WORD.findall(asked))
        making += made
        words += [*_stems(asked), "|"]
    features = frozenset(word[1:-1] for word in words if word.startswith("<"))
    return Reading(words=tuple(words), features=features, named=frozenset(named), making=tuple(making))


def stem_words(text: str) -> tuple[str, ...]:
    """Split a text into the stems of its words, stop words included, targets left out."""
    return tuple(stemmed for _, stemmed in split_words(text))


def split_words(text: str) -> Iterator[tuple[str, str]]:
    """Yield the words of a text with their stems, targets left out."""
    plain = _fold(text)
    # Most trigger words cannot hold a target, and hundreds of agents have thousands of them.
    plain = _TARGET.sub(_name_target, plain) if _MAY_HOLD_TARGET.search(plain) else plain
    for part in _PART.findall(plain):
        if part[0] != "<":
            yield part, stem(part)


def find_features(text: str) -> frozenset[str]:
    """Find the kinds of target a text names."""
    plain = _fold(text)
    if not _MAY_HOLD_TARGET.search(plain):
        return frozenset()
    return frozenset(match.lastgroup for match in _TARGET.finditer(plain) if match.lastgroup)


@functools.lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Reduce a word to the part its forms share; never to less than three letters."""
    word = _singular(word)
    for suffix in ("ing", "ed"):
        rest = word.removesuffix(suffix)
        if rest != word and len(rest) >= 3 and re.search("[aeiouy]", rest):
            doubled = rest[-1] == rest[-2] and rest[-1] not in "lsz"
            word = rest[:-1] if doubled else rest
            break
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes", "zes")):
        return word[:-2]
    # `status`, `this` and `access` are no plurals; `cpus` is.
    kept = ("ss", "is") if len(word) == 4 else ("ss", "us", "is")
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(kept) else word


def _fold(text: str) -> str:
    text = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return text.replace("can't", "cannot").replace("can not", "cannot")


def _name_target(match: re.Match[str]) -> str:
    after = match[0][-1] if match[0][-1] in ".,;!?" else ""
    return f" <{match.lastgroup}>{after} "


def _stems(text: str) -> Iterator[str]:
    for word in _WORD.findall(text):
        if word.startswith("<"):
            yield word
        else:
            yield from (stem(part) for part in re.split("[-_']", word) if part)


def _split_clauses(text: str) -> Iterator[str]:
    for clause in _CLAUSE.split(text):
        yield from (part for part in _RESUMED.split(clause) if part.strip())


def _drop_ruled_out(clause: str) -> str:
    found = _RULED_OUT.search(clause)
    return clause[: found.start()] if found else clause


def _take_topic(clause: str) -> tuple[str, tuple[str, ...]]:
    """Cut what a poem is about from a clause that wants a poem, and say what is to be made."""
    known = load_words()
    words = [word for word in _WORD.findall(clause) if word not in known.lead_in]
    verb, after = words[0] if words else "", words[1] if len(words) > 1 else ""
    artefact = next((word for word in words if word in known.artefacts or stem(word) in known.artefacts), "")
    made = (stem(artefact),) if artefact else ()
    if verb in known.turning:
        return "", (verb,)
    if verb in known.making and not _is_noun(verb, after) and not known.answers.intersection(words[1:5]):
        made = (stem(verb), *made)
    if not made:
        return clause, ()
    topic = _ABOUT.search(clause, clause.find(artefact or verb) + len(artefact or verb))
    return clause[: topic.start()] if topic else clause, made


def _is_noun(verb: str, after: str) -> bool:
    """Whether a word is the name of a thing here, by what comes after it: `order service`, `build failed`."""
    known = load_words()
    things = known.symptoms | known.machines | {"is", "was", "has", "job"}
    return verb in known.nouns_too and (after in things or stem(after) in things)
