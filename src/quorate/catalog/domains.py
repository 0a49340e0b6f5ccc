"""Which fields do agents work in?"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from quorate.errors import InvalidFiles

DOMAINS = "domains.toml"
"""The file in which a directory of agents may declare domains of its own."""
_BUILTIN = Path(__file__).parent / DOMAINS


def load_domains(*directories: Path) -> Mapping[str, str]:
    """Load the domains there are, each with what belongs there: the built-in ones and those of some directories.

    Raises:
        InvalidFiles: A directory's file cannot be read.
    """
    found: dict[str, str] = {}
    for path in (_BUILTIN, *(directory / DOMAINS for directory in directories)):
        try:
            found |= msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), dict[str, str])
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            what = f'{path}:1: it cannot be read: {error}; write lines such as `writing = "Texts for people."`'
            raise InvalidFiles("domains", [what]) from error
    return found
