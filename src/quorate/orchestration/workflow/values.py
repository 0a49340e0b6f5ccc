"""How do inputs and what steps gave get into the arguments of other steps?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import msgspec

from quorate.conditions import Condition, compile_condition
from quorate.errors import InvalidInput, UnknownName

Values = Mapping[str, object]
PLACEHOLDER = re.compile(r"\{([a-z_]\w*(?:\.\w+)*)\}")
NAMES = ("inputs", "steps", "item", "index", "last", "output")
"""What expressions may read, each where there is one."""
_PATH = re.compile(r"(?:inputs|steps|item|index|last|output)(?:\.[a-z_]\w*)*")
_READ = re.compile(r"\bsteps\s*\.\s*([A-Za-z_]\w*)")
_INPUT = re.compile(r"\binputs\s*\.\s*([A-Za-z_]\w*)")
QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")


class Expressions:
    """The expressions of a workflow, each read once."""

    def __init__(self) -> None:
        self._known: dict[str, Condition] = {}
        self._paths: dict[str, tuple[str, ...] | None] = {}
        """Expressions that only name a value, which is quicker found than evaluated."""

    def read(self, text: str) -> Condition:
        """Return the condition of a text.

        Raises:
            InvalidInput: It is not CEL.
        """
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = compile_condition(text)
        return found

    def evaluate(self, text: str, values: Values) -> object:
        """Return what an expression gives; raises what `Condition.evaluate` does."""
        if text not in self._paths:
            self._paths[text] = tuple(text.split(".")) if _PATH.fullmatch(text) else None
        path = self._paths[text]
        if path is not None:
            found = _follow(path, values)
            if found is not _NOTHING:  # else it is the library's to say why
                return found
        return self.read(text).evaluate(_prune(text, values))

    def holds(self, text: str, values: Values) -> bool:
        """Whether an expression holds; raises what `Condition.holds` does."""
        return self.read(text).holds(_prune(text, values))

    def fill(self, given: object, values: Values) -> object:
        """Put values in the place of templates and expressions, however deep.

        Raises:
            InvalidInput: One cannot be worked out.
        """
        if isinstance(given, str):
            return self.evaluate(given[1:], values) if given.startswith("=") else fill_text(given, values)
        if isinstance(given, dict):
            members = cast("dict[str, object]", given)
            return {name: self.fill(value, values) for name, value in members.items()}
        if isinstance(given, list | tuple):
            return [self.fill(value, values) for value in cast("Sequence[object]", given)]
        return given


_NOTHING = object()


def _follow(path: Sequence[str], values: Values) -> object:
    found = cast("object", values)
    for part in path:
        fields = cast("dict[str, object]", found) if isinstance(found, dict) else {}
        if part not in fields:
            return _NOTHING
        found = fields[part]
    return found


def fill_text(text: str, values: Values) -> str:
    """Put values in the place of `{name}`, in one pass: what they hold is never a template itself.

    Raises:
        UnknownName: There is no such value.
    """
    return PLACEHOLDER.sub(lambda match: _write(_find(match[1], values)), text)


def find_steps(*texts: str) -> set[str]:
    """Find the steps that expressions and templates name."""
    found: set[str] = set()
    for text in texts:
        if text.startswith("="):
            found |= set(_READ.findall(QUOTED.sub("''", text)))
        else:
            found |= {name.split(".")[1] for name in PLACEHOLDER.findall(text) if name.startswith("steps.")}
    return found


def find_inputs(*texts: str) -> set[str]:
    """Find the inputs that expressions and templates name."""
    found: set[str] = set()
    for text in texts:
        if text.startswith("="):
            found |= set(_INPUT.findall(QUOTED.sub("''", text)))
        else:
            names = [name.split(".") for name in PLACEHOLDER.findall(text)]
            found |= {parts[1] for parts in names if parts[0] == "inputs" and len(parts) > 1}
            found |= {parts[0] for parts in names if parts[0] not in NAMES}
    return found


def iterate_texts(value: object) -> Iterator[str]:
    """Yield every text inside a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for member in cast("dict[str, object]", value).values():
            yield from iterate_texts(member)
    elif isinstance(value, list | tuple):
        for member in cast("Sequence[object]", value):
            yield from iterate_texts(member)


def _find(path: str, values: Values) -> object:
    """Find a value by its path: an input by its name alone, everything else from where it stands."""
    parts = path.split(".")
    if parts[0] not in NAMES:
        parts.insert(0, "inputs")
    found = cast("object", values)
    for place, part in enumerate(parts):
        kind = type(found).__name__
        if isinstance(found, Mapping):
            members = cast("Mapping[str, object]", found)
            if part not in members:
                raise UnknownName("value", ".".join(parts[: place + 1]), members)
            found = members[part]
        elif isinstance(found, list) and part.isdigit():
            items = cast("list[object]", found)
            if int(part) >= len(items):
                raise InvalidInput(f"`{{{path}}}`: {'.'.join(parts[:place])} has {len(items)} items, none at {part}.")
            found = items[int(part)]
        else:
            what = ".".join(parts[:place])
            raise InvalidInput(f"`{{{path}}}`: {what} is {kind}, which has no {part!r}.")
    return found


def _write(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def _prune(text: str, values: Values) -> dict[str, object]:
    """Leave only the steps that an expression reads, so that it costs what it needs."""
    known = cast("Mapping[str, object]", values["steps"])
    names = find_steps(f"={text}")
    return {**values, "steps": {name: known[name] for name in names if name in known}}
