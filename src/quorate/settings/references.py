"""What does `${NAME}` in a settings file stand for?"""

from __future__ import annotations

import re
from collections.abc import Callable

from quorate.errors import InvalidInput

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)

Find = Callable[[str], str | None]
"""Gives the value of a variable, or `None`."""


def has_reference(text: str) -> bool:
    """Whether a text refers to a variable."""
    return _REFERENCE.search(text) is not None


def expand(text: str, find: Find) -> str:
    """Put the values of variables in place of `${NAME}` and `${NAME:-default}`; `$${` stands for `${` itself.

    One pass: what a variable holds is not read again.

    Raises:
        InvalidInput: A variable is not set and has no default, or a reference is malformed.
    """

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        parts = _NAME.fullmatch(match[1] or "")
        if parts is None and (match[1] or "").startswith(("file:", "vault:")):
            raise InvalidInput(
                f"{match[0]!r} stands for a whole secret; write it alone, as the value of a setting that is secret"
            )
        if parts is None:
            raise InvalidInput(
                f"{match[0]!r} is no reference; write `${{NAME}}`, `${{NAME:-default}}`, or `$${{` for text"
            )
        # As in a shell: a variable that is set to nothing gives way to a default.
        value = find(parts[1]) or parts[2]
        if value is None:
            raise InvalidInput(f"the variable `{parts[1]}` is not set; set it, or write `${{{parts[1]}:-default}}`")
        return value

    return _REFERENCE.sub(replace, text)
