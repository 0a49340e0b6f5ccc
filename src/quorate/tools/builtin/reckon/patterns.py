"""Can a regular expression be made to run for ever, and what does it match?"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from quorate.errors import ToolError
from quorate.tools.builtin.files.pattern import compile_pattern

MAX_DEPTH = 40
MANY = 1000
"""A repetition of so many or more counts as one without a bound."""
_ALPHABET = "".join(map(chr, range(128))) + "é中 "
_ESCAPED_POINTS = "bBAZz"

RiskKind = Literal["exponential", "polynomial", "unanchored"]


class RegexRisk(Struct, frozen=True, kw_only=True):
    """A place where a backtracking engine may try again and again."""

    risk: RiskKind
    position: int
    """Where it begins in the pattern, from 0."""
    message: str


class SampleMatch(Struct, frozen=True, kw_only=True):
    """Whether a sample matches."""

    sample: str
    is_match: bool


class RegexReport(Struct, frozen=True, kw_only=True):
    """What a regular expression is, and what it may do to an engine that backtracks."""

    pattern: str
    is_valid: bool
    error: str = ""
    groups: int = 0
    names: tuple[str, ...] = ()
    is_anchored: bool = False
    risks: tuple[RegexRisk, ...] = ()
    can_blow_up: bool = False
    """Whether its time may grow exponentially, or with the square of the text and more."""
    matches: tuple[SampleMatch, ...] = ()
    """Found by an engine that never backtracks; empty for patterns with look-around or back-references."""
    note: str = ""


class Part(Struct, frozen=True):
    """A part of a pattern: characters, a sequence, a choice, or a repetition of one of these."""

    kind: Literal["chars", "sequence", "choice", "repeat", "empty"]
    at: int
    chars: frozenset[str] = frozenset()
    parts: tuple[Part, ...] = ()
    least: int = 1
    most: int = 1
    is_possessive: bool = False

    @property
    def is_nullable(self) -> bool:
        """Whether it may match nothing."""
        if self.kind == "chars":
            return False
        if self.kind == "repeat":
            return self.least == 0 or self.parts[0].is_nullable
        if self.kind == "choice":
            return any(part.is_nullable for part in self.parts)
        return all(part.is_nullable for part in self.parts)

    def first(self) -> frozenset[str]:
        """What it may begin with."""
        if self.kind == "chars":
            return self.chars
        if self.kind == "repeat":
            return self.parts[0].first()
        if self.kind == "choice":
            return frozenset[str]().union(*(part.first() for part in self.parts))
        found: frozenset[str] = frozenset()
        for part in self.parts:
            found |= part.first()
            if not part.is_nullable:
                break
        return found


def check_regex(pattern: str, samples: Sequence[str] = ()) -> RegexReport:
    """Read a pattern of Python's syntax, look for places that backtrack, and try samples; it never runs itself."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return RegexReport(pattern=pattern, is_valid=False, error=str(error)[:200])
    notes: list[str] = []
    risks: list[RegexRisk] = []
    try:
        tree = _Reader(pattern).read()
        _find_risks(tree, risks)
    except ToolError as error:
        notes.append(error.message)
    except IndexError:  # brackets in a comment of a verbose pattern are none
        notes.append("The pattern has comments, and was not looked through.")
    matches: list[SampleMatch] = []
    if samples:
        try:
            is_match = compile_pattern(pattern, "regex")
            matches = [SampleMatch(sample=sample, is_match=is_match(sample)) for sample in samples]
        except ToolError as error:
            notes.append(f"The samples were not tried: {error.message}")
    unique = {(risk.risk, risk.position): risk for risk in risks}
    return RegexReport(
        pattern=pattern,
        is_valid=True,
        groups=compiled.groups,
        names=tuple(compiled.groupindex),
        is_anchored=pattern.startswith(("^", "\\A")) and pattern.endswith(("$", "\\Z", "\\z")),
        risks=tuple(sorted(unique.values(), key=lambda risk: risk.position)),
        can_blow_up=bool(unique),
        matches=tuple(matches),
        note=" ".join(notes),
    )


def _find_risks(part: Part, risks: list[RegexRisk]) -> None:
    for inner in part.parts:
        _find_risks(inner, risks)
    if part.kind == "repeat" and part.most >= MANY and not part.is_possessive:
        _check_repeat(part, risks)
    if part.kind == "sequence":
        _check_neighbours(part.parts, risks)


def _check_repeat(part: Part, risks: list[RegexRisk]) -> None:
    body = _unwrap(part.parts[0])
    for way in [_unwrap(one) for one in body.parts] if body.kind == "choice" else [body]:
        steps = way.parts if way.kind == "sequence" else [way]
        for place, step in enumerate(steps):
            if not _is_loop(step):
                continue
            others = [one for at, one in enumerate(steps) if at != place and not one.is_nullable]
            # Something in between that the loop cannot match itself keeps the rounds apart.
            if all(one.first() & step.first() for one in others):
                message = "a repetition inside a repetition: the same text can be divided in ever more ways"
                risks.append(RegexRisk(risk="exponential", position=part.at, message=message))
                return
    if body.kind == "choice":
        for at, one in enumerate(body.parts):
            for other in body.parts[at + 1 :]:
                if one.first() & other.first():
                    message = "two branches of a repeated choice begin alike, so each text is tried in both"
                    risks.append(RegexRisk(risk="exponential", position=part.at, message=message))
                    return


def _check_neighbours(parts: Sequence[Part], risks: list[RegexRisk]) -> None:
    for at, part in enumerate(parts):
        if not _is_loop(part):
            continue
        for other in parts[at + 1 :]:
            if _is_loop(other) and other.first() & part.first():
                message = (
                    "two repetitions that match the same stand side by side; time grows with the square of the text"
                )
                risks.append(RegexRisk(risk="polynomial", position=part.at, message=message))
                break
            if not other.is_nullable:
                break


def _is_loop(part: Part) -> bool:
    """Whether it repeats without a bound; groups around it do not matter."""
    inner = _unwrap(part)
    return inner.kind == "repeat" and inner.most >= MANY and not inner.is_possessive


def _unwrap(part: Part) -> Part:
    """Take away groups that hold one thing alone."""
    while part.kind in ("sequence", "choice") and len(part.parts) == 1:
        part = part.parts[0]
    return part


@functools.lru_cache(maxsize=1000)
def _members(text: str) -> frozenset[str]:
    r"""List the characters of the alphabet that one atom such as `\w` or `[a-f]` matches."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atom = re.compile(text, re.DOTALL)
    except re.error:
        return frozenset(_ALPHABET)
    return frozenset(char for char in _ALPHABET if atom.fullmatch(char))


class _Reader:
    """Reads a pattern that is known to be valid."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at: int = 0
        self._depth: int = 0

    def read(self) -> Part:
        return self._choice()

    def _choice(self) -> Part:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ToolError(f"The pattern nests deeper than {MAX_DEPTH}, and was not looked through.")
        began, ways = self._at, [self._sequence()]
        while self._at < len(self._text) and self._text[self._at] == "|":
            self._at += 1
            ways.append(self._sequence())
        self._depth -= 1
        return ways[0] if len(ways) == 1 else Part(kind="choice", at=began, parts=tuple(ways))

    def _sequence(self) -> Part:
        began, parts = self._at, list[Part]()
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            at = self._at
            atom = self._atom()
            parts.append(self._repeat(atom, at))
        return Part(kind="sequence", at=began, parts=tuple(parts))

    def _repeat(self, atom: Part, at: int) -> Part:
        match = re.compile(r"(\*|\+|\?|\{(\d{0,9})(,?)(\d{0,9})\})([?+]?)").match(self._text, self._at)
        if match is None or match[1] in ("{}", "{,}"):
            return atom
        self._at = match.end()
        sign = match[1]
        if sign in "*+?":
            least, most = {"*": (0, MANY), "+": (1, MANY), "?": (0, 1)}[sign]
        else:
            least = int(match[2] or 0)
            most = least if not match[3] else int(match[4]) if match[4] else MANY
        return Part(kind="repeat", at=at, parts=(atom,), least=least, most=most, is_possessive=match[5] == "+")

    def _atom(self) -> Part:
        at, char = self._at, self._text[self._at]
        if char == "(":
            return self._group()
        if char == "[":
            return self._set()
        self._at += 1
        if char in "^$":
            return Part(kind="empty", at=at)
        if char == "\\":
            following = self._text[self._at : self._at + 1]
            self._at += 1
            if following in _ESCAPED_POINTS:
                return Part(kind="empty", at=at)
            if following.isdigit() and following != "0":
                return Part(kind="chars", at=at, chars=frozenset(_ALPHABET))
            length = {"x": 2, "u": 4, "U": 8}.get(following, 0)
            self._at += length
            return Part(kind="chars", at=at, chars=_members(self._text[at : self._at]))
        return Part(kind="chars", at=at, chars=_members("." if char == "." else re.escape(char)))

    def _group(self) -> Part:
        at = self._at
        head = re.compile(r"\((?:\?(?:P<\w+>|P=\w+|#[^)]*|\(\w+\)|<?[=!]|[aiLmsux-]*:?|:|>))?").match(self._text, at)
        self._at = head.end() if head is not None else at + 1
        kind = head[0] if head is not None else "("
        if kind.startswith(("(?#", "(?P=")) or (re.fullmatch(r"\(\?[aiLmsux-]+", kind) is not None):
            self._at += 1
            return Part(kind="empty", at=at)
        inner = self._choice()
        self._at += 1
        if kind.startswith(("(?=", "(?!", "(?<=", "(?<!")):
            return Part(kind="empty", at=at)
        if kind == "(?>":
            return Part(kind="repeat", at=at, parts=(inner,), is_possessive=True)
        return Part(kind="sequence", at=at, parts=(inner,))

    def _set(self) -> Part:
        at = self._at
        end = at + 1 + (self._text[at + 1 : at + 2] == "^")
        end += self._text[end : end + 1] == "]"
        while self._text[end] != "]":
            end += 2 if self._text[end] == "\\" else 1
        self._at = end + 1
        return Part(kind="chars", at=at, chars=_members(self._text[at : self._at]))
