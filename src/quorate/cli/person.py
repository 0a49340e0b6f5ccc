"""Who types a command, and do they mean it?"""

from __future__ import annotations

import getpass
import sys

import typer

from quorate.errors import InvalidInput


def get_user() -> str:
    """Return the name of whoever works at this terminal, as far as the machine knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "local"


def confirm(question: str) -> None:
    """Ask before something that cannot be undone.

    Raises:
        InvalidInput: Nobody is there to ask.
        Abort: The answer was no.
    """
    if not sys.stdin.isatty():
        raise InvalidInput(f"{question} Nobody is there to ask: add `--yes` if you mean it.")
    typer.confirm(question, abort=True, err=True)
