"""What happens when somebody types `quorate`?"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

HELP_FILE = os.path.join(os.path.dirname(__file__), "help.txt")
"""The first page of help, as `python -m quorate.cli.pages` wrote it."""
_ASKS_FOR_HELP: tuple[list[str], ...] = ([], ["--help"], ["-h"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; see `docs/reference/exit-codes.md`.

    The first page of help and the version are answered before anything else is imported, because people type these
    most and wait for them least.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given in _ASKS_FOR_HELP:
            with open(HELP_FILE, encoding="utf-8") as page:
                sys.stdout.write(page.read())
            sys.stdout.flush()
            return 0
        from quorate.cli.start import start

        code = start(given)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read our output has gone. What is left in the buffer has nowhere to go either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
