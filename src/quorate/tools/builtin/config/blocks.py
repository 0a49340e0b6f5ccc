"""Which directives and blocks does a configuration hold that is written with words, `;` and `{}`, or in HCL?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from quorate.errors import ToolError

MAX_DEPTH = 32
MAX_TOKENS = 300_000
_NGINX = re.compile(
    r"""\s+|#[^\n]*|[{};]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(?:\$\{\w{0,80}\}|[^\s{};"'\\]|\\.)+""", re.DOTALL
)
_HCL = re.compile(
    r"""[ \t\r]+|\n|(?:\#|//)[^\n]*|/\*|<<[-~]?\w+(?=\r?\n)|"(?:[^"\\]|\\.)*"|"""
    r"""[{}\[\](),]|=>|==|[^\s{}\[\](),"=\#]+|=""",
    re.DOTALL,
)


class Block:
    """A directive or a block: its words, what it is set to, and what stands inside."""

    __slots__ = ("children", "line", "words")

    def __init__(self, words: list[str], line: int) -> None:
        self.words = words
        self.line = line
        self.children: list[Block] = []

    @property
    def name(self) -> str:
        """The first word."""
        return self.words[0] if self.words else ""

    @property
    def value(self) -> str:
        """All words but the first."""
        return " ".join(self.words[1:])

    def all(self, name: str) -> list[Block]:
        """List what stands directly inside under a name."""
        return [one for one in self.children if one.name == name]

    def first(self, name: str) -> Block | None:
        """Find the first of a name directly inside."""
        return next((one for one in self.children if one.name == name), None)

    def setting(self, name: str) -> str:
        """Return what a name is set to directly inside; empty when it is not."""
        found = self.first(name)
        return found.value if found is not None else ""

    def walk(self) -> Iterator[Block]:
        """Yield everything below, outer blocks first."""
        stack = list(reversed(self.children))
        while stack:
            one = stack.pop()
            yield one
            stack.extend(reversed(one.children))


def read_nginx(text: str) -> Block:
    """Read a configuration of nginx.

    Raises:
        ToolError: A brace or a quote is not closed, or it is over a bound; the message says where.
    """
    root = Block([], 1)
    stack, words, began = [root], list[str](), 1
    for mark, line in _tokens(_NGINX, text):
        if mark == "{":
            one = Block(words, began)
            stack[-1].children.append(one)
            stack.append(one)
            _check_depth(stack, line)
            words = []
        elif mark in (";", "}"):
            if words:
                stack[-1].children.append(Block(words, began))
            words = []
            if mark == "}":
                _close(stack, line)
        else:
            began = began if words else line
            words.append(_unquote(mark))
    if len(stack) > 1:
        raise ToolError(f"The block `{stack[-1].name}` at line {stack[-1].line} is not closed.")
    return root


def read_hcl(text: str) -> Block:
    """Read the blocks and settings of HCL; expressions stay text, and nothing is computed.

    Raises:
        ToolError: A brace or a quote is not closed, or it is over a bound; the message says where.
    """
    root = Block([], 1)
    stack, words, began, inside, is_setting = [root], list[str](), 1, 0, False
    for mark, line in _tokens(_HCL, text, keep_lines=True):
        if mark in "[(" or (mark == "{" and (inside or is_setting)):
            inside += 1
            words.append(mark)
        elif mark in "])" or (mark == "}" and inside):
            inside -= 1
            if inside < 0:
                raise ToolError(f"At line {line} there is a `{mark}` too many.")
            words.append(mark)
        elif mark == "{":
            one = Block(words, began)
            stack[-1].children.append(one)
            stack.append(one)
            _check_depth(stack, line)
            words, is_setting = [], False
        elif mark in ("\n", "}"):
            if words and not inside:
                stack[-1].children.append(
                    Block([word for word in words if word != "="] if is_setting else words, began)
                )
                words, is_setting = [], False
            if mark == "}":
                _close(stack, line)
        else:
            began = began if words else line
            is_setting = is_setting or mark == "="
            words.append(_unquote(mark))
    if words:
        stack[-1].children.append(Block([word for word in words if word != "="], began))
    if len(stack) > 1 or inside:
        raise ToolError(f"The block `{stack[-1].name}` at line {stack[-1].line} is not closed.")
    return root


def _tokens(pattern: re.Pattern[str], text: str, *, keep_lines: bool = False) -> Iterator[tuple[str, int]]:
    # What a long comment or text ends with is looked for once: a search that fails ends the reading.
    at, line, count = 0, 1, 0
    while at < len(text):
        match = pattern.match(text, at)
        if match is None:
            raise ToolError(f"At line {line} a quote is not closed, or there is a character that belongs nowhere.")
        mark, ends = match[0], match.end()
        if keep_lines and mark.startswith(("/*", "<<")):
            ends = _find_end(text, mark, match.end(), line)
            mark = text[at:ends]
        count += 1
        if count > MAX_TOKENS:
            raise ToolError(f"The file has more than {MAX_TOKENS} words.")
        is_word = not mark.isspace() and not mark.startswith(("#", "//", "/*"))
        if is_word or (mark == "\n" and keep_lines):
            yield mark, line
        line += mark.count("\n")
        at = ends


def _find_end(text: str, mark: str, start: int, line: int) -> int:
    if mark.startswith("/*"):
        ends = text.find("*/", start) + 2
    else:
        closing = re.compile(r"^[ \t]*" + re.escape(mark.lstrip("<-~")) + r"(?=\r?$)", re.MULTILINE).search(text, start)
        ends = closing.end() if closing is not None else 0
    if ends <= start:
        raise ToolError(f"What begins with `{mark[:40]}` at line {line} has no end.")
    return ends


def _check_depth(stack: list[Block], line: int) -> None:
    if len(stack) > MAX_DEPTH:
        raise ToolError(f"At line {line} blocks nest deeper than {MAX_DEPTH}.")


def _close(stack: list[Block], line: int) -> None:
    if len(stack) == 1:
        raise ToolError(f"At line {line} there is a `}}` too many.")
    stack.pop()


def _unquote(mark: str) -> str:
    return mark[1:-1] if len(mark) > 1 and mark[0] == mark[-1] and mark[0] in "\"'" else mark
