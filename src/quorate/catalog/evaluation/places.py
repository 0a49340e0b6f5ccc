"""On which line of a JSON or YAML file is a value?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import cast

Path = Sequence[str | int]
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def find_json_line(text: str, path: Path) -> int:
    """Find the line of a value, or of the nearest one around it that is there."""
    wanted, best, line = tuple(path), 0, 1
    for place, offset in _scan(text):
        if len(place) > best and place == wanted[: len(place)]:
            best, line = len(place), text.count("\n", 0, offset) + 1
    return line


def _scan(text: str) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """Yield the place of each key and of each element, with where it begins."""
    place: list[str | int] = []
    is_key = False
    for token in _TOKEN.finditer(text):
        word = token[0]
        if word == "[":
            place.append(0)
            is_key = False
            yield tuple(place), _skip_space(text, token.end())
        elif word == "{":
            place.append("")
            is_key = True
        elif word in "]}":
            if place:
                place.pop()
            is_key = False
        elif word == "," and place:
            last = place[-1]
            is_key = isinstance(last, str)
            if isinstance(last, int):
                place[-1] = last + 1
                yield tuple(place), _skip_space(text, token.end())
        elif is_key and word[0] == '"':
            place[-1] = word[1:-1]
            is_key = False
            yield tuple(place), token.start()


def _skip_space(text: str, offset: int) -> int:
    while offset < len(text) and text[offset].isspace():
        offset += 1
    return offset


def find_yaml_line(text: str, path: Path) -> int:
    """Find the line of a value in YAML that was read before, or of the nearest one around it that is there."""
    import yaml  # whoever asks has read the text with it

    node = cast("yaml.Node | None", yaml.compose(text, Loader=yaml.SafeLoader))  # pyright: ignore[reportUnknownMemberType]
    line = 1
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pairs = cast("list[tuple[yaml.Node, yaml.Node]]", node.value)
            found = next((pair for pair in pairs if pair[0].value == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            items = cast("list[yaml.Node]", node.value)
            if part >= len(items):
                break
            node = items[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
