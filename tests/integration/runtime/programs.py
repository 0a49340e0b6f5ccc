"""Programs that tests of one database in several processes start."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import PIPE

from tests.forks import Process, fork

Child = Process
Start = Callable[..., Child]


@contextmanager
def starting(script: Path) -> Iterator[Start]:
    """Start processes and wait until they are open; none outlives the block."""
    with ExitStack() as stack:

        def begin(*words: object) -> Child:
            child = stack.enter_context(fork([script, *words], stdin=PIPE, stdout=PIPE))
            stack.callback(child.kill)
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            return child

        yield begin
