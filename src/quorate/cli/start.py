"""How does a command line become a call, and a failure one line and an exit code?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import cast

from quorate.cli.failures import describe, get_exit_code
from quorate.cli.words import clean
from quorate.errors import MissingExtra, QuorateError

USAGE = 2
INTERRUPTED = 130
EXTRA = ("typer", "rich")
"""The modules that the extra `cli` brings."""


def start(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    stdout: object = sys.stdout
    if isinstance(stdout, TextIOWrapper):
        # What a terminal's encoding cannot show is spelled out, as on standard error.
        cast("TextIOWrapper", stdout).reconfigure(errors="backslashreplace")
    try:
        return _start(list(arguments))
    except QuorateError as error:
        _complain(describe(error))
        return get_exit_code(error)
    except KeyboardInterrupt:
        return INTERRUPTED


def _start(arguments: list[str]) -> int:
    try:
        import typer
        from typer.main import get_command

        from quorate.cli.app import build_app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        raise MissingExtra("The command line", "cli") from error

    # Its home differs between versions of typer; the class itself does not.
    click_error = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
    try:
        code = get_command(build_app(arguments[0] if arguments else None)).main(
            arguments, prog_name="quorate", standalone_mode=False
        )
    except SystemExit as stop:
        # Typer has seen that whoever read our output is gone, and hides it; `main` knows what to do then.
        if isinstance(stop.__context__, BrokenPipeError):
            raise stop.__context__ from stop
        raise
    except typer.Abort:
        return INTERRUPTED
    except Exception as error:  # only what typer says about the words that were typed; the rest is raised again
        if not isinstance(error, click_error):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            print(str(getattr(error, "message", error)))
            return 0
        _complain(describe_usage(error))
        return USAGE
    return code if isinstance(code, int) else 0


def describe_usage(error: BaseException) -> str:
    """Say in one line what is wrong with what was typed, and where help is."""
    message = str(getattr(error, "format_message", error.__str__)())
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "") or "quorate"
    ending = "" if message.endswith((".", "?")) else "."
    return f"{message}{ending} See `{path} --help`."


def _complain(message: str) -> None:
    sys.stdout.flush()
    print(f"quorate: {clean(message)}", file=sys.stderr)
