"""How is a regular expression from a stranger searched for in time that only grows with the text?

The expression becomes a graph of states that is walked in step with the text, so no text can make it go back and try
again: `(a+)+$` costs as much as `a+$`. What needs going back (references, look-around) is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from quorate.errors import ToolError

MAX_PATTERN_CHARS = 500
MAX_STATES = 2000
MAX_REPEATS = 200
MAX_DEPTH = 30
CACHED_SETS = 500
CACHED_MOVES = 512

Test = Callable[[str], bool]
Emit = Callable[[int], int]
"""Adds what a part of the expression needs before a given state, and returns where it is entered."""

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
_CLASSES: dict[str, Test] = {
    "d": str.isdigit,
    "s": str.isspace,
    "w": lambda char: char.isalnum() or char == "_",
}


class _Graph:
    """The states: a test of one character, a fork, a place that is only passed at an edge, or the end."""

    def __init__(self) -> None:
        self.tests: list[Test | None] = [None]
        self.nexts: list[tuple[int, ...]] = [()]
        self.edges: list[str] = [""]

    def add(self, *nexts: int, test: Test | None = None, edge: str = "") -> int:
        if len(self.tests) >= MAX_STATES:
            raise ToolError(f"The pattern needs more than {MAX_STATES} states; write a shorter one.")
        self.tests.append(test)
        self.nexts.append(nexts)
        self.edges.append(edge)
        return len(self.tests) - 1

    def close(self, states: Iterable[int], *, at_start: bool, at_end: bool = False) -> frozenset[int]:
        """Add what can be reached without reading a character."""
        todo, reached = list(states), set[int]()
        while todo:
            state = todo.pop()
            edge = self.edges[state]
            if state in reached or (edge == "^" and not at_start) or (edge == "$" and not at_end):
                # A closed edge is kept, so that it can be tried again at the end of the text.
                reached.add(state)
                continue
            reached.add(state)
            if self.tests[state] is None:
                todo.extend(self.nexts[state])
        return frozenset(reached)


class _Set:
    """The states the walk may be in after the text so far."""

    __slots__ = ("found", "moves", "states")

    def __init__(self, states: frozenset[int]) -> None:
        self.states = states
        self.found = 0 in states
        self.moves: dict[str, _Set] = {}


class LinearPattern:
    r"""A regular expression that is searched for in linear time.

    It knows literals, `.`, classes (`[a-z]`, `\d \s \w` and their opposites), groups, `|`, `* + ? {m,n}`, `^`, `$`.
    """

    def __init__(self, pattern: str, *, ignore_case: bool = False) -> None:
        if len(pattern) > MAX_PATTERN_CHARS:
            raise ToolError(f"The pattern is {len(pattern)} characters long; at most {MAX_PATTERN_CHARS} are allowed.")
        self._graph = _Graph()
        self._entry = _Parser(pattern, self._graph, ignore_case=ignore_case).parse()(0)
        self._again = self._graph.close([self._entry], at_start=False)
        self._first = _Set(self._graph.close([self._entry], at_start=True))
        self._sets: dict[frozenset[int], _Set] = {}

    def search(self, text: str) -> bool:
        """Tell whether the expression matches anywhere in `text`."""
        current = self._first
        for char in text:
            if current.found:
                return True
            current = current.moves.get(char) or self._move(current, char)
        if current.found:
            return True
        return 0 in self._graph.close(current.states, at_start=not text, at_end=True)

    def _move(self, current: _Set, char: str) -> _Set:
        tests, nexts = self._graph.tests, self._graph.nexts
        reached = [nexts[state][0] for state in current.states if (test := tests[state]) is not None and test(char)]
        states = self._graph.close(reached, at_start=False) | self._again
        if len(self._sets) >= CACHED_SETS:
            self._sets.clear()
            self._first.moves.clear()
        following = self._sets.get(states)
        if following is None:
            following = self._sets[states] = _Set(states)
        if len(current.moves) < CACHED_MOVES:
            current.moves[char] = following
        return following


class _Parser:
    """Reads the expression from left to right."""

    def __init__(self, pattern: str, graph: _Graph, *, ignore_case: bool) -> None:
        self.pattern = pattern
        self.graph = graph
        self.ignore_case = ignore_case
        self.at = 0
        self.depth = 0

    def parse(self) -> Emit:
        whole = self.choice()
        if self.at < len(self.pattern):
            raise self.fault("a `)` without its `(`")
        return whole

    def fault(self, what: str) -> ToolError:
        return ToolError(f"The pattern {self.pattern!r} cannot be used: {what}, at character {self.at + 1}.")

    def peek(self, text: str) -> bool:
        return self.pattern.startswith(text, self.at)

    def take(self) -> str:
        if self.at >= len(self.pattern):
            raise self.fault("it ends too early")
        self.at += 1
        return self.pattern[self.at - 1]

    def choice(self) -> Emit:
        branches = [self.sequence()]
        while self.peek("|"):
            self.at += 1
            branches.append(self.sequence())
        if len(branches) == 1:
            return branches[0]
        return lambda following: self.graph.add(*[branch(following) for branch in branches])

    def sequence(self) -> Emit:
        parts: list[Emit] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            parts.append(self.repeated(self.atom()))

        def emit(following: int) -> int:
            for part in reversed(parts):
                following = part(following)
            return following

        return emit

    def repeated(self, part: Emit) -> Emit:
        while self.at < len(self.pattern) and self.pattern[self.at] in "*+?{":
            least, most = self.bounds(self.take())
            if self.peek("?"):
                self.at += 1  # lazy or greedy makes no difference to whether there is a match
            part = self.times(part, least, most)
        return part

    def bounds(self, sign: str) -> tuple[int, int | None]:
        if sign != "{":
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        end = self.pattern.find("}", self.at)
        inner = self.pattern[self.at : end] if end > 0 else ""
        low, comma, high = inner.partition(",")
        if not low.isdigit() or (high and not high.isdigit()) or len(inner) > 9:
            raise self.fault("`{` opens a count such as `{2,5}`; write `\\{` for the character")
        self.at = end + 1
        least, most = int(low), int(high) if high else (None if comma else int(low))
        if least > MAX_REPEATS or (most is not None and not least <= most <= MAX_REPEATS):
            raise self.fault(f"a count goes from low to high, up to {MAX_REPEATS}")
        return least, most

    def times(self, part: Emit, least: int, most: int | None) -> Emit:
        def emit(following: int) -> int:
            if most is None:
                fork = self.graph.add(following)
                self.graph.nexts[fork] = (part(fork), following)
                following = fork
            for _ in range((most or least) - least):
                following = self.graph.add(part(following), following)
            for _ in range(least):
                following = part(following)
            return following

        return emit

    def atom(self) -> Emit:
        char = self.take()
        if char == "(":
            return self.group()
        if char in "^$":
            return lambda following: self.graph.add(following, edge=char)
        if char in "*+?{":
            raise self.fault(f"`{char}` has nothing to repeat")
        test = self.test(char)
        return lambda following: self.graph.add(following, test=test)

    def group(self) -> Emit:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fault(f"groups go deeper than {MAX_DEPTH}")
        if self.peek("?"):
            if not self.peek("?:"):
                raise self.fault("look-around, flags and named groups are not supported")
            self.at += 2
        inner = self.choice()
        if self.at >= len(self.pattern):
            raise self.fault("a `(` without its `)`")
        self.at += 1
        self.depth -= 1
        return inner

    def test(self, char: str) -> Test:
        if char == ".":
            return lambda _: True
        if char == "[":
            return self.members()
        if char == "\\":
            kind, value = self.escape()
            return value if callable(value) else self.one(kind)
        return self.one(char)

    def one(self, char: str) -> Test:
        if self.ignore_case:
            folded = char.casefold()
            return lambda other: other.casefold() == folded
        return lambda other: other == char

    def escape(self) -> tuple[str, Test | None]:
        char = self.take()
        if char.lower() in _CLASSES:
            inside = _CLASSES[char.lower()]
            return char, inside if char.islower() else lambda other: not inside(other)
        if char.isalnum() and char not in _ESCAPES:
            raise self.fault(f"`\\{char}` is not supported")
        return _ESCAPES.get(char, char), None

    def members(self) -> Test:
        negated = self.peek("^")
        self.at += negated
        tests: list[Test] = []
        first = True
        while first or not self.peek("]"):
            first = False
            char = self.take()
            char, kind = self.escape() if char == "\\" else (char, None)
            if kind is not None:
                tests.append(kind)
            elif self.peek("-") and not self.peek("-]"):
                self.at += 1
                tests.append(self.span(char))
            else:
                tests.append(self.one(char))
        self.at += 1
        return lambda other: any(test(other) for test in tests) is not negated

    def span(self, low: str) -> Test:
        high = self.take()
        high = self.escape()[0] if high == "\\" else high
        if high < low:
            raise self.fault(f"the range `{low}-{high}` runs backwards")
        if self.ignore_case:
            return lambda other: low <= other.lower() <= high or low <= other.upper() <= high
        return lambda other: low <= other <= high
