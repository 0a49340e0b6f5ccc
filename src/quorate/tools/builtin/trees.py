"""What does a document of YAML or JSON hold, and on which line, without letting it grow or build anything?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

from quorate.codec.json import check_depth
from quorate.errors import InvalidInput, MissingExtra, ToolError

# Only names for the checker: at run time the library is an extra and is imported where it is used.
if TYPE_CHECKING:
    from yaml.nodes import Node

MAX_DEPTH = 64
MAX_NODES = 100_000
MAX_ALIASES = 500
MAX_PLACE = 200
Scalar = str | int | float | bool | None
_MERGE = "tag:yaml.org,2002:merge"
_PREFIX = "tag:yaml.org,2002:"


class Tree:
    """A value with the line it stands on; looking for what is not there gives an empty tree, never an error."""

    __slots__ = ("duplicates", "fields", "items", "line", "scalar")

    def __init__(self, line: int = 0) -> None:
        self.line = line
        self.scalar: Scalar = None
        self.fields: dict[str, Tree] = {}
        self.items: list[Tree] = []
        self.duplicates: list[tuple[str, int]] = []
        """Keys that came twice, each with its line."""

    def __bool__(self) -> bool:
        return self.scalar is not None or bool(self.fields) or bool(self.items)

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def at(self, *names: str) -> Tree:
        """Go down by names."""
        found = self
        for name in names:
            found = found.fields.get(name, EMPTY)
        return found

    @property
    def text(self) -> str:
        """The scalar as text; booleans as YAML writes them."""
        if isinstance(self.scalar, bool):
            return "true" if self.scalar else "false"
        return "" if self.scalar is None else str(self.scalar)

    @property
    def is_true(self) -> bool:
        """Whether it is the value `true`."""
        return self.scalar is True

    @property
    def is_false(self) -> bool:
        """Whether it is the value `false`, rather than absent."""
        return self.scalar is False

    def walk(self, path: str = "$") -> Iterator[tuple[str, Tree]]:
        """Yield everything below, each with its path; of a long one the end alone is kept whole."""
        # Paths are made one by one, and a key of megabytes does not come again in each below it.
        stack: list[Iterator[tuple[str, Tree]]] = [iter([(path, self)])]
        while stack:
            found = next(stack[-1], None)
            if found is None:
                stack.pop()
                continue
            yield found
            place, tree = found
            if tree.items or tree.fields:
                stack.append(tree.list_below(place if len(place) <= MAX_PLACE else f"{place[: MAX_PLACE - 1]}…"))

    def list_below(self, place: str) -> Iterator[tuple[str, Tree]]:
        """Yield what lies directly below, each with its path, where this is at `place`."""
        yield from ((f"{place}.{name}", one) for name, one in self.fields.items())
        yield from ((f"{place}[{at}]", one) for at, one in enumerate(self.items))


EMPTY = Tree()


def read_yaml(text: str) -> list[Tree]:
    """Read the documents of a YAML file; tags build nothing, and aliases are bounded.

    Raises:
        MissingExtra: `pyyaml` is not installed.
        ToolError: It is no YAML, or over a bound; the message says where.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("Reading YAML", "yaml") from error
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    # The library has no types of its own.
    parse = cast("Callable[..., Iterator[object]]", yaml.parse)  # pyright: ignore[reportUnknownMemberType]
    compose = cast("Callable[..., Iterator[Node | None]]", yaml.compose_all)  # pyright: ignore[reportUnknownMemberType]
    try:
        _check_events(parse(text, Loader=loader))
        nodes = [node for node in compose(text, Loader=loader) if node is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        said = getattr(error, "problem", "") or "it cannot be read"
        raise ToolError(f"This is no YAML: {said}{where}.") from error
    if sum(_measure_node(node, {})[0] for node in nodes) > MAX_NODES:
        raise ToolError(f"The YAML unfolds to more than {MAX_NODES} values.")
    return [_build_node(node) for node in nodes]


def _check_events(events: Iterator[object]) -> None:
    """Refuse what is too deep, too large or refers to itself too often, before anything is built from it."""
    depth = aliases = 0
    for count, event in enumerate(events, 1):
        kind = type(event).__name__
        depth += kind in ("MappingStartEvent", "SequenceStartEvent")
        depth -= kind in ("MappingEndEvent", "SequenceEndEvent")
        aliases += kind == "AliasEvent"
        if depth > MAX_DEPTH:
            raise ToolError(f"The YAML is nested deeper than {MAX_DEPTH}.")
        if aliases > MAX_ALIASES:
            raise ToolError(f"The YAML has more than {MAX_ALIASES} aliases.")
        if count > 2 * MAX_NODES:
            raise ToolError(f"The YAML has more than {MAX_NODES} values.")


def _measure_node(node: Node, known: dict[int, tuple[int, int]], depth: int = 0) -> tuple[int, int]:
    """Return how many values a node unfolds to, and how deep they go; what an alias shows again is counted again."""
    from yaml.nodes import MappingNode, SequenceNode

    found = known.get(id(node))
    if depth + (found[1] if found else 0) > MAX_DEPTH:
        raise ToolError(f"The YAML unfolds deeper than {MAX_DEPTH}, or an alias refers to what it stands in.")
    if found:
        return found
    inner: list[Node] = []
    if isinstance(node, SequenceNode):
        inner = node.value
    elif isinstance(node, MappingNode):
        inner = [value for _, value in node.value]
    measured = [_measure_node(one, known, depth + 1) for one in inner]
    known[id(node)] = (1 + sum(size for size, _ in measured), 1 + max((height for _, height in measured), default=0))
    return known[id(node)]


def _build_node(node: Node) -> Tree:
    from yaml.nodes import MappingNode, ScalarNode, SequenceNode

    tree = Tree(node.start_mark.line + 1)
    if isinstance(node, ScalarNode):
        tree.scalar = _read_scalar(node.tag, node.value)
    elif isinstance(node, SequenceNode):
        tree.items = [_build_node(one) for one in node.value]
    elif isinstance(node, MappingNode):
        merged: dict[str, Tree] = {}
        for key, value in node.value:
            built = _build_node(value)
            if key.tag == _MERGE:
                for one in built.items or [built]:
                    merged = {**one.fields, **merged}
                continue
            name = key.value if isinstance(key, ScalarNode) else "?"
            if name in tree.fields:
                tree.duplicates.append((name, key.start_mark.line + 1))
            # A field is looked for by its key, and so it stands where the key stands.
            built.line = key.start_mark.line + 1 if isinstance(value, MappingNode | SequenceNode) else built.line
            tree.fields[name] = built
        tree.fields = {**merged, **tree.fields}
    return tree


def _read_scalar(tag: str, value: str) -> Scalar:
    kind = tag.removeprefix(_PREFIX)
    if kind == "null":
        return None
    if kind == "bool":
        return value.lower() in ("true", "yes", "on", "y")
    if kind in ("int", "float") and len(value) <= 40:
        try:
            return int(value.replace("_", "")) if kind == "int" else float(value.replace("_", ""))
        except ValueError:
            return value
    return value


def read_json(text: str) -> Tree:
    """Read a JSON document; lines are not known, so every value stands on line 1.

    Raises:
        ToolError: It is no JSON, or over a bound; the message says where.
    """
    try:
        check_depth(text, max_depth=MAX_DEPTH)
        root = json.loads(text, object_pairs_hook=_Pairs, parse_constant=_refuse)
    except InvalidInput as error:
        raise ToolError(f"This JSON is over a bound: {error.message}") from error
    except json.JSONDecodeError as error:
        raise ToolError(f"This is no JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from error
    except (ValueError, RecursionError) as error:
        raise ToolError(f"This is no JSON: {str(error)[:200]}.") from error
    return _build_value(root)


class _Pairs(list[tuple[str, object]]):
    """An object of JSON as it is written, with keys that come twice."""


def _refuse(name: str) -> object:
    raise ValueError(f"`{name}` is no JSON number")


def _build_value(value: object) -> Tree:
    tree = Tree(1)
    if isinstance(value, _Pairs):
        for name, one in value:
            if name in tree.fields:
                tree.duplicates.append((name, 1))
            tree.fields[name] = _build_value(one)
    elif isinstance(value, list):
        tree.items = [_build_value(one) for one in cast("list[object]", value)]  # whatever JSON holds
    elif isinstance(value, str | int | float | bool):
        tree.scalar = value
    return tree
