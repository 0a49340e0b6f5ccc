"""Programs that tests of one database in several processes start."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

Child = subprocess.Popen[str]
Start = Callable[..., Child]


@contextmanager
def starting(script: Path) -> Iterator[Start]:
    """Start processes and wait until they are open; none outlives the block."""
    with ExitStack() as stack:

        def begin(*words: object) -> Child:
            child = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(script), *map(str, words)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(child.kill)
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            return child

        yield begin
