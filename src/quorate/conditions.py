"""Does a condition hold, and what does an expression give? One language for playbooks, workflows, routes, policies.

The language is [CEL](https://cel.dev): it has no loops, no assignments and no effects. The library that evaluates it
cannot be interrupted, so an evaluation is bounded before it begins: by the size of the text, the nesting, the size of
the variables, and an estimate of the work that comprehensions may do on them.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Protocol, cast

from quorate.errors import InvalidInput, MissingExtra, TooLarge, UnknownName

MAX_TEXT = 2000
"""Characters of an expression."""
MAX_NESTING = 32
"""Brackets inside brackets."""
MAX_COMPREHENSIONS = 8
"""Uses of `map`, `filter`, `exists`, `exists_one` and `all` in one expression."""
MAX_COMPREHENSION_DEPTH = 3
"""Comprehensions inside comprehensions."""
MAX_DEPTH = 48
"""Levels of a variable's value."""
MAX_NODES = 50_000
"""Lists, maps and scalars in all variables that an expression names."""
MAX_CHARACTERS = 1 << 20
"""Characters in all those variables' strings, and in what an expression gives."""
MAX_WORK = 1_000_000
"""Elements visited or copied, at worst; about 0.3 s on a slow machine."""

_TOKEN = re.compile(
    r"""//[^\n]*|[rR]?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|[A-Za-z_]\w*|\d+|[^\s]""",
    re.DOTALL,
)
_MACROS = frozenset({"map", "filter", "exists", "exists_one", "all"})
_COPYING = frozenset({"map", "filter"})
_LOADING = threading.Lock()
_POSITION = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?(.*)")


class _Program(Protocol):
    def execute(self, context: object, /) -> object: ...
    def variables(self) -> list[str]: ...
    def functions(self) -> list[str]: ...


class _Library(Protocol):
    def compile(self, text: str, /) -> _Program: ...
    def Context(self, *, variables: dict[str, object], functions: dict[str, object]) -> object: ...  # noqa: N802  # its own name


class Condition:
    """An expression that was read and found sound; evaluate it as often as you like.

    You would hold one wherever a file states when something applies. It keeps no state between evaluations.
    """

    def __init__(self, text: str, program: _Program, names: tuple[str, ...], shape: _Shape) -> None:
        self.text = text
        self.names = names
        """The variables it reads, sorted."""
        self._program = program
        self._shape = shape

    def __repr__(self) -> str:
        return f"<Condition {self.text!r}>"

    def evaluate(self, variables: Mapping[str, object]) -> object:
        """Return what the expression gives for these variables: JSON-like values.

        Raises:
            UnknownName: It reads a variable that is not among them.
            InvalidInput: It cannot be evaluated: a missing field, an index outside, types that do not fit.
            TooLarge: The variables, or the work on them, are above the bounds.
        """
        for name in self.names:
            if name not in variables:
                raise UnknownName("variable", name, variables, hint=f"It is read by {self.text!r}.")
        # A comprehension's own variable may hide one of ours that is read elsewhere in the text.
        used = {name: variables[name] for name in (*self.names, *self._shape.bound) if name in variables}
        longest = _check_size(self.text, used.values())
        work = self._shape.estimate_work(longest)
        if work > MAX_WORK:
            raise TooLarge(
                f"{self.text!r} may visit {work} elements (its longest list has {longest}); at most {MAX_WORK} are "
                "allowed. Give it shorter lists, or nest fewer comprehensions.",
                work=work,
            )
        return _execute(self._program, self.text, used)

    def holds(self, variables: Mapping[str, object]) -> bool:
        """Return whether the condition holds.

        Raises what `evaluate` raises, and `InvalidInput` when the expression gives anything but true or false.
        """
        value = self.evaluate(variables)
        if not isinstance(value, bool):
            raise InvalidInput(
                f"{self.text!r} gives {type(value).__name__} {value!r:.80}, not true or false; compare it.",
                text=self.text,
            )
        return value


def compile_condition(text: str, *, names: Iterable[str] | None = None) -> Condition:
    """Read an expression.

    Args:
        text: The expression, such as `results.connect.outcome == "refused"`.
        names: The variables there will be, where they are known already; others are refused.

    Raises:
        InvalidInput: It is not CEL, uses an unknown function, or is above the bounds; the message says where.
        UnknownName: It reads a variable that is not in `names`.
        MissingExtra: The extra `cel` is not installed.
    """
    if len(text) > MAX_TEXT:
        raise InvalidInput(f"A condition has {len(text)} characters; at most {MAX_TEXT} are read.")
    shape = _Shape(text)
    program = _compile(text)
    known_functions = _BUILTINS | set(_FUNCTIONS)
    for function in program.functions():
        if function[0] not in "_!-@" and function not in known_functions:
            raise UnknownName("function", function, known_functions, hint=f"It is called in {text!r}.")
    free = tuple(sorted(set(program.variables()) - shape.bound - set(_FUNCTIONS)))
    if names is not None:
        known = set(names)
        for name in free:
            if name not in known:
                raise UnknownName("variable", name, known, hint=f"It is read by {text!r}.")
    return Condition(text, program, free, shape)


class _Shape:
    """What can be told of an expression's cost from its tokens."""

    def __init__(self, text: str) -> None:
        tokens = [match for match in _TOKEN.finditer(text) if not match[0].startswith("//")]
        words = [token[0] for token in tokens]
        self.bound: set[str] = set()
        self._macros: list[tuple[str, int]] = []
        self._growing = words.count("+")
        self._literal = words.count(",") + 1
        self._has_costly = not {"matches", *_FUNCTIONS}.isdisjoint(words)
        open_macros: list[bool] = []
        for index, word in enumerate(words):
            if word in ("(", "[", "{"):
                macro = word == "(" and index > 1 and words[index - 1] in _MACROS and words[index - 2] == "."
                open_macros.append(macro)
                if len(open_macros) > MAX_NESTING:
                    raise InvalidInput(
                        f"{text[:80]!r} nests deeper than {MAX_NESTING} brackets at "
                        f"{_place(text, tokens[index].start())}."
                    )
                if macro:
                    self._macros.append((words[index - 1], sum(open_macros)))
                    self.bound.update(words[index + 1 : index + 2])
            elif word in (")", "]", "}") and open_macros:
                open_macros.pop()
        if len(self._macros) > MAX_COMPREHENSIONS:
            raise InvalidInput(
                f"{text[:80]!r} has {len(self._macros)} comprehensions; at most {MAX_COMPREHENSIONS} are allowed."
            )
        deepest = max((depth for _, depth in self._macros), default=0)
        if deepest > MAX_COMPREHENSION_DEPTH:
            raise InvalidInput(
                f"{text[:80]!r} nests {deepest} comprehensions; at most {MAX_COMPREHENSION_DEPTH} are allowed."
            )

    def estimate_work(self, longest: int) -> int:
        """The elements visited or copied, at worst, when the longest list has so many elements.

        `+` makes longer lists and a comprehension can name one, so each comprehension may multiply the length. The
        library copies the list it has built so far for every element that `map` and `filter` add to it.
        """
        length = max(longest, self._literal) * (self._growing + 1) ** len(self._macros)
        weight = 20 if self._has_costly else 1
        return sum(length**depth * max(length if name in _COPYING else 1, weight) for name, depth in self._macros)


@cache
def _load_library() -> _Library:
    """Load the library's evaluator alone: its package imports a command line too, at fifty times the cost.

    Raises:
        MissingExtra: The extra `cel` is not installed.
    """
    with _LOADING:  # several threads may need it first, and it bears being loaded only once
        loaded = sys.modules.get("cel.cel")
        if loaded is None:
            package = importlib.machinery.PathFinder.find_spec("cel")
            places = package.submodule_search_locations if package is not None else None
            spec = importlib.machinery.PathFinder.find_spec("cel.cel", places) if places is not None else None
            if spec is None or spec.loader is None:
                raise MissingExtra("Conditions", "cel")
            loaded = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(loaded)
            sys.modules["cel.cel"] = loaded
    # The library has no type stubs; it has the names of `_Library`.
    return cast("_Library", loaded)


def _compile(text: str) -> _Program:
    try:
        return _load_library().compile(text)
    except ValueError as error:
        found = _POSITION.search(str(error))
        if found is None:
            raise InvalidInput(f"{text!r} is not a condition: {error}", text=text) from error
        line, column = int(found[1]), int(found[2])
        reason = found[3].split(" expecting ", 1)[0].replace("'<EOF>'", "the end")
        reason = reason.replace("mismatched input", "unexpected").replace("extraneous input", "unexpected")
        raise InvalidInput(
            f"{text!r} is not a condition: {reason} at line {line}, column {column}.",
            text=text,
            line=line,
            column=column,
        ) from error


def _execute(program: _Program, text: str, variables: dict[str, object]) -> object:
    try:
        context = _load_library().Context(variables=variables, functions=dict(_FUNCTIONS))
        value = program.execute(context)
    except KeyError as error:
        field = str(error.args[0]) if error.args else "?"
        raise InvalidInput(
            f"{text!r} reads the field {field!r}, which is not there; guard it with `has(…)`.", text=text, field=field
        ) from error
    except (ValueError, TypeError, RuntimeError, LookupError, ArithmeticError) as error:
        reason = str(error).split(" CEL does not coerce", 1)[0].split(". Check ", 1)[0]
        raise InvalidInput(f"{text!r} cannot be evaluated: {reason.rstrip('.')}.", text=text) from error
    _check_size(text, [value])
    return value


def _check_size(text: str, values: Iterable[object]) -> int:
    """Return the length of the longest list or map.

    Raises:
        TooLarge: There is too much of it, or it is too deep.
    """
    nodes, characters, longest = 0, 0, 0
    level: list[object] = list(values)
    for _ in range(MAX_DEPTH):
        if not level:
            return longest
        below: list[object] = []
        for value in level:
            if isinstance(value, str | bytes):
                characters += len(value)
            elif isinstance(value, Mapping | list | tuple):
                # What is in a variable is of no static type.
                held = cast("Mapping[object, object] | list[object]", value)
                longest = max(longest, len(held))
                below += _iterate(held)
        nodes += len(level)
        if nodes + len(below) > MAX_NODES or characters > MAX_CHARACTERS:
            raise TooLarge(
                f"{text[:80]!r} reads or gives more than {MAX_NODES} values or {MAX_CHARACTERS} characters.", text=text
            )
        level = below
    raise TooLarge(f"{text[:80]!r} reads or gives values deeper than {MAX_DEPTH} levels.", text=text)


def _iterate(value: Mapping[object, object] | list[object] | tuple[object, ...]) -> Iterator[object]:
    if isinstance(value, Mapping):
        yield from value
        yield from value.values()
    else:
        yield from value


def _place(text: str, offset: int) -> str:
    line = text.count("\n", 0, offset) + 1
    return f"line {line}, column {offset - text.rfind(chr(10), 0, offset)}"


def _forgive(function: Callable[..., object]) -> Callable[..., object]:
    """Give null where the arguments do not fit: the library prints what a function raises, and goes on."""

    def forgiving(*given: object) -> object:
        try:
            return function(*given)
        except (TypeError, ValueError, AttributeError):
            return None

    return forgiving


def _flatten(given: tuple[object, ...]) -> list[object]:
    only = given[0] if len(given) == 1 else None
    return list(cast("list[object]", only)) if isinstance(only, list | tuple) else list(given)


def _max(*given: object) -> object:
    return max(cast("list[float]", _flatten(given)))


def _min(*given: object) -> object:
    return min(cast("list[float]", _flatten(given)))


def _sum(*given: object) -> object:
    return sum(cast("list[float]", _flatten(given)))


def _round(value: float, digits: int = 0) -> object:
    return float(round(value, digits))


def _join(values: list[object], separator: str = ", ") -> str | None:
    words = [str(value) for value in values]
    size = sum(map(len, words)) + len(separator) * len(words)
    return separator.join(words) if size <= MAX_CHARACTERS else None


def _distinct(values: list[object]) -> list[object]:
    seen: dict[str, object] = {}
    for value in values:
        seen.setdefault(repr(value), value)
    return list(seen.values())


def _sort(values: list[str]) -> list[str]:
    return sorted(values)


def _lower(value: str) -> str:
    return value.lower()


# Pure functions beside CEL's own, by the names that other CEL libraries use; null when the arguments do not fit.
_FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "max": _forgive(_max),
    "min": _forgive(_min),
    "sum": _forgive(_sum),
    "round": _forgive(_round),
    "join": _forgive(_join),
    "distinct": _forgive(_distinct),
    "sort": _forgive(_sort),
    "lowerAscii": _forgive(_lower),
}
_BUILTINS = frozenset(
    [
        "size",
        "contains",
        "startsWith",
        "endsWith",
        "matches",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "timestamp",
        "duration",
        "type",
        "dyn",
        "has",
        "getFullYear",
        "getMonth",
        "getDayOfYear",
        "getDayOfMonth",
        "getDate",
        "getDayOfWeek",
        "getHours",
        "getMinutes",
        "getSeconds",
        "getMilliseconds",
        "map",
        "filter",
        "exists",
        "exists_one",
        "all",
    ]
)
