"""Where does what we say go, and in which form?"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import msgspec
from rich.console import Console
from rich.text import Text

from quorate.cli.words import clean
from quorate.security.secrets import encode_secret

Line = tuple[str, str]
"""A style and the words in it."""


def say(text: str = "") -> None:
    """Print words on standard output."""
    print(clean(text))


def say_all(lines: Iterable[str]) -> None:
    """Print lines on standard output."""
    for line in lines:
        say(line)


def say_styled(lines: Iterable[Line]) -> None:
    """Print lines on standard output, in colour where somebody looks at a terminal."""
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    for style, words in lines:
        console.print(Text(clean(words), style=style))


def tell(text: str) -> None:
    """Print words on standard error: for whoever watches, not for what reads the output."""
    print(clean(text), file=sys.stderr, flush=True)


def say_json(value: object) -> None:
    """Print one JSON document on standard output."""
    compact = msgspec.json.encode(value, enc_hook=encode_secret)
    print(escape_json(msgspec.json.format(compact, indent=2).decode()))


def say_json_line(value: object) -> None:
    """Print one JSON document on a line of its own."""
    print(escape_json(msgspec.json.encode(value, enc_hook=encode_secret).decode()), flush=True)


def escape_json(text: str) -> str:
    r"""Spell the characters a terminal may act on as `\u…`, which JSON readers turn back into them."""
    return "".join(c if clean(c) == c else _escape(c) for c in text)


def _escape(character: str) -> str:
    return "".join(f"\\u{unit:04x}" for unit in memoryview(character.encode("utf-16-le", "surrogatepass")).cast("H"))
